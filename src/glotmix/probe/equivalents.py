"""Token equivalents: how many tokens of a language alone would have given the loss that a mixture gave it.

    1 / PPL(x) = c - a x^-b,    x = tokens / T        fitted to runs on the language alone, each with its full schedule
    MLPE(x) = 1 / (c - a x^-b)                        perplexity that x tokens alone would give
    MLTE(PPL) = T ((c - 1/PPL) / a)^(-1/b)            tokens alone that a perplexity is worth
    TEff = MLTE / tokens of the language really seen

Source: "The Role of Language Imbalance in Cross-lingual Generalisation" (arXiv 2404.07982), metrics and released code
(``PowerLaw``, fitted to 1/PPL). **Departures.** Efficiencies are computed seed by seed, the fit included, so that their
intervals hold the noise of the yardstick too; the released numbers are one seed. Where the law misses its own points (a
small model that learns in steps), :func:`interpolated` goes through the points instead. Runs of another recipe are
refused: with single-language runs of another batch size an efficiency of 1.4 becomes 3.7.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import minimize_scalar

from glotmix.errors import BadInput
from glotmix.estimate import over_repeats
from glotmix.measurements import Measurements

FEWEST_BUDGETS = 3
"""Different budgets of single-language runs that a curve needs."""
EXPONENTS = (1e-2, 8.0)
"""Range in which b is looked for."""
ALONE = 1 - 1e-6
"""Share from which a run counts as one on a single language."""

Method = Literal["law", "interpolated"]


class Alone(ABC):
    """What a language's own tokens alone give, as a curve between tokens and loss (nats per token)."""

    @abstractmethod
    def loss(self, tokens: float) -> float:
        """Loss that so many tokens alone give: ln MLPE."""

    @abstractmethod
    def tokens(self, loss: float) -> float:
        """Tokens alone that a loss is worth: MLTE; infinite or zero for a loss that the curve never reaches."""

    def perplexity(self, tokens: float) -> float:
        """``exp(loss)``: MLPE."""
        return math.exp(self.loss(tokens))


@dataclass(frozen=True)
class PowerLaw(Alone):
    """``1/PPL = c - a x^-b`` with x = tokens / unit."""

    a: float
    """What more tokens have left to give, at one unit."""
    b: float
    """How fast they give it."""
    c: float
    """1/PPL of infinitely many tokens."""
    unit: float
    """Tokens T that x = 1 stands for."""

    def loss(self, tokens: float) -> float:
        inverse = self.c - self.a * (tokens / self.unit) ** -self.b
        return -math.log(inverse) if inverse > 0 else math.inf

    def tokens(self, loss: float) -> float:
        left = self.c - math.exp(-loss)
        return math.inf if left <= 0 else self.unit * (left / self.a) ** (-1 / self.b)


@dataclass(frozen=True)
class Interpolated(Alone):
    """Through the measured points: monotone cubics of the loss over the log of the tokens (Fritsch & Carlson 1980)."""

    tokens_R: np.ndarray
    """Budgets, rising."""
    loss_R: np.ndarray
    """Losses, falling; where a larger budget measured worse, both have their mean (isotonic)."""

    def loss(self, tokens: float) -> float:
        if not self.tokens_R[0] <= tokens <= self.tokens_R[-1]:
            return math.nan
        return float(PchipInterpolator(np.log(self.tokens_R), self.loss_R)(math.log(tokens)))

    def tokens(self, loss: float) -> float:
        if loss < self.loss_R[-1]:
            return math.inf
        if loss > self.loss_R[0]:
            return 0.0
        fine = np.linspace(math.log(self.tokens_R[0]), math.log(self.tokens_R[-1]), 4001)
        curve = PchipInterpolator(np.log(self.tokens_R), self.loss_R)(fine)
        return float(np.exp(np.interp(-loss, -curve, fine)))


def power_law(tokens_R: np.ndarray, loss_R: np.ndarray, unit: float | None = None) -> PowerLaw:
    """Least squares on 1/PPL, the paper's weighting of errors.

    For a given b the law is linear in a and c, so the search is over b alone and has no starting point.

    Args:
        tokens_R: tokens of runs on the language alone.
        loss_R: their losses in nats per token.
        unit: tokens that x = 1 stands for; the largest budget by default. The law does not depend on it.

    Raises:
        BadInput: fewer than ``FEWEST_BUDGETS`` different budgets, or losses that do not fall.
    """
    tokens_R, inverse_R = _checked(tokens_R, loss_R)[0], np.exp(-np.asarray(loss_R, float))
    unit = unit or float(tokens_R.max())
    x_R = tokens_R / unit

    def solved(log_b: float) -> tuple[float, np.ndarray]:
        columns_R2 = np.column_stack([np.ones(len(x_R)), -(x_R ** -math.exp(log_b))])
        ca, *_ = np.linalg.lstsq(columns_R2, inverse_R, rcond=None)
        return float(((columns_R2 @ ca - inverse_R) ** 2).sum()), ca

    grid = np.linspace(math.log(EXPONENTS[0]), math.log(EXPONENTS[1]), 200)
    best = int(np.argmin([solved(log_b)[0] for log_b in grid]))
    around = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    found = minimize_scalar(lambda log_b: solved(log_b)[0], bounds=around, method="bounded", options={"xatol": 1e-10})
    c, a = solved(found.x)[1].tolist()
    if a <= 0:
        raise BadInput("more tokens alone do not lower the loss", where="token equivalents", expected="falling losses")
    return PowerLaw(a, math.exp(found.x), c, unit)


def interpolated(tokens_R: np.ndarray, loss_R: np.ndarray) -> Interpolated:
    """The curve through the means of each budget, made monotone by pooling neighbours that are out of order."""
    tokens_R, loss_R = _checked(tokens_R, loss_R)
    budgets = np.unique(tokens_R)
    blocks = [[float(loss_R[tokens_R == budget].mean()), 1] for budget in budgets]
    pooled: list[list[float]] = []
    for mean, count in blocks:
        pooled.append([mean, count])
        while len(pooled) > 1 and pooled[-2][0] < pooled[-1][0]:
            (one, m), (other, n) = pooled[-2:]
            pooled[-2:] = [[(one * m + other * n) / (m + n), m + n]]
    return Interpolated(budgets, np.concatenate([np.full(int(n), mean) for mean, n in pooled]))


def curve(tokens_R: np.ndarray, loss_R: np.ndarray, method: Method = "law") -> Alone:
    """One of the two curves."""
    return power_law(tokens_R, loss_R) if method == "law" else interpolated(tokens_R, loss_R)


def misfit(tokens_R: np.ndarray, loss_R: np.ndarray) -> float:
    """What the law misses its own points by, in nats: beside the noise, whether to use it.

    ``sqrt(Σ (L_law - L)² / (R - 3))``: were the law true, this would be the noise of a run. NaN for three points, which
    the law's three parameters always reach.
    """
    law = power_law(tokens_R, loss_R)
    squares = sum((law.loss(n) - loss) ** 2 for n, loss in zip(tokens_R, loss_R, strict=True))
    return math.sqrt(squares / (len(tokens_R) - 3)) if len(tokens_R) > 3 else math.nan


@dataclass(frozen=True)
class Efficiency:
    """Token efficiency of one language in one mixture, over seeds."""

    seen: float
    """Tokens of the language that were trained on."""
    value: float
    """Geometric mean over seeds of equivalent tokens over ``seen``; infinite or zero beyond the measured curve."""
    low: float | None
    """Lower end of the 95 % interval (Student's, of the logs); None with one seed or beyond the curve."""
    high: float | None
    """Upper end."""
    by_seed: Mapping[int, float]
    """Seed to its own efficiency, by that seed's own curve."""

    @property
    def equivalent(self) -> float:
        """Tokens alone that the language's loss is worth."""
        return self.value * self.seen


def efficiency(
    alone: Mapping[int, tuple[np.ndarray, np.ndarray]],
    loss_by_seed: Mapping[int, float],
    seen: float,
    method: Method = "law",
) -> Efficiency:
    """Token efficiency with an interval over seeds, each of which has its own single-language runs.

    Args:
        alone: seed to (tokens, losses) of its runs on the language alone.
        loss_by_seed: seed to the loss of the language in the mixture, in the unit of ``alone``.
        seen: tokens of the language in the mixture.
        method: curve that equivalents are read off.

    Raises:
        BadInput: a seed without runs on the language alone, or too few of them.
    """
    if missing := [seed for seed in loss_by_seed if seed not in alone]:
        raise BadInput(f"no runs on the language alone with seed {missing[0]}", expected="as many as for the others")
    if not loss_by_seed or not seen > 0:
        raise BadInput(
            f"{len(loss_by_seed)} runs with {seen:g} tokens of the language", expected="at least one of each"
        )
    by_seed = {seed: curve(*alone[seed], method).tokens(loss) / seen for seed, loss in loss_by_seed.items()}
    logs = np.log([value for value in by_seed.values() if 0 < value < math.inf])
    if len(logs) < len(by_seed):
        outside = next(value for value in by_seed.values() if not 0 < value < math.inf)
        return Efficiency(seen, outside, None, None, by_seed)
    mean = over_repeats(logs)
    low, high = (None if end is None else math.exp(end) for end in (mean.low, mean.high))
    return Efficiency(seen, float(np.exp(logs.mean())), low, high, by_seed)


def equivalents(measurements: Measurements, language: str, method: Method = "law") -> dict[str, Efficiency]:
    """Token efficiency of a language in every mixture of a table of runs that holds its single-language runs too.

    For real languages: "your Swahili behaves as if it had 2.3 times its tokens". Losses are taken as nats per byte.

    Args:
        measurements: runs of one recipe; those on the language alone differ in D.
        language: trained on and evaluated.
        method: curve that equivalents are read off.

    Returns:
        Mixture (shares printed with three digits) to its efficiency over the seeds it was run with.

    Raises:
        BadInput: no such language, proxies of several sizes, or too few budgets of the language alone.
    """
    for names, where in ((measurements.languages, "languages"), (measurements.targets, "targets")):
        if language not in names:
            raise BadInput(f"no {language} among the {where}", expected=" | ".join(names))
    sizes = np.unique(measurements.N_R[~np.isnan(measurements.N_R)])
    if len(sizes) > 1:
        raise BadInput(f"proxies of {len(sizes)} sizes", where="token equivalents", expected="runs of one recipe")
    own_R = measurements.p_RL[:, measurements.languages.index(language)]
    loss_R = measurements.loss(language) * math.log(2)
    alone_R = own_R > ALONE
    alone = {
        int(seed): (measurements.D_R[rows], loss_R[rows])
        for seed in np.unique(measurements.seed_R[alone_R])
        if (rows := alone_R & (measurements.seed_R == seed)).any()
    }
    groups: dict[tuple[str, float], dict[int, float]] = {}
    for r in np.flatnonzero(~alone_R & (own_R > 0) & np.isfinite(loss_R)):
        shares = zip(measurements.languages, measurements.p_RL[r], strict=True)
        label = " ".join(f"{name}={p:.3f}" for name, p in shares if p > 0)
        groups.setdefault((label, own_R[r] * measurements.D_R[r]), {})[int(measurements.seed_R[r])] = float(loss_R[r])
    return {label: efficiency(alone, losses, seen, method) for (label, seen), losses in groups.items()}


def _checked(tokens_R: np.ndarray, loss_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    tokens_R, loss_R = np.asarray(tokens_R, float), np.asarray(loss_R, float)
    if len(np.unique(tokens_R)) < FEWEST_BUDGETS:
        raise BadInput(
            f"{len(np.unique(tokens_R))} budgets of the language alone",
            where="token equivalents",
            expected=f"at least {FEWEST_BUDGETS} different ones, of the same recipe, each with its full schedule",
        )
    return tokens_R, loss_R
