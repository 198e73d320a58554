"""Priors on single parameters of a law, as the residuals that a fit adds to those of the runs."""

from __future__ import annotations

import numpy as np

Told = tuple[int, float, float, bool]
"""A prior on one parameter: its place in θ, mean or median, standard deviation, whether of the logarithm."""


def normal(at: int, prior: tuple[float, float]) -> Told:
    """A normal prior from mean and standard deviation."""
    return at, *prior, False


def log_normal(at: int, prior: tuple[float, float]) -> Told:
    """A log-normal prior from its median and the standard deviation of the logarithm."""
    return at, *prior, True


def of_parameters(theta_P: np.ndarray, told: list[Told]) -> tuple[np.ndarray, np.ndarray]:
    """Standardised distances [K] and their derivatives [K, P]."""
    distance, rows = np.zeros(len(told)), np.zeros((len(told), len(theta_P)))
    for k, (at, middle, spread, logarithmic) in enumerate(told):
        x = theta_P[at]
        distance[k] = (np.log(x / middle) if logarithmic else x - middle) / spread
        rows[k, at] = 1 / (spread * x) if logarithmic else 1 / spread
    return distance, rows
