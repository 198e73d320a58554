"""The few pieces of HTML that sections are made of. Everything that comes from data is escaped here."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from glotmix.measurements import Measurements
from glotmix.report.explorer import pack
from glotmix.report.figures.drawing import Figure

SEARCH_FROM = 20
"""Tables of so many rows get a search field and a box that scrolls."""


@dataclass(frozen=True)
class Column:
    """Header of a table's column."""

    title: str
    """What it says."""
    numeric: bool = False
    """Whether it holds numbers (set flush right)."""
    hint: str = ""
    """What it means, for the tooltip."""


def figure(drawn: Figure, small: bool = False) -> str:
    """A drawing under the finding that it states, with its data and downloads."""
    tag = "h4" if small else "h3"
    note = f'<p class="note">{escape(drawn.note)}</p>' if drawn.note else ""
    key = escape(drawn.key)
    return (
        f'<figure id="fig-{key}" class="{"panel" if small else "plot"}"><figcaption><{tag}>{escape(drawn.finding)}</{tag}></figcaption>'
        f'<div class="drawing">{"".join(drawn.drawings)}</div>{note}'
        f'<div class="tools"><details class="table"><summary>Data</summary></details></div>'
        f"{data('', {'name': drawn.key, 'columns': list(drawn.columns), 'rows': [list(map(_plain, row)) for row in drawn.rows]})}</figure>"
    )


def folded_data(key: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], packed: Mapping[str, Any] | None) -> str:
    """A table that is only built when the reader opens it."""
    value = {"name": key, "columns": list(columns), "rows": [list(map(_plain, row)) for row in rows], "packed": packed}
    return f'<div class="held" id="{escape(key)}"><div class="tools"><details class="table"><summary>{escape(title)}</summary></details></div>{data("", value)}</div>'


def packed_runs(runs: Measurements) -> dict[str, Any]:
    """Mixtures and losses of all runs as 32-bit numbers."""
    return {
        "runs": list(runs.runs),
        "columns": [f"p/{name}" for name in runs.languages] + [f"loss/{name}" for name in runs.targets],
        "values": pack(np.hstack([runs.p_RL, runs.loss_RT]), np.float32),
    }


def table(title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]], folded: bool = False) -> str:
    """A table that sorts by any column; ``rows`` are finished cells."""
    head = "".join(
        f'<th scope="col" class="{"num" if c.numeric else ""}"{f""" title="{escape(c.hint)}" """ if c.hint else ""}>{escape(c.title)}</th>' for c in columns
    )
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    long = ' data-search="1"' if len(rows) >= SEARCH_FROM else ""
    grid = f'<div class="scroll{" long" if long else ""}" tabindex="0" role="region" aria-label="{escape(title)}"><table class="sortable"{long}><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    return f"<details><summary>{escape(title)}</summary>{grid}</details>" if folded else grid


def cell(text: str, value: float | None = None, css: str = "", numeric: bool = False) -> str:
    """A table cell; ``value`` is what it sorts by."""
    numeric = numeric or value is not None
    classes = " ".join(c for c in ("num" if numeric else "", css) if c)
    sort = f' data-v="{value:.9g}"' if value is not None and math.isfinite(value) else ""
    return f"<td{f' class={chr(34)}{escape(classes)}{chr(34)}' if classes else ''}{sort}>{escape(text)}</td>"


def named(name: str, tag: str, more: str = "") -> str:
    """The first cell of a row: a language's name, its tag beside it."""
    small = f" <small>{escape(tag)}</small>" if tag != name else ""
    return f'<th scope="row">{escape(name)}{small}{f" <em>{escape(more)}</em>" if more else ""}</th>'


def formula(text: str) -> str:
    """A law's formula with its subscripts and exponents set as such."""
    return re.sub(
        r"([_^])(?:\{([^}]*)\}|(-?\w+))",
        lambda m: f"<{'sub' if m[1] == '_' else 'sup'}>{(m[2] or m[3]).replace('-', '−')}</{'sub' if m[1] == '_' else 'sup'}>",
        escape(text),
    )


def data(key: str, value: object) -> str:
    """JSON for the page's script; no text in it can close the element or open another."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json"{f""" id="{escape(key)}" """ if key else ""}>{text}</script>'


def yaml(value: object) -> str:
    """A configuration as YAML."""
    out = io.StringIO()
    writer = YAML()
    writer.default_flow_style = False
    writer.dump(json.loads(json.dumps(value, default=str)), out)
    return out.getvalue()


def finite(x: float) -> float | None:
    """The number, or None for NaN and infinity."""
    return float(x) if math.isfinite(x) else None


def _plain(value: Any) -> Any:
    """JSON without NaN and with six significant digits."""
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
