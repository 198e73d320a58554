"""What every executor must do; inherit and give ``executor``."""

import sys

import psutil
import pytest

from glotmix.sweep.executors.executor import Job
from tests.effort import eventually


class ExecutorContract:
    """Inherited by the test class of every executor, ours and a user's."""

    @pytest.fixture
    def executor(self):
        raise NotImplementedError

    def job(self, folder, name, code):
        return Job(name, (sys.executable, "-c", code), folder / "logs" / f"{name}.log")

    def test_every_job_is_done_once(self, executor, tmp_path):
        append = "import sys; open(r'{}', 'a').write('{}\\n')"
        jobs = [self.job(tmp_path, f"j{i}", append.format(tmp_path / f"done{i}", i)) for i in range(5)]
        ends = list(executor.run(jobs, lambda: None))
        assert sorted(end.job.name for end in ends) == [f"j{i}" for i in range(5)]
        assert all(end.returncode == 0 and end.reason == "" for end in ends)
        assert [(tmp_path / f"done{i}").read_text() for i in range(5)] == [f"{i}\n" for i in range(5)]

    def test_a_bad_job_does_not_stop_the_others_and_tells_why(self, executor, tmp_path):
        good = self.job(tmp_path, "good", f"open(r'{tmp_path / 'good'}', 'w').close()")
        bad = self.job(tmp_path, "bad", "import sys; print('the reason', file=sys.stderr); sys.exit(3)")
        ends = {end.job.name: end for end in executor.run([bad, good, bad], lambda: None)}
        assert ends["bad"].returncode == 3
        assert "the reason" in ends["bad"].reason
        assert (tmp_path / "good").exists()

    def test_logs_are_found(self, executor, tmp_path):
        job = self.job(tmp_path, "talk", "print('said')")
        list(executor.run([job], lambda: None))
        assert job.log.read_text() == "said\n"

    def test_a_killed_worker_is_reported(self, executor, tmp_path):
        job = self.job(tmp_path, "killed", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
        (end,) = executor.run([job], lambda: None)
        assert end.returncode != 0

    def test_a_job_whose_worker_was_killed_may_be_tried_again(self, executor, tmp_path):
        marker = tmp_path / "tried"
        code = f"import os, signal; from pathlib import Path; p = Path(r'{marker}'); first = not p.exists(); p.touch(); first and os.kill(os.getpid(), signal.SIGKILL)"
        job = self.job(tmp_path, "twice", code)
        assert [end.returncode != 0 for _ in range(2) for end in executor.run([job], lambda: None)] == [True, False]

    def test_a_folder_with_shell_in_its_name_is_a_folder(self, executor, tmp_path):
        folder = tmp_path / "50% $(touch ran) 'one' \"two\"; touch ran"
        (end,) = executor.run([self.job(folder, "named", "print('said')")], lambda: None)
        assert (end.returncode, end.job.log.read_text()) == (0, "said\n")
        assert not list(tmp_path.rglob("ran"))

    def test_stopping_leaves_no_orphan(self, executor, tmp_path):
        pid = tmp_path / "pid"
        code = f"import os, time; open(r'{pid}', 'w').write(str(os.getpid())); time.sleep(600)"
        runs = executor.run([self.job(tmp_path, "long", code), self.job(tmp_path, "short", "pass")], lambda: None)
        next(runs)
        number = int(eventually(lambda: pid.exists() and pid.read_text()))
        runs.close()
        eventually(lambda: not psutil.pid_exists(number))  # a cluster's engine may end it a moment later
