"""What the targets of a table together tell of the means of a law's priors.

A prior says where a kind of parameter lies, and how far single targets lie from there; both come from other tables. Of
one target the runs hardly tell the exponents by which languages complement one another, of twelve targets they tell
them well. And where the prior's mean is wrong it is wrong for all targets alike: every loss at a balanced mixture is
then off in one direction, which no mean over targets averages away. So the mean of each kind is a parameter that the
targets share, with a prior as wide as that of the kind itself. Source: Lindley & Smith, Bayes estimates for the linear
model (1972); Gelman et al., Bayesian Data Analysis (2013), chapter 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glotmix.fit.bootstrap import LeftOut

ROUNDS, SETTLED = 4, 0.02
"""Steps towards the means at most, and the standard deviations that the last one moves: laws are nearly linear in what
priors speak of."""
LONGEST = 3.0
"""Standard deviations that a mean moves in one step at most."""


@dataclass(frozen=True)
class Leaning:
    """What one target says of the shared means, to first order around its fit; in units of each prior's width."""

    pull_A: np.ndarray
    """How far its parameters lie from the means, summed over the priors of a kind."""
    hold_AA: np.ndarray
    """How much of a move of the means its parameters do not follow, because the runs tell them."""
    by_mixture_GA: np.ndarray
    """What mixture g does to ``pull`` when it comes in."""
    by_prior_KA: np.ndarray
    """What the mean of its own prior k does to ``pull`` when it moves by a standard deviation."""


def leaning(left: LeftOut, rows_KP: np.ndarray, distance_K: np.ndarray, member_KA: np.ndarray) -> Leaning:
    """What a target says.

    Args:
        left: what mixtures and priors do to its parameters.
        rows_KP: derivatives of the distances from the priors' means.
        distance_K: these distances at the fit.
        member_KA: which prior is of which kind.
    """
    stay_KA = left.prior_KP @ rows_KP.T @ member_KA - member_KA
    by_mixture_GA = left.shift_GP @ rows_KP.T @ member_KA
    return Leaning(distance_K @ member_KA, -member_KA.T @ stay_KA, by_mixture_GA, stay_KA)


def members(kinds_K: Sequence[str], every: Sequence[str]) -> np.ndarray:
    """Which prior is of which kind, [K, A]."""
    return np.array([[float(kind == one) for one in every] for kind in kinds_K]).reshape(len(kinds_K), len(every))


def moved(shift_A: np.ndarray, said: Sequence[Leaning]) -> np.ndarray:
    """The means of the least cost, one Newton step from ``shift`` (in standard deviations of each kind)."""
    pull_A = np.sum([one.pull_A for one in said], axis=0) - shift_A
    return np.asarray(shift_A + np.clip(np.linalg.solve(_hold(said), pull_A), -LONGEST, LONGEST))


def drawn(
    said: Mapping[str, Leaning], multiplier_BG: np.ndarray, known: Mapping[str, np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """How the means come out under every resample, less what they are, [B, A].

    What the mixtures do to them through all targets, times their random weights; what the targets' own priors do, drawn
    as in ``known`` (target to [B, K]); and their own prior, drawn here.
    """
    hold_AA = _hold(list(said.values()))
    pull_BA = rng.standard_normal((len(multiplier_BG), len(hold_AA)))
    for target, one in said.items():
        pull_BA += multiplier_BG @ one.by_mixture_GA + known[target] @ one.by_prior_KA
    return np.asarray(np.linalg.solve(hold_AA, pull_BA.T).T)


def _hold(said: Sequence[Leaning]) -> np.ndarray:
    hold_AA = np.sum([one.hold_AA for one in said], axis=0)
    return np.asarray((hold_AA + hold_AA.T) / 2 + np.eye(len(hold_AA)))
