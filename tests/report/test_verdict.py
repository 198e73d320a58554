"""The first screen says what the evidence allows: headline, verdict and the six answers, on studies of every outcome."""

import dataclasses
import re

import numpy as np
import pytest
from sample import sample

from glotmix.estimate import Estimate
from glotmix.measurements import Measurements
from glotmix.report.evidence import About, Candidate, Trained
from glotmix.report.frames.card import answers, flip_finding, flip_rows
from glotmix.report.frames.languages import compared_with, foretold, foretold_in_words, language_rows, part_of
from glotmix.report.frames.loop import summary
from glotmix.report.frames.verdict import decide
from glotmix.report.page import page

NOISE = (-0.004, 0.0, 0.004)


def trained_as(evidence, effect, seeds=NOISE, name="current"):
    """The optimum and one baseline, trained: the optimum's losses are the baseline's plus ``effect(target)``."""
    targets = list(evidence.advice.optimum.losses)
    base = {t: 1.5 + 0.1 * i for i, t in enumerate(targets)}
    wobble = np.array(seeds)
    losses = {
        "optimum": {t: tuple(base[t] + effect(t) + wobble) for t in targets},
        name: {t: tuple(base[t] + wobble[::-1]) for t in targets},
    }
    predicted = {t: Estimate(base[t], base[t] - 0.01, base[t] + 0.01) for t in targets}
    return dataclasses.replace(evidence, trained=tuple(Trained(n, of, predicted) for n, of in losses.items()))


@pytest.fixture(scope="module")
def study():
    return sample(6, 1)


def outside_all_runs(evidence):
    p_RL = np.full((4, 6), [0.5, 0.5, 0, 0, 0, 0])
    loss = np.full((4, 7), 1.5)
    runs = Measurements(tuple("abcd"), evidence.measurements.languages, evidence.measurements.targets, p_RL, loss, np.ones(4), np.ones(4), np.arange(4), ("swarm",) * 4)  # fmt: skip
    return dataclasses.replace(evidence, measurements=runs)


def weak(evidence):
    """A law that is further off than the mean of all runs."""
    bad = tuple(
        dataclasses.replace(h, predicted_R=h.measured_R * 2) if h.law == "shapley_law" else h for h in evidence.held_out
    )
    return dataclasses.replace(evidence, held_out=bad)


def right_to_left(evidence):
    tags = list(evidence.about)
    return dataclasses.replace(evidence, about={**evidence.about, tags[0]: About("עברית"), tags[1]: About("العربية")})


def renamed(evidence, status):
    return dataclasses.replace(evidence, advice=dataclasses.replace(evidence.advice, status=status))


CASES = {
    "wins": (lambda e: trained_as(e, lambda t: -0.1), "use", "Use it: train on"),
    "pays": (lambda e: trained_as(e, lambda t: 0.2 if t == "tur_Latn" else -0.2), "accept", "Use it if you accept that Turkish gets worse"),
    "loses": (lambda e: trained_as(e, lambda t: 0.1), "reject", "Do not use it: current measured better"),
    "ties": (lambda e: trained_as(e, lambda t: 0.0002, (-1e-3, 0.0, 1e-3)), "keep", "No difference: keep what you have (current)"),
    "cannot tell": (lambda e: trained_as(e, lambda t: -0.01, (-0.3, 0.0, 0.35)), "keep", "No difference shown: keep what you have (current)"),
    "tiny": (lambda e: trained_as(e, lambda t: -0.004, (-1e-4, 0.0, 1e-4)), "keep", "No difference worth a change: keep what you have"),
    "one seed": (lambda e: trained_as(e, lambda t: -0.1, (0.0,)), "accept", "Use it if you accept a difference between single runs"),
    "never validated": (lambda e: dataclasses.replace(e, trained=()), "accept", "Use it if you accept a gain that is predicted and not measured"),
    "null": (lambda e: weak(dataclasses.replace(e, trained=())), "reject", "Do not use it: the law behind it knows no more than the mean"),
    "extrapolates": (lambda e: trained_as(outside_all_runs(e), lambda t: -0.1), "accept", "Use it if you accept that the law extrapolates"),
    "no solution": (lambda e: renamed(trained_as(e, lambda t: -0.1), "not converged: x"), "reject", "Do not use it: the search for it did not end"),
    "right to left": (lambda e: trained_as(right_to_left(e), lambda t: -0.1), "use", "Use it: train on"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_headline_and_verdict_follow_from_the_evidence(study, case):
    """An imperative stands on the page if, and only if, the verdict is to use it; nothing on the page contradicts it."""
    make, kind, begins = CASES[case]
    evidence = make(study)
    decision, text = decide(evidence), page(evidence)
    assert decision.kind == kind
    assert decision.headline.startswith(begins)
    shown = re.search(r'<p class="answer">(.*?)</p>', text, flags=re.S)[1]
    assert re.sub(r"<[^>]+>", "", shown) == decision.headline
    assert f'class="card card-{kind}"' in text
    commands = re.findall(
        r"\b(?:Train on|train on)\b", re.sub(r"<script.*?</script>|<dt>.*?</dt>", "", text, flags=re.S)
    )
    assert bool([c for c in commands if c]) == (kind == "use")
    words = decision.words()
    assert words.startswith(decision.headline)
    assert decision.to_json()["decision"]["verdict"] == kind


@pytest.mark.parametrize("languages", [2, 6, 100])
def test_the_six_answers_stand_on_the_first_screen(languages):
    """What to train on, instead of what, for whom, at whose cost, how sure, on what evidence: each with its facts."""
    evidence = sample(languages, 1, swarm=30, resamples=10) if languages > 6 else sample(languages, 1)
    evidence = trained_as(evidence, lambda t: 0.2 if t == list(evidence.about)[1] else -0.6)
    asked = {one.question: one.text for one in answers(evidence)}
    name = evidence.name_of(list(evidence.about)[1])
    assert list(asked) == [
        "What to train on",
        "Instead of what",
        "For whom",
        "At whose cost",
        "How sure",
        "On what evidence",
    ]
    if languages <= 8:
        for language in evidence.advice.optimum.mixture:
            assert evidence.name_of(language) in asked["What to train on"]
            assert evidence.name_of(language) in asked["Instead of what"]
    assert "current mixture" in asked["Instead of what"]
    assert f"{languages} languages alike" in asked["For whom"]
    assert f"{name} +0.200 bpb" in asked["At whose cost"]
    assert f"1 language of {languages + 1} gets worse" in asked["At whose cost"]
    assert "95\u202f% interval" in asked["How sure"]
    assert "On unseen mixtures the law shapley_law is off by" in asked["How sure"]
    assert f"Of {2 * (languages + 1)} single losses, one per language" in asked["How sure"]
    assert f"Of {languages + 1} languages whose loss against current moved beyond the noise" in asked["How sure"]
    assert f"{len(evidence.measurements)} training runs of 140 thousand parameters" in asked[
        "On what evidence"
    ].replace("\u202f", " ")
    assert len(" ".join(asked.values())) < 1600


def test_a_hundred_languages_are_summed_up_in_words():
    said = decide(dataclasses.replace(sample(100, 1, swarm=30, resamples=10), trained=())).headline
    assert "others" not in said
    assert len(said) < 300


def test_a_measured_difference_is_shown_where_there_is_one(study):
    """The law expects Turkish to gain; trained, it loses: the page shows the loss, and says that it was measured."""
    evidence = trained_as(study, lambda t: 0.08 if t == "tur_Latn" else -0.2)
    better = {**evidence.advice.optimum.losses, "tur_Latn": Estimate(0.5, 0.4, 0.6)}
    advice = dataclasses.replace(evidence.advice, optimum=dataclasses.replace(evidence.advice.optimum, losses=better))
    evidence = dataclasses.replace(evidence, advice=advice)
    row = next(row for row in language_rows(evidence) if row.target == "tur_Latn")
    assert row.change.value == pytest.approx(0.08)
    assert (row.trained, row.outcome, part_of(row)) == (True, "worse", "pays")
    assert "+0.080 (" in page(evidence)


def test_the_studys_paired_difference_by_language_is_taken_as_it_is(study):
    evidence = trained_as(study, lambda t: -0.2)
    tested = tuple(
        dataclasses.replace(t, differences={"tur_Latn": Estimate(-0.3, -0.4, -0.2)}) if t.name == "current" else t
        for t in evidence.trained
    )
    row = next(r for r in language_rows(dataclasses.replace(evidence, trained=tested)) if r.target == "tur_Latn")
    assert (row.change.value, row.change.low, row.change.high) == pytest.approx((0.3, 0.2, 0.4))


def test_single_predictions_are_counted_not_waved_through(study):
    """The aggregate may agree while the languages miss: half of them are off by 0.2 to one side, half to the other."""
    targets = list(study.advice.optimum.losses)
    evidence = trained_as(study, lambda t: 0.2 if targets.index(t) % 2 else -0.2)
    told = foretold(evidence)
    assert (told.held, told.asked) == (len(targets), 2 * len(targets))
    words = f"Of {told.asked} single losses, one per language and trained mixture, {told.held} held"
    assert words in summary(evidence)
    assert "agree within their intervals" not in summary(evidence)


def foretelling(evidence, changes):
    """The law expects so much of every language under the optimum, minus the mixture in use; intervals are wide."""
    current = next(b for b in evidence.advice.baselines if b.name == "current")
    there = {target: Estimate(2.0, 0.0, 4.0) for target in current.losses}
    here = {target: Estimate(2.0 + changes(target), 0.0, 4.0) for target in there}
    others = tuple(
        dataclasses.replace(b, losses=there) if b.name == "current" else b for b in evidence.advice.baselines
    )
    optimum = dataclasses.replace(evidence.advice.optimum, losses=here)
    trained = tuple(
        dataclasses.replace(one, predicted=here if one.name == "optimum" else there) for one in evidence.trained
    )
    advice = dataclasses.replace(evidence.advice, optimum=optimum, baselines=others)
    return dataclasses.replace(evidence, advice=advice, trained=trained)


def test_a_loss_that_was_foretold_as_a_gain_is_counted_though_every_interval_holds(study):
    """Turkish: a gain foretold, a loss measured. Azerbaijani moves within the noise alone, and is not asked for a direction."""
    targets = [t for t in study.advice.optimum.losses if t not in ("tur_Latn", "aze_Latn")]
    measured = {"tur_Latn": 0.08, "aze_Latn": 0.0}
    evidence = foretelling(trained_as(study, lambda t: measured.get(t, -0.3)), lambda t: -0.13)
    told = foretold(evidence)
    assert told.held == told.asked == 2 * (len(targets) + 2)
    assert told.wrong == ("Turkish",)
    assert set(told.right) == {evidence.name_of(t) for t in targets}
    said = (
        f"Of {len(targets) + 1} languages whose loss against current moved beyond the noise, the law has the direction "
        f"of {len(targets)} right; it foretold the opposite of Turkish."
    )
    asked = {one.question: one.text for one in answers(evidence)}
    decision = decide(evidence)
    for place in (foretold_in_words(evidence), asked["How sure"], summary(evidence), decision.words()):
        assert said in place
    assert said in decision.to_json()["decision"]["foretold"]
    alone = {"tur_Latn": 0.08}
    one = foretelling(trained_as(study, lambda t: alone.get(t, 0.0)), lambda t: -0.13)
    assert "One language moved beyond the noise against current: Turkish, to the other side than" in foretold_in_words(
        one
    )
    right = foretelling(evidence, lambda t: measured.get(t, -0.3))
    assert foretold(right).wrong == ()
    assert f"the law has the direction of {len(targets) + 1} right." in foretold_in_words(right)


def test_nothing_is_said_of_predictions_where_no_noise_is_known(study):
    assert foretold_in_words(dataclasses.replace(study, trained=())) == ""
    once = [
        dataclasses.replace(one, measured={t: of[:1] for t, of in one.measured.items()}, objectives=(), difference=None, differences={})
        for one in study.trained
    ]  # fmt: skip
    assert foretold_in_words(dataclasses.replace(study, trained=tuple(once))) == ""


def test_the_recommendation_is_held_against_the_mixture_in_use(study):
    assert compared_with(study) == "current"
    others = tuple(b for b in study.advice.baselines if b.name != "current")
    without = dataclasses.replace(study, advice=dataclasses.replace(study.advice, baselines=others))
    assert compared_with(without) == "natural"
    assert compared_with(dataclasses.replace(study, advice=dataclasses.replace(study.advice, baselines=()))) is None
    alone = dataclasses.replace(without, advice=dataclasses.replace(study.advice, baselines=(), gains={}), trained=())
    assert decide(alone).headline.startswith("Use it if you accept that it was held against no other mixture")


@pytest.mark.parametrize("case", ["ties", "tiny", "loses"])
def test_a_mixture_in_use_that_breaks_the_limits_is_no_way_out(study, case):
    limits = ("ceiling 0.002 of swh", "ceiling 0.4 of web", "floor 0.1 of code")
    before = decide(CASES[case][0](study))
    now = tuple(dataclasses.replace(b, broken=limits) if b.name == "current" else b for b in study.advice.baselines)
    found = decide(CASES[case][0](dataclasses.replace(study, advice=dataclasses.replace(study.advice, baselines=now))))
    assert found.kind == before.kind
    assert found.because == f"{before.because} But current breaks 3 of your limits: ceiling 0.002 of swh and 2 more."
    if before.kind == "keep":
        assert (
            found.headline == f"{before.headline[:-1]}, or use it to keep within 3 of your limits that current breaks."
        )
    assert decide(CASES["wins"][0](study)) == decide(
        CASES["wins"][0](dataclasses.replace(study, advice=dataclasses.replace(study.advice, baselines=now)))
    )


def test_the_simplest_rule_that_runs_cannot_tell_it_from_is_named(study):
    """Better than what is in use, and no better than two rules that need no law."""
    evidence = trained_as(study, lambda t: -0.1)
    optimum = evidence.trained[0]
    as_good = {t: tuple(reversed(losses)) for t, losses in optimum.measured.items()}
    worse = {t: tuple(loss + 0.1 for loss in losses) for t, losses in optimum.measured.items()}

    def because(**rules):
        more = tuple(dataclasses.replace(optimum, name=name, measured=of) for name, of in rules.items())
        return decide(dataclasses.replace(evidence, trained=(*evidence.trained, *more))).because

    both = because(unimax=as_good, temperature=as_good, natural=worse)
    assert "cannot tell it from temperature and unimax: temperature is the simplest and needs no law" in both
    assert "cannot tell it from unimax: that is simpler and needs no law" in because(unimax=as_good, natural=worse)
    assert "needs no law" not in because(unimax=worse)


def test_the_flip_test_tells_whose_weights_decide(study):
    from glotmix.report.evidence import Flip

    p = study.advice.optimum.mixture
    far = dict.fromkeys(p, 0.0) | {"spa_Latn": 1.0}
    flips = (Flip("the study's weights", p), Flip("every language alike", far))
    rows = flip_rows(dataclasses.replace(study, advice=dataclasses.replace(study.advice, flips=flips)))
    assert rows[0].moved == 0
    assert rows[1].moved == pytest.approx(1 - p["spa_Latn"])
    assert "100.0\u202f% if every language counts alike" in flip_finding(rows)
    same = (flips[0], Flip("every language alike", p))
    assert "nearly the same" in flip_finding(
        flip_rows(dataclasses.replace(study, advice=dataclasses.replace(study.advice, flips=same)))
    )


def test_a_candidate_that_is_not_trained_on_anything_new_has_nothing_to_answer():
    from glotmix.report.evidence import Evidence

    assert answers(Evidence("t")) == []
    assert decide(Evidence("t")).headline == "Not enough was measured to recommend a mixture."
    assert Candidate("optimum", {"a": 1.0}, Estimate(1.0)).losses == {}
