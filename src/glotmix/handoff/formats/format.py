"""The interface to a format of results: is this file yours, and what does it say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from glotmix.errors import BadInput
from glotmix.handoff.asked import About, AskedRun
from glotmix.handoff.results import Reported, run_in_path

HEAD = 4096
"""Bytes by which a file is recognised."""
MOST_BYTES = 1 << 28
"""A trainer's log of one run has megabytes; what is larger is no result."""


@dataclass(frozen=True)
class Found:
    """A file that may hold results."""

    path: Path
    """Where it lies."""
    shown: str
    """Its path below the folder of results, with forward slashes, for messages."""
    asked: Mapping[str, AskedRun]
    """Runs that were handed off, by full name."""
    about: About
    """Sources, targets and units."""

    @property
    def head(self) -> str:
        """Its first bytes as text."""
        with open(self.path, "rb") as file:
            return file.read(HEAD).decode("utf-8", "replace")

    def text(self) -> str:
        """All of it.

        Raises:
            BadInput: it is no text, or larger than any result.
        """
        if (size := self.path.stat().st_size) > MOST_BYTES:
            raise BadInput(f"{size} bytes", where=self.shown, expected=f"at most {MOST_BYTES}")
        try:
            return self.path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise BadInput(f"byte {error.start} is not UTF-8", where=self.shown) from None

    def run(self) -> str:
        """The run that its path names.

        Raises:
            BadInput: none.
        """
        found = run_in_path(self.shown, self.asked)
        if found is None:
            raise BadInput("no run's name in its path", where=self.shown, expected="RUN.CHECKSUM/... below results/")
        return found


class ResultFormat(ABC):
    """One format. Final, and without state."""

    title: ClassVar[str]
    """What it is, for people."""

    @abstractmethod
    def knows(self, found: Found) -> bool:
        """Whether the file is of this format, by its name and its beginning."""

    @abstractmethod
    def read(self, found: Found) -> Iterator[Reported]:
        """What it says, in any order.

        Raises:
            BadInput: it cannot be read.
        """


def number_in(value: object, what: str, where: str) -> float | None:
    """A number of a result; None where there is none.

    Raises:
        BadInput: something else.
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise BadInput(f"{what} is {value!r}", where=where, expected="a number")
    try:
        return float(value)
    except ValueError:
        raise BadInput(f"{what} is {value!r}", where=where, expected="a number") from None
