"""LitData's optimised token chunks, streamed by LitGPT's own training, which litgpt.sh of the export runs."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import torch
from given import BATCH, FACTS, FOLDER, LANGUAGES, LENGTH, OUT, answer, documents
from litdata import TokensLoader
from litdata.streaming.cache import Cache
from marked import FIRST_ID

for _, i, sizes, path in documents():
    Path(path).mkdir(parents=True, exist_ok=True)
    # As large as LitGPT makes them: of every chunk, what is left of the last block is never read.
    cache = Cache(path, chunk_size=(LENGTH + 1) * 8021, item_loader=TokensLoader(block_size=LENGTH + 1))
    for k, size in enumerate(sizes):
        tokens = torch.full((size,), i + FIRST_ID, dtype=torch.int32)
        tokens[-1] = 1
        cache[k] = tokens
    cache.done()
    cache.merge()

size = FIRST_ID + len(LANGUAGES)
model = {"name": "tiny", "block_size": LENGTH, "vocab_size": size, "padded_vocab_size": size, "n_layer": 1,
         "n_head": 1, "n_embd": 8}  # fmt: skip
config = {
    "model_config": model,
    "train": {"micro_batch_size": BATCH, "lr_warmup_steps": 10, "min_lr": 0.0, "max_norm": 1.0, "log_interval": 1000,
              "save_interval": 100_000},
    "eval": {"interval": 100_000, "max_iters": 1},
    "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-3}},
    # Read in the training's own process: with a worker each step waits for another process on a busy machine.
    "data": {"class_path": "for_litgpt.Mixture", "init_args": {"num_workers": 0}},
    "precision": "32-true", "devices": 1, "logger_name": "csv",
}  # fmt: skip
(FOLDER / "litgpt.yaml").write_text(json.dumps(config))
log = FOLDER / "log.jsonl"
counted = [sys.executable, str(Path(__file__).with_name("counted_litgpt.py"))]
environ = {**os.environ, "LITGPT": " ".join(counted), "OUT": str(FOLDER / "run"), "COUNTED": str(log)}
environ |= {"TORCH_COMPILE_DISABLE": "1"}
command = ["bash", str(OUT / "litgpt.sh"), "tiny", "--config", str(FOLDER / "litgpt.yaml")]
done = subprocess.run(command, env=environ, cwd=FOLDER, capture_output=True, text=True)
if done.returncode:
    sys.exit("\n".join((done.stdout + done.stderr).strip().splitlines()[-12:]))
steps = [json.loads(line) for line in log.read_text().splitlines()]
assert [line["step"] for line in steps] == list(range(FACTS["steps"])), "steps are missing or were done twice"
warm, last = 10, FACTS["steps"]
single = [
    1e-3 * (k / warm if k < warm else 0.5 * (1 + math.cos(math.pi * (k - warm) / (last - warm)))) for k in range(last)
]
answer(steps, learning_rates={"stages": [line["rate"] for line in steps], "single": single})
