"""premix.py with a tokenizer, then Axolotl's own reading of the overlay: its data set, its step count, its sampler."""

import os
import subprocess
import sys

import numpy as np
import yaml
from given import BATCH, FACTS, FOLDER, LANGUAGES, LENGTH, OUT, answer
from marked import FIRST_ID, tokenizer

tokenizer(FOLDER / "tokenizer", len(LANGUAGES))
premix = [sys.executable, str(OUT / "premix.py"), "--tokenizer", str(FOLDER / "tokenizer")]
subprocess.run(premix, check=True, cwd=FOLDER)
os.chdir(OUT)

from axolotl.utils.data.shared import merge_datasets  # noqa: E402  reads the working directory
from axolotl.utils.data.wrappers import get_dataset_wrapper  # noqa: E402
from axolotl.utils.dict import DictDefault  # noqa: E402
from axolotl.utils.samplers import MultipackBatchSampler  # noqa: E402
from axolotl.utils.trainer import calculate_total_num_steps  # noqa: E402
from datasets import load_dataset  # noqa: E402
from torch.utils.data import SequentialSampler  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

overlay = yaml.safe_load((OUT / "mixture.yaml").read_text())
assert "max_steps" not in overlay
cfg = DictDefault(overlay | {"micro_batch_size": BATCH, "batch_size": BATCH, "attn_supports_packing": True})
(entry,) = cfg.datasets
rows = load_dataset("json", data_files=entry.path, split="train")
data, _ = get_dataset_wrapper(entry, AutoTokenizer.from_pretrained(FOLDER / "tokenizer"), cfg, "completion", rows)
data = merge_datasets([data], cfg)
lengths = np.array([len(ids) for ids in data["input_ids"]])
data = data.add_column("length", lengths)
sampler = MultipackBatchSampler(
    SequentialSampler(data), batch_size=1, batch_max_len=BATCH * LENGTH, lengths=lengths, bin_size=10**6,
    sequential=cfg.sample_packing_sequentially, drop_last=True,
)  # fmt: skip
total = calculate_total_num_steps(cfg, data, update=False)
ends = [sum(count for _, count in FACTS["phases"][: i + 1]) for i in range(len(FACTS["phases"]))]
steps = []
for number, batch in enumerate(sampler):
    if number >= total:
        break
    found = np.bincount(np.concatenate([data[k]["input_ids"] for one in batch for k in one]), minlength=1000)
    stage = next((i for i, end in enumerate(ends) if number < end), len(ends) - 1)
    steps.append({"stage": stage, "counts": found[: FIRST_ID + len(LANGUAGES)].tolist()})
answer(steps)
