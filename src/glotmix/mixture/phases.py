"""Phases: the mixtures of runs that were not the same from start to end, and how the learning rate ran through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule, Stage
from glotmix.notebook import Brief

MOST_PHASES = 4
"""Stages of a run up to which its table has them; a mixture that changes all the time is known by its average."""
SMALL = 1e-4
"""|λ Δ| below which the Langevin function is its series, exact to rounding."""


def check_boundaries(boundaries: Sequence[float] | None, phases: int) -> None:
    """Whether there is one boundary between any two phases, in their order.

    Raises:
        ValueError: there is not.
    """
    if boundaries is not None and (len(boundaries) != phases - 1 or sorted(set(boundaries)) != list(boundaries)):
        raise ValueError(f"boundaries {list(boundaries)} of {phases} phases; expected {phases - 1} that increase")


@dataclass(frozen=True, repr=False)
class Phases(Brief):
    """Runs by phase. A run with fewer phases than others has phases of length zero."""

    p_RKL: np.ndarray
    """Mixtures; each sums to one."""
    length_RK: np.ndarray
    """Shares of the run's tokens; rows sum to one."""
    rate_RK: np.ndarray
    """Mean learning rates, in any unit; only their ratios within a run count."""

    @property
    def average_RL(self) -> np.ndarray:  # noqa: N802
        """Mixtures of the whole runs."""
        return np.asarray(np.einsum("rk,rkl->rl", self.length_RK, self.p_RKL))

    @property
    def differ_R(self) -> np.ndarray:  # noqa: N802
        """Whether a run's mixture changes."""
        away_RKL = (self.p_RKL - self.average_RL[:, None]) * (self.length_RK > 0)[:, :, None]
        return np.asarray(np.abs(away_RKL).max(axis=(1, 2), initial=0.0) > 1e-6)

    @cached_property
    def clock_RK(self) -> np.ndarray:  # noqa: N802
        """Cumulative learning rate at each phase's end, as a share of the whole run's."""
        done_RK = np.cumsum(self.length_RK * self.rate_RK, axis=1)
        return np.asarray(done_RK / done_RK[:, -1:])

    def weights(self, late: float) -> tuple[np.ndarray, np.ndarray]:
        """What each phase weighs, [R, K], rows summing to one, and its derivative by ``late``.

        ``w_k ∝ ∫_phase exp(λ c(s)) ds`` over the run's tokens s, with c(s) the cumulative learning rate from 0 to 1:
        text is forgotten as the weights move on. λ = 0 makes every token count the same, λ > 0 late ones more, λ < 0
        early ones. Within a phase the learning rate is taken at its mean.
        """
        before_RK = np.hstack([np.zeros((len(self.clock_RK), 1)), self.clock_RK[:, :-1]])
        middle_RK, half_RK = (self.clock_RK + before_RK) / 2, (self.clock_RK - before_RK) / 2
        y_RK = late * half_RK
        far_RK = np.abs(y_RK) > SMALL
        safe_RK = np.where(far_RK, y_RK, 1.0)
        size_RK = np.abs(safe_RK)
        log_sinhc_RK = np.where(far_RK, size_RK + np.log1p(-np.exp(-2 * size_RK)) - np.log(2 * size_RK), y_RK**2 / 6)
        langevin_RK = np.where(far_RK, 1 / np.tanh(safe_RK) - 1 / safe_RK, y_RK / 3)
        log_RK = late * middle_RK + log_sinhc_RK
        weight_RK = self.length_RK * np.exp(log_RK - log_RK.max(axis=1, keepdims=True))
        weight_RK = weight_RK / weight_RK.sum(axis=1, keepdims=True)
        slope_RK = middle_RK + half_RK * langevin_RK
        return weight_RK, weight_RK * (slope_RK - (weight_RK * slope_RK).sum(axis=1, keepdims=True))

    def where(self, keep_R: np.ndarray) -> Phases:
        """The rows chosen by a mask or by indices."""
        return Phases(self.p_RKL[keep_R], self.length_RK[keep_R], self.rate_RK[keep_R])

    def schedule(self, row: int, languages: Sequence[str]) -> Schedule:
        """One row as a schedule."""
        starts = np.cumsum(self.length_RK[row]) - self.length_RK[row]
        real = np.flatnonzero(self.length_RK[row] > 0)
        shares_KL = np.maximum(self.p_RKL[row], 0.0)
        named = [Mixture.normalised(dict(zip(languages, shares_KL[k].tolist(), strict=True))) for k in real]
        return Schedule(tuple(Stage(float(starts[k]), mixture) for k, mixture in zip(real, named, strict=True)))

    def columns(self, languages: Sequence[str]) -> dict[str, np.ndarray]:
        """Columns of a table: ``phase1/tokens``, ``phase1/lr``, ``phase1/p/<language>``, …; [R] each, NaN in phases
        that a run does not have."""
        there_RK = self.length_RK > 0
        found = {}
        for k in range(there_RK.shape[1]):
            found[f"phase{k + 1}/tokens"] = self.length_RK[:, k]
            found[f"phase{k + 1}/lr"] = np.where(there_RK[:, k], self.rate_RK[:, k], np.nan)
            for l, language in enumerate(languages):  # noqa: E741 - the language, as everywhere
                found[f"phase{k + 1}/p/{language}"] = np.where(there_RK[:, k], self.p_RKL[:, k, l], np.nan)
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain lists."""
        return {"p": self.p_RKL.tolist(), "length": self.length_RK.tolist(), "rate": self.rate_RK.tolist()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Phases:
        """Read what :meth:`to_json` wrote."""
        return cls(*(np.array(data[name], dtype=float) for name in ("p", "length", "rate")))


@dataclass(frozen=True)
class Course:
    """How a run goes: the lengths of its phases, and the learning rate in each."""

    length_K: np.ndarray
    """Shares of the run's tokens; their sum is one."""
    rate_K: np.ndarray
    """Mean learning rates, in any unit."""

    @classmethod
    def of(cls, phases: Phases, row: int = 0) -> Course:
        """That of one run, without phases of length zero."""
        real_K = phases.length_RK[row] > 0
        return cls(phases.length_RK[row][real_K], phases.rate_RK[row][real_K])

    def cut(self, ends: Sequence[float]) -> Course:
        """The same learning rate in phases that end at other shares of the run, the last of them at its end."""
        at_K = np.array([0.0, *ends, 1.0])
        told_K = np.append(0.0, np.cumsum(self.length_K))
        done_K = np.interp(at_K, told_K / told_K[-1], np.append(0.0, np.cumsum(self.length_K * self.rate_K)))
        return Course(np.diff(at_K), np.diff(done_K) / np.diff(at_K))

    @property
    def ends(self) -> tuple[float, ...]:
        """Shares of the run after which the mixture changes."""
        return tuple(np.cumsum(self.length_K)[:-1].tolist())

    def phases(self, x_X: np.ndarray) -> Phases:
        """One run from shares of its tokens for every phase and language, one phase after the other."""
        p_KL = np.asarray(x_X, dtype=float).reshape(len(self.length_K), -1) / self.length_K[:, None]
        return Phases(p_KL[None], self.length_K[None], self.rate_K[None])

    def of_schedule(self, schedule: Schedule, languages: Sequence[str]) -> np.ndarray:
        """Shares of the run's tokens, [K L], of the schedule's mixture in the middle of every phase."""
        middle_K = np.cumsum(self.length_K) - self.length_K / 2
        p_KL = np.stack([schedule.at(float(x)).over(languages).vector(languages) for x in middle_K])
        return np.asarray((self.length_K[:, None] * p_KL).reshape(-1))

    def schedule(self, x_X: np.ndarray, languages: Sequence[str]) -> Schedule:
        """The schedule of such shares."""
        return self.phases(x_X).schedule(0, languages)


def repeated_for(phases: Phases, p_RL: np.ndarray) -> Phases:
    """Runs with the lengths and learning rates of the first of ``phases``, each with one mixture in all of them."""
    R, K = len(p_RL), phases.length_RK.shape[1]
    lengths, rates = (np.repeat(x_RK[:1], R, axis=0) for x_RK in (phases.length_RK, phases.rate_RK))
    return Phases(np.repeat(p_RL[:, None], K, axis=1), lengths, rates)
