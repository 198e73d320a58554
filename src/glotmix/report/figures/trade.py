"""What one objective costs in terms of another, and where the time of a sweep went."""

from __future__ import annotations

from dataclasses import replace

from glotmix.estimate import Estimate
from glotmix.report.evidence import Evidence, Front, RunRow
from glotmix.report.figures.drawing import (
    NARROW,
    WIDE,
    Canvas,
    Cell,
    Figure,
    Scale,
    legend,
    px,
    series,
    x_axis,
    y_axis,
)
from glotmix.report.frames.timeline import lanes
from glotmix.report.frames.trade import TradeRow, trade_finding, trade_rows
from glotmix.report.frames.units import aim
from glotmix.wording import NBSP, counted, duration, interval, number, share

ROLES = ("coalition", "swarm", "held_out", "anchor", "ladder", "active", "validation", "turn", "schedule")
"""Roles of runs in the order in which they take the colours."""


def front_figure(evidence: Evidence, front: Front) -> Figure:
    """The stated objective against the one that it leaves out: the front, and every mixture as it was measured."""
    second = "1 - score" if front.errors[1] else evidence.unit
    front = replace(front, first=evidence.in_own_words(front.first), second=evidence.in_own_words(front.second))
    finding = trade_finding(front, second)
    first = "1 - score" if front.errors[0] else aim(evidence).unit
    labels = (f"{front.first} ({first})", f"{front.second} ({second})")
    languages = list(front.points[0][2])
    shown = [row for row in trade_rows(evidence, front) if series(row.name)[1] != "s-other"]
    kinds = ("predicted", "low", "high", "measured", "low", "high")
    rows: list[tuple[Cell, ...]] = []
    for i, (a, b, mixture) in enumerate(front.points):
        none: list[Cell] = [None] * 5
        rows.append((f"front {i + 1}", a, *none, b, *none, *[mixture.get(name, 0.0) for name in languages]))
    for row in trade_rows(evidence, front):
        both = [[*_three(row.predicted[i]), *(_three(row.measured[i]) if row.measured else [None] * 3)] for i in (0, 1)]
        rows.append((row.name, *both[0], *both[1], *[None] * len(languages)))
    line = len(front.points) > 2
    note = "Down and left is better. " + (
        "The line: mixtures that nothing allowed beats in both, by the law, with the recommended one at its upper left "
        "end. "
        if line
        else "Hollow circles: the best mixture for each of the two, by the law. "
    )
    if any(row.measured for row in shown):
        note += f"Filled: measured, with 95{NBSP}% intervals. Hollow: what the law predicted."
    else:
        note += f"Hollow: what the law predicts, with its 95{NBSP}% intervals; nothing was trained."
    if line and evidence.advice is not None and evidence.advice.penalty is not None:
        note += " The line leaves out what holds the recommended mixture near another."
    about = f"{finding}. {len(front.points)} mixtures between the best for each."
    return Figure(
        "front",
        finding,
        about,
        tuple(_draw_front(evidence, front, shown, labels, width, finding, about) for width in (WIDE, NARROW)),
        ("mixture", *[f"{label}, {kind}" for label in labels for kind in kinds], *[f"p/{name}" for name in languages]),
        rows,
        note,
    )


def _three(estimate: Estimate) -> list[Cell]:
    return [estimate.value, estimate.low, estimate.high]


def _draw_front(
    evidence: Evidence,
    front: Front,
    shown: list[TradeRow],
    labels: tuple[str, str],
    width: int,
    finding: str,
    about: str,
) -> str:
    canvas = Canvas(width, 0)
    left, right = 58, width - 14
    top = legend(canvas, [row.name for row in shown], left, 12, right - left) + 24
    bottom = top + (300 if width == WIDE else 240)
    canvas.height = bottom + 42
    firsts, seconds = [a for a, _, _ in front.points], [b for _, b, _ in front.points]
    for row in shown:
        for values, i in ((firsts, 0), (seconds, 1)):
            values.append(row.predicted[i].value)
            best = (row.measured or row.predicted)[i]
            values += [x for x in (best.low, best.high) if x is not None]
    x, y = Scale.around(firsts, left, right), Scale.around(seconds, bottom, top)
    y_axis(canvas, y, left, right, labels[1])
    x_axis(canvas, x, top, bottom, labels[0], n=5 if width == WIDE else 3)
    if len(front.points) > 2:
        canvas.path("M" + "L".join(f"{px(x(p))} {px(y(q))}" for p, q, _ in front.points), "s-optimum curve")
    for p, q, mixture in front.points:
        tip = "\n".join(f"{evidence.name_of(name)} {share(p)}" for name, p in mixture.items())
        canvas.mark("circle", x(p), y(q), "s-optimum hollow", tip, 3)
    for row in shown:
        kind, css = series(row.name)
        a, b = row.predicted
        tip = f"{row.name}, predicted\n{interval(a)} and {interval(b)}"
        if row.measured is None:
            _whiskers(canvas, x, y, a, b, css)
        canvas.mark(kind, x(a.value), y(b.value), f"{css} hollow", tip, 4.5)
    for row in shown:
        if row.measured is not None:
            kind, css = series(row.name)
            a, b = row.measured
            _whiskers(canvas, x, y, a, b, css)
            tip = f"{row.name}, measured\n{interval(a)} and {interval(b)}"
            canvas.mark(kind, x(a.value), y(b.value), f"{css} on-bar", tip, 6)
    return canvas.svg(f"front-{width}", finding, about, "wide" if width == WIDE else "narrow")


def _whiskers(canvas: Canvas, x: Scale, y: Scale, a: Estimate, b: Estimate, css: str) -> None:
    if a.low is not None and a.high is not None:
        canvas.line(x(a.low), y(b.value), x(a.high), y(b.value), f"{css} whisker thin")
    if b.low is not None and b.high is not None:
        canvas.line(x(a.value), y(b.low), x(a.value), y(b.high), f"{css} whisker thin")


def timeline(evidence: Evidence) -> Figure | None:
    """When every job of the sweep ran, and beside which others."""
    rows = [run for run in evidence.runs if run.began is not None and run.ended is not None]
    if not rows:
        return None
    packed = lanes(rows)
    jobs = len({(run.began, run.ended) for run in rows})
    busy = sum(ended - began for began, ended in {(r.began or 0.0, r.ended or 0.0) for r in rows})
    span = max(r.ended or 0.0 for r in rows) - min(r.began or 0.0 for r in rows)
    finding = (
        f"{counted(len(rows), 'run')} in {counted(jobs, 'job')} took {duration(span)}, "
        f"{number(busy / span, 1) if span else '1'} at a time on average"
    )
    about = f"{finding}. " + ", ".join(f"{role}: {n}" for role, n in _counts(rows).items())
    start = min(run.began or 0.0 for run in rows)
    data = [(r.run, r.role, r.status, (r.began or 0.0) - start, (r.ended or 0.0) - start, r.seconds) for r in rows]
    return Figure(
        "timeline",
        finding,
        about,
        tuple(_draw_timeline(packed, width, start, span, finding, about) for width in (WIDE, NARROW)),
        ("run", "role", "status", "began (s)", "ended (s)", "its share of the job (s)"),
        data,
        "A bar is a job: one run, or several trained as one program. Gaps are pauses and restarts.",
    )


def _counts(rows: list[RunRow]) -> dict[str, int]:
    return {role: sum(1 for r in rows if r.role == role) for role in dict.fromkeys(r.role for r in rows)}


def _draw_timeline(
    packed: list[list[list[RunRow]]], width: int, start: float, span: float, finding: str, about: str
) -> str:
    roles = dict.fromkeys(run.role for lane in packed for job in lane for run in job)
    canvas = Canvas(width, 0)
    left, right, row = 14, width - 14, 20 if len(packed) <= 12 else 6
    at = left
    for role in roles:
        canvas.rect(at, 6, 12, 12, f"role r{_colour(role)}", "", 2)
        canvas.text(at + 17, 16.5, role.replace("_", " ") or "run", "label z12")
        at += 34 + 7 * len(role)
    top = 32.0
    bottom = top + row * len(packed)
    canvas.height = bottom + 42
    size, unit = (3600.0, "hours") if span > 2 * 3600 else (60.0, "minutes") if span > 120 else (1.0, "seconds")
    x = Scale(0.0, max(span, 1e-9) / size, left, right)
    x_axis(canvas, x, top, bottom, f"{unit} since the first job began", n=6 if width == WIDE else 3)
    for i, lane in enumerate(packed):
        for job in lane:
            began, ended = (job[0].began or 0.0) - start, (job[0].ended or 0.0) - start
            tip = f"{counted(len(job), 'run')}, {duration(ended - began)}\n" + ", ".join(r.run for r in job[:6])
            tip += ", …" if len(job) > 6 else ""
            wide = max(x(ended / size) - x(began / size) - 1, 0.8)
            css = f"role r{_colour(job[0].role)}"
            canvas.rect(x(began / size), top + row * i + 2, wide, row - 4, css, tip, 1.5)
    return canvas.svg(f"timeline-{width}", finding, about, "wide" if width == WIDE else "narrow")


def _colour(role: str) -> int:
    return ROLES.index(role) if role in ROLES else len(ROLES)
