"""A census by sketch: documents, bytes and duplicates of a corpus of any size, without tokens and in a few kilobytes.

Distinct texts are estimated from the k lowest of their hashes: with the k-th lowest at ``h`` of ``2^64``, about
``(k - 1) 2^64 / h`` distinct texts were seen, with a relative standard error of ``1 / sqrt(k - 2)`` (Bar-Yossef et al.
2002, "Counting distinct elements in a data stream"). Below k distinct texts the count is exact. Sketches of parts are
merged into that of the whole, whatever the parts have in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from rich.table import Table

from glotmix.corpus.census import megabytes, overlap_tables, reasons
from glotmix.corpus.document import Document
from glotmix.corpus.overlap import TextOverlap
from glotmix.corpus.readers.reader import Reader, remarks
from glotmix.corpus.split import hash64
from glotmix.errors import BadInput, refuse
from glotmix.progress import Advance
from glotmix.reading.tally import ReadTally
from glotmix.tables import by_group

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
        if self.exact:
            return float(len(self.lowest))
        return min(float(self.documents), (KEPT - 1) * 2.0**64 / float(self.lowest[-1]))

    @property
    def exact(self) -> bool:
        """Whether nothing is estimated."""
        return len(self.lowest) < KEPT

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
            "exact": self.exact,
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


@dataclass(frozen=True)
class QuickCensus:
    """What a quick census found."""

    sketches: Mapping[str, Sketch]
    """Language to sketch."""
    tallies: Mapping[str, ReadTally]
    """Language to what was read and what was left out."""
    remarks: tuple[str, ...] = ()
    """What lies beside the corpus and is not read."""
    counted: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    """Language to tokens and documents (None where unknown), where its data is tokenised already: it was not read."""

    def overlap(self) -> TextOverlap:
        """What languages have in common, by their sketches; exact where all of these are."""
        texts = {name: round(one.distinct) for name, one in self.sketches.items()}
        shared: dict[str, dict[str, int]] = {}
        for one, other in combinations(self.sketches, 2):
            if count := _shared(self.sketches[one], self.sketches[other]):
                shared.setdefault(one, {})[other] = shared.setdefault(other, {})[one] = count
        return TextOverlap(texts, shared, {})

    def to_json(self) -> dict[str, Any]:
        """A JSON value: language to counts."""
        read = {name: one.to_json() | self.tallies[name].to_json() for name, one in self.sketches.items()}
        return read | {name: {"tokens": n, "documents": count} for name, (n, count) in self.counted.items()}

    def tables(self) -> list[Table | str]:
        """For a terminal of 80 characters."""
        names = list(self.sketches)
        found = [(self.tallies[name], self.sketches[name]) for name in names]
        asked = {f"in {name}" for name in names}
        columns = [
            ("documents", [f"{one.documents:,}" for _, one in found]),
            ("MB", [megabytes(one.bytes) for _, one in found]),
            ("distinct", [f"{'' if one.exact else 'about '}{one.distinct:,.0f}" for _, one in found]),
            ("duplicates", [f"{one.duplicates:.1%}" for _, one in found]),
            ("files", [f"{tally.files:,}" for tally, _ in found]),
            ("rows", [f"{tally.rows:,}" for tally, _ in found]),
            *reasons([[(why, n) for why, n in tally.left_out.most_common() if why not in asked] for tally, _ in found]),
        ]
        overlap = self.overlap()
        tables = by_group("Quick census; nothing was tokenised", names, columns) if names else []
        tables += overlap_tables(overlap) if overlap.shared else []
        if self.counted:
            sizes = list(self.counted.values())
            counts = (
                ("documents", ["–" if count is None else f"{count:,}" for _, count in sizes]),
                ("tokens", [f"{tokens:,}" for tokens, _ in sizes]),
            )
            tables += by_group("Tokenised already: counted by its index, nothing was read", list(self.counted), counts)
        return [*tables, *self.remarks]


def quick_census(reader: Reader, languages: Sequence[str], progress: Advance) -> QuickCensus:
    """Read every language once; nothing is tokenised.

    Raises:
        BadInput: what cannot be read of all languages.
    """
    found, tallies, problems = {}, {language: ReadTally() for language in languages}, []
    counted = {}
    for number, language in enumerate(languages):
        progress(f"Reading {language}", number, len(languages))
        try:
            if (count := reader.counted(language)) is not None:
                counted[language] = count
                continue
            found[language] = sketch(reader.documents(language, tally=tallies[language]))
        except BadInput as error:
            problems.append(error)
    refuse(problems)
    return QuickCensus(found, tallies, remarks(reader), counted)


def _shared(one: Sketch, other: Sketch) -> int:
    """Texts that two sketches have in common: the share among the lowest hashes of both, times the texts of both."""
    common = np.intersect1d(one.lowest, other.lowest, assume_unique=True)
    if one.exact and other.exact:
        return len(common)
    both = one | other
    return round(float(np.isin(both.lowest, common).mean()) * both.distinct)
