"""How often each language may be read before another pass no longer pays, on a law that knows repetition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glotmix.fit.fit import Fit
from glotmix.laws.law import Inputs
from glotmix.laws.repetition import Repeated

POINTS = 81
"""Points of a curve."""
FAR = 3.0
"""A curve goes to so many times the passes at which the law has own text learned by heart."""


@dataclass(frozen=True)
class Turning:
    """Loss of one language against passes over its text, the others sharing the rest as they are recommended to."""

    language: str
    """The language."""
    passes_K: tuple[float, ...]
    """Passes, from none."""
    loss_K: tuple[float, ...]
    """Predicted loss."""
    best: float
    """Passes at which the loss is least."""
    low: float | None
    """Lower end of its 95 % interval over the resampled laws; None without resamples."""
    high: float | None
    """Upper end."""
    reached: bool
    """Whether the loss rises again within the curve; else more passes would still pay at its end."""
    recommended: float
    """Passes of the recommended mixture."""
    seen: float
    """Most passes that a run made."""


def turning_of(fitted: Fit, p_L: np.ndarray) -> tuple[Turning, ...]:
    """A curve per language of the mixture, at the D and the unique tokens that the law was fitted at.

    Proxies that repeat text as often as the target run would are at its passes too. Nothing for laws that know no
    repetition, and for tables without unique tokens.

    Args:
        fitted: the law.
        p_L: the recommended mixture.
    """
    unique_L, runs = fitted.unique_L, fitted.measured
    if not isinstance(fitted.law.inside, Repeated) or unique_L is None or runs is None or not np.isfinite(fitted.D):
        return ()
    found = []
    for own, language in enumerate(fitted.languages):
        at = fitted.fits.get(language)
        if at is None or not at.usable or "R" not in at.names:
            continue
        per_share = fitted.D / unique_L[own]
        turn = float(at.theta_P[at.names.index("T")])
        most = min(per_share, max(FAR * turn, 1.5 * p_L[own] * per_share))
        passes_K = np.linspace(0.0, most, POINTS)
        share_K = passes_K / per_share
        rest_L = np.delete(p_L, own)
        rest_L = rest_L / rest_L.sum() if rest_L.sum() > 0 else np.full(len(rest_L), 1 / max(len(rest_L), 1))
        p_KL = np.insert((1 - share_K)[:, None] * rest_L, own, share_K, axis=1)
        inputs = Inputs(p_KL, np.full(POINTS, fitted.N), np.full(POINTS, fitted.D), np.tile(unique_L, (POINTS, 1)))
        loss_K = at.shown(at.predict(fitted.law, at.theta_P, inputs))
        best = int(np.argmin(loss_K))
        low: float | None = None
        high: float | None = None
        if len(at.bootstrap_BP):
            drawn = [fitted.law.predict(at.problem, theta_P, inputs).argmin() for theta_P in at.bootstrap_BP]
            low, high = np.percentile(passes_K[drawn], [2.5, 97.5]).tolist()
        seen = float((runs.p_RL[:, own] * runs.D_R).max() / unique_L[own])
        told = (float(passes_K[best]), low, high, best < POINTS - 1, float(p_L[own] * per_share), seen)
        found.append(Turning(language, tuple(passes_K.tolist()), tuple(loss_K.tolist()), *told))
    return tuple(found)
