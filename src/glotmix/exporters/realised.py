"""What a trainer will make of its files: simulated tokens beside those asked for, stage by stage and for the run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import polars as pl
from rich.table import Table

from glotmix.errors import BadInput
from glotmix.exporters.request import ExportRequest
from glotmix.notebook import Shown, table_html

REALISED = "realised.json"
OFF = 0.01
"""Relative error of a language's share above which it is named in ``realised.json`` and in the log."""


@dataclass(frozen=True)
class Simulation:
    """What a trainer makes of the files."""

    tokens: tuple[Mapping[str, float], ...]
    """Tokens of each language trained on in each phase."""
    remarks: tuple[str, ...] = ()
    """What a user must know about this run: data left unused, a stream that starts over, ..."""


@dataclass(frozen=True, repr=False)
class Realised(Shown):
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
    """Each: ``{"first_step", "steps", "wanted", "realised", "relative_error", "off_by_more_than_1_percent"}``."""
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

    def to_polars(self) -> pl.DataFrame:
        """One row per language: ``language``, ``wanted`` and ``realised`` (shares of the run's tokens), ``epochs``
        (realised passes over its unique tokens), ``relative_error`` (null for a language without a share)."""
        columns = {
            "wanted": list(self.wanted.values()),
            "realised": [self.realised[name] for name in self.wanted],
            "epochs": [self.epochs[name] for name in self.wanted],
            "relative_error": [self.relative_error.get(name) for name in self.wanted],
        }
        table = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Float64))
        return table.insert_column(0, pl.Series("language", list(self.wanted)))

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


class Named(Protocol):
    """What a result says of its exporter."""

    name: ClassVar[str]
    target_version: ClassVar[str]
    unit: ClassVar[str]


def off_lines(realised: Realised) -> list[str]:
    """One line for each stage in which the trainer's rule moves a share by more than 1 %, with every such language."""
    lines = []
    for i, phase in enumerate(realised.phases):
        errors = phase["relative_error"]
        worst = sorted(phase["off_by_more_than_1_percent"], key=lambda name: -abs(errors[name]))
        if worst:
            last = phase["first_step"] + phase["steps"]
            where = "" if len(realised.phases) == 1 else f" in stage {i} (steps {phase['first_step']} to {last})"
            named = ", ".join(f"{name} {100 * errors[name]:+.2g} %" for name in worst)
            lines.append(f"the trainer's rule moves the share of {named}{where}; see {REALISED}")
    return lines


def compare(
    named: Named, request: ExportRequest, simulation: Simulation, files: Sequence[str], remarks: Sequence[str] = ()
) -> Realised:
    """Shares, epochs and errors of a simulation, for the run and for each stage.

    Raises:
        BadInput: a language with a share in a stage would get nothing in it.
    """
    members = request.schedule.languages
    wanted = _weighted([(phase.steps, phase.mixture) for phase in request.phases], members)
    tokens = {name: math.fsum(phase.get(name, 0.0) for phase in simulation.tokens) for name in members}
    for phase, part in zip(request.phases, simulation.tokens, strict=True):
        if dropped := [name for name in members if phase.mixture[name] > 0 and not part.get(name, 0.0) > 0]:
            raise BadInput(
                f"{', '.join(dropped)} would get nothing in the {phase.steps} steps from step {phase.first_step}",
                where=f"export to {named.name}",
                expected="a longer run or stage, a greater share, or share 0 to leave the language out",
            )
    total = math.fsum(tokens.values())
    shares = {name: tokens[name] / total for name in members}
    errors = {name: shares[name] / wanted[name] - 1 for name in request.languages}
    phases = []
    for phase, part in zip(request.phases, simulation.tokens, strict=True):
        part_total = math.fsum(part.values())
        got = {name: part.get(name, 0.0) / part_total for name in members}
        off = {name: got[name] / share - 1 for name, share in phase.mixture.items() if share > 0}
        phases.append(
            {
                "first_step": phase.first_step,
                "steps": phase.steps,
                "wanted": phase.mixture.to_json(),
                "realised": got,
                "relative_error": off,
                "off_by_more_than_1_percent": [name for name, error in off.items() if abs(error) > OFF],
            }
        )
    return Realised(
        exporter=named.name,
        target_version=named.target_version,
        unit=named.unit,
        wanted=wanted,
        realised=shares,
        epochs={name: tokens[name] / request.unique[name] if tokens[name] else 0.0 for name in members},
        relative_error=errors,
        total_variation=0.5 * math.fsum(abs(shares[name] - wanted[name]) for name in members),
        off=tuple(name for name in request.languages if abs(errors[name]) > OFF),
        phases=tuple(phases),
        remarks=(*request.assumed, *simulation.remarks, *remarks),
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
