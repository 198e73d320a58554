import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glotmix.errors import BadInput
from glotmix.mixture.balancing import proportional, temperature
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.weighting import Weighting, mixed, scalarization, second_moment_ratio, variance_factor

MC4 = {"eng": 2733, "ita": 162, "zho": 39, "swh": 1}
"""Billions of tokens, arXiv 2410.04579."""
EN_FR_RO = {"fra": 40e6, "ron": 0.6e6}
EN_CS_RO = {"ces": 56e6, "ron": 0.6e6}
sizes_of = st.dictionaries(st.sampled_from("abcdef"), st.floats(1, 1e6), min_size=2)
temperatures = st.floats(1, 20)


@pytest.mark.parametrize(
    ("sizes", "tau", "F"),
    [
        (MC4, 2, 2.25), (MC4, 3.33, 10.98), (MC4, 5, 29.8), (MC4, 100, 174.5),
        (EN_FR_RO, 2, 1.61), (EN_FR_RO, 3, 3.30), (EN_FR_RO, 5, 6.65),
        (EN_CS_RO, 2, 1.66), (EN_CS_RO, 3, 3.76), (EN_CS_RO, 5, 8.31),
    ],
)  # fmt: skip
def test_variance_factor_of_the_papers_own_corpora(sizes, tau, F):
    """F(τ) = Σ p(i; τ)² / p(i; 1) to the digits of the note; no weighting scores 1."""
    digits = 0.05 if F > 20 else 0.005
    assert variance_factor(proportional(sizes), temperature(sizes, tau)) == pytest.approx(F, abs=digits)


def test_scalarization_weights_of_mc4_at_temperature_five():
    np.testing.assert_allclose(list(scalarization(MC4, 5).values()), [0.488, 4.68, 14.6, 274], rtol=2e-3)


@given(sizes_of, temperatures, temperatures, st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_every_form_of_one_target_has_the_same_expected_gradient(sizes, sample, target, seed):
    """Sampling at τ₂; sampling at τ₁ and weighting the rest; weighting alone: Σ q_l w_l g_l is one vector."""
    gradients = dict(zip(sizes, np.random.default_rng(seed).normal(size=(len(sizes), 7)), strict=True))

    def expected(q, w):
        return sum(q[name] * w[name] * gradients[name] for name in sizes)

    ones = Weighting(dict.fromkeys(sizes, 1.0))
    reference = expected(temperature(sizes, target), ones)
    np.testing.assert_allclose(expected(*mixed(sizes, sample=sample, target=target)), reference, rtol=1e-6, atol=1e-12)
    weighted = expected(proportional(sizes), scalarization(sizes, target))
    np.testing.assert_allclose(weighted, reference, rtol=1e-6, atol=1e-12)


@given(sizes_of, temperatures, temperatures)
@settings(max_examples=40)
def test_weights_have_mean_one_under_what_is_sampled_and_give_back_the_target(sizes, sample, target):
    q, w = mixed(sizes, sample=sample, target=target)
    assert sum(q[name] * w[name] for name in q) == pytest.approx(1.0)
    assert w.target(q).total_variation(temperature(sizes, target)) < 1e-9


@given(sizes_of, temperatures)
@settings(max_examples=40)
def test_variance_factor_is_one_plus_chi_square_and_grows_with_temperature(sizes, tau):
    q, p = proportional(sizes), temperature(sizes, tau)
    chi_square = sum((p[name] - q[name]) ** 2 / q[name] for name in sizes)
    F = variance_factor(q, p)
    assert pytest.approx(1 + chi_square) == F
    assert F >= 1 - 1e-12
    assert variance_factor(q, temperature(sizes, tau + 1)) >= F - 1e-9


def test_second_moments_of_drawn_gradients_have_the_stated_ratio():
    """Monte Carlo of single-sequence gradients with unequal G, 400,000 draws; equal G would predict 1.36."""
    rng = np.random.default_rng(0)
    p1, target, G = np.array([0.7, 0.3]), np.array([0.4, 0.6]), np.array([4.0, 1.0])
    w = target / p1

    def second_moment(q, weights):
        language = rng.choice(2, p=q, size=200_000)
        return np.mean((weights[language] * rng.normal(size=200_000)) ** 2 * G[language])

    measured = second_moment(p1, w) / second_moment(target, np.ones(2))
    stated = second_moment_ratio(Mixture({"a": 0.7, "b": 0.3}), Mixture({"a": 0.4, "b": 0.6}), {"a": 4.0, "b": 1.0})
    assert stated == pytest.approx((0.4**2 / 0.7 * 4 + 0.6**2 / 0.3) / (0.4 * 4 + 0.6))
    assert measured == pytest.approx(stated, rel=0.02)


def test_the_papers_inequality_turns_around_where_the_large_language_has_large_gradients():
    """90/10 weighted to 70/30: the sign of Σ p (w - 1) G flips at G ratio 27/7 = 3.857; at 99/1 to 50/50 at 99."""
    for q, p, flip in (((0.9, 0.1), (0.7, 0.3), 27 / 7), ((0.99, 0.01), (0.5, 0.5), 99.0)):
        sampled, target = Mixture(dict(zip("hl", q, strict=True))), Mixture(dict(zip("hl", p, strict=True)))
        assert second_moment_ratio(sampled, target, {"h": flip, "l": 1.0}) == pytest.approx(1.0)
        assert second_moment_ratio(sampled, target, {"h": flip * 1.01, "l": 1.0}) < 1
        assert second_moment_ratio(sampled, target, None) > 1


def test_overflowing_weights_are_reported_with_the_variance_they_cause():
    swahili, chinese = scalarization(MC4, 5).overflowing(proportional(MC4), limit=10)
    assert (swahili.language, chinese.language) == ("swh", "zho")
    assert swahili.weight == pytest.approx(274, rel=1e-3)
    p, F = temperature(MC4, 5), variance_factor(proportional(MC4), temperature(MC4, 5))
    assert swahili.second_moment_share == pytest.approx(p["swh"] ** 2 * (2935 / 1) / F)  # 86 % from 0.03 % of the data
    assert scalarization(MC4, 1).overflowing(proportional(MC4)) == ()


def test_second_moment_shares_follow_measured_gradients():
    q = Mixture({"a": 0.5, "b": 0.5})
    assert Weighting({"a": 1.0, "b": 1.0}).second_moment_shares(q, {"a": 3.0, "b": 1.0}) == {"a": 0.75, "b": 0.25}


def test_a_language_that_is_never_sampled_cannot_be_weighted_up():
    with pytest.raises(BadInput, match="b is never sampled"):
        Weighting.between(Mixture({"a": 1.0, "b": 0.0}), Mixture({"a": 0.5, "b": 0.5}))
    assert Weighting.between(Mixture({"a": 1.0, "b": 0.0}), Mixture({"a": 1.0, "b": 0.0})) == Weighting(
        {"a": 1, "b": 0}
    )


def test_weights_must_be_finite_and_not_negative():
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(BadInput, match="weight of a"):
            Weighting({"a": bad})
    with pytest.raises(BadInput, match="no gradient second moment of b"):
        second_moment_ratio(Mixture({"a": 0.5, "b": 0.5}), Mixture({"a": 0.5, "b": 0.5}), {"a": 1.0})
