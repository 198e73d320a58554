import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.transfer.agreement import agreements, partings
from glotmix.transfer.matrix import TransferMatrix

LANGUAGES = tuple("abcdef")


def lens(value, targets=LANGUAGES, sources=LANGUAGES):
    return TransferMatrix(tuple(targets), tuple(sources), np.asarray(value, float))


def rng():
    return np.random.default_rng(0)


def planted(seed, noise, own=5.0):
    """A common truth, the language itself above all."""
    truth = np.random.default_rng(7).standard_normal((6, 6)) + own * np.eye(6)
    return lens(truth + noise * np.random.default_rng(seed).standard_normal((6, 6)))


def of(found, pairs):
    return next(a for a in found if a.pairs == pairs)


def test_lenses_of_one_truth_agree_whatever_their_scale():
    same = lens(np.exp(3 * planted(1, 0).value_TL))
    for agreement in agreements({"a": [planted(1, 0)], "b": [same]}, rng(), resamples=200):
        assert agreement.value == pytest.approx(1)
        assert agreement.null_high < 0.95
    assert [a.count for a in agreements({"a": [same], "b": [same]}, rng(), resamples=20)] == [36, 30]


def test_lenses_that_share_nothing_but_the_diagonal_agree_over_all_pairs_alone():
    inside, all_pairs, different = 0, [], []
    for seed in range(20):
        views = [lens(np.random.default_rng([seed, k]).standard_normal((6, 6)) + 9 * np.eye(6)) for k in range(2)]
        found = agreements({"a": views[:1], "b": views[1:]}, rng(), resamples=100)
        all_pairs.append(of(found, "all").value)
        one = of(found, "different")
        different.append(one.value)
        inside += one.null_low < one.value < one.null_high
    assert np.mean(all_pairs) > 0.3
    assert abs(np.mean(different)) < 0.12  # 20 correlations with standard deviation 0.19 each
    assert inside >= 16  # 19 expected


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    """Two noisy views of one truth, and the correlation that they have over a great many languages."""
    inside, widths = 0, []
    for seed in range(30):
        truth = np.random.default_rng(100 + seed).standard_normal((6, 6))
        views = [
            [lens(truth + np.random.default_rng([seed, k, r]).standard_normal((6, 6))) for r in range(1)]
            for k in range(2)
        ]
        found = of(agreements({"a": views[0], "b": views[1]}, rng(), resamples=200), "different")
        inside += found.low <= 0.483 <= found.high  # Pearson 0.5 in Spearman's terms
        widths.append(found.high - found.low)
    assert inside >= 25  # 28.5 expected; an interval of no width would hold it never
    assert 0.3 < np.mean(widths) < 0.9


def test_repeats_are_averaged_before_they_are_compared():
    noisy = [planted(seed, 2.0) for seed in range(40)]
    one = of(agreements({"truth": [planted(0, 0)], "b": noisy[:1]}, rng(), resamples=20), "different").value
    many = of(agreements({"truth": [planted(0, 0)], "b": noisy}, rng(), resamples=20), "different").value
    assert many > max(0.9, one)


def test_lenses_are_compared_on_the_languages_they_share():
    small = lens(planted(1, 0).value_TL[:4, :3], "abcd", "abc")
    found = agreements({"a": [planted(1, 0)], "b": [small]}, rng(), resamples=20)
    assert [(a.pairs, a.count) for a in found] == [("all", 12), ("different", 9)]
    assert of(found, "different").value == pytest.approx(1)


def test_the_pair_on_which_lenses_part_is_found():
    truth = planted(1, 0).value_TL
    changed = truth.copy()
    changed[2, 4] = truth[2].max() + 1 if truth[2, 4] < np.median(truth[2]) else truth[2].min() - 1
    (worst, *others) = partings({"a": [lens(truth)], "b": [lens(changed)]})
    assert (worst.target, worst.source) == ("c", "e")
    assert worst.spread > max(o.spread for o in others)
    assert all(0 <= r <= 1 for p in others for r in p.rank.values())


def test_bad_input_is_named():
    with pytest.raises(BadInput, match="1 lenses"):
        agreements({"a": [planted(0, 0)]}, rng())
    with pytest.raises(BadInput, match="lens b: no matrices"):
        agreements({"a": [planted(0, 0)], "b": []}, rng())
    with pytest.raises(BadInput, match="0 targets"):
        agreements({"a": [planted(0, 0)], "b": [lens(np.ones((1, 6)), ["z"])]}, rng())
