"""Job arrays keep the executor contract on a real SLURM of one node, which the tests start where they may."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from glotmix.errors import BadInput
from glotmix.sweep.executors.slurm import SlurmExecutor
from tests.contracts.executor import ExecutorContract

SCRIPT = Path(__file__).parents[2] / "scripts" / "slurm.sh"
MISSING = [name for name in ("slurmctld", "slurmd", "sbatch", "munged") if not shutil.which(name)]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    if MISSING or os.geteuid() != 0:
        pytest.skip(f"needs root and Debian's slurmctld, slurmd, slurm-client, munge (missing: {MISSING})")
    directory = tmp_path_factory.mktemp("slurm")
    subprocess.run([SCRIPT, directory], check=True, timeout=120)
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(directory / "slurm.conf")
    yield directory
    subprocess.run([SCRIPT, directory, "stop"], check=True, timeout=60)
    os.environ.pop("SLURM_CONF") if before is None else os.environ.update(SLURM_CONF=before)


@pytest.mark.xdist_group("slurm")
class TestSlurmExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self, slurm):
        return SlurmExecutor(options={"time": "5"}, array=3)


@pytest.mark.parametrize(("name", "value"), [("array", "0-3"), ("x;rm", "1"), ("time", "1\n#SBATCH")])
def test_options_that_are_none_of_sbatch_are_bad_input(name, value):
    with pytest.raises(BadInput, match=r"sweep\.slurm"):
        SlurmExecutor(options={name: value})


def test_a_machine_without_slurm_is_bad_input(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    contract = ExecutorContract()
    with pytest.raises(BadInput, match="no program sbatch here"):
        list(SlurmExecutor().run([contract.job(tmp_path, "a", "pass")], lambda: None))
