"""Five toy languages whose word vectors agree as much as one wishes: planted truth for influence across languages.

A sample is a few words, its class the sign of their summed sentiment. Language l writes word w as
``a s_w + √(1 - a²) o_lw``: a = 1 is one language five times, a = 0 five languages that share a classifier alone.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from glotmix.attribution.samples import Samples
from glotmix.attribution.tracin import Checkpoint

LANGUAGES = tuple("abcde")
WORDS, WIDTH = 60, 24


@dataclass
class Toy:
    train: Samples
    test: Samples


def toy(alignment, *, parallel=True, ids=60, tests=8, seed=0):
    rng = np.random.default_rng(seed)
    shared, own = rng.standard_normal((WORDS, WIDTH)), rng.standard_normal((5, WORDS, WIDTH))
    vectors = alignment * shared + np.sqrt(1 - alignment**2) * own
    sentiment = rng.standard_normal(WORDS)

    def draw(n):
        words = rng.integers(0, WORDS, (n, 5))
        return words, (sentiment[words].sum(1) > 0).astype(int)

    def samples(n, parallel):
        per_language = [draw(n)] * 5 if parallel else [draw(n) for _ in LANGUAGES]
        x = np.concatenate([vectors[i][words].mean(1) for i, (words, _) in enumerate(per_language)])
        y = np.concatenate([labels for _, labels in per_language])
        languages = tuple(name for name in LANGUAGES for _ in range(n))
        inputs = {"x": torch.from_numpy(x).float(), "y": torch.from_numpy(y)}
        return Samples(inputs, languages, tuple(str(i) for i in range(n)) * 5, tuple(y.tolist()))

    return Toy(samples(ids, parallel), samples(tests, True))


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(WIDTH, 16), nn.Tanh(), nn.Linear(16, 2))


def loss(model, batch):
    return nn.functional.cross_entropy(model(batch["x"]), batch["y"], reduction="none")


def trained(train, seed, *, steps=60, keep=(30, 60)):
    """A network after full-batch training, with its checkpoints."""
    model = network(seed)
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    checkpoints = []
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        loss(model, train.inputs).mean().backward()
        optimizer.step()
        if step in keep:
            checkpoints.append(Checkpoint(f"step {step}", {n: t.clone() for n, t in model.state_dict().items()}, 0.03))
    return model, checkpoints


def confidence(model, test):
    with torch.no_grad():
        return torch.exp(-loss(model, test.inputs)).numpy()
