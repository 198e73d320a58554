import math

import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.estimate import over_repeats
from glotmix.measurements import Measurements
from glotmix.probe.equivalents import (
    PowerLaw,
    efficiency,
    equivalents,
    interpolated,
    misfit,
    power_law,
)

SMALL_EN = PowerLaw(0.03868389, 0.20725335, 0.08406524, 1.0)
"""The fit of arXiv 2404.07982 to its GPT small on English; x = 1 is 1.197B tokens. Recovered from its notebook."""
BUDGETS = np.array([0.05, 0.1, 0.2, 0.5, 1.0, 2.0])


def losses(law, tokens_R):
    return np.array([law.loss(tokens) for tokens in tokens_R])


def test_published_constants_give_the_published_equivalent_perplexities():
    found = [round(SMALL_EN.perplexity(x), 1) for x in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 1, 2, 3)]
    assert found == [82.7, 46.0, 33.3, 29.1, 26.8, 25.4, 22.0, 19.8, 18.8]


@pytest.mark.parametrize(
    ("perplexity", "share", "published"),
    [(32.81, 0.1, 2.076), (26.14, 0.5, 0.885), (26.13, 0.5, 0.887), (22.46, 0.9, 1.000), (29.65, 0.3, 0.936)],
)
def test_published_perplexities_give_the_published_token_efficiencies(perplexity, share, published):
    # Perplexities are printed with two digits, which is half a unit of the third digit here. One token one token is 1.
    assert SMALL_EN.tokens(math.log(perplexity)) / share == pytest.approx(published, abs=2e-3)


@pytest.mark.parametrize("law", [SMALL_EN, PowerLaw(0.05686369, 0.19327476, 0.11919054, 1.0)])
def test_a_planted_law_is_found_from_its_points_and_inverts_itself(law):
    found = power_law(BUDGETS, losses(law, BUDGETS), unit=1.0)
    assert (found.a, found.b, found.c) == pytest.approx((law.a, law.b, law.c), rel=1e-4)
    for tokens in (0.07, 0.7, 7.0):
        assert found.tokens(found.loss(tokens)) == pytest.approx(tokens)
    assert found.tokens(-math.log(law.c) - 1e-3) == math.inf  # better than infinitely many tokens alone
    assert misfit(BUDGETS, losses(law, BUDGETS)) < 1e-5


def test_the_law_does_not_depend_on_the_unit_and_small_noise_moves_it_little():
    rng = np.random.default_rng(0)
    noisy = losses(SMALL_EN, BUDGETS) + rng.normal(0, 0.003, len(BUDGETS))
    one, other = power_law(BUDGETS, noisy, unit=1.0), power_law(1e9 * BUDGETS, noisy)
    for loss in (3.4, 3.3, 3.2):
        assert other.tokens(loss) == pytest.approx(1e9 * one.tokens(loss), rel=1e-6)
        # A token for a token would be off by a factor of 2 at 90/10; the noise by a few per cent.
        assert one.tokens(loss) == pytest.approx(SMALL_EN.tokens(loss), rel=0.06)


def test_interpolation_goes_through_its_points_and_says_so_beyond_them():
    steps = np.array([2.43, 2.30, 1.95, 1.65])  # a small model learns in steps, which no power law follows
    tokens = np.array([0.82, 2.05, 4.10, 8.19])
    found = interpolated(tokens, steps)
    assert [found.loss(n) for n in tokens] == pytest.approx(steps.tolist())
    assert [found.tokens(loss) for loss in steps] == pytest.approx(tokens.tolist(), rel=1e-3)
    assert 2.05 < found.tokens(2.04) < 4.10
    assert found.tokens(1.6) == math.inf
    assert found.tokens(2.5) == 0.0
    assert math.isnan(found.loss(9.0))
    assert misfit(tokens, steps) > 0.02


def test_budgets_out_of_order_are_pooled_and_repeats_are_averaged():
    found = interpolated(np.array([1.0, 1.0, 2.0, 4.0, 8.0]), np.array([2.9, 3.1, 2.5, 2.7, 2.0]))
    assert found.loss_R.tolist() == pytest.approx([3.0, 2.6, 2.6, 2.0])


def alone(seed):
    return {seed: (BUDGETS, losses(SMALL_EN, BUDGETS) + 0.004 * seed)}


def test_efficiency_is_a_geometric_mean_over_seeds_each_by_its_own_curve():
    curves = alone(0) | alone(1) | alone(2)
    shifted = {seed: math.log(32.81) + 0.004 * seed for seed in curves}
    # A seed whose losses are all worse by as much says the same; by one seed's curve for all it would say less.
    same = efficiency(curves, shifted, seen=0.1)
    assert same.value == pytest.approx(2.0755, rel=1e-2)
    assert same.low is None  # seeds that agree exactly tell nothing of the noise
    found = efficiency(curves, shifted | {2: shifted[2] + 0.001}, seen=0.1)
    assert found.value == pytest.approx(2.0755, rel=1e-2)
    assert found.equivalent == pytest.approx(found.value * 0.1)
    assert found.low < found.value < found.high
    one = efficiency(alone(0), {0: math.log(32.81)}, seen=0.1)
    assert one.value == pytest.approx(2.0755, rel=1e-3)
    assert one.low is None


def test_an_efficiency_beyond_the_curve_has_no_interval():
    found = efficiency(alone(0) | alone(1), {0: 1.0, 1: 3.4}, seen=0.1)
    assert found.value == math.inf
    assert found.low is None


def test_intervals_are_students():
    found = over_repeats([1.0, 2.0, 3.0])
    assert (found.low, found.high) == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)))


def measurements(sizes=(1.0, 1.0)):
    """Runs on Swahili alone at six budgets, and a mixture with 10 % of it that is worth 2.3 times its tokens."""
    rows = [(1.0, tokens, SMALL_EN.loss(tokens)) for tokens in BUDGETS] + [(0.1, 1.0, SMALL_EN.loss(0.23))]
    p = np.array([[own, 1 - own] for own, _, _ in rows])
    loss = np.array([[nats / math.log(2), math.nan] for _, _, nats in rows])
    return Measurements(
        tuple(f"r{i}" for i in range(7)),
        ("swh_Latn", "eng_Latn"),
        ("swh_Latn", "eng_Latn"),
        p,
        loss,
        np.array([sizes[0]] * 6 + [sizes[1]]),
        np.array([tokens for _, tokens, _ in rows]),
        np.zeros(7, int),
        ("",) * 7,
    )


def test_real_languages_read_their_equivalents_off_a_table_of_runs():
    (label, found), *more = equivalents(measurements(), "swh_Latn").items()
    assert not more
    assert label == "swh_Latn=0.100 eng_Latn=0.900"
    assert found.value == pytest.approx(2.3, rel=1e-3)
    assert found.equivalent == pytest.approx(0.23, rel=1e-3)


def test_another_recipe_too_few_budgets_and_rising_losses_are_refused():
    with pytest.raises(BadInput, match="proxies of 2 sizes"):
        equivalents(measurements(sizes=(1.0, 2.0)), "swh_Latn")
    with pytest.raises(BadInput, match="no zul_Latn among the languages"):
        equivalents(measurements(), "zul_Latn")
    with pytest.raises(BadInput, match="2 budgets of the language alone"):
        power_law(np.array([1.0, 1.0, 2.0]), np.array([3.0, 3.1, 2.0]))
    with pytest.raises(BadInput, match="do not lower the loss"):
        power_law(BUDGETS, np.linspace(2, 3, 6))
    with pytest.raises(BadInput, match="no runs on the language alone with seed 7"):
        efficiency(alone(0), {7: 3.0}, seen=0.1)
