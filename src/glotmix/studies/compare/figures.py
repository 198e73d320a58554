"""How losses go over a run: a language's held-out loss and that of its training text, one panel per method."""

from __future__ import annotations

from collections.abc import Sequence

from glotmix.report.figures.drawing import Canvas, Figure, Scale, x_axis, y_axis
from glotmix.studies.compare.findings import OverfittingRow
from glotmix.wording import interval, number

WIDTH, HEIGHT = 250, 200
"""Pixels of a panel."""


def courses(watches: Sequence[OverfittingRow], name: str) -> list[Figure]:
    """One panel per method on one language, all on the same scales."""
    losses = [loss for watch in watches for moment in watch.moments for loss in (moment.trained, moment.held_out)]
    return [_course(watch, name, losses, f"course-{place}") for place, watch in enumerate(watches)]


def _course(watch: OverfittingRow, name: str, losses: Sequence[float], key: str) -> Figure:
    end = watch.moments[-1]
    finding = f"{watch.method}: {watch.verdict}"
    about = (
        f"{finding}. {name}, {number(end.epochs, 1)} epochs; held-out loss {number(end.held_out)} nats per token at "
        f"the end, {interval(watch.rise)} above its least; on training text {number(end.trained)}."
    )
    canvas = Canvas(WIDTH, HEIGHT)
    top, bottom, left, right = 24, HEIGHT - 40, 34, WIDTH - 6
    x = Scale(0, end.tokens / 1e6, left, right)
    y = Scale.around(losses, bottom, top)
    y_axis(canvas, y, left, right, "loss (nats per token)", n=3)
    x_axis(canvas, x, top, bottom, "training tokens (millions)", n=3)
    for css, values in (
        ("curve s-muted", [moment.trained for moment in watch.moments]),
        ("curve s-optimum", [moment.held_out for moment in watch.moments]),
    ):
        points = [(x(m.tokens / 1e6), y(value)) for m, value in zip(watch.moments, values, strict=True)]
        canvas.path("M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points), css)
    tip = f"least held-out loss {number(watch.best.held_out)}\nafter {number(watch.best.epochs, 1)} epochs"
    canvas.mark("diamond", x(watch.best.tokens / 1e6), y(watch.best.held_out), "s-optimum", tip, 4)
    rows = [(m.tokens, m.epochs, m.trained, m.held_out) for m in watch.moments]
    columns = ("tokens", "epochs", "loss on training text", "held-out loss")
    return Figure(key, finding, about, (canvas.svg(key, finding, about),), columns, rows)
