"""Results as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from glotmix.laws import all_laws, residuals
from glotmix.laws.law import Problem

WIDEST_LISTING = 3
"""Columns that a terminal of 80 characters shows side by side; more stand below each other, each with its name."""


def listing(title: str, rows: Sequence[Mapping[str, str]]) -> Table:
    """Rows with the same keys; the first, which is there to be copied, is never broken."""
    first, *others = rows[0] if rows else ("",)
    beside = len(others) < WIDEST_LISTING
    table = Table(title=title, title_justify="left", show_header=beside, show_lines=not beside)
    table.add_column(first, no_wrap=True)
    for column in others if beside else ("",):
        table.add_column(column, overflow="fold")
    for row in rows:
        name, *told = (str(value) for value in row.values())
        table.add_row(name, *(told if beside else ["\n".join(map(": ".join, zip(others, told, strict=True)))]))
    return table


def law_rows() -> list[dict[str, str]]:
    """Every law, and the black boxes that may stand alone or on one of them (LAW+BOX)."""
    rows = []
    for name, law in all_laws().items():
        example = Problem("t", ("t", "l"), None, frozenset({"N", "D", "unique"}))
        rows.append(
            {
                "law": name,
                "formula": law.formula,
                "parameters (target t, another l)": ", ".join(law.parameters(example)),
                "needs": ", ".join(sorted(law.needs)) or "-",
                "share of zero": "allowed" if law.finite_at_zero else "run left out",
                "source": law.source,
            }
        )
    for name, box in residuals().items():
        text = (type(box).__doc__ or "").split("Source: ")
        rows.append(
            {
                "law": f"{name}, LAW+{name}",
                "formula": f"L = LAW · exp({name}(p, N, D)); alone, LAW is null",
                "parameters (target t, another l)": "LAW's",
                "needs": "LAW's",
                "share of zero": "as LAW",
                "source": " ".join(text[1].split(". ")[0].split()) if len(text) > 1 else "-",
            }
        )
    return rows
