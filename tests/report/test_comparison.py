"""Two studies side by side: the same study twice is no change, and every change that was planted is named."""

import dataclasses
import math

import numpy as np
import pytest

from glotmix.report.frames.two_studies import (
    agreement_words,
    agreements,
    gain_pairs,
    headline,
    settings_apart,
    share_rows,
    total_variation,
)


def moved(evidence, shift=0.1):
    """The same study whose optimum gives ``shift`` more to its first language, taken from the second."""
    advice = evidence.advice
    mixture = dict(advice.optimum.mixture)
    first, second = list(mixture)[:2]
    shift = min(shift, mixture[second])
    mixture[first] += shift
    mixture[second] -= shift
    optimum = dataclasses.replace(advice.optimum, mixture=mixture)
    return dataclasses.replace(evidence, advice=dataclasses.replace(advice, optimum=optimum)), first, second, shift


def test_a_study_compared_with_itself_shows_no_change(small):
    rows = share_rows(small, small)
    assert total_variation(rows) == 0
    assert headline(rows) == "Both studies recommend the same mixture."
    assert settings_apart(small.config, small.config) == []
    (lens,) = agreements(small, small)
    assert lens.rank == pytest.approx(1)
    assert lens.differing == ()
    for pair in gain_pairs(small, small):
        assert pair.predicted[0] == pair.predicted[1]
        assert pair.measured[0] == pair.measured[1]


def test_a_share_that_moved_comes_first_and_is_named(small):
    other, first, second, shift = moved(small)
    rows = share_rows(small, other)
    assert {rows[0].language, rows[1].language} == {first, second}
    assert total_variation(rows) == pytest.approx(shift)
    assert small.name_of(first) in headline(rows)
    assert small.name_of(second) in headline(rows)


def test_a_move_inside_both_laws_freedom_is_no_news(small):
    other, *_ = moved(small, 0.02)
    wide = dict.fromkeys(small.advice.optimum.mixture, (0.0, 1.0))
    freed = [dataclasses.replace(s, advice=dataclasses.replace(s.advice, spread=wide)) for s in (small, other)]
    assert "no news" in headline(share_rows(*freed))
    tight = {k: (v, v) for k, v in small.advice.optimum.mixture.items()}
    bound = [dataclasses.replace(s, advice=dataclasses.replace(s.advice, spread=tight)) for s in (small, other)]
    assert "no news" not in headline(share_rows(*bound))


def test_a_language_that_comes_in_and_one_that_leaves_are_said_so(small):
    advice = small.advice
    mixture = dict(advice.optimum.mixture)
    gone = max(mixture, key=mixture.get)
    share = mixture.pop(gone)
    mixture["new"] = share
    optimum = dataclasses.replace(advice.optimum, mixture=mixture)
    other = dataclasses.replace(small, advice=dataclasses.replace(advice, optimum=optimum))
    text = headline(share_rows(small, other))
    assert "new comes in with" in text
    assert f"{small.name_of(gone)} leaves" in text


def test_pairs_whose_intervals_lie_apart_are_found_and_only_they(small):
    matrix = small.transfer["Shapley values"]
    shift_TL = np.zeros_like(matrix.value_TL)
    shift_TL[1, 2] = 1.0
    shifted = dataclasses.replace(
        matrix, value_TL=matrix.value_TL + shift_TL, low_TL=matrix.low_TL + shift_TL, high_TL=matrix.high_TL + shift_TL
    )
    (lens,) = agreements(small, dataclasses.replace(small, transfer={"Shapley values": shifted}))
    ((target, source, before, after),) = lens.differing
    assert (target, source) == (matrix.targets[1], matrix.sources[2])
    assert after - before == pytest.approx(1)
    assert lens.rank < 1


def test_with_too_few_pairs_no_correlation_is_claimed(small):
    matrix = small.transfer["Shapley values"]
    one = type(matrix)(matrix.targets[:1], matrix.sources[:1], matrix.value_TL[:1, :1])
    (lens,) = agreements(small, dataclasses.replace(small, transfer={"Shapley values": one}))
    assert math.isnan(lens.rank)
    assert "too few" in agreement_words(lens)


def test_settings_are_compared_field_by_field():
    before = {"proxy": {"width": 64, "tokens": 1e6}, "languages": ["a", "b"], "weights": {}}
    after = {"proxy": {"width": 128, "tokens": 1e6}, "languages": ["a"], "weights": {}, "seed": None}
    assert settings_apart(before, after) == [
        ("proxy.width", "64", "128"),
        ("languages", "a, b", "a"),
        ("seed", "–", "not set"),
    ]


def test_a_small_change_that_both_laws_see_is_not_called_none(small):
    """Shares that differ by less than half a per cent of the tokens, but by more than the laws leave open."""
    other, first, second, _ = moved(small, 0.002)
    narrow = [
        dataclasses.replace(
            study,
            advice=dataclasses.replace(
                study.advice, spread={name: (p - 1e-4, p + 1e-4) for name, p in study.advice.optimum.mixture.items()}
            ),
        )
        for study in (small, other)
    ]
    said = headline(share_rows(*narrow))
    assert said.startswith("Both studies recommend nearly the same mixture")
    assert small.name_of(first) in said
    assert small.name_of(second) in said
