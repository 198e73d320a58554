"""Loss of each language against passes over its text, with the point where another pass no longer pays."""

from __future__ import annotations

from glotmix.optimize.turning import Turning
from glotmix.report.evidence import Evidence
from glotmix.report.figures.drawing import Canvas, Figure, Scale, px, x_axis, y_axis
from glotmix.wording import number

WIDTH = 250
"""Pixels of a panel."""


def passes(evidence: Evidence) -> list[Figure]:
    """One curve per language."""
    return [_curve(evidence, one, f"passes-{k}") for k, one in enumerate(evidence.turning)]


def finding(evidence: Evidence, one: Turning) -> str:
    """In a sentence."""
    name, within = evidence.name_of(one.language), ""
    if one.low is not None and one.high is not None:
        within = f" [{number(one.low, 0)}, {number(one.high, 0)}]"
    if not one.reached:
        return f"{name}: more passes still pay at {number(one.passes_K[-1], 0)}"
    return f"{name}: no further pass pays after {number(one.best, 0)}{within}"


def _curve(evidence: Evidence, one: Turning, key: str) -> Figure:
    words = finding(evidence, one)
    about = f"{words}; the recommended mixture makes {number(one.recommended, 1)}, runs up to {number(one.seen, 0)}."
    canvas = Canvas(WIDTH, 200)
    top, bottom, left, right = 24, 160, 38, WIDTH - 6
    x = Scale.around([*one.passes_K], left, right, zero=True)
    # What it costs to have none at all would hide the rest.
    shown = [loss for e, loss in zip(one.passes_K, one.loss_K, strict=True) if e >= 0.02 * one.passes_K[-1]]
    y = Scale.around(shown, bottom, top)
    y_axis(canvas, y, left, right, f"predicted loss ({evidence.unit})", n=3)
    x_axis(canvas, x, top, bottom, "passes over its text", n=3)
    if one.low is not None and one.high is not None:
        canvas.line(x(one.low), bottom - 4, x(one.high), bottom - 4, "whisker ink")
    points = [(e, loss) for e, loss in zip(one.passes_K, one.loss_K, strict=True) if loss <= y.high]
    line = "L".join(f"{px(x(e))} {px(y(loss))}" for e, loss in points)
    canvas.path(f"M{line}", "s-optimum curve")
    here = min(range(len(one.passes_K)), key=lambda k: abs(one.passes_K[k] - one.recommended))
    if one.loss_K[here] <= y.high:
        tip = f"recommended: {number(one.recommended, 1)} passes"
        canvas.mark("diamond", x(one.passes_K[here]), y(one.loss_K[here]), "s-optimum filled", tip)
    return Figure(
        key,
        words,
        about,
        (canvas.svg(key, words, about),),
        ("passes", f"loss ({evidence.unit})"),
        list(zip(one.passes_K, one.loss_K, strict=True)),
    )
