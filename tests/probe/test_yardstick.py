import math

import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.probe.yardstick import Exchange, game_of_two, of_effective_shares, of_equivalents, of_values
from glotmix.transfer.game import Game
from glotmix.transfer.matrix import TransferMatrix
from glotmix.transfer.shapley import exact

NAMES = ("en.1", "en.2")


def matrix(values):
    return TransferMatrix(NAMES, NAMES, np.array(values))


@pytest.mark.parametrize("second", [0.5, 0.2, 0.1])
def test_a_lens_that_takes_clones_for_one_language_says_that_a_token_is_worth_a_token(second):
    # Every token gives both targets the same, so a source's value is its share.
    shares = dict(zip(NAMES, (1 - second, second), strict=True))
    found = of_values(matrix([[1 - second, second], [1 - second, second]]), shares)
    assert (found.to_first, found.to_second) == pytest.approx((1.0, 1.0))
    assert found.asymmetry == pytest.approx(0.0)


def test_a_lens_that_looks_at_sizes_alone_calls_the_large_one_the_better_helper_and_the_asymmetry_says_so():
    # Values that do not depend on the source's share: per token the small language looks nine times as good.
    found = of_values(matrix([[1.0, 1.0], [1.0, 1.0]]), {"en.1": 0.9, "en.2": 0.1})
    assert (found.to_first, found.to_second) == pytest.approx((9.0, 1 / 9))
    assert found.asymmetry == pytest.approx(-2 * math.log2(9))


def test_without_transfer_nothing_is_worth_anything_and_asymmetry_is_not_defined():
    found = of_values(matrix([[1.0, 0.0], [-0.1, 1.0]]), {"en.1": 0.5, "en.2": 0.5})
    assert found.to_first == 0.0
    assert found.to_second == pytest.approx(-0.1)
    assert math.isnan(found.asymmetry)
    assert math.isnan(of_values(matrix([[0.0, 1.0], [1.0, 1.0]]), {"en.1": 0.5, "en.2": 0.5}).to_first)


def test_equivalents_say_what_the_published_efficiencies_mean_per_token():
    # At 90/10 the small clone's 2.076 times its tokens come from nine times as many of the other: 0.12 a token.
    found = of_equivalents((1.0, 2.076), (0.9, 0.1))
    assert found == Exchange(pytest.approx(0.0), pytest.approx(1.076 / 9))
    whole = of_equivalents((1 / 0.9, 1 / 0.1), (0.9, 0.1))  # as if both were one language
    assert (whole.to_first, whole.to_second) == pytest.approx((1.0, 1.0))
    assert math.isnan(of_equivalents((math.inf, 2.0), (0.9, 0.1)).asymmetry)  # a loss beyond the measured curve


def test_the_laws_weight_is_the_exchange_rate_where_shares_add_up():
    found = of_effective_shares((0.3, 0.6), (1.0, 1.0), (0.9, 0.1))
    assert (found.to_first, found.to_second) == pytest.approx((0.3, 0.6))
    bent = of_effective_shares((0.3, 0.3), (0.5, 0.5), (0.5, 0.5))
    assert bent.asymmetry == pytest.approx(0.0)
    assert bent.to_first == pytest.approx((0.5**0.5 + 0.15**0.5) ** 2 / 0.5 - 1)


def test_the_game_of_two_is_the_exact_shapley_value():
    found = game_of_two(6.0, (2.0, 3.0), (9.0, 8.0), (1.5, 2.5), NAMES)
    payoff_CT = 6.0 - np.array([[6.0, 6.0], [2.0, 8.0], [9.0, 3.0], [1.5, 2.5]])
    np.testing.assert_allclose(found.value_TL, exact(Game(NAMES, NAMES, payoff_CT)).value_TL)
    np.testing.assert_allclose(found.value_TL.sum(1), [4.5, 3.5])  # efficiency: all that was gained


def test_languages_without_a_share_and_other_numbers_than_two_are_refused():
    with pytest.raises(BadInput, match=r"expected shares above 0 of en\.1 and en\.2"):
        of_values(matrix(np.eye(2)), {"en.1": 1.0})
    with pytest.raises(BadInput, match="1 languages"):
        of_values(TransferMatrix(("a",), ("a",), np.ones((1, 1))), {"a": 1.0})
