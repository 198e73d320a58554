"""Results that show themselves in a notebook: HTML tables that bring their own styles, escaped, loading nothing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rich.console import RenderableType

HELPS, HURTS = (10, 79, 158), (168, 67, 0)
"""The report's blue and orange (red, green, blue)."""


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
