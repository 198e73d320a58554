"""The recommended mixture: a bar per language, the baselines as marks on the same line."""

from __future__ import annotations

from glotmix.report.evidence import Evidence
from glotmix.report.figures.drawing import NARROW, WIDE, Canvas, Figure, Scale, legend, series, shortened, x_axis
from glotmix.report.frames.answer import MixtureRow, mixture_rows
from glotmix.wording import counted, share

MOST = 24
"""Bars drawn; the other languages are in the table."""
MARKED = ("natural", "uniform", "current")
"""Baselines drawn as marks; all of them are in the table."""


def mixture_bars(evidence: Evidence) -> Figure | None:
    """Recommended shares against natural, uniform and current."""
    rows = mixture_rows(evidence)
    if not rows:
        return None
    baselines = list(rows[0].baselines)
    marked = [name for name in MARKED if name in baselines]
    shown = rows if len(rows) <= MOST + 4 else rows[:MOST]
    finding, what = _finding(rows, marked), evidence.mixes
    note = f"Bars: recommended share of the training tokens. Marks: the same {what}'s share in other mixtures."
    if any(row.spread for row in rows):
        note += " Thin lines: how far a share can move before the law sees a difference."
    if len(shown) < len(rows):
        rest = sum(row.optimum for row in rows[len(shown) :])
        note += (
            f" {counted(len(rows) - len(shown), f'smaller {what}')} ({share(rest)} together) are in the table below."
        )
    about = f"{finding}. " + "; ".join(f"{row.name} {share(row.optimum)}" for row in shown)
    return Figure(
        "mixture",
        finding,
        about,
        tuple(_draw(shown, marked, width, finding, about) for width in (WIDE, NARROW)),
        (what, "name", "optimum", *baselines, "epochs"),
        [(r.language, r.name, r.optimum, *[r.baselines[b] for b in baselines], r.epochs) for r in rows],
        note,
    )


def _finding(rows: list[MixtureRow], marked: list[str]) -> str:
    if "natural" not in marked:
        return f"{rows[0].name} gets the largest share"
    up = max(rows, key=lambda r: r.optimum - r.baselines["natural"])
    down = min(rows, key=lambda r: r.optimum - r.baselines["natural"])
    if up.optimum - up.baselines["natural"] < 0.005:
        return "The optimum is close to the natural mixture"
    return (
        f"{up.name} rises from {share(up.baselines['natural'])} to {share(up.optimum)}, "
        f"{down.name} falls from {share(down.baselines['natural'])} to {share(down.optimum)}"
    )


def _draw(rows: list[MixtureRow], marked: list[str], width: int, finding: str, about: str) -> str:
    left, right, step = (150, 64, 26) if width == WIDE else (96, 56, 27)
    canvas = Canvas(width, 0)
    top = legend(canvas, ["optimum", *marked], left, 12, width - left - right)
    bottom = top + step * len(rows)
    canvas.height = bottom + 42
    values = [100 * max(r.optimum, *[r.baselines[b] for b in marked], *(r.spread or ()), 0) for r in rows]
    x = Scale.around(values, left, width - right, zero=True, margin=0.03)
    x_axis(canvas, x, top, bottom, "share of training tokens (%)", n=5 if width == WIDE else 3)
    for i, row in enumerate(rows):
        y = top + step * i + step / 2
        tip = f"{row.name}\noptimum {share(row.optimum)}" + "".join(
            f"\n{b} {share(row.baselines[b])}" for b in row.baselines
        )
        if row.epochs is not None:
            tip += f"\n{row.epochs:.2f} epochs"
        canvas.text(left - 8, y + 4.5, shortened(row.name, left - 10), "label", anchor="end")
        canvas.rect(x(0), y - 7, max(x(100 * row.optimum) - x(0), 0.8), 14, "s-optimum bar", tip, 1.5)
        for name in marked:
            kind, css = series(name)
            canvas.mark(
                kind,
                x(100 * row.baselines[name]),
                y,
                f"{css} on-bar",
                f"{row.name}, {name}: {share(row.baselines[name])}",
            )
        if row.spread is not None:
            low, high = (x(100 * p) for p in row.spread)
            canvas.line(low, y + 9.5, high, y + 9.5, "ink whisker thin")
        canvas.text(width - 2, y + 4.5, share(row.optimum), "value", anchor="end")
    return canvas.svg(f"mixture-{width}", finding, about, "wide" if width == WIDE else "narrow")
