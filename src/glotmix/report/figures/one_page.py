"""The decision card as one picture, to be sent on: verdict, six answers, who wins and who pays; colours written out."""

from __future__ import annotations

from html import escape

from glotmix.report.evidence import Evidence
from glotmix.report.figures.drawing import Scale, px, shortened, text_width
from glotmix.report.frames.card import answers
from glotmix.report.frames.languages import LanguageRow, compared_with, language_rows, part_of
from glotmix.report.frames.units import reading_of
from glotmix.report.frames.verdict import TITLES, decide
from glotmix.report.html import isolated
from glotmix.wording import counted, share, signed

WIDTH, MARGIN, GAP = 1120, 44, 40
"""Pixels: the picture has about the shape of a sheet laid sideways."""
MOST = 10
"""Languages drawn, those that change most."""
COLOURS = {"use": "#0b6b4f", "accept": "#7a5b00", "reject": "#a83a00", "keep": "#555d68", "open": "#555d68"}
"""Verdict to the colour of its edge."""
PARTS = {"wins": "#0b6b4f", "pays": "#a83a00", "open": "#6a7280"}
INK, SOFT, RULE, PAPER = "#1c2026", "#555d68", "#cfcbc3", "#ffffff"
SANS = "system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','DejaVu Sans',sans-serif"
SERIF = "Charter,Georgia,'Noto Serif','DejaVu Serif',serif"


def card_picture(evidence: Evidence) -> str:
    """The card as an SVG file that any program can show."""
    decision, sheet = decide(evidence), _Sheet()
    sheet.text(MARGIN, 50, evidence.title, 24, bold=True, font=SERIF)
    sheet.text(MARGIN, 86, TITLES[decision.kind], 15, COLOURS[decision.kind], bold=True)
    y = sheet.paragraph(MARGIN, 124, decision.headline, 27, WIDTH - 2 * MARGIN, bold=True, font=SERIF)
    y = sheet.paragraph(MARGIN, y + 4, decision.because, 16, WIDTH - 2 * MARGIN) + 14
    column = (WIDTH - 2 * MARGIN - GAP) / 2
    told = answers(evidence)
    for pair in (told[i : i + 2] for i in range(0, len(told), 2)):
        ends = []
        for k, one in enumerate(pair):
            x = MARGIN + k * (column + GAP)
            sheet.text(x, y, one.question, 13, SOFT, bold=True)
            ends.append(sheet.paragraph(x, y + 20, one.text, 14, column))
        y = max(ends) + 12
    y = _languages(sheet, evidence, y)
    made = ", ".join(f"{key} {value}" for key, value in evidence.provenance.items() if key in MADE_BY)
    sheet.text(MARGIN, y + 22, f"Made by {made}" if made else "Made by glotmix", 11, SOFT)
    return sheet.svg(y + 44, COLOURS[decision.kind], evidence.title, f"{decision.headline} {decision.because}")


MADE_BY = ("glotmix", "configuration", "corpus and tokens")
"""What of the provenance stands at the foot."""


def _languages(sheet: _Sheet, evidence: Evidence, y: float) -> float:
    """A line per language from no change to its change; returns the y below them."""
    rows = [row for row in language_rows(evidence) if row.change is not None]
    if not rows:
        return y
    losses = [row for row in rows if row.target not in evidence.scored]
    of_scores = not any(row.weight for row in losses)
    rows = [row for row in rows if (row.target in evidence.scored) is of_scores] or rows
    told = reading_of(evidence, (row.target for row in rows))
    shown = sorted(sorted(rows, key=lambda row: -abs(_change(row)))[:MOST], key=_change)
    how = "measured" if any(row.trained for row in rows) else "predicted"
    whose = f"each {evidence.measures}'s loss" if told.what == "loss" else f"each {told.what}"
    title = f"Change of {whose} from {compared_with(evidence)} ({told.unit}, {how}; {told.better} is better)"
    sheet.text(MARGIN, y + 8, title, 13, SOFT, bold=True)
    left, right, step = MARGIN + 250, WIDTH - MARGIN - 90, 22
    changes = [told.change(row.change) for row in shown if row.change is not None]
    ends = [v for c in changes for v in (c.value, c.low, c.high) if v is not None]
    x = Scale.around([0.0, *ends], left, right)
    top = y + 20
    sheet.line(x(0), top, x(0), top + step * len(shown), RULE, 1)
    for i, (row, change) in enumerate(zip(shown, changes, strict=True)):
        at, colour = top + step * (i + 0.5), PARTS[part_of(row)]
        weight = f" ({share(row.weight)})" if row.weight else " (not weighed)"
        sheet.text(left - 12, at + 4.5, shortened(row.name + weight, 235, 14), 13, anchor="end")
        sheet.line(x(0), at, x(change.value), at, colour, 5 if row.trained else 2)
        if change.low is not None and change.high is not None:
            sheet.line(x(change.low), at, x(change.high), at, INK, 1.2)
        sheet.text(WIDTH - MARGIN, at + 4.5, signed(change.value), 13, anchor="end")
    y = top + step * len(shown)
    if len(shown) < len(rows):
        sheet.text(
            left,
            y + 14,
            f"{counted(len(rows) - len(shown), evidence.measures)} that change less are left out",
            12,
            SOFT,
        )
        y += 20
    return y


def _change(row: LanguageRow) -> float:
    return row.change.value if row.change else 0.0


def wrapped(text: str, size: float, room: float) -> list[str]:
    """Lines that fit; a narrow space never breaks."""
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if line and text_width(longer, size) > room:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line] if line else lines


class _Sheet:
    """SVG whose every element carries its own colour and font."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        colour: str = INK,
        *,
        bold: bool = False,
        font: str = SANS,
        anchor: str = "start",
    ) -> None:
        weight = ' font-weight="700"' if bold else ""
        self._parts.append(
            f'<text x="{px(x)}" y="{px(y)}" font-size="{px(size)}" font-family="{font}" fill="{colour}" '
            f'text-anchor="{anchor}"{weight}>{escape(isolated(text))}</text>'
        )

    def paragraph(
        self, x: float, y: float, text: str, size: float, room: float, *, bold: bool = False, font: str = SANS
    ) -> float:
        """Wrapped text; returns the y of the line after it."""
        for line in wrapped(text, size * (1.06 if bold else 1.0), room):
            self.text(x, y, line, size, bold=bold, font=font)
            y += 1.32 * size
        return y

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> None:
        at = f'x1="{px(x1)}" y1="{px(y1)}" x2="{px(x2)}" y2="{px(y2)}"'
        self._parts.append(f'<line {at} stroke="{colour}" stroke-width="{px(width)}"/>')

    def svg(self, height: float, edge: str, title: str, description: str) -> str:
        size = f'viewBox="0 0 {WIDTH} {px(height)}" width="{WIDTH}" height="{px(height)}"'
        ground = f'<rect width="{WIDTH}" height="{px(height)}" fill="{PAPER}"/>'
        side = f'<rect width="10" height="{px(height)}" fill="{edge}"/>'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><title>{escape(title)}</title>'
            f"<desc>{escape(description)}</desc>{ground}{side}{''.join(self._parts)}</svg>\n"
        )
