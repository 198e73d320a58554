"""The transfer matrix: colour for sign and size, the size of the square for certainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glotmix.report.evidence import Evidence, Interactions
from glotmix.report.figures.drawing import Canvas, Figure, px, shortened, text_width
from glotmix.report.frames.transfer import (
    BY_FAMILY_FROM,
    certain,
    certainty,
    clustered,
    finding,
    group_of,
    method_in_words,
    pair_finding,
)
from glotmix.transfer.matrix import TransferMatrix
from glotmix.wording import signed

STEPS = 9
"""Colours on each side of zero."""
NUMBERS_TO = 14
"""Up to so many columns the values are written into the cells, where these are wide enough."""
NARROW_TO = 12
"""Up to so many columns there is a second drawing for a phone; wider ones scroll there."""

WIDE_AND_NARROW = ((600, "wide heatmap"), (240, "narrow heatmap"))


@dataclass(frozen=True)
class Naming:
    """What an SVG element is called."""

    key: str
    """Start of its ids."""
    said: str
    """Title."""
    about: str
    """Description."""
    css: str
    """Class."""
    axes: str = "columns: trained on · rows: measured"
    """What columns and rows are."""


def heat_map(evidence: Evidence, lens: str, key: str) -> Figure:
    """One lens on transfer; rows are targets, columns are sources."""
    matrix = clustered(evidence.transfer[lens], evidence.about)
    said = finding(evidence, matrix)
    sources, targets = [evidence.name_of(s) for s in matrix.sources], [evidence.name_of(t) for t in matrix.targets]
    about = (
        f"{said}. Matrix of {len(targets)} that were measured (rows) by {len(sources)} trained on (columns), "
        f"{matrix.method or lens}. {certainty(matrix)}"
    )
    below = evidence.in_own_words("Below the line: languages outside the mixture. ")
    gained = "rise of its score" if set(matrix.targets) <= set(evidence.scored) else "reduction of its loss"
    rows = [
        (t, s, matrix[t, s], *(matrix.interval(t, s) or (None, None))) for t in matrix.targets for s in matrix.sources
    ]
    return Figure(
        key,
        said,
        about,
        tuple(
            _draw(evidence, matrix, targets, sources, room, Naming(f"{key}-{room}", said, about, css))
            for room, css in (WIDE_AND_NARROW if len(sources) <= NARROW_TO else ((600, "heatmap"),))
        ),
        ("target", "source", f"value ({matrix.unit})", "low", "high"),
        rows,
        f"Read along a row: what each source gives that target, as a {gained} ({matrix.unit}). "
        "Blue helps, orange hurts. "
        f"{below if set(matrix.targets) - set(matrix.sources) else ''}"
        f"{_certainty_key(len(matrix.sources))} {certainty(matrix)} {method_in_words(evidence, matrix, lens)}",
    )


def interaction_map(evidence: Evidence, found: Interactions) -> Figure:
    """Pairs of languages: which help more together, and which stand in for each other."""
    low_LL, high_LL = (None if found.half_LL is None else found.value_LL + sign * found.half_LL for sign in (-1, 1))
    matrix = clustered(
        TransferMatrix(found.languages, found.languages, found.value_LL, low_LL, high_LL, found.unit), evidence.about
    )
    names = [evidence.name_of(language) for language in matrix.sources]
    said = pair_finding(evidence, found)
    about = f"{said}. Symmetric matrix of {len(names)} {evidence.mixes}s."
    rows = [
        (a, b, float(matrix.value_TL[i, j]), *(matrix.interval(a, b) or (None, None)))
        for i, a in enumerate(matrix.targets)
        for j, b in enumerate(matrix.sources)
        if i < j
    ]
    return Figure(
        "interactions",
        said,
        about,
        tuple(
            _draw(
                evidence,
                matrix,
                names,
                names,
                room,
                Naming(f"interactions-{room}", said, about, css, "both trained on"),
            )
            for room, css in (WIDE_AND_NARROW if len(names) <= NARROW_TO else ((600, "heatmap"),))
        ),
        (evidence.mixes, "other", f"interaction ({found.unit})", "low", "high"),
        rows,
        evidence.in_own_words(
            "What two languages do together beyond what each does alone (pairwise Shapley interaction index, mean over "
            "the languages in the mixture). Blue: they lower the loss more together. Orange: they stand in for each "
            "other: what one gives, the other gives as well. As languages share a budget of tokens, they also take "
            "them from each other, which shows as orange."
        )
        + f" {_pairs_certainty(matrix)}",
    )


def _pairs_certainty(matrix: TransferMatrix) -> str:
    if matrix.low_TL is None:
        return "Nothing was repeated, so there are no intervals."
    return f"{_certainty_key(len(matrix.sources))} The intervals hold for all pairs at once."


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


@dataclass(frozen=True)
class Grid:
    """Where the cells lie, in pixels."""

    left: float
    """Left edge of the first column."""
    top: float
    """Upper edge of the first row."""
    cell: float
    """Width of a column."""
    row: float
    """Height of a row."""
    numbers: bool
    """Whether values are written into the cells."""


def _draw(
    evidence: Evidence,
    matrix: TransferMatrix,
    targets: Sequence[str],
    sources: Sequence[str],
    room: int,
    naming: Naming,
) -> str:
    """The drawing with ``room`` pixels for its columns."""
    T, L = matrix.value_TL.shape
    cell = float(max(6, min(78, room // L)))
    size = 13 if cell >= 16 else max(6.0, cell - 1)
    if grouped := L >= BY_FAMILY_FROM:
        left, top = 150.0, 96.0
    else:
        left = min(170.0, max(text_width(t, size) for t in targets) + 14)
        top = min(120.0, max(text_width(s, size) for s in sources) * (1 if cell < 40 else 0.75) + 16)
    grid = Grid(left, top, cell, cell if cell < 30 else max(30.0, cell * 0.56), L <= NUMBERS_TO and cell >= 34)
    bottom = top + T * grid.row
    canvas = Canvas(left + L * cell + (30 if cell < 40 else 46), bottom + 60)
    _cells(canvas, matrix, grid)
    if grid.numbers:
        _numbers(canvas, matrix, grid)
    if grouped:
        _families(canvas, evidence, matrix, grid)
    else:
        _names(canvas, targets, sources, grid, size)
    _borders(canvas, matrix, grid)
    if outside := sum(1 for t in matrix.targets if t not in matrix.sources):
        canvas.line(8, bottom - outside * grid.row, left + L * cell, bottom - outside * grid.row, "divide")
    canvas.text(left, bottom + 18, naming.axes, "axis")
    _key(canvas, left, bottom + 34, _limit(matrix), matrix.unit)
    places = {"left": px(left), "top": px(top), "cell": px(cell), "row": px(grid.row), "columns": L, "rows": T}
    frame = " ".join(f'data-{name}="{place}"' for name, place in places.items()) + ' tabindex="0"'
    return canvas.svg(naming.key, naming.said, naming.about, naming.css).replace("<svg ", f"<svg {frame} ", 1)


def _cells(canvas: Canvas, matrix: TransferMatrix, grid: Grid) -> None:
    """Squares, gathered into one path per colour so that ten thousand of them stay light."""
    T, L = matrix.value_TL.shape
    limit, sure = _limit(matrix), certain(matrix)
    boxes: dict[int, list[str]] = {}
    for i, j in np.ndindex(T, L):
        side = 1.0 if sure[i, j] else 0.45
        if grid.numbers and not sure[i, j]:
            continue
        w, h = (grid.cell - 1) * side, (grid.row - 1) * side
        x, y = grid.left + j * grid.cell + (grid.cell - w) / 2, grid.top + i * grid.row + (grid.row - h) / 2
        step = level(float(matrix.value_TL[i, j]), limit)
        boxes.setdefault(step, []).append(f"M{px(x)} {px(y)}h{px(w)}v{px(h)}h{px(-w)}z")
    canvas.rect(grid.left, grid.top, L * grid.cell, T * grid.row, "heat-ground")
    for step, parts in sorted(boxes.items()):
        canvas.path("".join(parts), f"heat {_class(step)}")


def _numbers(canvas: Canvas, matrix: TransferMatrix, grid: Grid) -> None:
    T, L = matrix.value_TL.shape
    right, bottom = grid.left + L * grid.cell, grid.top + T * grid.row
    for j in range(L + 1):
        canvas.line(grid.left + j * grid.cell, grid.top, grid.left + j * grid.cell, bottom, "rule")
    for i in range(T + 1):
        canvas.line(grid.left, grid.top + i * grid.row, right, grid.top + i * grid.row, "rule")
    limit, sure = _limit(matrix), certain(matrix)
    for i, j in np.ndindex(T, L):
        value = float(matrix.value_TL[i, j])
        css = "number unsure" if not sure[i, j] else "number strong-cell" if abs(level(value, limit)) > 5 else "number"
        x, y = grid.left + (j + 0.5) * grid.cell, grid.top + (i + 0.5) * grid.row
        canvas.text(x, y + 4, signed(value, 2), css, anchor="middle")


def _names(canvas: Canvas, targets: Sequence[str], sources: Sequence[str], grid: Grid, size: float) -> None:
    css = f"label z{round(size)}"
    for i, name in enumerate(targets):
        y = grid.top + (i + 0.5) * grid.row + size * 0.36
        canvas.text(grid.left - 7, y, shortened(name, grid.left - 8, size), css, anchor="end")
    turn = -45 if grid.cell >= 40 else -60
    for j, name in enumerate(sources):
        x = grid.left + (j + 0.5) * grid.cell + 3
        canvas.text(x, grid.top - 8, shortened(name, 118, size), css, turn=turn)


def _families(canvas: Canvas, evidence: Evidence, matrix: TransferMatrix, grid: Grid) -> None:
    """Brackets with the family's name instead of a hundred labels that nobody can read."""
    T, L = matrix.value_TL.shape
    left, top = grid.left, grid.top
    for a, b, family in _runs(evidence, matrix.sources, grid.cell):
        canvas.line(left + a + 1, top - 5, left + b - 1, top - 5, "bracket")
        canvas.line(left + b, top, left + b, top + T * grid.row, "group")
        canvas.text(left + (a + b) / 2, top - 12, shortened(family, 110, 12), "label z12", turn=-35)
    for a, b, family in _runs(evidence, [t for t in matrix.targets if t in matrix.sources], grid.row):
        canvas.line(left - 5, top + a + 1, left - 5, top + b - 1, "bracket")
        canvas.line(left, top + b, left + L * grid.cell, top + b, "group")
        if b - a >= 12:
            canvas.text(left - 11, top + (a + b) / 2 + 4, shortened(family, left - 16, 12), "label z12", anchor="end")


def _borders(canvas: Canvas, matrix: TransferMatrix, grid: Grid) -> None:
    """Lines between groups that were the players."""
    group, (T, L) = group_of(matrix), matrix.value_TL.shape
    inside = [t for t in matrix.targets if t in group]
    for j in range(1, L) if group else ():
        if group[matrix.sources[j - 1]] != group[matrix.sources[j]]:
            canvas.line(
                grid.left + j * grid.cell, grid.top, grid.left + j * grid.cell, grid.top + T * grid.row, "divide"
            )
    for i in range(1, len(inside)):
        if group[inside[i - 1]] != group[inside[i]]:
            y = grid.top + i * grid.row
            canvas.line(grid.left, y, grid.left + L * grid.cell, y, "divide")


def _runs(evidence: Evidence, names: Sequence[str], step: float) -> list[tuple[float, float, str]]:
    """Neighbours of one family: first and last pixel, and the family's name."""
    found, start = [], 0
    for i in range(1, len(names) + 1):
        family = _family(evidence, names[start])
        if i == len(names) or _family(evidence, names[i]) != family:
            found.append((start * step, i * step, family))
            start = i
    return found


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
    narrow = canvas.width < 420
    x, width = (4.0, 7) if narrow else (x, 10)
    canvas.text(x, y + 18, f"≤ {signed(-limit, 2)} {unit}", "tick")
    start = x + (88 if narrow else 92)
    for k, step in enumerate(range(-STEPS, STEPS + 1)):
        canvas.rect(start + k * width, y + 8, width, 12, f"heat {_class(step)}")
    canvas.text(start + (2 * STEPS + 1) * width + 6, y + 18, f"≥ {signed(limit, 2)} {unit}", "tick")
