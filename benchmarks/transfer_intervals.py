"""Do the intervals of Shapley values hold, all of a matrix at once, and does noise alone name helpers?

Planted losses of every coalition (or of some, for the estimated values), several seeds, many tables of each kind:

    python benchmarks/transfer_intervals.py --tables 200
    python benchmarks/transfer_intervals.py --first 5000    other tables: the seeds from 5000 on

prints for each kind the share of tables in which every true value lies in its interval, and every true mean interaction
of a pair (of complete games), the share of single values that do, the median half-width over the true spread of values,
and the share of tables of which a page would name a helper between different languages. Raw:
benchmarks/results/transfer_intervals.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glotmix.measurements import Measurements
from glotmix.mixture.design import spread_coalitions
from glotmix.report.evidence import Evidence
from glotmix.report.frames.transfer import finding
from glotmix.transfer.game import Game, game_from, members
from glotmix.transfer.interactions import mean_interactions
from glotmix.transfer.matrix import TransferMatrix
from glotmix.transfer.measured import estimated, values_of_runs
from glotmix.transfer.shapley import exact

RESULTS = Path(__file__).parent / "results"
Loss = Callable[[np.ndarray], np.ndarray]
"""From shares [R, L] to losses [R, T] without noise."""


@dataclass(frozen=True)
class Kind:
    """A kind of table."""

    languages: int
    """Players; the targets are the same languages and ``outside`` more."""
    outside: int
    """Targets that no run trains on."""
    seeds: int
    """Runs of each coalition."""
    noise: float
    """Standard deviation of the log of a loss where the target was trained on; differs by target up to twofold."""
    absent: float = 1.0
    """How many times noisier it is where the target was not."""
    shared: float = 0.0
    """Part of the variance that is common to all targets of a run."""
    transfer: bool = True
    """Whether there is any transfer between different languages."""
    sampled: int | None = None
    """Coalitions that are run; None: every one."""
    given: bool = False
    """Whether the loss of the empty coalition is told."""


KINDS = {
    "two seeds": Kind(4, 1, 2, 0.01),
    "three seeds, absent targets four times noisier": Kind(4, 1, 3, 0.01, absent=4),
    "noise common to all targets": Kind(4, 1, 3, 0.01, absent=3, shared=0.8),
    "noise common to all targets, two seeds": Kind(4, 0, 2, 0.01, absent=3, shared=0.8),
    "six languages, two seeds": Kind(6, 2, 2, 0.01, absent=3, shared=0.3),
    "three languages, two seeds": Kind(3, 0, 2, 0.01, absent=2),
    "empty coalition given": Kind(4, 1, 2, 0.01, absent=3, given=True),
    "no transfer": Kind(4, 0, 2, 0.01, transfer=False),
    "no transfer, absent targets four times noisier": Kind(5, 0, 3, 0.01, absent=4, transfer=False),
    "no transfer, noise common to all targets": Kind(4, 0, 3, 0.01, absent=3, shared=0.8, transfer=False),
    "no transfer, one seed": Kind(4, 0, 1, 0.01, absent=3, transfer=False),
    "estimated: 32 of 255 coalitions": Kind(8, 0, 1, 0.01, absent=3, sampled=32),
    "estimated: 16 of 63 coalitions, two seeds": Kind(6, 0, 2, 0.01, absent=3, sampled=16),
    "estimated, no transfer": Kind(6, 0, 1, 0.01, absent=3, sampled=24, transfer=False),
}


def planted(kind: Kind, rng: np.random.Generator) -> Loss:
    """Log of an effective share; without transfer a target's loss depends on its own share alone."""
    L, T = kind.languages, kind.languages + kind.outside
    help_TL = np.exp(rng.normal(-2.5, 1.2, (T, L))) * kind.transfer
    help_TL[np.arange(L), np.arange(L)] = 1
    base_T, slope_T = rng.uniform(1, 3, T), rng.uniform(0.05, 0.2, T)
    return lambda p_RL: base_T * (1 - slope_T * np.log(p_RL @ help_TL.T + 0.02))


def table(kind: Kind, loss: Loss, rng: np.random.Generator) -> Measurements:
    """Runs of one table."""
    L, T = kind.languages, kind.languages + kind.outside
    inside = members(L)[1:] if kind.sampled is None else spread_coalitions(L, kind.sampled, rng)
    inside = np.repeat(inside, kind.seeds, axis=0)
    p_RL = inside / inside.sum(axis=1, keepdims=True)
    present_RT = np.hstack([inside, np.zeros((len(inside), kind.outside), dtype=bool)])
    scale_RT = kind.noise * rng.uniform(0.7, 1.4, T) * np.where(present_RT, 1, kind.absent)
    own, common = rng.normal(size=(len(inside), T)), rng.normal(size=(len(inside), 1))
    noise_RT = scale_RT * (np.sqrt(1 - kind.shared) * own + np.sqrt(kind.shared) * common)
    names, R = tuple(f"l{i}" for i in range(T)), len(inside)
    known, seeds = np.full(R, 1e8), np.tile(np.arange(kind.seeds), R // kind.seeds)
    runs = tuple(f"r{r}" for r in range(R))
    losses = loss(p_RL) * np.exp(noise_RT)
    return Measurements(runs, names[:L], names, p_RL, losses, known, known, seeds, ("",) * R)


def truth(kind: Kind, loss: Loss) -> tuple[np.ndarray, dict[str, float]]:
    """True values, and the true loss of the empty coalition: the mean of models of one other language."""
    game = true_game(kind, loss)
    empty = dict(zip(game.targets, (loss_of_nobody(kind, loss)).tolist(), strict=True))
    return exact(game).value_TL, empty


def loss_of_nobody(kind: Kind, loss: Loss) -> np.ndarray:
    """Mean true loss [T] of models of one other language."""
    L, T = kind.languages, kind.languages + kind.outside
    single_LT = loss(np.eye(L))
    return np.array([single_LT[np.arange(L) != t, t].mean() for t in range(T)])


def true_game(kind: Kind, loss: Loss) -> Game:
    """The game without noise."""
    L, T = kind.languages, kind.languages + kind.outside
    inside = members(L)
    loss_CT = loss(np.where(inside.any(axis=1)[:, None], inside / np.maximum(inside.sum(axis=1), 1)[:, None], 1 / L))
    loss_CT[0] = empty_T = loss_of_nobody(kind, loss)
    names = tuple(f"l{i}" for i in range(T))
    return Game(names[:L], names, empty_T - loss_CT)


def values(kind: Kind, runs: Measurements, empty: dict[str, float]) -> TransferMatrix:
    asked = {target: empty[target] if kind.given else None for target in runs.targets}
    return values_of_runs(runs, asked) if kind.sampled is None else estimated(runs, asked)


def pairs_covered(kind: Kind, loss: Loss, runs: Measurements, empty: dict[str, float]) -> bool | None:
    """Whether every true mean interaction of a pair lies in its interval; None where there are none."""
    if kind.sampled is not None:
        return None
    asked = {target: empty[target] if kind.given else None for target in runs.targets}
    found = mean_interactions(game_from(runs, asked), runs.languages)
    if found.low_TL is None or found.high_TL is None:
        return None
    true_LL, near = mean_interactions(true_game(kind, loss), runs.languages).value_TL, 1e-12
    return bool(((found.low_TL <= true_LL + near) & (true_LL - near <= found.high_TL)).all())


def helper_named(matrix: TransferMatrix) -> bool:
    """Whether the page says that one language helps another."""
    said = finding(Evidence("t"), matrix)
    return " helps " in said and not said.startswith("No ")


def judged(kind: Kind, tables: int, first: int = 0, *, pairs_too: bool = True) -> dict[str, float]:
    """Figures over so many tables; those of the pairs take half of the time."""
    every, single, pairs, widths, named, known = [], [], [], [], [], 0
    for seed in range(first, first + tables):
        rng = np.random.default_rng([seed, kind.languages, kind.seeds])
        loss = planted(kind, rng)
        value_TL, empty = truth(kind, loss)
        found = values(kind, runs := table(kind, loss, rng), empty)
        named.append(helper_named(found))
        if found.low_TL is None or found.high_TL is None:
            continue
        known += 1
        if pairs_too:
            pairs.append(pairs_covered(kind, loss, runs, empty))
        inside_TL = (found.low_TL <= value_TL) & (value_TL <= found.high_TL)
        every.append(inside_TL.all())
        single.append(inside_TL.mean())
        widths.append(np.median(found.high_TL - found.low_TL) / 2 / value_TL.std())
    mean = lambda x: float(np.mean(x)) if x else float("nan")  # noqa: E731
    return {
        "tables": tables,
        "first": first,
        "with intervals": known,
        "all values covered": mean(every),
        "all pairs covered": mean([one for one in pairs if one is not None]),
        "single values covered": mean(single),
        "half-width / spread of values": float(np.median(widths)) if widths else float("nan"),
        "helper named": mean(named),
    }


def shown(kept: dict[str, dict[str, float | None]]) -> str:
    """The figures as a table."""
    lines = [
        "| kind | tables | all values covered | all pairs covered | half-width / spread of values | a helper named |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in kept.items():
        covered, width = row["all values covered"], row["half-width / spread of values"]
        told = ["no intervals" if covered is None else f"{covered:.3f}", "" if width is None else f"{width:.2f}"]
        known = row.get("all pairs covered")
        pairs = "" if known is None else f"{known:.3f}"
        named = "" if KINDS[name].transfer else f"{row['helper named']:.3f}"
        lines.append(f"| {name} | {row['tables']:.0f} | {told[0]} | {pairs} | {told[1]} | {named} |")
    return "\n".join(lines)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tables", type=int, default=200)
    arguments.add_argument("--first", type=int, default=0, help="seed of the first table")
    arguments.add_argument("--kinds", nargs="*", default=list(KINDS))
    arguments.add_argument("--out", type=Path, default=RESULTS / "transfer_intervals.json")
    arguments.add_argument("--show", action="store_true", help="Print the table of the kept results.")
    asked = arguments.parse_args()
    if asked.show:
        print(shown(json.loads(asked.out.read_text())))
        return
    kept = json.loads(asked.out.read_text()) if asked.out.exists() else {}
    for name in asked.kinds:
        kept[name] = judged(KINDS[name], asked.tables, asked.first)
        print(f"{name}: " + ", ".join(f"{key} {value:.3g}" for key, value in kept[name].items()), flush=True)
        readable = {k: {n: None if x is None or x != x else round(x, 4) for n, x in v.items()} for k, v in kept.items()}
        asked.out.write_text(json.dumps(readable, indent=1) + "\n")


if __name__ == "__main__":
    main()
