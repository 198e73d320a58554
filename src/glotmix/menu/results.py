"""What lies in the directory of a finished study, read when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.table import Table

from glotmix.artifact import read_json
from glotmix.corpus.census import Census
from glotmix.errors import BadInput
from glotmix.fit.choice import open_fit
from glotmix.fit.fit import Fit
from glotmix.fit.holdout import Holdout
from glotmix.measurements import Measurements, read_runs
from glotmix.notebook import Shown
from glotmix.optimize.optimum import Optimum
from glotmix.study.directory import CONFIGURATION, StudyDirectory
from glotmix.study.status import Status, status_of
from glotmix.transfer.matrix import TransferMatrix

FOUND = {
    "mixture": "optimum.json",
    "compare": "comparison.json",
    "clones": "clones.json",
    "influence": "findings.json",
    "posttraining": "findings.json",
}
"""Kind of a study to the file with its answer."""


@dataclass(frozen=True, repr=False)
class StudyResults(Shown):
    """Results of a study of any kind. What a study of its kind does not have, or has not yet, is an error by name."""

    directory: Path
    """Where the study lies."""

    def __post_init__(self) -> None:
        StudyDirectory(self.directory).kind()

    @cached_property
    def kind(self) -> str:
        """What is studied: ``"mixture"``, ``"compare"``, ``"clones"``, ``"influence"`` or ``"posttraining"``."""
        return StudyDirectory(self.directory).kind()

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """Every field of the study, with what its rules worked out."""
        config: Mapping[str, Any] = read_json(self.directory / CONFIGURATION)
        return config

    @property
    def status(self) -> Status:
        """How far the study is now."""
        return status_of(self.directory)

    @cached_property
    def found(self) -> Any:
        """The study's answer as plain values, as ``glotmix run --json`` prints it."""
        return read_json(self._file(FOUND[self.kind]))

    @cached_property
    def report(self) -> Path:
        """The page."""
        return self._file(StudyDirectory(self.directory).report.name)

    @cached_property
    def census(self) -> Census:
        """The corpus in numbers."""
        return Census.from_json(read_json(path := self._file("census.json")), where=path)

    @cached_property
    def runs(self) -> Measurements:
        """The complete runs."""
        self._file("measurements/runs.parquet")
        return read_runs(self.directory)

    @cached_property
    def transfer(self) -> TransferMatrix:
        """Shapley values of the coalitions that were run."""
        return TransferMatrix.from_json(read_json(self._file("transfer.json")))

    @cached_property
    def fits(self) -> Mapping[str, Fit]:
        """Every law that was fitted, by name."""
        folder = self._file("fits/holdout.json").parent
        return {path.stem: open_fit(path) for path in sorted(folder.glob("*.json")) if path.stem != "holdout"}

    @cached_property
    def chosen(self) -> str:
        """Name of the law that was chosen."""
        return str(read_json(self._file("fits/holdout.json"))["chosen"])

    @cached_property
    def law(self) -> Fit:
        """The law that was chosen, fitted to all runs."""
        return open_fit(self._file(f"fits/{self.chosen}.json"))

    @cached_property
    def holdout(self) -> Holdout:
        """Errors of all laws on the held-out swarm; where none was held out, those of cross-validation."""
        judged = read_json(self._file("fits/holdout.json"))
        return Holdout.from_json(judged["held_out"] or judged["cross_validated"])

    @cached_property
    def optimum(self) -> Optimum:
        """The best mixture and every baseline on the same law."""
        path = self._file("optimum.json")
        return Optimum.from_json(read_json(path), where=path)

    def table(self) -> Table:
        """What it asks, how far it is, and what of it can be read."""
        table = Table(title=str(self.config["name"]), title_justify="left")
        table.add_column("")
        table.add_column("")
        status = self.status
        table.add_row("kind", self.kind)
        table.add_row("directory", str(self.directory))
        table.add_row("done", f"{status.complete} of {status.planned}")
        there = [name for name, file in READABLE.items() if (self.directory / file).is_file()]
        table.add_row("to read", ", ".join(["config", "status", *there]))
        return table

    def _file(self, name: str) -> Path:
        """A file of the study.

        Raises:
            BadInput: it is not there.
        """
        path = self.directory / name
        if not path.is_file():
            expected = f"a study that has one; this is of kind {self.kind}"
            raise BadInput(f"no {name} in it", where=self.directory, expected=expected)
        return path


READABLE = {
    "report": "report.html",
    "census": "census.json",
    "runs": "measurements/runs.parquet",
    "transfer": "transfer.json",
    "law": "fits/holdout.json",
    "fits": "fits/holdout.json",
    "holdout": "fits/holdout.json",
    "optimum": "optimum.json",
}
"""What can be read to the file that it is read from."""
