"""Exporter: a schedule in, a trainer's own files out, with the mixture that the trainer will really make of them.

The mixture is held in token shares. Each exporter turns it into its trainer's unit, writes the files, and simulates
the trainer's own rule, because weights that look right can be realised wrongly: blocks too short for the smallest
language, weights that count documents, sources that may not repeat.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

import numpy as np

from glotmix.artifact import read_json, write_json, write_text
from glotmix.errors import BadInput
from glotmix.exporters.quoting import check_text
from glotmix.exporters.realised import REALISED, Realised, Simulation, compare, off_lines
from glotmix.exporters.request import ExportRequest, Phase, by_language
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule, Stage

__all__ = [
    "REALISED",
    "ExportRequest",
    "Exporter",
    "Launch",
    "Phase",
    "Realised",
    "Record",
    "Simulation",
    "by_language",
    "export",
    "read_export",
    "schedule_of",
]

RUN = "run-"
"""Folder of each run where the schedule restarts optimiser and learning rate: ``run-0``, ``run-1``, ..."""

log = logging.getLogger("glotmix.exporters")


@dataclass(frozen=True)
class Launch:
    """One start of the trainer, as its files have it; in the trainer's own steps."""

    last_step: int
    """Steps done when it ends."""
    horizon: int
    """Steps after which its learning-rate schedule ends: those of the whole run, whatever the launch."""


class Exporter(ABC):
    """One trainer. Subclasses are final, have no state, and use their trainer's own words in the files they write."""

    name: ClassVar[str]
    """As typed on the command line."""
    title: ClassVar[str]
    """The trainer's name."""
    target_version: ClassVar[str]
    """Version whose format is written."""
    unit: ClassVar[str]
    """What the trainer's weights count: "sequences", "tokens", "documents" or "rows"."""
    schedule_support: ClassVar[Literal["native", "phases", "materialised", "constant"]]
    """A schedule in one run; one launch per phase; an order written to disk; or one mixture only."""
    notes: ClassVar[str]
    """One paragraph: what the trainer does with the files, and its traps."""
    packing: ClassVar[Literal["cut", "split", "truncated", "yours"]]
    """What becomes of documents on their way to a batch: joined and "cut" at the sequence length, so that nothing is
    lost; whole or "split" into rows that are nearly full; "truncated" at the sequence length; "yours" to choose."""
    from_unique: ClassVar[str] = ""
    """What follows from the unique tokens in this trainer's files, in words (the epochs follow from them for all)."""
    from_document_lengths: ClassVar[str] = ""
    """What follows from the tokens per document."""
    writes: ClassVar[Literal["weights", "counts"]] = "weights"
    """Whether the files hold weights, or whole numbers of rows, which are shares to within a row only."""
    flags: ClassVar[Sequence[str]] = ()
    """Words that tell the trainer shape, length, seed and learning rate of one run (:mod:`glotmix.exporters.flags`)."""
    path_template: ClassVar[str] = "data/{language}"
    """Where data is expected unless the request says so."""

    @abstractmethod
    def files(self, request: ExportRequest) -> dict[str, str]:
        """The trainer's files: relative name to text.

        Raises:
            BadInput: something that this trainer cannot be told, by name.
        """

    @abstractmethod
    def simulate(self, request: ExportRequest) -> Simulation:
        """Tokens per phase and language that are trained on: after the trainer's own draws, packing and stops."""

    @abstractmethod
    def read(self, directory: Path) -> Schedule:
        """The schedule that the exported files in ``directory`` stand for, in token shares.

        Weights come from the trainer's files; ``realised.json`` tells which language a path belongs to and how long
        its documents are.
        """

    @abstractmethod
    def launches(self, directory: Path) -> list[Launch]:
        """The starts of the trainer that the exported files in ``directory`` lead to, in order."""

    def row_lengths(self, request: ExportRequest) -> np.ndarray:
        """Tokens of a document that are trained on, in the order of ``request.languages``, [L]."""
        return request.kept_lengths() if self.packing == "truncated" else request.lengths()

    def paths(self, request: ExportRequest) -> dict[str, str]:
        """The data of each language in the files.

        Raises:
            BadInput: no path for a language, one path for two, or a path that the trainer's format cannot hold.
        """
        given = self.path_template if request.paths is None else request.paths
        paths: dict[str, str] = {}
        for language in request.languages:
            path = given.replace("{language}", language) if isinstance(given, str) else given.get(language)
            if path is None:
                raise BadInput(f"no path for {language}", where="export paths")
            check_text(path, f"path of {language}")
            self.check_path(language, path)
            if path in paths.values():
                other = next(name for name, used in paths.items() if used == path)
                raise BadInput(f"{language} and {other} have one path {path!r}", expected="a path for each language")
            paths[language] = path
        return paths

    def check_path(self, language: str, path: str) -> None:  # noqa: B027  most formats hold any path
        """Refuse a path that the trainer's format cannot hold."""


@dataclass(frozen=True)
class Record:
    """What ``read`` needs beside the trainer's files."""

    languages: tuple[str, ...]
    """All languages of the schedule, also those with share zero."""
    paths: Mapping[str, str]
    """Language to path, for languages with a share."""
    tokens_per_document: Mapping[str, float]
    """Language to the tokens of a document that are trained on."""
    run_steps: tuple[int, ...]
    """Steps of each run; one, unless the schedule restarts."""

    @classmethod
    def of(cls, directory: Path) -> Record:
        """Read it from ``realised.json`` of the folder, or for one run of several from that of the folder above."""
        above = directory.name.startswith(RUN) and not (directory / REALISED).is_file()
        directory = directory.parent if above else directory
        data = read_json(directory / REALISED)
        try:
            made = data["made_from"]
            steps = tuple(int(count) for count in made["run_steps"])
            return cls(tuple(data["languages"]), made["paths"], made["tokens_per_document"], steps)
        except (KeyError, TypeError):
            raise BadInput("is not a realised.json of an export", where=directory / REALISED) from None

    def language(self, path: str) -> str:
        """The language whose data lies at ``path``."""
        for language, known in self.paths.items():
            if known == path:
                return language
        raise BadInput(f"no language has the path {path!r}", expected="one of the exported paths")

    def mixture(self, shares: Mapping[str, float]) -> Mixture:
        """Token shares over all languages of the schedule, zeros filled in."""
        return Mixture.normalised({language: shares.get(language, 0.0) for language in self.languages})

    def mixture_of_documents(self, shares: Mapping[str, float]) -> Mixture:
        """Token shares from shares per document."""
        return self.mixture({name: share * self.tokens_per_document[name] for name, share in shares.items()})


def schedule_of(parts: Iterable[tuple[float, Mixture]], total: float) -> Schedule:
    """A schedule from mixtures and where they start, in any unit of which the run has ``total``."""
    return Schedule(tuple(Stage(start / total, mixture) for start, mixture in parts))


def export(exporter: Exporter, request: ExportRequest, directory: Path, *, warn: bool = True) -> Realised:
    """Write the trainer's files and ``realised.json`` into ``directory``.

    Files that an earlier export left there are removed first, so that no phase of another schedule stays behind. Where
    a stage restarts optimiser and learning rate, each part is a run of its own in ``run-0``, ``run-1``, ...
    ``warn`` logs shares that are off by more than 1 %, which ``realised.json`` tells in any case.

    Raises:
        BadInput: the trainer cannot be given this mixture (a language would be dropped, a path cannot be written, a
            stage does not fit); nothing is written then.
    """
    runs = request.runs()
    folders = [""] if len(runs) == 1 else [f"{RUN}{i}/" for i in range(len(runs))]
    files = {
        folder + name: text
        for folder, run in zip(folders, runs, strict=True)
        for name, text in exporter.files(run).items()
    }
    for name in files:
        _check_name(name)
    simulations = [exporter.simulate(run) for run in runs]
    simulation = Simulation(
        tuple(phase for one in simulations for phase in one.tokens),
        tuple(
            f"{folder[:-1]}: {text}" if folder else text
            for folder, one in zip(folders, simulations, strict=True)
            for text in one.remarks
        ),
    )
    realised = compare(exporter, request, simulation, tuple(files), _restarts(len(runs)))
    _remove_earlier(directory)
    for name, text in files.items():
        write_text(directory / name, text)
        if name.endswith(".sh"):
            (directory / name).chmod(0o755)
    lengths = by_language(request, exporter.row_lengths(request))
    made_from = {
        "paths": exporter.paths(request),
        "tokens_per_document": lengths,
        "seed": request.seed,
        "run_steps": [run.steps for run in runs],
    }
    write_json(directory / REALISED, {**realised.to_json(), "made_from": made_from})
    for line in off_lines(realised) if warn else ():
        log.warning("%s: %s", exporter.name, line)
    return realised


def _restarts(runs: int) -> list[str]:
    """What the user must do at a restart."""
    if runs == 1:
        return []
    return [
        f"the schedule restarts optimiser and learning rate: {RUN}0 to {RUN}{runs - 1} are runs of their own, each "
        "to be started with the weights of the one before and nothing else (no optimiser state, step 0)"
    ]


def read_export(exporter: Exporter, directory: Path) -> Schedule:
    """The schedule that an exported folder stands for, restarts included."""
    steps = Record.of(directory).run_steps
    if len(steps) == 1:
        return exporter.read(directory)
    stages: list[Stage] = []
    for i, count in enumerate(steps):
        before = sum(steps[:i])
        for k, stage in enumerate(exporter.read(directory / f"{RUN}{i}").stages):
            start = (before + stage.start * count) / sum(steps)
            stages.append(Stage(start, stage.mixture, restart=i > 0 and k == 0))
    return Schedule(tuple(stages))


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or name in ("", ".", REALISED) or "\\" in name or "\0" in name:
        raise BadInput(f"an exporter wants to write {name!r}", expected="a name inside the output folder")


def _remove_earlier(directory: Path) -> None:
    if not (directory / REALISED).is_file():
        return
    names = read_json(directory / REALISED).get("files", [])
    for name in names if isinstance(names, list) else []:
        _check_name(str(name))
        (directory / str(name)).unlink(missing_ok=True)
    (directory / REALISED).unlink()
