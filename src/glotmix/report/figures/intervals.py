"""Rows of values with intervals: the closed loop, and the laws' held-out errors."""

from __future__ import annotations

import math

from glotmix.report.evidence import Evidence
from glotmix.report.figures.drawing import NARROW, WIDE, Canvas, Figure, Scale, series, shortened, x_axis
from glotmix.report.frames.accuracy import LawRow, law_rows
from glotmix.report.frames.loop import LoopRow, loop_rows, verdicts
from glotmix.report.frames.units import aim
from glotmix.wording import NBSP, interval, listed, number


def closed_loop(evidence: Evidence) -> Figure | None:
    """Predicted against measured objective of every trained mixture."""
    rows = loop_rows(evidence)
    if not rows:
        return None
    told = aim(evidence)
    rows = [
        LoopRow(
            row.name,
            tuple(told.value(x) for x in row.seeds),
            told.of(row.measured),
            None if row.predicted is None else told.of(row.predicted),
        )
        for row in rows
    ]
    what = told.what if evidence.advice else "mean loss"
    finding = _loop_finding(evidence, rows)
    about = f"{finding}. " + "; ".join(
        f"{row.name}: measured {interval(row.measured)}"
        + (f", predicted {interval(row.predicted)}" if row.predicted else "")
        for row in rows
    )
    data = [
        (
            row.name,
            row.measured.value,
            row.measured.low,
            row.measured.high,
            row.predicted.value if row.predicted else None,
            row.predicted.low if row.predicted else None,
            row.predicted.high if row.predicted else None,
            len(row.seeds),
        )
        for row in rows
    ]
    return Figure(
        "loop",
        finding,
        about,
        tuple(
            _draw_loop(rows, width, f"{what} ({told.unit}); {told.better} is better", finding, about)
            for width in (WIDE, NARROW)
        ),
        (
            "mixture",
            "measured",
            "measured low",
            "measured high",
            "predicted",
            "predicted low",
            "predicted high",
            "seeds",
        ),
        data,
        f"Filled: measured mean with its 95{NBSP}% interval; small ticks: single seeds. Hollow: what the law predicted "
        "before the mixture was trained.",
    )


def _loop_finding(evidence: Evidence, rows: list[LoopRow]) -> str:
    found = verdicts(evidence)
    if not found:
        return f"{rows[0].name} measured best"
    better = [v.baseline for v in found if v.outcome == "better"]
    level = [v.baseline for v in found if v.outcome == "within the noise"]
    worse = [v.baseline for v in found if v.outcome == "worse"]
    parts = []
    if better:
        parts.append(f"beats {listed(better)} beyond the noise")
    if level:
        parts.append(f"cannot be told from {listed(level)}")
    if worse:
        parts.append(f"is worse than {listed(worse)}")
    return f"Trained for real, the optimum {listed(parts)}"


def _draw_loop(rows: list[LoopRow], width: int, label: str, finding: str, about: str) -> str:
    left, right, step = (110, 20, 40) if width == WIDE else (102, 10, 40)
    canvas = Canvas(width, 0)
    top = 28.0
    for kind, css, text, at in (("circle", "filled", "measured", left), ("circle", "hollow", "predicted", left + 105)):
        canvas.mark(kind, at + 6, 10, f"ink {css}")
        canvas.text(at + 16, 14.5, text, "label")
    bottom = top + step * len(rows)
    canvas.height = bottom + 42
    values = [v for row in rows for v in (row.measured.low, row.measured.high, *row.seeds)]
    values += [v for row in rows if row.predicted for v in (row.predicted.value, row.predicted.low, row.predicted.high)]
    x = Scale.around([v for v in values if v is not None], left, width - right)
    x_axis(canvas, x, top, bottom, label, n=6 if width == WIDE else 3)
    for i, row in enumerate(rows):
        y = top + step * i + step / 2
        kind, css = series(row.name)
        canvas.text(
            left - 10,
            y + 4.5,
            shortened(row.name, left - 12),
            "label strong" if row.name == "optimum" else "label",
            anchor="end",
        )
        if row.measured.low is not None and row.measured.high is not None:
            canvas.rect(
                x(row.measured.low), y - 9.5, x(row.measured.high) - x(row.measured.low), 5, f"{css} band", "", 2.5
            )
        for seed in row.seeds:
            canvas.line(x(seed), y - 12, x(seed), y - 2, f"{css} seed")
        canvas.mark(
            kind, x(row.measured.value), y - 7, f"{css} filled", f"{row.name}, measured\n{interval(row.measured)}", 5.5
        )
        if row.predicted is not None:
            if row.predicted.low is not None and row.predicted.high is not None:
                canvas.line(x(row.predicted.low), y + 8, x(row.predicted.high), y + 8, f"{css} whisker")
            canvas.mark(
                kind,
                x(row.predicted.value),
                y + 8,
                f"{css} hollow",
                f"{row.name}, predicted\n{interval(row.predicted)}",
                5,
            )
    return canvas.svg(f"loop-{width}", finding, about, "wide" if width == WIDE else "narrow")


def law_errors(evidence: Evidence) -> Figure | None:
    """Held-out error of every law, the null law among them."""
    rows = [row for row in law_rows(evidence) if math.isfinite(row.error)]
    if not rows:
        return None
    best, null = rows[0], next((row for row in rows if row.law == "null"), None)
    if null is not None and best.law != "null":
        finding = (
            f"On mixtures it never saw, {best.law} is off by {number(100 * best.error, 2)}{NBSP}%; "
            f"ignoring the mixture costs {number(100 * null.error, 2)}{NBSP}%"
        )
    elif best.law == "null":
        finding = "No law beats the mean of the runs on unseen mixtures"
    else:
        finding = f"{best.law} is off by {number(100 * best.error, 2)}{NBSP}% on unseen mixtures"
    about = f"{finding}. " + "; ".join(f"{row.law}: {number(100 * row.error, 2)} %" for row in rows)
    return Figure(
        "laws",
        finding,
        about,
        tuple(_draw_errors(rows, width, finding, about) for width in (WIDE, NARROW)),
        (
            "law",
            "mean relative error",
            "worst target",
            "its error",
            f"mean absolute error ({evidence.unit})",
            "rank correlation",
            "targets",
        ),
        [
            (
                r.law,
                r.error,
                evidence.name_of(r.worst_target),
                r.worst,
                r.absolute,
                None if math.isnan(r.rank) else r.rank,
                r.targets,
            )
            for r in rows
        ],
        f"Mean over {evidence.mixes}s of |predicted / measured − 1| on mixtures that the law was not fitted to. "
        f"The light line reaches to the worst {evidence.measures}.",
    )


def _draw_errors(rows: list[LawRow], width: int, finding: str, about: str) -> str:
    left, right, step = (150, 64, 28) if width == WIDE else (112, 56, 28)
    canvas = Canvas(width, 0)
    top = 8.0
    bottom = top + step * len(rows)
    canvas.height = bottom + 42
    x = Scale.around([100 * row.worst for row in rows], left, width - right, zero=True)
    x_axis(canvas, x, top, bottom, "held-out error (%)", n=5 if width == WIDE else 3)
    for i, row in enumerate(rows):
        y = top + step * i + step / 2
        css = "s-optimum" if row.chosen else "s-muted"
        canvas.text(
            left - 8, y + 4.5, shortened(row.law, left - 10), "label strong" if row.chosen else "label", anchor="end"
        )
        tip = f"{row.law}: {number(100 * row.error, 2)} %\nworst {number(100 * row.worst, 2)} %\n{row.targets} targets"
        canvas.line(x(0), y, x(100 * row.worst), y, f"{css} whisker thin")
        canvas.rect(x(0), y - 7, max(x(100 * row.error) - x(0), 0.8), 14, f"{css} bar", tip, 1.5)
        canvas.text(width - 2, y + 4.5, f"{number(100 * row.error, 2)}{NBSP}%", "value", anchor="end")
    return canvas.svg(f"laws-{width}", finding, about, "wide" if width == WIDE else "narrow")
