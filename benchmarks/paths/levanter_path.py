"""Levanter's data configuration read from the YAML or made by Marin's module, its mixture of cached tokens, its rate.

The caches are written by Levanter's own writer and not by its cluster of workers, which asks for a newer Python.
"""

import asyncio
from types import SimpleNamespace

import draccus
import haliax
import jax
import numpy as np
import yaml
from absent import absent, without_aliases
from given import FACTS, FOLDER, LANGUAGES, LENGTH, OUT, AtStep, answer, documents, module, rates
from marked import FIRST_ID, tokenizer

absent("rigging.telemetry", "connectrpc", "iris", "zephyr", "fray", "dupekit")
without_aliases("marin.execution.artifact")
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


def of_levanter():
    """Configuration, batch, steps and seed of the YAML."""
    document = yaml.safe_load((OUT / "mixture.yaml").read_text())
    trainer = document["trainer"]
    settings = {**document["data"], "tokenizer": str(FOLDER / "tokenizer"), "cache_dir": str(FOLDER / "cache")}
    config = draccus.decode(LmDataConfig, settings)
    return config, trainer["train_batch_size"], trainer["num_train_steps"], trainer["seed"]


def of_marin():
    """The same of the Python module, through Marin's own handles and mixture(); the caches are there already."""
    from levanter.data.text.datasets import UrlDatasetSourceConfig
    from marin.processing.tokenize.data_configs import dataset_component
    from marin.processing.tokenize.tokenize import TokenizedCache

    class Cache(TokenizedCache):
        @property
        def tokenizer(self):
            return str(FOLDER / "tokenizer")

        def as_component(self):
            return dataset_component(UrlDatasetSourceConfig(cache_dir=self.path))

    mixture = module()
    datasets = mixture.handles(str(FOLDER / "tokenizer"), version="2026.11.30")
    of_handle = {handle.name: str(FOLDER / "cache" / name) for name, handle in datasets.items()}
    ctx = SimpleNamespace(is_fingerprint=False, resolved=lambda handle: Cache(path=of_handle[handle.name]))
    return mixture.data(ctx, datasets), mixture.TRAIN_BATCH_SIZE, mixture.NUM_TRAIN_STEPS, mixture.SEED


config, batch, last, seed = of_marin() if FACTS["exporter"] == "marin" else of_levanter()
key = jax.random.PRNGKey(seed)
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
