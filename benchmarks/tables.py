"""Tables of benchmarks as they stand in the docs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def line(*cells: object) -> None:
    """Print one row."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |")


def head(*cells: str) -> None:
    """Print the row of names and the rule below it."""
    line(*cells)
    print("|" + "---|" * len(cells))


def percent(x: float | None) -> str:
    """A share as percent with two decimals; a dash where there is none."""
    return "–" if x is None else f"{100 * x:.2f}"


def spread(of: Mapping[str, Any], sign: str = "") -> str:
    """A value with its interval; "+" as ``sign`` for differences."""
    value, low, high = (f"{of[end]:{sign}.3f}" for end in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
