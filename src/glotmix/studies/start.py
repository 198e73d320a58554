"""A study file with its kind and its directory, ready to be priced or run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glotmix.config import MOST_PROBLEMS, Section, sound_part
from glotmix.errors import BadInput, refuse
from glotmix.studies import KINDS
from glotmix.study.directory import StudyDirectory
from glotmix.study.kind import Finished, Price, StudyKind, kind_in, run_study
from glotmix.study.preflight import in_the_users_words, preflight, respelt, spellings
from glotmix.study.rehearsal import DEVICE_GB, THROUGHPUT, Rehearsal, Stages, rehearse
from glotmix.study.status import complete_in


@dataclass(frozen=True)
class StudyToRun:
    """What is to be run, and where."""

    kind: StudyKind[Any]
    """What kind of study it is."""
    config: Section
    """What it asks."""
    directory: StudyDirectory
    """Where its results go."""
    spelt: Mapping[str, str] = field(default_factory=dict)
    """Tag to the file's own spelling of the language, where that is another."""

    def problems(self) -> list[BadInput]:
        """Everything that is wrong with it, as far as that can be told before it begins."""
        found = preflight(self.kind, self.config, self.directory.base, self.directory.path)
        return [respelt(one, self.spelt) for one in found]

    def price(self) -> Price:
        """What it would cost, and what of it an earlier call has done already."""
        price = self.kind.price(self.config, self.directory.base)
        done = complete_in(self.directory.path)
        line = {"done already": f"{done} runs in {self.directory.path}, which are not trained again"} if done else {}
        return Price(price.lines | line, {**price.amounts, "complete": done}, price.stages)

    def rehearse(self, device_gb: float = DEVICE_GB, throughput: float = THROUGHPUT) -> Rehearsal:
        """Every stage at its true shapes: what it would hold on a device, how long it would take, and what is refused.

        Args:
            device_gb: memory of a device in 10⁹ bytes.
            throughput: FLOP/s that a device keeps up.
        """

        def stages() -> Stages:
            return self.kind.stages(self.kind.resolved(self.config), self.directory.base)

        return rehearse(stages, device_gb, throughput)

    def run(self) -> Finished:
        """Do what is not done yet, and write the page.

        Raises:
            BadInput: everything that is wrong with the study, before anything is trained; else as the kind says.
        """
        with in_the_users_words(self.spelt):
            return run_study(self.kind, self.config, self.directory)


def open_study(
    study: Path,
    *,
    kind: StudyKind[Any] | None = None,
    out: Path | None = None,
    scale: str | None = None,
    overrides: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
) -> StudyToRun:
    """Read a study file.

    Args:
        study: the file.
        kind: what kind it must be; default what it says.
        out: directory of its results; default ``out/<name of the file>``.
        scale: one of the file's scales.
        overrides: ``a.b=value``, as on the command line.
        changes: dotted fields to their values.

    Raises:
        BadInput: file, field, value and what was expected; where fields are wrong, what else is wrong with the study.
    """
    found = KINDS.find(kind_in(study), where=study)() if kind is None else kind
    given = [*overrides, *(f"{name}={json.dumps(value)}" for name, value in (changes or {}).items())]
    directory = StudyDirectory(out or Path("out") / study.stem, study.resolve().parent)
    data = found.read(study, scale=scale, overrides=given)
    spelt = spellings(data)
    with in_the_users_words(spelt):
        part = sound_part(found.config, data, where=study)
        if part.problems:
            others = preflight(found, part.section, directory.base, directory.path, part.lost) if part.section else []
            refuse([*part.problems[:MOST_PROBLEMS], *others])
        assert part.section is not None
        return StudyToRun(found, part.section, directory, spelt)
