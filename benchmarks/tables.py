"""Tables of benchmarks as they stand in the docs."""

from __future__ import annotations


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
