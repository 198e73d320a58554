"""What to do, how sure, and what it cost."""

from __future__ import annotations

import math

from glotmix.report.components import Column, cell, figure, named, table
from glotmix.report.evidence import Evidence
from glotmix.report.figures.bars import mixture_bars
from glotmix.report.figures.intervals import closed_loop
from glotmix.report.figures.trade import timeline
from glotmix.report.frames.accuracy import law_rows
from glotmix.report.frames.answer import expectation, gain_rows, headline, mixture_rows, objective_unit
from glotmix.report.frames.loop import summary, verdicts
from glotmix.report.html import Html, el, join
from glotmix.wording import NBSP, duration, interval, large, listed, number, scientific, share, signed

VERDICTS = {"better": "✓ optimum better", "worse": "✗ optimum worse", "within the noise": "≈ within the noise"}


def what_to_do(evidence: Evidence) -> Html:
    """The recommendation: a sentence, a chart, a table."""
    answer = el("p", headline(evidence), css="answer")
    if evidence.advice is None:
        return answer
    active = evidence.advice.active
    drawn = mixture_bars(evidence)
    return join(
        answer,
        el("p", expectation(evidence), css="lead"),
        el("p", f"Limits that hold it back: {listed(active, most=5)}.") if active else None,
        figure(drawn) if drawn else None,
        _mixtures(evidence),
    )


def _mixtures(evidence: Evidence) -> Html:
    rows = mixture_rows(evidence)
    names = list(rows[0].baselines)
    known = any(row.epochs is not None for row in rows)
    columns = [Column("language"), Column("optimum", True), *[Column(name, True) for name in names]]
    if known:
        columns.append(Column("epochs", True, "passes over the language's unique tokens in the target run"))
    free = any(row.spread for row in rows)
    if free:
        columns.insert(2, Column("as good", True, "shares that the law cannot tell from the optimum"))
    cells = []
    for row in rows:
        line = [named(row.name, row.language), cell(share(row.optimum), row.optimum)]
        if free:
            line.append(cell(_range(row.spread), row.spread[1] - row.spread[0] if row.spread else None, numeric=True))
        line += [cell(share(row.baselines[name]), row.baselines[name]) for name in names]
        if known:
            line.append(cell("–" if row.epochs is None else number(row.epochs, 2), row.epochs, numeric=True))
        cells.append(line)
    return table("Every mixture compared: share of the training tokens", columns, cells)


def _range(spread: tuple[float, float] | None) -> str:
    return "–" if spread is None else f"{100 * spread[0]:.1f}–{share(spread[1])}"


def how_sure(evidence: Evidence) -> Html:
    """The closed loop, the expected gains, and the laws' held-out error in a sentence."""
    if evidence.advice is None and not evidence.trained:
        return Html("")
    drawn = closed_loop(evidence)
    return join(
        el("p", summary(evidence), css="lead"),
        figure(drawn) if drawn else None,
        _gains(evidence),
        _losses(evidence),
        _trust(evidence),
    )


def _trust(evidence: Evidence) -> Html | None:
    chosen = next((row for row in law_rows(evidence) if row.chosen), None)
    if chosen is None:
        return None
    return el(
        "p",
        f"The law behind these predictions, {chosen.law}, is off by {number(100 * chosen.error, 2)}{NBSP}% on "
        "mixtures it was not fitted to (",
        el("a", "all laws below", href="#fig-laws"),
        ").",
    )


def _gains(evidence: Evidence) -> Html | None:
    advice = evidence.advice
    if advice is None or not advice.baselines:
        return None
    unit = objective_unit(advice, evidence.unit)
    found = {v.baseline: v for v in verdicts(evidence)}
    columns = [
        Column("against"),
        Column(
            f"predicted gain ({unit})", True, "objective of the baseline minus the optimum's, with its 95 % interval"
        ),
        Column(f"measured gain ({unit})", True, "the same, from proxies trained on both mixtures"),
        Column("verdict"),
    ]
    cells = []
    for row in gain_rows(evidence):
        verdict = found.get(row.baseline)
        line = [named(row.baseline, row.baseline), cell(interval(row.gain, 4), row.gain.value)]
        if verdict:
            line.append(cell(interval(verdict.difference, 4), verdict.difference.value))
            line.append(cell(VERDICTS[verdict.outcome], css=f"v-{verdict.outcome.split()[0]}"))
        else:
            line += [cell("not trained", numeric=True), cell("prediction only")]
        cells.append(line)
    return table("What the optimum gains over each other mixture (positive: the optimum is better)", columns, cells)


def _losses(evidence: Evidence) -> Html | None:
    """Predicted and measured loss of each target at the optimum, beside the current or natural mixture."""
    advice = evidence.advice
    if advice is None or not advice.optimum.losses:
        return None
    against = next(
        (b for name in ("current", "natural") for b in advice.baselines if b.name == name and b.losses), None
    )
    trained = next((t for t in evidence.trained if t.name == "optimum"), None)
    columns = [Column("language"), Column(f"optimum, predicted ({evidence.unit})", True)]
    columns += [Column("optimum, measured", True)] if trained else []
    columns += [Column(f"{against.name}, predicted", True), Column("difference", True)] if against else []
    cells = []
    for target, loss in advice.optimum.losses.items():
        outside = "" if target in advice.optimum.mixture else "outside the mixture"
        line = [named(evidence.name_of(target), target, outside), cell(interval(loss), loss.value)]
        if trained:
            seeds = [x for x in trained.measured.get(target, ()) if math.isfinite(x)]
            mean = sum(seeds) / len(seeds) if seeds else math.nan
            line.append(cell(number(mean), mean))
        if against:
            other = against.losses.get(target)
            gap = loss.value - other.value if other else math.nan
            line.append(cell(interval(other), other.value) if other else cell("–", numeric=True))
            line.append(cell(signed(gap), gap, "down" if gap < 0 else "up" if gap > 0 else ""))
        cells.append(line)
    return table("Loss of each language", columns, cells, fold=True)


def what_it_cost(evidence: Evidence) -> Html:
    """Runs, tokens, FLOPs and time, and what part of the target run that is."""
    cost = evidence.cost
    if cost is None:
        return Html("")
    by_status = ", ".join(f"{n} {status}" for status, n in cost.runs.items())
    facts = [(large(sum(cost.runs.values())), "training runs", by_status)]
    if cost.tokens:
        facts.append((large(cost.tokens), "training tokens", "over all runs"))
    if cost.flops:
        facts.append((scientific(cost.flops), "FLOPs", "over all runs"))
    if cost.flops and cost.target_flops:
        part = cost.flops / cost.target_flops
        text = share(part) if part >= 1e-4 else f"{scientific(100 * part)}{NBSP}%"
        facts.append((text, "of the target run", f"which takes {scientific(cost.target_flops)} FLOPs"))
    if cost.seconds:
        stages = ", ".join(f"{stage} {duration(seconds)}" for stage, seconds in cost.by_stage.items())
        facts.append((duration(cost.seconds), "wall-clock time", stages))
    tiles = [
        el("div", el("dt", label), el("dd", value), el("dd", more, css="more-of-it")) for value, label, more in facts
    ]
    drawn = timeline(evidence)
    return join(el("dl", *tiles, css="facts"), figure(drawn) if drawn else None)
