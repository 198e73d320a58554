"""Results that show themselves in a notebook: HTML tables that bring their own styles, escaped, loading nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import polars as pl
    from rich.console import RenderableType

HELPS, HURTS = (10, 79, 158), (168, 67, 0)
"""The report's blue and orange (red, green, blue)."""
MOST_ROWS = 30
"""Rows of a data frame that a notebook shows."""
LONGEST, LONGEST_FIELD, MOST_NAMES = 400, 90, 6
"""Characters of a result's ``repr`` between its brackets and of each field there; names listed in it."""


class Brief:
    """A dataclass whose ``repr`` is one line; it says ``repr=False``, as its own would print every array's numbers."""

    __slots__ = ()

    def __repr__(self) -> str:
        assert is_dataclass(self)
        told = ", ".join(f"{one.name}={brief(getattr(self, one.name))}" for one in fields(self))
        return f"{type(self).__name__}({_cut(told, LONGEST)})"


class Shown(Brief):
    """A result that shows itself: one line at a prompt, a table in a notebook.

    What inherits from it has ``table()``, a rich renderable, or ``to_polars()``, one data frame, or both.
    """

    __slots__ = ()

    def _repr_html_(self) -> str:
        """For notebooks."""
        found: Any = self
        if hasattr(found, "table"):
            return rich_html(found.table())
        return frame_html(type(self).__name__, found.to_polars())


@dataclass(frozen=True, repr=False)
class Listing(Shown):
    """What there is of a kind (laws, exporters, recipes): rows with the same keys, the first of which names them."""

    title: str
    """What is listed."""
    rows: tuple[Mapping[str, str], ...]
    """One row each."""

    def __iter__(self) -> Iterator[Mapping[str, str]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def names(self) -> tuple[str, ...]:
        """The first column: what is typed elsewhere."""
        return tuple(next(iter(row.values())) for row in self.rows)

    def to_polars(self) -> pl.DataFrame:
        """One row each, a column of text for every key of ``rows``."""
        import polars as pl

        return pl.DataFrame([dict(row) for row in self.rows])

    def _repr_html_(self) -> str:
        """For notebooks."""
        return frame_html(self.title, self.to_polars(), len(self.rows))


def brief(value: object) -> str:
    """A value in a few words: arrays by their shape, long lists by their names or their number."""
    if isinstance(value, np.ndarray):
        return f"array{list(value.shape)}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if type(value) is dict or isinstance(value, tuple | list):
        return _cut(_named(tuple(value)), LONGEST_FIELD)
    if is_dataclass(value) and len(repr(value)) > LONGEST_FIELD:
        return f"{type(value).__name__}(…)"
    return _cut(repr(value), LONGEST_FIELD)


def _named(items: Sequence[object]) -> str:
    if not all(isinstance(item, str) for item in items):
        kinds = {type(item).__name__ for item in items}
        return f"{len(items)} × {kinds.pop()}" if len(kinds) == 1 else f"{len(items)} items"
    if len(items) > 1 and len(set(items)) == 1:
        return f"{len(items)} × {items[0]!r}"
    more = f", … {len(items) - MOST_NAMES} more" if len(items) > MOST_NAMES else ""
    return f"({', '.join(map(str, items[:MOST_NAMES]))}{more})"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def frame_html(title: str, frame: pl.DataFrame, most: int = MOST_ROWS) -> str:
    """A data frame as a table, numbers with four digits; of a long one its first rows, and how many there are."""
    rows = [[_cell(value) for value in row] for row in frame.head(most).rows()]
    cut = f" (first {most} of {frame.height} rows)" if frame.height > most else ""
    return table_html(f"{title}{cut}", frame.columns, rows)


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table_html(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], tints: Sequence[Sequence[float]] | None = None
) -> str:
    """A table; first column names, the others numbers.

    ``tints``: per row and column behind the first one, from -1 (orange) over 0 to 1 (blue).
    """
    head = "".join(f'<th style="text-align:{_side(j)}">{escape(name)}</th>' for j, name in enumerate(columns))
    body = []
    for i, row in enumerate(rows):
        cells = [f'<th style="text-align:left">{escape(row[0])}</th>']
        for j, text in enumerate(row[1:]):
            ground = "" if tints is None else _ground(float(tints[i][j]))
            cells.append(f'<td style="text-align:right;{ground}">{escape(text)}</td>')
        body.append(f"<tr>{''.join(cells)}</tr>")
    caption = f'<caption style="text-align:left">{escape(title)}</caption>' if title else ""
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def bars_html(title: str, shares: Sequence[tuple[str, float]]) -> str:
    """Shares with a bar each."""
    rows = [
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:right">{100 * share:.2f} %</td>'
        f'<td style="width:12em;text-align:left"><span style="display:inline-block;height:.8em;'
        f'width:{100 * share:.2f}%;background:rgb{HELPS}"></span></td></tr>'
        for name, share in shares
    ]
    return f'<table><caption style="text-align:left">{escape(title)}</caption><tbody>{"".join(rows)}</tbody></table>'


def rich_html(shown: RenderableType) -> str:
    """What a terminal shows as rich tables and sentences, as HTML."""
    from rich.console import Group
    from rich.table import Table

    if isinstance(shown, Group):
        return "".join(map(rich_html, shown.renderables))
    if not isinstance(shown, Table):
        return f"<p>{escape(str(shown))}</p>"
    columns = [str(column.header) for column in shown.columns]
    cells = [[str(cell) for cell in column.cells] for column in shown.columns]
    table = table_html(str(shown.title or ""), columns, list(zip(*cells, strict=True)))
    return table + (f"<p>{escape(str(shown.caption))}</p>" if shown.caption else "")


def _side(column: int) -> str:
    return "left" if column == 0 else "right"


def _ground(tint: float) -> str:
    if not np.isfinite(tint) or tint == 0:
        return ""
    red, green, blue = HELPS if tint > 0 else HURTS
    return f"background:rgba({red},{green},{blue},{0.08 + 0.42 * min(1.0, abs(tint)):.2f})"
