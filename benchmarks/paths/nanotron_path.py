"""nanotron's own blended data from the stages' YAML, over datatrove's files and through its sampler; learning rate.

From two checkouts, one rank by gloo. The loader is made as run_train.py makes it for each stage: the tokens that stages
before have consumed of each folder are handed on.
"""

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import yaml
from absent import absent
from given import BATCH, FACTS, FOLDER, LANGUAGES, LENGTH, OUT, answer, counts, documents, rates
from marked import FIRST_ID, tokenizer

for checkout in ("datatrove", "nanotron"):
    sys.path.insert(0, str(Path(sys.prefix) / checkout / "src"))
absent("flash_attn", "grouped_gemm", "functorch.dim", "triton")
from nanotron.config import LRSchedulerArgs, NanosetDatasetsArgs  # noqa: E402
from nanotron.data.samplers import MegatronPretrainingSampler  # noqa: E402
from nanotron.data.tokenized_bytes import get_tb_datasets  # noqa: E402
from nanotron.helpers import lr_scheduler_builder  # noqa: E402

os.environ["PATH"] = f"{sys.prefix}/bin:{os.environ['PATH']}"  # its Makefile asks python3 where pybind11 is
torch.distributed.init_process_group("gloo", init_method=f"file://{OUT}/group{os.getpid()}", rank=0, world_size=1)
everyone = torch.distributed.group.WORLD
ranks = SimpleNamespace(world_pg=everyone, dp_pg=everyone, pp_pg=everyone)
tokenizer(FOLDER / "tokenizer", len(LANGUAGES))
for _, i, sizes, path in documents():
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    ids = np.concatenate([np.append(np.full(size - 1, i + FIRST_ID, np.uint16), np.uint16(1)) for size in sizes])
    (folder / "00000.ds").write_bytes(ids.tobytes())
    (folder / "00000.ds.index").write_bytes(np.cumsum(sizes).astype(np.uint64).tobytes())
    (folder / "00000.ds.metadata").write_text(f"{FOLDER / 'tokenizer'}|2\n{len(ids)}\n")

configuration = FOLDER / "config.yaml"
configuration.write_text("optimizer: {learning_rate_scheduler: {lr_warmup_steps: 10}}\n")
environ = {**os.environ, "CONFIG": str(configuration), "PYTHON": sys.executable}
subprocess.run(["bash", OUT / "launch.sh", "true"], env=environ, cwd=FOLDER, check=True, capture_output=True)
steps, consumed = [], {}
for number, (first, length) in enumerate(FACTS["phases"]):
    overlay = yaml.safe_load((OUT / f"merged-{number}.yaml").read_text())
    stage = overlay["data_stages"][-1]
    assert stage["start_training_step"] == first + 1
    train_steps = overlay["tokens"]["train_steps"]
    config = NanosetDatasetsArgs(**stage["data"]["dataset"])
    data, _ = get_tb_datasets(
        config, LENGTH, BATCH, train_steps, first, ranks, eos_token_id=1, shuffle=config.shuffle_files,
        seed=stage["data"]["seed"], consumed_samples=0, consumed_tokens_per_dataset_folder={},
        last_stages_consumed_tokens_per_dataset_folder=dict(consumed),
    )  # fmt: skip
    sampler = MegatronPretrainingSampler(
        total_samples=train_steps * BATCH, consumed_samples=0, micro_batch_size=BATCH, data_parallel_rank=0,
        data_parallel_size=1, drop_last=True, global_batch_size=BATCH,
    )  # fmt: skip
    for samples in islice(sampler, length):
        ids = np.concatenate([np.asarray(data[k]["input_ids"])[:-1] for k in samples])
        data.update_consumption_metrics(samples[0], samples[-1] + 1, LENGTH)
        steps.append({"stage": number, "counts": counts(ids.tolist())})
    for index, tokens in data.consumed_tokens.items():
        folder = data.datasets[index].folder_path
        consumed[folder] = consumed.get(folder, 0) + tokens


def scheduler(stage):
    """Of a launch, with what launch.sh sets, or of the single run."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    optimizer.param_groups[0]["initial_lr"] = 1e-3
    optimizer.get_base_optimizer = lambda: optimizer
    told = {"learning_rate": 1e-3, "lr_warmup_steps": 10, "lr_warmup_style": "linear", "min_decay_lr": 0.0}
    told |= {"lr_decay_style": "cosine"}
    if stage is None:
        return lr_scheduler_builder(optimizer, LRSchedulerArgs(**told), FACTS["steps"])
    merged = yaml.safe_load((OUT / f"merged-{stage}.yaml").read_text())
    told |= merged["optimizer"]["learning_rate_scheduler"]
    return lr_scheduler_builder(optimizer, LRSchedulerArgs(**told), merged["tokens"]["train_steps"])


learning_rates = rates(scheduler, lambda one: one.get_last_lr()[0], lambda one: one.step())
answer(steps, learning_rates=learning_rates)
