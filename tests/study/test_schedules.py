"""A study that asks for two phases: schedules are trained, one is sought, trained again, exported and shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from glotmix.artifact import read_json
from glotmix.errors import BadInput
from glotmix.exporters import all_exporters
from glotmix.measurements import read_runs
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import schedule_in
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.run import learning_rate
from glotmix.studies.mixture.config import check
from glotmix.studies.mixture.kind import MixtureKind
from glotmix.studies.mixture.plan import plan
from glotmix.studies.mixture.problems import problems
from glotmix.sweep.sweep import _numbers_of
from tests.study.shell import ran

STUDY = {
    "name": "Order",
    "languages": ["spa_Latn", "rus_Cyrl"],
    "corpus": {"reader": "embedded", "bytes_per_language": 60_000, "held_out": 0.1},
    "tokens": {"vocab_size": 400, "held_out_tokens": 1500},
    "design": {"coalitions": "none", "swarm": 4, "anchors": 1, "anchor_seeds": 1, "schedules": 8},
    "proxy": {
        "width": 32, "layers": 1, "heads": 2, "tokens": 8000, "context": 32, "batch": 4, "learning_rate": 5e-3,
        "decay": 0.25,
    },
    "sweep": {"stack": 8, "workers": 1},
    "fit": {"laws": ["null", "own_ratio_floored"], "choose": "own_ratio_floored+order", "folds": 3, "bootstrap": 5},
    "optimize": {"phases": 2},
    "validation": {"seeds": 2, "baselines": ["uniform"]},
    "export": ["megatron_lm"],
}  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("study") / "out"
    ran("mixture", check(STUDY), directory.parent, directory)
    return directory


def test_schedules_are_trained_with_single_mixtures_beside_them(done: Path) -> None:
    runs = read_runs(done)
    schedules = runs.with_role("schedule")
    assert len(schedules) == 8
    assert schedules.changes_R.all()
    assert not runs.with_role("swarm", "anchor").changes_R.any()
    np.testing.assert_allclose(schedules.phases.length_RK, [[0.75, 0.25]] * 8)  # the decay is the last quarter
    proxy = ProxyConfig(**STUDY["proxy"])
    steps = round(8000 / 128)
    rate_N = np.array([learning_rate(step, steps, proxy) for step in range(steps)])
    edge = round(0.75 * steps)
    np.testing.assert_allclose(schedules.phases.rate_RK[0], [rate_N[:edge].mean(), rate_N[edge:].mean()])


def test_the_optimum_is_a_schedule_that_is_trained_beside_what_people_do(done: Path) -> None:
    schedule = schedule_in(done / "optimum.json")
    assert [stage.start for stage in schedule.stages] == [0, 0.75]
    loop = read_json(done / "closed_loop.json")
    assert (
        {"optimum", "static", "cooldown", "targets_last", "uniform"} >= set(loop["measured"]) >= {"optimum", "static"}
    )
    assert len(loop["objective"]["optimum"]) == 2
    trained = loop["schedules"]["optimum"]
    assert Mixture(trained[0]["mixture"]).total_variation(schedule.stages[0].mixture) < 0.02
    epochs = read_json(done / "optimum.json")["epochs"]
    assert max(epochs.values()) <= 4 + 1e-6


def test_the_exported_run_changes_its_mixture(done: Path) -> None:
    written = all_exporters()["megatron_lm"].read(done / "export" / "megatron_lm")
    wanted = schedule_in(done / "optimum.json")
    assert len(written.stages) == 2
    assert written.stages[1].start == pytest.approx(0.75, abs=0.01)
    assert written.average().total_variation(wanted.average()) < 0.01


def test_the_page_shows_it(done: Path) -> None:
    page = (done / "report.html").read_text(encoding="utf-8")
    assert "When each language is read" in page
    assert "The mixture changes after 75.0" in page


def test_it_resumes_to_the_same_bytes(done: Path) -> None:
    before = {name: (done / name).read_bytes() for name in ("optimum.json", "closed_loop.json", "plan.json")}
    ran("mixture", check(STUDY), done.parent, done)
    assert before == {name: (done / name).read_bytes() for name in before}


def test_the_price_counts_schedules_and_what_they_are_compared_with(tmp_path: Path) -> None:
    told = MixtureKind().price(check(STUDY), tmp_path).amounts
    assert told["runs"] == 4 + 1 + 8
    assert told["closed_loop_runs"] == 2 * 5


def test_asking_for_phases_asks_for_runs_of_phases() -> None:
    bare = {name: value for name, value in STUDY.items() if name != "design"}
    design = check(bare | {"optimize": {"phases": 3}}).design
    assert (design.schedules, design.phases, design.boundaries) == (24, 3, None)
    told = check(bare | {"optimize": {"phases": 2, "boundaries": [0.6]}}).design
    assert told.boundaries == [0.6]
    assert check(bare | {"optimize": {}}).design.schedules == 0
    none = check(bare | {"design": {"schedules": 0}, "optimize": {"phases": 2}})
    assert any("no run's mixture changes" in str(problem) for problem in problems(none, Path()))


def test_schedules_are_drawn_below_the_passes_that_the_run_may_make() -> None:
    config = check(STUDY | {"design": {"schedules": 40, "passes": 4.0}})
    unique = {"spa_Latn": 8000.0, "rus_Cyrl": 1000.0}
    runs = plan(config, Mixture({"spa_Latn": 0.9, "rus_Cyrl": 0.1}), None, unique)
    drawn = [run.schedule for run in runs if run.role == "schedule"]
    assert len(drawn) == 40
    assert max(schedule.average()["rus_Cyrl"] for schedule in drawn) <= 0.5
    assert max(schedule.stages[1].mixture["rus_Cyrl"] for schedule in drawn) > 0.5


def test_a_learning_rate_that_decays_at_last() -> None:
    proxy = ProxyConfig(learning_rate=1.0, warmup=0.1, decay=0.2, final_learning_rate=0.0)
    rate = [learning_rate(step, 100, proxy) for step in range(100)]
    assert rate[9:80] == [1.0] * 71
    np.testing.assert_allclose(np.diff(rate[79:]), -0.05)
    assert rate[-1] == pytest.approx(0)


def test_numbers_of_earlier_studies_are_still_theirs(done: Path) -> None:
    """A proxy without a decay has the checksum that it had before there was one."""
    made_from = json.loads(next((done / "runs").glob("swarm-*/artifact.json")).read_text())["made_from"]
    assert made_from["proxy"]["decay"] == 0.25
    assert "decay" not in _numbers_of(ProxyConfig())


def test_a_decay_that_another_trainer_is_not_told_of_is_refused() -> None:
    config = check(STUDY | {"sweep": {"executor": "external", "trainer": "megatron_lm", "command": "true"}})
    assert any(isinstance(one, BadInput) and one.where == "proxy.decay" for one in problems(config, Path()))
