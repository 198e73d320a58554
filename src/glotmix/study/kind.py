"""What an experiment is to the command line: a configuration, a price, and a run that ends with a report.

A study file without ``kind`` asks for the main job (a mixture). One with ``kind: clones`` asks for the experiment of
that name, whose module holds an object ``EXPERIMENT``. Modules are imported when asked for: some need torch.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from rich.table import Table

from glotmix.config import Section, checked, read_study
from glotmix.errors import BadInput
from glotmix.study.narrator import Narrator

C = TypeVar("C", bound=Section)

KINDS = {
    "clones": "glotmix.studies.clones.kind",
    "compare": "glotmix.studies.compare.kind",
    "influence": "glotmix.studies.influence.kind",
    "posttraining": "glotmix.studies.posttraining.kind",
}
"""Kind of a study file to the module of its experiment."""


@dataclass(frozen=True)
class Price:
    """What an experiment will take, told before it is spent."""

    lines: dict[str, str]
    """What is counted ("models", "training tokens", "time here") to its amount, for people."""
    amounts: dict[str, float]
    """The same as numbers, for machines."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return dataclasses.asdict(self)

    def table(self) -> Table:
        """For a terminal."""
        table = Table(title="What it will cost", title_justify="left", show_header=False)
        for name, amount in self.lines.items():
            table.add_row(name, amount)
        return table


class Experiment(ABC, Generic[C]):
    """One kind of study file."""

    kind: ClassVar[str]
    """Its name in the file."""
    config: type[C]
    """Its fields, with ``kind`` and ``name`` among them."""

    def load(self, path: Path, *, scale: str | None = None, overrides: Sequence[str] = ()) -> C:
        """Read and check a study file of this kind.

        Raises:
            BadInput: file, field, value and what was expected.
        """
        return checked(self.config, read_study(path, scale=scale, overrides=overrides), where=path)

    @abstractmethod
    def price(self, config: C, base: Path) -> Price:
        """What it would cost; nothing is trained or written."""

    @abstractmethod
    def run(self, config: C, base: Path, directory: Path, narrator: Narrator) -> Path:
        """Do what is not done yet, and return the path of the report.

        Args:
            config: the checked study file.
            base: directory that relative paths in the file start from.
            directory: where results go.
            narrator: where progress goes.
        """


def kinds() -> tuple[str, ...]:
    """Kinds of study files beside the main job."""
    return tuple(KINDS)


def find_experiment(kind: str, *, where: object = None) -> Experiment[Any]:
    """The experiment of a study file's ``kind``.

    Args:
        kind: as in the file.
        where: the file, for messages.

    Raises:
        BadInput: no such kind.
    """
    if kind not in KINDS:
        raise BadInput(f"kind = {kind!r}", where=where, expected=" | ".join(["mixture", *KINDS]))
    found: Experiment[Any] = import_module(KINDS[kind]).EXPERIMENT
    return found
