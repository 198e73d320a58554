"""Noise of a run: how far the loss of one run lies from what its mixture and size are worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glotmix.fit.solve import KNEE, Solution
from glotmix.fit.splits import repeats_of
from glotmix.measurements import Measurements
from glotmix.scored import Scored

EXPECTED, FREEDOM = 0.005, 1.0
"""Noise that is expected beforehand and how many runs' worth that expectation is: enough that a handful of coalitions
through which a law passes exactly does not count as noise-free."""
CONSISTENT = 0.6287
"""Mean of ``r² / (1 + (r/KNEE)²)`` for normal r, KNEE = 2: what the robust mean square is divided by."""
FLAGGED = 5.0
"""Residuals of more robust standard deviations than this are of runs that went wrong."""
MOST_WRONG = 0.2
"""Share of the runs that may have gone wrong: of more, it is the law that is wrong for them."""
EVIDENCE, LEAST_SPREAD = 8.0, 0.02
"""Twice the log likelihood that a noise that changes with the loss must gain over an even one (p = 0.005), and the
spread of ln L below which it is not looked for."""


@dataclass(frozen=True)
class Noise:
    """``sd(ln L) = scale · (L̂ / e^middle)^power``: the power of the mean (Carroll & Ruppert 1988, section 3.1).

    The loss is what tells the noise apart: a language with few tokens has both a high loss and noisy ones.
    """

    scale: float
    """Standard deviation of ln L at the middle loss: the relative error of a run there."""
    power: float = 0.0
    """How it grows with the loss; 0 unless the residuals show it."""
    middle: float = 0.0
    """Mean of ln L̂ over the runs."""
    scored: Scored | None = None
    """What the target is where it is a score, whose logit is the noisier the nearer it is to chance or to 1."""

    def relative(self, log_loss_R: np.ndarray) -> np.ndarray:
        """Noise in units of ``scale``, [R]; never more than five times further out than the runs were."""
        grown_R = np.asarray(np.exp(np.clip(self.power * (log_loss_R - self.middle), -2.5, 2.5)))
        if self.scored is None:
            return grown_R
        return np.asarray(grown_R * self.scored.spread_loss(log_loss_R) / self.scored.spread_loss(self.middle))

    def deviation(self, log_loss_R: np.ndarray) -> np.ndarray:
        """Standard deviation of ln L of a run, [R]."""
        return self.scale * self.relative(log_loss_R)


def noise_in(found: Solution, weight_R: np.ndarray, log_fitted_R: np.ndarray, scored: Scored | None = None) -> Noise:
    """The noise that the residuals of a fit show; ``weight_R`` is what is known of their precision beforehand.

    The square of ``scale`` is the robust mean square of the residuals over their degrees of freedom, together with one
    run of the noise expected, and at least a quarter of the mean square of the leave-one-out residuals (which do not
    vanish where a law has nearly as many parameters as there are runs). That of a score is never below what the number
    of its questions makes it.
    """
    middle = float(log_fitted_R.mean())
    weighted_R = np.sqrt(weight_R) * found.residual_R / Noise(1.0, 0.0, middle, scored).relative(log_fitted_R)
    power = _power(weighted_R / np.sqrt(np.maximum(1 - found.leverage_R, 0.05)), log_fitted_R - middle)
    even_R = weighted_R / Noise(1.0, power, middle).relative(log_fitted_R)
    alone_R = even_R / np.maximum(1 - found.leverage_R, 0.05)
    keep_R = _went_right(alone_R)
    even_R, alone_R = even_R[keep_R], alone_R[keep_R]
    freedom = max(len(even_R) - float(found.leverage_R[keep_R].sum()), 0.0)
    fitted = robust_square(even_R) * len(even_R)
    square = (fitted + FREEDOM * EXPECTED**2) / (freedom + FREEDOM)
    alone = robust_square(alone_R)
    if scored is not None:
        square = max(square, scored.least_square(middle))
    return Noise(float(np.sqrt(max(square, alone / 4))), power, middle, scored)


def robust_square(residual_R: np.ndarray) -> float:
    """Mean square of residuals, in which those of runs that went wrong count with bounded weight."""
    square = float(np.median(np.abs(residual_R)) / 0.6745) ** 2
    if square == 0:
        square = float(np.mean(residual_R**2))
    for _ in range(30):
        bounded_R = residual_R**2 / (1 + residual_R**2 / (KNEE**2 * max(square, 1e-30)))
        square = float(bounded_R.mean()) / CONSISTENT
    return square


def sound(standard_R: np.ndarray) -> np.ndarray:
    """Which residuals are not of runs that went wrong, [R]."""
    size_R = np.abs(standard_R)
    return np.asarray(size_R <= FLAGGED * max(float(np.median(size_R)) / 0.6745, 1e-30))


def _went_right(residual_R: np.ndarray) -> np.ndarray:
    """Which runs tell the noise, [R]: those that did not go wrong; all where that would be more than a few.

    Bounded weight is not enough: where an eighth of the runs went wrong, the noise of the others came out twice as
    large.
    """
    sound_R = sound(residual_R)
    return sound_R if (~sound_R).mean() <= MOST_WRONG else np.ones(len(residual_R), dtype=bool)


def _power(residual_R: np.ndarray, away_R: np.ndarray) -> float:
    """The power of the greatest likelihood, or 0 if an even noise explains the residuals nearly as well."""
    spread = float(away_R.std())
    limit = 3 * max(float(np.median(np.abs(residual_R))) / 0.6745, 1e-30)
    square_R = np.minimum(np.abs(residual_R), limit) ** 2
    if spread < LEAST_SPREAD or len(residual_R) < 20 or not square_R.any():
        return 0.0
    power_K = np.linspace(-1.5, 1.5, 61) / spread
    surprise_K = len(residual_R) * np.log(np.mean(square_R * np.exp(-2 * power_K[:, None] * away_R), axis=1))
    best = int(surprise_K.argmin())
    return float(power_K[best]) if surprise_K[30] - surprise_K[best] > EVIDENCE else 0.0


def noise_floor(measurements: Measurements) -> dict[str, float]:
    """Relative standard deviation between runs of the same mixture, N and D, pooled, per target."""
    group_R = repeats_of(measurements)
    noise = {}
    for t, target in enumerate(measurements.targets):
        log_R = np.log(measurements.loss_RT[:, t])
        known_R = np.isfinite(log_R)
        log_R, of_R = log_R[known_R], group_R[known_R]
        runs_G = np.bincount(of_R)
        mean_G = np.bincount(of_R, log_R) / np.maximum(runs_G, 1)
        freedom = int(np.maximum(runs_G - 1, 0).sum())
        squares = float(((log_R - mean_G[of_R]) ** 2)[runs_G[of_R] > 1].sum())
        noise[target] = float(np.sqrt(squares / freedom)) if freedom else float("nan")
    return noise
