"""Closed-form laws to optimise over: each is a predictor whose optimum is known or convex."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class OwnRatio:
    """He et al.: L_i = c_i p_i^-γ_i, with resamples that shake c."""

    languages: tuple
    c_L: np.ndarray
    gamma_L: np.ndarray
    shaken_BL: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))

    @property
    def targets(self):
        return self.languages

    def loss(self, p_L, N=None, D=None):
        with np.errstate(divide="ignore"):
            return self.c_L * np.asarray(p_L) ** -self.gamma_L

    def gradient(self, p_L, N=None, D=None):
        with np.errstate(divide="ignore"):
            return np.diag(-self.gamma_L * self.c_L * np.asarray(p_L) ** (-self.gamma_L - 1))

    def bootstrap_losses(self, p_L, N=None, D=None):
        if not len(self.shaken_BL):
            return np.empty((0, len(self.languages)))
        with np.errstate(divide="ignore"):
            return self.shaken_BL * np.asarray(p_L) ** -self.gamma_L


@dataclass(frozen=True)
class LogLinear:
    """Olmix: L_t = c_t + exp(A_t · p), convex; with resamples that shake A."""

    languages: tuple
    targets: tuple
    A_TL: np.ndarray
    c_T: np.ndarray
    A_BTL: np.ndarray | None = None

    def loss(self, p_L, N=None, D=None):
        return self.c_T + np.exp(self.A_TL @ p_L)

    def gradient(self, p_L, N=None, D=None):
        return np.exp(self.A_TL @ p_L)[:, None] * self.A_TL

    def bootstrap_losses(self, p_L, N=None, D=None):
        if self.A_BTL is None:
            return np.empty((0, len(self.targets)))
        return self.c_T + np.exp(self.A_BTL @ p_L)


def names(n):
    return tuple(f"l{i:02d}" for i in range(n))


def log_linear(L, seed, noise=0.0, B=0):
    rng = np.random.default_rng(seed)
    A_TL = rng.normal(0, 1, (L, L)) - 3 * np.eye(L)
    c_T = rng.uniform(0.5, 2, L)
    A_BTL = A_TL + noise * rng.normal(size=(B, L, L)) if B else None
    return LogLinear(names(L), names(L), A_TL, c_T, A_BTL)


def own_ratio(L, seed, noise=0.0, B=0):
    rng = np.random.default_rng(seed)
    c_L, gamma_L = rng.uniform(1, 3, L), rng.uniform(0.05, 0.5, L)
    return OwnRatio(names(L), c_L, gamma_L, c_L * np.exp(noise * rng.normal(size=(B, L))) if B else np.empty((0, 0)))


def equal(targets):
    return dict.fromkeys(targets, 1.0)
