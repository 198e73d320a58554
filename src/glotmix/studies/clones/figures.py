"""Lines: one number over another, a line for each of a handful of names, with whiskers where there are intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from glotmix.estimate import Estimate
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
from glotmix.wording import interval

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


@dataclass(frozen=True)
class Axes:
    """What the axes say, and how they are divided."""

    x_label: str
    """With its unit."""
    y_label: str
    """With its unit."""
    log_x: bool = False
    """Logarithmic, with numbers at the points."""
    log_y: bool = False
    """Logarithmic; values that are not above zero are left out."""
    counts_x: bool = False
    """Whole numbers, told at the points."""

    def x(self, value: float) -> float:
        """Where a number lies, before it is scaled to pixels."""
        return math.log10(value) if self.log_x else value

    def y(self, value: float) -> float:
        """The same; NaN where it lies nowhere."""
        return (math.log10(value) if value > 0 else math.nan) if self.log_y else value


def traces(key: str, finding: str, lines: Sequence[Trace], axes: Axes, note: str = "") -> Figure | None:
    """A figure of at most six lines; None where there is nothing to draw."""
    lines = [line for line in lines if any(math.isfinite(axes.y(point.value)) for point in line.y)][: len(LOOKS)]
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
    columns = ("line", axes.x_label, axes.y_label, "low", "high")
    drawn = tuple(_draw(key, lines, width, axes, finding, about) for width in (WIDE, NARROW))
    return Figure(key, finding, about, drawn, columns, rows, note)


def _draw(key: str, lines: Sequence[Trace], width: int, axes: Axes, finding: str, about: str) -> str:
    canvas = Canvas(width, 0)
    left, right = 52, width - 14
    top = _legend(canvas, lines, left, right) + 38
    bottom = top + (230 if width == WIDE else 190)
    canvas.height = bottom + 42
    across = sorted({value for line in lines for value in line.x})
    ends = [axes.y(v) for line in lines for y in line.y for v in (y.value, y.low, y.high) if v is not None]
    x = Scale.around([axes.x(value) for value in across], left, right)
    y = Scale.around(ends, bottom, top)
    if axes.log_y:
        _log_y_axis(canvas, y, left, right, axes.y_label)
    else:
        y_axis(canvas, y, left, right, axes.y_label)
    if axes.log_x or axes.counts_x:
        _axis_at_points(canvas, x, top, bottom, axes, across)
    else:
        x_axis(canvas, x, top, bottom, axes.x_label, n=6 if width == WIDE else 3)
    for (mark, css), line in zip(LOOKS, lines, strict=False):
        there = [(x(axes.x(a)), b) for a, b in zip(line.x, line.y, strict=True) if math.isfinite(axes.y(b.value))]
        canvas.path("M" + "L".join(f"{px(a)} {px(y(axes.y(b.value)))}" for a, b in there), f"{css} curve")
        for a, b in there:
            if b.low is not None and b.high is not None:
                foot = axes.y(b.low)
                canvas.line(a, y(foot if math.isfinite(foot) else y.low), a, y(axes.y(b.high)), f"{css} whisker thin")
            canvas.mark(mark, a, y(axes.y(b.value)), f"{css} filled", f"{line.name}\n{interval(b)}", 4)
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


def _axis_at_points(canvas: Canvas, x: Scale, top: float, bottom: float, axes: Axes, values: Sequence[float]) -> None:
    """Numbers at the points themselves, as far as they have room."""
    last = -math.inf
    for value in values:
        at = x(axes.x(value))
        canvas.line(at, top, at, bottom, "rule")
        text = f"{value:g}"
        if at - last > text_width(text) + 8:
            canvas.text(at, bottom + 16, text, "tick", anchor="middle")
            last = at
    canvas.text((x.start + x.stop) / 2, bottom + 34, axes.x_label, "axis", anchor="middle")


def _log_y_axis(canvas: Canvas, y: Scale, left: float, right: float, label: str) -> None:
    """Numbers at 1, 2 and 5 of every power of ten."""
    powers = range(math.floor(y.low), math.ceil(y.high) + 1)
    for value in (digit * 10.0**power for power in powers for digit in (1, 2, 5)):
        if y.low <= math.log10(value) <= y.high:
            at = y(math.log10(value))
            canvas.line(left, at, right, at, "rule")
            canvas.text(left - 5, at + 4, f"{value:g}", "tick", anchor="end")
    canvas.text(0, min(y.start, y.stop) - 10, label, "axis")
