"""Shards of a streaming data set: files of samples, each with a table of where they begin, and one ``index.json`` that
says how all of them are written."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import IO, Any, ClassVar

import numpy as np

from glotmix.artifact import read_json
from glotmix.errors import BadInput
from glotmix.reading.streams import Bound, opened
from glotmix.tokens.prepared import PreparedFile, split_at_ends

INDEX = "index.json"
LARGEST = 1 << 32
"""A shard has fewer bytes: places in it are numbers of four bytes."""
LONGEST_NAME = 200
"""Characters in the name of a shard; file systems end somewhere beyond."""


@dataclass(frozen=True)
class Entry:
    """What an index says of one shard."""

    where: str
    """Index and field, for messages: ``web/index.json: shards[3]``."""
    shard: Mapping[str, Any]
    """Its own fields."""
    common: Mapping[str, Any]
    """Fields beside the list of shards."""
    field: str
    """Field that the shard was found by: there may be names for it compressed and as it was."""

    def wrong(self, field: str, value: object, expected: str) -> BadInput:
        """A field that cannot be so."""
        return BadInput(f"{value!r}"[:200], where=f"{self.where}.{field}", expected=expected)

    def count(self, field: str) -> int:
        """A field that is a number of bytes or of things; ``raw_data.bytes`` for one inside another.

        Raises:
            BadInput: it is none.
        """
        value: Any = self.shard
        for name in field.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < LARGEST:
            raise self.wrong(field, value, f"a whole number from 0 to {LARGEST - 1}")
        return value


class ShardFile(PreparedFile):
    """One shard: how many samples, where each begins, where the last one ends, and the samples, as ids or as text.

    A sample is a document, unless all of them are equally long: then documents follow each other through them, as the
    tools that cut text into blocks leave them, and end where the id does that ends one."""

    shards: ClassVar[str]
    """Field of the index with its shards."""

    def __init__(self, path: Path, end: int | None, text_field: str = "text"):
        """
        Args:
            path: the shard.
            end: id that ends a document; None where no tokenizer is known, and only text can be read.
            text_field: name of a text among several values of a sample.
        """
        super().__init__(path, -1 if end is None else end)
        self.entry = entry_of(path, type(self))
        self.text = self._understood(text_field, ids=end is not None)
        there, told = path.stat().st_size, self.unpacked
        if not self.compressed and there != told:
            raise BadInput(f"{there} bytes", where=path, expected=f"{told}, as {self.entry.where}")

    @classmethod
    @abstractmethod
    def names_of(cls, shard: Mapping[str, Any]) -> dict[str, object]:
        """Fields of an index that name the file of a shard, compressed and not, to the name."""

    @abstractmethod
    def _understood(self, text_field: str, *, ids: bool) -> bool:
        """Read in the index how samples are written; whether they are read as text, which they are where there are no
        ids, or nobody asks for ``ids``.

        Raises:
            BadInput: they are something else, or of a kind that runs code when it is read.
        """

    @property
    @abstractmethod
    def compressed(self) -> bool:
        """Whether the file is compressed."""

    @property
    @abstractmethod
    def samples(self) -> int:
        """Samples in it, as its index says."""

    @property
    @abstractmethod
    def unpacked(self) -> int:
        """Bytes of it, decompressed, as its index says."""

    @property
    @abstractmethod
    def sizes(self) -> np.ndarray:
        """Ids of every sample, [samples]; none of them is read where their places tell it."""

    @abstractmethod
    def _value(self, sample: bytes, number: int) -> bytes:
        """Bytes of the text of one sample."""

    @abstractmethod
    def _ids(self, sample: bytes, number: int) -> np.ndarray:
        """Ids of one sample."""

    @cached_property
    def bounds(self) -> np.ndarray:
        """Where every sample begins, and the last one ends, [samples + 1]."""
        size = 4 * (self.samples + 2)
        with self._opened() as file:
            start = file.read(min(size, self.unpacked))
        head = np.frombuffer(start[: len(start) // 4 * 4], "<u4").astype(np.int64)
        if len(head) != self.samples + 2 or head[0] != self.samples:
            told = f"of {head[0]} samples" if len(head) else "empty"
            raise BadInput(told, where=self.path, expected=f"{self.samples} samples, as {self.entry.where}")
        bounds = head[1:]
        if (np.diff(bounds) < 0).any() or bounds[0] < size or bounds[-1] != self.unpacked:
            raise BadInput(
                "its table of samples goes back, or leads out of it",
                where=self.path,
                expected=f"places from {size} to {self.unpacked}, none before the one in front of it",
            )
        return bounds

    def _opened(self) -> AbstractContextManager[IO[bytes]]:
        return opened(self.path) if self.compressed else self.path.open("rb")

    def each_sample(self) -> Iterator[tuple[int, bytes]]:
        """Every sample, with its number."""
        bounds, bound = self.bounds.tolist(), Bound(self.path)
        with self._opened() as file:
            file.read(bounds[0])
            for number, (first, behind) in enumerate(pairwise(bounds)):
                if len(sample := file.read(behind - first)) < behind - first:
                    raise BadInput(f"ends in sample {number}", where=self.path, expected=f"{self.unpacked} bytes")
                bound.take(len(sample))
                yield number, sample
            if file.read(1):
                expected = f"{self.unpacked}, as {self.entry.where}"
                raise BadInput(f"more than {self.unpacked} bytes", where=self.path, expected=expected)

    def texts(self) -> Iterator[str]:
        """The text of every sample.

        Raises:
            BadInput: bytes that are no text.
        """
        for number, sample in self.each_sample():
            try:
                yield self._value(sample, number).decode()
            except UnicodeDecodeError as error:
                raise BadInput(f"sample {number} is not valid UTF-8: {error.reason}", where=self.path) from None

    @cached_property
    def tokens(self) -> int:
        return int(self.sizes.sum())

    @cached_property
    def packed(self) -> bool:
        """Whether documents follow each other through equally long samples."""
        sizes = self.sizes
        if len(sizes) == 1:
            return bool((next(self.ids_as_kept())[:-1] == self.end).any())
        return len(sizes) > 1 and bool((sizes == sizes[0]).all())

    @property
    def documents(self) -> int | None:
        return None if self.packed else self.samples

    def ids_as_kept(self) -> Iterator[np.ndarray]:
        sizes = self.sizes
        for number, sample in self.each_sample():
            ids_N = self._ids(sample, number)
            if len(ids_N) != sizes[number]:
                raise BadInput(f"sample {number} holds {len(ids_N)} ids", where=self.path, expected=str(sizes[number]))
            if len(ids_N) and int(ids_N.min()) < 0:
                raise BadInput(
                    f"sample {number} holds the id {int(ids_N.min())}", where=self.path, expected="0 or more"
                )
            yield ids_N

    def ids(self) -> Iterator[np.ndarray]:
        if not self.packed:
            return (self._without_end(one) for one in self.ids_as_kept())
        return split_at_ends(self._blocks(), self.end)

    def _blocks(self) -> Iterator[np.ndarray]:
        """Samples that documents run through; an end must be somewhere, as nothing else tells these apart."""
        ended = False
        for ids_N in self.ids_as_kept():
            ended = ended or bool((ids_N == self.end).any())
            yield ids_N
        if not ended:
            raise BadInput(
                f"all {self.samples} samples have {self.sizes[0]} ids, and none of these is {self.end}, with which the "
                "tokenizer ends a document",
                where=self.path,
                expected="the tokenizer that made them, documents with an end, or one document in a sample",
            )


def entry_of(path: Path, kind: type[ShardFile]) -> Entry:
    """What the index in the folder of a shard, or in the one above, says of it.

    Raises:
        BadInput: no index, one that is none, does not know the shard, or knows some that are not there.
    """
    for folder in (path.parent, path.parent.parent):
        if (index := folder / INDEX).is_file():
            status = index.stat()
            known = _entries(index, kind, status.st_size, status.st_mtime_ns)
            if (found := known.get(path.relative_to(folder).as_posix())) is not None:
                return found
            raise BadInput("stands in no index", where=path, expected=f"a file that {index} names")
    raise BadInput(f"no {INDEX}", where=path.parent, expected=f"the index that was written with {path.name}")


@lru_cache(maxsize=16)
def _entries(index: Path, kind: type[ShardFile], size: int, changed: int) -> dict[str, Entry]:
    """File name to what an index says of it; size and date, so that it is read again once it has changed."""
    value = read_json(index)
    shards = value.get(kind.shards) if isinstance(value, dict) else None
    if not isinstance(shards, list) or not all(isinstance(one, dict) for one in shards):
        raise BadInput("is no list of shards", where=f"{index}: {kind.shards}", expected="the index of a data set")
    common = {key: one for key, one in value.items() if key != kind.shards}
    found: dict[str, Entry] = {}
    for number, shard in enumerate(shards):
        where, named = f"{index}: {kind.shards}[{number}]", kind.names_of(shard)
        there = []
        for field, name in named.items():
            entry = Entry(where, shard, common, field)
            if not isinstance(name, str) or not _stays(name):
                raise entry.wrong(field, name, "the name of a file in the folder of the index")
            if name in found:
                raise entry.wrong(field, name, "a shard once; it stands there twice")
            found[name] = entry
            there.append((index.parent / name).is_file())
        if not any(there):
            told = " nor ".join(str(name) for name in named.values())
            raise BadInput(f"no file {told}", where=where, expected=f"all {len(shards)} shards that were written")
    return found


def _stays(name: str) -> bool:
    """Whether a name is that of a file in the folder, or in a folder in it."""
    parts = PurePosixPath(name).parts
    named = 1 <= len(parts) <= 2 and len(name) <= LONGEST_NAME and not {"\\", "\0"} & set(name)
    return named and not {"..", "/"} & set(parts)
