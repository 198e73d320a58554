"""Conflict: single limits on a mixture, whether some mixture meets them all, and the fewest of them that none does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

TOLERANCE = 1e-9
"""How far a limit may be missed by rounding."""
CLEAR, PATIENCE = 1e-4, 2.0
"""How far limits must miss one another for the integer program to see it, and the seconds that it gets."""


@dataclass(frozen=True)
class Limit:
    """One side of one limit: ``row · p ≥ bound`` (a floor) or ``row · p ≤ bound`` (a ceiling)."""

    row_L: np.ndarray
    """Ones for the languages it is about."""
    bound: float
    """The share it allows."""
    is_floor: bool
    """Whether it is a lower bound."""
    subject: str
    """The language or group."""
    words: str
    """In words, with numbers."""
    by_epochs: bool = False
    """Whether it comes from passes over unique tokens."""

    def slack(self, p_L: np.ndarray) -> float:
        """How far ``p`` is from touching it; negative: how far it is broken."""
        held = float(self.row_L @ p_L)
        return held - self.bound if self.is_floor else self.bound - held


def feasible(limits: Sequence[Limit]) -> bool:
    """Whether a mixture meets all of them, to ``TOLERANCE``."""
    if not limits:
        return True
    A, b_M = _at_most(limits)
    M, L = A.shape
    # A slack variable instead of a feasibility test: the solver's own tolerance (1e-7) would blur our 1e-9.
    found = linprog(
        np.eye(L + 1)[L],
        np.hstack([A, -np.ones((M, 1))]),
        b_M,
        np.array([[1.0] * L + [0.0]]),
        np.ones(1),
        [(0, 1)] * L + [(0, None)],
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10},
    )
    return bool(found.status == 0 and found.fun <= TOLERANCE)


def smallest_conflict(limits: Sequence[Limit]) -> list[Limit]:
    """The fewest of some limits that cannot all hold: by deletion, and where there are groups by an integer program.

    Deletion drops limits, the loosest first, as long as the rest stays in conflict: none of those left could be left
    out. Without groups a conflict is one of three kinds, floors of more than 1, ceilings of less, or a floor above its
    ceiling, and deletion finds the fewest of each. With groups another set may be smaller, and the program looks for
    that; it gets ``PATIENCE`` seconds.
    """
    pools = [[limit for limit in limits if limit.subject == name] for name in sorted({x.subject for x in limits})]
    pools += [[limit for limit in limits if limit.is_floor == floor] for floor in (True, False)]
    sets = [_without_spare(pool) for pool in pools if not feasible(pool)]
    grouped = any(limit.row_L.sum() > 1 for limit in limits)
    if not sets or grouped:
        sets.append(_without_spare(limits))
    if grouped and not feasible(fewest := _fewest(limits)):
        sets.append(fewest)
    return min(sets, key=len)


def _without_spare(limits: Sequence[Limit]) -> list[Limit]:
    conflict = sorted(limits, key=lambda limit: limit.bound if limit.is_floor else 1 - limit.bound)
    for limit in tuple(conflict):
        rest = [other for other in conflict if other is not limit]
        if not feasible(rest):
            conflict = rest
    return conflict


def _fewest(limits: Sequence[Limit]) -> list[Limit]:
    """The limits of the certificate with the fewest of them; none if the program did not end.

    By Farkas' lemma limits ``A p ≤ b`` conflict on the simplex if and only if multipliers ``y ≥ 0`` have
    ``Aᵀy + v ≥ 0`` and ``bᵀy + v < 0`` for some v; those with the fewest ``y > 0`` name the smallest set. Source:
    Parker & Ryan, Finding the minimum weight IIS cover (1996).
    """
    A, b_M = _at_most(limits)
    M, L = A.shape
    # Variables: y, whether y > 0, v.
    certifies = LinearConstraint(np.hstack([A.T, np.zeros((L, M)), np.ones((L, 1))]), 0, np.inf)
    conflicts = LinearConstraint(np.concatenate([b_M, np.zeros(M), [1.0]]), -np.inf, -CLEAR)
    counted = LinearConstraint(np.hstack([np.eye(M), -np.eye(M), np.zeros((M, 1))]), -np.inf, 0)
    is_count = np.concatenate([np.zeros(M), np.ones(M), [0.0]])
    found = milp(
        is_count,
        constraints=[certifies, conflicts, counted],
        integrality=is_count,
        bounds=Bounds(np.append(np.zeros(2 * M), -M), np.append(np.ones(2 * M), M)),
        options={"time_limit": PATIENCE},
    )
    if found.x is None:
        return []
    return [limit for limit, chosen in zip(limits, found.x[M : 2 * M] > 0.5, strict=True) if chosen]


def _at_most(limits: Sequence[Limit]) -> tuple[np.ndarray, np.ndarray]:
    """``A p ≤ b``, [M, L] and [M]."""
    sign_M = np.array([-1.0 if limit.is_floor else 1.0 for limit in limits])
    return sign_M[:, None] * np.array([limit.row_L for limit in limits]), sign_M * [limit.bound for limit in limits]
