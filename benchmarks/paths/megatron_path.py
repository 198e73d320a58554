"""Megatron-core's indexed data, blended builder and data set, read in order up to the last sample of each stage.

For Megatron-LM by the arguments of launch.sh, for Megatron-Bridge and NeMo 2 through their own modules.
"""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from given import BATCH, FACTS, LENGTH, OUT, answer, array, counts, documents, module, rates
from marked import FIRST_ID

kind = FACTS["exporter"]
if kind == "megatron_bridge":
    import typing

    import typing_extensions
    from absent import absent

    typing.override = typing_extensions.override  # Bridge wants Python 3.12 and needs no more of it than this
    absent("transformer_engine", "modelopt", "wandb", "timm", "apex", "flash_attn", "causal_conv1d", "mamba_ssm")
    absent("nvdlfw_inspect", "megatron.energon", "open_clip", "flashinfer", "multistorageclient")
    from megatron.bridge.training.config import ConfigContainer, SchedulerConfig
    from megatron.bridge.training.optim import _get_scheduler
elif kind == "nemo2":
    import nemo2
from megatron.core.datasets import gpt_dataset as gpt  # noqa: E402
from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder  # noqa: E402
from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder  # noqa: E402
from megatron.core.datasets.utils import get_blend_from_list  # noqa: E402
from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler  # noqa: E402

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


def read(config, samples, start):
    """Tokens of the samples ``start`` to ``samples`` of a data set configuration."""
    config.tokenizer = Tokenizer()
    evaluation = 32 * BATCH
    train, *_ = BlendedMegatronDatasetBuilder(
        gpt.GPTDataset, [samples, evaluation, evaluation], lambda: True, config
    ).build()
    return [int(token) for k in range(start, samples) for token in train[k]["tokens"]]


def arguments_of_launch():
    """What launch.sh of Megatron-LM says, by name."""
    words = array("ARGUMENTS")
    return dict(zip(words[::2], words[1::2], strict=True))


steps = []
for stage, (first, length) in enumerate(FACTS["phases"]):
    if kind == "megatron_lm":
        arguments = arguments_of_launch()
        script = (OUT / "launch.sh").read_text()
        split = script.split("SPLIT=${SPLIT:-")[1].split("}")[0]
        blend = get_blend_from_list((OUT / f"blend-{stage + 1}.txt").read_text().split())
        surplus = float(arguments.get("--mid-level-dataset-surplus", 0.005))
        config = gpt.GPTDatasetConfig(
            random_seed=int(array("SEEDS")[stage]), sequence_length=LENGTH, blend=blend, split=split,
            mid_level_dataset_surplus=surplus, tokenizer=Tokenizer(), path_to_cache=str(OUT / f"cache{stage}"),
            reset_position_ids=False, reset_attention_mask=False, eod_mask_loss=False,
        )  # fmt: skip
        ids = read(config, length * BATCH, 0)
    elif kind == "nemo2":
        mixture = module()
        data = mixture.data(
            stage, tokenizer=Tokenizer(), index_mapping_dir=str(OUT / f"cache{stage}"), micro_batch_size=BATCH
        )
        last = mixture.LAST_STEPS[stage]
        data.build(last, last, 32, 32)  # 32 batches of evaluation, once
        ids = [int(token) for k in range(first * BATCH, last * BATCH) for token in data._train_ds[k]["tokens"]]
    else:
        mixture = module()
        config = mixture.dataset(stage, path_to_cache=str(OUT / f"cache{stage}"))
        config.finalize()
        ids = read(config, mixture.LAST_STEPS[stage] * BATCH, first * BATCH)
    steps.append({"stage": stage, "counts": counts(ids)})


def scheduler(stage):
    """The scheduler of a launch, or of the single run, from the trainer's own configuration where it can be had."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    last = FACTS["steps"] if stage is None else sum(FACTS["phases"][stage])
    if kind == "nemo2":
        told = {"warmup_steps": 10, "constant_steps": 0, "min_lr": 0.0}
        settings = {"max_steps": FACTS["steps"], **told} if stage is None else module().scheduler(**told)
        return nemo2.cosine(optimizer, settings)
    if kind == "megatron_bridge":
        told = {"lr_decay_style": "cosine", "lr_warmup_iters": 10, "start_weight_decay": 0.1, "end_weight_decay": 0.1}
        one = SchedulerConfig(**told) if stage is None else module().scheduler(**told)
        one.finalize()
        train = SimpleNamespace(train_samples=None, train_iters=last, global_batch_size=BATCH)
        ConfigContainer._calculate_scheduler_steps(SimpleNamespace(train=train, scheduler=one))
        return _get_scheduler(SimpleNamespace(lr=1e-3, min_lr=0.0), one, optimizer)
    # As megatron/training/training.py makes it: the wheel of Megatron-core has no training loop.
    total = FACTS["steps"] * BATCH if stage is None else int(arguments_of_launch()["--train-samples"])
    return OptimizerParamScheduler(
        optimizer, init_lr=0.0, max_lr=1e-3, min_lr=0.0, lr_warmup_steps=10 * BATCH, lr_decay_steps=total,
        lr_decay_style="cosine", start_wd=0.1, end_wd=0.1, wd_incr_steps=total, wd_incr_style="constant",
        use_checkpoint_opt_param_scheduler=False,
    )  # fmt: skip


if kind == "nemo2":
    learning_rates = rates(scheduler, lambda one: one.get_last_lr()[0], lambda one: one.step())
else:
    learning_rates = rates(
        scheduler, lambda one: one.optimizer.param_groups[0]["lr"], lambda one: one.step(increment=BATCH)
    )
answer(steps, learning_rates=learning_rates)
