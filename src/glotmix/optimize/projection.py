"""Projections on {Σ p = 1, floor ≤ p ≤ ceiling, low ≤ group sums ≤ high}: the nearest point, and the proportional one.

Both have the form ``p_l = clip(h(z_l + Σ_{rows r of l} v_r), floor_l, ceiling_l)``, with one number v per row
(row 0 is the sum over all languages): h is the identity and z the point for the Euclidean projection, h is exp
and z the log of the weights for the Kullback–Leibler one. The v maximise a concave dual. Each is solved exactly by its
breakpoints in turn (Hildreth 1957, Bregman 1967), which needs one step without groups; with groups, Newton steps on the
dual in between make the end fast. Groups without common members leave one number to find.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.optimize import brentq

ROUNDS = 300
"""Most rounds over the rows; disjoint groups take a handful."""
EXACT, CLOSE = 1e-13, 1e-10
"""How well the rows are met: by :func:`nearest`, and by :func:`proportional`, which a search calls at every step."""
TINY = 1e-300


@dataclass(frozen=True)
class _Geometry(ABC):
    floor_L: np.ndarray
    ceiling_L: np.ndarray
    only_positive: ClassVar[bool]
    """Whether h is above 0 everywhere."""

    @abstractmethod
    def forward(self, z_L: np.ndarray) -> np.ndarray:
        """h, not clipped."""

    @abstractmethod
    def backward(self, p_L: np.ndarray) -> np.ndarray:
        """The inverse of h."""

    @abstractmethod
    def closed(self, z_L: np.ndarray, total: float) -> float:
        """The c with ``Σ h(z + c) = total``."""

    @abstractmethod
    def slope(self, p_L: np.ndarray) -> np.ndarray:
        """h' at the point where h is p."""

    @abstractmethod
    def cost(self, p_L: np.ndarray) -> np.ndarray:
        """The integral of the inverse of h from 0 to p."""

    def point(self, z_L: np.ndarray) -> np.ndarray:
        return np.asarray(np.clip(self.forward(z_L), self.floor_L, self.ceiling_L))


@dataclass(frozen=True)
class _Euclidean(_Geometry):
    only_positive = False

    def forward(self, z_L: np.ndarray) -> np.ndarray:
        return z_L

    def backward(self, p_L: np.ndarray) -> np.ndarray:
        return p_L

    def closed(self, z_L: np.ndarray, total: float) -> float:
        return (total - float(z_L.sum())) / len(z_L)

    def slope(self, p_L: np.ndarray) -> np.ndarray:
        return np.ones(len(p_L))

    def cost(self, p_L: np.ndarray) -> np.ndarray:
        return 0.5 * p_L**2


@dataclass(frozen=True)
class _Entropic(_Geometry):
    only_positive = True

    def forward(self, z_L: np.ndarray) -> np.ndarray:
        return np.asarray(np.exp(np.minimum(z_L, 1.0)))  # shares above e are clipped anyway; more would overflow

    def backward(self, p_L: np.ndarray) -> np.ndarray:
        return np.asarray(np.log(np.maximum(p_L, TINY)))

    def closed(self, z_L: np.ndarray, total: float) -> float:
        top = float(z_L.max())
        return float(np.log(max(total, TINY) / np.exp(z_L - top).sum())) - top

    def slope(self, p_L: np.ndarray) -> np.ndarray:
        return p_L

    def cost(self, p_L: np.ndarray) -> np.ndarray:
        return np.asarray(p_L * np.log(np.maximum(p_L, TINY)) - p_L)


def nearest(
    x_L: np.ndarray,
    floor_L: np.ndarray,
    ceiling_L: np.ndarray,
    rows_GL: np.ndarray,
    low_G: np.ndarray,
    high_G: np.ndarray,
) -> np.ndarray:
    """The point of the (non-empty) set with the least Euclidean distance to ``x``, [L]."""
    return _project(_Euclidean(floor_L, ceiling_L), np.asarray(x_L, dtype=float), rows_GL, low_G, high_G, EXACT)


def proportional(
    weight_L: np.ndarray,
    floor_L: np.ndarray,
    ceiling_L: np.ndarray,
    rows_GL: np.ndarray,
    low_G: np.ndarray,
    high_G: np.ndarray,
) -> np.ndarray:
    """The point of the (non-empty) set with the least ``KL(p ‖ weights)``, [L]; weights need not sum to one."""
    z_L = np.log(np.maximum(weight_L, TINY))
    return _project(_Entropic(floor_L, ceiling_L), z_L, rows_GL, low_G, high_G, CLOSE)


def _project(
    geometry: _Geometry, z_L: np.ndarray, rows_GL: np.ndarray, low_G: np.ndarray, high_G: np.ndarray, error: float
) -> np.ndarray:
    everything = np.ones(len(z_L), dtype=bool)
    z_L = z_L + _level(geometry, z_L, everything, 1.0)
    p_L = geometry.point(z_L)
    if not len(rows_GL) or _misses(p_L, rows_GL, low_G, high_G) <= 0:
        return p_L
    if (rows_GL.sum(axis=0) <= 1).all():
        return _disjoint(geometry, z_L, rows_GL, low_G, high_G)
    rows_RL = np.vstack([np.ones(len(z_L)), rows_GL])
    low_R, high_R = np.append(1.0, low_G), np.append(1.0, high_G)
    v_R = np.zeros(len(rows_RL))
    for _ in range(ROUNDS):
        for r in range(len(v_R)):
            v_R[r] = _solved_row(geometry, z_L, rows_RL, v_R, r, low_R[r], high_R[r])
        if _error(geometry, z_L, rows_RL, v_R, low_R, high_R) <= error:
            break
        v_R = _newton(geometry, z_L, rows_RL, v_R, low_R, high_R)
        if _error(geometry, z_L, rows_RL, v_R, low_R, high_R) <= error:
            break
    return geometry.point(z_L + v_R @ rows_RL)


def _error(
    geometry: _Geometry, z_L: np.ndarray, rows_RL: np.ndarray, v_R: np.ndarray, low_R: np.ndarray, high_R: np.ndarray
) -> float:
    """The most that a row misses what it must sum to, given the side on which it pushes."""
    sums_R = rows_RL @ geometry.point(z_L + v_R @ rows_RL)
    aim_R = np.where(v_R > 0, low_R, np.where(v_R < 0, high_R, np.clip(sums_R, low_R, high_R)))
    return float(np.abs(sums_R - aim_R).max())


def _disjoint(
    geometry: _Geometry, z_L: np.ndarray, rows_GL: np.ndarray, low_G: np.ndarray, high_G: np.ndarray
) -> np.ndarray:
    """Groups without common members: given the v of the whole sum, a group's sum is what it would be, clipped.

    So one number is left to find, at which the clipped sums and the languages outside all groups add up to 1.
    """
    alone_L = rows_GL.sum(axis=0) == 0
    low_G = np.maximum(low_G, rows_GL @ geometry.floor_L)
    high_G = np.minimum(high_G, rows_GL @ geometry.ceiling_L)

    def excess(c: float) -> float:
        p_L = geometry.point(z_L + c)
        return float(np.clip(rows_GL @ p_L, low_G, high_G).sum() + p_L[alone_L].sum()) - 1

    ends = np.concatenate([geometry.backward(geometry.floor_L) - z_L, geometry.backward(geometry.ceiling_L) - z_L])
    lowest, highest = float(ends.min()), float(ends.max())
    if excess(lowest) >= 0:
        c = lowest
    elif excess(highest) <= 0:
        c = highest
    else:
        c = float(brentq(excess, lowest, highest, xtol=1e-15, rtol=1e-15, maxiter=500))
    c_L = np.full(len(z_L), c)
    sums_G = rows_GL @ geometry.point(z_L + c)
    for row_L, held, low, high in zip(rows_GL > 0, sums_G, low_G, high_G, strict=True):
        if not low <= held <= high:
            c_L[row_L] = _level(geometry, z_L, row_L, float(low if held < low else high))
    return geometry.point(z_L + c_L)


def _misses(p_L: np.ndarray, rows_RL: np.ndarray, low_R: np.ndarray, high_R: np.ndarray) -> float:
    sums_R = rows_RL @ p_L
    return float(np.maximum(low_R - sums_R, sums_R - high_R).max())


def _solved_row(
    geometry: _Geometry, z_L: np.ndarray, rows_RL: np.ndarray, v_R: np.ndarray, r: int, low: float, high: float
) -> float:
    """The best v of one row, the others held."""
    members = rows_RL[r] > 0
    without_L = z_L + v_R @ rows_RL - v_R[r] * rows_RL[r]
    held = float(geometry.point(without_L)[members].sum())
    if low <= held <= high:
        return 0.0
    return _level(geometry, without_L, members, low if held < low else high)


def _level(geometry: _Geometry, z_L: np.ndarray, members: np.ndarray, total: float) -> float:
    """The c for which the members' ``clip(h(z + c))`` sum to ``total``, or the nearest that makes a difference."""
    z_L, floor_L, ceiling_L = z_L[members], geometry.floor_L[members], geometry.ceiling_L[members]
    leave_L = geometry.backward(floor_L) - z_L  # above this c a language leaves its floor
    reach_L = geometry.backward(ceiling_L) - z_L  # from this c on it stays at its ceiling

    def within(c: float) -> tuple[float, np.ndarray]:
        """The c that is right if every language is at its floor (0), free (1) or at its ceiling (2) as at ``c``."""
        state_L = (c >= leave_L).astype(int) + (c >= reach_L)
        free_L = state_L == 1
        left = total - float(floor_L[state_L == 0].sum() + ceiling_L[state_L == 2].sum())
        if not free_L.any() or (left <= 0 and geometry.only_positive):  # exp is never 0: this c is as near as any
            return c, state_L
        return geometry.closed(z_L[free_L], left), state_L

    c, state_L = geometry.closed(z_L, total), np.zeros(0, dtype=int)
    for _ in range(6):  # most often the states settle at once
        next_c, next_L = within(c)
        settled = np.array_equal(next_L, state_L) and (state_L == 1).any()
        if settled and abs(float(np.clip(geometry.forward(z_L + next_c), floor_L, ceiling_L).sum()) - total) <= EXACT:
            return next_c
        c, state_L = next_c, next_L
    knots = np.sort(np.concatenate([leave_L, reach_L]))
    low, high = 0, len(knots)
    while high - low > 1:
        middle = (low + high) // 2
        held = np.clip(geometry.forward(z_L + knots[middle]), floor_L, ceiling_L).sum()
        low, high = (middle, high) if held <= total else (low, middle)
    return within(float(knots[low]))[0]


def _newton(
    geometry: _Geometry, z_L: np.ndarray, rows_RL: np.ndarray, v_R: np.ndarray, low_R: np.ndarray, high_R: np.ndarray
) -> np.ndarray:
    """One damped Newton step on the rows that push: the best of a few lengths, if the dual grows.

    The damping is small on purpose: where the free languages do not determine the v (a singular Hessian), the dual
    grows linearly until another language comes free, and the step must be long enough to get there.
    """
    p_L = geometry.point(z_L + v_R @ rows_RL)
    pushing = v_R != 0
    free_L = (p_L > geometry.floor_L) & (p_L < geometry.ceiling_L)
    rows = rows_RL[pushing][:, free_L]
    hessian = (rows * geometry.slope(p_L[free_L])) @ rows.T
    hessian += 1e-9 * max(float(np.trace(hessian)), 1e-3) * np.eye(len(hessian))
    miss_R = (np.where(v_R > 0, low_R, high_R) - rows_RL @ p_L)[pushing]
    step = np.linalg.solve(hessian, miss_R)

    def moved(length: float) -> np.ndarray:
        next_R = v_R.copy()
        next_R[pushing] += length * step
        next_R[(next_R * v_R < 0) & (low_R < high_R)] = 0.0
        return next_R

    # Near the end the dual grows by less than its rounding; the rows themselves are still exact enough to judge by.
    error, next_R = _error(geometry, z_L, rows_RL, v_R, low_R, high_R), moved(1.0)
    if error < 1e-4 and _error(geometry, z_L, rows_RL, next_R, low_R, high_R) < 0.1 * error:
        return next_R
    best_R, best = v_R, _dual(geometry, z_L, rows_RL, v_R, low_R, high_R)
    for length in 4.0 ** -np.arange(16):
        next_R = moved(length)
        grown = _dual(geometry, z_L, rows_RL, next_R, low_R, high_R)
        if grown > best:
            best_R, best = next_R, grown
        elif best_R is not v_R:
            break
    return best_R


def _dual(
    geometry: _Geometry, z_L: np.ndarray, rows_RL: np.ndarray, v_R: np.ndarray, low_R: np.ndarray, high_R: np.ndarray
) -> float:
    s_L = z_L + v_R @ rows_RL
    p_L = geometry.point(s_L)
    pushed = np.where(v_R > 0, v_R * low_R, v_R * high_R).sum()
    return float((geometry.cost(p_L) - s_L * p_L).sum() + pushed)
