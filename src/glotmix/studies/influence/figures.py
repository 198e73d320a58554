"""Shares over the checkpoints of a run, each beside the band that it would lie in by chance."""

from __future__ import annotations

from collections.abc import Sequence

from glotmix.estimate import Estimate
from glotmix.report.figures.drawing import Canvas, Cell, Figure, Scale, px, y_axis
from glotmix.studies.influence.findings import CheckpointShares, InfluenceEvidence, TaskInfluence
from glotmix.wording import interval, share

WIDTH, HEIGHT = 250, 190


def courses(evidence: InfluenceEvidence, task: TaskInfluence, key: str) -> list[Figure]:
    """One panel per test language."""
    figures = []
    for i, (language, points) in enumerate(task.course.items()):
        if len(points) > 1:
            figures.append(_course(evidence.name_of(language), points, f"{key}-{i}"))
    return figures


def _course(name: str, points: Sequence[CheckpointShares], key: str) -> Figure:
    first, last = points[0], points[-1]
    finding = f"{name}: own share {share(first.own.value)} → {share(last.own.value)}"
    if last.translated is not None and first.translated is not None:
        finding += f", translations {share(first.translated.value)} → {share(last.translated.value)}"
    about = f"{finding}. " + "; ".join(f"{p.checkpoint}: own {interval(p.own)}" for p in points)
    canvas = Canvas(WIDTH, HEIGHT)
    top, bottom, left, right = 24.0, 150.0, 34.0, WIDTH - 8.0
    every = [e for p in points for e in (p.own, p.own_null, p.translated, p.translated_null) if e is not None]
    y = Scale.around([v for e in every for v in (e.value, e.low, e.high) if v is not None], bottom, top, zero=True)
    y_axis(canvas, y, left, right, "share of the top samples", n=3)
    x = Scale(0, len(points) - 1, left + 10, right - 10)
    for i, point in enumerate(points):
        short = point.checkpoint.rpartition("-")[2]
        canvas.text(x(i), bottom + 16, short, "tick", anchor="middle")
    canvas.text((left + right) / 2, bottom + 34, "checkpoint", "axis", anchor="middle")
    kinds = (
        ("own", "s-optimum", [p.own for p in points], [p.own_null for p in points]),
        ("translated", "s-natural", [p.translated for p in points], [p.translated_null for p in points]),
    )
    for what, css, values, nulls in kinds:
        _band(canvas, x, y, nulls, css)
        _line(canvas, x, y, values, css, what)
    rows: list[tuple[Cell, ...]] = [
        (p.checkpoint, *_cells(p.own), *_cells(p.own_null), *_cells(p.translated), *_cells(p.translated_null))
        for p in points
    ]
    names = ("own", "own by chance", "translations", "translations by chance")
    columns = ("checkpoint", *[f"{n}{end}" for n in names for end in ("", " low", " high")])
    return Figure(key, finding, about, (canvas.svg(key, finding, about),), columns, rows)


def _band(canvas: Canvas, x: Scale, y: Scale, nulls: Sequence[Estimate | None], css: str) -> None:
    ends = [(i, e.low, e.high) for i, e in enumerate(nulls) if e is not None and e.low is not None]
    if len(ends) < 2:
        return
    upper = " ".join(f"{px(x(i))} {px(y(high))}" for i, _, high in ends if high is not None)
    lower = " ".join(f"{px(x(i))} {px(y(low))}" for i, low, _ in reversed(ends) if low is not None)
    canvas.path(f"M{upper} {lower}z", f"{css} band")


def _line(canvas: Canvas, x: Scale, y: Scale, values: Sequence[Estimate | None], css: str, what: str) -> None:
    there = [(i, e) for i, e in enumerate(values) if e is not None]
    if not there:
        return
    canvas.path("M" + " ".join(f"{px(x(i))} {px(y(e.value))}" for i, e in there), f"{css} curve")
    for i, e in there:
        if e.low is not None and e.high is not None:
            canvas.line(x(i), y(e.low), x(i), y(e.high), f"{css} whisker thin")
        mark = "diamond" if what == "own" else "circle"
        canvas.mark(mark, x(i), y(e.value), f"{css} filled", f"{what}: {interval(e)}", 3.5)


def _cells(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if estimate is None else (estimate.value, estimate.low, estimate.high)
