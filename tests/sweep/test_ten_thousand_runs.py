"""A sweep of ten thousand runs: read whole with a bounded effort per run, also by anybody's glob, told in one look."""

import hashlib
import json

import polars as pl
import pytest

from glotmix.artifact import fingerprint, write_json
from glotmix.measurements import from_tables, read_runs
from glotmix.mixture.design import PlannedRun
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.proxy.config import ProxyConfig
from glotmix.study.status import status_of
from glotmix.sweep.sweep import SweepSpec, run_sweep, tables, write_tables
from tests.effort import counted

RUNS = 10_000
LANGUAGES = ("spa_Latn", "rus_Cyrl")


@pytest.fixture(scope="module")
def swarm(tmp_path_factory):
    """Complete run directories as workers leave them, without waiting for the disk ten thousand times."""
    folder = tmp_path_factory.mktemp("swarm")
    spec = SweepSpec(
        folder, folder / "tokens", "0" * 16, ProxyConfig(), dict.fromkeys(LANGUAGES, 9), LANGUAGES, stack=1
    )
    plan = []
    for i in range(RUNS):
        share = i / RUNS
        schedule = Schedule.constant(Mixture({"spa_Latn": share, "rus_Cyrl": 1 - share}))
        plan.append(PlannedRun(f"swarm-{i:05d}-s0", "swarm", schedule, 8000, i))
    for i, run in enumerate(plan):
        directory = folder / "runs" / run.run
        directory.mkdir(parents=True)
        losses = [
            {"step": 1, "tokens": 8000, "language": name, "metric": metric, "value": 1 + i / RUNS}
            for name in LANGUAGES
            for metric in ("nats", "bpb")
        ]
        record = {"run": run.run, "status": "complete", "reason": "", "N": 9, "D": 8000, "C": 2.0, "losses": losses}
        text = (json.dumps(record) + "\n").encode()
        (directory / "run.json").write_bytes(text)
        made_from = spec.made_from(run)
        files = {"run.json": {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}}
        manifest = {"kind": "run", "fingerprint": fingerprint(made_from), "made_from": made_from, "files": files}
        (directory / "artifact.json").write_text(json.dumps(manifest))
    write_json(folder / "study.json", {})
    write_json(folder / "plan.json", [run.to_json() for run in plan])
    return folder, plan, spec


def test_all_results_become_two_tables_with_three_files_opened_per_run(swarm):
    folder, plan, spec = swarm
    with counted() as effort:
        runs, losses = tables(plan, spec, {})
    assert effort.opened <= 3 * RUNS + 10
    assert effort.calls < 600 * RUNS  # 248 of them today; a list gone through once per run would add 10,000
    assert (runs.height, losses.height) == (RUNS, 4 * RUNS)
    assert losses["value"].sum() == pytest.approx(4 * sum(1 + i / RUNS for i in range(RUNS)))
    write_tables(folder, runs, losses)
    with counted() as effort:
        measured = read_runs(folder)
    assert effort.opened < 20
    assert effort.calls < 30 * RUNS  # 8
    assert len(measured) == len(from_tables(runs, losses)) == RUNS
    assert measured.loss("spa_Latn")[-1] == pytest.approx(1 + (RUNS - 1) / RUNS)


def test_anybody_reads_them_by_a_glob(swarm):
    folder, _, _ = swarm
    seen = pl.scan_ndjson(folder / "runs" / "*" / "run.json").select("run", "C", "losses").collect()
    assert seen.height == RUNS
    assert seen["C"].sum() == 2 * RUNS


def test_a_sweep_that_is_done_starts_nothing(swarm):
    _, plan, spec = swarm
    with counted() as effort:
        left = run_sweep(plan, spec, None, progress=lambda tally: None)
    assert left == {}
    assert effort.opened <= 2 * RUNS + 10
    assert effort.calls < 400 * RUNS  # 157


def test_the_state_of_all_is_told_in_one_look(swarm):
    folder, _, _ = swarm
    with counted() as effort:
        status = status_of(folder)
    assert status.complete == status.planned == RUNS
    assert status.flops == 2 * RUNS
    assert effort.opened <= RUNS + 10
    assert effort.calls < 300 * RUNS  # 108
