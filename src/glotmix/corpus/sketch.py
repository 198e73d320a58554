"""A census by sketch: documents, bytes and duplicates of a corpus of any size, without tokens and in a few kilobytes.

Distinct texts are estimated from the k lowest of their hashes: with the k-th lowest at ``h`` of ``2^64``, about
``(k - 1) 2^64 / h`` distinct texts were seen, with a relative standard error of ``1 / sqrt(k - 2)`` (Bar-Yossef et al.
2002, "Counting distinct elements in a data stream"). Below k distinct texts the count is exact. Sketches of parts are
merged into that of the whole, whatever the parts have in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from glotmix.corpus.document import Document
from glotmix.corpus.split import hash64

KEPT = 4096
"""Hashes kept, k: an error of 1.6 %."""


@dataclass(frozen=True)
class Sketch:
    """What is known of a corpus, or of a part of one."""

    documents: int
    """Documents read."""
    bytes: int
    """UTF-8 bytes of their text."""
    lowest: np.ndarray
    """The lowest distinct hashes of their texts, ascending, [at most k]."""

    @property
    def distinct(self) -> float:
        """Estimated number of distinct texts; exact below ``KEPT``."""
        if len(self.lowest) < KEPT:
            return float(len(self.lowest))
        return min(float(self.documents), (KEPT - 1) * 2.0**64 / float(self.lowest[-1]))

    @property
    def duplicates(self) -> float:
        """Share of the documents whose text another one has as well and that could be left out."""
        return 1 - self.distinct / self.documents if self.documents else 0.0

    def __or__(self, other: Sketch) -> Sketch:
        """The sketch of two parts together."""
        lowest = np.union1d(self.lowest, other.lowest)[:KEPT]
        return Sketch(self.documents + other.documents, self.bytes + other.bytes, lowest)

    def to_json(self) -> dict[str, Any]:
        """A JSON value, for people and programs; the hashes stay here."""
        return {
            "documents": self.documents,
            "bytes": self.bytes,
            "distinct": self.distinct,
            "duplicates": self.duplicates,
            "exact": len(self.lowest) < KEPT,
        }


def sketch(documents: Iterable[Document]) -> Sketch:
    """Read documents once."""
    count = size = 0
    fresh: list[int] = []
    lowest = np.empty(0, dtype=np.uint64)
    for document in documents:
        count += 1
        size += document.bytes
        fresh.append(hash64(document.text))
        if len(fresh) == 4 * KEPT:
            lowest, fresh = _lowest(lowest, fresh), []
    return Sketch(count, size, _lowest(lowest, fresh))


def _lowest(known: np.ndarray, fresh: list[int]) -> np.ndarray:
    return np.union1d(known, np.array(fresh, dtype=np.uint64))[:KEPT]


def sketch_table(sketches: Mapping[str, Sketch]) -> Table:
    """What a quick census found."""
    table = Table(title="Quick census", title_justify="left", caption="nothing was tokenised")
    for column in ("language", "documents", "MB", "distinct texts", "duplicates"):
        table.add_column(column, justify="left" if column == "language" else "right")
    for language, one in sketches.items():
        about = "" if one.to_json()["exact"] else "about "
        cells = f"{one.documents:,}", f"{one.bytes / 1e6:.2f}", f"{about}{one.distinct:,.0f}", f"{one.duplicates:.1%}"
        table.add_row(language, *cells)
    return table
