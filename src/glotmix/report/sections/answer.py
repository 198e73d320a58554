"""What to do, how sure, and what it cost."""

from __future__ import annotations

import re

from glotmix.estimate import Estimate, Outcome
from glotmix.report.components import Column, cell, figure, named, table
from glotmix.report.evidence import Evidence
from glotmix.report.figures.bars import mixture_bars
from glotmix.report.figures.intervals import closed_loop
from glotmix.report.figures.languages import who_pays
from glotmix.report.figures.one_page import card_picture
from glotmix.report.figures.trade import timeline
from glotmix.report.frames.accuracy import law_rows
from glotmix.report.frames.answer import expectation, gain_rows, mixture_rows
from glotmix.report.frames.card import answers, flip_finding, flip_rows
from glotmix.report.frames.languages import compared_with, language_rows, part_of
from glotmix.report.frames.loop import summary, verdicts
from glotmix.report.frames.units import Reading, aim, reading
from glotmix.report.frames.verdict import TITLES, Kind, decide
from glotmix.report.html import Html, data, el, join
from glotmix.wording import NBSP, OF_THE_LAW, duration, interval, large, number, scientific, share, signed

LIMITS = 5
"""Limits that are listed; of more, how many there are."""
VERDICTS: dict[Outcome, str] = {
    "better": "✓ optimum better",
    "worse": "✗ optimum worse",
    "within the noise": "? not told apart",
    "no noise known": "? noise not known",
}
LANGUAGES: dict[Outcome, str] = {
    "better": "gains",
    "worse": "pays",
    "within the noise": "not told apart",
    "no noise known": "noise not known",
}
SIGNS: dict[Kind, str] = {"use": "✓", "accept": "✓", "reject": "✗", "keep": "=", "open": "?"}


def what_to_do(evidence: Evidence) -> Html:
    """The decision card, who wins and who pays, whether another aim would change it, and every mixture."""
    decision = decide(evidence)
    card = el(
        "div",
        el(
            "p",
            join(el("span", SIGNS[decision.kind], css="sign", aria_hidden="true"), TITLES[decision.kind]),
            css="verdict",
        ),
        el("p", decision.headline, css="answer"),
        el("p", decision.because, css="lead") if decision.because else None,
        _answers(evidence),
        el("div", data(card_picture(evidence)), css="tools", id="card-tools"),
        css=f"card card-{decision.kind}",
        id="card",
    )
    if evidence.advice is None:
        return card
    active = evidence.advice.active
    drawn = mixture_bars(evidence)
    return join(
        card,
        *[figure(pays) for scores in (False, True) if (pays := who_pays(evidence, scores=scores))],
        _flips(evidence),
        figure(drawn) if drawn else None,
        el("p", expectation(evidence)),
        _limits(evidence, active),
        _mixtures(evidence),
    )


def _limits(evidence: Evidence, active: tuple[str, ...]) -> Html | None:
    """What keeps the recommended mixture from a better one, with languages by their names."""
    if not active:
        return None
    tags = re.compile("|".join(rf"\b{re.escape(tag)}\b" for tag in evidence.about) or "$^")
    shown = [el("li", tags.sub(lambda found: evidence.name_of(found[0]), words)) for words in active[:LIMITS]]
    if len(active) > LIMITS:
        shown.append(el("li", f"and {len(active) - LIMITS} more"))
    return join(el("p", "Limits that hold it back:"), el("ul", *shown))


def _answers(evidence: Evidence) -> Html | None:
    asked = answers(evidence)
    parts = [el("div", el("dt", one.question), el("dd", one.text)) for one in asked]
    return el("dl", *parts, css="answers") if parts else None


def _flips(evidence: Evidence) -> Html | None:
    """The optimum under other choices of whom to serve, side by side."""
    rows = flip_rows(evidence)
    if not rows:
        return None
    shown = [name for name, _ in rows[0].shares][:12]
    columns = [Column("if what counts is"), *[Column(name, True) for name in shown]]
    columns.append(
        Column(
            "moves", True, f"part of the tokens that goes to other {evidence.mixes}s than in the recommended mixture"
        )
    )
    cells = []
    for row in rows:
        line = [named(row.name, row.name)]
        line += [cell(share(p), p) for _, p in row.shares[: len(shown)]]
        cells.append([*line, cell(share(row.moved), row.moved)])
    text = "The flip test: the optimum by the same law and limits, if others count."
    return join(
        el("h3", flip_finding(rows)), el("p", text, css="note"), table("The optimum under other aims", columns, cells)
    )


def _mixtures(evidence: Evidence) -> Html:
    rows = mixture_rows(evidence)
    names = list(rows[0].baselines)
    known = any(row.epochs is not None for row in rows)
    columns = [Column(evidence.mixes), Column("optimum", True), *[Column(name, True) for name in names]]
    if known:
        columns.append(
            Column("epochs, optimum", True, f"passes of the target run over the {evidence.mixes}'s unique tokens")
        )
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
        f"mixtures it was not fitted to, on average over the {evidence.mixes}s in the mixture (",
        el("a", "all laws below", href="#fig-laws"),
        ").",
    )


def _gains(evidence: Evidence) -> Html | None:
    advice = evidence.advice
    if advice is None or not advice.baselines:
        return None
    told = aim(evidence)
    unit = told.unit
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
        line = [named(row.baseline, row.baseline), cell(interval(told.gain(row.gain), 4), row.gain.value)]
        if verdict:
            line.append(cell(interval(told.gain(verdict.difference), 4), verdict.difference.value))
            line.append(cell(VERDICTS[verdict.outcome], css=f"v-{verdict.outcome.split()[0]}"))
        else:
            line += [cell("not trained", numeric=True), cell("prediction only")]
        cells.append(line)
    return table("What the optimum gains over each other mixture (positive: the optimum is better)", columns, cells)


def _losses(evidence: Evidence) -> Html | None:
    """Loss of each target at the optimum, beside the mixture in use: the difference as measured where it was."""
    rows, against = language_rows(evidence), compared_with(evidence)
    if not rows:
        return None
    trained = any(row.trained for row in rows)
    columns = [
        Column(evidence.measures),
        Column("weight", True),
        Column(f"optimum, predicted ({_units(evidence)})", True, f"with the {OF_THE_LAW}"),
    ]
    if trained:
        columns += [Column("optimum, measured", True), Column(f"{against}, measured", True)]
    elif against:
        columns.append(Column(f"{against}, predicted", True))
    if against:
        how = "measured difference" if trained else "predicted difference"
        better = "negative is better, of scores positive" if evidence.scored else "negative is better"
        columns.append(Column(how, True, f"optimum minus the other mixture: {better}"))
    columns += [Column("verdict")] if trained else []
    cells = []
    for row in rows:
        outside = "" if row.inside else "outside the mixture"
        told = reading(evidence, row.target)
        line = [named(row.name, row.target, outside), cell(share(row.weight), row.weight)]
        line.append(_estimate(told, row.predicted))
        line += [_mean(told, row.measured), _mean(told, row.before)] if trained else []
        line += [_estimate(told, row.before_predicted)] if against and not trained else []
        if against:
            css = {"wins": "down", "pays": "up", "open": ""}[part_of(row)]
            text = "–" if row.change is None else _signed_interval(told.change(row.change)) + _points(told)
            line.append(cell(text, row.change.value if row.change else None, css, numeric=True))
        if trained:
            line.append(cell(LANGUAGES[row.outcome] if row.outcome else "prediction only"))
        cells.append(line)
    title = "Loss or score of each target" if evidence.scored else f"Loss of each {evidence.measures}"
    return table(title, columns, cells, fold=True)


def _units(evidence: Evidence) -> str:
    """Unit of losses, or what scores are told in beside them."""
    if not evidence.scored:
        return evidence.unit
    losses = any(row.target not in evidence.scored for row in language_rows(evidence))
    return f"{evidence.unit}, or points" if losses else "points"


def _points(told: Reading) -> str:
    return f" {told.unit}" if told.what != "loss" else ""


def _estimate(told: Reading, estimate: Estimate | None) -> Html:
    if estimate is None:
        return cell("–", numeric=True)
    return cell(interval(told.of(estimate)) + _points(told), told.value(estimate.value))


def _mean(told: Reading, estimate: Estimate | None) -> Html:
    if estimate is None:
        return cell("–", numeric=True)
    return cell(number(told.value(estimate.value)) + _points(told), told.value(estimate.value))


def _signed_interval(change: Estimate) -> str:
    if change.low is None or change.high is None:
        return signed(change.value)
    return f"{signed(change.value)} ({signed(change.low)} to {signed(change.high)})"


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
        # Jobs run side by side, and an interrupted call may not have been counted: the two are told apart.
        jobs = {(run.began, run.ended) for run in evidence.runs if run.began is not None and run.ended is not None}
        worked = sum((end or 0.0) - (start or 0.0) for start, end in jobs)
        if worked:
            stages = "; ".join(filter(None, [stages, f"its jobs, side by side, {duration(worked)} added up"]))
        facts.append((duration(cost.seconds), "from start to end", stages))
    tiles = [
        el("div", el("dt", label), el("dd", value), el("dd", more, css="more-of-it")) for value, label, more in facts
    ]
    drawn = timeline(evidence)
    return join(el("dl", *tiles, css="facts"), figure(drawn) if drawn else None)
