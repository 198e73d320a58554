"""The page of two studies: what changed in the answer, in what was measured, and in the settings."""

from __future__ import annotations

import math

from glotmix.estimate import Estimate
from glotmix.report.components import Column, cell, figure, named, table
from glotmix.report.evidence import Evidence
from glotmix.report.figures.slopes import share_changes
from glotmix.report.frames.accuracy import law_rows
from glotmix.report.frames.two_studies import (
    agreement_words,
    agreements,
    gain_pairs,
    headline,
    settings_apart,
    share_rows,
)
from glotmix.report.frames.units import aim
from glotmix.report.html import Html, el, join
from glotmix.wording import duration, interval, large, number, scientific, share, signed

AS_GOOD = {True: "as good", False: "apart", None: "–"}
MOST_PAIRS = 20


def what_changed(before: Evidence, after: Evidence, names: tuple[str, str]) -> Html:
    """The recommendations side by side."""
    rows = share_rows(before, after)
    drawn = share_changes(rows, names, after.mixes)
    if drawn is None:
        return el("p", headline(rows, after.mixes), css="answer")
    columns = [
        Column(after.mixes),
        Column(names[0], True),
        Column(names[1], True),
        Column("change", True),
        Column("to the laws", False, "whether each study's law can tell the other's share from its own optimum"),
    ]
    cells = [
        [
            named(row.name, row.language),
            cell("–" if row.before is None else share(row.before), row.before or 0.0),
            cell("–" if row.after is None else share(row.after), row.after or 0.0),
            cell(f"{signed(100 * row.change, 1)} points", row.change),
            cell(AS_GOOD[row.as_good]),
        ]
        for row in rows
    ]
    return join(
        el("p", headline(rows, after.mixes), css="answer"),
        figure(drawn),
        table("Recommended share of the training tokens", columns, cells),
    )


def what_it_gains(before: Evidence, after: Evidence, names: tuple[str, str]) -> Html:
    """Gains over every baseline, predicted and measured, in both."""
    pairs = gain_pairs(before, after)
    if not pairs:
        return Html("")
    told = [aim(study) for study in (before, after)]
    units = [one.unit for one in told]
    heads = [
        f"{name}, {how} ({unit})" for how in ("predicted", "measured") for name, unit in zip(names, units, strict=True)
    ]
    cells = [
        [
            named(pair.baseline, pair.baseline),
            *[
                _estimate(None if e is None else one.gain(e))
                for both in (pair.predicted, pair.measured)
                for one, e in zip(told, both, strict=True)
            ],
        ]
        for pair in pairs
    ]
    columns = [Column("against"), *[Column(head, True) for head in heads]]
    note = None
    if before.advice and after.advice and before.advice.objective != after.advice.objective:
        note = el(
            "p",
            f"{names[0]} minimised another objective ({before.advice.objective}) than {names[1]} "
            f"({after.advice.objective}): the gains are not in the same currency.",
        )
    return join(note, table("What each optimum gains (positive: better than the baseline)", columns, cells))


def _estimate(estimate: Estimate | None) -> Html:
    return cell("–", numeric=True) if estimate is None else cell(interval(estimate, 4), estimate.value)


def what_helps(before: Evidence, after: Evidence, names: tuple[str, str]) -> Html:
    """Whether both studies see the same transfer."""
    found = agreements(before, after)
    if not found:
        return Html("")
    parts: list[Html | None] = []
    for lens in found:
        parts.append(el("p", agreement_words(lens), css="lead"))
        cells = [
            [
                named(after.name_of(target), target),
                cell(after.name_of(source)),
                cell(signed(a), a),
                cell(signed(b), b),
                cell(signed(b - a), b - a),
            ]
            for target, source, a, b in lens.differing[:MOST_PAIRS]
        ]
        columns = [Column("target"), Column("source"), *[Column(n, True) for n in names], Column("difference", True)]
        parts.append(table("Pairs whose intervals do not overlap", columns, cells) if cells else None)
    return join(*parts)


def how_good_the_laws_are(before: Evidence, after: Evidence, names: tuple[str, str]) -> Html:
    """Held-out error of every law in both studies."""
    one, two = ({row.law: row for row in law_rows(study)} for study in (before, after))
    laws = list(dict.fromkeys([*two, *one]))
    if not laws:
        return Html("")
    cells = []
    for law in laws:
        line = [named(law, law)]
        for rows in (one, two):
            error = rows[law].error if law in rows else math.nan
            text = f"{number(100 * error, 2)} %" if math.isfinite(error) else "–"
            line.append(cell(text, error, "best" if law in rows and rows[law].chosen else "", numeric=True))
        cells.append(line)
    columns = [Column("law"), *[Column(name, True) for name in names]]
    return table("Held-out error of every law; in bold the one that the optimum was taken on", columns, cells)


def what_they_cost(before: Evidence, after: Evidence, names: tuple[str, str]) -> Html:
    """Runs, tokens, compute and time of both."""
    lines = {
        "runs": [None if s.cost is None else large(sum(s.cost.runs.values())) for s in (before, after)],
        "training tokens": [large(s.cost.tokens) if s.cost and s.cost.tokens else None for s in (before, after)],
        "FLOPs": [scientific(s.cost.flops) if s.cost and s.cost.flops else None for s in (before, after)],
        "wall-clock time": [duration(s.cost.seconds) if s.cost and s.cost.seconds else None for s in (before, after)],
    }
    cells = [
        [named(what, what), *[cell(value or "–", numeric=True) for value in values]]
        for what, values in lines.items()
        if any(values)
    ]
    columns = [Column("of the study"), *[Column(name, True) for name in names]]
    return table("Cost of both studies", columns, cells) if cells else Html("")


def what_differs(before: Evidence, after: Evidence, names: tuple[str, str]) -> Html:
    """Settings and provenance that are not the same."""
    rows = settings_apart(
        {"study": before.config, "made with": before.provenance}, {"study": after.config, "made with": after.provenance}
    )
    if not rows:
        return el("p", "Both studies have the same settings, corpus and versions.")
    cells = [[named(field, field), cell(a), cell(b)] for field, a, b in rows]
    columns = [Column("field"), *[Column(name) for name in names]]
    return table(f"{len(rows)} settings differ", columns, cells, fold=True)
