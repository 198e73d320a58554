"""The evidence: laws on unseen mixtures, loss against share, the corpus, the runs, and where all of it comes from."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable

import numpy as np
from ruamel.yaml import YAML

from glotmix.measurements import Measurements
from glotmix.report.components import Column, cell, figure, lazy_table, lines, named, panels, table
from glotmix.report.evidence import Evidence
from glotmix.report.figures.intervals import law_errors
from glotmix.report.figures.panels import predictions, shares
from glotmix.report.frames.accuracy import law_rows, relative_error
from glotmix.report.html import Html, el, join, pack
from glotmix.wording import NBSP, large, number

CENSUS: dict[str, tuple[str, str, Callable[[float], str]]] = {
    "documents": ("documents", "exact duplicates removed", lambda x: f"{x:,.0f}".replace(",", NBSP)),
    "bytes": ("bytes", "UTF-8", large),
    "unique_tokens": ("unique tokens", "training tokens U", large),
    "fertility": ("fertility", "tokens per word", lambda x: number(x, 2)),
    "bytes_per_token": ("bytes per token", "", lambda x: number(x, 2)),
    "byte_premium": ("byte premium", "bytes for the same content, relative to the reference", lambda x: number(x, 2)),
    "tokens_per_byte": ("tokens per byte", "", lambda x: number(x, 2)),
    "parity": ("parity", "tokens for the same content, relative to the reference", lambda x: number(x, 2)),
    "unknown_tokens": ("unknown tokens, %", "of all its tokens", lambda x: number(100 * x, 2)),
    "lost_text": ("text lost, %", "characters that the tokenizer does not give back", lambda x: number(100 * x, 2)),
    "epochs": ("epochs, optimum", "passes of the target run at the recommended mixture", lambda x: number(x, 2)),
}
"""Columns of the census: header, what it means, how a value is written."""


def evidence(evidence: Evidence) -> Html:
    """Everything that a careful reader may want to check."""
    drawn = law_errors(evidence)
    rows = law_rows(evidence)
    chosen = next((row.law for row in rows if row.chosen), rows[0].law if rows else "")
    return join(
        figure(drawn) if drawn else None,
        panels(
            predictions(evidence, chosen),
            f"Predicted against measured: {chosen}",
            "Held-out mixtures; on the line the prediction is right.",
            small=True,
        ),
        _errors(evidence) if drawn else None,
        panels(
            shares(evidence),
            "Loss against share",
            "Every point is a run. The line marks the recommended share, the diamond the loss predicted there.",
            small=True,
        ),
        _census(evidence),
        _runs(evidence),
        _provenance(evidence),
    )


def _errors(evidence: Evidence) -> Html:
    laws = [row.law for row in law_rows(evidence)]
    errors = {(h.law, h.target): relative_error(h) for h in evidence.held_out}
    cells = []
    for target in dict.fromkeys(h.target for h in evidence.held_out):
        known = {law: errors[law, target] for law in laws if math.isfinite(errors.get((law, target), math.nan))}
        best = min(known, key=lambda law: known[law]) if known else None
        line = [named(evidence.name_of(target), target)]
        for law in laws:
            text = number(100 * known[law], 2) if law in known else "–"
            line.append(cell(text, known.get(law), "best" if law == best else "", numeric=True))
        cells.append(line)
    columns = [Column(evidence.measures), *[Column(law, True) for law in laws]]
    return table("Held-out error of every law (%), the best in bold", columns, cells, fold=True)


def _census(evidence: Evidence) -> Html | None:
    if not evidence.census:
        return None
    used = [key for key in CENSUS if any(getattr(row, key) is not None for row in evidence.census)]
    columns = [Column(evidence.mixes), *[Column(CENSUS[key][0], True, CENSUS[key][1]) for key in used]]
    cells = []
    for row in evidence.census:
        line = [named(evidence.name_of(row.language), row.language)]
        for key in used:
            value = getattr(row, key)
            line.append(cell("–" if value is None else CENSUS[key][2](value), value, numeric=True))
        cells.append(line)
    return join(el("h3", "The corpus"), table("Census of the corpus", columns, cells, fold=True))


def _runs(evidence: Evidence) -> Html | None:
    """All runs with their mixtures and losses, as data that the page turns into a table when asked."""
    runs = evidence.measurements
    if runs is None and not evidence.runs:
        return None
    head = ["run", "role", "status", "seed", "N", "D", "seconds"]
    rows: list[list[object]] = [[r.run, r.role, r.status, r.seed, r.N, r.D, r.seconds] for r in evidence.runs]
    if not rows and runs is not None:
        columns = (runs.runs, runs.role_R, runs.seed_R, runs.N_R, runs.D_R)
        rows = [
            [name, role, "complete", int(seed), N, D, None] for name, role, seed, N, D in zip(*columns, strict=True)
        ]
    packed = None if runs is None else _packed(runs)
    return join(
        el("h3", "The runs"), lazy_table("runs", f"{len(rows)} runs: design, mixtures and losses", head, rows, packed)
    )


def _packed(runs: Measurements) -> dict[str, object]:
    """Mixtures, losses and scores of all runs as 32-bit numbers."""
    told = runs.measured_columns()
    return {
        "runs": list(runs.runs),
        "columns": [f"p/{name}" for name in runs.languages] + [name for name, _ in told],
        "values": pack(np.hstack([runs.p_RL, *[x_R[:, None] for _, x_R in told]]), np.float32),
    }


def _provenance(evidence: Evidence) -> Html | None:
    if not (evidence.provenance or evidence.exports or evidence.config):
        return None
    return join(
        el("h3", "Where it comes from"),
        lines(evidence.provenance) if evidence.provenance else None,
        join(el("h4", "Exported for"), lines(evidence.exports)) if evidence.exports else None,
        el("details", el("summary", "Configuration"), el("pre", _yaml(evidence.config))) if evidence.config else None,
    )


def _yaml(value: object) -> str:
    out = io.StringIO()
    writer = YAML()
    writer.default_flow_style = False
    writer.dump(json.loads(json.dumps(value, default=str)), out)
    return out.getvalue()
