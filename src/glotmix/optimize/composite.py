"""Composite: objective ∘ predictor + penalty as a function of the mixture alone, with derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from glotmix.errors import BadInput
from glotmix.fit.fit import Fit
from glotmix.optimize.constraint import Constraints, natural
from glotmix.optimize.objective import Objective
from glotmix.optimize.predictor import Predictor


@dataclass(frozen=True)
class Composite:
    """``F(p) = objective(L(p)) + penalty(p)`` for one model size and number of tokens."""

    predictor: Predictor
    """The law."""
    objective: Objective
    """What is made small; knows each target's own best if it needs it."""
    constraints: Constraints
    """The limits; they name the natural mixture for a penalty without a reference."""
    N: float | None = None
    """Parameters; None for the predictor's own."""
    D: float | None = None
    """Training tokens; None for the predictor's own."""

    @cached_property
    def reference_L(self) -> np.ndarray:  # noqa: N802
        """The mixture that the penalty holds on to."""
        penalty = self.objective.penalty
        assert penalty is not None
        reference = natural(self.constraints) if penalty.reference is None else penalty.reference
        return np.array([reference.get(language, 0.0) for language in self.constraints.languages])

    @property
    def boxed(self) -> bool:
        """Whether a black box is part of the law: losses then follow powers of the shares, whose slopes at a share of
        zero have no end, and F may have several minima."""
        return isinstance(self.predictor, Fit) and self.predictor.boxed

    def pieces(self, p_L: np.ndarray) -> np.ndarray:
        """``x_t`` of the counting targets, [M]."""
        return self.objective.scaled(self.predictor.loss(p_L, self.N, self.D))

    def slopes(self, p_L: np.ndarray) -> np.ndarray:
        """``dx_t/dp_l`` of the counting targets, [M, L]."""
        gradient_ML = self.predictor.gradient(p_L, self.N, self.D)[self.objective.members]
        return np.asarray(gradient_ML * self.objective.slopes[:, None])

    def penalty(self, p_L: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient [L] of the penalty; zero without one."""
        if self.objective.penalty is None:
            return 0.0, np.zeros(len(p_L))
        return self.objective.penalty.evaluate(p_L, self.reference_L)

    def value(self, p_L: np.ndarray, smooth: float = 0.0) -> float:
        """F(p), infinite where the law gives no finite loss; see :meth:`gradient` for ``smooth``."""
        x_M = self.pieces(p_L)
        if not np.isfinite(x_M).all():
            return np.inf
        return self._combined(x_M, smooth) + self.penalty(p_L)[0]

    def gradient(self, p_L: np.ndarray, smooth: float = 0.0) -> np.ndarray:
        """dF/dp, [L].

        Args:
            p_L: where.
            smooth: replaces a maximum by ``s ln Σ exp(x_t / s)``, which is above it by at most ``s ln M``.
        """
        slope_ML = self.slopes(p_L)
        if self.objective.peak:
            x_M = self.pieces(p_L)
            within = self.objective.subset(x_M)
            weight_M = np.where(within, np.exp((x_M - x_M[within].max()) / max(smooth, 1e-300)), 0.0)
            slope_L = (weight_M / weight_M.sum()) @ slope_ML
        else:
            slope_L = slope_ML.sum(axis=0)
        return np.asarray(slope_L + self.penalty(p_L)[1])

    def check(self) -> None:
        """Raise what would make the search meaningless.

        Raises:
            BadInput: the languages differ, or the law says nothing of a target that counts.
        """
        if self.constraints.languages != self.predictor.languages:
            raise BadInput(
                f"limits on {', '.join(self.constraints.languages)}", expected=f"{', '.join(self.predictor.languages)}"
            )
        if self.objective.targets != self.predictor.targets:
            raise BadInput(
                f"objective over {', '.join(self.objective.targets)}", expected=f"{', '.join(self.predictor.targets)}"
            )
        inner_L = self.constraints.project_kl(np.ones(len(self.constraints.languages)))
        loss_T = self.predictor.loss(inner_L, self.N, self.D)
        unknown = [self.objective.targets[t] for t in self.objective.members if np.isnan(loss_T[t])]
        if unknown:
            raise BadInput(
                f"the law predicts nothing for {', '.join(unknown)}, which the objective counts",
                expected="weight 0 for it, or a law that predicts it (and N and D, if the law needs them)",
            )
        infinite = [self.objective.targets[t] for t in self.objective.members if np.isinf(loss_T[t])]
        if infinite:
            raise BadInput(
                f"the law's loss of {', '.join(infinite)} is infinite at every allowed mixture",
                expected="limits that give it a share, or a law that is finite at share zero",
            )

    def _combined(self, x_M: np.ndarray, smooth: float) -> float:
        if not self.objective.peak or smooth == 0:
            return float(self.objective.combine(x_M))
        x_M = x_M[self.objective.subset(x_M)]
        return float(x_M.max() + smooth * np.log(np.exp((x_M - x_M.max()) / smooth).sum()))
