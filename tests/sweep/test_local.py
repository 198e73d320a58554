"""Local processes keep the executor contract."""

import os

import pytest

from glotmix.sweep.executors.local import LocalExecutor
from tests.contracts.executor import ExecutorContract


class TestLocalExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self):
        return LocalExecutor(workers=2)

    def test_one_worker_per_core_by_default(self):
        assert LocalExecutor().workers == len(os.sched_getaffinity(0))

    def test_jobs_get_one_thread(self, executor, tmp_path):
        job = self.job(tmp_path, "threads", "import os; print(os.environ['OMP_NUM_THREADS'])")
        list(executor.run([job], lambda: None))
        assert job.log.read_text() == "1\n"
