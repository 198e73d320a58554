"""A number with what is known of its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval."""

    value: float
    """Point estimate."""
    low: float | None = None
    """Lower end of the interval; None when nothing was repeated or resampled."""
    high: float | None = None
    """Upper end."""
