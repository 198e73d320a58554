"""A language cut short for simulated epoching is a fair sample of its text, the same for every run."""

import numpy as np

from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.loader import MixtureBatches
from glotmix.proxy.run import StackRun

T, THERE, AVAILABLE = 8, 100, 20


class Store:
    """Token i is i, so a sequence tells where it lies."""

    def train(self, language):
        return np.arange(THERE * T + 1, dtype=np.uint16)


def places(seed, available):
    training = ProxyConfig(width=32, heads=2, context=T, batch=5, tokens=5 * T * 40)
    run = StackRun("r", Schedule.constant(Mixture({"a": 1.0})), 5 * T * 40, seed)
    batches = MixtureBatches(Store(), [run], training, {"a": available})
    tokens = np.concatenate([batches(0, step) for step in range(40)])
    assert (tokens == tokens[:, :1] + np.arange(T + 1)).all()  # whole sequences, one token more
    return tokens[:, 0] // T


def test_exactly_the_available_sequences_are_read_equally_often_by_every_run():
    read, times = np.unique(places(seed=0, available=AVAILABLE), return_counts=True)
    assert len(read) == AVAILABLE
    assert set(times) == {200 // AVAILABLE}
    assert set(read) == set(places(seed=1, available=AVAILABLE))


def test_they_are_spread_over_the_text_and_not_its_beginning():
    read = np.unique(places(seed=0, available=AVAILABLE))
    # The first twenty would have mean 9.5; a fair sample 49.5 with a standard error of 5.8.
    assert abs(read.mean() - 49.5) < 3 * 5.8
    assert read.max() > AVAILABLE


def test_a_language_that_is_not_cut_is_read_whole():
    assert set(places(seed=0, available=THERE)) == set(range(THERE))
