"""Every run is shown once in a tracker, with its settings and losses; a tracker that fails stops nothing."""

import contextlib
import sys
from types import SimpleNamespace

import pytest

from glotmix.artifact import write_json
from glotmix.errors import MissingExtra
from glotmix.mixture.design import PlannedRun
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.sweep.loggers import LOGGERS
from glotmix.sweep.tracking import RunTracker

PLAN = [
    PlannedRun(f"r{i}", "swarm", Schedule.constant(Mixture({"spa_Latn": 0.25, "rus_Cyrl": 0.75})), 100, i)
    for i in range(3)
]
LOSSES = [
    {"step": step, "tokens": 8, "language": "spa_Latn", "metric": metric, "value": value}
    for step, metric, value in ((1, "nats", 5.0), (1, "bpb", 2.5), (2, "nats", 4.0), (2, "bpb", 2.0))
]


def finish(directory, *runs):
    for run in runs:
        result = {"run": run, "status": "complete", "N": 9, "D": 100, "C": 7.0, "losses": LOSSES}
        write_json(directory / "runs" / run / "run.json", result)


class Tracker:
    """Stands in for all three packages: what they are called with, in their words, becomes one list of runs."""

    def __init__(self):
        self.shown = []

    # trackio and wandb
    def init(self, project, name, config):
        self.shown.append({"project": project, "run": name, "settings": config, "numbers": {}})
        return self

    def log(self, values, step):
        self.shown[-1]["numbers"][step] = values

    def finish(self):
        self.shown[-1]["finished"] = True

    # MLflow
    def set_experiment(self, name):
        self.project = name

    @contextlib.contextmanager
    def start_run(self, run_name):
        self.init(self.project, run_name, {})
        yield
        self.finish()

    def log_params(self, settings):
        self.shown[-1]["settings"] = settings

    def log_metrics(self, values, step):
        self.log(values, step)


@pytest.fixture(params=sorted(LOGGERS))
def tracker(request, monkeypatch):
    tracker = Tracker()
    monkeypatch.setitem(sys.modules, request.param, tracker)
    tracker.name = request.param
    return tracker


def test_runs_are_shown_once_as_they_are_done_over_interruptions(tracker, tmp_path):
    finish(tmp_path, "r1")
    RunTracker(LOGGERS.find(tracker.name)("Study"), tmp_path, PLAN, print).look()
    finish(tmp_path, "r0", "r2")
    resumed = RunTracker(LOGGERS.find(tracker.name)("Study"), tmp_path, PLAN, print)
    resumed.look()
    resumed.look(now=True)
    assert [one["run"] for one in tracker.shown] == ["r1", "r0", "r2"]
    assert all(one["finished"] and one["project"] == "Study" for one in tracker.shown)
    assert tracker.shown[0]["settings"] == {
        "role": "swarm", "seed": 1, "N": 9, "D": 100, "status": "complete", "p/spa_Latn": 0.25, "p/rus_Cyrl": 0.75,
    }  # fmt: skip
    assert tracker.shown[0]["numbers"] == {
        1: {"nats/spa_Latn": 5.0, "bpb/spa_Latn": 2.5},
        2: {"nats/spa_Latn": 4.0, "bpb/spa_Latn": 2.0, "C": 7.0},
    }


def test_a_tracker_that_fails_is_told_and_the_study_goes_on(tmp_path, monkeypatch):
    def fails(**_):
        raise ConnectionError("no server")

    monkeypatch.setitem(sys.modules, "trackio", SimpleNamespace(init=fails))
    finish(tmp_path, "r0")
    said = []
    shown = RunTracker(LOGGERS.find("trackio")("Study"), tmp_path, PLAN, said.append)
    shown.look()
    shown.look(now=True)
    assert len(said) == 1
    assert "no server" in said[0]


def test_a_tracker_that_is_not_installed_is_named_before_anything_is_trained(monkeypatch):
    for name in LOGGERS:
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(MissingExtra, match=rf"glotmix\[{name}\]"):
            LOGGERS.find(name)("Study")


@pytest.mark.slow
def test_the_real_trackio_keeps_them_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    finish(tmp_path, "r0")
    RunTracker(LOGGERS.find("trackio")("glotmix-test"), tmp_path, PLAN, pytest.fail).look()
    assert list((tmp_path / "trackio").rglob("*.db"))
