"""The analysis finds what was planted, and does not find what was not."""

import numpy as np
import polars as pl
import pytest

from glotmix.errors import BadInput
from glotmix.posttraining.analysis.ablation import AblationRow, ablation, similarity
from glotmix.posttraining.analysis.curve import Curve, curves_from
from glotmix.posttraining.analysis.interval import mean_interval
from glotmix.posttraining.analysis.noise import difference, floor, repeats, runs_needed, seen_against_unseen
from glotmix.posttraining.analysis.plan import least_data
from glotmix.posttraining.analysis.saturation import plateau, saturation, told_apart

SIZES = (0, 25, 50, 100, 200, 400, 800)


def curve(
    value_NSL, *, sizes=SIZES, mix=("spa_Latn", "rus_Cyrl"), languages=("eng_Latn", "spa_Latn", "rus_Cyrl", "por_Latn")
):
    return Curve(
        "task", "task", "base", tuple(mix), "eng_Latn", tuple(sizes), tuple(languages), np.asarray(value_NSL, float)
    )


def planted(n50, noise, rng, seeds=3, start=0.2, gain=0.5):
    n = np.asarray(SIZES, float)[:, None]
    return start + gain * n / (n + n50) + noise * rng.standard_normal((len(SIZES), seeds))


def test_a_planted_saturation_point_is_recovered_exactly_without_noise():
    for n50 in (10.0, 60.0, 300.0):
        found = saturation(SIZES, planted(n50, 0.0, np.random.default_rng(0)))
        assert found.n50 == pytest.approx(n50, rel=0.03)  # the grid's step
        assert found(0) == pytest.approx(0.2, abs=0.01)
        assert found.rises


def test_its_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        found = saturation(SIZES, planted(60.0, 0.05, rng))
        hits += found.low <= 60.0 <= found.high
    assert 0.90 <= hits / 200 <= 0.99  # 95 %, three binomial errors


def test_noise_alone_rarely_rises_and_gives_no_saturation_point():
    rng = np.random.default_rng(2)
    found = [saturation(SIZES, 0.3 + 0.05 * rng.standard_normal((7, 3))) for _ in range(200)]
    assert np.mean([one.rises for one in found]) < 0.1
    flat = next(one for one in found if not one.rises)
    assert np.isnan(flat.n50)
    assert (flat.low, flat.high) == (0.0, np.inf)
    assert flat.to_json()["n50"] is None


def test_saturation_points_are_told_apart_only_where_intervals_allow():
    rng = np.random.default_rng(3)
    early, late = (saturation(SIZES, planted(n50, 0.01, rng)) for n50 in (15.0, 300.0))
    assert told_apart(early, late)
    near, vague = (saturation(SIZES, planted(n50, 0.08, rng)) for n50 in (60.0, 120.0))
    assert not told_apart(near, vague)


def test_a_curve_needs_a_zero_and_enough_scores():
    with pytest.raises(BadInput, match=r"0 and at least two more"):
        saturation((10, 20, 40), np.ones((3, 3)))
    with pytest.raises(BadInput, match=r"3 scores"):
        saturation((0, 20, 40), np.ones((3, 1)))


def test_a_plateau_is_shown_by_equivalence_and_not_by_missing_significance():
    flat_after = np.array([0.2, 0.5, 0.5, 0.5])[:, None] + np.zeros((4, 3))
    shown = plateau((0, 50, 100, 200), flat_after, deviation=0.01, degrees=8, margin=0.05)
    assert (shown.size, shown.rises_until) == (50, 50)
    noisy = plateau((0, 50, 100, 200), flat_after, deviation=0.3, degrees=8, margin=0.05)
    assert noisy.size is None  # nothing is significant either, which shows nothing
    assert noisy.rises_until == 0
    rising = plateau((0, 50, 100, 200), np.array([0.2, 0.4, 0.6, 0.8])[:, None] + np.zeros((4, 3)), 0.01, 8, 0.05)
    assert (rising.size, rising.rises_until) == (None, 200)


def test_the_noise_floor_is_the_planted_deviation_and_knows_repeats_at_size_zero():
    rng = np.random.default_rng(4)
    groups = [(0.5 + 0.03 * rng.standard_normal(4)).tolist() for _ in range(200)]
    assert floor(groups).deviation == pytest.approx(0.03, rel=0.1)
    assert floor(groups).degrees == 600
    with pytest.raises(BadInput, match=r"no cell was repeated"):
        floor([[0.5], [0.6]])
    one, two = (curve(rng.random((2, 1, 4)), sizes=(0, 10), mix=mix) for mix in (["spa_Latn"], ["rus_Cyrl"]))
    found = repeats([one, two], lambda c: c.mean())
    assert sorted(map(len, found)) == [1, 1, 2]
    shared = curve(np.stack([one.value_NSL[0], rng.random((1, 4))]), sizes=(0, 10), mix=["rus_Cyrl"])
    assert sorted(map(len, repeats([one, shared], lambda c: c.mean()))) == [1, 1, 1]  # one run in two curves


def test_a_difference_within_the_noise_is_not_resolved():
    noise = floor([[0.50, 0.52, 0.48], [0.60, 0.62, 0.58]])
    assert not difference([0.50, 0.51], [0.49, 0.50], noise).resolved
    assert difference([0.60, 0.61], [0.40, 0.41], noise).resolved


def test_rank_correlation_of_seen_and_unseen_languages():
    n = np.arange(7.0)
    together = np.stack([n, n, n, 2 * n], 1)[:, None, :]
    assert seen_against_unseen(curve(together)).rho == pytest.approx(1)
    against = np.stack([n, n, n, -n], 1)[:, None, :]
    assert seen_against_unseen(curve(against)).rho == pytest.approx(-1)
    four = seen_against_unseen(curve(together[:4], sizes=SIZES[:4]))
    assert (four.rho, four.p) == (pytest.approx(1), pytest.approx(2 / 24))  # of 24 orders this one and its reverse
    constant = np.stack([n, n, n, 0 * n], 1)[:, None, :]
    assert np.isnan(seen_against_unseen(curve(constant)).rho)
    assert runs_needed(0.99) < runs_needed(0.5)


def test_groups_of_a_curve():
    value = np.zeros((2, 1, 4))
    value[:, 0] = [[0.8, 0.4, 0.2, 0.3], [0.8, 0.6, 0.4, 0.2]]
    found = curve(value, sizes=(0, 10))
    assert found.seen == ("spa_Latn", "rus_Cyrl")
    assert found.unseen == ("por_Latn",)
    np.testing.assert_allclose(found.relative()[:, 0], [0.3 / 0.8, 0.4 / 0.8])
    np.testing.assert_allclose(found.gap()[:, 0], [0.0, 0.3], atol=1e-12)
    np.testing.assert_allclose(found.by_script()["Latin"][:, 0], [0.35, 0.4])
    np.testing.assert_allclose(found.by_script()["other scripts"][:, 0], [0.2, 0.4])
    with pytest.raises(BadInput, match=r"no scores of deu_Latn"):
        found.mean(["deu_Latn"])


def test_a_table_of_scores_is_checked():
    row = {
        "task": "t",
        "trained": "t",
        "base": "b",
        "mix": "spa_Latn",
        "n": 0,
        "seed": 0,
        "language": "eng_Latn",
        "value": 0.5,
    }
    (found,) = curves_from(pl.DataFrame([row]), "eng_Latn")
    assert found.sizes == (0,)
    with pytest.raises(BadInput, match=r"twice"):
        curves_from(pl.DataFrame([row, row]), "eng_Latn")
    with pytest.raises(BadInput, match=r"no scores of the pivot deu_Latn"):
        curves_from(pl.DataFrame([row]), "deu_Latn")
    with pytest.raises(BadInput, match=r"no column value"):
        curves_from(pl.DataFrame([row]).drop("value"), "eng_Latn")


def test_the_least_data_is_the_smallest_size_that_reaches_the_share():
    value = np.array([0.2, 0.5, 0.75, 0.79, 0.8, 0.8, 0.79])[:, None, None] + np.zeros((7, 3, 4))
    found = least_data([curve(value)])
    assert (found.size, found.samples) == (100, 200)
    assert found.reached == pytest.approx(0.79 / 0.8)
    noise = floor([[0.5, 0.502, 0.498]])
    assert least_data([curve(value)], noise).low > 0.95
    rough = floor([[0.5, 0.6, 0.4]])
    unsure = least_data([curve(value)], rough)
    assert unsure.low < 0.95
    assert unsure.sure.size == 200  # the best cell itself, of which it needs no test
    with pytest.raises(BadInput, match=r"no cell scores above 0"):
        least_data([curve(np.zeros((7, 3, 4)))])


def test_intervals_hold_the_mean_for_new_seeds_and_new_items():
    """Crossed noise of seeds and items; an interval from items alone would hold it in about half of the cases."""
    rng = np.random.default_rng(5)
    hits = narrow = 0
    for _ in range(200):
        seeds, items = 0.05 * rng.standard_normal((4, 1)), 0.3 * rng.standard_normal((1, 60))
        value = [0.5 + seeds + items + 0.2 * rng.standard_normal((4, 60)) for _ in range(2)]
        found = mean_interval(value, parallel=True)
        hits += found.low <= 0.5 <= found.high
        half = 1.96 * np.mean(value, (0, 1)).std() / np.sqrt(240)
        narrow += abs(found.value - 0.5) <= half
    assert hits / 200 >= 0.93
    assert narrow / 200 < 0.7
    two = [np.array([[0.4] * 10, [0.6] * 10])]  # no noise of items, a deviation of √0.02 between seeds
    noise = floor([[0.4, 0.6]] * 24)
    assert mean_interval(two, parallel=True).high - 0.5 == pytest.approx(12.706 * 0.1, rel=1e-3)  # Student, 1 degree
    assert mean_interval(two, parallel=True, noise=noise).high - 0.5 == pytest.approx(2.064 * 0.1, rel=1e-3)  # 24
    with pytest.raises(BadInput, match=r"different numbers of items"):
        mean_interval([np.zeros((2, 3)), np.zeros((2, 4))], parallel=True)


def rows(effect, rng, noise=0.05):
    found = []
    for language in ("a", "b", "c", "d", "e", "f"):
        for task in ("maths", "chat"):
            for size in ("7B", "35B"):
                for n in ("0", "100", "400"):
                    for seed in range(2):
                        script = "Latin" if language in "abc" else "other"
                        levels = {"task": task, "size": size, "script": script, "similarity": "x", "samples": n}
                        outcome = effect(levels) + noise * rng.standard_normal()
                        found.append(AblationRow(f"{task} {size} {n} {seed}", language, float(outcome), levels))
    return found


def test_one_variable_that_explains_everything_is_found_and_the_claim_is_not_borne_out():
    rng = np.random.default_rng(6)
    found = ablation(rows(lambda x: 0.5 * (x["size"] == "35B"), rng), rng, 60)
    assert found.best_single == "size"
    assert found.alone["size"].value > 0.9
    assert found.beyond_single.value < 0.02  # in truth 0
    assert found.beyond_single.low < 0.01
    assert sum(part.value for part in found.part.values()) == pytest.approx(found.main.value)
    assert "similarity" not in found.alone  # it does not vary


def test_several_effects_bear_the_claim_out_and_a_product_shows_as_an_interaction():
    rng = np.random.default_rng(7)
    added = ablation(rows(lambda x: 0.3 * (x["size"] == "35B") + 0.3 * (x["task"] == "maths"), rng), rng, 60)
    assert added.no_single_one
    assert added.main.value > 0.9 > 0.6 > added.alone[added.best_single].value
    assert abs(added.interactions.value) < 0.02
    crossed = ablation(rows(lambda x: 0.5 * ((x["size"] == "35B") == (x["task"] == "maths")), rng), rng, 60)
    assert crossed.main.value < 0.1
    assert crossed.interactions.value > 0.8  # in truth all there is
    assert crossed.interactions.low > 0.3


def test_pure_noise_is_explained_by_nothing():
    rng = np.random.default_rng(8)
    found = ablation(rows(lambda x: 0.0, rng), rng, 60)
    assert found.main.value < 0.05
    assert not found.beyond_single.low > 0.02
    with pytest.raises(BadInput, match=r"3 languages"):
        ablation(rows(lambda x: 0.0, rng)[:4], rng, 20)


def test_similarity_goes_from_itself_over_kin_to_neither():
    trained = ["eng_Latn", "spa_Latn"]
    assert similarity("spa_Latn", trained) == "trained on"
    assert similarity("por_Latn", trained) == "family and script"
    assert similarity("rus_Cyrl", trained) == "family or script"
    assert similarity("cmn_Hans", trained) == "neither"
