import functools

import numpy as np
import pytest

from glotmix.attribution.influence import Described, InfluenceScores
from glotmix.attribution.overlap import top_overlap
from glotmix.attribution.removal import removal
from glotmix.attribution.shares import language_shares
from glotmix.attribution.tracin import gradient_products
from glotmix.attribution.translations import translation_shares
from glotmix.errors import BadInput, Corrupt
from tests.attribution import toy

M = 30  # of 300 training samples, 60 per language


@functools.cache
def scores(alignment, parallel=True, seeds=2):
    data = toy.toy(alignment, parallel=parallel)
    runs = []
    for seed in range(seeds):
        model, checkpoints = toy.trained(data.train, seed)
        products = gradient_products(model, toy.loss, checkpoints, data.test, data.train, batch=100)
        runs.append(InfluenceScores.of(products, data.test, data.train))
    return runs


def rng():
    return np.random.default_rng(0)


def overall(found):
    return np.mean([figure.value for figure in found.overall.values()])


def test_the_translation_share_grows_with_the_alignment_of_languages():
    found = [overall(translation_shares(scores(a), M, rng())) for a in (0.0, 0.5, 0.9, 1.0)]
    assert (np.diff(found) > 0.05).all()
    assert found[-1] > 0.95  # all there is: the same sample five times


@pytest.mark.parametrize("alignment", [0.0, 0.9, 1.0])
def test_without_parallel_data_the_translation_share_is_its_chance(alignment):
    found = translation_shares(scores(alignment, parallel=False), M, rng())
    chance = np.mean(list(found.chance.values()))
    assert abs(overall(found) - chance) < 0.05
    # Samples of one label are over-represented in every top, so the null that keeps labels lies a little above chance.
    null = np.mean([figure.value for figure in found.shuffled.values()])
    assert abs(overall(found) - null) < 0.05


def test_identical_languages_have_equal_shares():
    found = language_shares(scores(1.0), M, rng())
    np.testing.assert_allclose(found.shares.value_TL, 0.2, atol=0.005 + 0.5 / M)
    np.testing.assert_allclose(found.chance.value_TL, 0.2)
    np.testing.assert_allclose(found.same_label.value_TL, 0.2)
    low, high = language_shares(scores(0.9), M, rng()).shares.interval("a", "b")
    assert low < high  # where two runs agree exactly, as here they may, there is no interval


def test_a_language_share_alone_hardly_tells_alignment_from_a_shared_classifier():
    own = {a: np.diag(language_shares(scores(a), M, rng()).shares.value_TL).mean() for a in (0.0, 1.0)}
    moved = overall(translation_shares(scores(1.0), M, rng())) - overall(translation_shares(scores(0.0), M, rng()))
    assert own[0.0] - own[1.0] < 0.5 * moved


def test_shares_without_any_transfer_lie_in_the_shuffled_band():
    random = np.random.default_rng(3).standard_normal((1, 40, 300))
    like = scores(0.5)[0]
    found = language_shares([InfluenceScores(random, like.test, like.train)], M, rng())
    inside = (found.shares.value_TL >= found.shuffled.low_TL) & (found.shares.value_TL <= found.shuffled.high_TL)
    assert inside.mean() > 0.8  # 25 shares, 95 % band
    # One run has an interval over its test samples, about as wide as binomial counts are.
    assert found.shares.notes["interval"] == "over test samples"
    width = (found.shares.high_TL - found.shares.low_TL).mean()
    assert width == pytest.approx(2 * 1.96 * np.sqrt(0.2 * 0.8 / M / 8), rel=0.35)
    np.testing.assert_allclose(found.shares.value_TL.sum(1), 1)


def test_shares_by_checkpoint_and_of_harmful_samples_are_asked_the_same_way():
    run = scores(0.9)[0]
    steps = [language_shares([run.at(name)], M, rng()).shares.value_TL for name in run.checkpoints]
    assert len(steps) == 2
    assert not np.array_equal(*steps)
    worst = run.top(3, negative=True)
    assert (np.take_along_axis(run.value_QN, worst, 1) < 0).all()


def test_a_run_without_the_test_language_is_compared_on_the_samples_that_both_were_trained_on():
    data = toy.toy(0.5)
    keep = [i for i, name in enumerate(data.train.languages) if name != "a"]
    zero_shot = data.train.take(keep)
    model, checkpoints = toy.trained(zero_shot, 7)
    products = gradient_products(model, toy.loss, checkpoints, data.test, zero_shot, batch=100)
    regular = scores(0.5)[0]
    found = top_overlap(regular, InfluenceScores.of(products, data.test, zero_shot), M)
    assert found.chance == M / 240
    assert found.by_language["a"] > 3 * found.chance  # languages half aligned
    assert set(top_overlap(regular, regular, M).by_language.values()) == {1.0}
    noise = np.random.default_rng(0).standard_normal(regular.value_EQN.shape)
    random = top_overlap(regular, InfluenceScores(noise, regular.test, regular.train, regular.checkpoints), M)
    assert abs(np.mean(list(random.by_language.values())) - random.chance) < 0.03


def test_removing_top_samples_hurts_four_times_more_than_random_ones_of_the_label():
    data = toy.toy(0.9)

    def retrain(kept, seed):
        return toy.confidence(toy.trained(data.train.take(kept), seed, keep=())[0], data.test)

    like = scores(0.9)[0]
    found = removal(
        like, retrain, 40, [0, 1, 2, 3, 4], test=[0, 9, 18, 27], kinds=("top", "random", "random_same_label", "bottom")
    )
    assert found.change["top"] < 4 * found.change["random_same_label"] < 0
    assert found.high["top"] < found.low["random_same_label"]
    assert found.change["bottom"] > 0
    assert abs(found.change["random"]) < abs(found.change["top"]) / 4


def test_a_confidence_changes_by_no_more_than_a_probability_can():
    """Two seeds far apart: Student's interval alone would reach from -4.1 to 4.2. One seed has no interval."""
    like = scores(0.9)[0]

    def retrain(kept, seed):
        return np.full(len(like.test), 0.5 + (0.65 * seed - 0.25 if len(kept) < len(like.train) else 0.0))

    found = removal(like, retrain, 5, [0, 1], test=[0], kinds=("random",))
    assert found.change["random"] == pytest.approx(0.075)
    assert (found.low["random"], found.high["random"]) == (-1, 1)
    assert np.isnan(removal(like, retrain, 5, [0], test=[0], kinds=("random",)).low["random"])


def test_scores_survive_the_disk_and_a_broken_index_is_named(tmp_path):
    run = scores(0.5)[0]
    run.save(tmp_path)
    again = InfluenceScores.load(tmp_path)
    assert (again.value_EQN == run.value_EQN).all()
    assert (again.test, again.train, again.checkpoints) == (run.test, run.train, run.checkpoints)
    (tmp_path / "scores.safetensors").write_bytes(b"broken")
    with pytest.raises(Corrupt, match=r"scores\.safetensors"):
        InfluenceScores.load(tmp_path)
    with pytest.raises(BadInput, match="no such file"):
        InfluenceScores.load(tmp_path / "elsewhere")


def test_bad_input_is_named():
    run = scores(0.5)[0]
    with pytest.raises(BadInput, match="top 301"):
        language_shares([run], 301, rng())
    without = InfluenceScores(run.value_EQN, run.test, Described(run.train.languages), run.checkpoints)
    with pytest.raises(BadInput, match="no ids"):
        translation_shares([without], M, rng())
    with pytest.raises(BadInput, match="different samples"):
        language_shares([run, without], M, rng())
    with pytest.raises(BadInput, match="without labels"):
        removal(without, lambda kept, seed: np.zeros(40), 5, [0], test=[0])
    value = run.value_EQN.copy()
    value[1, 2, 3] = np.nan
    with pytest.raises(BadInput, match="test 2, train 3 at step 60 is not finite"):
        InfluenceScores(value, run.test, run.train, run.checkpoints)
