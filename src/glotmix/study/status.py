"""How far a study is, read from its directory without disturbing it, and the note that its driver leaves there."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from glotmix.artifact import read_json, reason_of_failure, write_json
from glotmix.errors import BadInput
from glotmix.mixture.design import PlannedRun
from glotmix.notebook import Shown
from glotmix.study.directory import (
    COMPUTE,
    CONFIGURATION,
    LEFT,
    REPORT,
    configuration_in,
    is_made,
    planned_compute,
    planned_work,
)
from glotmix.sweep.lock import LOCK
from glotmix.sweep.sweep import RUN, SweepTally, running
from glotmix.written import made_of

ARMS = "arms"
"""Folder of the sweeps of an experiment that has several."""
NOTE = "progress.json"
NOTE_EVERY = 2.0
"""Seconds between two notes."""


class Progress:
    """Keeps ``progress.json``: what is being trained, how much of it is done and how long the rest will take.

    Time is counted by the monotonic clock of the driver alone, so that a clock that jumps changes nothing.
    """

    def __init__(self, directory: Path, label: str):
        """
        Args:
            directory: of the study.
            label: what is trained.
        """
        self._path, self._label = directory / NOTE, label
        self._began, self._last = time.monotonic(), float("-inf")
        self._before: float | None = None

    def __call__(self, tally: SweepTally) -> None:
        """Take note of a sweep's progress, every ``NOTE_EVERY`` seconds and at its end."""
        now = time.monotonic()
        if self._before is None:
            self._before = tally.tokens_done
        if now - self._last < NOTE_EVERY and tally.done < tally.total:
            return
        self._last = now
        trained, left = tally.tokens_done - self._before, tally.tokens_total - tally.tokens_done
        told = {
            "doing": self._label,
            **asdict(tally),
            "seconds_left": left * (now - self._began) / trained if trained > 0 else None,
        }
        write_json(self._path, told, durable=False)


@dataclass(frozen=True, repr=False)
class Status(Shown):
    """Runs by state, and what is under way."""

    planned: int
    """What is planned so far: runs, and fine-tuned models; the closed loop adds its own when laws are fitted."""
    complete: int
    """What of it is complete."""
    diverged: tuple[str, ...]
    """Runs whose loss was no longer finite."""
    failed: Mapping[str, str]
    """Run whose job died on its last try to the reason."""
    partial: tuple[str, ...]
    """Runs that were begun and are not worked on: they go on from there when the study does."""
    running: Mapping[str, float]
    """Job under way to the share done."""
    losses: Mapping[str, float]
    """Run under way to its training loss now, nats per token."""
    flops: float
    """Training compute spent on the runs that are done."""
    flops_planned: float | None
    """Training compute of everything whose training was begun, what is done included; None before the first sweep."""
    seconds_left: float | None
    """Time that the present sweep will still take; None where nobody works on it or it has just begun."""
    is_worked_on: bool
    """Whether a driver holds the study."""
    report: str | None
    """Path of the report when the study is done."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return asdict(self)

    def table(self) -> Table:
        """For a terminal."""
        table = Table(show_header=False)
        if self.planned:
            table.add_row("runs complete", f"{self.complete} of {self.planned}")
        finished = self.report is not None and self.complete + len(self.diverged) >= self.planned
        rest = "no; it is finished" if finished else "no; `glotmix run` resumes where it stopped"
        table.add_row("at work", "yes" if self.is_worked_on else rest)
        if self.seconds_left is not None:
            table.add_row("time left", duration_left(self.seconds_left))
        if self.flops_planned:
            table.add_row("compute spent", f"{self.flops:.3g} of {self.flops_planned:.3g} FLOP")
        if self.diverged:
            table.add_row("diverged", ", ".join(self.diverged))
        for run, reason in self.failed.items():
            table.add_row(f"failed: {run}", reason.splitlines()[-1] if reason else "no reason given")
        if self.partial:
            table.add_row("begun", ", ".join(self.partial))
        for job, share in self.running.items():
            table.add_row(f"running: {job}", f"{share:.0%}")
        for run, loss in self.losses.items():
            table.add_row(f"loss now: {run}", f"{loss:.3f} nats a token")
        table.add_row("report", self.report or "not yet")
        return table


def duration_left(seconds: float) -> str:
    """ "about 3 min 20 s"."""
    hours, rest = divmod(round(seconds), 3600)
    return f"about {hours} h {rest // 60:02d} min" if hours else f"about {rest // 60} min {rest % 60:02d} s"


def status_of(directory: Path) -> Status:
    """Read the state of a study of any kind.

    Raises:
        BadInput: the directory holds none.
    """
    configuration_in(directory)
    # Arms may name their runs alike: what is of an arm is told with its name before it.
    places = {directory: ""} | {arm: f"{arm.name}/" for arm in sorted(directory.glob(f"{ARMS}/*"))}
    runs = [(place, run) for place in places for run in _planned(place)]
    complete, diverged, computed = 0, list[str](), 0.0
    failed: dict[str, str] = {}
    computing = {place: planned_compute(place) for place in places}
    for place, run in runs:
        try:
            result = read_json(place / "runs" / run / RUN)
        except BadInput:
            failed |= _failure(places[place] + run, place / "runs" / run)
            continue
        with made_of(place / "runs" / run / RUN, LEFT):
            computed += float(result["C"])
            computing[place].pop(run, None)
            complete += result["status"] == "complete"
        diverged += [places[place] + run] * (result["status"] != "complete")
    work = planned_work(directory)
    for name, path in work.items():
        complete += is_made(path)
        failed |= {} if is_made(path) else _failure(name, path)
    folders, worked_on = [(place / "jobs", arm) for place, arm in places.items()], _is_held(directory)
    left_over = [_seconds_left(place / NOTE) for place in places if (place / NOTE).is_file()]
    left = sum(sum(flops.values()) for flops in computing.values())
    report = directory / REPORT
    return Status(
        planned=len(runs) + len(work),
        complete=complete,
        diverged=tuple(diverged),
        failed=failed,
        partial=() if worked_on else tuple(arm + path.stem for f, arm in folders for path in sorted(f.glob("*.state"))),
        running={arm + job: share for f, arm in folders for job, share in running(f).items()} if worked_on else {},
        losses={arm + run: loss for f, arm in folders for run, loss in _losses(f).items()} if worked_on else {},
        flops=computed,
        flops_planned=computed + left if any((place / COMPUTE).is_file() for place in places) else None,
        seconds_left=next((seconds for seconds in left_over if seconds), None) if worked_on else None,
        is_worked_on=worked_on,
        report=str(report) if report.is_file() else None,
    )


def _seconds_left(note: Path) -> float | None:
    with made_of(note, LEFT):
        seconds = read_json(note)["seconds_left"]
        return None if seconds is None else float(seconds)


def _failure(name: str, path: Path) -> dict[str, str]:
    """Why something is not done, by its name; empty where nothing was noted."""
    reason = reason_of_failure(path)
    return {} if reason is None else {name: reason}


def complete_in(directory: Path) -> int:
    """Runs that are complete in a directory; none where it is not a study's."""
    return status_of(directory).complete if _is_study(directory) else 0


def _is_study(directory: Path) -> bool:
    return (directory / CONFIGURATION).is_file()


def _planned(directory: Path) -> list[str]:
    """Runs of the sweeps of one directory: each plan is a list of runs."""
    paths = sorted(directory.glob("*plan.json"))
    runs: list[str] = []
    for path in paths:
        with made_of(path, LEFT):
            runs += [PlannedRun.from_json(run, where=path).run for run in read_json(path)]
    return list(dict.fromkeys(runs))


def _losses(jobs: Path) -> dict[str, float]:
    """Training losses that running jobs told last."""
    losses: dict[str, float] = {}
    for path in sorted(jobs.glob("*.progress")):
        try:
            losses |= read_json(path).get("nats", {})
        except (BadInput, AttributeError):
            continue  # it ended meanwhile
    return losses


def _is_held(directory: Path) -> bool:
    """Whether some process, on this machine or another that shares the file system, holds the study's lock."""
    try:
        with open(directory / LOCK, encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
