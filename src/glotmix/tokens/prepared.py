"""Data that is tokenised already, as documents of token ids: what other trainers' own formats hold.

Counts come from headers and indices; no token is read for them. Megatron's ``.bin/.idx``, tables of ids (Parquet, or
what ``datasets`` saves to disk) and flat arrays of ids with an end after every document (OLMo's ``.npy``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from glotmix.errors import BadInput

MEGATRON_MAGIC = b"MMIDIDX\x00\x00"
MEGATRON_TYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}
"""Codes of ``megatron/core/datasets/indexed_dataset.py`` to types of ids."""
IDS = "input_ids"
"""Column of a table of ids."""
FLAT_TYPES = ("<u2", "<u4")
SCANNED = 1 << 22
"""Ids of a flat array that are looked through at once for ends."""


class PreparedFile(ABC):
    """One file, or a pair, of documents as token ids."""

    def __init__(self, path: Path, end: int):
        """
        Args:
            path: the file.
            end: id that ends a document.
        """
        self.path, self.end = path, end

    @property
    @abstractmethod
    def tokens(self) -> int:
        """Tokens in it, ends of documents included where it holds them."""

    @property
    @abstractmethod
    def documents(self) -> int | None:
        """Documents in it; None where that is only known once all ids were read."""

    @abstractmethod
    def ids(self) -> Iterator[np.ndarray]:
        """The ids of every document, in order, without its end."""

    def _without_end(self, ids_N: np.ndarray) -> np.ndarray:
        return ids_N[:-1] if len(ids_N) and ids_N[-1] == self.end else ids_N

    def counts(self) -> tuple[int, int | None]:
        """Tokens with one end for every document, and documents."""
        first = next(self.ids_as_kept(), np.empty(0, dtype=np.int64))
        ended = bool(len(first)) and int(first[-1]) == self.end
        return self.tokens + (0 if ended or self.documents is None else self.documents), self.documents

    def ids_as_kept(self) -> Iterator[np.ndarray]:
        """The ids of every document as they lie there."""
        return self.ids()


class MegatronFile(PreparedFile):
    """``<prefix>.idx`` and ``<prefix>.bin`` of Megatron-LM, its relatives and NeMo."""

    def __init__(self, path: Path, end: int):
        super().__init__(path, end)
        index = path.with_suffix(".idx")
        with index.open("rb") as file:
            head = file.read(34)
        if len(head) < 34 or head[:9] != MEGATRON_MAGIC or int.from_bytes(head[9:17], "little") != 1:
            raise BadInput("is no index of a Megatron data set", where=index, expected="MMIDIDX, version 1")
        if (kind := MEGATRON_TYPES.get(head[17])) is None:
            raise BadInput(f"ids of type {head[17]}", where=index, expected="whole numbers")
        sequences, boundaries = (int.from_bytes(head[at : at + 8], "little") for at in (18, 26))
        size, needed = index.stat().st_size, 34 + 12 * sequences + 8 * boundaries
        if size < needed or boundaries < 1:
            raise BadInput(f"{size} bytes, for {sequences} sequences", where=index, expected=f"{needed}, or more")
        self._kind = np.dtype(kind)
        self._length_S = _mapped(index, "<i4", 34, sequences)
        self._place_S = _mapped(index, "<i8", 34 + 4 * sequences, sequences)
        self._first_D = _mapped(index, "<i8", 34 + 12 * sequences, boundaries)
        there, told = path.stat().st_size, self.tokens * self._kind.itemsize
        if there != told:
            raise BadInput(f"{there} bytes", where=path, expected=f"{told}, as its index says")

    @cached_property
    def tokens(self) -> int:
        return int(self._length_S.sum(dtype=np.int64))

    @property
    def documents(self) -> int:
        return len(self._first_D) - 1

    def ids_as_kept(self) -> Iterator[np.ndarray]:
        ids_N = np.memmap(self.path, dtype=self._kind, mode="r") if self.tokens else np.empty(0, self._kind)
        width = self._kind.itemsize
        for first, behind in zip(self._first_D[:-1].tolist(), self._first_D[1:].tolist(), strict=True):
            parts = [
                ids_N[place // width : place // width + length]
                for place, length in zip(
                    self._place_S[first:behind].tolist(), self._length_S[first:behind].tolist(), strict=True
                )
            ]
            yield np.concatenate(parts) if parts else np.empty(0, self._kind)

    def ids(self) -> Iterator[np.ndarray]:
        return (self._without_end(one) for one in self.ids_as_kept())


class TableFile(PreparedFile):
    """A table with a column ``input_ids``: Parquet, or Arrow as ``datasets`` saves it."""

    @cached_property
    def _batches(self) -> pa.Table | None:
        if self.path.suffix == ".parquet":
            return None
        with pa.memory_map(str(self.path)) as source:
            try:
                return pa.ipc.open_stream(source).read_all()
            except pa.ArrowInvalid:
                return pa.ipc.open_file(source).read_all()

    def _column(self) -> Iterator[Any]:
        if self._batches is not None:
            self._checked(self._batches.schema.names)
            yield from self._batches[IDS].chunks
            return
        with pq.ParquetFile(self.path) as table:
            self._checked(table.schema_arrow.names)
            for batch in table.iter_batches(1024, columns=[IDS]):
                yield batch[IDS]

    def _checked(self, names: Sequence[str]) -> None:
        if IDS not in names:
            raise BadInput(f"no column {IDS}; it has {', '.join(names[:12])}", where=self.path, expected=IDS)

    @cached_property
    def tokens(self) -> int:
        if self._batches is not None:
            return sum(int(np.diff(chunk.offsets.to_numpy()).sum()) for chunk in self._column())
        with pq.ParquetFile(self.path) as table:
            self._checked(table.schema_arrow.names)
            names = [table.metadata.schema.column(c).path.split(".")[0] for c in range(table.metadata.num_columns)]
            column = names.index(IDS)
            groups = (table.metadata.row_group(g).column(column) for g in range(table.metadata.num_row_groups))
            return sum(group.num_values for group in groups)

    @cached_property
    def documents(self) -> int:
        if self._batches is not None:
            return int(self._batches.num_rows)
        return int(pq.read_metadata(self.path).num_rows)

    def ids_as_kept(self) -> Iterator[np.ndarray]:
        for chunk in self._column():
            ids_N, edges = chunk.flatten().to_numpy(zero_copy_only=False), chunk.offsets.to_numpy()
            edges = edges - edges[0]
            for first, behind in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
                yield ids_N[first:behind]

    def ids(self) -> Iterator[np.ndarray]:
        return (self._without_end(one) for one in self.ids_as_kept())


class FlatFile(PreparedFile):
    """Ids one after the other, two or four bytes each, with an end after every document; ``.npy`` in OLMo's sense,
    which has no header, or in numpy's, which has."""

    @cached_property
    def _ids(self) -> np.ndarray:
        with self.path.open("rb") as file:
            headed = file.read(6) == b"\x93NUMPY"
        if headed:
            try:
                found = np.load(self.path, mmap_mode="r", allow_pickle=False)
            except (ValueError, SyntaxError, TypeError, MemoryError, OSError, TokenError) as error:
                reason = str(error).partition("\n")[0][:120]
                raise BadInput(f"is no array of numpy: {reason}", where=self.path, expected="a sound .npy") from None
            if found.ndim != 1 or found.dtype.kind not in "iu":
                shape = f"an array of {found.dtype}, {found.shape}"
                raise BadInput(shape, where=self.path, expected="whole numbers, one after the other")
            return np.asarray(found)
        kind = FLAT_TYPES[self.end >= 1 << 16]
        if self.path.stat().st_size % np.dtype(kind).itemsize:
            raise BadInput("its size is no whole number of ids", where=self.path, expected=f"ids of type {kind}")
        return np.memmap(self.path, dtype=kind, mode="r") if self.path.stat().st_size else np.empty(0, kind)

    @property
    def tokens(self) -> int:
        return len(self._ids)

    @property
    def documents(self) -> None:
        return None

    def ids(self) -> Iterator[np.ndarray]:
        parts = (self._ids[start : start + SCANNED] for start in range(0, len(self._ids), SCANNED))
        return split_at_ends(parts, self.end)


def split_at_ends(parts: Iterable[np.ndarray], end: int) -> Iterator[np.ndarray]:
    """Documents that follow each other through arrays of ids, and end where the id ``end`` stands; without it."""
    kept: list[np.ndarray] = []
    for part_N in parts:
        first = 0
        for place in np.flatnonzero(part_N == end).tolist():
            yield np.concatenate([*kept, part_N[first:place]])
            kept, first = [], place + 1
        if first < len(part_N):
            kept.append(part_N[first:])
    if kept:
        yield np.concatenate(kept)


def _mapped(path: Path, kind: str, offset: int, count: int) -> np.ndarray:
    return np.memmap(path, dtype=kind, mode="r", offset=offset, shape=(count,)) if count else np.empty(0, kind)
