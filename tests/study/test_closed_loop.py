"""The closed loop's verdicts: unbiased, with intervals that cover, and silent where nothing was repeated."""

import numpy as np
import pytest

from glotmix.artifact import creating
from glotmix.measurements import Measurements
from glotmix.mixture.design import drawable
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.studies.mixture.closed_loop import compare, labelled, planned, trained_before

LANGUAGES = ("a", "b")
MIXTURES = {
    "optimum": Schedule.constant(Mixture({"a": 0.6, "b": 0.4})),
    "uniform": Schedule.constant(Mixture({"a": 0.5, "b": 0.5})),
    "natural": Schedule.constant(Mixture({"a": 0.9, "b": 0.1})),
}


def measured(losses_by_run):
    runs = tuple(losses_by_run)
    n = len(runs)
    return Measurements(
        runs=runs,
        languages=LANGUAGES,
        targets=LANGUAGES,
        p_RL=np.full((n, 2), 0.5),
        loss_RT=np.array(list(losses_by_run.values())),
        N_R=np.ones(n),
        D_R=np.ones(n),
        seed_R=np.zeros(n, dtype=int),
        role_R=("validation",) * n,
    )


def loop(seeds, loss, value=np.mean):
    runs = planned(MIXTURES, seeds, 1000, study_seed=0)
    table = {run.run: loss(run.run.split("-")[1], run.seed) for run in runs}
    return compare(MIXTURES, measured(table), runs, value)


def test_mixtures_share_their_seeds_and_no_seed_is_one_of_the_fitted_runs():
    runs = planned(MIXTURES, 3, 1000, study_seed=0)
    seeds = {name: {run.seed for run in runs if f"-{name}-" in run.run} for name in MIXTURES}
    assert seeds["optimum"] == seeds["uniform"] == seeds["natural"] == {1000, 1001, 1002}


def test_what_a_seed_does_to_all_mixtures_alike_is_no_noise():
    mean = {"optimum": 2.0, "uniform": 2.1, "natural": 2.5}
    found = loop(3, lambda name, seed: [mean[name] + seed % 7 + 1e-6 * (seed * ord(name[0]) % 5)] * 2)
    by_name = {d.baseline: d for d in found.differences}
    assert by_name["uniform"].estimate.value == pytest.approx(0.1, abs=1e-5)
    assert by_name["natural"].estimate.value == pytest.approx(0.5, abs=1e-5)
    assert by_name["uniform"].estimate.low == pytest.approx(0.1, abs=1e-4)
    assert by_name["natural"].verdict == "better"


def test_intervals_cover_the_truth_95_percent_of_the_time():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(1000):
        noise = {}
        found = loop(3, lambda name, seed, noise=noise: [2 + noise.setdefault((name, seed), rng.normal(0, 0.1))] * 2)
        interval = found.differences[0].estimate
        inside += interval.low <= 0 <= interval.high
    # A normal interval in place of Student's (4 degrees of freedom) covers 88 %, one from pairs alone needs t = 4.3.
    assert 0.93 <= inside / 1000 <= 0.97


def test_one_seed_gives_a_difference_but_no_verdict():
    found = loop(1, lambda name, seed: [2.0, 3.0])
    assert found.differences[0].verdict == "no noise known"
    assert found.differences[0].estimate.low is None
    assert found.to_json()["differences"][0]["low"] is None


def test_a_run_that_failed_is_left_out_for_all():
    runs = planned(MIXTURES, 3, 1000, study_seed=0)
    table = {run.run: [2.0, 2.0] for run in runs if run.run != "validation-uniform-s1"}
    found = compare(MIXTURES, measured(table), runs, np.mean)
    assert len(found.objective["uniform"]) == 2
    assert found.differences[0].estimate.value == 0


def test_a_share_too_small_to_be_drawn_is_left_out_and_the_rest_is_kept_in_proportion():
    mixture = drawable(Mixture({"a": 0.6, "b": 0.4 - 1e-6, "c": 1e-6}), sequences=1000)
    assert mixture["c"] == 0
    assert mixture["a"] / mixture["b"] == pytest.approx(0.6 / (0.4 - 1e-6))
    assert drawable(Mixture({"a": 0.5, "b": 0.5}), 1000) == Mixture({"a": 0.5, "b": 0.5})


def test_a_mixture_that_differs_by_rounding_is_the_one_that_was_trained():
    """Another objective with the same optimum but for the last digits must not strand the study."""
    before = Schedule.constant(Mixture({"a": 0.00999999999999979, "b": 0.99000000000000021}))
    now = Schedule.constant(Mixture({"a": 0.010000000000000552, "b": 0.989999999999999448}))
    assert labelled({"optimum": now}, {"optimum": before}) == {"optimum": ("optimum", before)}
    runs = planned({"optimum": before}, 1, 1000, study_seed=0)
    found = compare({"optimum": before}, measured({run.run: [1.0, 2.0] for run in runs}), runs, np.mean)
    assert found.objective == {"optimum": (1.5,)}


def test_a_mixture_that_changed_is_trained_under_a_label_of_its_own_and_changed_back_not_again():
    other = Schedule.constant(Mixture({"a": 0.2, "b": 0.8}))
    first = labelled(MIXTURES, {})
    assert {name: label for name, (label, _) in first.items()} == {name: name for name in MIXTURES}
    known = dict(first.values())
    changed = labelled({**MIXTURES, "optimum": other}, known)
    assert changed["optimum"] == ("optimum.2", other)
    assert changed["natural"][0] == "natural"
    known |= dict(changed.values())
    assert labelled(MIXTURES, known) == first
    assert labelled({"optimum": MIXTURES["natural"]}, known) == {"optimum": ("natural", MIXTURES["natural"])}


def test_what_was_trained_before_is_read_from_the_runs(tmp_path):
    for run in planned(MIXTURES, 2, 1000, study_seed=0):
        with creating(tmp_path / run.run, "run", {"run": run.to_json()}):
            pass
    assert trained_before(tmp_path) == MIXTURES
