"""Ablation: which variables explain how well a language does, alone, together, and in pairs.

"A Post-trainer's Guide" (arXiv 2504.16677) claims that no single one does. The outcome here is a language's score over
the pivot's in the same run. Explained is what predicts languages that were left out (one at a time); a variable's part
is its Shapley value, the mean over all orders of what it adds, so that the parts sum to the whole.

Least squares needs nothing of the rows but their products, so those of every run and language are added up once, and a
subset of variables, a left-out language or a resample of the runs is a sum of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np

from glotmix.errors import BadInput
from glotmix.language import Language
from glotmix.posttraining.analysis.curve import Curve, script_of

VARIABLES = ("task", "size", "script", "similarity", "samples")
RIDGE = 1e-6
"""Share of the rows that is added to the diagonal: a level that a left-out language took with it gets no effect."""
TOGETHER = 25
"""Resamples that are computed together."""


@dataclass(frozen=True)
class AblationRow:
    """One language in one run."""

    run: str
    """The run."""
    language: str
    """The language."""
    outcome: float
    """Its score over the pivot's."""
    levels: Mapping[str, str]
    """Level of every variable."""


@dataclass(frozen=True)
class Explained:
    """A share of the variance between left-out languages, with its 95 % interval over resampled runs."""

    value: float
    """1 − squared error / variance; below 0 where it predicts worse than the mean."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""

    def to_json(self) -> dict[str, float]:
        """A plain dict."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Ablation:
    """What explains the outcome."""

    alone: Mapping[str, Explained]
    """Each variable by itself."""
    part: Mapping[str, Explained]
    """Each variable's Shapley value; they sum to ``main``."""
    main: Explained
    """All variables, effects added up."""
    pairs: Explained
    """All variables and all their pairs."""
    interactions: Explained
    """``pairs − main``."""
    beyond_single: Explained
    """The better of ``main`` and ``pairs`` minus the best single variable."""
    best_single: str
    """That variable."""
    rows: int
    """Languages in runs that it is over."""

    @property
    def no_single_one(self) -> bool:
        """Whether the paper's claim is borne out: together they explain more than the best single one does."""
        return self.beyond_single.low > 0

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        parts = ("main", "pairs", "interactions", "beyond_single")
        return {
            "alone": {name: e.to_json() for name, e in self.alone.items()},
            "part": {name: e.to_json() for name, e in self.part.items()},
            **{name: getattr(self, name).to_json() for name in parts},
            "best_single": self.best_single,
            "no_single_one": self.no_single_one,
            "rows": self.rows,
        }


def similarity(language: str, trained: Sequence[str]) -> str:
    """How near a language is to those trained on: itself, kin in one script, kin or script alone, or neither."""
    if language in trained:
        return "trained on"
    own = Language.resolve(language)
    others = [Language.resolve(name) for name in trained]
    if any(o.family == own.family and o.script == own.script for o in others):
        return "family and script"
    return "family or script" if any(o.family == own.family or o.script == own.script for o in others) else "neither"


def rows_of(curves: Sequence[Curve]) -> list[AblationRow]:
    """Every language beside the pivot in every run. At size 0 only the pivot counts as trained on."""
    rows = []
    for curve in curves:
        pivot = curve.languages.index(curve.pivot)
        for i, size in enumerate(curve.sizes):
            trained = (curve.pivot, *(curve.mix if size else ()))
            for s in range(curve.value_NSL.shape[1]):
                run = f"{curve.trained} {curve.base} {'+'.join(curve.mix)} {size} {s}"
                for language in curve.others:
                    value = curve.value_NSL[i, s, curve.languages.index(language)] / curve.value_NSL[i, s, pivot]
                    if np.isfinite(value):
                        levels = {
                            "task": curve.task,
                            "size": curve.base,
                            "script": "Latin" if script_of(language) == "Latn" else "other",
                            "similarity": similarity(language, trained),
                            "samples": "0" if size == 0 else f"2^{round(np.log2(size) / 2) * 2}",
                        }
                        rows.append(AblationRow(run, language, float(value), levels))
    return rows


def ablation(rows: Sequence[AblationRow], rng: np.random.Generator, resamples: int = 200) -> Ablation:
    """Explained variance of every variable, of all and of their pairs.

    Args:
        rows: see :func:`rows_of`.
        rng: draws the resamples of runs.
        resamples: how many.

    Raises:
        BadInput: fewer than three languages or two runs.
    """
    products = _Products(rows)
    R = len(products.runs)
    drawn = [np.ones(R)] + [np.bincount(rng.integers(0, R, R), minlength=R) for _ in range(resamples)]
    parts = [products.explained(np.stack(drawn[i : i + TOGETHER])) for i in range(0, len(drawn), TOGETHER)]
    explained = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    used = products.variables
    best = max(used, key=lambda name: explained[(name,)][0])
    strongest = np.max([explained[(name,)] for name in used], 0)
    whole = np.maximum(explained["pairs"], explained[used])

    return Ablation(
        alone={name: _told(explained[(name,)]) for name in used},
        part={name: _told(_shapley(explained, used, name)) for name in used},
        main=_told(explained[used]),
        pairs=_told(explained["pairs"]),
        interactions=_told(explained["pairs"] - explained[used]),
        beyond_single=_told(whole - strongest),
        best_single=best,
        rows=len(rows),
    )


def _told(value_S: np.ndarray) -> Explained:
    """The value of the data as they are, which come first, and the interval of the resamples."""
    low, high = np.quantile(value_S[1:], [0.025, 0.975]) if len(value_S) > 1 else (np.nan, np.nan)
    return Explained(float(value_S[0]), float(low), float(high))


def _shapley(explained: Mapping[Any, np.ndarray], names: tuple[str, ...], name: str) -> np.ndarray:
    others = [other for other in names if other != name]
    total = np.zeros_like(explained[()])
    for size in range(len(others) + 1):
        weight = factorial(size) * factorial(len(others) - size) / factorial(len(names))
        for subset in combinations(others, size):
            joined = tuple(n for n in names if n in subset or n == name)
            total += weight * (explained[joined] - explained[subset])
    return total


class _Products:
    """Sums of products of the rows of every run and language, over columns [1, variables, pairs, outcome]."""

    def __init__(self, rows: Sequence[AblationRow]):
        self.runs = sorted({row.run for row in rows})
        languages = sorted({row.language for row in rows})
        if len(languages) < 3 or len(self.runs) < 2:
            raise BadInput(
                f"{len(languages)} languages in {len(self.runs)} runs", where="ablation", expected="3 languages, 2 runs"
            )
        levels = {name: sorted({row.levels[name] for row in rows}) for name in VARIABLES}
        self.variables = tuple(name for name in VARIABLES if len(levels[name]) > 1)
        blocks = {
            name: np.array([[row.levels[name] == x for x in levels[name]] for row in rows]) for name in self.variables
        }
        columns: list[np.ndarray] = [np.ones((len(rows), 1))]
        self._of: dict[str, np.ndarray] = {}
        at = 1
        for name, block in blocks.items():
            self._of[name] = np.arange(at, at + block.shape[1])
            columns.append(block.astype(float))
            at += block.shape[1]
        self._main = at
        for one, other in combinations(self.variables, 2):
            pair = (blocks[one][:, :, None] & blocks[other][:, None, :]).reshape(len(rows), -1)
            columns.append(pair[:, pair.any(0)].astype(float))
        columns.append(np.array([[row.outcome] for row in rows]))
        Z_NC = np.hstack(columns)
        self.columns = Z_NC.shape[1]
        language_N = np.array([languages.index(row.language) for row in rows])
        run_N = np.array([self.runs.index(row.run) for row in rows])
        self._G_LRM = np.zeros((len(languages), len(self.runs), self.columns**2), np.float32)
        for place, z in zip(zip(language_N, run_N, strict=True), Z_NC, strict=True):
            self._G_LRM[place] += np.outer(z, z).ravel()

    def explained(self, weight_SR: np.ndarray) -> dict[Any, np.ndarray]:
        """Explained variance, one per row of weights, of every subset of the variables; all with their pairs under
        "pairs"."""
        S, C = len(weight_SR), self.columns
        G_LSCC = np.stack([(weight_SR.astype(np.float32) @ G_RM).reshape(S, C, C) for G_RM in self._G_LRM]).astype(
            float
        )
        result: dict[Any, np.ndarray] = {(): np.zeros(S)}
        for size in range(1, len(self.variables) + 1):
            for subset in combinations(self.variables, size):
                chosen = np.concatenate([[0], *[self._of[name] for name in subset]])
                result[subset] = _left_out(G_LSCC, chosen)
        result["pairs"] = _left_out(G_LSCC, np.arange(C - 1))
        return result


def _left_out(G_LSCC: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """1 − squared error on each language by the fit to the others, over that of the others' mean, [S]."""
    whole, y = G_LSCC.sum(0), G_LSCC.shape[-1] - 1
    error, null = np.zeros(len(whole)), np.zeros(len(whole))
    ridge = RIDGE * np.diag(chosen > 0)
    for G_SCC in G_LSCC:
        rest = whole - G_SCC
        count_S = rest[:, 0, 0]
        A = rest[:, chosen[:, None], chosen] + count_S[:, None, None] * ridge
        b_SC = np.linalg.solve(A, rest[:, chosen, y][..., None])[..., 0]
        own = G_SCC[:, chosen[:, None], chosen]
        error += G_SCC[:, y, y] - 2 * (b_SC * G_SCC[:, chosen, y]).sum(1) + np.einsum("sc,scd,sd->s", b_SC, own, b_SC)
        mean_S = rest[:, 0, y] / count_S
        null += G_SCC[:, y, y] - 2 * mean_S * G_SCC[:, 0, y] + mean_S**2 * G_SCC[:, 0, 0]
    return 1 - error / null
