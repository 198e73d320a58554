"""Exporter: a schedule in, a trainer's own files out, with the mixture that the trainer will really make of them.

The mixture is held in token shares. Each exporter turns it into its trainer's unit, writes the files, and simulates
the trainer's own rule, because weights that look right can be realised wrongly: blocks too short for the smallest
language, weights that count documents, sources that may not repeat.
"""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

import numpy as np
from rich.table import Table

from glotmix.artifact import read_json, write_json, write_text
from glotmix.errors import BadInput
from glotmix.exporters.quoting import check_text
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule, Stage
from glotmix.notebook import table_html

REALISED = "realised.json"
OFF = 0.01
"""Relative error of a language's share above which it is named in ``realised.json`` and in the log."""

NAMED = 5
"""Languages named in the log line; ``realised.json`` has all."""

log = logging.getLogger("glotmix.exporters")


@dataclass(frozen=True)
class Phase:
    """Steps of the run over which one mixture holds."""

    first_step: int
    """Optimiser steps done before it."""
    steps: int
    """Its own steps, at least one."""
    mixture: Mixture
    """Token shares."""


@dataclass(frozen=True)
class ExportRequest:
    """What a trainer must be told, in glotmix's words."""

    schedule: Schedule
    """Token shares over training."""
    tokens: float
    """Training tokens D of the run; rounded to whole steps."""
    sequence_length: int
    """Tokens per sequence."""
    batch: int
    """Sequences per step, over all devices."""
    unique: Mapping[str, float]
    """Unique tokens U of each language with a share."""
    tokens_per_document: Mapping[str, float]
    """Measured tokens per document (per row of the data set) of each language with a share."""
    paths: str | Mapping[str, str] | None = None
    """Data of each language, or one template with ``{language}``; None for the exporter's own template."""
    seed: int = 0
    """Seed of the trainer's shuffling and draws."""
    assumed: tuple[str, ...] = ()
    """What stands in for numbers that nobody told, one sentence each; they lead the remarks of ``realised.json``."""

    def __post_init__(self) -> None:
        for name in ("tokens", "sequence_length", "batch"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 1):
                raise BadInput(f"{name} is {value}", where="export", expected="a number of at least 1")
        if self.seed < 0:
            raise BadInput(f"seed is {self.seed}", where="export", expected="0 or more")
        for language in self.schedule.languages:
            check_text(language, "language tag")
        for field in ("unique", "tokens_per_document"):
            for language in self.languages:
                value = getattr(self, field).get(language)
                if value is None or not (math.isfinite(value) and value > 0):
                    raise BadInput(f"{field} of {language} is {value}", where="export", expected="a number above 0")
        self.phases  # noqa: B018  a stage shorter than a step is said here

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages with a share above zero in some stage; the others are left out of the files on purpose."""
        stages = self.schedule.stages
        return tuple(name for name in self.schedule.languages if any(stage.mixture[name] > 0 for stage in stages))

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return max(1, round(self.tokens / (self.sequence_length * self.batch)))

    @property
    def sequences(self) -> int:
        """Sequences of the whole run."""
        return self.steps * self.batch

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The stages in whole steps.

        Raises:
            BadInput: a stage that covers no step.
        """
        stages = self.schedule.stages
        starts = [round(stage.start * self.steps) for stage in stages] + [self.steps]
        phases = []
        for stage, start, end in zip(stages, starts, starts[1:], strict=False):
            if end <= start:
                raise BadInput(
                    f"the stage that starts at {stage.start:g} covers no step of {self.steps}",
                    where="export schedule",
                    expected="stages of at least one step",
                )
            phases.append(Phase(start, end - start, stage.mixture))
        return tuple(phases)

    def vector(self, phase: Phase) -> np.ndarray:
        """Token shares of a phase in the order of ``languages``, [L]."""
        return phase.mixture.vector(self.languages)

    def lengths(self) -> np.ndarray:
        """Tokens per document in the order of ``languages``, [L]."""
        return np.array([self.tokens_per_document[language] for language in self.languages])

    def documents(self, phase: Phase) -> np.ndarray:
        """Shares per document that give a phase's token shares, ``q_l ∝ p_l / tokens_per_document_l``, [L]."""
        q_L = self.vector(phase) / self.lengths()
        return q_L / q_L.sum()


@dataclass(frozen=True)
class Simulation:
    """What a trainer makes of the files."""

    tokens: tuple[Mapping[str, float], ...]
    """Tokens of each language in each phase."""
    remarks: tuple[str, ...] = ()
    """What a user must know about this run: data left unused, a stream that starts over, ..."""


@dataclass(frozen=True)
class Realised:
    """What was asked for beside what the trainer will do; the content of ``realised.json``."""

    exporter: str
    """Name of the exporter."""
    target_version: str
    """Version of the trainer that the files are written for."""
    unit: str
    """What the trainer's weights count."""
    wanted: Mapping[str, float]
    """Token shares of the whole run as asked for, also of languages with share zero."""
    realised: Mapping[str, float]
    """Token shares of the whole run after simulating the trainer's rule."""
    epochs: Mapping[str, float]
    """Realised passes over each language's unique tokens."""
    relative_error: Mapping[str, float]
    """``realised / wanted − 1`` of each language with a share."""
    total_variation: float
    """Half the sum of absolute differences of the shares."""
    off: tuple[str, ...]
    """Languages whose share is off by more than 1 %."""
    phases: tuple[Mapping[str, Any], ...]
    """``{"first_step", "steps", "wanted", "realised"}`` of each phase."""
    remarks: tuple[str, ...]
    """What the simulation has to say in words."""
    files: tuple[str, ...]
    """The trainer's files beside this one."""

    def _repr_html_(self) -> str:
        """For notebooks: shares that are off by more than 1 % are tinted."""
        errors = {name: self.relative_error.get(name, 0.0) for name in self.wanted}
        rows = [
            [name, f"{share:.4%}", f"{self.realised[name]:.4%}", f"{self.epochs[name]:.3g}"]
            for name, share in self.wanted.items()
        ]
        tints = [
            [0.0, max(-1.0, min(1.0, error / 0.1)) if name in self.off else 0.0, 0.0] for name, error in errors.items()
        ]
        title = f"{self.exporter} ({self.target_version}): total variation {self.total_variation:.2g}"
        return table_html(title, ["language", "wanted", "realised", "epochs"], rows, tints)

    def to_json(self) -> dict[str, Any]:
        """A plain dict, languages before totals."""
        languages = {
            name: {
                "wanted": share,
                "realised": self.realised[name],
                "epochs": self.epochs[name],
                "relative_error": self.relative_error.get(name),
            }
            for name, share in self.wanted.items()
        }
        return {
            "exporter": self.exporter,
            "target_version": self.target_version,
            "unit": self.unit,
            "total_variation": self.total_variation,
            "off_by_more_than_1_percent": list(self.off),
            "remarks": list(self.remarks),
            "languages": languages,
            "phases": list(self.phases),
            "files": list(self.files),
        }


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
    schedule_support: ClassVar[Literal["native", "phases", "materialised"]]
    """A schedule in one run; one launch per phase; or an order written to disk."""
    notes: ClassVar[str]
    """One paragraph: what the trainer does with the files, and its traps."""
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
        """Tokens per phase and language after the trainer's own rule."""

    @abstractmethod
    def read(self, directory: Path) -> Schedule:
        """The schedule that the exported files in ``directory`` stand for, in token shares.

        Weights come from the trainer's files; ``realised.json`` tells which language a path belongs to and how long
        its documents are.
        """

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
    """Language to measured tokens per document."""

    @classmethod
    def of(cls, directory: Path) -> Record:
        """Read it from ``realised.json``."""
        data = read_json(directory / REALISED)
        try:
            made = data["made_from"]
            return cls(tuple(data["languages"]), made["paths"], made["tokens_per_document"])
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


def by_language(request: ExportRequest, count_L: np.ndarray, each: float | np.ndarray = 1.0) -> dict[str, float]:
    """``count_l × each_l`` keyed by language."""
    return dict(zip(request.languages, (np.asarray(count_L, dtype=float) * each).tolist(), strict=True))


def export(exporter: Exporter, request: ExportRequest, directory: Path) -> Realised:
    """Write the trainer's files and ``realised.json`` into ``directory``.

    Files that an earlier export left there are removed first, so that no phase of another schedule stays behind.

    Raises:
        BadInput: the trainer cannot be given this mixture (a language would be dropped, a path cannot be written, a
            stage does not fit); nothing is written then.
    """
    files = exporter.files(request)
    for name in files:
        _check_name(name)
    simulation = exporter.simulate(request)
    realised = _compare(exporter, request, simulation, tuple(files))
    _remove_earlier(directory)
    for name, text in files.items():
        write_text(directory / name, text)
        if name.endswith(".sh"):
            (directory / name).chmod(0o755)
    lengths = {language: float(request.tokens_per_document[language]) for language in request.languages}
    made_from = {"paths": exporter.paths(request), "tokens_per_document": lengths, "seed": request.seed}
    write_json(directory / REALISED, {**realised.to_json(), "made_from": made_from})
    if realised.off:
        log.warning("%s: %s", exporter.name, _off_line(realised))
    return realised


def _off_line(realised: Realised) -> str:
    """One line that names the languages that are off, the worst first."""
    worst = sorted(realised.off, key=lambda name: -abs(realised.relative_error[name]))
    named = ", ".join(f"{name} {100 * realised.relative_error[name]:+.2g} %" for name in worst[:NAMED])
    more = f" and {len(worst) - NAMED} more" if len(worst) > NAMED else ""
    return f"the trainer's rule moves the share of {named}{more}; see {REALISED}"


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


def _compare(exporter: Exporter, request: ExportRequest, simulation: Simulation, files: Sequence[str]) -> Realised:
    """Shares, epochs and errors of a simulation."""
    members = request.schedule.languages
    wanted = _weighted([(phase.steps, phase.mixture) for phase in request.phases], members)
    tokens = {name: math.fsum(phase.get(name, 0.0) for phase in simulation.tokens) for name in members}
    for phase, part in zip(request.phases, simulation.tokens, strict=True):
        if dropped := [name for name in members if phase.mixture[name] > 0 and not part.get(name, 0.0) > 0]:
            raise BadInput(
                f"{', '.join(dropped)} would get nothing in the {phase.steps} steps from step {phase.first_step}",
                where=f"export to {exporter.name}",
                expected="a longer run or stage, a greater share, or share 0 to leave the language out",
            )
    total = math.fsum(tokens.values())
    shares = {name: tokens[name] / total for name in members}
    errors = {name: shares[name] / wanted[name] - 1 for name in request.languages}
    phases = []
    for phase, part in zip(request.phases, simulation.tokens, strict=True):
        part_total = math.fsum(part.values())
        phases.append(
            {
                "first_step": phase.first_step,
                "steps": phase.steps,
                "wanted": phase.mixture.to_json(),
                "realised": {name: part.get(name, 0.0) / part_total for name in members},
            }
        )
    return Realised(
        exporter=exporter.name,
        target_version=exporter.target_version,
        unit=exporter.unit,
        wanted=wanted,
        realised=shares,
        epochs={name: tokens[name] / request.unique[name] if tokens[name] else 0.0 for name in members},
        relative_error=errors,
        total_variation=0.5 * math.fsum(abs(shares[name] - wanted[name]) for name in members),
        off=tuple(name for name in request.languages if abs(errors[name]) > OFF),
        phases=tuple(phases),
        remarks=(*request.assumed, *simulation.remarks),
        files=tuple(files),
    )


def _weighted(parts: Sequence[tuple[float, Mapping[str, float]]], members: Sequence[str]) -> dict[str, float]:
    total = math.fsum(weight for weight, _ in parts)
    return {name: math.fsum(weight * shares[name] for weight, shares in parts) / total for name in members}


def realised_table(realised: Realised) -> Table:
    """Wanted and realised shares of an export."""
    title = f"{realised.exporter} ({realised.target_version}): total variation {realised.total_variation:.2g}"
    table = Table(title=title, title_justify="left")
    for column in ("language", "wanted", "realised", "epochs"):
        table.add_column(column, justify="left" if column == "language" else "right")
    for language, share in realised.wanted.items():
        cells = f"{share:.4%}", f"{realised.realised[language]:.4%}", f"{realised.epochs[language]:.3g}"
        table.add_row(language, *cells)
    return table
