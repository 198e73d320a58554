"""What was gained and what was forgotten, where proxies went on from a trained model."""

from __future__ import annotations

from glotmix.estimate import Estimate, Outcome, verdict
from glotmix.report.components import Column, cell, named, table
from glotmix.report.evidence import BaseModel, Evidence
from glotmix.report.frames.kept import kept_rows, kept_summary
from glotmix.report.frames.units import reading
from glotmix.report.html import Html, el, join
from glotmix.wording import large, number, signed, unbroken

WORDS: dict[Outcome, str] = {
    "better": "gained",
    "worse": "forgotten",
    "within the noise": "not told apart",
    "no noise known": "noise not known",
}


def gained_and_forgotten(evidence: Evidence) -> Html:
    """A table of every target under every mixture of the closed loop, against the model that all went on from."""
    base, rows = evidence.base, kept_rows(evidence)
    if base is None or not rows:
        return Html("")
    mixtures = list(rows[0].changes)
    unit = f"{evidence.unit}, or points" if evidence.scored else evidence.unit
    columns = [
        Column("Target"),
        Column("The base read it"),
        Column(
            f"Before ({unit})",
            numeric=True,
            hint="Loss of the base, before any further training",
        ),
        *(
            Column(name, numeric=True, hint="Loss before minus loss after; positive: gained, negative: forgotten")
            for name in mixtures
        ),
    ]
    body = []
    for row in rows:
        told = reading(evidence, row.target)
        cells = [
            named(evidence.name_of(row.target), row.target),
            cell("yes" if row.known else "no"),
            cell(number(told.value(row.before), 3), told.value(row.before), numeric=True),
        ]
        for name in mixtures:
            change = told.gain(row.changes[name])
            words = f"{unbroken(_signed(change))}, {unbroken(WORDS[verdict(change)])}"
            cells.append(cell(words, change.value, css="judged", numeric=True))
        body.append(cells)
    return join(
        el("p", kept_summary(evidence, rows)),
        el("p", _about(base), css="note"),
        table("Change since the base, by target and trained mixture", columns, body),
    )


def _signed(change: Estimate) -> str:
    """The change with its interval, where it has one."""
    if change.low is None or change.high is None:
        return signed(change.value)
    return f"{signed(change.value)} ({signed(change.low)} to {signed(change.high)})"


def _about(base: BaseModel) -> str:
    size = "" if base.N is None else f" of {large(base.N)} parameters without embeddings"
    read = "" if base.tokens is None else f", trained on {large(base.tokens)} tokens"
    return (
        f"All proxies went on from one model{size}{read} ({base.name}). Seeds differ in the order of the data alone: "
        "intervals say nothing of what another base would do."
    )
