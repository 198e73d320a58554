"""Tally: what was read of a corpus and what was not, and why, so that nothing is lost in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_KINDS = 1000
"""Different labels and reasons that are counted apart; the rest are counted as others."""
OTHERS = "others"


@dataclass
class ReadTally:
    """Counts of one language, or of a part of it. ``rows`` is ``read`` and all of ``left_out`` together."""

    files: int = 0
    """Files that were opened."""
    bytes: int = 0
    """UTF-8 bytes of the text that was read."""
    rows: int = 0
    """Rows (or documents, where a file is one) that were found."""
    read: int = 0
    """Rows that became documents."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Why rows became none → how many."""
    labels: Counter[str] = field(default_factory=Counter)
    """Label as it stands in the rows of this language → rows; empty where files say the language."""

    def leave_out(self, reason: str) -> None:
        """Count a row that was found and not read."""
        self.rows += 1
        _count(self.left_out, reason)

    def take(self, size: int, label: str | None = None) -> None:
        """Count a row that was read, of ``size`` bytes."""
        self.rows += 1
        self.read += 1
        self.bytes += size
        if label is not None:
            _count(self.labels, label)

    def drop(self, size: int, reason: str, rows: int = 1) -> None:
        """Count rows out that were counted as read, ``size`` bytes in all."""
        self.read -= rows
        self.bytes -= size
        _count(self.left_out, reason, rows)

    def add(self, other: ReadTally) -> None:
        """Count another part in."""
        self.files += other.files
        self.bytes += other.bytes
        self.rows += other.rows
        self.read += other.read
        self.left_out.update(other.left_out)
        self.labels.update(other.labels)

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        counts = {name: getattr(self, name) for name in ("files", "bytes", "rows", "read")}
        return counts | {"left_out": dict(self.left_out), "labels": dict(self.labels)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ReadTally:
        """What :meth:`to_json` gave."""
        return cls(**{**value, "left_out": Counter(value["left_out"]), "labels": Counter(value["labels"])})


def _count(counts: Counter[str], name: str, rows: int = 1) -> None:
    if rows:
        counts[name if name in counts or len(counts) < MOST_KINDS else OTHERS] += rows
