"""The page of cloned languages: verdicts first, then what they rest on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from glotmix.estimate import Estimate
from glotmix.report.components import Column, cell, figure, lines, named, table
from glotmix.report.figures.drawing import Figure
from glotmix.report.html import Html, el, join
from glotmix.report.page import assemble
from glotmix.studies.clones.figures import Axes, Trace, traces
from glotmix.studies.clones.findings import (
    NOT_REPRODUCED,
    REPRODUCED,
    CloneFindings,
    CloneMixtureRow,
    ControlRow,
    LensRow,
)
from glotmix.wording import counted, interval, listed, number, share

MARKS = {REPRODUCED: ("✓ reproduced", None, "v-better"), NOT_REPRODUCED: ("✗ not reproduced", None, "v-worse")}


def page(found: CloneFindings) -> str:
    """The report as HTML text."""
    sections = (
        ("answer", "What the clones show", answer(found)),
        ("loss", "Loss and token efficiency", losses(found)),
        ("alignment", "Alignment", alignment(found)),
        ("time", "Over time", over_time(found)),
        ("yardstick", "Lenses against the truth", lenses(found)),
        ("record", "The record", record(found)),
    )
    return assemble(found.title, found.question, sections)


def answer(found: CloneFindings) -> Html:
    """Verdicts in a sentence and in a table."""
    by_verdict = {verdict: [c for c in found.claims if c.verdict == verdict] for verdict in MARKS}
    held, fell = by_verdict[REPRODUCED], by_verdict[NOT_REPRODUCED]
    open_ = len(found.claims) - len(held) - len(fell)
    told = (
        f"Of {counted(len(found.claims), 'claim')} of the paper these runs reproduce {len(held)}, contradict "
        f"{len(fell)} and cannot decide {open_}."
    )
    columns = [
        Column("claim, and what is compared here"),
        Column("verdict"),
        Column("measured here", True, "mean over seeds with its 95 % interval; above zero agrees"),
        Column("the paper"),
        Column("would decide"),
    ]
    rows = [
        [
            named(claim.claim, claim.claim, claim.measure),
            cell(*MARKS.get(claim.verdict, ("? not decidable at this size", None, ""))),
            cell(interval(claim.measured), claim.measured.value),
            cell(claim.paper),
            cell(claim.decides),
        ]
        for claim in found.claims
    ]
    text = el(
        "p",
        "Clones have the same text, tokenizer and structure and differ in their ids alone, so what one gains from the "
        "other is transfer and nothing else. The paper: The Role of Language Imbalance in Cross-lingual Generalisation "
        "(arXiv 2404.07982).",
        css="note",
    )
    warned = el("p", _transfer_or_updates(found.controls), css="lead") if found.controls else None
    return join(el("p", told, css="answer"), warned, text, table("Claims and verdicts", columns, rows))


def _transfer_or_updates(controls: Sequence[ControlRow]) -> str:
    """How much of the smallest share's efficiency is transfer."""
    row = min(controls, key=lambda row: row.share)
    return (
        "How much of the efficiency is transfer? A run alone with few tokens also makes few updates. With "
        f"{share(row.share)} of the tokens in as many updates as the mixture, on batches of "
        f"{counted(row.batch, 'sequence')}, a clone alone has an efficiency of {_told(row.efficiency)}; in the "
        f"mixture, where it can also learn from the other clone, {_told(row.mixed)}. Loss alone minus loss "
        f"in the mixture is {interval(row.gain)} nats per token; only what is above zero is transfer."
    )


def losses(found: CloneFindings) -> Html:
    """Every mixture: losses and token efficiencies, and the curve they are read off."""
    drawn = [
        traces(
            "efficiency",
            "Token efficiency by a clone's share",
            [_by_share("second clone", _splits(found), 1), _by_share("first clone", _splits(found), 0)]
            + [_by_share(f"second clone, {arm}", rows, 1) for arm, rows in _splits_elsewhere(found).items()],
            Axes("share of the clone (%)", "tokens of its own that its loss is worth, over tokens seen", log_y=True),
            "1: a token is worth a token; above: more, by transfer or by more updates. " + found.curve,
        ),
        _alone(found),
        *[_dial(found, dial) for dial in ("anchors", "relatives")],
    ]
    columns = [
        Column("mixture"),
        Column("efficiency of the first", True, "equivalent tokens over tokens seen"),
        Column("of the second", True),
        Column("loss of the first (nats)", True),
        Column("of the second", True),
        Column("tokens", True),
        Column("seeds", True),
    ]
    rows = [
        [
            _named(row),
            *[_efficiency(one) for one in row.efficiency],
            *[cell(interval(loss), loss.value) for loss in row.loss],
            cell(f"{row.tokens / 1e6:g} M", row.tokens),
            cell(str(row.seeds), row.seeds),
        ]
        for row in found.mixtures
    ]
    figures = [figure(one) for one in drawn if one]
    return join(*figures[:1], _controls(found), *figures[1:], table("Every mixture", columns, rows))


def _controls(found: CloneFindings) -> Html | None:
    """Transfer told from updates, share by share."""
    if not found.controls:
        return None
    columns = [
        Column("share of the tokens"),
        Column("efficiency in the mixture", True),
        Column("alone, in as many updates", True),
        Column("loss alone minus in the mixture (nats)", True, "above zero: the other clone helps beyond updates"),
    ]
    rows = [
        [
            cell(share(row.share)),
            _efficiency(row.mixed),
            _efficiency(row.efficiency),
            cell(interval(row.gain), row.gain.value),
        ]
        for row in sorted(found.controls, key=lambda row: row.share)
    ]
    return table("Transfer or updates", columns, rows)


def _efficiency(found: Estimate | None) -> Html:
    return cell("–" if found is None else _told(found), None if found is None else found.value, numeric=True)


def _told(found: Estimate | None) -> str:
    if found is None:
        return "–"
    return interval(found, 2) if math.isfinite(found.value) else "beyond the curve"


def _named(row: CloneMixtureRow) -> Html:
    """Shares, or the stages of a schedule; beside them the arm."""
    name = _called(row)
    return named(name, name, row.arm)


def _called(row: CloneMixtureRow) -> str:
    stages = row.name.removeprefix("schedule-").split("_") if row.name.startswith("schedule-") else []
    return f"second: {' → '.join(stages)} %" if stages else _shares(row)


def _shares(row: CloneMixtureRow) -> str:
    return "/".join(f"{100 * p:.3g}" for p in row.shares[:4]) + (" …" if len(row.shares) > 4 else "")


def _by_share(name: str, rows: Sequence[CloneMixtureRow], clone: int) -> Trace:
    rows = sorted(rows, key=lambda row: row.shares[clone])
    efficiencies = tuple(row.efficiency[clone] or Estimate(math.nan) for row in rows)
    return Trace(name, tuple(100 * row.shares[clone] for row in rows), efficiencies)


def _splits_elsewhere(found: CloneFindings) -> dict[str, list[CloneMixtureRow]]:
    """Splits of other arms that were trained at several shares (vocabularies, real pairs), by arm."""
    arms: dict[str, list[CloneMixtureRow]] = {}
    for row in found.mixtures:
        if row.name.startswith("split-") and row.arm != found.mixtures[0].arm:
            arms.setdefault(row.arm, []).append(row)
    return {arm: rows for arm, rows in arms.items() if len(rows) > 1}


def _splits(found: CloneFindings) -> list[CloneMixtureRow]:
    main = found.mixtures[0].arm if found.mixtures else ""
    return [row for row in found.mixtures if row.arm == main and row.name.startswith("split-")]


def _alone(found: CloneFindings) -> Figure | None:
    comparable = [row for row in found.alone if row.vocabulary == found.alone[0].vocabulary]
    by_arm = {row.arm: [r for r in comparable if r.arm == row.arm] for row in comparable}
    drawn = [
        Trace(arm, tuple(r.tokens / 1e6 for r in rows), tuple(r.loss for r in rows)) for arm, rows in by_arm.items()
    ]
    finding = "One language alone: what token equivalents are read off"
    return traces("alone", finding, drawn, Axes("training tokens (millions)", "loss (nats per token)", log_x=True))


def _dial(found: CloneFindings, dial: str) -> Figure | None:
    rows = sorted((row for row in found.dials if row.dial == dial), key=lambda row: row.share)
    points = [(100 * row.share, row.loss) for row in rows]
    words = {
        "anchors": ("Loss at equal shares by what both clones share", "share of the vocabulary in common (%)"),
        "relatives": ("Loss at equal shares by what means something else", "share of the ids permuted (%)"),
    }
    if len(points) < 2:  # the table tells it
        return None
    x, y = zip(*points, strict=True)
    mass = listed(
        [f"{share(row.share)} are {share(row.mass)} of the text" for row in rows if 0 < row.share < 1], most=8
    )
    note = f"Shares of the vocabulary: {mass}." if dial == "anchors" else f"Written alike: {mass}."
    return traces(
        dial, words[dial][0], [Trace("mean of both clones", x, y)], Axes(words[dial][1], "loss (nats per token)"), note
    )


def _retrieval(row: CloneMixtureRow) -> list[Html]:
    """Of one sentence, whose own clone is nearest whatever the model, nothing is told."""
    if row.chance is None or row.chance == 1:
        return [cell("one sentence", math.nan), cell("–", math.nan)]
    best = max(row.retrieval)
    return [cell(share(best), best), cell(share(row.chance), row.chance)]


def alignment(found: CloneFindings) -> Html | None:
    """Gradients, hidden states by layer, embeddings and retrieval at the end of training."""
    rows = [row for row in found.mixtures if row.gradient is not None]
    if not rows:
        return None
    splits = [row for row in _splits(found) if row.centred]
    layers = tuple(float(i + 1) for i in range(len(splits[0].centred))) if splits else ()
    drawn = [
        traces(
            f"hidden-{kind}",
            title,
            [Trace(_shares(row), layers, tuple(Estimate(v) for v in getattr(row, kind))) for row in splits],
            Axes("block", "cosine", counts_x=True),
        )
        for kind, title in (("raw", "Hidden states, raw cosine"), ("centred", "Hidden states, mean-centred"))
    ]
    columns = [
        Column("mixture"),
        Column("gradient cosine", True, "mean over the tensors of the blocks"),
        Column("hidden, centred", True, "mean over blocks"),
        Column("hidden, raw", True, "as published; high where nothing is shared"),
        Column("retrieval", True, "best block: nearest sentence is its own clone"),
        Column("by chance", True, "one in so many sentences"),
        Column("embeddings: pairs", True),
        Column("all pairs", True),
    ]
    cells = [
        [
            _named(row),
            cell(interval(row.gradient), row.gradient.value),
            *[cell(number(_mean(v)), _mean(v)) for v in (row.centred, row.raw)],
            *_retrieval(row),
            *[cell(number(v), v) for v in row.embedding or (math.nan, math.nan)],
        ]
        for row in rows
        if row.gradient is not None
    ]
    text = (
        "A raw cosine of hidden states is high wherever states share a mean; gradients, centred states and retrieval "
        "tell whether the two languages are one to the model."
    )
    return join(
        el("p", text, css="note"),
        *[figure(one) for one in drawn if one],
        table("Alignment at the end of training", columns, cells),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def over_time(found: CloneFindings) -> Html | None:
    """Losses and gradient cosines at the checkpoints of splits and schedules."""
    # A language that is left out for a stage is lost, and its loss would be the only thing to see.
    names = [name for name in dict.fromkeys(moment.name for moment in found.moments) if not _leaves_out(name)]
    if not names:
        return None
    by_name = {name: [m for m in found.moments if m.name == name] for name in names}
    called = {row.name: _called(row) for row in reversed(found.mixtures)}  # the main arm's, which comes first

    def drawn(key: str, title: str, unit: str, value: int | None) -> Figure | None:
        lines_ = [
            Trace(
                called.get(name, name),
                tuple(m.tokens / 1e6 for m in moments),
                tuple(Estimate(m.gradient if value is None else m.loss[value]) for m in moments),
            )
            for name, moments in by_name.items()
        ]
        return traces(key, title, lines_, Axes("training tokens (millions)", unit))

    figures = [
        drawn("loss-first", "Loss of the first clone over training", "loss (nats per token)", 0),
        drawn("loss-second", "Loss of the second clone over training", "loss (nats per token)", 1),
        drawn("gradient", "Gradient cosine over training", "mean gradient cosine", None),
    ]
    text = (
        "Means over seeds. A schedule's name lists the second clone's share in its stages; one that leaves a clone out "
        "for a stage is not drawn."
    )
    return join(el("p", text, css="note"), *[figure(one) for one in figures if one])


def _leaves_out(name: str) -> bool:
    """Whether a stage of a schedule has one clone alone."""
    return name.startswith("schedule-") and bool({"0", "100"} & set(name.removeprefix("schedule-").split("_")))


def lenses(found: CloneFindings) -> Html | None:
    """What each lens says of equals."""
    if not found.lenses:
        return None
    columns = [
        Column("lens"),
        Column("split"),
        Column("a token of the second, to the first", True, "in tokens of the first's own"),
        Column("a token of the first, to the second", True, "in tokens of the second's own"),
        Column("asymmetry (log2)", True, "0: equals, which they are"),
        Column("bias: to the first", True, "lens minus measured"),
        Column("bias: to the second", True, "lens minus measured"),
    ]
    rows = [
        [
            named(row.lens, row.lens),
            cell(f"{100 * (1 - row.second):g}/{100 * row.second:g}", row.second),
            *[cell(_worth(v), v.value, numeric=True) for v in (row.to_first, row.to_second, row.asymmetry)],
            *([cell(_worth(v), v.value, numeric=True) for v in row.bias] if row.bias else [cell("–", css="num")] * 2),
        ]
        for row in found.lenses
    ]
    return join(
        el("p", _lens_words(found.lenses), css="lead"),
        el(
            "p",
            "The two are equals by construction. A lens is asked what a token of the other language is worth, "
            "in tokens of one's own; “measured” is read off token equivalents of the same runs, which count what more "
            "updates give as if the other language had given it.",
            css="note",
        ),
        table("Four lenses on equals", columns, rows),
    )


def _lens_words(rows: Sequence[LensRow]) -> str:
    skewed = min(row.second for row in rows)
    said = {row.lens: row.to_second for row in rows if row.second == skewed}
    truth = said.pop("measured", None)
    of_lenses = listed([f"{lens} {_worth(Estimate(value.value))}" for lens, value in said.items()], most=8)
    split = f"{100 * (1 - skewed):g}/{100 * skewed:g}"
    if truth is None:
        return f"At {split}, worth of a token of the first clone to the second: {of_lenses}."
    return (
        f"At {split} losses say that a token of the first clone is worth {_worth(truth)} tokens of the second's own. "
        f"The lenses say: {of_lenses}."
    )


def _worth(value: Estimate) -> str:
    return "not defined" if not math.isfinite(value.value) else interval(value, 2)


def record(found: CloneFindings) -> Html:
    """What was trained, and on what."""
    return lines(dict(found.facts))
