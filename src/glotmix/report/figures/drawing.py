"""The few marks that every figure is drawn with, and the figure that carries its own words and data."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from glotmix.report.html import isolated

Cell = str | float | int | None

WIDE, NARROW = 760, 350
"""Figures are drawn twice, for a desk and for a phone, so that letters keep their size; CSS shows one of them."""


@dataclass(frozen=True)
class Figure:
    """A drawing with the finding it states, what a screen reader says, and the data behind it."""

    key: str
    """Name in the page, in links and in file names."""
    finding: str
    """Title: a sentence that says what is to be seen."""
    description: str
    """What a reader who cannot see it needs."""
    drawings: tuple[str, ...]
    """SVG: one, or one for a wide and one for a narrow page."""
    columns: tuple[str, ...]
    """Header of the data."""
    rows: Sequence[Sequence[Cell]]
    """The data drawn."""
    note: str = ""
    """How to read it, under the drawing."""


@dataclass(frozen=True)
class Scale:
    """A straight line from data to pixels."""

    low: float
    """Data at ``start``."""
    high: float
    """Data at ``stop``."""
    start: float
    """Pixel of ``low``."""
    stop: float
    """Pixel of ``high``."""

    def __call__(self, x: float) -> float:
        return self.start + (x - self.low) / (self.high - self.low) * (self.stop - self.start)

    @classmethod
    def around(
        cls, values: Sequence[float], start: float, stop: float, *, zero: bool = False, margin: float = 0.05
    ) -> Scale:
        """The scale that holds all finite ``values`` (and zero where asked), with a margin."""
        finite = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        if zero:
            low, high = min(low, 0.0), max(high, 0.0)
        room = (high - low) * margin or abs(high) * 0.05 or 1.0
        if zero and low == high == 0:
            return cls(0.0, 1.0, start, stop)
        return cls(low if zero and low == 0 else low - room, high if zero and high == 0 else high + room, start, stop)

    def ticks(self, n: int = 5) -> list[float]:
        """Round numbers inside the scale, about ``n`` of them."""
        rough = (self.high - self.low) / max(n, 1)
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * (1 - 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        return [round(i * step, 12) for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def decimals(ticks: Sequence[float]) -> int:
    """Decimals that tell neighbouring ticks apart."""
    if len(ticks) < 2:
        return 2
    step = ticks[1] - ticks[0]
    return max(0, min(6, next(d for d in range(8) if abs(round(step, d) - step) < 1e-9 or d == 7)))


def text_width(text: str, size: float = 13) -> float:
    """A fair guess of a text's width in pixels; wide characters count double."""
    return sum(1.0 if unicodedata.east_asian_width(c) in "WF" else 0.56 for c in text) * size


def shortened(text: str, room: float, size: float = 13) -> str:
    """``text`` cut with an ellipsis so that it fits."""
    if text_width(text, size) <= room:
        return text
    while text and text_width(text + "…", size) > room:
        text = text[:-1]
    return text + "…"


def px(x: float) -> str:
    """A coordinate with one decimal at most."""
    return f"{x:.1f}".removesuffix(".0")


class Canvas:
    """Collects SVG elements. All text and attributes are escaped here and nowhere else."""

    def __init__(self, width: float, height: float):
        self.width, self.height = width, height
        self._parts: list[str] = []

    def rect(self, x: float, y: float, width: float, height: float, css: str, tip: str = "", radius: float = 0) -> None:
        """A rectangle; a negative width or height is turned round."""
        x, width = (x, width) if width >= 0 else (x + width, -width)
        y, height = (y, height) if height >= 0 else (y + height, -height)
        corner = f' rx="{px(radius)}"' if radius else ""
        size = f'width="{px(width)}" height="{px(height)}"{corner}'
        self._add(f'<rect x="{px(x)}" y="{px(y)}" {size} class="{css}"{_tip(tip)}/>')

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str) -> None:
        """A straight line."""
        self._add(f'<line x1="{px(x1)}" y1="{px(y1)}" x2="{px(x2)}" y2="{px(y2)}" class="{css}"/>')

    def path(self, d: str, css: str, tip: str = "") -> None:
        """Any path."""
        self._add(f'<path d="{escape(d)}" class="{css}"{_tip(tip)}/>')

    def text(self, x: float, y: float, text: str, css: str = "", *, anchor: str = "start", turn: float = 0) -> None:
        """A label; ``turn`` in degrees around its anchor."""
        turned = f' transform="rotate({px(turn)} {px(x)} {px(y)})"' if turn else ""
        side = "" if anchor == "start" else f' text-anchor="{anchor}"'
        style = f' class="{css}"' if css else ""
        self._add(f'<text x="{px(x)}" y="{px(y)}"{side}{style}{turned}>{escape(isolated(text))}</text>')

    def dots(self, xs: Sequence[float], ys: Sequence[float], css: str, first: int = 0) -> None:
        """Many points as one path of round caps; ``first`` is the data row of the first one, for the tooltips."""
        d = "".join(f"M{px(x)} {px(y)}h0" for x, y in zip(xs, ys, strict=True) if math.isfinite(x) and math.isfinite(y))
        self._add(f'<path d="{d}" class="dots {css}" data-first="{first}"/>')

    def mark(self, kind: str, x: float, y: float, css: str, tip: str = "", size: float = 5) -> None:
        """A symbol of its own shape, so that colour never tells alone."""
        self.path(_MARKS[kind](x, y, size), f"mark {css}", tip)

    def svg(self, key: str, title: str, description: str, css: str = "") -> str:
        """The drawing with its title and description."""
        return (
            f'<svg class="{css}" viewBox="0 0 {px(self.width)} {px(self.height)}" role="img" '
            f'aria-labelledby="{key}-t {key}-d" xmlns="http://www.w3.org/2000/svg" width="{px(self.width)}" '
            f'height="{px(self.height)}"><title id="{key}-t">{escape(title)}</title>'
            f'<desc id="{key}-d">{escape(description)}</desc>{"".join(self._parts)}</svg>'
        )

    def _add(self, element: str) -> None:
        self._parts.append(element)


def x_axis(
    canvas: Canvas, scale: Scale, top: float, bottom: float, label: str, digits: int | None = None, n: int = 5
) -> None:
    """Light vertical rules with numbers below and the label, unit included, under them."""
    ticks = scale.ticks(n)
    digits = decimals(ticks) if digits is None else digits
    for tick in ticks:
        canvas.line(scale(tick), top, scale(tick), bottom, "rule")
        canvas.text(scale(tick), bottom + 16, f"{tick:.{digits}f}".replace("-", "−"), "tick", anchor="middle")
    canvas.text((scale.start + scale.stop) / 2, bottom + 34, label, "axis", anchor="middle")


def y_axis(canvas: Canvas, scale: Scale, left: float, right: float, label: str, n: int = 4) -> None:
    """Light horizontal rules with numbers at the left and the label, unit included, above them."""
    ticks = scale.ticks(n)
    digits = decimals(ticks)
    for tick in ticks:
        canvas.line(left, scale(tick), right, scale(tick), "rule")
        canvas.text(left - 5, scale(tick) + 4, f"{tick:.{digits}f}".replace("-", "−"), "tick", anchor="end")
    canvas.text(0, min(scale.start, scale.stop) - 10, label, "axis")


def _tip(tip: str) -> str:
    return f' data-tip="{escape(isolated(tip))}"' if tip else ""


_MARKS = {
    "circle": lambda x, y, r: (
        f"M{px(x - r)} {px(y)}a{px(r)} {px(r)} 0 1 0 {px(2 * r)} 0a{px(r)} {px(r)} 0 1 0 {px(-2 * r)} 0z"
    ),
    "diamond": lambda x, y, r: (
        f"M{px(x - 1.25 * r)} {px(y)}L{px(x)} {px(y - 1.25 * r)}L{px(x + 1.25 * r)} {px(y)}L{px(x)} {px(y + 1.25 * r)}z"
    ),
    "square": lambda x, y, r: f"M{px(x - 0.9 * r)} {px(y - 0.9 * r)}h{px(1.8 * r)}v{px(1.8 * r)}h{px(-1.8 * r)}z",
    "triangle": lambda x, y, r: f"M{px(x)} {px(y - 1.15 * r)}L{px(x + 1.15 * r)} {px(y + 0.9 * r)}H{px(x - 1.15 * r)}z",
    "down": lambda x, y, r: f"M{px(x)} {px(y + 1.15 * r)}L{px(x + 1.15 * r)} {px(y - 0.9 * r)}H{px(x - 1.15 * r)}z",
    "bar": lambda x, y, r: f"M{px(x - 1)} {px(y - 1.6 * r)}h2v{px(3.2 * r)}h-2z",
    "cross": lambda x, y, r: (
        f"M{px(x - r)} {px(y - r)}l{px(2 * r)} {px(2 * r)}m0 {px(-2 * r)}l{px(-2 * r)} {px(2 * r)}"
    ),
}

SERIES = {
    "optimum": ("diamond", "s-optimum"),
    "natural": ("circle", "s-natural"),
    "uniform": ("bar", "s-uniform"),
    "current": ("triangle", "s-current"),
    "temperature": ("square", "s-temperature"),
    "unimax": ("down", "s-unimax"),
}
"""Symbol and colour of each mixture, the same in every figure; any other name gets a cross."""


def series(name: str) -> tuple[str, str]:
    """Symbol and CSS class of a mixture."""
    return SERIES.get(name, ("cross", "s-other"))


def legend(canvas: Canvas, names: Sequence[str], x: float, y: float, room: float) -> float:
    """Symbols with names, wrapped; returns the y below it."""
    at = x
    for name in names:
        width = text_width(name) + 30
        if at > x and at + width > x + room:
            at, y = x, y + 20
        kind, css = series(name)
        canvas.mark(kind, at + 6, y, css)
        canvas.text(at + 16, y + 4.5, name, "label")
        at += width
    return y + 20
