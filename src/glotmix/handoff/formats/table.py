"""A table (CSV, TSV, Parquet) with a row per run or measurement, and what W&B and MLflow export as one."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from glotmix.errors import BadInput
from glotmix.handoff.formats.format import Found, ResultFormat
from glotmix.handoff.results import UNITS, Reported, metric_of
from glotmix.measurements.roles import KEYS, RUN, SEED, STATE, STEP, TRACKER, D, N
from glotmix.measurements.table import Table, open_table

SHARE = re.compile(r"^p/(.+)$")
ENDED = frozenset({"", "complete", "completed", "finished", "success", "succeeded", "done"})
"""States of runs that came to their end, in lower case."""
LOST = {"diverged": "diverged", "failed": "failed", "crashed": "failed", "killed": "failed"}
"""States of runs that will not come to their end; of all others nothing is said yet."""
CHECKSUM = ("checksum", "glotmix_checksum")


class ResultsTable(ResultFormat):
    """``run, checksum, D, bits_per_byte/<target>, …``; columns by name, in any order."""

    title = "a table: results.csv, or a tracker's export"

    def knows(self, found: Found) -> bool:
        return found.path.suffix.lower() in (".csv", ".tsv", ".parquet")

    def read(self, found: Found) -> Iterator[Reported]:
        try:
            table = open_table(found.path)
        except BadInput as error:
            raise BadInput(error.message, where=found.shown, expected=error.expected) from None
        plain = {column: TRACKER.sub("", column).removeprefix("params.") for column in table.columns}
        keys = {key: _first(plain, KEYS[key]) for key in (RUN, D, N, STEP, SEED, STATE)}
        if keys[RUN] is None:
            raise BadInput("no column run", where=found.shown, expected="run, checksum, D, bits_per_byte/<target>, …")
        metrics = {column: metric_of(name, found.about.measured) for column, name in plain.items()}
        if not any(metrics.values()) and not keys[STATE]:
            shown = ", ".join(table.columns[:8])
            raise BadInput(
                f"no loss of a target; it has {shown}", where=found.shown, expected=f"{' or '.join(UNITS)} /<target>"
            )
        columns = {column: metric for column, metric in metrics.items() if metric is not None}
        _once(columns, found)
        texts = {key: table.texts(column) for key, column in keys.items() if column is not None and key in (RUN, STATE)}
        checksum = _first(plain, CHECKSUM)
        checksums = [""] * table.frame.height if checksum is None else [text or "" for text in table.texts(checksum)]
        numbers = {
            key: _numbers(table, column, found) for key, column in keys.items() if column and key in (D, N, STEP, SEED)
        }
        value_of = {column: _numbers(table, column, found) for column in columns}
        shares = {match[1]: _numbers(table, c, found) for c, name in plain.items() if (match := SHARE.match(name))}
        half = found.path.suffix.lower() != ".parquet" and not _ends_a_line(found)
        for r in range(table.frame.height):
            where = f"{found.shown}, row {r + 1}"
            state = ((texts[STATE][r] or "") if STATE in texts else "").lower()
            if state not in ENDED and state not in LOST:
                continue  # it is still at work
            values = {metric: value_of[column][r] for column, metric in columns.items()}
            empty = {
                metric for column, metric in columns.items() if np.isnan(values[metric]) and _empty(table, r, column)
            }
            yield Reported(
                where=where,
                run=texts[RUN][r] or "",
                checksum=checksums[r],
                step=_known(numbers, STEP, r),
                D=_known(numbers, D, r),
                N=_known(numbers, N, r),
                seed=_known(numbers, SEED, r),
                values={metric: x for metric, x in values.items() if metric not in empty},
                shares={name: x_R[r] for name, x_R in shares.items() if np.isfinite(x_R[r])},
                status=LOST.get(state, "complete"),
                fault="the last line has no end: half a file?" if half and r + 1 == table.frame.height else "",
                reason=f"{state}, says {found.shown}" if state in LOST else "",
            )


def _ends_a_line(found: Found) -> bool:
    """Whether the last byte ends a line: else the last number may be cut."""
    with open(found.path, "rb") as file:
        file.seek(max(0, found.path.stat().st_size - 1))
        return file.read(1) in (b"\n", b"\r")


def _first(plain: dict[str, str], known: tuple[str, ...]) -> str | None:
    """The column that has the first of some names."""
    lower = {re.sub(r"\s+", "_", name.strip().lower()): column for column, name in reversed(plain.items())}
    return next((lower[name] for name in known if name in lower), None)


def _once(columns: dict[str, tuple[str, str]], found: Found) -> None:
    """Refuse two columns that would be one number."""
    seen: dict[tuple[str, str], str] = {}
    for column, metric in columns.items():
        if metric in seen:
            raise BadInput(f"{seen[metric]} and {column} are both {metric[1]} of {metric[0]}", where=found.shown)
        seen[metric] = column


def _numbers(table: Table, column: str, found: Found) -> np.ndarray:
    numbers = table.numbers(column)
    if numbers.bad_R.any():
        r = int(np.argmax(numbers.bad_R))
        raise BadInput(
            f"{column} is {table.cell(r, column)!r}", where=f"{found.shown}, row {r + 1}", expected="a number"
        )
    return numbers.value_R


def _empty(table: Table, row: int, column: str) -> bool:
    """Whether a cell without a number is empty: a loss that is written ``nan`` is a loss that is none."""
    cell = table.cell(row, column)
    return cell is None or str(cell).strip() == ""


def _known(numbers: dict[str, np.ndarray], key: str, row: int) -> float | None:
    return float(numbers[key][row]) if key in numbers and np.isfinite(numbers[key][row]) else None
