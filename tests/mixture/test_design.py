import itertools
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from glotmix.errors import BadInput, Infeasible
from glotmix.mixture.balancing import uniform
from glotmix.mixture.design import (
    PlannedRun,
    anchors,
    coalitions,
    dirichlet_swarm,
    round_tokens,
    sampled_coalitions,
    simulated_epoching,
    spread_coalitions,
)
from glotmix.mixture.mixture import Mixture
from glotmix.studies.mixture.config import check
from glotmix.studies.mixture.plan import plan
from glotmix.studies.mixture.price import planned
from glotmix.studies.mixture.stages import MixtureStudy
from glotmix.study.directory import StudyDirectory

LANGUAGES = ("spa_Latn", "por_Latn", "fin_Latn", "rus_Cyrl")
NATURAL = Mixture({"spa_Latn": 0.4, "por_Latn": 0.3, "fin_Latn": 0.2, "rus_Cyrl": 0.1})
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]*")


def members(run):
    return frozenset(run.schedule.average().support)


def test_every_coalition_stands_once_per_seed_and_all_names_differ():
    runs = coalitions(LANGUAGES, NATURAL, 1e6, seeds=(0, 1))
    subsets = [frozenset(s) for size in range(1, 5) for s in itertools.combinations(LANGUAGES, size)]
    assert Counter((members(run), run.seed) for run in runs) == Counter(itertools.product(subsets, (0, 1)))
    assert len({run.run for run in runs}) == len(runs) == 30
    assert runs[4].run == "coalition-spa+por-s0"
    assert runs[14].run == "coalition-full-s0"


def test_a_fixed_budget_renormalises_and_an_own_budget_takes_tokens_away():
    fixed, own = (
        {run.run: run for run in coalitions(LANGUAGES, NATURAL, 1e6, budget=budget)} for budget in ("fixed", "own")
    )
    name = "coalition-por+rus-s0"
    assert fixed[name].tokens == 1_000_000
    assert own[name].tokens == 400_000
    for run in (fixed[name], own[name]):
        assert run.schedule.at(0).total_variation({"por_Latn": 0.75, "rus_Cyrl": 0.25}) < 1e-12
    # Under `own` a member's tokens do not depend on who else is there; under `fixed` they do.
    own_tokens = {
        round(run.schedule.at(0)["por_Latn"] * run.tokens) for run in own.values() if "por_Latn" in members(run)
    }
    assert own_tokens == {300_000}


def test_the_games_of_seven_languages_and_by_choice_of_ten_are_planned_and_priced():
    ten = ["eng", "deu", "fra", "spa", "ita", "por", "zho", "cat", "nld", "jpn"]
    tags = [f"{name}_{'Hans' if name == 'zho' else 'Jpan' if name == 'jpn' else 'Latn'}" for name in ten]
    alone = {"coalitions": "all", "swarm": 0, "anchors": 0}
    paper = check({"name": "s", "languages": tags[:7], "design": alone})
    seven = plan(paper, uniform(paper.languages))
    assert len({members(run) for run in seven}) == len(seven) == 127
    with pytest.raises(BadInput, match=r"8 languages have 255 coalitions.*most_coalitions.*coalitions: sampled"):
        plan(check({"name": "s", "languages": tags[:8], "design": alone}), uniform([*paper.languages, tags[7]]))
    config = check({"name": "s", "languages": tags, "design": alone | {"most_coalitions": 1023}})
    assert len({members(run) for run in plan(config, uniform(config.languages))}) == 1023
    found = planned(MixtureStudy.of(config, StudyDirectory(Path("unused"))))
    assert len(found.runs) == 1023
    assert found.flops_of_design == pytest.approx(1023 * config.proxy.tokens * found.per_token)


def test_a_language_without_a_share_plays_in_no_coalition():
    with pytest.raises(BadInput, match="fin_Latn has no share"):
        coalitions(LANGUAGES, NATURAL.over(LANGUAGES).__class__({**NATURAL, "fin_Latn": 0.0, "spa_Latn": 0.6}), 1e6)


def test_sampled_coalitions_are_the_full_one_singles_and_halves():
    languages = [f"l{i:02}" for i in range(10)]
    runs = sampled_coalitions(languages, uniform(languages), 1e6, 61, np.random.default_rng(0))
    sets = [members(run) for run in runs]
    assert len(sets) == len(set(sets)) == 61
    assert sets[0] == frozenset(languages)
    assert set(sets[1:11]) == {frozenset([name]) for name in languages}
    assert {len(one) for one in sets[11:]} == {5}
    again = sampled_coalitions(languages, uniform(languages), 1e6, 61, np.random.default_rng(0))
    assert runs == again


@pytest.mark.parametrize(("n", "count"), [(10, 32), (10, 64), (21, 60)])
def test_every_pair_of_languages_stands_together_about_as_often(n, count):
    """How unevenly pairs stand together in the halves, standard deviation of the counts; drawn at random it is twice
    that and more."""
    rng = np.random.default_rng(0)
    halves = spread_coalitions(n, count, rng)[n + 1 :]
    drawn = np.array([np.isin(np.arange(n), rng.choice(n, halves[0].sum(), replace=False)) for _ in halves])
    pairs = np.triu_indices(n, 1)
    uneven, random = (((x.T * 1.0) @ x)[pairs].std() for x in (halves, drawn))
    assert uneven < 0.6 * random


def test_sampling_all_coalitions_gives_each_once():
    runs = sampled_coalitions(LANGUAGES, NATURAL, 1e6, 15, np.random.default_rng(0))
    assert len({members(run) for run in runs}) == 15
    for count in (0, 16):
        with pytest.raises(BadInput, match="expected 1 to 15"):
            sampled_coalitions(LANGUAGES, NATURAL, 1e6, count, np.random.default_rng(0))


def test_a_dirichlet_swarm_has_the_moments_of_its_distribution():
    runs = dirichlet_swarm("abc", 3000, {"a": 1.0, "b": 2.0, "c": 3.0}, 1e6, np.random.default_rng(0))
    shares = np.array([run.schedule.at(0).vector("abc") for run in runs])
    mean = np.array([1, 2, 3]) / 6
    np.testing.assert_allclose(shares.mean(axis=0), mean, atol=0.02)
    np.testing.assert_allclose(shares.var(axis=0), mean * (1 - mean) / 7, rtol=0.1)
    assert runs[7].run == "swarm-0007-s0"


def test_caps_and_least_shares_hold_in_a_swarm():
    runs = dirichlet_swarm("abc", 300, 0.2, 1e6, np.random.default_rng(0), caps={"a": 0.1}, least=0.02)
    shares = np.array([run.schedule.at(0).vector("abc") for run in runs])
    assert shares[:, 0].max() <= 0.1
    assert not ((shares > 0) & (shares < 0.02)).any()
    assert (shares == 0).any()
    with pytest.raises(Infeasible, match=r"caps sum to 0.9"):
        dirichlet_swarm("abc", 1, 1.0, 1e6, np.random.default_rng(0), caps=dict.fromkeys("abc", 0.3))
    with pytest.raises(Infeasible, match="no mixture below the caps"):
        dirichlet_swarm("abc", 1, 1.0, 1e6, np.random.default_rng(0), caps=dict.fromkeys("abc", 1 / 3 + 1e-9))
    with pytest.raises(BadInput, match="concentration 0"):
        dirichlet_swarm("abc", 1, 0, 1e6, np.random.default_rng(0))


def test_anchors_repeat_coalitions():
    runs = anchors(LANGUAGES, NATURAL, 1e6, 2, seeds=(3, 4), budget="own")
    assert [run.run for run in runs] == ["anchor-full-s3", "anchor-full-s4", "anchor-spa-s3", "anchor-spa-s4"]
    by_set = {members(run): run for run in coalitions(LANGUAGES, NATURAL, 1e6, budget="own")}
    assert all(by_set[members(run)].tokens == run.tokens for run in runs)
    with pytest.raises(BadInput, match=r"6 anchors.*at most 5"):
        anchors(LANGUAGES, NATURAL, 1e6, 6, seeds=(0,))


def study(**design):
    return check({"name": "s", "languages": list(LANGUAGES), "design": design})


def test_a_plan_holds_all_parts_once_and_survives_json():
    runs = plan(study(coalitions="all", swarm=3, anchors=2, anchor_seeds=2, seeds=2), NATURAL)
    assert Counter(run.role for run in runs) == {"coalition": 30, "anchor": 4, "swarm": 6}
    assert len({run.run for run in runs}) == len({(run.schedule, run.tokens, run.seed) for run in runs}) == 40
    assert [PlannedRun.from_json(json.loads(json.dumps(run.to_json()))) for run in runs] == runs
    assert runs == plan(study(coalitions="all", swarm=3, anchors=2, anchor_seeds=2, seeds=2), NATURAL)
    assert {run.run for run in runs if run.role == "swarm"} == {f"swarm-00{i}-s{s}" for i in range(3) for s in (0, 1)}


def test_a_plan_draws_no_share_that_cannot_be_sampled():
    config = check({"name": "s", "languages": list(LANGUAGES), "design": {"swarm": 200, "coalitions": "none"}})
    least = 2 * config.proxy.context / config.proxy.tokens
    shares = [share for run in plan(config, NATURAL) for share in run.schedule.at(0).values() if share > 0]
    assert min(shares) >= least


def test_sampled_coalitions_in_a_plan_stop_at_all_there_are():
    assert len(plan(study(coalitions="sampled", swarm=0, anchors=0), NATURAL)) == 15


@pytest.mark.parametrize(
    ("languages", "design"),
    [
        (["spa_Latn"], {"coalitions": "all"}),
        (["spa_Latn", "fin_Latn"], {"coalitions": "none", "swarm": 8, "swarm_roles": "held_out", "anchors": 0}),
        (["spa_Latn", "fin_Latn"], {"coalitions": "none", "swarm": 1, "swarm_roles": "fit", "anchors": 0}),
    ],
)
def test_a_plan_that_no_law_can_be_fitted_to_is_refused_before_anything_is_trained(languages, design):
    config = check({"name": "x", "languages": languages, "design": design})
    with pytest.raises(BadInput, match=r"design: .*mixtures? to fit laws to, from spa_Latn"):
        plan(config, uniform(languages))


def test_names_are_safe_short_and_unique_however_groups_are_called():
    groups = ["../a b", "A_B", "Wikipedia (en)", "日本", "a b", "x" * 90]
    runs = coalitions(groups, uniform(groups), 1e6)
    names = [run.run for run in runs]
    assert len({name.casefold() for name in names}) == len(names)
    assert all(SAFE.fullmatch(name) and len(name) < 100 for name in names)
    scripts = ["zho_Hans", "zho_Hant"]  # the same language in two scripts
    assert len({run.run for run in coalitions(scripts, uniform(scripts), 1.0)}) == 3
    many = [f"lang{i:03}_Latn" for i in range(60)]
    long = sampled_coalitions(many, uniform(many), 1e6, 200, np.random.default_rng(0))
    assert len({run.run for run in long}) == 200
    assert max(len(run.run) for run in long) < 100


def test_a_planned_run_without_a_field_is_named():
    with pytest.raises(BadInput, match=r"plan.json: a planned run without 'seed'"):
        PlannedRun.from_json({"run": "x", "role": "swarm", "schedule": {"a": 1.0}, "tokens": 5}, where="plan.json")


def test_tokens_round_to_whole_batches_and_never_to_none():
    assert [round_tokens(t, 2048) for t in (1, 1023, 3000, 3073, 1e6)] == [2048, 2048, 2048, 4096, 999_424]


def test_simulated_epoching_gives_a_proxy_the_targets_epochs():
    unique, mixture = {"spa": 4e9, "swh": 3e7}, Mixture({"spa": 0.9, "swh": 0.1})
    small = simulated_epoching(unique, target_tokens=1e10, proxy_tokens=1e6, sequence=128)
    assert mixture.epochs(1e6, small) == pytest.approx(mixture.epochs(1e10, unique))
    assert simulated_epoching(unique, target_tokens=1e6, proxy_tokens=1e6) == unique
    with pytest.raises(
        BadInput, match=r"swh: 3e\+07 unique tokens become 30 .*one sequence of 128.*proxies of 4\.27e\+04"
    ):
        simulated_epoching(unique, target_tokens=1e10, proxy_tokens=1e4, sequence=128)
    with pytest.raises(BadInput, match="spa: 0 unique tokens"):
        simulated_epoching({"spa": 0}, 1e6, 1e5)
