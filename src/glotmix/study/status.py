"""How far a study is, read from its directory without disturbing it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from glotmix.artifact import read_json
from glotmix.errors import BadInput
from glotmix.mixture.design import PlannedRun
from glotmix.sweep.sweep import RUN, job_progress


@dataclass(frozen=True)
class Status:
    """Runs by state, and jobs under way."""

    complete: int
    """Runs with losses."""
    diverged: tuple[str, ...]
    """Runs whose loss was no longer finite."""
    planned: int
    """Runs in the plan so far; the closed loop adds its own when laws are fitted."""
    running: dict[str, float]
    """Job under way to the share done."""
    report: str | None
    """Path of the report when the study is done."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return {
            "complete": self.complete,
            "diverged": list(self.diverged),
            "planned": self.planned,
            "running": self.running,
            "report": self.report,
        }

    def table(self) -> Table:
        """For a terminal."""
        table = Table(show_header=False)
        table.add_row("runs complete", f"{self.complete} of {self.planned}")
        if self.diverged:
            table.add_row("diverged", ", ".join(self.diverged))
        for job, share in self.running.items():
            table.add_row(f"running: {job}", f"{share:.0%}")
        table.add_row("report", self.report or "not yet")
        return table


def status_of(directory: Path) -> Status:
    """Read the state of a study.

    Raises:
        BadInput: the directory holds no study.
    """
    if not (directory / "study.json").is_file():
        raise BadInput("no study.json in it", where=directory, expected="the directory of a study")
    planned: list[PlannedRun] = []
    for name in ("plan.json", "closed_loop_plan.json"):
        if (directory / name).is_file():
            planned += [PlannedRun.from_json(run) for run in read_json(directory / name)]
    complete, diverged = 0, []
    for run in planned:
        result = directory / "runs" / run.run / RUN
        if result.is_file():
            if read_json(result)["status"] == "complete":
                complete += 1
            else:
                diverged.append(run.run)
    running = {path.stem: job_progress(path) for path in sorted((directory / "jobs").glob("*.progress"))}
    report = directory / "report.html"
    return Status(complete, tuple(diverged), len(planned), running, str(report) if report.is_file() else None)
