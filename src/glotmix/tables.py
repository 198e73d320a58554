"""Tables that a terminal of 80 characters can show: groups stand in rows, and columns that do not fit go below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 80
"""Characters of a narrow terminal."""
EDGE, GAP = 1, 3
"""Characters that rich draws before the first column, and around and between columns."""


def by_group(
    title: str,
    groups: Sequence[str],
    columns: Sequence[tuple[str, Sequence[str]]],
    width: int = WIDTH,
    sections: Sequence[int] = (),
) -> list[Table]:
    """One row per group; as many columns beside each other as fit, the others in further tables with the same rows.

    Args:
        title: of the first table.
        groups: labels of the rows.
        columns: header and cells, one per group.
        width: what there is room for; a column that is wider on its own is folded by the terminal.
        sections: rows before which a line is drawn.
    """
    from rich.table import Table

    label = max(map(len, groups), default=0)
    tables: list[Table] = []
    room = 0
    parts: list[list[tuple[str, Sequence[str]]]] = []
    for header, cells in columns:
        needed = max(len(header), *map(len, cells)) + GAP
        if not parts or needed > room:
            parts.append([])
            room = width - EDGE - GAP - label
        parts[-1].append((header, cells))
        room -= needed
    for i, part in enumerate(parts):
        table = Table(title=None if i else title, title_justify="left")
        table.add_column("", no_wrap=True)
        for header, _ in part:
            table.add_column(header, justify="right", no_wrap=True)
        for row, group in enumerate(groups):
            table.add_row(group, *[cells[row] for _, cells in part], end_section=row + 1 in sections)
        tables.append(table)
    return tables
