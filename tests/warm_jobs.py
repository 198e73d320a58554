"""Jobs of the studies that tests run in their own process, forked from one that has opened the libraries already.

Opening torch and the rest takes longer than the smallest proxies take to train, and the suite starts hundreds of jobs.
They stay processes of their own with orders, logs, exit codes and a driver to die with; what starts them in earnest is
tested by the studies that run from the command line, and in tests/sweep.

Run as a program: reads one request a line, answers one a line.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import subprocess
import sys
import threading
import time
import traceback
import warnings

from glotmix.orphan import ONE_THREAD

FORKED = {
    "glotmix.sweep.worker": ("glotmix.sweep.worker", "glotmix.proxy.train", "glotmix.proxy.loader"),
    "glotmix.studies.influence.trainings": ("glotmix.studies.influence.trainings", "glotmix.attribution.tuning",
                                            "transformers.models.llama.modeling_llama"),
}  # fmt: skip
"""Programs of jobs, to what they open first."""


class WarmJobs:
    """Starts jobs as :func:`glotmix.sweep.executors.local._start` does."""

    def __init__(self, start):
        self._start, self._process, self._lock = start, None, threading.Lock()

    def start(self, job, devices):
        """A job as a process; those that are not of the programs above as usual."""
        if devices is not None or list(job.command[:2]) != [sys.executable, "-m"] or job.command[2] not in FORKED:
            return self._start(job, devices)
        job.log.parent.mkdir(parents=True, exist_ok=True)
        told = {"words": job.command[2:], "log": str(job.log), "environment": {**os.environ, **ONE_THREAD}}
        return WarmJob(self, self.ask(told))

    def ask(self, request):
        """What the program answers."""
        with self._lock:
            if self._process is None:
                pipe, command = subprocess.PIPE, [sys.executable, __file__]
                environment = {**os.environ, **ONE_THREAD}
                self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, text=True)
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def close(self):
        """End the program, and with it what it started."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()


class WarmJob:
    """A job that runs, as a ``Popen`` of which an executor wants to know no more than this."""

    def __init__(self, jobs, pid):
        self.jobs, self.pid, self.returncode = jobs, pid, None

    def poll(self):
        if self.returncode is None:
            self.returncode = self.jobs.ask({"pid": self.pid})
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(9)

    def wait(self, timeout=None):
        for _ in range(round((timeout or 3600) / 0.05)):
            if self.poll() is not None:
                return self.returncode
            time.sleep(0.05)
        raise subprocess.TimeoutExpired(str(self.pid), timeout)


def answer(request):
    if "pid" in request:
        ended, status = os.waitpid(request["pid"], os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if ended else None
    for name in FORKED[request["words"][0]]:
        importlib.import_module(name)
    return os.fork() or do(request)


def do(request):
    """The job, in the process that was made for it."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT), 1)
        os.dup2(1, 2)
        os.environ.clear()
        os.environ.update(request["environment"], GLOTMIX_DRIVER=str(os.getppid()))
        sys.argv = request["words"]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
