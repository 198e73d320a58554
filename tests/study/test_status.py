"""What a study's directory tells of it, from another terminal, while it runs and when it was killed."""

import json
import shutil
from types import SimpleNamespace

import pytest

from glotmix.artifact import write_json
from glotmix.errors import BadInput
from glotmix.mixture.design import PlannedRun
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.study.config import TrainingConfig
from glotmix.study.directory import StudyDirectory, is_made, note_compute
from glotmix.study.status import Progress, status_of
from glotmix.study.training import reopened
from glotmix.sweep.lock import held
from glotmix.sweep.sweep import SweepTally, failure_of


@pytest.fixture
def study(tmp_path):
    plan = [PlannedRun(f"r{i}", "swarm", Schedule.constant(Mixture({"spa_Latn": 1.0})), 100, i) for i in range(5)]
    write_json(tmp_path / "study.json", {})
    write_json(tmp_path / "plan.json", [run.to_json() for run in plan])
    for run, state in (("r0", "complete"), ("r1", "diverged")):
        write_json(tmp_path / "runs" / run / "run.json", {"status": state, "C": 5e9})
    write_json(failure_of(tmp_path, "r2"), {"status": "failed", "reason": "one\nout of memory", "tries": 2})
    write_json(tmp_path / "jobs" / "r3-x1-ab.progress", {"share": 0.25, "nats": {"r3": 4.5}})
    (tmp_path / "jobs" / "r3-x1-ab.state").touch()
    return tmp_path


def test_runs_are_told_by_state_with_losses_time_and_compute(study, monkeypatch):
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr(f"{Progress.__module__}.time", clock)
    now = 1000.0
    note = Progress(study, "Training proxies")
    note_compute(study, {f"r{i}": 8e9 for i in range(5)})
    note(SweepTally(1, 0, 5, 100.0, 500.0))
    now += 7.0
    note(SweepTally(2, 1, 5, 200.0, 500.0))
    with held(study):
        status = status_of(study)
    assert (status.complete, status.diverged, status.planned) == (1, ("r1",), 5)
    assert status.failed == {"r2": "one\nout of memory"}
    assert (status.running, status.losses, status.partial) == ({"r3-x1-ab": 0.25}, {"r3": 4.5}, ())
    assert (status.flops, status.flops_planned) == (1e10, 1e10 + 3 * 8e9)
    assert status.seconds_left == 21.0  # a hundred tokens took seven seconds, three hundred are left
    assert status.is_worked_on
    assert json.dumps(status.to_json())
    assert any("out of memory" in str(cell) for column in status.table().columns for cell in column.cells)


def test_what_a_killed_driver_left_is_not_running_but_begun(study):
    status = status_of(study)
    assert not status.is_worked_on
    assert (status.running, status.losses, status.seconds_left) == ({}, {}, None)
    assert status.partial == ("r3-x1-ab",)


def test_a_finished_study_spent_what_it_planned_and_is_not_told_to_go_on(study):
    for i in range(5):
        write_json(study / "runs" / f"r{i}" / "run.json", {"status": "complete", "C": 8e9})
    note_compute(study, {f"r{i}": 8e9 for i in range(3)})  # what the last sweep had left to do
    (study / "report.html").write_text("<!doctype html>")
    status = status_of(study)
    cells = [list(column.cells) for column in status.table().columns]
    told = dict(zip(*cells, strict=True))
    assert status.flops == status.flops_planned == 4e10
    assert told["at work"] == "no; it is finished"
    assert told["compute spent"] == "4e+10 of 4e+10 FLOP"


def test_an_experiment_of_several_arms_is_told_as_one(study, tmp_path_factory):
    whole = tmp_path_factory.mktemp("experiment")
    write_json(whole / "study.json", {})
    for arm in ("main", "updates"):
        shutil.copytree(study, whole / "arms" / arm)
    for arm in ("main", "updates"):
        note_compute(whole / "arms" / arm, {"r3": 1e10, "r0": 1.0})
    with held(whole):
        status = status_of(whole)
    assert (status.planned, status.complete, status.diverged) == (10, 2, ("main/r1", "updates/r1"))
    assert set(status.failed) == {"main/r2", "updates/r2"}
    assert (status.flops, status.flops_planned) == (2e10, 4e10)
    assert status.running == {"main/r3-x1-ab": 0.25, "updates/r3-x1-ab": 0.25}


def test_a_run_of_a_plan_cannot_lie_outside_of_its_study(study):
    plan = json.loads((study / "plan.json").read_text())
    plan[0]["run"] = "../../elsewhere"
    write_json(study / "plan.json", plan)
    with pytest.raises(BadInput, match=r"plan\.json: .*'\.\./\.\./elsewhere'"):
        status_of(study)
    with pytest.raises(BadInput, match=r"no study\.json"):
        status_of(study / "runs")


@pytest.mark.parametrize("name", ["compare.json", "experiment.json"])
def test_a_study_of_the_last_version_is_told_with_what_can_be_done(tmp_path, name):
    """Comparisons and post-training studies of 0.2 kept their configuration under other names."""
    write_json(tmp_path / name, {"kind": "compare"})
    for look in (status_of, lambda path: StudyDirectory(path).kind(), reopened):
        with pytest.raises(BadInput, match=rf"glotmix 0\.2, with its configuration in {name}.*another --out"):
            look(tmp_path)
    with pytest.raises(BadInput, match="glotmix 0\\.2"):
        StudyDirectory(tmp_path).claim(TrainingConfig(name="x", languages=["spa_Latn"]), ("languages",))
    assert not (tmp_path / "study.json").exists()


def test_a_name_that_no_file_can_have_is_of_nothing_made(tmp_path):
    assert not is_made(tmp_path / ("x" * 5000))
