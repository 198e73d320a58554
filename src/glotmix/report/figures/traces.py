"""Lines: one number over another, a line for each of a handful of names, with whiskers where there are intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from glotmix.report.evidence import Estimate
from glotmix.report.figures.drawing import (
    NARROW,
    WIDE,
    Canvas,
    Cell,
    Figure,
    Scale,
    px,
    text_width,
    x_axis,
    y_axis,
)
from glotmix.report.frames.words import interval

LOOKS = (
    ("diamond", "s-optimum"),
    ("circle", "s-natural"),
    ("triangle", "s-current"),
    ("square", "s-temperature"),
    ("down", "s-unimax"),
    ("bar", "s-uniform"),
)
"""Symbol and colour of the first, second, … line."""


@dataclass(frozen=True)
class Trace:
    """One line."""

    name: str
    """What the key says."""
    x: tuple[float, ...]
    """Where its points are."""
    y: tuple[Estimate, ...]
    """Their values."""


def traces(
    key: str, finding: str, lines: Sequence[Trace], x_label: str, y_label: str, note: str = "", log_x: bool = False
) -> Figure | None:
    """A figure of at most six lines; None where there is nothing to draw."""
    lines = [line for line in lines if any(math.isfinite(point.value) for point in line.y)][: len(LOOKS)]
    if not lines:
        return None
    about = f"{finding}. " + "; ".join(
        f"{line.name}: " + ", ".join(f"{x:g} → {y.value:.3g}" for x, y in zip(line.x, line.y, strict=True))
        for line in lines
    )
    rows: list[Sequence[Cell]] = [
        (line.name, x, y.value if math.isfinite(y.value) else None, y.low, y.high)
        for line in lines
        for x, y in zip(line.x, line.y, strict=True)
    ]
    columns = ("line", x_label, y_label, "low", "high")
    drawn = tuple(_draw(key, lines, width, x_label, y_label, finding, about, log_x) for width in (WIDE, NARROW))
    return Figure(key, finding, about, drawn, columns, rows, note)


def _draw(
    key: str, lines: Sequence[Trace], width: int, x_label: str, y_label: str, finding: str, about: str, log_x: bool
) -> str:
    canvas = Canvas(width, 0)
    left, right = 52, width - 14
    top = _legend(canvas, lines, left, right) + 38
    bottom = top + (230 if width == WIDE else 190)
    canvas.height = bottom + 42
    place = math.log10 if log_x else float
    points = [(line, place(x), y) for line in lines for x, y in zip(line.x, line.y, strict=True)]
    ends = [v for _, _, y in points for v in (y.value, y.low, y.high) if v is not None]
    x = Scale.around([at for _, at, _ in points], left, right)
    y = Scale.around(ends, bottom, top)
    y_axis(canvas, y, left, right, y_label)
    if log_x:
        _log_axis(canvas, x, top, bottom, x_label, sorted({value for line in lines for value in line.x}))
    else:
        x_axis(canvas, x, top, bottom, x_label, n=6 if width == WIDE else 3)
    for (mark, css), line in zip(LOOKS, lines, strict=False):
        there = [(x(place(a)), b) for a, b in zip(line.x, line.y, strict=True) if math.isfinite(b.value)]
        canvas.path("M" + "L".join(f"{px(a)} {px(y(b.value))}" for a, b in there), f"{css} curve")
        for a, b in there:
            if b.low is not None and b.high is not None:
                canvas.line(a, y(b.low), a, y(b.high), f"{css} whisker thin")
            canvas.mark(mark, a, y(b.value), f"{css} filled", f"{line.name}\n{interval(b)}", 4)
    return canvas.svg(f"{key}-{width}", finding, about, "wide" if width == WIDE else "narrow")


def _legend(canvas: Canvas, lines: Sequence[Trace], left: float, right: float) -> float:
    at, y = left, 12.0
    for (mark, css), line in zip(LOOKS, lines, strict=False):
        room = text_width(line.name) + 34
        if at > left and at + room > right:
            at, y = left, y + 20
        canvas.mark(mark, at + 6, y, f"{css} filled", "", 4.5)
        canvas.text(at + 16, y + 4.5, line.name, "label")
        at += room
    return y


def _log_axis(canvas: Canvas, x: Scale, top: float, bottom: float, label: str, values: Sequence[float]) -> None:
    """Numbers at the points themselves, as far as they have room."""
    last = -math.inf
    for value in values:
        at = x(math.log10(value))
        canvas.line(at, top, at, bottom, "rule")
        text = f"{value:g}"
        if at - last > text_width(text) + 8:
            canvas.text(at, bottom + 16, text, "tick", anchor="middle")
            last = at
    canvas.text((x.start + x.stop) / 2, bottom + 34, label, "axis", anchor="middle")
