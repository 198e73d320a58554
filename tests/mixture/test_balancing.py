import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glotmix.errors import BadInput, Infeasible
from glotmix.mixture.balancing import proportional, temperature, uniform, unimax
from glotmix.mixture.mixture import Mixture

MC4 = {"eng": 2733e9, "ita": 162e9, "zho": 39e9, "swh": 1e9}
"""Tokens of the four mC4 languages of arXiv 2410.04579."""
corpora = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(1, 1e12), min_size=1)


def test_temperature_one_is_proportional_and_infinite_is_uniform():
    assert temperature(MC4, 1.0).total_variation(proportional(MC4)) < 1e-15
    assert temperature(MC4, math.inf).total_variation(uniform(MC4)) < 1e-15
    assert temperature(MC4, 100).total_variation(uniform(MC4)) < 0.02  # proportional: 0.68


def test_temperature_shares_of_mc4_are_the_published_ones():
    published = {
        1: (0.9312, 0.0552, 0.0133, 0.0003),
        3.33: (0.5555, 0.2378, 0.1551, 0.0516),
        5: (0.454, 0.258, 0.194, 0.093),
    }
    for tau, shares in published.items():
        np.testing.assert_allclose(temperature(MC4, tau).vector(MC4), shares, atol=1e-3)


def test_temperature_below_one_does_not_overflow_on_large_corpora():
    assert temperature(MC4, 0.01)["eng"] == pytest.approx(1.0)


def test_a_language_without_text_has_no_share_at_any_temperature():
    assert temperature({"a": 5.0, "b": 0.0}, math.inf) == Mixture({"a": 1.0, "b": 0.0})


@given(corpora, st.floats(1, 50), st.floats(1, 50))
@settings(max_examples=40)
def test_temperature_composes_multiplicatively(sizes, one, other):
    twice = temperature(temperature(sizes, one), other)
    assert twice.total_variation(temperature(sizes, one * other)) < 1e-9


@given(corpora, st.floats(0.01, 1.0), st.floats(0.1, 10))
@settings(max_examples=60)
def test_unimax_is_the_most_even_allocation_under_its_cap(sizes, filled, max_epochs):
    """Water-filling: every language stands at one level or at its cap below it, and the budget is spent."""
    budget = filled * max_epochs * sum(sizes.values())
    tokens = unimax(sizes, budget, max_epochs).tokens(budget)
    assert sum(tokens.values()) == pytest.approx(budget)
    level = max(tokens.values())
    for language, size in sizes.items():
        assert tokens[language] == pytest.approx(min(level, max_epochs * size), rel=1e-6)


def test_unimax_by_hand():
    # 1 + 2 are capped at 2 epochs (2 and 4 tokens); 100 - 6 goes half and half to the rest.
    shares = unimax({"a": 1, "b": 2, "c": 90, "d": 500}, budget=100, max_epochs=2)
    np.testing.assert_allclose(shares.vector("abcd"), [0.02, 0.04, 0.47, 0.47])


def test_unimax_with_a_large_cap_is_uniform_and_with_a_full_budget_proportional():
    assert unimax(MC4, 1e9, 1e6).total_variation(uniform(MC4)) < 1e-12
    assert unimax(MC4, 4 * sum(MC4.values()), 4).total_variation(proportional(MC4)) < 1e-12


def test_unimax_refuses_a_budget_above_the_cap_and_says_what_would_do():
    with pytest.raises(Infeasible, match=r"4\.5 epochs .* max_epochs = 4.*at most 40, or max_epochs of at least 4\.5"):
        unimax({"a": 4, "b": 6}, budget=45, max_epochs=4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: temperature(MC4, 0), "temperature τ = 0"),
        (lambda: temperature(MC4, math.nan), "temperature τ = nan"),
        (lambda: proportional({"a": -1.0}), "size of a is -1.0"),
        (lambda: proportional({"a": 0.0}), "no language has any text"),
        (lambda: uniform([]), "a mixture without languages"),
        (lambda: unimax(MC4, 0, 1), "budget = 0"),
        (lambda: unimax(MC4, 1, math.inf), "max_epochs = inf"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(BadInput, match=message):
        call()
