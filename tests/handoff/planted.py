"""A trainer that trains nothing: losses follow from the shares that were asked for, by a planted law and a seed."""

import json
import math
from pathlib import Path

import numpy as np

from glotmix.artifact import creating, write_json
from glotmix.handoff.asked import ASKED, KIND, About, AskedRun, asked_runs

HELP = 0.35
"""What a token of another source is worth to a target."""
SOURCES = ("eng/web", "code", "swh_Latn")
TARGETS = (*SOURCES, "por_Latn")


def losses(asked, targets, noise=0.002):
    """Bits per byte of one run."""
    rng = np.random.default_rng(asked.seed)
    found = {}
    for t, target in enumerate(sorted(targets)):
        own = asked.realised.get(target, 0.0)
        useful = own + HELP * (1 - own) / (1 + t)
        found[target] = (1.0 + 0.1 * t + 0.9 * (useful * asked.D / 1e5 + 0.02) ** -0.3) * math.exp(noise * rng.normal())
    return found


def waiting(handoff):
    return (Path(handoff) / "waiting.txt").read_text().split()


def row_of(asked, about):
    found = losses(asked, about.targets)
    return {"run": asked.full_name, "D": asked.D, **{f"bits_per_byte/{target}": x for target, x in found.items()}}


def train(handoff, runs=None, name="results"):
    """Leave results of the waiting runs, or of some of them, in a table."""
    handoff, about = Path(handoff), About.of(Path(handoff))
    asked = asked_runs(handoff)
    rows = [row_of(asked[full], about) for full in (waiting(handoff) if runs is None else runs)]
    write_csv(handoff / "results" / f"{name}.csv", rows)
    return rows


def write_csv(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    head = list(dict.fromkeys(column for row in rows for column in row))
    lines = [",".join(head), *(",".join(str(row.get(column, "")) for column in head) for row in rows)]
    path.write_text("\n".join([*lines, ""]))


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def run_of(name, shares, seed=0, D=100_000.0, checksum=None):
    """A run that is asked for, without a study around it."""
    checksum = checksum or f"{sum(map(ord, name)) * 2654435761 % 2**32:08x}"
    return AskedRun(
        run=name, checksum=checksum, role="swarm", seed=seed, N=10_000, D=D, C=6e9, steps=100, batch=10,
        sequence_length=100, learning_rate=1e-3, wished=shares, realised=shares, unique=dict.fromkeys(shares, 1e6),
    )  # fmt: skip


def some_runs(count=8):
    """Runs of a swarm over SOURCES."""
    rng = np.random.default_rng(7)
    drawn = rng.dirichlet(np.ones(len(SOURCES)), count)
    runs = [run_of(f"swarm-{i:03}-s0", dict(zip(SOURCES, p.tolist(), strict=True)), i) for i, p in enumerate(drawn)]
    return {run.full_name: run for run in runs}


ABOUT = About(
    "megatron_lm", SOURCES, TARGETS, dict.fromkeys(TARGETS, 4.0) | {"swh_Latn": 3.0}, dict.fromkeys(TARGETS, 4.5)
)


def hand_off(folder, runs=None):
    """A handoff of some runs, as a study leaves it."""
    runs = some_runs() if runs is None else runs
    ABOUT.write(folder)
    for full, run in runs.items():
        with creating(folder / "runs" / full, KIND, {"run": full}) as part:
            write_json(part / ASKED, run.to_json())
    (folder / "results").mkdir()
    return runs
