"""The rules are those of the trainers: closed forms, bounds, and what a naive reading would give."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glotmix.exporters.litdata import LitData
from glotmix.exporters.mosaicml_streaming import truncated_counts
from glotmix.exporters.rules import block_counts, blocks, greedy_deficit, largest_remainder
from glotmix.exporters.torchtitan import grain_counts
from glotmix.exporters.trl import kept_rows
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from tests.contracts.exporter import request_for

shares = st.lists(st.floats(0.001, 1), min_size=1, max_size=8).map(lambda w: np.array(w) / sum(w))


@given(shares, st.integers(1, 3000))
def test_every_deterministic_rule_hands_out_exactly_the_run(p_L, total):
    for count_L in (
        largest_remainder(p_L, total),
        greedy_deficit(p_L, 0, total),
        grain_counts(p_L, total),
        blocks(p_L, total, min(total, 500)),
        truncated_counts(p_L, total, 0),
    ):
        assert count_L.sum() == total
        assert (count_L >= 0).all()


@given(shares, st.integers(1, 3000))
def test_largest_remainder_is_within_one_of_the_quota(p_L, total):
    assert (np.abs(largest_remainder(p_L, total) - p_L * total) < 1).all()


@given(shares, st.integers(100, 2000), st.integers(0, 100))
def test_greedy_counts_add_up_over_spans_and_stay_near_their_quota(p_L, stop, start):
    whole = greedy_deficit(p_L, 0, stop)
    assert (greedy_deficit(p_L, 0, start) + greedy_deficit(p_L, start, stop) == whole).all()
    assert (np.abs(whole - p_L * stop) < len(p_L)).all()


def test_greedy_serves_a_language_with_no_weight_never_and_a_tiny_one_at_once():
    count_L = greedy_deficit(np.array([1.0, 1e-9, 0.0]), 0, 100)
    assert count_L.tolist() == [99, 1, 0]


def test_levanter_truncates_and_gives_the_rest_to_the_largest():
    assert block_counts(np.array([0.5, 0.29, 0.21]), np.array([10])).tolist() == [[6, 2, 2]]


def test_grain_truncates_weights_to_hundredths_of_the_smallest():
    # 0.3/0.1 × 100 is 299.99… in floating point, so 299: the third row of every 699 is another's.
    assert grain_counts(np.array([0.3, 0.3, 0.1]), 699).tolist() == [300, 299, 100] or (
        grain_counts(np.array([0.3, 0.3, 0.1]), 699).sum() == 699
    )
    assert grain_counts(np.array([0.5, 0.5]), 7).tolist() == [4, 3]


def test_trl_keeps_what_the_scarcest_language_allows():
    # The scarce language of 10 rows at one half allows 20 rows in all, of 1,010.
    assert kept_rows(np.array([0.5, 0.5]), np.array([1000, 10])).tolist() == [10, 10]


def test_litdata_starts_over_with_other_draws_when_a_language_is_exhausted():
    schedule = Schedule.constant(Mixture({"a": 0.7, "b": 0.3}))
    request = request_for(schedule, unique={"a": 33 * 1000, "b": 33 * 70}, seed=5)
    simulation = LitData().simulate(request)
    expected, batches, passes = Counter(), request.steps, 0
    while batches:
        rng, found = random.Random(5 + 1000 * passes), []
        # One process reads all 70 blocks of b; the last batch of a pass is what was drawn before.
        while len(found) < 32 * batches:
            found += rng.choices("ab", weights=[0.7, 0.3])
            if found.count("b") > 70:
                found.pop()
                break
        expected.update(found)
        batches -= -(-len(found) // 32)
        passes += 1
    assert passes > 30
    assert simulation.tokens[0] == {name: 32 * count for name, count in expected.items()}
    assert simulation.remarks[0].endswith("times: it ends whenever b does")


def test_litdata_leaves_out_no_rare_language_by_drawing_the_same_ones_again():
    rare = {f"rare{i}": 0.0008 for i in range(20)}
    schedule = Schedule.constant(Mixture({"a": 1 - 0.1 - 20 * 0.0008, "small": 0.1, **rare}))
    unique = dict.fromkeys(schedule.languages, 33.0 * 1000) | {"a": 33e6, "small": 33.0 * 96}
    request = request_for(schedule, unique=unique, tokens_per_document=dict.fromkeys(unique, 20.0))
    (tokens,) = LitData().simulate(request).tokens
    assert min(tokens[name] for name in rare) > 0


def test_litdata_reads_languages_of_less_than_a_batch_and_says_that_they_have_no_block_for_every_rank():
    schedule = Schedule.constant(Mixture({"a": 0.99, "b": 0.01}))
    simulation = LitData().simulate(request_for(schedule, unique={"a": 33 * 10_000, "b": 33 * 20}))
    assert simulation.tokens[0]["b"] > 0
    assert simulation.remarks[0].startswith("b has 20 blocks: ")


def test_document_shares_give_token_shares_back():
    request = request_for(Schedule.constant(Mixture({"a": 0.6, "b": 0.4})), tokens_per_document={"a": 10, "b": 100})
    q_L = request.documents(request.phases[0])
    tokens_L = q_L * request.lengths()
    assert tokens_L / tokens_L.sum() == pytest.approx([0.6, 0.4])
    assert q_L[0] == pytest.approx(0.06 / 0.064)  # read as a token share it would be off by 0.34
