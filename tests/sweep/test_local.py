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

    def test_gpus_are_shared_out_to_what_runs_side_by_side(self, tmp_path):
        """Four jobs, two at a time, two of five GPUs each: no two that run together see the same one."""
        code = "import os, time; print(os.environ.get('CUDA_VISIBLE_DEVICES')); time.sleep(.3)"
        jobs = [self.job(tmp_path, f"job{i}", code) for i in range(4)]
        executor = LocalExecutor(2, ["0", "3", "5", "6", "7"], each=2)
        list(executor.run(jobs, lambda: None))
        told = [job.log.read_text().strip() for job in jobs]
        assert set(told) == {"0,3", "5,6"}
        assert told[0] != told[1]
        alone = self.job(tmp_path, "alone", code)
        list(LocalExecutor(1).run([alone], lambda: None))
        assert alone.log.read_text().strip() == str(os.environ.get("CUDA_VISIBLE_DEVICES"))
