"""Split: which documents are trained on and which are measured on, decided by each document alone.

A document is held out when the hash of its **id** falls below the share asked for. Parallel documents share their id,
so a translation of a measured text is never trained on. Within a language the second of two equal texts is dropped, and
a training text that another language holds out is dropped too, so no text is on both sides, in whatever language."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Literal

import numpy as np

from glotmix.corpus.document import Document
from glotmix.corpus.readers.reader import Part, Reader
from glotmix.reading.tally import ReadTally

Side = Literal["train", "held_out"]
SAME_TEXT = "the same text as another one"
HELD_OUT_ELSEWHERE = "held out in another language"
NEARLY_HELD_OUT = "nearly the same as a held-out text"


def hash64(text: str) -> int:
    """The first 8 bytes of BLAKE2b as a number, uniform on [0, 2^64) and the same on every machine."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def is_held_out(id: str, fraction: float) -> bool:
    """Whether the document with this id is measured on: ``hash64(id) < fraction · 2^64``.

    A larger fraction holds out the same documents and more.
    """
    return hash64(id) < fraction * 2**64


def split_documents(reader: Reader, language: str, held_out: float) -> Iterator[tuple[Document, Side]]:
    """Documents of a language with their side, exact duplicates of an earlier text left out.

    Args:
        reader: the corpus.
        language: tag of the language.
        held_out: share of documents to measure on, as :func:`is_held_out` takes it.

    The other languages of the reader are read first, for what they hold out. Memory grows by 16 to 32 bytes a document.
    Two different texts among n are taken for equal with probability about n² / 2^65: less than one in three hundred
    thousand for ten million documents.
    """
    elsewhere = HashSet()
    for other in reader.languages:
        if other != language:
            for _, side, hash in hashed_documents(reader, other, held_out):
                if side == "held_out":
                    elsewhere.add(hash)
    for document, side, hash in hashed_documents(reader, language, held_out):
        if side == "held_out" or hash not in elsewhere:
            yield document, side


def hashed_documents(
    reader: Reader, language: str, held_out: float, part: Part | None = None, tally: ReadTally | None = None
) -> Iterator[tuple[Document, Side, int]]:
    """Documents of a language, or of one part of it, with the hash of each text. Equal texts of the part are dropped;
    those of other parts and of other languages are later, when all are known."""
    seen, tally = HashSet(), ReadTally() if tally is None else tally
    whole = reader.config.is_target(language)
    for document in reader.documents(language, part, tally):
        if not seen.add(hash := hash64(document.prompt + document.text)):
            tally.drop(document.bytes, SAME_TEXT)
        else:
            yield document, "held_out" if whole or is_held_out(document.id, held_out) else "train", hash


class HashSet:
    """A set of 64-bit hashes in one array (open addressing), several times smaller than a set of Python integers."""

    def __init__(self) -> None:
        self._slots = np.zeros(1 << 10, dtype=np.uint64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, value: int) -> bool:
        slots, mask = self._slots, len(self._slots) - 1
        value = value or 1
        at = value & mask
        while held := slots.item(at):
            if held == value:
                return True
            at = (at + 1) & mask
        return False

    def add(self, value: int) -> bool:
        """Put a hash in; False when it was there already. Zero marks an empty slot, so 0 counts as 1."""
        value = value or 1
        if 2 * self._count >= len(self._slots):
            self._grow()
        slots, mask = self._slots, len(self._slots) - 1
        at = value & mask
        while held := slots.item(at):
            if held == value:
                return False
            at = (at + 1) & mask
        slots[at] = value
        self._count += 1
        return True

    def _grow(self) -> None:
        old = self._slots[self._slots > 0]
        self._slots, self._count = np.zeros(4 * len(self._slots), dtype=np.uint64), 0
        for value in old.tolist():
            self.add(value)
