"""Scores over the number of samples: one panel per curve, a line per group of languages, intervals as whiskers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from glotmix.estimate import Estimate
from glotmix.report.figures.drawing import NARROW, WIDE, Canvas, Figure, Scale, text_width, y_axis
from glotmix.studies.posttraining.findings import CurveRow, PosttrainingReport
from glotmix.wording import interval, number

GROUPS = {
    "pivot": ("circle", "s-natural"),
    "seen": ("diamond", "s-optimum"),
    "unseen": ("square", "s-temperature"),
}
"""Symbol and colour of a group."""
SCRIPTS = {"Latin": ("triangle", "s-current"), "other scripts": ("down", "s-unimax")}


def growth(page: PosttrainingReport, row: CurveRow, key: str) -> Figure:
    """Pivot, seen and unseen languages over sizes."""
    seen, pivot = row.groups["seen"], row.groups["pivot"]
    finding = (
        f"{row.task}: seen languages go from {number(seen[0].value, 2)} to {number(seen[-1].value, 2)}, "
        f"{page.name_of(page.pivot)} from {number(pivot[0].value, 2)} to {number(pivot[-1].value, 2)}"
    )
    if "unseen" in row.groups:
        unseen = row.groups["unseen"]
        finding += f", unseen from {number(unseen[0].value, 2)} to {number(unseen[-1].value, 2)}"
    return _figure(page, row, key, finding, GROUPS)


def scripts(page: PosttrainingReport, row: CurveRow, key: str) -> Figure | None:
    """Latin against other scripts."""
    if any(name not in row.groups for name in SCRIPTS):
        return None
    latin, others = (row.groups[name][-1].value for name in SCRIPTS)
    finding = f"{row.task}: Latin scripts end at {number(latin, 2)}, others at {number(others, 2)}"
    return _figure(page, row, key, finding, SCRIPTS)


def relative(page: PosttrainingReport, row: CurveRow, key: str) -> Figure:
    """The other languages' mean over the pivot's."""
    start, end = row.relative[0].value, row.relative[-1].value
    finding = (
        f"{row.task}: beside {page.name_of(page.pivot)}, the other languages go from "
        f"{number(100 * start, 0)} % to {number(100 * end, 0)} %"
    )
    lines = {"relative": ("diamond", "s-optimum")}
    return _drawn(page, row, key, finding, {"relative": row.relative}, lines, "share of the pivot's score")


def gap(page: PosttrainingReport, row: CurveRow, key: str) -> Figure:
    """Seen minus unseen languages."""
    finding = f"{row.task}: seen languages lead unseen ones by {number(row.gap[-1].value, 2)} at the largest size"
    lines = {"seen minus unseen": ("square", "s-temperature")}
    return _drawn(page, row, key, finding, {"seen minus unseen": row.gap}, lines, "difference of scores")


def _figure(
    page: PosttrainingReport, row: CurveRow, key: str, finding: str, groups: dict[str, tuple[str, str]]
) -> Figure:
    there = {name: row.groups[name] for name in groups if name in row.groups}
    return _drawn(page, row, key, finding, there, groups, "score")


def _drawn(
    page: PosttrainingReport,
    row: CurveRow,
    key: str,
    finding: str,
    there: dict[str, tuple[Estimate, ...]],
    symbols: dict[str, tuple[str, str]],
    label: str,
) -> Figure:
    about = f"{finding}. " + "; ".join(
        f"{name}: " + ", ".join(f"{size} samples {interval(e, 2)}" for size, e in zip(row.sizes, line, strict=True))
        for name, line in there.items()
    )
    data = [
        (name, size, e.value, e.low, e.high)
        for name, line in there.items()
        for size, e in zip(row.sizes, line, strict=True)
    ]
    drawings = tuple(_draw(row.sizes, there, symbols, width, key, finding, about, label) for width in (WIDE, NARROW))
    columns = ("languages", "samples per language", label, "low", "high")
    new = "new seeds and new questions" if row.task in page.noise else "new questions; nothing was repeated"
    note = f"{row.base}, trained on {row.trained}. Whiskers: 95 % intervals for {new}."
    return Figure(key, finding, about, drawings, columns, data, note)


def _draw(
    sizes: Sequence[int],
    there: dict[str, tuple[Estimate, ...]],
    symbols: dict[str, tuple[str, str]],
    width: int,
    key: str,
    finding: str,
    about: str,
    label: str,
) -> str:
    canvas = Canvas(width, 268)
    left, right, top, bottom = 44, width - 16, 46, 218
    at = float(left)
    for name in there:
        kind, css = symbols[name]
        canvas.mark(kind, at + 6, 10, css)
        canvas.text(at + 16, 14.5, name, "label")
        at += text_width(name) + 34
    every = [x for line in there.values() for e in line for x in (e.value, e.low, e.high)]
    ends = [x for x in every if x is not None and math.isfinite(x)]
    y = Scale.around([*ends, 0.0 if any(ends) else 1.0], bottom, top, zero=True)
    y_axis(canvas, y, left, right, label)
    step = (right - left) / len(sizes)
    places = [left + step * (i + 0.5) for i in range(len(sizes))]
    for place, size in zip(places, sizes, strict=True):
        canvas.text(place, bottom + 16, str(size), "tick", anchor="middle")
    canvas.text((left + right) / 2, bottom + 36, "samples of each language beside the pivot", "axis", anchor="middle")
    for offset, (name, line) in enumerate(there.items()):
        kind, css = symbols[name]
        shift = 5 * (offset - (len(there) - 1) / 2)
        points = [(x + shift, e) for x, e in zip(places, line, strict=True) if math.isfinite(e.value)]
        if points:
            canvas.path("M" + "L".join(f"{x:.1f} {y(e.value):.1f}" for x, e in points), f"curve {css}")
        for (x, e), size in zip(points, sizes, strict=False):
            if e.low is not None and e.high is not None:
                canvas.line(x, y(max(e.low, y.low)), x, y(min(e.high, y.high)), f"whisker thin {css}")
            canvas.mark(kind, x, y(e.value), css, f"{name}, {size} samples\n{interval(e, 3)}", 4)
    return canvas.svg(f"{key}-{width}", finding, about, "wide" if width == WIDE else "narrow")
