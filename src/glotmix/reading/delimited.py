"""CSV and TSV: a row of text per record; nothing is guessed, every value is the text that stands there.

CSV is read as RFC 4180 has it: a field may be quoted, and then hold commas, line ends and doubled quotes. In TSV a
quote is a letter (Common Voice, MGSM: ``"Ven", dijo``), unless the file is sound under RFC 4180 and only under it, or
is sound as both and either its header is quoted or every quoted field holds a doubled quote (or a carriage return)."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from glotmix.errors import BadInput
from glotmix.reading import streams
from glotmix.reading.streams import UTF8, ReadOptions, lines, raw_lines

SEPARATORS = ",;\t"
"""Of a file called .csv: the first of them that its header has."""
_FIELD = re.compile(r'("[^"]*(?:""[^"]*)*"|[^\t"]*)(\t|\Z)')
csv.field_size_limit(max(csv.field_size_limit(), streams.MAX_LINE_BYTES))

Record = tuple[int, str, dict[str, str]]


def read_csv(path: Path, options: ReadOptions = UTF8, columns: Sequence[str] | None = None) -> Iterator[Record]:
    """Number of the line, place and fields of every record; blank lines are none.

    Args:
        path: the file; the separator is a comma, else a semicolon or a tab, whichever the header has.
        options: how its bytes become text.
        columns: names of its columns, for a file that has no header.

    Raises:
        BadInput: a quote that is not closed, a record with more or fewer fields than columns, a column listed twice,
            with file and line; as :func:`glotmix.reading.streams.raw_lines`.
    """
    first = next((line for _, line in lines(path, options)), "")
    separator = next((one for one in SEPARATORS if one in first), ",")
    told = re.fullmatch(r"sep=(.)", first.strip())  # what Excel writes above the header
    records = _quoted(path, options, told[1] if told else separator)
    if told:
        next(records)
    yield from _named(path, records, columns)


def read_tsv(path: Path, options: ReadOptions = UTF8, columns: Sequence[str] | None = None) -> Iterator[Record]:
    """As :func:`read_csv`, separated by tabs."""
    quoted = _is_quoted(path, options)
    yield from _named(path, _quoted(path, options, "\t") if quoted else _letters(path, options), columns)


def _letters(path: Path, options: ReadOptions) -> Iterator[tuple[int, list[str]]]:
    for number, line in lines(path, options):
        yield number, line.split("\t")


def _quoted(path: Path, options: ReadOptions, separator: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader((line for _, line in raw_lines(path, options)), delimiter=separator, strict=True)
    start = 1
    try:
        while (record := next(reader, None)) is not None:
            yield start, record
            start = reader.line_num + 1
    except csv.Error as error:
        reason = "a quote is not closed" if "end of data" in str(error) else str(error)
        expected = "RFC 4180: a field with a quote in it is quoted, and the quote doubled"
        raise BadInput(f"not valid CSV: {reason}", where=f"{path}:{start}", expected=expected) from None


def _named(path: Path, records: Iterator[tuple[int, list[str]]], columns: Sequence[str] | None) -> Iterator[Record]:
    names: list[str] = []
    for number, record in records:
        if not record or record == [""]:
            continue
        place = f"{path}:{number}"
        if not names:
            names = _header(record, place) if columns is None else list(columns)
            if columns is None or [field.strip().lower() for field in record] == names:  # it has a header after all
                continue
        if len(record) != len(names):
            raise BadInput(f"{len(record)} columns", where=place, expected=f"{len(names)}: {', '.join(names)}")
        yield number, place, dict(zip(names, record, strict=True))


def _header(record: list[str], place: str) -> list[str]:
    names = [name.strip() for name in record]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadInput(f"column {twice!r} is listed twice", where=place, expected="every column once")
    return names


def _is_quoted(path: Path, options: ReadOptions) -> bool:
    """Whether a file with tabs is quoted as RFC 4180 has it: see the head of this module."""
    record, columns = "", 0
    by_letters, header, needed, quotes = True, False, True, 0
    for _, line in lines(path, options):
        by_letters = by_letters and (not line or not columns or line.count("\t") + 1 == columns)
        record = f"{record}\n{line}" if record else line
        if record.count('"') % 2 and len(record) <= streams.MAX_LINE_BYTES:
            continue  # a quote is open
        fields = _fields(record) if '"' in record else record.split("\t")
        if fields is None or (columns and record and len(fields) != columns):
            return False
        quoted = [field for field in fields if field.startswith('"')]
        quotes += len(quoted)
        needed = needed and all(re.search(r'""|\r', field[1:-1]) and "\n" not in field for field in quoted)
        if not columns and record:
            columns, header = len(fields), len(quoted) == len(fields)
        record = ""
    return not record and quotes > 0 and (header or needed or not by_letters)


def _fields(record: str) -> list[str] | None:
    """Fields of a record by RFC 4180, as they stand there; None where it is none."""
    fields, at = [], 0
    while match := _FIELD.match(record, at):
        fields.append(match[1])
        at = match.end()
        if not match[2]:
            return fields
    return None
