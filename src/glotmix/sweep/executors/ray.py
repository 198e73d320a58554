"""Ray: every job is a Core task that starts its command as a process, so that what trains is the same everywhere.

A task asks for ``cpus`` and ``gpus`` (a fraction shares a GPU between several). Ray ends the tasks of a driver that
died, and a job's process ends with its task's. The study's directory must lie on a file system that the nodes share.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

from glotmix.errors import BadInput
from glotmix.orphan import ONE_THREAD
from glotmix.sweep.executors.executor import Executor, Job, JobEnd, last_lines

if TYPE_CHECKING:
    from glotmix.sweep.config import SweepConfig


WAIT = 0.2
PR_SET_PDEATHSIG = 1


class RayExecutor(Executor):
    """Tasks on a Ray cluster, or on a Ray that is started on this machine."""

    def __init__(self, workers: int | None = None, address: str | None = None, cpus: float = 1.0, gpus: float = 0.0):
        """
        Args:
            workers: most jobs that are handed to Ray at once; default what the cluster's CPUs (GPUs) carry.
            address: of the cluster ("auto" for the one that this machine belongs to); None starts one here.
            cpus: CPUs of a job.
            gpus: GPUs of a job; may be a fraction.

        Raises:
            BadInput: Ray is not installed, or no cluster answers at ``address``.
        """
        try:
            import ray
        except ImportError:
            raise BadInput(
                "Ray is not installed", where="sweep.executor = ray", expected="pip install glotmix[ray]"
            ) from None
        self._ray = ray
        if not ray.is_initialized():
            try:
                ray.init(
                    address=address,
                    log_to_driver=False,
                    configure_logging=False,
                    include_dashboard=False if address is None else None,
                )
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise BadInput(f"no cluster answers: {error}", where=f"sweep.address = {address!r}") from None
        has = ray.cluster_resources()
        carries = has.get("GPU", 0) / gpus if gpus else has.get("CPU", 1) / cpus
        if carries < 1:
            raise BadInput(
                f"a job asks for {cpus} CPUs and {gpus} GPUs",
                where="sweep",
                expected=f"at most what the cluster has: {has}",
            )
        self.workers = workers or int(carries)
        self._task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_work)

    @classmethod
    def of(cls, config: SweepConfig) -> Self:
        """See :class:`Executor`."""
        return cls(config.workers, config.address, config.cpus, config.gpus)

    def run(self, jobs: Sequence[Job], tick: Callable[[], None]) -> Iterator[JobEnd]:
        """See :class:`Executor`."""
        ray, waiting = self._ray, list(reversed(jobs))
        running: dict[Any, Job] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    job = waiting.pop()
                    running[self._task.remote(list(job.command), str(job.log.resolve()))] = job
                ended, _ = ray.wait(list(running), num_returns=1, timeout=WAIT)
                for reference in ended:
                    yield self._end(running.pop(reference), reference)
                tick()
        finally:
            self._cancel(list(running))

    def _end(self, job: Job, reference: Any) -> JobEnd:
        try:
            code = int(self._ray.get(reference))
        except self._ray.exceptions.RayError as error:  # the worker or its node died
            return JobEnd(job, 1, f"{type(error).__name__}: {str(error).splitlines()[0]}")
        return JobEnd(job, code, last_lines(job.log) if code else "")

    def _cancel(self, references: list[Any]) -> None:
        """Interrupt tasks, whose processes are then killed; a task that does not end by that is killed itself."""
        for force in (False, True):
            for reference in references:
                self._ray.cancel(reference, force=force)
            until = time.monotonic() + 10
            while references and time.monotonic() < until:
                _, references = self._ray.wait(references, num_returns=1, timeout=WAIT)


def _work(command: list[str], log: str) -> int:
    """Run a command on a node; its exit code."""
    os.makedirs(os.path.dirname(log), exist_ok=True)
    environment = os.environ | ONE_THREAD | {"GLOTMIX_DRIVER": str(os.getpid())}
    with open(log, "ab") as file:
        return subprocess.run(  # noqa: S603 - an argument list that glotmix built, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            check=False,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        ).returncode


def _die_with_parent() -> None:
    """A cancelled task's process is killed, and what it started with it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
