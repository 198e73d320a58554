"""Results as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from glotmix.corpus.sketch import Sketch
from glotmix.exporters.exporter import Realised
from glotmix.laws import all_laws, residuals
from glotmix.laws.law import Problem
from glotmix.optimize.optimum import Estimate
from glotmix.optimize.scale import FLOPS
from glotmix.study.answers import Climb
from glotmix.transfer.matrix import TransferMatrix

WIDEST_LISTING = 3
"""Columns that a terminal of 80 characters shows side by side; more stand below each other, each with its name."""


def listing(title: str, rows: Sequence[Mapping[str, str]]) -> Table:
    """Rows with the same keys; the first, which is there to be copied, is never broken."""
    first, *others = rows[0] if rows else ("",)
    beside = len(others) < WIDEST_LISTING
    table = Table(title=title, title_justify="left", show_header=beside, show_lines=not beside)
    table.add_column(first, no_wrap=True)
    for column in others if beside else ("",):
        table.add_column(column, overflow="fold")
    for row in rows:
        name, *told = (str(value) for value in row.values())
        table.add_row(name, *(told if beside else ["\n".join(map(": ".join, zip(others, told, strict=True)))]))
    return table


def law_rows() -> list[dict[str, str]]:
    """Every law, and the black boxes that may stand alone or on one of them (LAW+BOX)."""
    rows = []
    for name, law in all_laws().items():
        example = Problem("t", ("t", "l"), None, frozenset({"N", "D", "unique"}))
        rows.append(
            {
                "law": name,
                "formula": law.formula,
                "parameters (target t, another l)": ", ".join(law.parameters(example)),
                "needs": ", ".join(sorted(law.needs)) or "-",
                "share of zero": "allowed" if law.finite_at_zero else "run left out",
                "source": law.source,
            }
        )
    for name, box in residuals().items():
        text = (type(box).__doc__ or "").split("Source: ")
        rows.append(
            {
                "law": f"{name}, LAW+{name}",
                "formula": f"L = LAW · exp({name}(p, N, D)); alone, LAW is null",
                "parameters (target t, another l)": "LAW's",
                "needs": "LAW's",
                "share of zero": "as LAW",
                "source": " ".join(text[1].split(". ")[0].split()) if len(text) > 1 else "-",
            }
        )
    return rows


def transfer_table(matrix: TransferMatrix) -> Table:
    """One row per target, one column per source; half-widths of the intervals where there are any."""
    table = Table(title=f"{matrix.method} ({matrix.unit}): rows are targets", title_justify="left")
    table.add_column("target")
    for source in matrix.sources:
        table.add_column(source, justify="right")
    for target in matrix.targets:
        cells = []
        for source in matrix.sources:
            interval = matrix.interval(target, source)
            half = f" ±{(interval[1] - interval[0]) / 2:.3f}" if interval else ""
            cells.append(f"{matrix[target, source]:+.3f}{half}")
        table.add_row(target, *cells)
    return table


def climb_table(climb: Climb) -> RenderableType:
    """One row per size, the best one last; every share with the range in which the law cannot tell it."""
    rows = [("", Estimate(o.optimum.N or 0.0), Estimate(o.optimum.D or 0.0), o.optimum) for o in climb.sizes]
    if climb.best is not None:
        rows.append(("best", climb.best.N, climb.best.D, climb.best.optimum))
    table = Table(title=f"optimum of the {rows[0][3].aim.name}, with 95 % intervals", title_justify="left")
    for column in ("", "N", "D", "6 N D", "objective", *rows[0][3].mixture):
        table.add_column(column, justify="right" if column else "left")
    for label, N, D, optimum in rows:
        shares = []
        for language, share in optimum.mixture.items():
            low, high = (optimum.spread or {}).get(language, (None, None))
            shares.append(f"{share:.1%}" + ("" if low is None or high is None else f" [{low:.1%}, {high:.1%}]"))
        numbers = [_within(N), _within(D), f"{FLOPS * N.value * D.value:.3g}", _within(optimum.objective, ".4g")]
        table.add_row(label, *numbers, *shares, style="bold" if label else None)
    every = [warning for one in climb.sizes for warning in one.warnings]
    every += [] if climb.best is None else climb.best.warnings
    return Group(table, *(Text(warning) for warning in dict.fromkeys(every)))


def _within(estimate: Estimate, form: str = ".3g") -> str:
    if estimate.low is None or estimate.high is None:
        return format(estimate.value, form)
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


def realised_table(realised: Realised) -> Table:
    """Wanted and realised shares of an export."""
    title = f"{realised.exporter} ({realised.target_version}): total variation {realised.total_variation:.2g}"
    table = Table(title=title, title_justify="left")
    for column in ("language", "wanted", "realised", "epochs"):
        table.add_column(column, justify="left" if column == "language" else "right")
    for language, share in realised.wanted.items():
        cells = f"{share:.4%}", f"{realised.realised[language]:.4%}", f"{realised.epochs[language]:.3g}"
        table.add_row(language, *cells)
    return table


def sketch_table(sketches: Mapping[str, Sketch]) -> Table:
    """What a quick census found."""
    table = Table(title="Quick census", title_justify="left", caption="nothing was tokenised")
    for column in ("language", "documents", "MB", "distinct texts", "duplicates"):
        table.add_column(column, justify="left" if column == "language" else "right")
    for language, one in sketches.items():
        about = "" if one.to_json()["exact"] else "about "
        cells = f"{one.documents:,}", f"{one.bytes / 1e6:.2f}", f"{about}{one.distinct:,.0f}", f"{one.duplicates:.1%}"
        table.add_row(language, *cells)
    return table
