"""Rows of any file that holds records, by its ending; one without a known ending by what it begins with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from glotmix.errors import BadInput
from glotmix.reading.delimited import read_csv, read_tsv
from glotmix.reading.json_values import read_json, read_json_lines
from glotmix.reading.parquet import read_parquet
from glotmix.reading.streams import COMPRESSIONS, UTF8, ReadOptions, chunks
from glotmix.reading.values import kind_of


class TextRow(NamedTuple):
    """A record of a file."""

    number: int
    """Its line, or its place among the rows, from 1."""
    place: str
    """Where it is, for messages: "es/news.jsonl:17"."""
    fields: Mapping[str, Any]
    """Names to values: text in CSV and TSV, else text, numbers, lists and objects."""


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a file."""

    fields: tuple[str, ...] | None = None
    """Fields that are read, where a format can leave others out; None is all."""
    columns: tuple[str, ...] | None = None
    """Names of the columns of CSV and TSV files that have no header."""


ALL = Wanted()
"""Every field, with the header's names."""
Found = Iterator[tuple[int, str, Any]]
FORMATS: Mapping[str, tuple[str, ...]] = {
    "jsonl": (".jsonl", ".ndjson"),
    "json": (".json",),
    "csv": (".csv",),
    "tsv": (".tsv", ".tab"),
    "parquet": (".parquet", ".pq"),
}
"""Format to the endings of its files; an ending of :data:`COMPRESSIONS` may follow (Parquet has its own inside)."""
_READ: Mapping[str, Callable[[Path, ReadOptions, Wanted], Found]] = {
    "jsonl": lambda path, options, wanted: _json_lines(path, options),
    "json": lambda path, options, wanted: read_json(path, options),
    "csv": lambda path, options, wanted: read_csv(path, options, wanted.columns),
    "tsv": lambda path, options, wanted: read_tsv(path, options, wanted.columns),
    "parquet": lambda path, options, wanted: read_parquet(path, wanted.fields),
}


def endings(formats: Sequence[str]) -> tuple[str, ...]:
    """All endings of files of some formats, compressed or not."""
    plain = [ending for name in formats for ending in FORMATS[name]]
    pressed = [
        ending + more for name in formats if name != "parquet" for ending in FORMATS[name] for more in COMPRESSIONS
    ]
    return tuple(plain + pressed)


def format_of(path: Path) -> str | None:
    """Format of a file by its ending; None where it is not known."""
    name = path.name.lower()
    return next((one for one in FORMATS if name.endswith(endings([one]))), None)


def read_rows(path: Path, options: ReadOptions = UTF8, wanted: Wanted = ALL) -> Iterator[TextRow]:
    """The rows of a file, in order.

    Raises:
        BadInput: no such file, one that is in no known format, what is not sound in its format, or a record without
            fields, with file, line and, where bytes are no text, byte offset.
    """
    if not path.is_file():
        there = "a directory" if path.is_dir() else "no such file"
        raise BadInput(there, where=path, expected=f"a file ({', '.join(endings(list(FORMATS))[:7])}, …)")
    form = format_of(path) or _format_within(path, options)
    for number, place, record in _READ[form](path, options, wanted):
        if not isinstance(record, Mapping):
            raise BadInput(f"holds {kind_of(record)}", where=place, expected="an object with fields")
        yield TextRow(number, place, record)


def _json_lines(path: Path, options: ReadOptions) -> Found:
    """JSON Lines, or an array under that name."""
    head = next((text for chunk in chunks(path, options) if (text := chunk.lstrip())), "")
    return read_json(path, options) if head.startswith("[") else read_json_lines(path, options)


def _format_within(path: Path, options: ReadOptions) -> str:
    """Format of a file by its contents."""
    with path.open("rb") as raw:
        if raw.read(4) == b"PAR1":
            return "parquet"
    head = next((text for chunk in chunks(path, options) if (text := chunk.lstrip())), "")
    if not head.startswith(("{", "[")):
        known = ", ".join(ending for forms in FORMATS.values() for ending in forms)
        raise BadInput(
            f"ends in {path.suffix!r}, which tells no format", where=path, expected=f"{known}, compressed or not"
        )
    return "jsonl"
