"""The share of a loss that falls with model size and training tokens, as several laws use it."""

from __future__ import annotations

import numpy as np

from glotmix.laws.law import Inputs, Problem

N_UNIT, D_UNIT = 1e6, 1e8
"""N and D enter as N / 10^6 and D / 10^8, so that A and B are the losses that a million parameters or a hundred
million tokens leave over, instead of numbers that depend wildly on the exponents."""


def names(problem: Problem) -> tuple[str, ...]:
    """Parameters of the terms that can be seen: ``A, α`` when N varies, ``B, β`` when D varies."""
    return (("A", "α") if "N" in problem.varies else ()) + (("B", "β") if "D" in problem.varies else ())


def bounds(problem: Problem) -> tuple[list[float], list[float]]:
    """Lower and upper bounds of :func:`names`."""
    terms = len(names(problem)) // 2
    return [0.0, 0.01] * terms, [1e3, 3.0] * terms


def starts(problem: Problem, size: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """``n`` starting points [n, ·]; ``size`` is the order of magnitude of the terms."""
    terms = len(names(problem)) // 2
    theta = np.tile([0.5 * size, 0.35], (n, terms))
    theta[1:] *= np.exp(rng.normal(0, 0.5, theta[1:].shape))
    return theta


def terms(problem: Problem, theta_P: np.ndarray, inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
    """``A (N/10^6)^-α + B (D/10^8)^-β`` [R] and its derivatives by :func:`names` [R, ·]."""
    value_R = np.zeros(len(inputs.p_RL))
    columns: list[np.ndarray] = []
    sizes = [inputs.N_R / N_UNIT] if "N" in problem.varies else []
    sizes += [inputs.D_R / D_UNIT] if "D" in problem.varies else []
    for k, x_R in enumerate(sizes):
        coefficient, exponent = theta_P[..., 2 * k], theta_P[..., 2 * k + 1]
        power_R = x_R**-exponent
        value_R = value_R + coefficient * power_R
        columns += [power_R, -coefficient * power_R * np.log(x_R)]
    return value_R, np.stack(columns, axis=1) if columns else np.zeros((len(value_R), 0))
