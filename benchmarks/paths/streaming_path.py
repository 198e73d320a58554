"""MosaicML's streams of fixed-length sequences through LLM-Foundry's data set, and Composer's learning rate."""

import sys
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import numpy as np
import torch
import yaml
from absent import absent
from given import BATCH, FACTS, LENGTH, OUT, AtStep, answer, documents, rates
from marked import FIRST_ID

absent("torchvision", classes=True)
absent("mcli")
from streaming import MDSWriter  # noqa: E402

# Of LLM-Foundry its text data alone: models and evaluation, which its package starts with, want kernels.
(place,) = find_spec("llmfoundry").submodule_search_locations
for name, path in (("llmfoundry", place), ("llmfoundry.data", f"{place}/data")):
    sys.modules[name] = ModuleType(name)
    sys.modules[name].__path__ = [path]
absent("llmfoundry.registry", "llmfoundry.utils", "datasets")
from llmfoundry.data.text_data import StreamingTextDataset, build_streams  # noqa: E402

for _, i, sizes, path in documents():
    tokens = np.full(sum(sizes), i + FIRST_ID, dtype=np.int32)
    tokens[np.cumsum(sizes) - 1] = 1
    with MDSWriter(out=path, columns={"tokens": f"ndarray:int32:{LENGTH}"}) as writer:
        for start in range(0, len(tokens) - LENGTH + 1, LENGTH):
            writer.write({"tokens": tokens[start : start + LENGTH]})

steps, overlays = [], []
for stage, (_, length) in enumerate(FACTS["phases"]):
    overlays.append(yaml.safe_load((OUT / f"mixture-{stage}.yaml").read_text()))
    options = dict(overlays[-1]["train_loader"]["dataset"])
    streams = build_streams(options.pop("streams"))
    data = StreamingTextDataset(None, streams=streams, batch_size=BATCH, num_canonical_nodes=1, **options)
    found, batches = np.zeros(1000, dtype=int), 0
    for batch in torch.utils.data.DataLoader(data, batch_size=BATCH, drop_last=True):
        found += np.bincount(np.asarray(batch).ravel(), minlength=1000)
        batches += 1
    assert batches == length, f"stage {stage} has {batches} steps, not {length}"
    steps.append({"stage": stage, "counts": found[: FIRST_ID + len(FACTS["languages"])].tolist()})


def scheduler(stage):
    """The cosine schedule with warm-up with the overlay's t_max; the single run's ends with max_duration."""
    from composer.core import Time, Timestamp
    from composer.optim import CosineAnnealingWithWarmupScheduler

    last = f"{FACTS['steps']}ba" if stage is None else overlays[stage]["max_duration"]
    t_max = "1dur" if stage is None else overlays[stage]["scheduler"]["t_max"]
    schedule = CosineAnnealingWithWarmupScheduler(t_warmup="10ba", t_max=t_max)

    def at(step):
        duration = Time.from_timestring(last)
        return schedule(SimpleNamespace(timestamp=Timestamp(batch=step), max_duration=duration, dataloader_len=None))

    return AtStep(at)


answer(steps, learning_rates=rates(scheduler, AtStep.rate, AtStep.advance))
