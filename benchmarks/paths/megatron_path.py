"""Megatron-core's indexed data, blended builder and data set, read in order up to the last sample of each stage."""

import os
from pathlib import Path

import numpy as np
import torch
from given import BATCH, FACTS, LENGTH, OUT, answer, array, counts, documents, module
from marked import FIRST_ID

kind = FACTS["exporter"]
if kind == "nemo_automodel":
    from nemo_automodel.components.datasets.llm.megatron import gpt_dataset as gpt
    from nemo_automodel.components.datasets.llm.megatron.builder import BlendedMegatronDatasetBuilder
    from nemo_automodel.components.datasets.llm.megatron.indexed_dataset import IndexedDatasetBuilder
    from nemo_automodel.components.datasets.llm.megatron.megatron_utils import compile_helper, get_blend_from_list

    compile_helper()
else:
    from megatron.core.datasets import gpt_dataset as gpt
    from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder
    from megatron.core.datasets.utils import get_blend_from_list

torch.distributed.init_process_group("gloo", init_method=f"file://{OUT}/group{os.getpid()}", rank=0, world_size=1)
for _, i, sizes, path in documents():
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    builder = IndexedDatasetBuilder(f"{path}.bin", dtype=np.int32)
    for size in sizes:
        tokens = torch.full((size,), i + FIRST_ID, dtype=torch.int32)
        tokens[-1] = 1
        builder.add_document(tokens, [size])
    builder.finalize(f"{path}.idx")


class Tokenizer:
    """As little of one as the data set asks for."""

    eod, pad, vocab_size, unique_identifiers = 1, 0, 1000, {"class": "marked"}
    eos_token_id = 1


def read(blend, samples, start, split, surplus, seed):
    """Tokens of the samples ``start`` to ``samples`` of a blend."""
    settings = {"mid_level_dataset_surplus": surplus} if surplus else {}
    config = gpt.GPTDatasetConfig(
        random_seed=seed, sequence_length=LENGTH, blend=blend, split=split, tokenizer=Tokenizer(),
        path_to_cache=str(OUT / f"cache{samples}-{seed}"), reset_position_ids=False, reset_attention_mask=False,
        eod_mask_loss=False, **settings,
    )  # fmt: skip
    evaluation = 32 * BATCH
    train, *_ = BlendedMegatronDatasetBuilder(
        gpt.GPTDataset, [samples, evaluation, evaluation], lambda: True, config
    ).build()
    return [int(token) for k in range(start, samples) for token in train[k]["tokens"]]


steps = []
for stage, (first, length) in enumerate(FACTS["phases"]):
    if kind == "megatron_lm":
        words = array("ARGUMENTS")
        arguments = dict(zip(words[::2], words[1::2], strict=True))
        script = (OUT / "launch.sh").read_text()
        split = script.split("SPLIT=${SPLIT:-")[1].split("}")[0]
        blend = get_blend_from_list((OUT / f"blend-{stage + 1}.txt").read_text().split())
        surplus = float(arguments.get("--mid-level-dataset-surplus", 0.005))
        ids = read(blend, length * BATCH, 0, split, surplus, int(array("SEEDS")[stage]))
    elif kind == "megatron_bridge":
        mixture = module()
        paths, weights = mixture.BLENDS[stage]
        samples = mixture.LAST_STEPS[stage] * BATCH
        ids = read((list(paths), list(weights)), samples, first * BATCH, mixture.SPLIT, mixture.SURPLUS, mixture.SEED)
    else:
        import yaml

        overlay = yaml.safe_load((OUT / f"mixture-{stage}.yaml").read_text())
        dataset = overlay["dataset"]
        samples = overlay["step_scheduler"]["max_steps"] * BATCH
        ids = read(
            get_blend_from_list(dataset["paths"]), samples, first * BATCH, dataset["split"], None, dataset["seed"]
        )
    steps.append({"stage": stage, "counts": counts(ids)})
answer(steps)
