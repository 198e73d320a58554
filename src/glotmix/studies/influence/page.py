"""The page of influence across languages: answer, shares beside nulls, top samples, what the scores are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from glotmix.artifact import write_text
from glotmix.estimate import Estimate
from glotmix.report.components import Column, cell, figure, lines, named, panels, table
from glotmix.report.evidence import About, Evidence
from glotmix.report.figures.drawing import Figure
from glotmix.report.figures.heatmap import heat_map
from glotmix.report.html import Html, el, join
from glotmix.report.page import assemble
from glotmix.studies.influence.figures import courses
from glotmix.studies.influence.findings import (
    InfluenceEvidence,
    Lenses,
    ShownSample,
    ShownTest,
    TaskInfluence,
    agreed,
    doubts,
    excess,
    headline,
    leaning,
)
from glotmix.wording import interval, number, share, signed

LONGEST = 400
"""Characters of a text that the browser shows."""


def write_influence_report(evidence: InfluenceEvidence, path: Path) -> Path:
    """Write the page and return its path."""
    bodies: list[tuple[str, str, Html | None]] = []
    if evidence.tasks:
        bodies.append(("answer", "What predictions rest on", answer(evidence)))
    for i, task in enumerate(evidence.tasks):
        bodies.append((f"task-{i}", task.name, findings(evidence, task, f"task-{i}")))
    for i, task in enumerate(evidence.tasks):
        if task.asked:
            bodies.append((f"samples-{i}", f"Top samples: {task.name}", browser(evidence, task)))
    if evidence.lenses is not None:
        bodies.append(("lenses", "Lenses side by side", lenses(evidence, evidence.lenses)))
    if evidence.method:
        bodies.append(("record", "How it was computed", lines(evidence.method)))
    write_text(path, assemble(evidence.title, evidence.description, bodies))
    return path


def answer(evidence: InfluenceEvidence) -> Html:
    """The finding in words, and what to doubt."""
    items = [
        el(
            "li",
            el("span", "?", css="sign", aria_hidden="true"),
            el("div", el("strong", title), el("p", text)),
            css="look",
        )
        for title, text in doubts(evidence)
    ]
    return join(
        el("p", headline(evidence), css="answer"),
        el(
            "p",
            "A language's share of the top samples says little on its own: a classification head that is shared by "
            "languages which have nothing else in common mixes them almost evenly. So every share stands beside what "
            "random samples of the same label give, and the share of translations, which does move with the alignment "
            "of languages, comes first.",
            css="lead",
        ),
        el("ul", *items, css="doubts") if items else None,
    )


def findings(evidence: InfluenceEvidence, task: TaskInfluence, key: str) -> Html:
    """Everything about one task."""
    return join(
        el("p", task.about, css="note"),
        _translations(evidence, task),
        figure(_map(evidence, task, f"{key}-shares")),
        _shares(evidence, task),
        panels(
            courses(evidence, task, f"{key}-course"),
            "Over the checkpoints",
            "Diamonds: share of the own language among the top samples. Circles: share of translations among the "
            "foreign ones. Bands: the middle 95 % of what shuffled languages or identities give.",
            small=True,
        ),
        _accuracy(evidence, task),
        _overlap(evidence, task),
        _imbalance(evidence, task),
        _removal(task),
        _scores(task),
    )


def _map(evidence: InfluenceEvidence, task: TaskInfluence, key: str) -> Figure:
    about = {language: About(evidence.name_of(language)) for language in (*task.shares.targets, *task.shares.sources)}
    drawn = heat_map(Evidence(evidence.title, about=about, transfer={task.name: excess(task)}), task.name, key)
    finding = leaning(evidence, task)
    return replace(
        drawn,
        finding=finding,
        drawings=tuple(drawing.replace(escape(drawn.finding), escape(finding)) for drawing in drawn.drawings),
        note=f"Read along a row: share of each training language among the {task.m} samples that help the row's "
        "predictions most, minus its share among random samples of the same label. Blue: more than its share, orange: "
        f"less. A value without colour could be nothing: its 95 % interval ({_over(task)}) includes zero.",
    )


def _over(task: TaskInfluence) -> str:
    return f"over {task.seeds} seeds" if task.seeds > 1 else "over the test samples of one run"


def _translations(evidence: InfluenceEvidence, task: TaskInfluence) -> Html | None:
    if not task.reinforcing:
        return None
    columns = [
        Column("test language"),
        Column("translations", True, "share of the foreign top samples that translate own top samples"),
        Column("identities shuffled", True, "the same with identities shuffled within language and label"),
        Column("independent", True, "if the tops of languages had nothing to do with each other"),
    ]
    rows = [
        [
            named(evidence.name_of(row.language), row.language),
            _figure(row.value),
            _figure(row.shuffled),
            cell(share(row.chance), row.chance),
        ]
        for row in task.reinforcing
    ]
    return table("Translations among the foreign top samples: reinforcing influence", columns, rows)


def _shares(evidence: InfluenceEvidence, task: TaskInfluence) -> Html:
    columns = [Column("test language"), *[Column(evidence.name_of(s), True) for s in task.shares.sources]]
    rows = []
    for kind, matrix in (("top", task.shares), ("random, same label", task.null), ("most harmful", task.negative)):
        for target in matrix.targets:
            values = [cell(share(matrix[target, s]), matrix[target, s]) for s in matrix.sources]
            rows.append([named(evidence.name_of(target), target, kind), *values])
    return table(f"Shares of the training languages among {task.m} samples", columns, rows, fold=True)


def _accuracy(evidence: InfluenceEvidence, task: TaskInfluence) -> Html | None:
    if not task.accuracy:
        return None
    rows = [[named(evidence.name_of(name), name), _figure(value)] for name, value in task.accuracy.items()]
    return table("Accuracy on the test samples", [Column("language"), Column("accuracy", True)], rows)


def _overlap(evidence: InfluenceEvidence, task: TaskInfluence) -> Html | None:
    if not task.overlap:
        return None
    columns = [
        Column("language left out"),
        Column("overlap with the regular run", True),
        Column("two seeds of the regular run", True, "the most that can be expected"),
        Column("at random", True),
    ]
    rows = [
        [
            named(evidence.name_of(row.language), row.language),
            _figure(row.value),
            _figure(row.ceiling),
            cell(share(row.chance), row.chance),
        ]
        for row in task.overlap
    ]
    return table(f"Zero-shot: overlap of the top {task.m} samples of other languages", columns, rows)


def _imbalance(evidence: InfluenceEvidence, task: TaskInfluence) -> Html | None:
    if not task.imbalance:
        return None
    columns = [
        Column("language"),
        Column("samples", True, "in multiples of the regular run's"),
        Column("its part of the training samples", True, "what chance would give"),
        Column("of its own top", True),
        Column("change", True, "to the regular run, seed by seed"),
        Column("of the others' top", True),
        Column("change", True, "to the regular run, seed by seed"),
    ]
    rows = [
        [
            named(evidence.name_of(row.language), row.language),
            cell(f"× {row.factor:g}", row.factor),
            cell(share(row.part), row.part),
            _figure(row.own),
            cell("", 0.0) if row.factor == 1 else _figure(row.own_change, plus=True),
            _figure(row.others),
            cell("", 0.0) if row.factor == 1 else _figure(row.others_change, plus=True),
        ]
        for row in task.imbalance
    ]
    return table(f"More and less of a language: its share of the top {task.m} samples", columns, rows)


def _removal(task: TaskInfluence) -> Html | None:
    if not task.removal:
        return None
    rows = [[el("th", row.kind.replace("_", " "), scope="row"), _figure(row.change, plus=True)] for row in task.removal]
    title = f"Trained again without {task.removed} samples: change of the confidence in the right class"
    return table(title, [Column("removed"), Column("change", True)], rows)


def _scores(task: TaskInfluence) -> Html | None:
    if not task.scores:
        return None
    rows = [[el("th", row.score, scope="row"), _figure(row.lds, plus=True)] for row in task.scores]
    title = f"Do the scores predict retraining? Linear datamodeling score over {task.subsets} subsets"
    return table(title, [Column("score"), Column("LDS", True, "1: perfectly, 0: not at all")], rows)


def _figure(estimate: Estimate, plus: bool = False) -> Html:
    text = interval(estimate)
    return cell(f"+{text}" if plus and estimate.value > 0 else text, estimate.value)


def browser(evidence: InfluenceEvidence, task: TaskInfluence) -> Html:
    """Test samples to open, each with the training samples that its prediction rests on."""
    return join(
        el(
            "p",
            "Open a test sample. Foreign samples whose own-language translation is on the list too are marked "
            "“reinforces”; the last column is the same text in the test language, where there is one.",
            css="note",
        ),
        *[_asked(evidence, asked) for asked in task.asked],
    )


def _asked(evidence: InfluenceEvidence, asked: ShownTest) -> Html:
    label = f" [{asked.label}]" if asked.label else ""
    return el(
        "details",
        el("summary", f"{evidence.name_of(asked.language)}{label}: {_cut(asked.text, 110)}"),
        el("p", _cut(asked.text), css="note", dir="auto"),
        _samples(evidence, "Most helpful", asked.helpful),
        _samples(evidence, "Most harmful", asked.harmful),
    )


def _samples(evidence: InfluenceEvidence, title: str, samples: Sequence[ShownSample]) -> Html | None:
    if not samples:
        return None
    columns = [
        Column("language"),
        Column("influence", True),
        Column("label"),
        Column("text"),
        Column("in the test language"),
    ]
    rows = [
        [
            named(evidence.name_of(s.language), s.language, "reinforces" if s.reinforces else ""),
            cell(signed(s.score), s.score),
            cell(s.label),
            el("td", _cut(s.text), dir="auto"),
            el("td", _cut(s.translates), dir="auto"),
        ]
        for s in samples
    ]
    return table(title, columns, rows)


def _cut(text: str, most: int = LONGEST) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def lenses(evidence: InfluenceEvidence, found: Lenses) -> Html:
    """Rank correlations of lenses on transfer, and the pairs of languages on which they part."""
    columns = [
        Column("lenses"),
        Column("pairs"),
        Column("Spearman", True, "with the 95 % interval over pairs and repeats"),
        Column("shuffled", True, "the middle 95 % when one lens orders the sources of each target at random"),
    ]
    rows = [
        [
            el("th", f"{a.one} · {a.other}", scope="row"),
            cell(f"{a.pairs} ({a.count})"),
            cell(f"{signed(a.value, 2)} ({signed(a.low, 2)} to {signed(a.high, 2)})", a.value),
            cell(f"{signed(a.null_low, 2)} to {signed(a.null_high, 2)}", a.null_high - a.null_low),
        ]
        for a in found.agreements
    ]
    names = list(found.matrices)
    apart = [
        [
            el("th", f"{evidence.name_of(p.source)} for {evidence.name_of(p.target)}", scope="row"),
            *[cell(number(p.rank[name], 2), p.rank[name]) for name in names if name in p.rank],
            cell(number(p.spread, 2), p.spread),
        ]
        for p in found.partings
    ]
    about = {language: About(name) for language, name in evidence.names.items()}
    maps = [
        join(
            el("h3", name),
            figure(heat_map(Evidence(evidence.title, about=about, transfer={name: matrix}), name, f"lens-{i}")),
        )
        for i, (name, matrix) in enumerate(found.matrices.items())
    ]
    ranked = [
        Column("source for target"),
        *[Column(n, True) for n in names if not apart or n in found.partings[0].rank],
    ]
    return join(
        el("p", agreed(found), css="answer"),
        el(
            "p",
            "Lenses measure different things, so only the order of their values is compared. A language helps itself "
            "most under nearly every lens: look at the pairs of different languages.",
            css="note",
        ),
        table("Rank correlations", columns, rows),
        table(
            "Where they part: rank among the other languages (0 the most helpful, 1 the least)",
            [*ranked, Column("spread", True)],
            apart,
        )
        if apart
        else None,
        *maps,
    )
