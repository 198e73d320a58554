"""Predictor: what the optimiser asks of a fitted law. :class:`glotmix.fit.Fit` is one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from glotmix.fit.fit import Fit
from glotmix.mixture.phases import Course


class Predictor(Protocol):
    """Losses of a mixture, their derivatives, and how they would come out under resampled fits."""

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages of the mixture, [L]."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Languages whose loss is predicted, [T]."""

    def loss(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        """Losses [T]; NaN for a target that the law says nothing of."""

    def gradient(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        """dL_t/dp_l [T, L] with the shares taken as independent."""

    def bootstrap_losses(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        """Losses [B, T] under every resampled fit; B may be 0."""


STEP = 1e-6
"""Step of the central differences in :class:`Resample`; their error is about STEP², and 1e-16 / STEP from rounding."""


@dataclass(frozen=True)
class Resample:
    """One resampled fit of any predictor, as a predictor of its own; its gradient is a central difference."""

    predictor: Predictor
    """The predictor that holds the resamples."""
    b: int
    """Which of them."""

    @property
    def languages(self) -> tuple[str, ...]:
        return self.predictor.languages

    @property
    def targets(self) -> tuple[str, ...]:
        return self.predictor.targets

    def loss(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        return np.asarray(self.predictor.bootstrap_losses(p_L, N, D)[self.b])

    def gradient(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        p_L = np.asarray(p_L, dtype=float)
        columns = []
        for l in range(len(p_L)):  # noqa: E741 - l is the language, as everywhere
            up_L, down_L = p_L.copy(), p_L.copy()
            up_L[l] += STEP
            down_L[l] = max(down_L[l] - STEP, 0.0)
            columns.append((self.loss(up_L, N, D) - self.loss(down_L, N, D)) / (up_L[l] - down_L[l]))
        return np.stack(columns, axis=1)

    def bootstrap_losses(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        return np.empty((0, len(self.targets)))


@dataclass(frozen=True)
class OverPhases:
    """A fitted law as a predictor of schedules: a "mixture" has a share of the run's tokens for every phase and
    language, ``x_kl = f_k p_kl``."""

    fitted: Fit
    """The law."""
    course: Course
    """Lengths and learning rates of the phases."""

    @property
    def languages(self) -> tuple[str, ...]:
        """``phase1/<language>`` of all languages, then those of the next phase."""
        return tuple(f"phase{k + 1}/{one}" for k in range(len(self.course.length_K)) for one in self.fitted.languages)

    @property
    def targets(self) -> tuple[str, ...]:
        return self.fitted.targets

    def loss(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        phases = self.course.phases(p_L)
        return self.fitted.loss(phases.average_RL[0], N, D, phases)

    def gradient(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        phases = self.course.phases(p_L)
        by_x_TKL = self.fitted.gradient(phases.average_RL[0], N, D, phases)
        return by_x_TKL.reshape(len(self.targets), -1)

    def bootstrap_losses(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        phases = self.course.phases(p_L)
        return self.fitted.bootstrap_losses(phases.average_RL[0], N, D, phases)


@dataclass(frozen=True)
class LastPhase:
    """A fitted law as a predictor of the mixture of a run's last phase, the phases before it being what they were."""

    over: OverPhases
    """The law over all phases."""
    before_X: np.ndarray
    """Shares of the run's tokens in the phases before, one phase after the other."""

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages of the last phase."""
        return self.over.fitted.languages

    @property
    def targets(self) -> tuple[str, ...]:
        return self.over.targets

    @property
    def length(self) -> float:
        """Share of the run's tokens that the last phase has."""
        return float(self.over.course.length_K[-1])

    def whole(self, p_L: np.ndarray) -> np.ndarray:
        """Shares of the run's tokens in all phases."""
        return np.concatenate([self.before_X, self.length * np.asarray(p_L, dtype=float)])

    def loss(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        return self.over.loss(self.whole(p_L), N, D)

    def gradient(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        return self.length * self.over.gradient(self.whole(p_L), N, D)[:, len(self.before_X) :]

    def bootstrap_losses(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        return self.over.bootstrap_losses(self.whole(p_L), N, D)


def resampled(predictor: Predictor, b: int) -> Predictor:
    """The ``b``-th resampled fit: exact for a :class:`~glotmix.fit.Fit`, by finite differences for anything else."""
    if isinstance(predictor, LastPhase):
        over = resampled(predictor.over, b)
        assert isinstance(over, OverPhases)
        return replace(predictor, over=over)
    if isinstance(predictor, OverPhases):
        fitted = resampled(predictor.fitted, b)
        assert isinstance(fitted, Fit)
        return replace(predictor, fitted=fitted)
    if isinstance(predictor, Fit):
        fits = {
            target: replace(at, theta_P=at.bootstrap_BP[b], bootstrap_BP=at.bootstrap_BP[:0])
            if b < len(at.bootstrap_BP)
            else at
            for target, at in predictor.fits.items()
        }
        return replace(predictor, fits=fits)
    return Resample(predictor, b)


@dataclass(frozen=True)
class Hedged:
    """``mean_b L_b + κ · sd_b L_b`` over resampled fits, per target: the noise-averaged law, or a pessimistic one.

    κ = 0 minimises the expected loss over what the law could have been (risk-neutral); κ = 1 about the 84 % quantile of
    each target's loss, which keeps the optimum from where the law does not know.
    """

    members: tuple[Predictor, ...]
    """Resampled fits, at least two."""
    caution: float = 0.0
    """κ."""

    @property
    def languages(self) -> tuple[str, ...]:
        return self.members[0].languages

    @property
    def targets(self) -> tuple[str, ...]:
        return self.members[0].targets

    def loss(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        loss_BT = np.stack([member.loss(p_L, N, D) for member in self.members])
        return np.asarray(loss_BT.mean(axis=0) + self.caution * loss_BT.std(axis=0))

    def gradient(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        slope_BTL = np.stack([member.gradient(p_L, N, D) for member in self.members])
        mean_TL = slope_BTL.mean(axis=0)
        if not self.caution:
            return np.asarray(mean_TL)
        loss_BT = np.stack([member.loss(p_L, N, D) for member in self.members])
        away_BT = (loss_BT - loss_BT.mean(axis=0)) / np.maximum(loss_BT.std(axis=0), 1e-12)
        return np.asarray(mean_TL + self.caution * np.einsum("bt,btl->tl", away_BT, slope_BTL) / len(self.members))

    def bootstrap_losses(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        return np.stack([member.loss(p_L, N, D) for member in self.members])


def hedged(predictor: Predictor, caution: float, resamples: int) -> Predictor:
    """The predictor averaged over its first ``resamples`` resampled fits; itself if it has fewer than two."""
    inner_L = np.full(len(predictor.languages), 1 / len(predictor.languages))
    B = min(len(predictor.bootstrap_losses(inner_L)), resamples)
    return predictor if B < 2 else Hedged(tuple(resampled(predictor, b) for b in range(B)), caution)
