"""Weighting: loss weights per language, which move the expected gradient where sampling does not.

Sampling at ``q`` and weighting each language's loss by ``w_l = p_l / q_l`` has the same expected gradient as sampling
at ``p``; what differs is the variance of a stochastic gradient (Li et al., "Upsample or Upweight?", arXiv 2410.04579).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from glotmix.errors import BadInput
from glotmix.mixture.balancing import proportional, temperature
from glotmix.mixture.mixture import Mixture


@dataclass(frozen=True)
class Overflow:
    """A language whose loss weight is so large that its rare sequences rule the gradient."""

    language: str
    """The language."""
    weight: float
    """Its loss weight w."""
    second_moment_share: float
    """Its share of the second moment of the stochastic gradient, ``q_l w_l² G_l / Σ q w² G``."""
    sampled: float
    """The share at which it is sampled."""


class Weighting(Mapping[str, float]):
    """Loss weights ``w_l`` over languages, finite and not negative; immutable and keyed by name.

    A trainer multiplies each sequence's loss by the weight of its language. Weights made here have mean one under the
    mixture that is sampled, so that the learning rate keeps its meaning.
    """

    __slots__ = ("_weights",)

    def __init__(self, weights: Mapping[str, float], *, where: object = None):
        for language, weight in weights.items():
            if not math.isfinite(weight) or weight < 0:
                raise BadInput(f"weight of {language} is {weight}", where=where, expected="a number of at least 0")
        self._weights = {language: float(weight) for language, weight in weights.items()}

    @classmethod
    def between(cls, sampled: Mixture, target: Mixture) -> Weighting:
        """``w_l = p_l / q_l``: sampling at ``sampled`` (q) stands for training on ``target`` (p).

        Raises:
            BadInput: a language has a share in the target and none in the sample: no weight can stand for it.
        """
        if lost := [language for language in target.support if sampled.get(language, 0.0) == 0]:
            raise BadInput(f"{', '.join(lost)} is never sampled", expected="a share above 0, or target share 0")
        return cls({name: target.get(name, 0.0) / share if share else 0.0 for name, share in sampled.items()})

    def __getitem__(self, language: str) -> float:
        return self._weights[language]

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    def __hash__(self) -> int:
        return hash(frozenset(self._weights.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Weighting) and self._weights == other._weights

    def __repr__(self) -> str:
        return f"Weighting({', '.join(f'{language} {weight:.4g}' for language, weight in self._weights.items())})"

    def target(self, sampled: Mixture) -> Mixture:
        """The mixture that sampling at ``sampled`` with these weights stands for: ``p_l ∝ q_l w_l``."""
        return Mixture.normalised({name: share * self._weights[name] for name, share in sampled.items()})

    def second_moment_shares(self, sampled: Mixture, G: Mapping[str, float] | None = None) -> dict[str, float]:
        """Each language's share of ``E‖g‖² = Σ q_l w_l² G_l``.

        Args:
            sampled: the mixture q that is sampled.
            G: second moments of the languages' single-sequence gradients; all equal when not given.
        """
        parts = _second_moments(sampled, self, G)
        total = math.fsum(parts.values())
        return {name: part / total if total else 0.0 for name, part in parts.items()}

    def overflowing(
        self, sampled: Mixture, *, limit: float = 10.0, G: Mapping[str, float] | None = None
    ) -> tuple[Overflow, ...]:
        """Languages with a weight above ``limit``, largest first, with the share of the second moment they cause."""
        shares = self.second_moment_shares(sampled, G)
        found = [name for name in sampled if self._weights[name] > limit]
        found.sort(key=lambda name: -self._weights[name])
        return tuple(Overflow(name, self._weights[name], shares[name], sampled[name]) for name in found)

    def to_json(self) -> dict[str, float]:
        """A plain dict, for JSON and YAML."""
        return dict(self._weights)


def scalarization(sizes: Mapping[str, float], tau: float) -> Weighting:
    """Weights that stand for temperature τ under proportional sampling: ``w_l(τ) = p(l; τ) / p(l; 1)``.

    Source: arXiv 2410.04579, Theorem 1.
    """
    return Weighting.between(proportional(sizes), temperature(sizes, tau))


def mixed(sizes: Mapping[str, float], *, sample: float, target: float) -> tuple[Mixture, Weighting]:
    """Sample at temperature ``sample`` and weight the rest of the way to ``target``: ``w_l = p(l; τ₂) / p(l; τ₁)``.

    ``sample = target`` is temperature sampling (weights one), ``sample = 1`` scalarization. The general form is ours.
    """
    sampled = temperature(sizes, sample)
    return sampled, Weighting.between(sampled, temperature(sizes, target))


def variance_factor(sampled: Mixture, target: Mixture) -> float:
    """``F = Σ p_l² / q_l = 1 + χ²(p‖q)``: second moment of the weighted gradient over that of sampling the target.

    With ``q = p(·; 1)`` and ``p = p(·; τ)`` this is F(τ) of arXiv 2410.04579, Lemma 2.1. It is the ratio of second
    moments only where all languages have equal gradient second moments ``G_l``, which the published proof of Theorem 2
    assumes without saying so; :func:`second_moment_ratio` takes them as measured.
    """
    return second_moment_ratio(sampled, target, None)


def second_moment_ratio(sampled: Mixture, target: Mixture, G: Mapping[str, float] | None) -> float:
    """``E‖g_weighted‖² / E‖g_sampled‖² = Σ p_l (p_l / q_l) G_l / Σ p_l G_l``.

    Below one, weighting is the quieter of the two: it happens when the languages that are weighted down have much
    larger gradients. The sign is that of ``Σ p_l (w_l - 1) G_l`` (ours; the paper claims ≥ 1 always).

    Args:
        sampled: mixture q that the weighted form samples.
        target: mixture p that both forms stand for.
        G: second moments of single-sequence gradients by language; all equal when None.
    """
    weighted = _second_moments(sampled, Weighting.between(sampled, target), G)
    plain = _second_moments(target, Weighting(dict.fromkeys(target, 1.0)), G)
    return math.fsum(weighted.values()) / math.fsum(plain.values())


def _second_moments(q: Mixture, w: Mapping[str, float], G: Mapping[str, float] | None) -> dict[str, float]:
    if G is not None and (missing := [name for name in q.support if name not in G]):
        raise BadInput(f"no gradient second moment of {', '.join(missing)}", where="G")
    return {name: share * w[name] ** 2 * (1.0 if G is None else G[name]) for name, share in q.items() if share > 0}
