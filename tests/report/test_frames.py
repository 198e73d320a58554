"""What the page says, tested without a pixel."""

import dataclasses
import math
import re

import numpy as np
import pytest
from explored import LANGUAGES, STUDY, fit_of
from sample import sample
from scipy import stats

from glotmix import wording as words
from glotmix.estimate import Estimate
from glotmix.mixture.mixture import Mixture
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.constraint import constraints_from
from glotmix.optimize.objective import objective_from
from glotmix.optimize.solve import minimise
from glotmix.report.evidence import (
    Advice,
    Candidate,
    Evidence,
    HeldOutPredictions,
    Interactions,
    RunRow,
    Spending,
    Trained,
)
from glotmix.report.figures.trade import front_figure, timeline
from glotmix.report.frames.accuracy import beaten_by_null, law_rows, rank_correlation, relative_error
from glotmix.report.frames.answer import expectation, gain_rows, mixture_rows
from glotmix.report.frames.cautions import cautions, nearest_run
from glotmix.report.frames.loop import loop_rows, summary, verdicts
from glotmix.report.frames.timeline import lanes
from glotmix.report.frames.trade import trade_rows
from glotmix.report.frames.transfer import clustered, finding, pair_finding, waterfall
from glotmix.report.frames.verdict import mixture_in_words
from glotmix.report.from_law import front_of
from glotmix.report.sections.answer import what_it_cost
from glotmix.transfer.matrix import TransferMatrix


def plain(text):
    return text.replace(words.NBSP, " ")


@pytest.mark.parametrize(
    ("said", "want"),
    [
        (words.number(-0.0004, 3), "0.000"),
        (words.number(-1.25, 1), "−1.2"),
        (words.number(math.nan), "–"),
        (words.signed(0.2, 2), "+0.20"),
        (words.signed(-0.2, 2), "−0.20"),
        (words.signed(0.0, 2), "0.00"),
        (words.share(0.3141), "31.4 %"),
        (words.share(0.0042), "0.42 %"),
        (words.share(0.00001), "< 0.01 %"),
        (words.share(0.0), "0 %"),
        (words.large(950), "950"),
        (words.large(12_400), "12.4 thousand"),
        (words.large(2.5e9), "2.50 billion"),
        (words.scientific(3.44e15), "3.4 × 10¹⁵"),
        (words.scientific(9.96e-5), "1.0 × 10⁻⁴"),
        (words.duration(0.4), "0.4 s"),
        (words.duration(200), "3 min 20 s"),
        (words.duration(3600), "1 h"),
        (words.listed(["a"]), "a"),
        (words.listed(list("abc")), "a, b and c"),
        (words.listed(list("abcdefgh"), most=3), "a, b and 6 more"),
    ],
)
def test_numbers_are_written_for_readers(said, want):
    assert plain(said) == want


def advised(optimum, baselines, **more):
    """Evidence with an optimum of one language pair and the given objectives."""
    best = Candidate("optimum", {"a": 0.6, "b": 0.4}, optimum)
    others = tuple(Candidate(name, {"a": 0.5, "b": 0.5}, value) for name, value in baselines.items())
    return Evidence("t", advice=Advice("shapley_law", "mean", best, others, **more))


def test_the_mixture_in_words_names_every_share_of_a_few_languages_and_sums_up_many(small):
    few = mixture_in_words(small)
    assert all(row.name in few for row in mixture_rows(small))
    total = sum(row.optimum for row in mixture_rows(small))
    assert total == pytest.approx(1)
    many = Candidate("optimum", {f"l{i}": 0.05 for i in range(20)}, Estimate(1.0))
    said = mixture_in_words(Evidence("t", advice=Advice("null", "mean", many, ())))
    assert plain(said).startswith("20 groups, none above 5.0 %")
    few_large = Candidate("optimum", {"big": 0.8, **{f"l{i}": 0.01 for i in range(20)}}, Estimate(1.0))
    said = mixture_in_words(Evidence("t", advice=Advice("null", "mean", few_large, ())))
    assert plain(said).endswith("and 16.0 % for 16 other groups")
    corner = Candidate("optimum", {"big": 0.7, "less": 0.3, **{f"l{i}": 1e-15 for i in range(20)}}, Estimate(1.0))
    said = mixture_in_words(Evidence("t", advice=Advice("null", "mean", corner, ())))
    assert plain(said) == "70.0 % big, 30.0 % less, and nothing for 20 other groups"


def test_an_expected_gain_whose_interval_includes_zero_is_not_sold_as_one():
    evidence = advised(Estimate(1.0), {"natural": Estimate(1.01)}, gains={"natural": Estimate(0.01, -0.01, 0.03)})
    assert gain_rows(evidence)[0].clear is False
    assert "cannot be told apart" in expectation(evidence)
    sure = advised(Estimate(1.0), {"natural": Estimate(1.01)}, gains={"natural": Estimate(0.01, 0.005, 0.015)})
    assert "cannot be told apart" not in expectation(sure)
    assert "0.010 bpb (1.0 %) lower than the natural mixture" in plain(expectation(sure))


def test_measured_differences_carry_the_pooled_t_interval():
    """Closed form: two mixtures, three seeds each; half width t_{0.975,4} s √(2/3) with the pooled s."""
    a, b = np.array([1.00, 1.01, 1.02]), np.array([1.05, 1.06, 1.10])
    trained = tuple(Trained(name, {"x": tuple(values)}) for name, values in (("optimum", a), ("uniform", b)))
    found = verdicts(Evidence("t", trained=trained))
    s = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    half = stats.t.ppf(0.975, 4) * s * np.sqrt(2 / 3)
    assert found[0].difference.value == pytest.approx(0.06)
    assert found[0].difference.low == pytest.approx(0.06 - half)
    assert found[0].outcome == ("better" if half < 0.06 else "within the noise")
    # the same as Student's two-sample test
    low, high = stats.ttest_ind(b, a).confidence_interval(0.95)
    assert (found[0].difference.low, found[0].difference.high) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("baseline", "outcome", "words_"),
    [
        ((1.5, 1.51, 1.52), "better", "beyond the noise"),
        ((1.005, 1.012, 1.02), "within the noise", "cannot tell which is better"),
        ((0.5, 0.51, 0.52), "worse", "worse than uniform"),
    ],
)
def test_the_loop_is_judged_in_plain_words(baseline, outcome, words_):
    trained = (Trained("optimum", {"x": (1.00, 1.01, 1.02)}), Trained("uniform", {"x": baseline}))
    evidence = Evidence("t", trained=trained)
    assert verdicts(evidence)[0].outcome == outcome
    assert words_ in summary(evidence)


def test_the_studys_own_paired_test_is_shown_as_it_is():
    trained = (
        Trained("optimum", {"x": (1.0, 2.0, 3.0)}, objectives=(1.0, 2.0, 3.0)),
        Trained("uniform", {"x": (1.1, 2.1, 3.1)}, objectives=(1.1, 2.1, 3.1), difference=Estimate(0.1, 0.09, 0.11)),
    )
    assert verdicts(Evidence("t", trained=trained))[0].outcome == "better"  # unpaired: the seeds' spread drowns it
    unpaired = tuple(dataclasses.replace(t, difference=None) for t in trained)
    assert verdicts(Evidence("t", trained=unpaired))[0].outcome == "within the noise"


def test_one_seed_gives_no_interval_and_no_victory():
    trained = (Trained("optimum", {"x": (1.0,)}), Trained("uniform", {"x": (2.0,)}))
    evidence = Evidence("t", trained=trained)
    assert loop_rows(evidence)[0].measured.low is None
    assert verdicts(evidence)[0].outcome == "no noise known"
    assert "no noise between seeds is known" in summary(evidence)


def test_an_open_loop_is_called_one():
    assert "loop is open" in summary(advised(Estimate(1.0), {}))


def test_clustering_permutes_and_puts_relatives_side_by_side():
    """Two blocks in shuffled order: alphabetical order splits them, the clustered one does not."""
    names = ["a", "b", "c", "d", "e", "f"]
    block = dict(zip([*names, "z"], [0, 1, 0, 1, 0, 1, 2], strict=True))
    value = np.array([[1.0 if t == s else 0.5 if block[t] == block[s] else -0.2 for s in names] for t in [*names, "z"]])
    matrix = TransferMatrix((*names, "z"), tuple(names), value, value - 0.1, value + 0.1)
    order = clustered(matrix)
    assert sorted(order.sources) == names
    assert order.targets[:-1] == order.sources
    assert order.targets[-1] == "z"
    assert sum(block[x] != block[y] for x, y in zip(order.sources, order.sources[1:], strict=False)) == 1
    for t in order.targets:
        for s in order.sources:
            assert order[t, s] == matrix[t, s]
            assert order.interval(t, s) == matrix.interval(t, s)


def test_the_finding_passes_over_values_that_could_be_nothing():
    value = np.array([[1.0, 0.9], [0.2, 1.0]])
    sure = np.array([[1.0, 2.0], [0.05, 0.1]])
    matrix = TransferMatrix(("a", "b"), ("a", "b"), value, value - sure, value + sure)
    assert finding(Evidence("t"), matrix) == "a helps b most (+0.20 bpb)"


@pytest.mark.parametrize(
    ("values", "half", "said"),
    [
        ([0.5, 0.3, 0.2], 0.1, "All 3 pairs do more together than apart, most of all a and b (+0.50 bpb)"),
        ([-0.5, -0.3, -0.2], 0.1, "In all 3 pairs the groups stand in for each other, most of all a and b (−0.50 bpb)"),
        (
            [0.5, -0.3, 0.01],
            0.1,
            "1 of 3 pairs do more together than apart, most of all a and b (+0.50 bpb); 1 stand in",
        ),
        ([0.5, 0.3, 0.01], 0.1, "2 of 3 pairs do more together than apart"),
        ([0.05, 0.03, -0.05], 0.1, "No pair does more or less together than apart beyond the noise"),
    ],
)
def test_pairs_are_counted_by_their_sign_beyond_the_noise(values, half, said):
    """Where all work together, the sentence does not single some out as if the others did not."""
    value = np.zeros((3, 3))
    value[np.triu_indices(3, 1)] = values
    found = Interactions(("a", "b", "c"), value + value.T, half_LL=np.full((3, 3), half))
    assert pair_finding(Evidence("t", advice=Advice("law", "mean", Candidate("optimum", dict.fromkeys("abc", 1 / 3), Estimate(1.0)), ())), found).startswith(said)  # fmt: skip


def test_a_waterfall_adds_up_whatever_is_folded():
    value = np.random.default_rng(0).normal(0, 1, (1, 40))
    matrix = TransferMatrix(("t",), tuple(f"s{i}" for i in range(40)), value)
    frame = waterfall(matrix, "t", most=8)
    assert len(frame.steps) == 8
    assert frame.steps[-1][0] == "33 others"
    assert sum(step.value for _, step in frame.steps) == pytest.approx(value.sum())
    assert frame.total == pytest.approx(value.sum())


def test_errors_and_ranks_agree_with_their_definitions():
    rng = np.random.default_rng(1)
    measured, predicted = rng.uniform(1, 2, 30), rng.uniform(1, 2, 30)
    measured[3] = measured[7]
    held = HeldOutPredictions("law", "x", tuple(map(str, range(30))), predicted, measured)
    assert relative_error(held) == pytest.approx(np.mean(np.abs(predicted - measured) / measured))
    assert rank_correlation(held) == pytest.approx(stats.spearmanr(predicted, measured).statistic)
    missing = dataclasses.replace(held, predicted_R=np.where(np.arange(30) < 5, np.nan, predicted))
    assert relative_error(missing) == pytest.approx(np.mean(np.abs(predicted[5:] - measured[5:]) / measured[5:]))


def test_laws_are_ranked_beside_the_null_law(small):
    rows = law_rows(small)
    assert [row.law for row in rows] == ["shapley_law", "log_linear", "own_ratio", "null"]
    own = next(row for row in rows if row.law == "own_ratio")
    assert own.targets == 6  # it says nothing of the two languages outside
    assert beaten_by_null(small) == []


def titles(evidence):
    return {caution.title: caution.level for caution in cautions(evidence)}


def test_doubts_follow_from_the_numbers(small):
    assert titles(small)["The optimum lies among the runs"] == "fine"
    assert titles(small)["Some runs are missing"] == "look"
    assert titles(small)["The law beats the null law on every language"] == "fine"
    levels = list(titles(small).values())
    assert levels == sorted(levels, key=["serious", "look", "fine"].index)


def test_an_optimum_outside_every_run_is_serious(small):
    measured = small.measurements.where(small.measurements.p_RL.max(axis=1) < 0.2)
    assert titles(dataclasses.replace(small, measurements=measured))["The optimum lies outside the runs"] == "serious"


def test_the_nearest_run_is_found_by_total_variation(small):
    p_RL = small.measurements.p_RL
    assert nearest_run(p_RL[7], p_RL)[1] == 0
    row, distance = nearest_run(np.full(6, 1 / 6), p_RL[:3])
    assert distance == pytest.approx(0.5 * np.abs(p_RL[row] - 1 / 6).sum())


def test_repetition_divergence_and_weak_laws_are_said(small):
    many = dataclasses.replace(small.advice.optimum, epochs={"swh_Latn": 9.0})
    worse = tuple(
        dataclasses.replace(h, predicted_R=h.measured_R * 1.5) if h.law == "shapley_law" else h for h in small.held_out
    )
    doubtful = dataclasses.replace(
        small,
        advice=dataclasses.replace(small.advice, optimum=many, status="iteration limit"),
        held_out=worse,
        cost=Spending({"complete": 10, "diverged": 5}),
        simulated_epochs=False,
    )
    found = titles(doubtful)
    assert found["Text is repeated often"] == "look"
    assert found["The law does not beat the null law"] == "serious"
    assert found["Some runs are missing"] == "serious"
    assert found["Repetition was not simulated"] == "look"
    assert "Repetition was not simulated" not in titles(dataclasses.replace(doubtful, simulated_epochs=None))
    assert found["The solver did not converge"] == "serious"


def test_a_law_without_held_out_runs_is_a_serious_doubt(small):
    assert titles(dataclasses.replace(small, held_out=()))["No held-out check"] == "serious"


def test_the_sample_is_a_study_that_makes_sense():
    evidence = sample(4, 1, swarm=8)
    assert evidence.advice.optimum.objective.value <= min(b.objective.value for b in evidence.advice.baselines)


def test_runs_of_the_closed_loop_are_no_evidence_that_the_optimum_lies_near(small):
    """The optimum itself was trained to validate it; without that run the distance is what it was before."""
    runs = small.measurements
    p_L = np.array([small.advice.optimum.mixture[language] for language in runs.languages])
    with_loop = dataclasses.replace(
        runs,
        runs=(*runs.runs, "validation-optimum"),
        p_RL=np.vstack([runs.p_RL, p_L]),
        loss_RT=np.vstack([runs.loss_RT, runs.loss_RT[0]]),
        N_R=np.append(runs.N_R, 1.0),
        D_R=np.append(runs.D_R, 1.0),
        seed_R=np.append(runs.seed_R, 0),
        role_R=(*runs.role_R, "validation"),
    )
    assert cautions(dataclasses.replace(small, measurements=with_loop)) == cautions(small)


def test_jobs_that_overlap_lie_in_lanes_of_their_own():
    def run(name, began, ended):
        return RunRow(name, began=began, ended=ended)

    rows = [run("a", 0, 4), run("b", 0, 4), run("c", 1, 3), run("d", 3, 6), run("e", 4, 5), RunRow("unknown")]
    packed = lanes(rows)
    assert [[[r.run for r in job] for job in lane] for lane in packed] == [[["a", "b"], ["e"]], [["c"], ["d"]]]


def test_the_timeline_tells_how_many_jobs_ran_at_a_time(small):
    drawn = timeline(small)
    jobs = {(r.began, r.ended) for r in small.runs if r.began}
    busy = sum(b - a for a, b in jobs) / (max(b for _, b in jobs) - min(a for a, _ in jobs))
    assert f"{busy:.1f} at a time" in drawn.finding
    assert len(drawn.rows) == len(small.runs) - 1
    assert timeline(dataclasses.replace(small, runs=())) is None


def test_time_on_the_clock_and_time_of_jobs_side_by_side_are_told_apart(small):
    """Six minutes of jobs under three of wall-clock are no contradiction once the page says that jobs overlap."""
    text = plain(re.sub(r"<svg.*?</svg>|<[^>]+>", " ", what_it_cost(small), flags=re.S))
    jobs = {(r.began, r.ended) for r in small.runs if r.began}
    assert f"from start to end {plain(words.duration(small.cost.seconds))}" in " ".join(text.split())
    assert f"its jobs, side by side, {plain(words.duration(sum(b - a for a, b in jobs)))} added up" in text
    assert sum(b - a for a, b in jobs) > small.cost.seconds


def test_the_front_says_what_the_second_objective_costs_the_first(small):
    points = ((1.2, 1.9, {"a": 1.0}), (1.3, 1.7, {"a": 1.0}))
    finding = front_figure(small, dataclasses.replace(small.front, points=points)).finding
    assert "by 0.200" in finding
    assert finding.endswith("must rise by 0.100")
    flat = dataclasses.replace(small.front, points=tuple((1.0, 2.0, p) for _, _, p in small.front.points))
    assert "want the same mixture" in front_figure(small, flat).finding


def test_the_front_shows_the_stated_objective_as_it_was_measured(small):
    loop = {row.name: row.measured for row in loop_rows(small)}
    rows = {row.name: row for row in trade_rows(small, small.front)}
    (target,) = [t for t in small.front.weights if t not in small.measurements.languages][:1]
    for one in small.trained:
        first, second = rows[one.name].measured
        assert first == loop[one.name]
        assert second.value == pytest.approx(np.mean(one.measured[target]))
        assert second.low < second.value < second.high
    assert rows["current"].measured is None
    data = {row[0]: row for row in front_figure(small, small.front).rows}
    assert data["optimum"][4:7] == (loop["optimum"].value, loop["optimum"].low, loop["optimum"].high)
    assert data["current"][4:7] == (None, None, None)


@pytest.mark.parametrize("objective", ["mean", "weighted", "normalised", "worst", "regret", "quantile"])
def test_the_recommendation_is_an_end_of_the_front(objective):
    fit, config = fit_of(), OptimizeConfig(**{**STUDY, "objective": objective})
    limits = constraints_from(config, fit.languages)
    optimum = minimise(fit, objective_from(config, fit.targets, fit.languages), limits, baselines={"natural": Mixture(dict.fromkeys(LANGUAGES, 0.25))}, starts=4, resamples=4)  # fmt: skip
    front = front_of(fit, optimum, limits, str)
    a, b, _ = front.points[0]
    assert a == pytest.approx(optimum.objective.value, rel=1e-4)
    assert a == pytest.approx(front.known["optimum"][0].value, rel=1e-4)
    assert front.known["optimum"][0].low < a < front.known["optimum"][0].high
    assert a <= front.points[-1][0] + 1e-9
    assert b >= front.points[-1][1] - 1e-9
