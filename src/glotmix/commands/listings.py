"""Lists of what there is: laws, exporters, recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from glotmix.commands.options import Json
from glotmix.commands.output import show

if TYPE_CHECKING:
    from rich.table import Table

LEAST_ROOM = 30
"""Characters that the last column must have beside the others; else they stand below each other, each with its name."""


def listing(title: str, rows: Sequence[Mapping[str, str]]) -> Table:
    """Rows with the same keys; the first, which is there to be copied, is never broken."""
    from rich.table import Table

    from glotmix.tables import GAP, WIDTH

    first, *others = rows[0] if rows else ("",)
    widths = [max(len(str(row[name])) for row in rows) + GAP for name in (first, *others[:-1])] if rows else []
    beside = sum(widths) + LEAST_ROOM <= WIDTH
    table = Table(title=title, title_justify="left", show_header=beside, show_lines=not beside)
    table.add_column(first, no_wrap=True)
    for column in others if beside else ("",):
        table.add_column(column, overflow="fold")
    for row in rows:
        name, *told = (str(value) for value in row.values())
        table.add_row(name, *(told if beside else ["\n".join(map(": ".join, zip(others, told, strict=True)))]))
    return table


def laws(as_json: Json = False) -> None:
    """Every law: formula, parameters, what it needs, whether a share may be zero, source."""
    from glotmix.laws.listing import law_rows

    rows = law_rows()
    show(as_json, rows, listing("Laws", rows))


def exporters(as_json: Json = False) -> None:
    """Every trainer that a mixture can be exported to."""
    from glotmix.exporters.listing import exporter_rows

    rows = exporter_rows()
    show(as_json, rows, listing("Exporters", rows))


def recipes(as_json: Json = False) -> None:
    """Study files to start from."""
    from glotmix.studies.recipes import all_recipes

    rows = all_recipes()
    show(as_json, rows, listing("Recipes", rows))
