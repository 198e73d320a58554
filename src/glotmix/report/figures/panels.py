"""Small multiples, one per language: waterfall of its gain, loss against share, predictions against truth."""

from __future__ import annotations

import numpy as np

from glotmix.report.evidence import Evidence, HeldOutPredictions
from glotmix.report.figures.drawing import Canvas, Figure, Scale, shortened, x_axis, y_axis
from glotmix.report.frames.accuracy import absolute_error, relative_error
from glotmix.report.frames.transfer import waterfall
from glotmix.report.frames.units import gain_unit, reading
from glotmix.transfer.matrix import TransferMatrix
from glotmix.wording import NBSP, interval, number, share, signed

WIDTH, SMALL = 340, 250
"""Pixels of a waterfall and of a scatter plot."""
MOST_POINTS, OF_MANY = 120, 60
"""Points drawn (and offered as data) in one small panel, and in each of more than ``MANY``; all runs are in the table
of runs."""
MANY = 24


def waterfalls(evidence: Evidence, matrix: TransferMatrix) -> list[Figure]:
    """One waterfall per target."""
    return [_waterfall(evidence, matrix, target, f"waterfall-{i}") for i, target in enumerate(matrix.targets)]


def _waterfall(evidence: Evidence, matrix: TransferMatrix, target: str, key: str) -> Figure:
    frame = waterfall(matrix, target)
    top_source, top = frame.steps[0]
    name, unit = evidence.name_of(target), gain_unit(evidence, matrix, target)
    gained = "rise of the score" if target in evidence.scored else "reduction of loss"
    helper = "itself" if top_source == target else evidence.name_of(top_source)
    finding = (
        f"{name}: most from {helper} ({signed(top.value, 2)} {unit})" if top.value > 0 else f"{name}: nothing helps"
    )
    about = finding + ". " + "; ".join(f"{evidence.name_of(s)} {signed(e.value, 2)}" for s, e in frame.steps)
    left, right, step, y0 = 104, 52, 22, 8
    canvas = Canvas(WIDTH, y0 + step * (len(frame.steps) + 1) + 42)
    ends, at = [0.0], 0.0
    for _, e in frame.steps:
        at += e.value
        ends.append(at)
    # Intervals are inside the scale, so that none strikes through a name or a number.
    reach = [ends[i] + v for i, (_, e) in enumerate(frame.steps) for v in (e.low, e.high) if v is not None]
    x = Scale.around([*ends, *reach, frame.total], left, WIDTH - right, zero=True)
    bottom = y0 + step * (len(frame.steps) + 1)
    x_axis(canvas, x, y0, bottom, f"{gained}, added up ({unit})", n=4)
    canvas.line(x(0), y0, x(0), bottom, "zero")
    for i, (source, e) in enumerate(frame.steps):
        y = y0 + step * i + step / 2
        a, b = x(ends[i]), x(ends[i + 1])
        css = "helps" if e.value >= 0 else "hurts"
        label = "itself" if source == target else evidence.name_of(source)
        canvas.text(
            left - 7,
            y + 4,
            shortened(label, left - 9, 12),
            "label z12" + (" strong" if source == target else ""),
            anchor="end",
        )
        canvas.rect(a, y - 6, (b - a) or 0.6, 12, css, f"{label}\n{interval(e)} {unit}", 1)
        if e.low is not None and e.high is not None:
            canvas.line(x(ends[i] + e.low), y, x(ends[i] + e.high), y, "whisker ink thin")
        canvas.line(b, y + 6, b, y + step - 6, "step")
        canvas.text(WIDTH - 2, y + 4, signed(e.value, 2), "value z12", anchor="end")
    y = y0 + step * len(frame.steps) + step / 2
    canvas.text(left - 7, y + 4, "together", "label z12 strong", anchor="end")
    canvas.rect(x(0), y - 6, x(frame.total) - x(0), 12, "total", f"together {signed(frame.total)} {unit}", 1)
    canvas.text(WIDTH - 2, y + 4, signed(frame.total, 2), "value z12 strong", anchor="end")
    rows = [(s, e.value, e.low, e.high) for s, e in frame.steps]
    return Figure(
        key,
        finding,
        about,
        (canvas.svg(key, finding, about),),
        ("source", f"value ({unit})", "low", "high"),
        rows,
    )


def shares(evidence: Evidence) -> list[Figure]:
    """Loss of each language against its own share, every run a point."""
    runs = evidence.measurements
    if runs is None:
        return []
    figures, own_targets = [], [t for t in runs.targets if t in runs.languages]
    most = MOST_POINTS if len(own_targets) <= MANY else OF_MANY
    for k, target in enumerate(own_targets):
        own = runs.p_RL[:, runs.languages.index(target)]
        told = reading(evidence, target)
        loss = told.factor * (1 - runs.loss(target) if told.turned else runs.loss(target))
        index = thinned(np.flatnonzero(np.isfinite(loss)), most)
        figures.append(_share(evidence, target, own[index], loss[index], [runs.runs[i] for i in index], f"share-{k}"))
    return figures


def thinned(index: np.ndarray, most: int = MOST_POINTS) -> np.ndarray:
    """At most so many of the indices, evenly picked."""
    return index if len(index) <= most else index[np.linspace(0, len(index) - 1, most).astype(int)]


def _share(evidence: Evidence, target: str, p_R: np.ndarray, loss_R: np.ndarray, runs: list[str], key: str) -> Figure:
    name, told = evidence.name_of(target), reading(evidence, target)
    finding = _share_finding(name, p_R, loss_R, told.unit)
    about = f"{finding}. {len(runs)} runs."
    canvas = Canvas(SMALL, 200)
    top, bottom, left, right = 24, 160, 38, SMALL - 6
    x = Scale.around([0.0, *(100 * p_R)], left, right, zero=True)
    y = Scale.around(list(loss_R), bottom, top)
    y_axis(canvas, y, left, right, f"held-out {told.what} ({told.unit})", n=3)
    x_axis(canvas, x, top, bottom, "its share of training tokens (%)", n=3)
    canvas.dots([x(100 * p) for p in p_R], [y(v) for v in loss_R], "s-muted" if len(runs) > 150 else "s-muted big")
    advice = evidence.advice
    if advice is not None and target in advice.optimum.mixture:
        at = 100 * advice.optimum.mixture[target]
        if x.low <= at <= x.high:
            canvas.line(x(at), top, x(at), bottom, "s-optimum whisker")
            if target in advice.optimum.losses:
                value = told.of(advice.optimum.losses[target])
                canvas.mark(
                    "diamond",
                    x(at),
                    y(value.value),
                    "s-optimum filled",
                    f"optimum: {share(at / 100)}\npredicted {interval(value)} {told.unit}",
                )
    rows = [(run, float(p), float(v)) for run, p, v in zip(runs, p_R, loss_R, strict=True)]
    return Figure(
        key, finding, about, (canvas.svg(key, finding, about),), ("run", "share", f"{told.what} ({told.unit})"), rows
    )


def _share_finding(name: str, p_R: np.ndarray, loss_R: np.ndarray, unit: str) -> str:
    if len(p_R) < 4 or np.ptp(p_R) == 0:
        return f"{name}: {len(p_R)} runs"
    order = np.argsort(p_R, kind="stable")
    quarter = max(1, len(order) // 4)
    low, high = loss_R[order[:quarter]].mean(), loss_R[order[-quarter:]].mean()
    return f"{name}: {number(float(low), 2)} {unit} at its smallest shares, {number(float(high), 2)} at its largest"


def predictions(evidence: Evidence, law: str, most: int = 40) -> list[Figure]:
    """Predicted against measured loss on held-out mixtures, one panel per target; of many targets the worst ones."""
    held = [h for h in evidence.held_out if h.law == law]
    if len(held) > most:
        held = sorted(held, key=relative_error, reverse=True)[:most]
    return [_prediction(evidence, h, f"prediction-{i}") for i, h in enumerate(held)]


def _prediction(evidence: Evidence, held: HeldOutPredictions, key: str) -> Figure:
    keep = thinned(np.flatnonzero(np.isfinite(held.predicted_R) & np.isfinite(held.measured_R)))
    name, told = evidence.name_of(held.target), reading(evidence, held.target)
    a, b = ([told.value(float(x)) for x in x_R[keep]] for x_R in (held.measured_R, held.predicted_R))
    off = f"{number(100 * relative_error(held), 2)}{NBSP}%"
    if told.what != "loss":
        off = f"{number(told.factor * absolute_error(held), 2)} {told.unit}"
    finding = f"{name}: off by {off}"
    about = f"{finding} on {len(a)} held-out mixtures, {held.law}."
    canvas = Canvas(SMALL, 206)
    top, bottom, left, right = 24, 166, 38, SMALL - 6
    x = Scale.around([*a, *b], left, right)
    y = Scale(x.low, x.high, bottom, top)
    y_axis(canvas, y, left, right, f"predicted ({told.unit})", n=3)
    x_axis(canvas, x, top, bottom, f"measured ({told.unit})", n=3)
    canvas.line(x(x.low), y(x.low), x(x.high), y(x.high), "zero")
    canvas.dots([x(v) for v in a], [y(v) for v in b], "s-optimum big" if len(a) <= 150 else "s-optimum")
    rows = [(run, float(m), float(p)) for run, m, p in zip((held.runs[i] for i in keep), a, b, strict=True)]
    return Figure(key, finding, about, (canvas.svg(key, finding, about),), ("run", "measured", "predicted"), rows)
