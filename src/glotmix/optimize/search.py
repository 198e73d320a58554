"""Search: mirror descent from many starts, SLSQP to the last digits, a certificate at the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from glotmix.optimize.certificate import Certificate, certify
from glotmix.optimize.composite import Composite
from glotmix.optimize.descent import descend
from glotmix.optimize.objective import Mean
from glotmix.optimize.polish import polish

ENOUGH = 1e-6
"""A gap below this, relative to the objective, counts as converged."""
SMOOTHINGS = (0.1, 0.01)
"""Smoothing of a maximum in the descent, relative to its size: coarse to fine."""
POLISHED = 3
"""How many distinct ends of descents are polished."""
AWAY, MOVES = np.array([1e-4, 1e-3, 1e-2]), 20
"""Tokens that are moved to see whether the optimum of a law with a black box is one, and how often at most."""
TOUCHES = (1e-10, 1e-9, 1e-8, 1e-7)
"""Parts of the most even mixture that are mixed in where a gap is large."""


@dataclass(frozen=True)
class Found:
    """Where a search ended."""

    p_L: np.ndarray
    """The mixture."""
    value: float
    """F there, penalty included."""
    certificate: Certificate
    """How good it is, and the multipliers."""
    agreeing: float
    """Share of the starts that came within 1e-4 of it, relative to its value (a maximum: within its smoothing)."""

    @property
    def status(self) -> str:
        """ "converged", or by how much it may not have."""
        if self.certificate.gap <= ENOUGH * max(abs(self.value), 1e-3):
            return "converged"
        return f"not converged: another mixture may be better by {self.certificate.gap:.3g}"


def search(composite: Composite, starts: Iterable[np.ndarray], *, rounds: int = 3) -> Found:
    """The least F over the limits that was found from ``starts``.

    Every start descends; the best distinct ends are polished; the best of those is certified, and worked on again
    while its gap is too large.
    """
    ends = sorted((_descended(composite, p_L, 60) for p_L in starts), key=lambda end: end[1])
    chosen: list[np.ndarray] = []
    for p_L, _ in ends:
        if all(np.abs(p_L - other).sum() > 0.02 for other in chosen) and len(chosen) < POLISHED:
            chosen.append(p_L)
    polished = [polish(composite, p_L) for p_L in chosen]
    best_L = min(polished, key=composite.value)
    best_L, value, certificate = _finished(composite, best_L, rounds)
    # A smoothed maximum ends up to s ln M above its own minimum.
    margin = 1e-4 if not composite.objective.peak else SMOOTHINGS[-1] * (1 + np.log(len(composite.objective.members)))
    near = [end_value <= value + margin * abs(value) for _, end_value in ends]
    return Found(best_L, value, certificate, float(np.mean(near)))


def _finished(composite: Composite, p_L: np.ndarray, rounds: int) -> tuple[np.ndarray, float, Certificate]:
    """A polished end, worked on while its gap is too large, with its value and certificate."""
    if composite.boxed:
        return probed(composite, p_L)
    for turn in range(rounds):
        p_L, value, certificate = certified(composite, p_L)
        if certificate.gap <= _enough(value) or turn == rounds - 1:
            break
        again_L = _descended(composite, 0.999 * p_L + 0.001 * _centre(composite), 500)[0]
        p_L = min((p_L, polish(composite, again_L)), key=composite.value)
    return p_L, value, certificate


def certified(composite: Composite, p_L: np.ndarray) -> tuple[np.ndarray, float, Certificate]:
    """The mixture, or one that is as good with a smaller gap, with its value and certificate.

    Near a share of zero some slopes have no end (a divergence's is ``ln p``), so that a share of 1e-9 that is a percent
    too small, which no value shows, makes the gap as large as a real fault would. One that is too large by as much does
    not: the most even mixture is added until none is too small.
    """
    value, certificate = composite.value(p_L), certify(composite, p_L)
    enough = _enough(value)
    centre_L = _centre(composite)
    for part in TOUCHES:
        if certificate.gap <= enough:
            break
        touched_L = (1 - part) * p_L + part * centre_L
        if (touched := composite.value(touched_L)) > value + enough:
            break
        other = certify(composite, touched_L)
        if other.gap < certificate.gap:
            p_L, value, certificate = touched_L, touched, other
    return p_L, value, certificate


def probed(composite: Composite, p_L: np.ndarray) -> tuple[np.ndarray, float, Certificate]:
    """From a polished end of a law with a black box to where no move of tokens to one language, or away from one,
    brings anything: a box has minima where a language is left out. The gap is what the best of them would still bring,
    because slopes tell nothing there: at a share of zero they have no end."""
    value = composite.value(p_L)
    for turn in range(MOVES + 1):
        moved_L, moved = _moved(composite, p_L)
        gap = max(value - moved, 0.0)
        if gap <= _enough(value) or turn == MOVES:
            break
        p_L = min((moved_L, polish(composite, moved_L)), key=composite.value)
        value = composite.value(p_L)
    return p_L, value, replace(certify(composite, p_L), gap=gap)


def _enough(value: float) -> float:
    """The gap below which a search goes no further."""
    return 0.1 * ENOUGH * max(abs(value), 1e-3)


def _moved(composite: Composite, p_L: np.ndarray) -> tuple[np.ndarray, float]:
    """The best of the moves that give one language more or fewer tokens, or none, with its value."""
    limits, tried = composite.constraints, []
    for place, share in enumerate(p_L):
        for other in (limits.floor_L[place], *(share - AWAY), *(share + AWAY)):
            if other >= 0:
                moved_L = p_L * (1 - other) / max(1 - share, 1e-12)
                moved_L[place] = other
                tried.append(limits.project(moved_L))
    values = [composite.value(one_L) for one_L in tried]
    best = int(np.argmin(values))
    return tried[best], values[best]


def starting_points(
    composite: Composite, n: int, rng: np.random.Generator, known: Iterable[np.ndarray] = ()
) -> list[np.ndarray]:
    """Allowed mixtures to start from: the most even one, ``known`` ones, and Dirichlet draws up to ``n`` in all.

    Each is mixed with a hundredth of the most even one, because a share of zero would stay zero.
    """
    centre_L = _centre(composite)
    weights = [np.ones(len(centre_L)), *known]
    weights += list(rng.dirichlet(np.ones(len(centre_L)), max(n - len(weights), 0)))
    return [0.99 * composite.constraints.project_kl(np.maximum(w, 1e-9)) + 0.01 * centre_L for w in weights]


def with_own_bests(composite: Composite, rng: np.random.Generator) -> Composite:
    """The same problem, with each counting target's least predicted loss under the limits, where it is asked for."""
    objective = composite.objective
    if not objective.relative or objective.best:
        return composite
    best: dict[str, float] = {}
    for t in objective.members:
        target = objective.targets[t]
        alone = replace(composite, objective=Mean(objective.targets, {target: 1.0}))
        known = [np.array([float(language == target) for language in composite.constraints.languages])]
        best[target] = search(alone, starting_points(composite, 3, rng, known), rounds=1).value
    return replace(composite, objective=objective.with_best(best))


def _descended(composite: Composite, p_L: np.ndarray, steps: int) -> tuple[np.ndarray, float]:
    if not composite.objective.peak:
        end = descend(composite, p_L, steps=steps, tolerance=1e-7)
        return end.p_L, end.value
    size = max(abs(composite.value(p_L)), 1e-3)
    for smoothing in SMOOTHINGS:
        p_L = descend(composite, p_L, steps=steps // 2, tolerance=1e-5, smooth=smoothing * size).p_L
    return p_L, composite.value(p_L)


def _centre(composite: Composite) -> np.ndarray:
    return composite.constraints.project_kl(np.ones(len(composite.constraints.languages)))
