"""The interface between a sweep and an engine: run this command, tell me how it ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from glotmix.sweep.executors import EXECUTORS

if TYPE_CHECKING:
    from glotmix.sweep.config import SweepConfig


@dataclass(frozen=True)
class Job:
    """A command that can be repeated without harm."""

    name: str
    """Unique in the sweep and safe as a file name."""
    command: tuple[str, ...]
    """Program and arguments; no shell is involved."""
    log: Path
    """Receives standard output and error, appended over attempts."""


@dataclass(frozen=True)
class JobEnd:
    """How a job ended."""

    job: Job
    """The job."""
    returncode: int
    """0 for success; negative for the signal that killed it."""
    reason: str
    """The last lines of its log when it failed, else empty."""
    waits: bool = False
    """Whether it neither failed nor ended: it is done elsewhere, and ``reason`` is the file that tells how."""


class Executor(ABC):
    """Runs jobs. Every job is tried once; the sweep decides on retries."""

    workers: int
    """How many jobs run side by side."""
    elsewhere: ClassVar[bool] = False
    """Whether runs are trained by somebody else's trainer: it runs no commands, and a run may wait for days."""
    remarks: tuple[str, ...] = ()
    """What a user must know of how the last jobs ended, one sentence each."""

    @classmethod
    def of(cls, config: SweepConfig) -> Self:
        """The executor that a study's section ``sweep`` describes; one without settings need not override this.

        Raises:
            BadInput: a library that is not installed, or settings that it does not take.
        """
        return cls()

    @abstractmethod
    def run(self, jobs: Sequence[Job], tick: Callable[[], None]) -> Iterator[JobEnd]:
        """Run all jobs and yield each as it ends, in any order.

        A job that fails does not stop the others. When the caller stops iterating or is interrupted, running jobs are
        ended and none is left behind.

        Args:
            jobs: what to run.
            tick: called about five times a second while waiting, for progress bars.
        """


def open_executor(config: SweepConfig) -> Executor:
    """The executor that a study names."""
    executor: Executor = EXECUTORS.find(config.executor).of(config)
    return executor


def last_lines(log: Path, lines: int = 3, most: int = 4000) -> str:
    """The end of a log file, for an error message."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - most))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return "no log"
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])
