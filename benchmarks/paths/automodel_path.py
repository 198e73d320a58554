"""Automodel's data set built from the overlay's own configuration, read in order, and its learning rate."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import yaml
from given import BATCH, FACTS, FOLDER, LANGUAGES, OUT, answer, counts, documents, rates
from marked import FIRST_ID, tokenizer
from nemo_automodel.components.datasets.llm.megatron.indexed_dataset import IndexedDatasetBuilder
from nemo_automodel.components.datasets.llm.megatron.megatron_utils import compile_helper
from nemo_automodel.components.datasets.llm.megatron_dataset import MegatronPretrainingConfig
from nemo_automodel.components.optim.optimizer import LRSchedulerConfig
from transformers import AutoTokenizer

compile_helper()
torch.distributed.init_process_group("gloo", init_method=f"file://{OUT}/group{os.getpid()}", rank=0, world_size=1)
tokenizer(FOLDER / "tokenizer", len(LANGUAGES))
words = AutoTokenizer.from_pretrained(FOLDER / "tokenizer")
for _, i, sizes, path in documents():
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    builder = IndexedDatasetBuilder(f"{path}.bin", dtype=np.int32)
    for size in sizes:
        tokens = torch.full((size,), i + FIRST_ID, dtype=torch.int32)
        tokens[-1] = 1
        builder.add_document(tokens, [size])
    builder.finalize(f"{path}.idx")

overlays = [yaml.safe_load((OUT / f"mixture-{stage}.yaml").read_text()) for stage in range(len(FACTS["phases"]))]
steps = []
for stage, (first, _) in enumerate(FACTS["phases"]):
    dataset, last = dict(overlays[stage]["dataset"]), overlays[stage]["step_scheduler"]["max_steps"]
    assert dataset.pop("_target_").endswith(".MegatronPretraining")
    schedule = SimpleNamespace(
        local_batch_size=BATCH, global_batch_size=BATCH, max_steps=last, val_check_interval=None
    )  # fmt: skip
    cache = str(OUT / f"cache{stage}")
    data = MegatronPretrainingConfig(**dataset, index_mapping_dir=cache).build(
        tokenizer=words, training_schedule=schedule
    )
    ids = [int(token) for k in range(first * BATCH, last * BATCH) for token in data[k]["input_ids"]]
    steps.append({"stage": stage, "counts": counts(ids)})


def scheduler(stage):
    """Of a launch, from its overlay; of the single run, from the same warm-up and max_steps alone."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    told, last = {"lr_warmup_steps": FACTS["steps"] // 10}, FACTS["steps"]
    if stage is not None:
        told, last = told | overlays[stage]["lr_scheduler"], overlays[stage]["step_scheduler"]["max_steps"]
    (one,) = LRSchedulerConfig(**told).build(optimizer, SimpleNamespace(epoch_len=None, max_steps=last))
    return one


learning_rates = rates(scheduler, lambda one: one.optimizer.param_groups[0]["lr"], lambda one: one.step(increment=1))
answer(steps, learning_rates=learning_rates)
