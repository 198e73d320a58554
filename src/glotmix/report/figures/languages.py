"""Who wins, who pays: the change of every language's loss, measured where it was, the prediction as a ghost."""

from __future__ import annotations

from glotmix.estimate import Estimate
from glotmix.report.evidence import Evidence
from glotmix.report.figures.drawing import NARROW, WIDE, Canvas, Figure, Scale, shortened, x_axis
from glotmix.report.frames.languages import LanguageRow, compared_with, language_rows, part_of
from glotmix.report.frames.units import Reading, reading_of
from glotmix.wording import NBSP, counted, interval, listed, share, signed

MOST = 24
"""Languages drawn, those that change most; all are in the table."""


def who_pays(evidence: Evidence, *, scores: bool = False) -> Figure | None:
    """Change of each language's loss from the mixture in use to the recommended one, or of each score."""
    rows = [row for row in language_rows(evidence) if row.change is not None]
    rows = [row for row in rows if (row.target in evidence.scored) is scores]
    against = compared_with(evidence)
    if not rows or against is None:
        return None
    shown = rows
    if len(rows) > MOST:
        largest = sorted(rows, key=lambda row: -abs(row.change.value if row.change else 0.0))[:MOST]
        shown = [row for row in rows if row in largest]
    shown = sorted(shown, key=lambda row: row.change.value if row.change else 0.0)
    if len({evidence.scored[row.target].higher_is_better for row in rows if scores}) > 1:
        rows = [row for row in rows if evidence.scored[row.target].higher_is_better]
    told = reading_of(evidence, (row.target for row in rows))
    what = "score" if scores else evidence.called((row.target for row in rows), "target")
    finding = _finding(rows, what)
    about = f"{finding}. " + "; ".join(
        f"{row.name} {interval(told.change(row.change))}{'' if row.trained else ' predicted'}"
        for row in shown
        if row.change
    )
    trained = any(row.trained for row in rows)
    note = (
        f"Change of the {told.what} ({told.unit}) from {against} to the recommended mixture; {told.better} is better. "
    )
    note += (
        f"Filled: measured, with its 95{NBSP}% interval. Hollow: what the law predicted. "
        if trained
        else "Hollow: as the law predicts; nothing was trained. "
    )
    note += "Per cent under a name: its weight in the objective."
    if len(shown) < len(rows):
        note += f" {counted(len(rows) - len(shown), what)} that change less are in the table."
    return Figure(
        "scores" if scores else "languages",
        finding,
        about,
        tuple(_draw(shown, told, width, finding, about) for width in (WIDE, NARROW)),
        (
            "score" if scores else evidence.measures,
            "name",
            "weight",
            "change",
            "low",
            "high",
            "measured",
            "predicted change",
        ),
        [
            (r.target, r.name, r.weight, change.value, change.low, change.high, int(r.trained), _ghost(r, told))
            for r in rows
            if r.change
            for change in [told.change(r.change)]
        ],
        note,
    )


def _finding(rows: list[LanguageRow], what: str) -> str:
    wins, pays = ([row for row in rows if part_of(row) == part] for part in ("wins", "pays"))
    said = "" if any(row.trained for row in rows) else " by the law's prediction"
    if not pays:
        return f"{counted(len(wins), what)} of {len(rows)} gain{'s' if len(wins) == 1 else ''}{said}, none pays"
    worst = sorted(pays, key=lambda row: -(row.change.value if row.change else 0.0))
    payers = f"{listed([row.name for row in worst], most=4)} pay{'s' if len(worst) == 1 else ''}"
    return f"{len(wins)} of {counted(len(rows), what)} gain{said}; {payers}"


def _ghost(row: LanguageRow, told: Reading) -> float | None:
    if row.predicted is None or row.before_predicted is None:
        return None
    return told.change(Estimate(row.predicted.value - row.before_predicted.value)).value


def _draw(rows: list[LanguageRow], told: Reading, width: int, finding: str, about: str) -> str:
    left, right, step, top = (150, 74, 34, 6) if width == WIDE else (96, 62, 34, 6)
    bottom = top + step * len(rows)
    canvas = Canvas(width, bottom + 42)
    changes = [told.change(row.change) for row in rows if row.change is not None]
    drawn = [v for row, c in zip(rows, changes, strict=True) for v in (c.value, c.low, c.high, _ghost(row, told))]
    values = [0.0, *[v for v in drawn if v is not None]]
    x = Scale.around(values, left, width - right, margin=0.05)
    x_axis(canvas, x, top, bottom, f"change of the {told.what}", n=5 if width == WIDE else 3)
    canvas.line(x(0), top, x(0), bottom, "zero")
    for i, (row, change) in enumerate(zip(rows, changes, strict=True)):
        y, ghost, part = top + step * i + step / 2, _ghost(row, told), part_of(row)
        css = {"wins": "s-wins", "pays": "s-pays", "open": "s-muted"}[part]
        tip = f"{row.name}\n{'measured' if row.trained else 'predicted'} {interval(change)}" + (
            f"\npredicted {signed(ghost)}" if ghost is not None and row.trained else ""
        )
        canvas.text(left - 8, y, shortened(row.name, left - 10), "label", anchor="end")
        canvas.text(left - 8, y + 13, share(row.weight) if row.weight else "not weighed", "tick", anchor="end")
        if change.low is not None and change.high is not None:
            canvas.line(x(change.low), y, x(change.high), y, f"{css} whisker")
        else:
            canvas.line(x(0), y, x(change.value), y, f"{css} whisker thin")
        if ghost is not None:
            canvas.mark("circle", x(ghost), y, f"{css} hollow", tip, 4)
        if row.trained:
            canvas.mark("diamond", x(change.value), y, css, tip)
        canvas.text(width - 2, y + 4.5, signed(change.value), "value", anchor="end")
    key = "languages" if told.what == "loss" else "scores"
    return canvas.svg(f"{key}-{width}", finding, about, "wide" if width == WIDE else "narrow")
