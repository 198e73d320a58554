"""TransferMatrix: how much each source language gives each target language, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from glotmix.errors import BadInput
from glotmix.notebook import Shown, table_html

if TYPE_CHECKING:
    import polars as pl

BUDGETS = {
    "fixed": "Budget: fixed, every coalition had the same tokens, so a source takes its tokens from the others.",
    "own": "Budget: own, every coalition had the tokens of its members alone.",
    "capped": "Budget: capped, no language was read more often than a limit; coalitions of little text had less.",
    "unknown": "Budget: unknown, the table has no tokens D; coalitions are taken to have had the same.",
}
"""What readers of values must know of the tokens that coalitions had."""


def repeated_in_words(repeats: Mapping[str, Any], name: str) -> str:
    """What coalitions that read text again mean for the values, without the full stop.

    Args:
        repeats: ``coalitions``, how many of them do so more than four times, and the most ``passes`` over one language.
        name: how that language is called.
    """
    several = int(repeats["coalitions"])
    which = "1 coalition reads" if several == 1 else f"{several} coalitions read"
    return (
        f"{which} some text more than four times, {name} up to {repeats['passes']:.3g} times: what it costs to learn "
        "it by heart is in these values, which are not those of as much fresh text"
    )


@dataclass(frozen=True, repr=False)
class TransferMatrix(Shown):
    """``value[target, source]``: rows are targets, columns are sources (the orientation of ATLAS, arXiv 2510.22037).

    Every lens on transfer (game, law, influence, in-run) returns this type, so that they can be laid side by side.
    Targets may lie outside the training mixture; sources never do.
    """

    targets: tuple[str, ...]
    """Row names: languages that are evaluated."""
    sources: tuple[str, ...]
    """Column names: languages that are trained on."""
    value_TL: np.ndarray
    """Shape [targets, sources]; positive helps."""
    low_TL: np.ndarray | None = None
    """Lower ends of 95 % intervals; NaN for a target whose noise is not known, None when nothing was repeated."""
    high_TL: np.ndarray | None = None
    """Upper ends of 95 % intervals."""
    unit: str = "bpb"
    """Unit of the values ("bpb": reduction of held-out bits per byte; "loss": of a table's own loss; "1" for shares and
    weights)."""
    method: str = ""
    """What computed it ("exact Shapley", "in-run Shapley", ...)."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What a reader must know: budget convention, value of the empty coalition, number of repeats, ..."""

    def __post_init__(self) -> None:
        shape = (len(self.targets), len(self.sources))
        for name in ("value_TL", "low_TL", "high_TL"):
            array = getattr(self, name)
            if array is not None and np.shape(array) != shape:
                raise BadInput(f"{name} has shape {np.shape(array)}", expected=f"{shape}: targets × sources")

    def __getitem__(self, key: tuple[str, str]) -> float:
        target, source = key
        return float(self.value_TL[self.targets.index(target), self.sources.index(source)])

    def interval(self, target: str, source: str) -> tuple[float, float] | None:
        """95 % interval of one value, or None when there is none."""
        if self.low_TL is None or self.high_TL is None:
            return None
        at = self.targets.index(target), self.sources.index(source)
        low, high = float(self.low_TL[at]), float(self.high_TL[at])
        return (low, high) if np.isfinite(low) and np.isfinite(high) else None

    def _repr_html_(self) -> str:
        """For notebooks: a table in the report's colours, scaled by the largest value between different languages."""
        cross = np.array([[t != s for s in self.sources] for t in self.targets])
        sizes = np.abs(self.value_TL[cross & np.isfinite(self.value_TL)])
        tint_TL = np.clip(self.value_TL / (float(sizes.max(initial=0.0)) or 1.0), -1, 1)
        rows = [[t, *(f"{self[t, s]:+.3f}" for s in self.sources)] for t in self.targets]
        title = f"{self.method or 'transfer'} ({self.unit}): rows are targets, columns are sources"
        return table_html(title, ["", *self.sources], rows, tint_TL.tolist())

    def explained(self) -> tuple[str, ...]:
        """What a reader must know of a game's values: budget, empty coalition, intervals, what is left out."""
        notes, told = self.notes, []
        if budget := notes.get("budget"):
            sizes = ", ".join(f"{name} = {notes[name]:.4g}" for name in ("N", "D") if name in notes)
            told.append(BUDGETS.get(str(budget), f"Budget: {budget}.") + (f" Runs of {sizes}." if sizes else ""))
        if repeats := notes.get("repeats"):
            told.append(f"{repeated_in_words(repeats, str(repeats['language']))}.")
        if losses := notes.get("empty_loss"):
            shown = ", ".join(f"{target} {loss:.4g}" for target, loss in losses.items())
            origin = notes.get("empty", "given")
            told.append(
                f"Loss of the empty coalition: {origin} ({shown}). It shifts all values of a target alike; "
                "--empty sets it."
            )
        if "intervals" in notes:
            told.append(f"95 % intervals: {notes['intervals']}.")
        elif self.low_TL is None:
            told.append("No intervals: nothing tells the noise. Repeat coalitions with other seeds.")
        told.extend(f"Left out: {remark}." for remark in notes.get("left out", ()))
        return tuple(told)

    def to_json(self) -> dict[str, Any]:
        """``{"method", "unit", "notes", "values": {target: {source: {"value", "low", "high"}}}}``."""
        values: dict[str, dict[str, dict[str, float | None]]] = {}
        for target in self.targets:
            values[target] = {}
            for source in self.sources:
                low, high = self.interval(target, source) or (None, None)
                values[target][source] = {"value": self[target, source], "low": low, "high": high}
        return {"method": self.method, "unit": self.unit, "notes": dict(self.notes), "values": values}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TransferMatrix:
        """Read what :meth:`to_json` wrote."""
        values = data["values"]
        targets = tuple(values)
        sources = tuple(values[targets[0]])

        def grid(key: str) -> np.ndarray | None:
            cells = np.array([[values[t][s][key] for s in sources] for t in targets], dtype=float)
            return None if np.isnan(cells).all() else cells

        value = grid("value")
        if value is None or not np.isfinite(value).all():
            raise BadInput("a transfer matrix without values")
        return cls(
            targets, sources, value, grid("low"), grid("high"), data["unit"], data["method"], dict(data["notes"])
        )

    def to_polars(self) -> pl.DataFrame:
        """One row per target and source: ``target``, ``source``, ``value`` (in ``unit``; positive helps), ``low`` and
        ``high`` (ends of the 95 % interval, null where there is none)."""
        import polars as pl

        pairs = [(target, source) for target in self.targets for source in self.sources]
        ends = [self.interval(*pair) or (None, None) for pair in pairs]
        columns = {
            "target": [target for target, _ in pairs],
            "source": [source for _, source in pairs],
            "value": [self[pair] for pair in pairs],
            "low": [low for low, _ in ends],
            "high": [high for _, high in ends],
        }
        return pl.DataFrame(columns, schema_overrides={"low": pl.Float64, "high": pl.Float64})


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
