import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.loader import MixtureBatches
from glotmix.proxy.run import StackRun

TRAINING = ProxyConfig(context=8, batch=4)


class Store:
    """Language a holds the numbers 0, 1, 2, …; language b the same from 10,000 on."""

    def train(self, language):
        return np.arange(801, dtype=np.uint16) + {"a": 0, "b": 10_000}[language]


def batches(tokens=8 * 4 * 200, shares=None, **options):
    schedule = Schedule.constant(Mixture(shares or {"a": 0.75, "b": 0.25}))
    return MixtureBatches(Store(), [StackRun("r", schedule, tokens, 3)], TRAINING, **options)


def test_a_sequence_is_t_plus_one_neighbouring_tokens_of_one_language_starting_at_a_multiple_of_t():
    rows = np.concatenate([batches()(0, step) for step in range(200)]).astype(int)
    assert rows.shape == (800, 9)
    assert (np.diff(rows, axis=1) == 1).all()
    assert ((rows[:, 0] % 10_000) % 8 == 0).all()


def test_tokens_by_language_are_what_the_batches_held_and_the_shares_are_exact():
    source = batches()
    held = sum((source(0, step)[:, 1:] < 10_000).sum() for step in range(200))
    assert source.tokens_by_language(0, 200) == {"a": held, "b": 6400 - held} == {"a": 4800, "b": 1600}


def test_any_step_can_be_asked_for_first_and_gives_the_same_batch():
    in_order = batches()
    rows = [in_order(0, step).copy() for step in range(200)]
    for step in (199, 3, 64, 63, 150):
        assert (batches()(0, step) == rows[step]).all()


def test_languages_of_a_batch_name_where_its_rows_came_from():
    source = batches()
    for step in (0, 77):
        assert [("b" if row[0] >= 10_000 else "a") for row in source(0, step)] == source.languages_of(0, step)


@pytest.mark.parametrize("limit", [0, 101])
def test_more_sequences_than_there_are_or_none_is_bad_input(limit):
    with pytest.raises(BadInput, match=f"{limit} sequences of a"):
        batches(sequences_available={"a": limit})
