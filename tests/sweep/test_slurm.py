"""Job arrays keep the executor contract on a real SLURM of one node, which the tests start where they may."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from glotmix.errors import BadInput, GlotmixError
from glotmix.mixture.design import PlannedRun
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.proxy.config import ProxyConfig
from glotmix.sweep.config import SweepConfig
from glotmix.sweep.executors import slurm as module
from glotmix.sweep.executors.slurm import SlurmExecutor
from glotmix.sweep.executors.slurm_task import meeting
from glotmix.sweep.sweep import SweepSpec, _job
from tests.contracts.executor import ExecutorContract

SCRIPT = Path(__file__).parents[2] / "scripts" / "slurm.sh"
MISSING = [name for name in ("slurmctld", "slurmd", "sbatch", "munged") if not shutil.which(name)]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    if MISSING or os.geteuid() != 0:
        pytest.skip(f"needs root and Debian's slurmctld, slurmd, slurm-client, munge (missing: {MISSING})")
    directory = tmp_path_factory.mktemp("slurm")
    subprocess.run([SCRIPT, directory], check=True)
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(directory / "slurm.conf")
    yield directory
    subprocess.run([SCRIPT, directory, "stop"], check=True)
    os.environ.pop("SLURM_CONF") if before is None else os.environ.update(SLURM_CONF=before)


@pytest.mark.xdist_group("slurm")
class TestSlurmExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self, slurm):
        return SlurmExecutor(options={"time": "5"}, array=3)

    def test_arrays_are_no_larger_than_a_site_allows(self, executor, tmp_path):
        jobs = [self.job(tmp_path, f"j{i}", "import os; print(os.environ['SLURM_ARRAY_TASK_MAX'])") for i in range(7)]
        assert len(list(executor.run(jobs, lambda: None))) == 7
        assert [job.log.read_text() for job in jobs] == ["2\n"] * 6 + ["0\n"]
        assert len(list((tmp_path / "logs").glob("array-*"))) == 3

    def test_a_preempted_task_is_queued_again_and_ends_once(self, executor, tmp_path):
        tries, requeued = tmp_path / "tries", []
        code = (
            f"import time; open(r'{tries}', 'a').write('x'); time.sleep(600 if open(r'{tries}').read() == 'x' else 0)"
        )

        def preempt():
            if tries.exists() and not requeued:
                told = subprocess.run(["squeue", "--noheader", "--format=%A"], capture_output=True, text=True)
                requeued.extend(told.stdout.split())
                subprocess.run(["scontrol", "requeue", *requeued], check=True)

        (end,) = executor.run([self.job(tmp_path, "long", code)], preempt)
        assert (end.returncode, tries.read_text()) == (0, "xx")


@pytest.mark.parametrize(("name", "value"), [("array", "0-3"), ("x;rm", "1"), ("time", "1\n#SBATCH")])
def test_options_that_are_none_of_sbatch_are_bad_input(name, value):
    with pytest.raises(BadInput, match=r"sweep\.slurm"):
        SlurmExecutor(options={name: value})


def test_runs_over_several_nodes_are_started_on_each_and_meet_at_the_first(tmp_path, monkeypatch):
    run = pytest.importorskip("torch.distributed.run")
    config = SweepConfig(executor="slurm", devices_per_run=16, nodes_per_run=2, slurm={"time": "5"})
    (tmp_path / "jobs").mkdir()
    spec = SweepSpec(tmp_path, tmp_path, "", ProxyConfig(), {}, ("a",), 1, devices_per_run=16, nodes_per_run=2)
    planned = PlannedRun("r", "method", Schedule.constant(Mixture({"a": 1.0})), 2048, 0)
    command = list(_job("j", [planned], spec).command)
    assert command[:2] == ["srun", "--nodes=2"]
    for name, value in meeting({"SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "70007"}).items():
        monkeypatch.setenv(name, value)
    found = run.parse_args(command[command.index("torch.distributed.run") + 1 :])
    assert (found.nnodes, found.nproc_per_node, found.rdzv_backend, found.rdzv_id) == ("2", "8", "c10d", "70007")
    assert found.rdzv_endpoint == f"{socket.gethostname()}:30007"
    assert found.training_script == "glotmix.sweep.worker"
    assert {"--nodes=2", "--ntasks-per-node=1", "--time=5"} <= set(SlurmExecutor.of(config)._options)
    assert meeting({"SLURM_JOB_ID": "1"}) == {}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"nodes_per_run": 2, "devices_per_run": 2}, "nodes_per_run = 2 with executor local"),
        ({"executor": "slurm", "nodes_per_run": 2, "devices_per_run": 3}, "devices_per_run 3 over 2 nodes"),
    ],
)
def test_nodes_that_devices_cannot_lie_on_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        SweepConfig(**fields)


def test_a_machine_without_slurm_is_bad_input(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    contract = ExecutorContract()
    with pytest.raises(BadInput, match="no program sbatch here"):
        list(SlurmExecutor().run([contract.job(tmp_path, "a", "pass")], lambda: None))


@pytest.mark.parametrize(
    ("says", "told"),
    [("Unable to contact slurm controller (connect failure)", ""), ("Invalid job id specified", "SLURM lost task 0 of array 7")],
)  # fmt: skip
def test_a_task_is_lost_when_the_scheduler_says_so_and_not_when_it_says_nothing(monkeypatch, tmp_path, says, told):
    """A controller that restarts for minutes would else have every task of a sweep trained again."""
    monkeypatch.setattr(module, "ASK_EVERY", 0.0)
    asked = []

    def call(command):
        if command[0] == "sbatch":
            return "7\n"
        asked.append(command)
        if len(asked) == 10:
            (tmp_path / "logs" / next(iter(os.listdir(tmp_path / "logs"))) / "0.exit").write_text("0")
        raise GlotmixError(f"squeue: slurm_load_jobs error: {says}")

    monkeypatch.setattr(module, "_call", call)
    (end,) = SlurmExecutor().run([ExecutorContract().job(tmp_path, "a", "pass")], lambda: None)
    assert end.reason.startswith(told)
    assert end.returncode == (1 if told else 0)
    assert len(asked) == module.PATIENCE if told else len(asked) >= 10
