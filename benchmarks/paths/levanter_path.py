"""Levanter's data configuration read from the YAML, its mixture of cached tokens, and its learning rate.

The caches are written by Levanter's own writer and not by its cluster of workers, which asks for a newer Python.
"""

import asyncio

import draccus
import haliax
import jax
import numpy as np
import yaml
from absent import absent
from given import FACTS, FOLDER, LANGUAGES, LENGTH, OUT, AtStep, answer, documents, rates
from marked import FIRST_ID, tokenizer

absent("rigging.telemetry", "connectrpc", "iris", "zephyr", "fray")
from levanter.data.text.datasets import LmDataConfig  # noqa: E402
from levanter.optim.config import AdamConfig  # noqa: E402
from levanter.schedule import BatchSchedule  # noqa: E402
from levanter.store.cache import SerialCacheWriter  # noqa: E402

tokenizer(FOLDER / "tokenizer", len(LANGUAGES))
for name, i, sizes, _ in documents():
    with SerialCacheWriter(str(FOLDER / "cache" / name / "train"), {"input_ids": np.zeros(0, np.int32)}) as writer:
        rows = [np.full(size, i + FIRST_ID, dtype=np.int32) for size in sizes]
        for row in rows:
            row[-1] = 1
        writer.write_batch([{"input_ids": row} for row in rows])
document = yaml.safe_load((OUT / "mixture.yaml").read_text())
trainer = document["trainer"]
batch, last = trainer["train_batch_size"], trainer["num_train_steps"]
settings = {**document["data"], "tokenizer": str(FOLDER / "tokenizer"), "cache_dir": str(FOLDER / "cache")}
config = draccus.decode(LmDataConfig, settings)
key = jax.random.PRNGKey(trainer["seed"])
data = config.train_set(haliax.Axis("position", LENGTH), BatchSchedule(batch), key=key)


async def read():
    steps = []
    for step in range(last):
        rows = await data.get_batch(list(range(step * batch, (step + 1) * batch)))
        ids = np.concatenate([np.asarray(row.tokens.array) for row in rows])
        steps.append({"step": step, "counts": np.bincount(ids, minlength=FIRST_ID + len(LANGUAGES)).tolist()})
    return steps


steps = asyncio.run(read())


def scheduler(stage):
    """The run's own length is the horizon."""
    end = FACTS["steps"] if stage is None else last
    return AtStep(AdamConfig(learning_rate=1e-3, warmup=10, lr_schedule="cosine", min_lr_ratio=0.0).lr_scheduler(end))


answer(steps, learning_rates=rates(scheduler, AtStep.rate, AtStep.advance))
