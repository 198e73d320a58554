"""ADO: every language's own scaling law, fitted while training, says where the next sequence helps most."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import minimize

from glotmix.errors import BadInput
from glotmix.mixture.adaptives.adaptive import Adaptive, Observation, ObservationCost
from glotmix.mixture.mixture import Mixture

HUBER = 1e-3
"""Huber's δ on the logarithm of the loss."""
LEAST_EXPONENT = 0.05
"""Exponents below this count as this when the slope is taken."""
LEAST_SHARE = 0.01
"""No language's instantaneous share falls below this."""
SMOOTHING_WINDOW, SMOOTHING_ORDER, THINNING = 101, 3, 10
"""Savitzky–Golay filter on the losses, of which every tenth is fitted."""
POLISHED = 8
"""Starts of the grid that are followed to their optimum."""


class Ado(Adaptive):
    """Adaptive Data Optimization.

    Fits ``L_l(n) = e^ε + e^a / n^α`` to each language's training losses; slope ``= max(α, 0.05) (L̂_l - e^ε) / n``;
    preference ``ρ ∝ slope · μ · √h`` with the prior μ and a moving average h (0.9) of what was drawn, floored at 0.01;
    ``p = 0.9 p̄ + 0.1 ρ``, where p̄ is the mean of ρ over steps and starts at μ.

    n counts **all** sequences so far, one clock for all languages, as the authors' code does by default. Before the
    first fit the prior is sampled.

    Source: Jiang et al. (arXiv 2410.11820), with the constants of the authors' code: first fit after 1,000 steps, the
    first 500 left out, again every 1,000. Departures: the law is fitted from the best 8 of the code's 512 starting
    points instead of from all of them, by L-BFGS on the same penalised Huber loss; one version of the code has
    ``√(h (1 - h))`` for ``√h``.
    """

    name: ClassVar[str] = "ado"
    source: ClassVar[str] = "Jiang et al. 2024 (arXiv 2410.11820)"
    needs: ClassVar[frozenset[str]] = frozenset({"loss", "sequences"})

    def __init__(self, start: Mixture, *, first_fit: int = 1000, ignored: int = 500, every: int = 1000):
        """
        Args:
            start: the prior μ (proportional in the paper).
            first_fit: step of the first fit.
            ignored: steps at the beginning that are never fitted.
            every: steps between fits.
        """
        super().__init__(start)
        if not 0 <= ignored < first_fit or every < 1:
            raise BadInput(
                f"first_fit {first_fit}, ignored {ignored}, every {every}",
                where=self.name,
                expected="ignored < first_fit",
            )
        self.first_fit, self.ignored, self.every = first_fit, ignored, every
        self._prior_L = start.vector(self.languages)
        self._drawn_L, self._mean_L, self._p_L = self._prior_L.copy(), self._prior_L.copy(), self._prior_L.copy()
        self._seen: list[int] = []
        self._losses: list[list[float]] = []
        self._law_LP: np.ndarray | None = None

    @property
    def cost(self) -> ObservationCost:
        """No passes of a model; the fits are a few seconds of a processor."""
        return ObservationCost()

    @property
    def mixture(self) -> Mixture:
        """p."""
        return Mixture.normalised(dict(zip(self.languages, map(float, self._p_L), strict=True)))

    def update(self, observation: Observation) -> None:
        """Record losses and counts, fit when it is time, then mix. To be called every step."""
        counts_L = np.array([observation.sequences.get(name, 0) for name in self.languages], dtype=float)
        if counts_L.sum() <= 0:
            raise BadInput(f"no sequences at step {observation.step}", where=self.name, expected="counts by language")
        self._seen.append((self._seen[-1] if self._seen else 0) + int(counts_L.sum()))
        self._losses.append(self._complete(observation.loss))
        self._drawn_L = 0.9 * self._drawn_L + 0.1 * counts_L / counts_L.sum()
        if observation.step >= self.first_fit and (observation.step - self.first_fit) % self.every == 0:
            self._fit()
        if self._law_LP is not None:
            self._mix(observation.step)

    def _complete(self, loss: Mapping[str, float]) -> list[float]:
        """Losses of all languages; one that no batch held keeps its last, and at first gets the batch's mean."""
        if not self._losses and not loss:
            raise BadInput("no losses at the first step", where=self.name, expected="losses by language")
        last = self._losses[-1] if self._losses else [math.fsum(loss.values()) / len(loss)] * len(self.languages)
        return [float(loss.get(name, before)) for name, before in zip(self.languages, last, strict=True)]

    def _fit(self) -> None:
        loss_TL = np.array(self._losses)
        window = min(SMOOTHING_WINDOW, len(loss_TL) - 1 + len(loss_TL) % 2)
        if window > SMOOTHING_ORDER:
            from scipy.signal import savgol_filter  # takes a second to import, which every worker would pay

            loss_TL = savgol_filter(loss_TL, window, SMOOTHING_ORDER, axis=0)
        chosen = slice(self.ignored, None, THINNING)
        n_T = np.array(self._seen, dtype=float)[chosen]
        self._law_LP = np.array([fit_power_law(n_T, loss_T) for loss_T in loss_TL[chosen].T])

    def _mix(self, step: int) -> None:
        assert self._law_LP is not None
        a_L, _, alpha_L = self._law_LP.T
        n = float(self._seen[-1])
        reducible_L = np.exp(a_L) / n**alpha_L
        slope_L = np.maximum(alpha_L, LEAST_EXPONENT) * reducible_L / n
        preference_L = slope_L * self._prior_L * np.sqrt(self._drawn_L)
        preference_L = np.maximum(preference_L / preference_L.sum(), LEAST_SHARE)
        preference_L /= preference_L.sum()
        self._p_L = 0.9 * self._mean_L + 0.1 * preference_L
        self._mean_L = (1 - 1 / (step + 1)) * self._mean_L + preference_L / (step + 1)

    def state(self) -> dict[str, Any]:
        """All losses and counts so far, the laws, and the averages."""
        return {
            "seen": self._seen,
            "losses": self._losses,
            "law": None if self._law_LP is None else self._law_LP.tolist(),
            "drawn": self._drawn_L.tolist(),
            "mean": self._mean_L.tolist(),
            "p": self._p_L.tolist(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self._seen, self._losses = list(state["seen"]), [list(row) for row in state["losses"]]
        self._law_LP = None if state["law"] is None else np.array(state["law"])
        self._drawn_L, self._mean_L = np.array(state["drawn"]), np.array(state["mean"])
        self._p_L = np.array(state["p"])


def fit_power_law(n_T: np.ndarray, loss_T: np.ndarray) -> np.ndarray:
    """``(a, ε, α)`` of ``L(n) = e^ε + e^a / n^α`` by least Huber loss on ``ln L``.

    Penalised outside a ≤ 6.5, ε ≥ 0.5, 0 ≤ α ≤ 0.8; penalties and starting grid are those of ADO's code.
    """
    grid = np.meshgrid(np.arange(-2, 6), np.arange(-2, 2, 0.5), np.arange(0, 0.8, 0.1), indexing="ij")
    starts_GP = np.stack([axis.ravel() for axis in grid], axis=1).astype(float)
    log_n_T, log_loss_T = np.log(n_T), np.log(loss_T)
    values_G = np.array([_objective(start, log_n_T, log_loss_T)[0] for start in starts_GP])
    best = [
        minimize(_objective, starts_GP[g], (log_n_T, log_loss_T), method="L-BFGS-B", jac=True, options={"maxiter": 200})
        for g in np.argsort(values_G, kind="stable")[:POLISHED]
    ]
    return np.asarray(min(best, key=lambda end: end.fun).x)


def _objective(law_P: np.ndarray, log_n_T: np.ndarray, log_loss_T: np.ndarray) -> tuple[float, np.ndarray]:
    """Penalised Huber loss and its gradient."""
    a, e, alpha = law_P
    reducible_T = a - alpha * log_n_T
    predicted_T = np.logaddexp(reducible_T, e)
    error_T = predicted_T - log_loss_T
    size_T = np.abs(error_T)
    huber = np.where(size_T > HUBER, HUBER * (size_T - HUBER / 2), error_T**2 / 2).sum()
    slope_T = np.clip(error_T, -HUBER, HUBER)
    weight_T = np.exp(reducible_T - predicted_T)
    gradient = np.array([slope_T @ weight_T, slope_T @ (1 - weight_T), -(slope_T * weight_T) @ log_n_T])
    penalty = max(alpha - 0.8, 0.0) - min(alpha, 0.001) + max(a - 6.5, 0.0) - min(e - 0.5, 0.0)
    gradient += [float(a > 6.5), -float(e < 0.5), float(alpha > 0.8) - float(alpha < 0.001)]
    return float(huber + penalty), gradient
