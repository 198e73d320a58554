"""A worker goes on with half the stack where memory is too small, and says why it failed where nothing helps."""

import dataclasses
from pathlib import Path

import pytest
import torch

from glotmix.artifact import read_json
from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.errors import BadInput, Corrupt, GlotmixError
from glotmix.mixture.design import PlannedRun
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.proxy import train
from glotmix.proxy.config import ProxyConfig
from glotmix.sweep import worker
from glotmix.sweep.executors.executor import Executor, JobEnd
from glotmix.sweep.sweep import SweepSpec, failure_of, run_sweep, tables
from glotmix.tokens.build import build_store
from glotmix.tokens.config import TokensConfig

LANGUAGES = ("spa_Latn", "rus_Cyrl")
PROXY = ProxyConfig(width=16, layers=1, heads=1, tokens=640, context=16, batch=4)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    reader = open_reader(CorpusConfig(bytes_per_language=20_000), LANGUAGES, Path())
    config = TokensConfig(vocab_size=300, sample_bytes=5000, held_out_tokens=1000)
    return build_store(tmp_path_factory.mktemp("store") / "tokens", reader, LANGUAGES, config, 0.1)


class Here(Executor):
    """Does the work in this process; an order is tried with what ``fault`` does to it."""

    workers = 1

    def __init__(self, fault=lambda name: None):
        self.fault = fault

    @classmethod
    def of(cls, config):
        return cls()

    def run(self, jobs, tick):
        for job in jobs:
            order = Path(job.command[-1])
            try:
                self.fault(job.name)
                worker.work(read_json(order), order.with_suffix(".progress"))
                yield JobEnd(job, 0, "")
            except GlotmixError as error:
                yield JobEnd(job, 1, str(error))
            tick()


@pytest.fixture
def sweep(store, tmp_path):
    plan = [
        PlannedRun(f"r{i}", "swarm", Schedule.constant(Mixture({"spa_Latn": i / 5, "rus_Cyrl": 1 - i / 5})), 640, 7)
        for i in range(1, 5)
    ]

    def make(name="out", stack=4):
        return plan, SweepSpec(
            directory=tmp_path / name,
            store=store.directory,
            store_fingerprint=store.fingerprint,
            proxy=PROXY,
            available=dict.fromkeys(LANGUAGES, 40),
            targets=LANGUAGES,
            stack=stack,
        )

    return make


def refuse_over(most, monkeypatch):
    """Stacks over ``most`` get torch's own error, of a device and of the machine in turn."""
    tried, whole = [], train.train_stack

    def limited(runs, *arguments, **settings):
        tried.append(len(runs))
        if len(runs) > most and len(tried) % 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        if len(runs) > most:
            torch.empty(1 << 60)  # the machine refuses
        return whole(runs, *arguments, **settings)

    monkeypatch.setattr(train, "train_stack", limited)
    return tried


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_the_precision_of_the_driver_is_that_of_orders_and_runs(sweep, name):
    plan, spec = sweep()
    spec = dataclasses.replace(spec, precision=name)
    assert run_sweep(plan, spec, Here()) == {}
    (order,) = (spec.directory / "jobs").glob("r1-x4-????????.json")
    assert read_json(order)["proxy"]["precision"] == name
    assert {read_json(spec.directory / "runs" / run.run / "run.json")["precision"] for run in plan} == {name}
    other = dataclasses.replace(spec, precision="bfloat16" if name == "float32" else "float32")
    with pytest.raises(BadInput, match=f'proxy.precision: "{name}" there, "{other.precision}" here'):
        run_sweep(plan, other, Here())


def test_without_memory_for_a_stack_it_is_halved_until_it_fits(sweep, monkeypatch, capsys):
    plan, spec = sweep("whole")
    assert run_sweep(plan, spec, Here()) == {}
    expected = tables(plan, spec, {})[1]
    tried = refuse_over(1, monkeypatch)
    plan, spec = sweep("halved")
    assert run_sweep(plan, spec, Here()) == {}
    assert tried == [4, 2, 1, 1, 2, 1, 1]
    assert "out of memory with 4 proxies in a stack; going on with 2" in capsys.readouterr().out
    found = tables(plan, spec, {})[1]
    assert found.drop("value").equals(expected.drop("value"))
    assert (found["value"] - expected["value"]).abs().max() < 1e-4  # company may change the last bits


def test_where_not_even_one_fits_the_runs_failed_with_that_reason(sweep, monkeypatch):
    refuse_over(0, monkeypatch)
    plan, spec = sweep()
    failed = run_sweep(plan, spec, Here())
    assert set(failed) == {run.run for run in plan}
    assert all("not even one proxy fits" in reason for reason in failed.values()), failed
    table, losses = tables(plan, spec, failed)
    assert table["status"].to_list() == ["failed"] * 4
    assert losses.height == 0
    monkeypatch.undo()
    assert read_json(failure_of(spec.directory, "r1"))["tries"] == 2
    assert run_sweep(plan, spec, Here()) == {}
    assert not failure_of(spec.directory, "r1").exists()


def test_a_job_that_died_is_tried_again_and_the_others_are_not(sweep):
    plan, spec = sweep(stack=2)
    tried = []

    def dies_once(name):
        tried.append(name)
        if tried.count(tried[0]) == 1 and name == tried[0]:
            raise GlotmixError("killed")

    told = []
    assert run_sweep(plan, spec, Here(dies_once), progress=told.append) == {}
    assert len(tried) == 3
    assert (told[-1].done, told[-1].failed, told[-1].total) == (4, 0, 4)
    assert told[-1].tokens_done == told[-1].tokens_total == 4 * 640
    assert run_sweep(plan, spec, Here(lambda name: pytest.fail("done twice"))) == {}


def test_a_result_that_changed_on_disk_is_not_read(sweep):
    plan, spec = sweep()
    run_sweep(plan, spec, Here())
    path = spec.directory / "runs" / "r2" / "run.json"
    path.write_text(path.read_text().replace('"value": ', '"value": 1'))
    with pytest.raises(Corrupt, match=r"r2/run\.json: .*delete"):
        tables(plan, spec, {})
