"""Processes on this machine, one thread each."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Self

from glotmix.orphan import ONE_THREAD
from glotmix.sweep.executors.executor import Executor, Job, JobEnd, last_lines

if TYPE_CHECKING:
    from glotmix.sweep.config import SweepConfig


SECONDS_TO_SAVE = 20.0
"""What a worker that is asked to end has for the step it is in and for its state; it is killed then."""


class LocalExecutor(Executor):
    """Child processes; they are killed when this process ends, however it ends (see :mod:`glotmix.sweep.worker`)."""

    def __init__(self, workers: int | None = None, devices: Sequence[str] = (), each: int = 1):
        """
        Args:
            workers: processes side by side; default one per core that this process may use.
            devices: GPUs as ``CUDA_VISIBLE_DEVICES`` names them, which are shared out to what runs side by side; none
                leaves every process to see all.
            each: GPUs of one job.
        """
        self.workers = workers or len(os.sched_getaffinity(0))
        shares = [",".join(devices[i : i + each]) for i in range(0, len(devices) - each + 1, each)]
        self._shares: list[str | None] = [shares[i % len(shares)] if shares else None for i in range(self.workers)]

    @classmethod
    def of(cls, config: SweepConfig) -> Self:
        """See :class:`Executor`."""
        return cls(workers=config.workers)

    def run(self, jobs: Sequence[Job], tick: Callable[[], None]) -> Iterator[JobEnd]:
        """See :class:`Executor`."""
        waiting = deque(jobs)
        running: dict[subprocess.Popen[bytes], tuple[Job, str | None]] = {}
        free = list(reversed(self._shares))
        try:
            while waiting or running:
                while waiting and free:
                    job, share = waiting.popleft(), free.pop()
                    running[_start(job, share)] = job, share
                ended = [process for process in running if process.poll() is not None]
                for process in ended:
                    job, share = running.pop(process)
                    free.append(share)
                    reason = last_lines(job.log) if process.returncode else ""
                    yield JobEnd(job, process.returncode, reason)
                tick()
                if not ended:
                    time.sleep(0.2)
        finally:
            for process in running:
                _stop(process)


def _start(job: Job, devices: str | None) -> subprocess.Popen[bytes]:
    seen = {} if devices is None else {"CUDA_VISIBLE_DEVICES": devices}
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with open(job.log, "ab") as log:
        return subprocess.Popen(  # noqa: S603 - an argument list that glotmix built, no shell
            job.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **ONE_THREAD, **seen, "GLOTMIX_DRIVER": str(os.getpid())},
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=SECONDS_TO_SAVE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
