"""Joining: the pieces of a language become its flat files, the same whether it was one piece or a thousand.

A document whose text an earlier piece had is dropped, and so is a training document whose text another language holds
out; the held-out documents are those with the lowest hashes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from glotmix.corpus.near import NearHeldOut, near_held_out
from glotmix.corpus.split import HELD_OUT_ELSEWHERE, NEARLY_HELD_OUT, SAME_TEXT
from glotmix.reading.tally import ReadTally
from glotmix.source import file_stem

NOT_MEASURED = "held out beyond tokens.held_out_tokens"
JOIN_ROWS = 1 << 16
"""Rows of an index that are joined at once."""
COPY_BYTES = 1 << 22

INDEX = pa.schema([("id", pa.string()), *[(name, pa.int64()) for name in ("offset", "length", "bytes", "words")]])
"""Columns of a store's index; where held-out documents have prompts, ``prompt`` tells the tokens of theirs."""
PROMPTED = INDEX.append(pa.field("prompt", pa.int64()))
"""The same with ``prompt``."""


def join(
    folder: Path,
    language: str,
    pieces: Sequence[Path],
    held_out_tokens: int,
    dtype: str,
    elsewhere: np.ndarray,
    tally: ReadTally,
    near: Sequence[np.ndarray] | None = None,
) -> dict[str, dict[str, int]]:
    """Write ``<language>.<side>.bin`` and ``.parquet`` of both sides from the pieces of a language; their totals.

    Args:
        folder: where they go.
        language: tag.
        pieces: directories of the pieces, in order.
        held_out_tokens: most tokens that are measured on.
        dtype: type of the ids.
        elsewhere: hashes of texts that another language holds out, sorted: no training text is one of them.
        tally: counts what the language's pieces read; what is left out here is counted out.
        near: for every piece, which training documents are nearly a held-out text, booleans; None for none.

    Memory grows by 8 bytes a document, and by some 24 more where there are several pieces.
    """
    width = np.dtype(dtype).itemsize
    kept = _kept(pieces, elsewhere, tally, near)
    lowest = _Lowest(held_out_tokens)
    totals = {"train": dict.fromkeys(("documents", "tokens", "bytes", "words"), 0)}
    stem = folder / f"{file_stem(language)}.train"
    with open(f"{stem}.bin", "wb") as out, pq.ParquetWriter(f"{stem}.parquet", INDEX) as index:
        for piece, keep in zip(pieces, kept, strict=True):
            at = {False: 0, True: 0}  # tokens of the piece behind us, by side
            row = 0
            with open(piece / "train.bin", "rb") as source, pq.ParquetFile(piece / "documents.parquet") as documents:
                for batch in documents.iter_batches(JOIN_ROWS):
                    rows = _Rows(batch, keep[row : row + len(batch)])
                    row += len(batch)
                    for start, stop in rows.runs(at[False]):
                        _copy(source, out, start * width, stop * width)
                    index.write_table(rows.train(totals["train"]))
                    lowest.offer(piece, rows, at[True])
                    for side in at:
                        at[side] += int(rows.length[rows.held == side].sum())
    held = totals["held_out"] = _write_held_out(folder / f"{file_stem(language)}.held_out", lowest.fitting(), dtype)
    tally.drop(lowest.bytes - held["bytes"], NOT_MEASURED, lowest.documents - held["documents"])
    return totals


def hashes_of(pieces: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of all texts of some pieces, and of those that are held out."""
    hash_N = np.concatenate([_column(piece, "text_hash") for piece in pieces])
    held_N = np.concatenate([_column(piece, "held_out") for piece in pieces]).astype(bool)
    return hash_N, hash_N[held_N]


def nearly_held_out(pieces: Mapping[str, Sequence[Path]], threshold: float) -> NearHeldOut:
    """Training documents of any language that are nearly a held-out one of any.

    Args:
        pieces: language to the directories of its pieces, in order.
        threshold: ``corpus.near_duplicates``.
    """
    held = {name: [_column(piece, "held_out").astype(bool) for piece in own] for name, own in pieces.items()}
    measured = {
        name: (
            one
            for piece, held_N in zip(own, held[name], strict=True)
            for one, is_held in zip(_signatures(piece), held_N.tolist(), strict=True)
            if is_held
        )
        for name, own in pieces.items()
    }
    parts = {
        name: [(~held_N, _signatures(piece)) for piece, held_N in zip(own, held[name], strict=True)]
        for name, own in pieces.items()
    }
    return near_held_out(measured, parts, threshold)


def _signatures(piece: Path) -> Iterator[np.ndarray]:
    with pq.ParquetFile(piece / "documents.parquet") as documents:
        for batch in documents.iter_batches(1024, columns=["signature"]):
            for raw in batch["signature"].to_pylist():
                yield np.frombuffer(raw, dtype="<u4")


def _kept(
    pieces: Sequence[Path], elsewhere: np.ndarray, tally: ReadTally, near: Sequence[np.ndarray] | None
) -> list[np.ndarray]:
    """For every piece, which of its documents stay."""
    hashes = [_column(piece, "text_hash") for piece in pieces]
    kept = _first_of_equals(hashes)
    for piece, hash_N, keep_N in zip(pieces, hashes, kept, strict=True):
        there_N = np.isin(hash_N, elsewhere)
        leak_N = keep_N & there_N & ~_column(piece, "held_out").astype(bool) if there_N.any() else there_N
        if leak_N.any() or not keep_N.all():
            bytes_N = _column(piece, "bytes")
            tally.drop(int(bytes_N[~keep_N].sum()), SAME_TEXT, int((~keep_N).sum()))
            tally.drop(int(bytes_N[leak_N].sum()), HELD_OUT_ELSEWHERE, int(leak_N.sum()))
        keep_N &= ~leak_N
    for piece, keep_N, near_N in zip(pieces, kept, near or (), strict=near is not None):
        near_N = near_N & keep_N
        tally.drop(int(_column(piece, "bytes")[near_N].sum()), NEARLY_HELD_OUT, int(near_N.sum()))
        keep_N &= ~near_N
    return kept


def _column(piece: Path, name: str) -> np.ndarray:
    with pq.ParquetFile(piece / "documents.parquet") as documents:
        return np.asarray(documents.read(columns=[name])[name].to_numpy())


def _first_of_equals(hashes: list[np.ndarray]) -> list[np.ndarray]:
    """For every piece, which of its documents have a text that no earlier piece has."""
    if len(hashes) == 1:
        return [np.ones(len(hashes[0]), dtype=bool)]
    first = np.zeros(sum(map(len, hashes)), dtype=bool)
    first[np.unique(np.concatenate(hashes), return_index=True)[1]] = True
    return np.split(first, np.cumsum([len(one) for one in hashes])[:-1])


class _Rows:
    """Some rows of a piece's index as arrays."""

    def __init__(self, batch: pa.RecordBatch, keep: np.ndarray):
        self.batch, self.keep = batch, keep
        self.names = batch.schema.names
        self.held = batch["held_out"].to_numpy(zero_copy_only=False)
        self.length = batch["length"].to_numpy()

    def runs(self, start: int) -> Iterator[tuple[int, int]]:
        """Tokens of ``train.bin`` that are kept, as intervals; the first row's begin at ``start``."""
        ends = start + np.cumsum(self.length[~self.held])
        starts = ends - self.length[~self.held]
        edges = np.flatnonzero(np.diff(np.concatenate([[False], self.keep[~self.held], [False]]).astype(np.int8)))
        for first, behind in edges.reshape(-1, 2).tolist():
            yield int(starts[first]), int(ends[behind - 1])

    def train(self, totals: dict[str, int]) -> pa.Table:
        """Rows of the store's index; ``totals`` grow by them."""
        chosen = pa.array(self.keep & ~self.held)
        rows = pa.Table.from_batches([self.batch]).filter(chosen)
        length = rows["length"].to_numpy()
        rows = rows.append_column("offset", pa.array(totals["tokens"] + np.cumsum(length) - length, pa.int64()))
        totals["documents"] += len(rows)
        for total, name in (("tokens", "length"), ("bytes", "bytes"), ("words", "words")):
            totals[total] += int(rows[name].to_numpy().sum())
        return rows.select(INDEX.names)


@dataclass(frozen=True, order=True)
class _Measured:
    """A held-out document; the order is that in which they are taken."""

    id_hash: int
    arrival: int
    length: int
    piece: Path
    offset: int
    id: str
    bytes: int
    words: int
    prompt: int | None = None


class _Lowest:
    """The held-out documents with the lowest hashes of their ids: the same as of one stream, whatever the pieces."""

    def __init__(self, tokens: int):
        self._tokens, self._found, self._arrivals = tokens, list[_Measured](), 0
        self.documents = self.bytes = 0
        """Held-out documents that were offered, and their bytes."""

    def offer(self, piece: Path, rows: _Rows, start: int) -> None:
        """The held-out documents among some rows, whose tokens begin at ``start`` in the piece's ``held_out.bin``."""
        held = np.flatnonzero(rows.held)
        offsets = start + np.cumsum(rows.length[held]) - rows.length[held]
        place = dict(zip(held.tolist(), offsets.tolist(), strict=True))
        chosen = np.flatnonzero(rows.held & rows.keep)
        self.documents += len(chosen)
        self.bytes += int(rows.batch["bytes"].to_numpy()[chosen].sum())
        hashes = rows.batch["id_hash"].to_numpy()
        chosen = chosen[np.argsort(hashes[chosen], kind="stable")]
        enough = int(np.searchsorted(np.cumsum(rows.length[chosen]), self._tokens)) + 1
        for row in chosen[:enough].tolist():
            names = [name for name in ("id_hash", "length", "id", "bytes", "words", "prompt") if name in rows.names]
            one = {name: rows.batch[name][row].as_py() for name in names}
            self._found.append(_Measured(arrival=self._arrivals + row, piece=piece, offset=place[row], **one))
        self._arrivals += len(rows.batch)
        self._found.sort()
        total = 0
        for number, document in enumerate(self._found):
            total += document.length
            if total >= self._tokens:
                del self._found[number + 1 :]
                break

    def fitting(self) -> Iterator[_Measured]:
        """Documents in order while they fit into the limit; the first one always, whole, whatever its length."""
        taken = 0
        for document in self._found:
            if not taken or taken + document.length <= self._tokens:
                taken += document.length
                yield document


def _write_held_out(stem: Path, documents: Iterator[_Measured], dtype: str) -> dict[str, int]:
    totals = dict.fromkeys(("documents", "tokens", "bytes", "words"), 0)
    width = np.dtype(dtype).itemsize
    rows: list[dict[str, Any]] = []
    with open(f"{stem}.bin", "wb") as out:
        for one in documents:
            with open(one.piece / "held_out.bin", "rb") as source:
                _copy(source, out, one.offset * width, (one.offset + one.length) * width)
            rows.append(
                {"id": one.id, "offset": totals["tokens"], "length": one.length}
                | {"bytes": one.bytes, "words": one.words}
                | ({} if one.prompt is None else {"prompt": one.prompt})
            )
            totals["documents"] += 1
            totals["tokens"] += one.length
            totals["bytes"] += one.bytes
            totals["words"] += one.words
    schema = PROMPTED if rows and "prompt" in rows[0] else INDEX
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), f"{stem}.parquet")
    return totals


def _copy(source: BinaryIO, out: BinaryIO, start: int, stop: int) -> None:
    source.seek(start)
    while start < stop:
        block = source.read(min(COPY_BYTES, stop - start))
        out.write(block)
        start += len(block)
