"""premix.py with a tokenizer, then what Axolotl makes of the overlay: data set, step count, sampler, learning rate."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import torch
import yaml
from absent import absent
from given import BATCH, FACTS, FOLDER, LANGUAGES, LENGTH, OUT, answer, rates_of_one_launch
from marked import FIRST_ID, tokenizer

tokenizer(FOLDER / "tokenizer", len(LANGUAGES))
premix = [sys.executable, str(OUT / "premix.py"), "--tokenizer", str(FOLDER / "tokenizer")]
subprocess.run(premix, check=True, cwd=FOLDER)
os.chdir(OUT)
absent("triton", "wandb")

from axolotl.core.builders.base import TrainerBuilderBase  # noqa: E402
from axolotl.core.trainers.mixins.scheduler import SchedulerMixin  # noqa: E402
from axolotl.core.training_args import AxolotlTrainingArguments  # noqa: E402
from axolotl.utils.data.shared import create_train_validation_split, merge_datasets  # noqa: E402  reads where it is
from axolotl.utils.data.utils import deduplicate_and_log_datasets  # noqa: E402
from axolotl.utils.data.wrappers import get_dataset_wrapper  # noqa: E402
from axolotl.utils.dict import DictDefault  # noqa: E402
from axolotl.utils.samplers import MultipackBatchSampler  # noqa: E402
from axolotl.utils.trainer import calculate_total_num_steps  # noqa: E402
from datasets import load_dataset  # noqa: E402
from torch.utils.data import SequentialSampler  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

configuration = FOLDER / "config.yaml"  # what would leave out the end, or what is read again, were it not overridden
configuration.write_text("{val_set_size: 0.05, sample_packing_eff_est: 0.97, dataset_exact_deduplication: true}\n")
environ = {**os.environ, "CONFIG": str(configuration), "PYTHON": sys.executable}
subprocess.run(["bash", OUT / "launch.sh", "true"], env=environ, check=True, capture_output=True)
merged = yaml.safe_load((OUT / "merged-0.yaml").read_text())
assert "max_steps" not in merged
cfg = DictDefault(merged | {"micro_batch_size": BATCH, "batch_size": BATCH, "attn_supports_packing": True})
(entry,) = cfg.datasets
rows = load_dataset("json", data_files=entry.path, split="train")
data, _ = get_dataset_wrapper(entry, AutoTokenizer.from_pretrained(FOLDER / "tokenizer"), cfg, "completion", rows)
data = merge_datasets([data], cfg)
if cfg.dataset_exact_deduplication:
    data, _ = deduplicate_and_log_datasets(dataset=data)
if cfg.val_set_size:
    data, _ = create_train_validation_split(data, cfg, cfg.val_set_size)
lengths = np.array([len(ids) for ids in data["input_ids"]])
data = data.add_column("length", lengths)
sampler = MultipackBatchSampler(
    SequentialSampler(data), batch_size=1, batch_max_len=BATCH * LENGTH, lengths=lengths, bin_size=10**6,
    sequential=cfg.sample_packing_sequentially, drop_last=True,
)  # fmt: skip
cfg.total_num_tokens = int(lengths.sum())
total = calculate_total_num_steps(cfg, data, update=False)
ends = [sum(count for _, count in FACTS["phases"][: i + 1]) for i in range(len(FACTS["phases"]))]
steps = []
for number, batch in enumerate(sampler):
    if number >= total:
        break
    found = np.bincount(np.concatenate([data[k]["input_ids"] for one in batch for k in one]), minlength=1000)
    stage = next((i for i, end in enumerate(ends) if number < end), len(ends) - 1)
    steps.append({"stage": stage, "counts": found[: FIRST_ID + len(LANGUAGES)].tolist()})


def scheduler(stage):
    """Of the one launch, with what Axolotl's builder sets for the steps that it counted, or of a single run."""
    horizon = FACTS["steps"] if stage is None else total
    settings = {"max_steps": horizon, "learning_rate": 1e-3, "output_dir": str(FOLDER / "run")}
    settings |= {"use_cpu": True, "bf16": False, "report_to": "none"}
    builder = SimpleNamespace(cfg=cfg)
    TrainerBuilderBase._configure_warmup_and_logging(builder, horizon, settings)
    TrainerBuilderBase._configure_scheduler(builder, settings)
    trainer = SchedulerMixin(torch.nn.Linear(1, 1), AxolotlTrainingArguments(**settings))
    trainer.create_optimizer_and_scheduler(num_training_steps=horizon)
    return trainer.lr_scheduler


answer(steps, learning_rates=rates_of_one_launch(scheduler))
