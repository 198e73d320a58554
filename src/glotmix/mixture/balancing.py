"""Balancing methods: a mixture from the sizes of the corpora and one dial.

``sizes`` are what the method balances: unique tokens per language here; the papers count tokens or characters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from glotmix.errors import BadInput, Infeasible
from glotmix.mixture.mixture import Mixture


def proportional(sizes: Mapping[str, float]) -> Mixture:
    """``p_l = U_l / Σ U``: every document once as often as any other (temperature 1)."""
    return Mixture(_shares(sizes))


def uniform(languages: Iterable[str]) -> Mixture:
    """``p_l = 1 / L``: the limit of temperature sampling as τ → ∞."""
    languages = tuple(languages)
    return Mixture.normalised(dict.fromkeys(languages, 1.0)) if languages else Mixture({})


def temperature(sizes: Mapping[str, float], tau: float) -> Mixture:
    """Temperature sampling, ``p_l ∝ U_l^(1/τ)``; τ = 1/α of mBERT and XLM-R (α = 0.3 is τ = 3.33).

    Source: Li et al., "Upsample or Upweight?" (arXiv 2410.04579), §2. ``math.inf`` gives the uniform mixture over the
    languages that have text. A language of size zero keeps share zero at every τ.

    Raises:
        BadInput: τ is not above zero, or a size is negative, not finite, or all are zero.
    """
    if not tau > 0:
        raise BadInput(f"temperature τ = {tau}", expected="a number above 0 (1 is proportional, large is uniform)")
    shares = _shares(sizes)
    if tau == 1:
        return Mixture(shares)
    largest = max(shares.values())
    # Divided by the largest first: U^(1/τ) overflows for τ < 1 on corpora of 1e12 tokens.
    return Mixture.normalised(
        {name: (share / largest) ** (1 / tau) if share else 0.0 for name, share in shares.items()}
    )


def unimax(sizes: Mapping[str, float], budget: float, max_epochs: float) -> Mixture:
    """UniMax: as uniform as possible while no language is seen more than ``max_epochs`` times.

    From the smallest language up, each gets the same part of what is left of the budget, or ``max_epochs · U_l`` where
    that is less; shares are the allocations divided by the budget.
    Source: Chung et al., "UniMax" (arXiv 2304.09151), Algorithm 1. Departure: there a budget above
    ``max_epochs · Σ U`` is normalised away, so that every language quietly exceeds the cap; here it is an error.

    Args:
        sizes: unique tokens ``U_l``.
        budget: training tokens D, in the unit of ``sizes``.
        max_epochs: most passes over any language.

    Raises:
        Infeasible: the budget needs more than ``max_epochs`` passes over the whole corpus.
        BadInput: a budget or cap that is not above zero, or bad sizes.
    """
    _shares(sizes)
    for name, value in (("budget", budget), ("max_epochs", max_epochs)):
        if not (value > 0 and math.isfinite(value)):
            raise BadInput(f"{name} = {value}", expected="a number above 0")
    total = math.fsum(sizes.values())
    if budget > max_epochs * total * (1 + 1e-12):
        raise Infeasible(
            f"UniMax: {budget:.6g} tokens are {budget / total:.4g} epochs of all {total:.6g} unique tokens, "
            f"above max_epochs = {max_epochs:g}",
            expected=f"a budget of at most {max_epochs * total:.6g}, or max_epochs of at least {budget / total:.4g}",
        )
    left, allocated = float(budget), dict.fromkeys(sizes, 0.0)
    ascending = sorted(sizes, key=lambda language: sizes[language])
    for place, language in enumerate(ascending):
        allocated[language] = min(left / (len(ascending) - place), max_epochs * sizes[language])
        left -= allocated[language]
    return Mixture.normalised(allocated)


def _shares(sizes: Mapping[str, float]) -> dict[str, float]:
    for language, size in sizes.items():
        if not math.isfinite(size) or size < 0:
            raise BadInput(f"size of {language} is {size}", expected="a number of tokens, at least 0")
    total = math.fsum(sizes.values())
    if not total > 0:
        raise BadInput("no language has any text", expected="sizes with at least one above 0")
    return {language: size / total for language, size in sizes.items()}
