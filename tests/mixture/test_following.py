"""Draws follow an adaptive method's mixture of the moment; nothing repeats before everything was seen."""

import math

import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.mixture.balancing import uniform
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.samplers.adaptive import AdaptiveSampler

AVAILABLE = {"a": 50, "b": 7, "c": 2000}


class Told:
    """A method whose mixture is set from outside."""

    def __init__(self, mixture):
        self.mixture, self.languages = mixture, tuple(mixture)


def test_shares_are_those_of_the_mixture_at_the_time():
    method = Told(Mixture({"a": 0.7, "b": 0.1, "c": 0.2}))
    following = AdaptiveSampler(method, 20_000, AVAILABLE, 3)
    first = np.bincount(np.concatenate([following.draw(8 * i, 8)[0] for i in range(1000)]), minlength=3)
    method.mixture = Mixture({"a": 0.1, "b": 0.0, "c": 0.9})
    second = np.bincount(np.concatenate([following.draw(8000 + 8 * i, 8)[0] for i in range(1000)]), minlength=3)
    for counts, shares in ((first, (0.7, 0.1, 0.2)), (second, (0.1, 0.0, 0.9))):
        for count, share in zip(counts, shares, strict=True):
            assert abs(count - 8000 * share) <= 4 * math.sqrt(8000 * share * (1 - share))
    assert following.counts(8000, 16_000) == dict(zip("abc", second.tolist(), strict=True))
    assert sum(following.counts(0, 16_000).values()) == 16_000


def test_every_epoch_of_a_language_holds_each_sequence_once_in_an_order_of_its_own():
    following = AdaptiveSampler(Told(uniform(AVAILABLE)), 3000, AVAILABLE, 0)
    drawn = [following.draw(6 * i, 6) for i in range(500)]
    language, sequence = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    of_b = sequence[language == 1]
    epochs = of_b[: len(of_b) // 7 * 7].reshape(-1, 7)
    assert (np.sort(epochs, 1) == np.arange(7)).all()
    assert len({tuple(epoch) for epoch in epochs.tolist()}) > 0.9 * len(epochs)


def test_the_order_depends_on_seed_alone_and_goes_on_from_its_state():
    def draws(following, first, last):
        return [tuple(map(tuple, following.draw(4 * i, 4))) for i in range(first, last)]

    whole = draws(AdaptiveSampler(Told(uniform(AVAILABLE)), 400, AVAILABLE, 1), 0, 60)
    half = AdaptiveSampler(Told(uniform(AVAILABLE)), 400, AVAILABLE, 1)
    draws(half, 0, 30)
    resumed = AdaptiveSampler(Told(uniform(AVAILABLE)), 400, AVAILABLE, 1)
    resumed.restore(half.state())
    assert draws(resumed, 30, 60) == whole[30:]
    assert draws(AdaptiveSampler(Told(uniform(AVAILABLE)), 400, AVAILABLE, 2), 0, 60) != whole


def test_draws_out_of_turn_and_languages_without_text_are_named():
    following = AdaptiveSampler(Told(uniform(AVAILABLE)), 400, AVAILABLE, 1)
    following.draw(0, 4)
    with pytest.raises(BadInput, match="draw 8 after 4"):
        following.draw(8, 4)
    with pytest.raises(BadInput, match="draws 0 to 3"):
        following.counts(0, 3)
    with pytest.raises(BadInput, match="d has no sequences"):
        AdaptiveSampler(Told(uniform(["a", "d"])), 10, AVAILABLE, 0)
