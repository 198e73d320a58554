"""What sections are made of: figures with their data, small multiples, tables that sort."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glotmix.report.figures.drawing import Figure
from glotmix.report.html import Html, coded, data, el, join, plain

SEARCH_FROM = 20
"""Tables of so many rows get a search field and a box that scrolls."""
FOLD_FROM = 13
"""Tables of detail with so many rows are folded."""
CODED_FROM = 1000
"""Figures with so many rows of data carry them coded."""
PANELS = 6
"""Small multiples shown at once; the others wait behind a menu."""


@dataclass(frozen=True)
class Column:
    """Header of a table's column."""

    title: str
    """What it says."""
    numeric: bool = False
    """Whether it holds numbers (set flush right)."""
    hint: str = ""
    """What it means, for the tooltip."""


def figure(drawn: Figure, small: bool = False) -> Html:
    """A drawing under the finding that it states, with its data and downloads."""
    held: dict[str, Any] = {"name": drawn.key, "columns": list(drawn.columns)}
    if len(drawn.rows) >= CODED_FROM:
        held["coded"] = coded(drawn.rows)
    else:
        held["rows"] = [[plain(cell) for cell in row] for row in drawn.rows]
    return el(
        "figure",
        el("figcaption", el("h4" if small else "h3", drawn.finding)),
        el("div", *map(Html, drawn.drawings), css="drawing"),
        el("p", drawn.note, css="note") if drawn.note else None,
        _tools("Data"),
        data(held),
        id=f"fig-{drawn.key}",
        css="panel" if small else "plot",
    )


def panels(figures: Sequence[Figure], title: str, text: str, small: bool = False) -> Html:
    """A grid of small multiples; beyond a handful the reader picks, and the others wait as text."""
    if not figures:
        return Html("")
    shown = figures if len(figures) <= PANELS + 2 else figures[:PANELS]
    rest = figures[len(shown) :]
    options = [
        el("option", f"choose one of {len(rest)}", value=" "),
        *[el("option", f.finding, value=f.key) for f in rest],
    ]
    return join(
        el("h3", title),
        el("p", text, css="note"),
        el("label", "Show another ", el("select", *options, css="panel-menu"), css="more") if rest else None,
        data({f.key: figure(f, small=True) for f in rest}) if rest else None,
        el("div", *[figure(f, small=True) for f in shown], css="panels small" if small else "panels"),
    )


def lazy_table(
    key: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], packed: Mapping[str, Any] | None
) -> Html:
    """A table that is only built when the reader opens it; ``packed`` holds further columns as numbers in base64."""
    value = {"name": key, "columns": list(columns), "rows": [[plain(c) for c in row] for row in rows], "packed": packed}
    return el("div", _tools(title), data(value), css="held", id=key)


def table(title: str, columns: Sequence[Column], rows: Sequence[Sequence[Html]], fold: bool = False) -> Html:
    """A table that sorts by any column; ``rows`` are made of :func:`cell` and :func:`named`."""
    head = [el("th", c.title, scope="col", css="num" if c.numeric else None, title=c.hint) for c in columns]
    long = len(rows) >= SEARCH_FROM
    body = el(
        "table",
        el("caption", el("span", title)),
        el("thead", el("tr", *head)),
        el("tbody", *[el("tr", *row) for row in rows]),
        css="sortable",
        data_search=long or None,
    )
    grid = el("div", body, css="scroll long" if long else "scroll", tabindex=0, role="region", aria_label=title)
    return el("details", el("summary", title), grid) if fold and len(rows) >= FOLD_FROM else grid


def cell(text: str, value: float | None = None, css: str = "", numeric: bool = False) -> Html:
    """A table cell; ``value`` is what it sorts by."""
    classes = " ".join(c for c in ("num" if numeric or value is not None else "", css) if c)
    sort = f"{value:.9g}" if value is not None and math.isfinite(value) else None
    return el("td", text, css=classes, data_v=sort)


def named(name: str, tag: str, more: str = "") -> Html:
    """The first cell of a row: a language's name, its tag beside it."""
    small = join(" ", el("small", tag)) if tag != name else None
    return el("th", name, small, join(" ", el("em", more)) if more else None, scope="row")


def lines(facts: Mapping[str, object]) -> Html:
    """Names and values under each other."""
    return el("dl", *[join(el("dt", key), el("dd", str(value))) for key, value in facts.items()], css="lines")


def _tools(title: str) -> Html:
    return el("div", el("details", el("summary", title), css="table"), css="tools")
