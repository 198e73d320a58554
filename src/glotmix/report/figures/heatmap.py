"""The transfer matrix: colour for sign and size, the size of the square for certainty."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glotmix.report.evidence import Evidence
from glotmix.report.figures.drawing import Canvas, Figure, px, shortened, text_width
from glotmix.report.frames.transfer import BY_FAMILY_FROM, certain, certainty, clustered, finding
from glotmix.report.frames.words import signed
from glotmix.transfer.matrix import TransferMatrix

STEPS = 9
"""Colours on each side of zero."""
NUMBERS_TO = 14
"""Up to so many columns the values are written into the cells, where these are wide enough."""
NARROW_TO = 12
"""Up to so many columns there is a second drawing for a phone; wider ones scroll there."""


def heat_map(evidence: Evidence, lens: str, key: str) -> Figure:
    """One lens on transfer; rows are targets, columns are sources."""
    matrix = clustered(evidence.transfer[lens], evidence.about)
    said = finding(evidence, matrix)
    sources, targets = [evidence.name_of(s) for s in matrix.sources], [evidence.name_of(t) for t in matrix.targets]
    about = (
        f"{said}. Matrix of {len(targets)} target languages (rows) by {len(sources)} source languages (columns), "
        f"{matrix.method or lens}. {certainty(matrix)}"
    )
    low, high = matrix.low_TL, matrix.high_TL
    rows = [
        (
            t,
            s,
            float(matrix.value_TL[i, j]),
            None if low is None else float(low[i, j]),
            None if high is None else float(high[i, j]),
        )
        for i, t in enumerate(matrix.targets)
        for j, s in enumerate(matrix.sources)
    ]
    return Figure(
        key,
        said,
        about,
        tuple(
            _draw(evidence, matrix, targets, sources, f"{key}-{room}", said, about, room, css)
            for room, css in (
                ((600, "wide heatmap"), (240, "narrow heatmap")) if len(sources) <= NARROW_TO else ((600, "heatmap"),)
            )
        ),
        ("target", "source", f"value ({matrix.unit})", "low", "high"),
        rows,
        f"Read along a row: what each source gives that target, as a reduction of its loss ({matrix.unit}). "
        "Blue helps, orange hurts. "
        f"{'Below the line: languages outside the mixture. ' if set(matrix.targets) - set(matrix.sources) else ''}"
        f"{_certainty_key(len(matrix.sources))} {certainty(matrix)} {_method(matrix, lens)}",
    )


def _method(matrix: TransferMatrix, lens: str) -> str:
    notes = "; ".join(f"{name}: {value}" for name, value in matrix.notes.items())
    return f"Method: {matrix.method or lens}" + (f"; {notes}." if notes else ".")


def _certainty_key(columns: int) -> str:
    if columns <= NUMBERS_TO:
        return "A value without colour could be nothing: its 95 % interval includes zero."
    return "A full square: the 95 % interval leaves out zero; a small one: it could be nothing."


def level(value: float, limit: float) -> int:
    """Colour step from -STEPS to STEPS; the root spreads the many small values out."""
    if not np.isfinite(value) or limit <= 0:
        return 0
    size = min(1.0, abs(value) / limit) ** 0.7
    return int(np.sign(value)) * int(np.ceil(size * STEPS - 1e-9))


def _draw(
    evidence: Evidence,
    matrix: TransferMatrix,
    targets: Sequence[str],
    sources: Sequence[str],
    key: str,
    said: str,
    about: str,
    room: int,
    css: str,
) -> str:
    """The drawing with ``room`` pixels for its columns."""
    T, L = matrix.value_TL.shape
    cell = float(max(6, min(78, room // L)))
    height = cell if cell < 30 else max(30.0, cell * 0.56)
    grouped = L >= BY_FAMILY_FROM
    size = 13 if cell >= 16 else max(6.0, cell - 1)
    left = min(170.0, max(text_width(t, size) for t in targets) + 14) if not grouped else 150.0
    top = (
        (min(120.0, max(text_width(s, size) for s in sources) * (1 if cell < 40 else 0.75) + 16))
        if not grouped
        else 96.0
    )
    canvas = Canvas(left + L * cell + (30 if cell < 40 else 46), top + T * height + 26 + 34)
    limit = _limit(matrix)
    sure = certain(matrix)
    numbers = L <= NUMBERS_TO and cell >= 34
    boxes: dict[int, list[str]] = {}
    for i in range(T):
        for j in range(L):
            side = 1.0 if sure[i, j] else 0.0 if numbers else 0.45
            w, h = (cell - 1) * side, (height - 1) * side
            x, y = left + j * cell + (cell - w) / 2, top + i * height + (height - h) / 2
            if side == 0:
                continue
            boxes.setdefault(level(float(matrix.value_TL[i, j]), limit), []).append(
                f"M{px(x)} {px(y)}h{px(w)}v{px(h)}h{px(-w)}z"
            )
    canvas.rect(left, top, L * cell, T * height, "heat-ground")
    for step, parts in sorted(boxes.items()):
        canvas.path("".join(parts), f"heat {_class(step)}")
    if numbers:
        for k in range(L + 1):
            canvas.line(left + k * cell, top, left + k * cell, top + T * height, "rule")
        for k in range(T + 1):
            canvas.line(left, top + k * height, left + L * cell, top + k * height, "rule")
    if numbers:
        for i in range(T):
            for j in range(L):
                css = "number"
                if sure[i, j] and abs(level(float(matrix.value_TL[i, j]), limit)) > 5:
                    css += " strong-cell"
                elif not sure[i, j]:
                    css += " unsure"
                x, y = left + (j + 0.5) * cell, top + (i + 0.5) * height
                canvas.text(x, y + 4, signed(float(matrix.value_TL[i, j]), 2), css, anchor="middle")
    if grouped:
        _families(canvas, evidence, matrix, left, top, cell, height)
    else:
        for i, name in enumerate(targets):
            canvas.text(
                left - 7,
                top + (i + 0.5) * height + size * 0.36,
                shortened(name, left - 8, size),
                f"label z{round(size)}",
                anchor="end",
            )
        for j, name in enumerate(sources):
            canvas.text(
                left + (j + 0.5) * cell + 3,
                top - 8,
                shortened(name, 118, size),
                f"label z{round(size)}",
                turn=-45 if cell >= 40 else -60,
            )
    outside = sum(1 for t in matrix.targets if t not in matrix.sources)
    if outside:
        y = top + (T - outside) * height
        canvas.line(8, y, left + L * cell, y, "divide")
    canvas.text(left, top + T * height + 18, "columns: trained on · rows: measured", "axis")
    _key(canvas, left, top + T * height + 34, limit, matrix.unit)
    svg = canvas.svg(key, said, about, css)
    places = {"left": px(left), "top": px(top), "cell": px(cell), "row": px(height), "columns": L, "rows": T}
    frame = " ".join(f'data-{name}="{place}"' for name, place in places.items()) + ' tabindex="0"'
    return svg.replace("<svg ", f"<svg {frame} ", 1)


def _families(
    canvas: Canvas, evidence: Evidence, matrix: TransferMatrix, left: float, top: float, cell: float, height: float
) -> None:
    """Brackets with the family's name instead of a hundred labels that nobody can read."""
    T, L = matrix.value_TL.shape
    for names, along_x in ((matrix.sources, True), (tuple(t for t in matrix.targets if t in matrix.sources), False)):
        start = 0
        for i in range(1, len(names) + 1):
            family = _family(evidence, names[start])
            if i == len(names) or _family(evidence, names[i]) != family:
                step = cell if along_x else height
                a, b = start * step, i * step
                if along_x:
                    canvas.line(left + a + 1, top - 5, left + b - 1, top - 5, "bracket")
                    canvas.line(left + b, top, left + b, top + T * height, "group")
                    canvas.text(left + (a + b) / 2, top - 12, shortened(family, 110, 12), "label z12", turn=-35)
                else:
                    canvas.line(left - 5, top + a + 1, left - 5, top + b - 1, "bracket")
                    canvas.line(left, top + b, left + L * cell, top + b, "group")
                    if b - a >= 12:
                        canvas.text(
                            left - 11,
                            top + (a + b) / 2 + 4,
                            shortened(family, left - 16, 12),
                            "label z12",
                            anchor="end",
                        )
                start = i


def _family(evidence: Evidence, language: str) -> str:
    about = evidence.about.get(language)
    return about.family if about is not None and about.family else "other"


def _limit(matrix: TransferMatrix) -> float:
    """Largest size between different languages; own values beyond it take the last colour."""
    cross = np.array([[t != s for s in matrix.sources] for t in matrix.targets])
    values = np.abs(matrix.value_TL[cross & np.isfinite(matrix.value_TL)])
    return float(values.max()) if values.size else float(np.nanmax(np.abs(matrix.value_TL), initial=1.0))


def _class(step: int) -> str:
    return "h0" if step == 0 else f"hp{step}" if step > 0 else f"hn{-step}"


def _key(canvas: Canvas, x: float, y: float, limit: float, unit: str) -> None:
    width = 10
    canvas.text(x, y + 18, f"≤ {signed(-limit, 2)} {unit}", "tick")
    start = x + 92
    for k, step in enumerate(range(-STEPS, STEPS + 1)):
        canvas.rect(start + k * width, y + 8, width, 12, f"heat {_class(step)}")
    canvas.text(start + (2 * STEPS + 1) * width + 6, y + 18, f"≥ {signed(limit, 2)} {unit}", "tick")
