import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glotmix.errors import BadInput
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.samplers.scheduled import Sampler
from glotmix.mixture.schedule import Schedule, Stage, cooldown, order_matters


@st.composite
def samplers(draw):
    # Stages of at least a twentieth and weights of at least a tenth, so that each language expects a sequence of the run:
    # 800 / 20 * 0.1 / 2.1 > 1. Less is an error of its own, tested below.
    starts = [0.0, *((k + 0.137) / 20 for k in sorted(draw(st.sets(st.integers(1, 18), max_size=2))))]
    weights = st.lists(st.one_of(st.just(0.0), st.floats(0.1, 1)), min_size=3, max_size=3).filter(lambda w: sum(w) > 0)
    stages = tuple(Stage(s, Mixture.normalised(dict(zip("abc", draw(weights), strict=True)))) for s in starts)
    available = {name: draw(st.integers(1, 120)) for name in "abc"}
    return Sampler(
        Schedule(stages), draw(st.integers(800, 1500)), available, draw(st.integers(0, 9)), draw(st.integers(8, 200))
    )


@given(samplers())
@settings(max_examples=20)
def test_each_epoch_of_each_language_is_a_permutation_of_its_sequences(sampler):
    languages, sequences = sampler.draw(0, sampler.total)
    for index, name in enumerate(sampler.languages):
        walk, size = sequences[languages == index], sampler.available[name]
        for start in range(0, len(walk) - size + 1, size):
            np.testing.assert_array_equal(np.sort(walk[start : start + size]), np.arange(size))
        assert len(np.unique(walk[len(walk) // size * size :])) == len(walk) % size


@given(samplers(), st.data())
@settings(max_examples=20)
def test_the_order_does_not_depend_on_how_it_is_cut(sampler, data):
    whole = sampler.draw(0, sampler.total)
    start = data.draw(st.integers(0, sampler.total))
    count = data.draw(st.integers(0, sampler.total - start))
    fresh = Sampler(sampler.schedule, sampler.total, sampler.available, sampler.seed, sampler.block)
    for got, expected in zip(fresh.draw(start, count), whole, strict=True):
        np.testing.assert_array_equal(got, expected[start : start + count])


@given(samplers(), st.data())
@settings(max_examples=20)
def test_counts_are_those_of_the_draws(sampler, data):
    start = data.draw(st.integers(0, sampler.total))
    stop = data.draw(st.integers(start, sampler.total))
    drawn = np.bincount(sampler.draw(start, stop - start)[0], minlength=3)
    assert list(sampler.counts(start, stop).values()) == drawn.tolist()
    assert list(sampler.counts(start, stop)) == list(sampler.languages)


@given(samplers())
@settings(max_examples=20)
def test_stages_begin_and_end_where_they_say(sampler):
    languages, _ = sampler.draw(0, sampler.total)
    edges = [round(stage.start * sampler.total) for stage in sampler.schedule.stages] + [sampler.total]
    expected = np.zeros(3)
    for stage, (start, stop) in zip(sampler.schedule.stages, itertools.pairwise(edges), strict=True):
        shares = stage.mixture.vector("abc")
        expected += shares * (stop - start)
        assert not np.isin(languages[start:stop], np.flatnonzero(shares == 0)).any()
        if (np.array([s.mixture.vector("abc") for s in sampler.schedule.stages]) > 0).all():
            assert np.abs(np.bincount(languages[:stop], minlength=3) - expected).max() < 1


def test_shares_are_exact_to_one_sample_at_every_block():
    shares = {"eng": 0.6, "spa": 0.25, "swh": 0.1, "yor": 0.05}
    sampler = Sampler(Schedule.constant(Mixture(shares)), 300_000, dict.fromkeys(shares, 999), 3)
    languages, _ = sampler.draw(0, sampler.total)
    for index, share in enumerate(shares.values()):
        drawn = np.cumsum(languages == index)[sampler.block - 1 :: sampler.block]
        expected = share * sampler.block * np.arange(1, len(drawn) + 1)
        assert np.abs(drawn - expected)[:-1].max() < 1  # independent draws: about 250 off by the end


def test_order_matters_sees_no_low_resource_sequence_before_the_switch():
    schedule = order_matters({"eng": 90.0, "swh": 10.0}, ["eng"])
    languages, _ = Sampler(schedule, 5001, {"eng": 400, "swh": 50}, 0).draw(0, 5001)
    assert not languages[:2500].any()
    assert languages[2500:].any()


def test_cooldown_counts_follow_both_temperatures():
    sizes = {"eng": 900.0, "swh": 100.0}
    schedule = cooldown(sizes)
    counts = Sampler(schedule, 20_000, {"eng": 5000, "swh": 500}, 0).counts(10_000, 20_000)
    assert counts == {"eng": 9000, "swh": 1000} or abs(counts["swh"] - 1000) <= 1


def test_ranks_that_stride_see_the_global_order_between_them():
    sampler = Sampler(Schedule.constant(Mixture({"a": 0.7, "b": 0.3})), 4000, {"a": 1000, "b": 900}, 1)
    whole = sampler.draw(0, 4000)[1]
    per_rank = [np.concatenate([sampler.draw(i, 1)[1] for i in range(rank, 4000, 40)]) for rank in (0, 7)]
    np.testing.assert_array_equal(per_rank[0], whole[0::40])
    np.testing.assert_array_equal(per_rank[1], whole[7::40])


def test_a_strided_rank_gets_the_mixture_too():
    """An alternating order would give rank 0 of 2 only language a; share 0.5 ± 5 standard errors."""
    sampler = Sampler(Schedule.constant(Mixture({"a": 0.5, "b": 0.5})), 20_000, {"a": 99, "b": 99}, 1)
    share = sampler.draw(0, 20_000)[0][::2].mean()
    assert abs(share - 0.5) < 5 * np.sqrt(0.25 / 10_000)


def test_seed_and_language_change_the_order_and_other_languages_do_not():
    schedule, available = Schedule.constant(Mixture({"a": 0.5, "b": 0.5})), {"a": 300, "b": 300}
    one, other = (Sampler(schedule, 600, available, seed).draw(0, 600) for seed in (0, 1))
    assert (one[0] != other[0]).any()
    assert (one[1] != other[1]).any()
    walk_a, walk_b = (one[1][one[0] == index] for index in (0, 1))
    assert (walk_a != walk_b).any()
    alone = Sampler(Schedule.constant(Mixture({"a": 1.0})), 300, {"a": 300}, 0).draw(0, 300)[1]
    np.testing.assert_array_equal(walk_a, alone)


def test_epochs_differ_in_order():
    walk = Sampler(Schedule.constant(Mixture({"a": 1.0})), 200, {"a": 100}, 0).draw(0, 200)[1]
    assert (walk[:100] != walk[100:]).sum() > 90  # 99 expected of independent permutations


def test_a_sampler_survives_pickling():
    sampler = Sampler(Schedule.constant(Mixture({"a": 0.5, "b": 0.5})), 100, {"a": 30, "b": 30}, 0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(sampler)).draw(5, 50), sampler.draw(5, 50))


def test_random_access_deep_into_a_run_of_a_billion_sequences():
    shares = Mixture.normalised({"a": 1.0, "b": 0.1, "c": 1e-6})
    sampler = Sampler(Schedule.constant(shares), 10**9, {"a": 10**7, "b": 12_345, "c": 3}, 0)
    before = sampler.counts(0, 987_654_321)
    expected = {name: share * 987_654_321 for name, share in shares.items()}
    assert all(abs(before[name] - expected[name]) < 40 for name in shares)  # one partial block of 1,024
    language, sequence = sampler.draw(987_654_321, 1)
    assert 0 <= sequence[0] < sampler.available["abc"[language[0]]]


def test_the_order_is_pinned():
    """A change here breaks the resumption of every run in progress."""
    sampler = Sampler(Schedule.constant(Mixture({"a": 0.5, "b": 0.3, "c": 0.2})), 100, {"a": 7, "b": 20, "c": 3}, 5, 10)
    languages, sequences = sampler.draw(37, 12)
    assert languages.tolist() == [0, 2, 2, 1, 2, 1, 0, 0, 1, 0, 0, 0]
    assert sequences.tolist() == [4, 0, 2, 0, 1, 4, 2, 3, 7, 5, 0, 1]


@pytest.mark.parametrize(
    ("total", "available", "block", "message"),
    [
        (0, {"a": 1, "b": 1}, 8, "total = 0"),
        (100, {"a": 1, "b": 1}, 0, "block = 0"),
        (100, {"a": 1}, 8, "b has a share but 0 sequences"),
        (100, {"a": 1, "b": 0}, 8, "b has a share but 0 sequences"),
        (50, {"a": 1, "b": 1}, 8, r"b would be dropped: its share is 0\.5 of 50 sequences"),
    ],
)
def test_runs_that_cannot_be_sampled_are_refused(total, available, block, message):
    with pytest.raises(BadInput, match=message):
        Sampler(Schedule.constant(Mixture({"a": 0.99, "b": 0.01})), total, available, 0, block)


def test_draws_outside_the_run_are_refused():
    sampler = Sampler(Schedule.constant(Mixture({"a": 1.0, "b": 0.0})), 10, {"a": 3}, 0)
    for start, count in ((-1, 2), (8, 3), (11, 0)):
        with pytest.raises(BadInput, match="expected a range within 0 to 10"):
            sampler.draw(start, count)
    assert sampler.draw(10, 0)[0].size == 0
