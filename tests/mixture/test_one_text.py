import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glotmix.errors import BadInput
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.samplers.clones import CloneSampler
from glotmix.mixture.samplers.scheduled import Sampler
from glotmix.mixture.schedule import Schedule, Stage

TOTAL, AVAILABLE = 3000, 4001


def of(first: float, parallel: float = 0.0, seed: int = 3, total: int = TOTAL) -> CloneSampler:
    schedule = Schedule.constant(Mixture.normalised({"en.1": first, "en.2": 1 - first}))
    return CloneSampler(schedule, total, AVAILABLE, seed, "en", parallel)


def test_runs_of_one_seed_read_the_same_text_in_the_same_order_whatever_their_mixture():
    alone = Sampler(Schedule.constant(Mixture({"en": 1.0})), TOTAL, {"en": AVAILABLE}, 3).draw(0, TOTAL)[1]
    for first in (0.5, 0.9, 1.0):
        np.testing.assert_array_equal(of(first).draw(0, TOTAL)[1], alone)
    assert (of(0.5, seed=4).draw(0, TOTAL)[1] != alone).mean() > 0.9


def test_no_sequence_is_read_in_two_languages_and_counts_are_those_of_the_schedule():
    language, sequence = of(0.9).draw(0, TOTAL)
    first, second = (set(sequence[language == i].tolist()) for i in (0, 1))
    assert not first & second
    assert (len(first), len(second)) == (2700, 300)  # so nothing repeats within a language either
    assert of(0.9).counts(0, TOTAL) == {"en.1": 2700, "en.2": 300}


def test_the_language_falls_to_each_sequence_independently_of_its_neighbours():
    language, _ = of(0.5).draw(0, TOTAL)
    # Runs of equal languages: 1 + (n - 1) / 2 expected of fair coins, standard deviation 27; batches would give tens.
    assert abs((np.diff(language) != 0).sum() - TOTAL / 2) < 110


@given(st.floats(0.05, 0.95), st.sampled_from([0.0, 0.2, 0.37, 1.0]), st.integers(0, 2999), st.integers(0, 800))
@settings(max_examples=25)
def test_any_part_can_be_asked_for_first(first, parallel, start, count):
    count = min(count, TOTAL - start)
    whole = of(first, parallel).draw(0, TOTAL)
    for got, expected in zip(of(first, parallel).draw(start, count), whole, strict=True):
        np.testing.assert_array_equal(got, expected[start : start + count])


@pytest.mark.parametrize("parallel", [0.25, 1.0])
def test_the_parallel_share_is_read_in_both_languages_in_the_same_order_and_the_rest_in_one(parallel):
    language, sequence = of(0.5, parallel).draw(0, TOTAL)
    first, second = (sequence[language == i] for i in (0, 1))
    both = set(first.tolist()) & set(second.tolist())
    assert len(both) == parallel * TOTAL / 2
    np.testing.assert_array_equal(first[np.isin(first, list(both))], second[np.isin(second, list(both))])


def test_text_that_would_have_to_be_read_again_in_another_language_is_refused_unless_asked_for():
    with pytest.raises(BadInput, match="4500 sequences of en are to be read once each"):
        of(0.5, total=4500)
    assert of(1.0, total=4500).counts(0, 4500) == {"en.1": 4500, "en.2": 0}  # one language may repeat its own text
    assert len(np.unique(of(0.5, parallel=1.0, total=4500).draw(0, 4500)[1])) == 2250


def test_stages_of_a_schedule_hold_for_clones_too():
    stages = (Stage(0.0, Mixture({"en.1": 1.0, "en.2": 0.0})), Stage(0.5, Mixture({"en.1": 0.0, "en.2": 1.0})))
    language, _ = CloneSampler(Schedule(stages), 1000, AVAILABLE, 0, "en").draw(0, 1000)
    assert (language == np.repeat([0, 1], 500)).all()


def test_a_share_that_is_none_is_bad_input():
    with pytest.raises(BadInput, match=r"parallel = 1\.5"):
        of(0.5, 1.5)
