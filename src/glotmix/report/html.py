"""HTML that is escaped by construction: a plain string is text, only :class:`Html` is markup."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

TEXT_ONLY = ("title", "option", "textarea", "script", "style")
"""Elements that hold text alone."""
_STRONG = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff"
RIGHT_TO_LEFT = re.compile(f"[{_STRONG}](?:[{_STRONG}\\s-]*[{_STRONG}])?")
"""A run of Hebrew, Arabic, N'Ko, ...: next to numbers it would swap them, so it is isolated wherever it stands."""


class Html(str):
    """Markup that was made by :func:`el` or from our own drawings; everything else is text and gets escaped."""

    __slots__ = ()


def el(name: str, *children: str | None, **attributes: str | int | bool | None) -> Html:
    """An element. Children that are plain strings are escaped, ``None`` is left out.

    Attributes: ``css`` is the class, a last ``_`` goes, others become ``-``; True stands alone, None and False go.
    """
    parts = []
    for key, value in attributes.items():
        key = "class" if key == "css" else key.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(f" {key}")
        elif value is not None and value is not False and value != "":
            parts.append(f' {key}="{escape(str(value))}"')
    inner = Html("".join(map(_escaped, filter(None, children)))) if name in TEXT_ONLY else join(*children)
    return Html(f"<{name}{''.join(parts)}>{inner}</{name}>")


def join(*children: str | None) -> Html:
    """Children side by side, plain strings escaped, with what is written from right to left set apart."""
    return Html(
        "".join(
            c if isinstance(c, Html) else RIGHT_TO_LEFT.sub(r"<bdi>\g<0></bdi>", escape(c, quote=False))
            for c in children
            if c is not None
        )
    )


def isolated(text: str) -> str:
    """Plain text (a drawing's, a tooltip's) in which what is written from right to left is set apart by marks."""
    return RIGHT_TO_LEFT.sub("\u2068\\g<0>\u2069", text)


def _escaped(text: str) -> str:
    return text if isinstance(text, Html) else escape(text, quote=False)


def data(value: object, key: str | None = None) -> Html:
    """JSON for the page's script; no text in it can close the element or open another, for which it takes a "<"."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return el("script", Html(text), type="application/json", id=key)


def formula(text: str) -> Html:
    """A law's formula with its subscripts and exponents set as such."""
    marked = re.sub(
        r"([_^])(?:\{([^}]*)\}|\(([^)]*)\)|(-?\w+))",
        lambda m: f"<{_SIDE[m[1]]}>{(m[2] or m[3] or m[4]).replace('-', '−')}</{_SIDE[m[1]]}>",
        escape(text),
    )
    return el("i", Html(marked))


_SIDE = {"_": "sub", "^": "sup"}


def pack(array: np.ndarray, kind: type[np.number[Any]]) -> str:
    """Little-endian numbers in base64, C order."""
    return base64.b64encode(np.ascontiguousarray(array, dtype=np.dtype(kind).newbyteorder("<")).tobytes()).decode()


def coded(rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """Columns of a long table in a fraction of its size: numbers as 32-bit ones in base64, the rest as places in a list
    of what there is."""
    columns: list[dict[str, Any]] = []
    for cells in zip(*rows, strict=True):
        numbers = [np.nan if cell is None else cell for cell in map(plain, cells)]
        if all(isinstance(x, float) or (isinstance(x, int) and abs(x) < 2**24) for x in numbers):
            columns.append({"values": pack(np.array(numbers, dtype=float), np.float32)})
        else:
            words = list(dict.fromkeys(map(plain, cells)))
            at = {word: i for i, word in enumerate(words)}
            columns.append({"words": words, "at": pack(np.array([at[plain(cell)] for cell in cells]), np.float32)})
    return columns


def plain(value: Any) -> Any:
    """A cell of data as JSON takes it: six significant digits, None for NaN and infinity."""
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
