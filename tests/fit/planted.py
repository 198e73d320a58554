"""Small planted tables for tests of fits; the truths are known everywhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from glotmix.measurements import Measurements

LANGUAGES = ("spa", "fra", "ita", "rus")
TRANSFER = np.array([[1, 0.2, 0.05, 0], [0.1, 1, 0.1, 0], [0.2, 0.1, 1, 0], [0, 0, 0.05, 1]])
Truth = Callable[[np.ndarray], np.ndarray]


def truth(p_RL: np.ndarray) -> np.ndarray:
    """``0.6 + 0.5 (p_t + Σ w p + 0.01)^-0.3`` [R, T]: no law of glotmix."""
    return np.asarray(0.6 + 0.5 * (p_RL @ TRANSFER.T + 0.01) ** -0.3)


def table(
    p_RL: np.ndarray, loss_RT: np.ndarray, D_R: np.ndarray | None = None, unique_L: np.ndarray | None = None
) -> Measurements:
    """Runs without N."""
    R = len(p_RL)
    unknown, names = np.full(R, np.nan), tuple(f"r{r}" for r in range(R))
    unique_RL = None if unique_L is None else np.tile(unique_L, (R, 1))
    D_R = unknown if D_R is None else D_R
    return Measurements(
        names, LANGUAGES, LANGUAGES, p_RL, loss_RT, unknown, D_R, np.zeros(R, int), ("",) * R, unique_RL
    )


def noisy(rng: np.random.Generator, clean_RT: np.ndarray, noise: float) -> np.ndarray:
    """Losses with a relative error of each run."""
    return np.asarray(clean_RT * np.exp(noise * rng.standard_normal(clean_RT.shape)))


def swarm(rng: np.random.Generator, R: int) -> np.ndarray:
    """Dirichlet mixtures."""
    return rng.dirichlet(np.ones(len(LANGUAGES)), R)
