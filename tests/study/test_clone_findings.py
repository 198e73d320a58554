"""What runs of clones say, on runs whose losses are planted: no model is trained."""

import dataclasses
import math

import numpy as np
import pytest

from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.probe.equivalents import PowerLaw
from glotmix.studies.clones.analysis import (
    ArmOutcome,
    RunOutcome,
    claims,
    control_row,
    curve_method,
    dial_ends,
    efficiencies,
    mixture_rows,
)
from glotmix.studies.clones.arms import arms
from glotmix.studies.clones.config import CloneStudyConfig, LensesConfig
from glotmix.studies.clones.lenses import CloneLenses
from glotmix.study.narrator import Narrator

GPT_SMALL = PowerLaw(0.03868389, 0.20725335, 0.08406524, 1.0)
D, WORTH = 1e6, 0.3
"""Tokens of a run, and what a token of the other clone is worth."""


def loss(tokens, noise=0.0):
    """Nats per token of a language with so many tokens, its own and what others are worth together."""
    return GPT_SMALL.loss(tokens / D) + noise


def outcome(seeds=3, **fields):
    """The main arm, its losses planted: a token of the other clone is worth ``WORTH`` of one's own."""
    config = CloneStudyConfig(
        name="x",
        language="fr",
        proxy={"tokens": D},
        seeds=seeds,
        splits=[0.5, 0.2, 0.1],
        alone=[0.1, 0.25, 0.5, 1.0],
        schedules=[[0.1, 0.9], [0, 1]],
        **fields,
    )
    arm = arms(config)[0]
    one, two = arm.languages
    runs = []
    for i, planned in enumerate(arm.runs):
        noise = 0.002 * math.sin(1.7 * i) + 0.01 * planned.seed
        p = planned.schedule.average()
        if p[two] == 0:
            final = {one: loss(planned.tokens, noise), two: 9.0}
        elif planned.run.startswith("schedule-0_100"):
            final = {one: 5.0, two: 2.1}
        else:
            gained = 0.05 if planned.run.startswith("schedule") else 0.0
            final = {t: loss(D * (p[t] + WORTH * p[o]), noise) - gained for t, o in ((one, two), (two, one))}
        cosine = 0.5 if "90-10" in planned.run else 0.1
        layers = {"raw": [0.9 - cosine - noise], "centred": [cosine], "retrieval": [cosine], "chance": 0.1}
        gradient = {"mean": cosine + noise, "by_tensor": {}}
        probe = {"gradient": gradient, "hidden": layers, "embedding": {"pairs": cosine + noise, "all": 0.0}}
        runs.append(RunOutcome(planned, {int(D): final}, {int(D): probe} if p[two] else {}))
    return ArmOutcome(arm, tuple(runs))


def test_token_efficiency_of_the_small_clone_is_what_was_planted():
    main = outcome()
    alone = main.alone("fra_Latn.1")
    for method in ("law", "interpolated"):
        first, second = efficiencies(main, "split-90-10", alone, method)
        # (0.1 + 0.3 · 0.9) / 0.1 = 3.7 for the small one and (0.9 + 0.03) / 0.9 for the large; a copy would score 1.
        assert second.value == pytest.approx(1 + WORTH * 9, rel=0.05)
        assert first.value == pytest.approx(1 + WORTH / 9, rel=0.05)
        assert second.low < second.value < second.high


def test_the_published_law_gives_way_where_it_misses_its_points_by_more_than_the_noise():
    rng = np.random.default_rng(0)
    tokens = np.array([0.05, 0.1, 0.25, 0.5, 1.0])
    steps = np.array([2.45, 2.43, 2.30, 1.95, 1.65])
    stepped = {seed: (tokens, steps + rng.normal(0, 0.005, 5)) for seed in range(3)}
    assert curve_method(stepped)[0] == "interpolated"
    assert curve_method(outcome().alone("fra_Latn.1"))[0] == "law"
    assert curve_method({0: (tokens, np.linspace(1, 2, 5))})[0] == "interpolated"  # losses that rise have no law
    assert "no runs on a language alone" in curve_method({})[1]


def test_verdicts_follow_the_planted_effects():
    main = outcome()
    alone = main.alone("fra_Latn.1")
    verdicts = {claim.claim: claim.verdict for claim in claims(main, [], alone, "law")}
    assert verdicts == {
        "A clone with 10 % of the tokens makes more of each than one with 50 %": "reproduced",
        "Balanced clones gain nothing from each other": "not reproduced",
        "Gradients of the two languages agree more at 90/10 than at 50/50": "reproduced",
        "Hidden states of the two languages agree more at 90/10 than at 50/50": "not reproduced",
        "Input embeddings of the two languages agree more at 90/10 than at 50/50": "reproduced",
        "90/10 is better than 50/50 for the main clone": "reproduced",
        "90/10 is better than 50/50 for the small clone": "not reproduced",
        "At equal data in all, training imbalanced and swapping halfway is better for the first clone": "reproduced",
        "At equal data in all, training imbalanced and swapping halfway is better for the second clone": "reproduced",
        "One language after the other forgets the first": "reproduced",
    }
    assert {claim.verdict for claim in claims(outcome(seeds=1), [], outcome(1).alone("fra_Latn.1"), "law")} == {
        "not decidable at this size"
    }


def test_what_updates_alone_would_give_is_told_from_transfer():
    config = CloneStudyConfig(
        name="x", language="fr", proxy={"tokens": D, "batch": 10}, splits=[0.1], updates=[0.1], alone=[]
    )
    main, control = outcome(), arms(config)[1]
    main = dataclasses.replace(main, arm=dataclasses.replace(main.arm, proxy=config.proxy))
    alone = main.alone("fra_Latn.1")
    # As many updates are worth twice the tokens; the mixture, 3.7 times.
    runs = [
        RunOutcome(run, {run.tokens: {"fra_Latn.1": loss(2 * run.tokens, 0.01 * run.seed)}}, {}) for run in control.runs
    ]
    row = control_row(main, ArmOutcome(control, tuple(runs)), alone, "law")
    assert (row.share, row.batch) == (0.1, 1)
    assert row.efficiency.value == pytest.approx(2, rel=0.05)
    assert row.mixed.value == pytest.approx(1 + WORTH * 9, rel=0.05)
    assert row.gain.value == pytest.approx(loss(0.2 * D) - loss(0.37 * D), abs=0.005)
    assert row.gain.low > 0
    assert control_row(main, ArmOutcome(control, ()), alone, "law") is None


def test_the_dial_of_anchors_ends_at_two_vocabularies_and_at_one_language():
    bare, whole = dial_ends(outcome())
    assert (bare.share, whole.share) == (0.0, 1.0)
    assert bare.loss.value == pytest.approx(loss((0.5 + 0.5 * WORTH) * D, 0.01), abs=0.005)
    assert whole.loss.value == pytest.approx(loss(D, 0.01), abs=0.005)


def test_rows_hold_every_mixture_once_with_its_seeds():
    main = outcome()
    rows = mixture_rows(main, main.alone("fra_Latn.1"), "law")
    assert [row.name for row in rows] == [
        "split-50-50", "split-80-20", "split-90-10", "schedule-10_90", "schedule-0_100",
    ]  # fmt: skip
    assert {row.seeds for row in rows} == {3}
    assert rows[2].gradient.value == pytest.approx(0.5, abs=0.02)


def test_losses_give_back_the_planted_rate_and_a_law_of_two_languages_rests_on_its_priors(tmp_path):
    main = outcome()
    lenses = CloneLenses(LensesConfig(splits=[0.1]), main, None, tmp_path, Narrator())
    measured = lenses._measured("split-90-10", (0.9, 0.1), main.alone("fra_Latn.1"), "law")
    assert [rate.to_second for rate in measured.values()] == pytest.approx([WORTH] * 3, rel=0.1)
    law = lenses._law((0.9, 0.1))
    # Shares of two languages sum to one, so own text and help cannot be told apart but by the law's priors.
    assert law.to_second > 0


def test_a_game_of_disjoint_vocabularies_calls_an_equal_harmful_because_it_was_never_seen(tmp_path):
    main = outcome()

    class Store:
        vocab_size = 514

    lenses = CloneLenses(LensesConfig(splits=[0.1]), main, Store(), tmp_path, Narrator())
    games = lenses._games(main.groups["split-50-50"], (0.5, 0.5))
    # Alone, the other language leaves ids unseen, whose loss (9 nats) is worse than knowing nothing (ln 514 = 6.2).
    assert len(games) == 3
    assert all(game.to_first < 0 for game in games.values())
    assert games[0].to_first == pytest.approx(games[0].to_second, rel=0.02)


def test_planted_schedules_are_what_the_runs_were():
    main = outcome(seeds=1)
    run = main.groups["split-90-10"][0]
    assert run.planned.schedule == Schedule.constant(Mixture({"fra_Latn.1": 0.9, "fra_Latn.2": 0.1}))
    assert run.final["fra_Latn.2"] > run.final["fra_Latn.1"]
