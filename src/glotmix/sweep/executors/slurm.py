"""SLURM job arrays, through ``sbatch`` itself: nothing is pickled, and a site's own options pass through.

Every job of a sweep is a task of an array. A task runs its command from a list on disk and leaves its exit code in a
file, so that the end of a job is known without the accounting database, which many sites do not run. Arrays are cut to
the size that a site allows; ``--requeue`` lets SLURM start a preempted task again, whose worker goes on from its last
state.
The study's directory must lie on a file system that the nodes share.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from glotmix.errors import BadInput, GlotmixError
from glotmix.handoff.scripts import sbatch_option
from glotmix.orphan import ONE_THREAD
from glotmix.sweep.executors.executor import Executor, Job, JobEnd, last_lines

if TYPE_CHECKING:
    from glotmix.sweep.config import SweepConfig


TICK = 0.2
ASK_EVERY = 5.0
"""Seconds between two questions to the scheduler; every question costs it a lock."""
PATIENCE = 3
"""Questions in a row in which a task without exit code is not known to the scheduler, after which it counts as lost."""
FORGOTTEN = "Invalid job id"
"""What squeue says of jobs that ended some minutes ago."""


class SlurmExecutor(Executor):
    """One array task per job."""

    def __init__(self, workers: int | None = None, options: Mapping[str, str] | None = None, array: int = 1000):
        """
        Args:
            workers: most tasks that run at once; default as many as the scheduler starts.
            options: options of ``sbatch`` without dashes ("partition", "time", "gres", "account", …).
            array: most tasks in one array (``MaxArraySize`` of the site).

        Raises:
            BadInput: an option that glotmix sets itself, or a name or value that is none.
        """
        self.workers = workers or 64
        self._at_once = f"%{workers}" if workers else ""
        self._array = array
        self._options = [sbatch_option(name, value) for name, value in (options or {}).items()]

    @classmethod
    def of(cls, config: SweepConfig) -> Self:
        """See :class:`Executor`."""
        several = {"nodes": str(config.nodes_per_run), "ntasks-per-node": "1"} if config.nodes_per_run > 1 else {}
        return cls(config.workers, several | config.slurm, config.array)

    def run(self, jobs: Sequence[Job], tick: Callable[[], None]) -> Iterator[JobEnd]:
        """See :class:`Executor`."""
        waiting: dict[Path, tuple[Job, str]] = {}
        submitted: list[str] = []
        try:
            for start in range(0, len(jobs), self._array):
                chunk = jobs[start : start + self._array]
                array, exits = self._submit(chunk)
                submitted.append(array)
                waiting |= {path: (job, array) for path, job in zip(exits, chunk, strict=True)}
            unknown: dict[Path, int] = {}
            asked = time.monotonic()
            while waiting:
                for path in [path for path in waiting if path.is_file()]:
                    job, _ = waiting.pop(path)
                    code = int(path.read_text() or 1)
                    path.unlink()
                    yield JobEnd(job, code, last_lines(job.log) if code else "")
                if time.monotonic() - asked > ASK_EVERY:
                    asked, known = time.monotonic(), _known(submitted)
                    for path, (job, array) in list(waiting.items()):
                        unknown[path] = 0 if known is None or array in known else unknown.get(path, 0) + 1
                        if unknown[path] >= PATIENCE and not path.is_file():
                            del waiting[path]
                            yield JobEnd(job, 1, f"SLURM lost task {path.stem} of array {array}: {last_lines(job.log)}")
                tick()
                time.sleep(TICK)
        finally:
            if waiting and submitted:
                _call(["scancel", *submitted])
                until = time.monotonic() + PATIENCE * ASK_EVERY
                while _known(submitted) != set() and time.monotonic() < until:
                    time.sleep(TICK)

    def _submit(self, jobs: Sequence[Job]) -> tuple[str, list[Path]]:
        """Array number, and the file of each task's exit code."""
        folder = jobs[0].log.resolve().parent / f"array-{uuid.uuid4().hex[:12]}"
        folder.mkdir(parents=True)
        exits = [folder / f"{i}.exit" for i in range(len(jobs))]
        orders = [{"command": job.command, "log": str(job.log.resolve())} for job in jobs]
        (folder / "tasks.json").write_text(json.dumps(orders))
        command = shlex.join([sys.executable, "-m", "glotmix.sweep.executors.slurm_task", str(folder)])
        script = folder / "array.sh"
        script.write_text("\n".join(["#!/bin/bash", *_exports(), f"exec {command}", ""]))
        found = _call(
            [
                "sbatch",
                "--parsable",
                "--requeue",
                "--job-name=glotmix",
                f"--array=0-{len(jobs) - 1}{self._at_once}",
                f"--output={str(folder).replace('%', '%%')}/slurm-%a.log",
                *self._options,
                str(script),
            ]
        )
        return found.strip().partition(";")[0], exits


def _exports() -> list[str]:
    return [f"export {name}={value}" for name, value in ONE_THREAD.items()]


def _known(arrays: Sequence[str]) -> set[str] | None:
    """Arrays of which some task is pending or running; None where the scheduler does not answer, as in a restart."""
    try:
        answer = _call(["squeue", "--noheader", "--format=%A %F", "--jobs", ",".join(arrays)])
    except GlotmixError as error:
        return set() if FORGOTTEN in str(error) else None
    return {word for line in answer.splitlines() for word in line.split()}


def _call(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603
    except FileNotFoundError:
        raise BadInput(
            f"no program {command[0]} here", where="sweep.executor = slurm", expected="a SLURM login node"
        ) from None
    except subprocess.TimeoutExpired:
        raise GlotmixError(f"{command[0]} did not answer in two minutes") from None
    if done.returncode:
        raise GlotmixError(f"{command[0]}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
