"""Priors on single parameters of a law, as the residuals that a fit adds to those of the runs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from glotmix.laws.law import Problem

Told = tuple[int, float, float, bool]
"""A prior on one parameter: its place in θ, mean or median, standard deviation, whether of the logarithm."""


def normal(at: int, prior: tuple[float, float]) -> Told:
    """A normal prior from mean and standard deviation."""
    return at, *prior, False


def log_normal(at: int, prior: tuple[float, float]) -> Told:
    """A log-normal prior from its median and the standard deviation of the logarithm."""
    return at, *prior, True


@dataclass(frozen=True)
class Normals:
    """Priors of K single parameters, each normal or log-normal."""

    at_K: np.ndarray
    """Places in θ."""
    middle_K: np.ndarray
    """Means, or logarithms of medians."""
    spread_K: np.ndarray
    """Standard deviations."""
    log_K: np.ndarray
    """Whether of the logarithm."""

    @classmethod
    def of(cls, told: Sequence[Told]) -> Normals:
        """From what is told of each."""
        at_K = np.array([at for at, _, _, _ in told], dtype=int)
        middle_K = np.array([np.log(middle) if log else middle for _, middle, _, log in told], dtype=float)
        spread_K = np.array([spread for _, _, spread, _ in told], dtype=float)
        return cls(at_K, middle_K, spread_K, np.array([log for _, _, _, log in told], dtype=bool))

    def at(self, theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Standardised distances [K] and their derivatives [K, P]."""
        unit_K = np.where(self.log_K, theta_P[self.at_K], 1.0)
        x_K = np.where(self.log_K, np.log(unit_K), theta_P[self.at_K])
        rows = np.zeros((len(x_K), len(theta_P)))
        rows[np.arange(len(x_K)), self.at_K] = 1 / (self.spread_K * unit_K)
        return (x_K - self.middle_K) / self.spread_K, rows


class Knows(Hashable, Protocol):
    """A law that tells the priors of its single parameters; two that are equal tell the same."""

    def __hash__(self) -> int: ...

    def known(self, problem: Problem) -> list[Told]:
        """Priors of single parameters."""


def priors_of(law: Knows, problem: Problem) -> Normals:
    """What ``law.known`` says, worked out once for every kind of target: a fit asks thousands of times."""
    return _normals(law, problem.target, problem.languages, problem.varies)


@lru_cache(maxsize=1024)
def _normals(law: Knows, target: str, languages: tuple[str, ...], varies: frozenset[str]) -> Normals:
    return Normals.of(law.known(Problem(target, languages, None, varies)))


def of_parameters(theta_P: np.ndarray, told: Sequence[Told]) -> tuple[np.ndarray, np.ndarray]:
    """Standardised distances [K] and their derivatives [K, P]."""
    return Normals.of(told).at(theta_P)
