"""Two values per language on one line: what a second study changed."""

from __future__ import annotations

from glotmix.report.figures.drawing import NARROW, WIDE, Canvas, Figure, Scale, shortened, x_axis
from glotmix.report.frames.two_studies import ShareRow, headline
from glotmix.wording import counted, share

MOST = 24
"""Languages drawn, those that change most first; all are in the table."""


def share_changes(rows: list[ShareRow], names: tuple[str, str], what: str = "language") -> Figure | None:
    """Recommended shares of two studies; ``names`` are what the page calls these, ``what`` is mixed."""
    if not rows:
        return None
    shown = rows[:MOST]
    finding = headline(rows, what).split(":")[0].rstrip(".")
    about = f"{finding}. " + "; ".join(
        f"{row.name} {share(row.before or 0.0)} and {share(row.after or 0.0)}" for row in shown
    )
    note = f"Hollow: {names[0]}. Filled: {names[1]}."
    if len(shown) < len(rows):
        note += f" {counted(len(rows) - len(shown), what)} that change less are in the table."
    return Figure(
        "shares",
        finding,
        about,
        tuple(_draw(shown, names, width, finding, about) for width in (WIDE, NARROW)),
        (what, "name", names[0], names[1], "change"),
        [(row.language, row.name, row.before, row.after, row.change) for row in rows],
        note,
    )


def _draw(rows: list[ShareRow], names: tuple[str, str], width: int, finding: str, about: str) -> str:
    left, right, step, top = (150, 84, 26, 6) if width == WIDE else (96, 70, 26, 6)
    bottom = top + step * len(rows)
    canvas = Canvas(width, bottom + 42)
    values = [100 * (value or 0.0) for row in rows for value in (row.before, row.after)]
    x = Scale.around(values, left, width - right, zero=True, margin=0.03)
    x_axis(canvas, x, top, bottom, "share of training tokens (%)", n=5 if width == WIDE else 3)
    for i, row in enumerate(rows):
        y = top + step * i + step / 2
        a, b = x(100 * (row.before or 0.0)), x(100 * (row.after or 0.0))
        tip = f"{row.name}\n{names[0]}: {share(row.before or 0.0)}\n{names[1]}: {share(row.after or 0.0)}"
        canvas.text(left - 8, y + 4.5, shortened(row.name, left - 10), "label", anchor="end")
        canvas.line(a, y, b, y, "s-optimum whisker")
        canvas.mark("circle", a, y, "s-natural hollow", tip)
        canvas.mark("diamond", b, y, "s-optimum filled", tip)
        sign = "+" if row.change >= 0 else "−"
        canvas.text(width - 2, y + 4.5, f"{sign}{share(abs(row.change))}", "value", anchor="end")
    return canvas.svg(f"shares-{width}", finding, about, "wide" if width == WIDE else "narrow")
