"""Tables as people have them: CSV in any locale, TSV, Parquet; columns by name, cells as text or numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from glotmix.errors import BadInput

MAX_TABLE_BYTES = 1 << 30
MAX_TABLE_ROWS = 10_000_000
"""A table of runs has thousands of rows; what is larger is a mistake or an attack."""
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""What may stand between columns."""
MISSING = frozenset({"", "nan", "na", "n/a", "#n/a", "null", "none", "nil", "-", "--", "."})
"""Cells that say that there is no number, in lower case."""
COMMA = r"^[+-]?\d*,\d+(?:[eE][+-]?\d+)?\s*%?$"
POINT = r"^[+-]?\d*\.\d+(?:[eE][+-]?\d+)?\s*%?$"
THOUSANDS = r"^[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?$"


UNREADABLE = (
    pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException, OSError, ValueError,
)  # fmt: skip
"""What the readers raise on a file that is no table."""


@dataclass(frozen=True)
class Numbers:
    """A column as numbers."""

    value_R: np.ndarray
    """Values; NaN where a cell is missing or no number."""
    bad_R: np.ndarray
    """Cells that are neither a number nor missing."""
    percent: bool
    """Whether cells end in a percent sign (their values are as written: 12 for "12 %")."""


@dataclass(frozen=True)
class Table:
    """One table and how its numbers are written."""

    frame: pl.DataFrame
    """Cells; text unless the file has types. No two columns have one name, and no name has blanks around it."""
    where: str
    """The file."""
    decimal_comma: bool = False
    """Whether decimals follow a comma."""
    remarks: tuple[str, ...] = ()
    """What was recognised and is not as in most tables."""

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return self.frame.columns

    def cell(self, row: int, column: str) -> object:
        """One cell as it stands there."""
        return self.frame[column][row]

    def texts(self, column: str) -> list[str | None]:
        """Cells as text, None for an empty one."""
        cells = [None if cell is None else str(cell).strip() for cell in self.frame[column].to_list()]
        return [cell or None for cell in cells]

    def numbers(self, column: str) -> Numbers:
        """Cells as numbers."""
        cells = self.frame[column]
        if not (cells.dtype == pl.String or cells.dtype == pl.Categorical):
            numbers = cells.cast(pl.Float64, strict=False)
            value_R = numbers.fill_null(float("nan")).to_numpy().astype(float)
            return Numbers(value_R, (numbers.is_null() & cells.is_not_null()).to_numpy(), False)
        plain = cells.cast(pl.Float64, strict=False)
        if not self.decimal_comma and plain.null_count() == cells.null_count():  # most columns: numbers, and no more
            return Numbers(plain.fill_null(float("nan")).to_numpy().astype(float), np.zeros(len(cells), bool), False)
        text = cells.cast(pl.String).str.strip_chars().fill_null("")
        percent = bool(text.str.ends_with("%").any())
        plain = text.str.strip_suffix("%").str.strip_chars().str.replace_all(r"(\d)_(\d)", "${1}${2}")
        if self.decimal_comma:
            plain = _without(plain, ".", r"^[+-]?\d{1,3}(?:\.\d{3})+(?:,\d+)?$").str.replace_all(",", ".", literal=True)
        else:
            plain = _without(plain, ",", THOUSANDS)
        missing_R = plain.str.to_lowercase().is_in(list(MISSING)).to_numpy()
        numbers = plain.cast(pl.Float64, strict=False)
        value_R = numbers.fill_null(float("nan")).to_numpy().astype(float)
        return Numbers(np.where(missing_R, np.nan, value_R), numbers.is_null().to_numpy() & ~missing_R, percent)

    def is_numeric(self, column: str) -> bool:
        """Whether every cell is a number or missing, and one at least is a number."""
        found = self.numbers(column)
        return bool(not found.bad_R.any() and np.isfinite(found.value_R).any())


def _without(text: pl.Series, sign: str, pattern: str) -> pl.Series:
    """A sign that parts thousands taken away from the cells that are written so."""
    plain = text.str.replace_all(sign, "", literal=True)
    return pl.select(pl.when(text.str.contains(pattern)).then(plain).otherwise(text)).to_series()


def open_table(path: Path) -> Table:
    """A CSV (any usual separator), TSV or Parquet file; its size is bounded.

    The separator of a text file is the one that its header shows, decimals may follow a comma; both are told.

    Raises:
        BadInput: it is none of these, larger than any table of runs, two columns have one name, or numbers are written
            in two ways.
    """
    if not path.is_file():
        raise BadInput("no such file", where=path)
    if (size := path.stat().st_size) > MAX_TABLE_BYTES:
        raise BadInput(f"{size} bytes", where=path, expected=f"a table of at most {MAX_TABLE_BYTES} bytes")
    try:
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as file:  # a few bytes may stand for as many rows as they like
                if (rows := file.metadata.num_rows) > MAX_TABLE_ROWS:
                    raise BadInput(f"{rows} rows", where=path, expected=f"at most {MAX_TABLE_ROWS}")
            return table_of(pl.read_parquet(path), path)
        separator = _separator(path)
        cells = pl.read_csv(path, separator=separator, has_header=False, infer_schema=False)
    except UNREADABLE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadInput(f"cannot be read as a table: {reason}", where=path, expected="CSV, TSV or Parquet") from None
    headers = _headers([cell or "" for cell in cells.row(0)], path)
    frame = cells.slice(1).rename(dict(zip(cells.columns, headers, strict=True)))
    empty = [name for name in headers if name.startswith(UNNAMED) and frame[name].is_null().all()]
    frame = frame.drop(empty)
    comma = _decimal_comma(frame, path)
    remarks = []
    usual = "\t" if path.suffix == ".tsv" else ","
    if separator != usual or comma:
        remarks.append(f"columns are separated by {SEPARATORS[separator]}{', decimals by commas' if comma else ''}")
    return Table(frame, str(path), comma, tuple(remarks))


def table_of(frame: pl.DataFrame, where: object = None) -> Table:
    """A data frame as a table.

    Raises:
        BadInput: two columns have one name but for case and blanks.
    """
    where = "the table" if where is None else where
    return Table(frame.rename(dict(zip(frame.columns, _headers(frame.columns, where), strict=True))), str(where))


UNNAMED = "\0unnamed "
"""Beginning of the name that a column without one gets, so that it can be told apart and refused where it matters."""


def read_table(path: Path) -> pl.DataFrame:
    """A CSV, TSV or Parquet file as a data frame; cells of text files are text.

    Raises:
        BadInput: as :func:`open_table`.
    """
    return open_table(path).frame


def write_csv(table: pl.DataFrame, path: Path) -> None:
    """Write a table so that no spreadsheet takes a text in it for a formula: such a text gets ``'`` in front.

    Names of runs and groups may come from strangers, and ``=HYPERLINK(...)`` in a cell is run where it is opened.
    """
    looks = "^[=+@\\-\t\r\n]"
    texts = [name for name, kind in table.schema.items() if kind == pl.String]
    quoted = [pl.when(pl.col(n).str.contains(looks)).then("'" + pl.col(n)).otherwise(pl.col(n)).alias(n) for n in texts]
    safe = table.with_columns(quoted)
    path.parent.mkdir(parents=True, exist_ok=True)
    safe.rename({name: f"'{name}" for name in safe.columns if re.match(looks, name)}).write_csv(path)


def _headers(names: Sequence[str], where: object) -> list[str]:
    """Names without blanks around them, each once."""
    found = [name.strip().lstrip("\ufeff").strip() for name in names]
    found = [name or f"{UNNAMED}{i}" for i, name in enumerate(found)]
    seen: dict[str, str] = {}
    twice = []
    for name in found:
        if (known := seen.get(name.casefold())) is not None:
            twice.append(name if known == name else f"{name} (as {known})")
        seen.setdefault(name.casefold(), name)
    if twice:
        raise BadInput(f"column {', '.join(twice)} is listed twice", where=where, expected="every column once")
    return found


def _separator(path: Path) -> str:
    """The separator that parts the header into most columns, and the next line into as many."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = [line for line in (file.readline(1 << 20) for _ in range(2)) if line.strip()]
    if not lines:
        raise ValueError("empty file")
    best, most = ("\t" if path.suffix == ".tsv" else ","), (False, 1)
    for separator in SEPARATORS:
        widths = [_width(line, separator) for line in lines]
        found = (len(set(widths)) == 1, widths[0])
        if widths[0] > 1 and found > most:
            best, most = separator, found
    return best


def _width(line: str, separator: str) -> int:
    """Columns of a line; a cell may be longer than the csv module likes, so its limit is not asked."""
    quoted = re.sub(r'"(?:[^"]|"")*"', "", line)
    return quoted.count(separator) + 1


def _decimal_comma(frame: pl.DataFrame, where: Path) -> bool:
    """Whether numbers are written with a decimal comma."""
    if not frame.width or not any(frame.select(pl.all().str.contains(",", literal=True).any()).row(0)):
        return False
    comma = point = None
    for name in frame.columns:
        cells = frame[name].str.strip_chars()
        cells = cells.filter(cells.is_not_null() & ~cells.str.to_lowercase().is_in(list(MISSING)))
        if not cells.str.contains(r"^[-+\d.,eE_%\s]+$").all():
            continue  # text
        if comma is None and (some := cells.filter(cells.str.contains(COMMA) & ~cells.str.contains(THOUSANDS))).len():
            comma = some[0]
        if point is None and (some := cells.filter(cells.str.contains(POINT))).len():
            point = some[0]
    if comma is not None and point is not None:
        raise BadInput(
            f"numbers are written in two ways: {comma!r} and {point!r}", where=where, expected="one decimal sign"
        )
    return comma is not None
