"""MaxText's own input pipeline on the mixture files, through packing and batches, and its learning rate.

A stage goes on in the iterator of the one before, as MaxText does from a checkpoint: its place is handed on.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter
from given import BATCH, FACTS, FOLDER, LANGUAGES, OUT, AtStep, answer, array, documents, rates
from marked import FIRST_ID, tokenizer
from maxtext.input_pipeline import grain_data_processing as pipeline
from maxtext.input_pipeline.protos import example_pb2
from maxtext.utils.maxtext_utils import create_learning_rate_schedule

tokenizer(FOLDER / "tokenizer", len(LANGUAGES))
for _, i, sizes, path in documents():
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    writer = ArrayRecordWriter(path, "group_size:1")
    for size in sizes:
        example = example_pb2.Example()
        text = " ".join([f"w{i}"] * (size - 1))
        example.features.feature["text"].bytes_list.value.append(text.encode())
        writer.write(example.SerializeToString())
    writer.close()

told = dict(word.split("=", 1) for word in array("ARGUMENTS"))
ends = [int(end) for end in array("ENDS")]
config = SimpleNamespace(
    grain_file_type=told["grain_file_type"], max_target_length=int(told["max_target_length"]),
    packing=told["packing"] == "True", use_truncation=told["use_truncation"] == "True", grain_packing_type="first_fit",
    max_segments_per_seq=None, tokenizer_path=str(FOLDER / "tokenizer"), tokenizer_type="huggingface", add_bos=False,
    add_eos=True, hf_access_token=None, global_batch_size_to_load=BATCH, expansion_factor_real_data=-1,
    elastic_enabled=False, grain_use_elastic_iterator=False, grain_ram_budget_mb=1024,
)  # fmt: skip
steps, state = [], None
for stage, (_, length) in enumerate(FACTS["phases"]):
    rows = pipeline.get_datasets(
        None, told["grain_file_type"], True, int(told["data_shuffle_seed"]), 100, int(told["num_epoch"]),
        0, 1, 0, 1, 16, 4, mixture_config_path=str(OUT / f"mixture-{stage}.json"),
    )  # fmt: skip
    batches = iter(pipeline.pretrain_preprocessing_pipeline(rows, config, ("text",), True, 0, 1))
    if state is not None:
        batches.set_state(state)
    found = np.zeros(FIRST_ID + len(LANGUAGES), dtype=int)
    for _ in range(length):
        batch = next(batches)
        ids = batch["inputs"][batch["inputs_segmentation"] > 0]
        found += np.bincount(ids, minlength=len(found))
    state = batches.get_state()
    steps.append({"stage": stage, "counts": found.tolist()})


def scheduler(stage):
    """learning_rate_schedule_steps as launch.sh gives it; the single run has that of its own steps."""
    horizon = FACTS["steps"] if stage is None else int(told["learning_rate_schedule_steps"])
    options = SimpleNamespace(
        learning_rate=1e-3, learning_rate_final_fraction=0.1, learning_rate_schedule_steps=horizon,
        warmup_steps_fraction=0.1, steps=FACTS["steps"] if stage is None else ends[stage],
        lr_schedule_type="cosine", wsd_decay_steps_fraction=0.1, wsd_decay_style="linear",
    )  # fmt: skip
    return AtStep(create_learning_rate_schedule(options))


answer(steps, learning_rates=rates(scheduler, AtStep.rate, AtStep.advance))
