"""Mirror descent on the allowed mixtures: multiplicative steps, projected by the Kullback–Leibler divergence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import kl_div

from glotmix.optimize.composite import Composite

GROW, SHRINK = 1.6, 0.4
LEAST_STEP = 1e-10


@dataclass(frozen=True)
class Descent:
    """Where mirror descent ended."""

    p_L: np.ndarray
    """The mixture."""
    value: float
    """F there (smoothed, if it was asked to smooth)."""
    steps: int
    """Gradient steps taken."""


def descend(composite: Composite, p_L: np.ndarray, *, steps: int, tolerance: float, smooth: float = 0.0) -> Descent:
    """Exponentiated gradient: ``p ← Π(p · exp(-η ∇F))`` with Π the KL projection on the limits.

    The step η grows while ``F(p') ≤ F(p) + ∇F·(p' - p) + KL(p' ‖ p)/η`` holds and shrinks until it does, so no
    smoothness constant is asked for and F never rises (Bauschke, Bolte & Teboulle 2017: relative smoothness).

    Args:
        composite: F.
        p_L: start; shares of zero stay zero.
        steps: most gradient steps.
        tolerance: ends when ten steps together lower F by less than this, relative to its size.
        smooth: see :meth:`Composite.gradient`.
    """
    value = composite.value(p_L, smooth)
    eta, last = 0.0, value
    for step in range(1, steps + 1):
        slope_L = composite.gradient(p_L, smooth)
        slope_L = slope_L - slope_L @ p_L
        if not np.isfinite(slope_L).all():
            return Descent(p_L, value, step)
        eta = min(eta * GROW, 1e12) or 1 / max(float(np.sqrt(p_L @ slope_L**2)), 1e-12)
        while True:
            log_L = np.log(np.maximum(p_L, 1e-300)) - np.clip(eta * slope_L, -500, 500)
            next_L = composite.constraints.project_kl(np.where(p_L > 0, np.exp(log_L - log_L.max()), 0.0))
            next_value = composite.value(next_L, smooth)
            allowed = value + slope_L @ (next_L - p_L) + float(kl_div(next_L, np.maximum(p_L, 1e-300)).sum()) / eta
            if next_value <= allowed + 1e-14 * abs(value) or eta < LEAST_STEP:
                break
            eta *= SHRINK
        if next_value < value:
            p_L, value = next_L, next_value
        elif eta < LEAST_STEP:
            return Descent(p_L, value, step)
        if step % 10 == 0:
            if last - value <= tolerance * abs(value):
                return Descent(p_L, value, step)
            last = value
    return Descent(p_L, value, steps)
