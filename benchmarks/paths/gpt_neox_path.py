"""GPT-NeoX's own data loaders from the overlay, over its own indexed data, and its learning rate.

From a checkout, without its package's start, which wants DeepSpeed and GPUs: one rank, whose collectives are none.
"""

import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pybind11
import torch
import yaml
from given import BATCH, FACTS, OUT, answer, counts, documents, rates
from marked import FIRST_ID

CHECKOUT = Path(sys.prefix) / "gpt-neox" / "megatron"
helpers = CHECKOUT / "data" / f"helpers{sysconfig.get_config_var('EXT_SUFFIX')}"
if not helpers.exists():
    include = [f"-I{pybind11.get_include()}", f"-I{sysconfig.get_path('include')}"]
    source = CHECKOUT / "data" / "helpers.cpp"
    subprocess.run(["g++", "-O3", "-shared", "-std=c++17", "-fPIC", *include, source, "-o", helpers], check=True)

megatron = ModuleType("megatron")
megatron.__path__ = [str(CHECKOUT)]
megatron.print_rank_0 = lambda *words: None
megatron.mpu = MagicMock()
for name in ("get_data_parallel_world_size", "get_model_parallel_world_size", "get_pipe_parallel_world_size"):
    getattr(megatron.mpu, name).return_value = 1
for name in ("get_data_parallel_rank", "get_model_parallel_rank", "get_model_parallel_src_rank"):
    getattr(megatron.mpu, name).return_value = 0
for name in ("get_io_parallel_group", "get_model_parallel_group"):
    getattr(megatron.mpu, name).return_value = None
sys.modules["megatron"] = megatron
sys.modules["megatron.data.online_dataset"] = MagicMock()
torch.cuda.LongTensor = torch.LongTensor
torch.distributed.init_process_group("gloo", init_method=f"file://{OUT}/group", rank=0, world_size=1)

from megatron.data.data_utils import build_train_valid_test_data_loaders  # noqa: E402
from megatron.data.indexed_dataset import make_builder  # noqa: E402
from megatron.learning_rates import AnnealingLR  # noqa: E402

for _, i, sizes, path in documents():
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    builder = make_builder(f"{path}.bin", "mmap", vocab_size=60_000)
    for size in sizes:
        tokens = np.full(size, i + FIRST_ID, dtype=builder.dtype)
        tokens[-1] = 1
        builder.add_item(tokens)
        builder.end_document()
    builder.finalize(f"{path}.idx")


class Arguments(SimpleNamespace):
    """NeoXArgs: what is not told is None."""

    def __getattr__(self, name):
        return None


overlays = [yaml.safe_load((OUT / f"mixture-{stage}.yml").read_text()) for stage in range(len(FACTS["phases"]))]
steps = []
for stage, (first, _) in enumerate(FACTS["phases"]):
    told = {name.replace("-", "_"): value for name, value in overlays[stage].items()}
    one = told["train_data_paths"][:1]
    arguments = Arguments(
        **told, valid_data_paths=one, valid_data_weights=[1.0], test_data_paths=one, test_data_weights=[1.0],
        batch_size=BATCH, eval_interval=1000, eval_iters=1, num_workers=0, data_impl="mmap", pack_impl="packed",
        dataset_impl="gpt2", allow_chopped=True,
    )  # fmt: skip
    loader = build_train_valid_test_data_loaders(arguments)["train"]
    loader.batch_sampler.start_iter = first
    ids = []
    for step, batch in zip(range(first, told["train_iters"]), loader, strict=False):
        assert step >= first
        ids += batch["text"][:, :-1].flatten().tolist()
    steps.append({"stage": stage, "counts": counts(ids)})


def scheduler(stage):
    """As get_learning_rate_scheduler of megatron/training.py makes it."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    total = FACTS["steps"] if stage is None else overlays[stage]["lr_decay_iters"]
    return AnnealingLR(optimizer, 1e-3, 0.01 * total, total, "cosine", 0, use_checkpoint_lr_scheduler=False)


answer(
    steps,
    learning_rates=rates(scheduler, lambda one: one.optimizer.param_groups[0]["lr"], lambda one: one.step()),
)
