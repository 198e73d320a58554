"""The page of a post-training grid: the least data that does, how sure that is, who comes along, what explains it."""

from __future__ import annotations

import math

from glotmix.estimate import Estimate
from glotmix.report.components import Column, cell, figure, lines, named, table
from glotmix.report.html import Html, el, join
from glotmix.report.sections.appendix import _yaml
from glotmix.studies.posttraining.figures import gap, growth, relative, scripts
from glotmix.studies.posttraining.findings import CurveRow, InfluenceRow, PosttrainingReport, SaturationRow, TaskRow
from glotmix.wording import NBSP, counted, interval, large, listed, number, share


def sections(page: PosttrainingReport) -> list[tuple[str, str, Html]]:
    """(anchor, heading, content) from top to bottom."""
    rests = [("influence", "Which samples do answers rest on?", influence(page))] if page.influence else []
    return [
        ("do", "What to do", what_to_do(page)),
        ("learnt", "Was it learnt?", learnt(page)),
        ("curves", "How much is enough?", curves(page)),
        ("along", "Who comes along?", along(page)),
        *rests,
        ("why", "What explains it?", why(page)),
        ("doubts", "What could be wrong", doubts(page)),
        ("evidence", "The evidence", evidence(page)),
    ]


def what_to_do(page: PosttrainingReport) -> Html:
    """The least data per task that was learnt, in a sentence and a table."""
    unlearnt = {(row.task, row.base): row for row in page.unlearnt()}
    plans = [row for row in page.plans if (row.task, row.base) not in unlearnt]
    said = [
        f"{row.size} samples of each of {counted(len(row.mix), 'language')} for {row.task} ({row.base})"
        if row.size
        else f"no samples beside {page.name_of(page.pivot)}'s for {row.task} ({row.base})"
        for row in plans
    ]
    answer = f"{share(page.share)} of the best result takes {listed(said, most=8)}."
    if not said and unlearnt and page.plans:
        answer = "Nothing was learnt beyond doubt, so no amount of data can be recommended."
    elif not said:
        answer = (
            "Nothing was learnt: no cell scores above 0 outside of the pivot."
            if page.curves
            else "Nothing was trained."
        )
    columns = [
        Column("task"),
        Column("base model"),
        Column("samples per language", True, "least size whose mean score reaches the share of the best"),
        Column("all samples", True, f"beside {page.name_of(page.pivot)}'s"),
        Column("of the largest grid", True),
        Column("reaches", True, "its mean over the languages beside the pivot, over the best cell's"),
        Column("surely", True, "least size whose one-sided 95 % interval reaches the share as well"),
    ]
    nothing = [cell("not learnt", numeric=True), *[cell("–", numeric=True) for _ in columns[3:]]]
    rows = [
        [named(row.task, row.task), cell(row.base), *nothing]
        if (row.task, row.base) in unlearnt
        else [
            named(row.task, row.task),
            cell(row.base),
            cell(f"{row.size:,}", row.size),
            cell(large(row.samples), row.samples),
            cell(share(row.samples / row.most) if row.most else "–", row.samples / row.most if row.most else None),
            cell(share(row.reached), row.reached),
            cell("not shown" if row.sure_size is None else f"{row.sure_size:,}", row.sure_size, numeric=True),
        ]
        for row in page.plans
    ]
    rising = listed([f"{row.task} ({row.base})" for row in plans if row.size and row.samples == row.most], most=8)
    beyond = f"For {rising} that is the largest size of the grid: the best may lie beyond it."
    return join(
        el("p", answer, css="answer"),
        el("p", beyond, css="lead") if rising else None,
        *[el("p", _not_learnt(row), css="lead") for row in unlearnt.values() if page.plans],
        table("The least data that does", columns, rows),
    )


def _not_learnt(row: TaskRow) -> str:
    return (
        f"{row.task} ({row.base}) was not learnt beyond doubt: the largest cell scores {interval(row.best, 2)}, blind "
        f"answers {number(row.chance, 2)}, the untrained model {interval(row.untrained, 2)}. How much data it takes "
        "cannot be said."
    )


def learnt(page: PosttrainingReport) -> Html:
    """Scores of the base model, of blind answers and of the best cell."""
    columns = [
        Column("task"),
        Column("base model"),
        Column("score"),
        Column("blind", True, "the better of one constant answer and answers dealt out at random"),
        Column("untrained", True, "the base model as it is"),
        Column("largest cell", True, "mean over the pivot and the trained languages, new questions"),
        Column("gain", True, "largest cell minus untrained, on the same questions"),
        Column("wrong language", True, "answers that surely are in another language than the question, all measured"),
    ]
    rows = [
        [
            named(row.task, row.task),
            cell(row.base),
            cell(row.metric),
            cell(number(row.chance, 2), row.chance),
            cell(interval(row.untrained, 2), row.untrained.value),
            cell(interval(row.best, 2), row.best.value),
            cell(interval(row.gain, 2), row.gain.value),
            cell(share(row.wrong_language), row.wrong_language),
        ]
        for row in page.tasks
    ]
    return join(el("p", " ".join(_verdict(row) for row in page.tasks)), table("Held-out scores", columns, rows))


def _verdict(row: TaskRow) -> str:
    if row.learnt:
        return f"{row.task} ({row.base}) was learnt: above blind answers and above the untrained model."
    return f"{row.task} ({row.base}) was not learnt beyond doubt: read its curves with care."


def curves(page: PosttrainingReport) -> Html:
    """A figure per curve, saturation points and plateaus."""
    drawn = [figure(growth(page, row, f"growth-{i}")) for i, row in enumerate(page.curves)]
    columns = [
        Column("task"),
        Column("trained on"),
        Column("languages"),
        Column("half of the gain at", True, "n50 of a saturating curve, 95 % profile interval"),
        Column("flat from", True, "size from which on no gain beyond the margin is left, by an equivalence test"),
    ]
    rows = [
        [
            named(f"{row.task}, {row.base}", row.task, "+".join(page.name_of(name) for name in row.mix)),
            cell(row.trained),
            cell(one.languages),
            cell(_n50(one), one.n50, numeric=True),
            cell("not shown" if row.plateau is None else f"{row.plateau:,}", row.plateau, numeric=True),
        ]
        for row in page.curves
        for one in row.saturation
    ]
    told = el("ul", *[el("li", sentence) for sentence in page.apart]) if page.apart else None
    return join(*drawn, table("Saturation", columns, rows), told)


def _n50(row: SaturationRow) -> str:
    """The point with its interval; only the end that there is where the data leave the other open."""
    if row.n50 is None:
        return "no gain shown"
    if math.isinf(row.high):
        return f"more than {row.low:,.0f}" if row.low else "not bounded"
    return f"{row.n50:,.0f} ({row.low:,.0f} to {row.high:,.0f})" if row.low else f"less than {row.high:,.0f}"


def along(page: PosttrainingReport) -> Html:
    """Seen and unseen languages, relative to the pivot, scripts, every language."""
    parts: list[Html] = []
    for i, row in enumerate(page.curves):
        if all(math.isfinite(e.value) for e in row.relative):
            parts.append(figure(relative(page, row, f"relative-{i}")))
        if (by_script := scripts(page, row, f"scripts-{i}")) is not None:
            parts.append(figure(by_script))
        if row.gap:
            parts += [figure(gap(page, row, f"gap-{i}")), el("p", _gap(row))]
        parts.append(_languages(page, row))
    return join(*parts)


def _gap(row: CurveRow) -> str:
    first, last, change = row.gap[0], row.gap[-1], row.gap_change
    rho = "undefined" if math.isnan(row.rho) else f"{number(row.rho, 2)} (p = {number(row.rho_p, 2)})"
    return (
        f"{row.task}, {row.base}: the gap between seen and unseen languages goes from {interval(first, 2)} to "
        f"{interval(last, 2)}{_moved(change)}; "
        f"Spearman's coefficient of the two over {counted(len(row.sizes), 'size')} is {rho}."
    )


def _moved(change: Estimate | None) -> str:
    if change is None or change.low is None or change.high is None:
        return ""
    clear = not change.low <= 0 <= change.high
    return f", a change of {interval(change, 2)}" + ("" if clear else ", which may be none")


def _languages(page: PosttrainingReport, row: CurveRow) -> Html:
    tags = [name for name in row.groups if name in page.names]
    columns = [Column("language"), *[Column(f"{size:,}", True, "samples per language") for size in row.sizes]]
    rows = []
    for tag in tags:
        kind = "pivot" if tag == page.pivot else "" if tag in row.mix else "unseen"
        rows.append([named(page.name_of(tag), tag, kind), *[cell(interval(e, 2), e.value) for e in row.groups[tag]]])
    title = f"{row.task}, {row.base}, trained on {row.trained} in {'+'.join(page.name_of(n) for n in row.mix)}"
    return table(f"Scores of every language: {title}", columns, rows, fold=True)


def influence(page: PosttrainingReport) -> Html:
    """Languages of the most influential training samples, task by task, beside their share of all samples."""
    return join(
        *[join(el("p", _rests(page, row)), _shares(page, row)) for row in page.influence],
        el(
            "p",
            "TracIn over the training of the largest cell, seed 0; intervals are over test samples, none over seeds. "
            "A large share tells whose samples pull the answers most, not that answers would be worse without them.",
            css="note",
        ),
    )


def _rests(page: PosttrainingReport, row: InfluenceRow) -> str:
    """Who rests on their own samples, and on whose the languages do that have none."""
    of_source = dict(zip(row.languages, row.chance, strict=True))
    own = {name: row.shares[name][row.languages.index(name)] for name in row.languages if name in row.shares}
    more = [page.name_of(name) for name, e in own.items() if e.low is not None and e.low > of_source[name]]
    said = (
        f"{row.task}: answers in {listed(more, most=8)} rest on samples of their own language more than chance has it"
        if more
        else f"{row.task}: answers in no language rest on samples of their own more than chance has it, for sure"
    )
    for name, shares in row.shares.items():
        if name not in own:
            leans = [
                f"{page.name_of(source)} ({share(e.value)})"
                for source, e in zip(row.languages, shares, strict=True)
                if e.low is not None and e.low > of_source[source]
            ]
            said += f"; {page.name_of(name)}, which is never trained on, leans on {listed(leans) or 'none for sure'}"
    return said + "."


def _shares(page: PosttrainingReport, row: InfluenceRow) -> Html:
    columns = [Column("answers in"), *[Column(page.name_of(name), True) for name in row.languages]]
    rows = [
        [named(page.name_of(test), test), *[cell(_percent(e), e.value) for e in shares]]
        for test, shares in row.shares.items()
    ]
    rows.append([named("share of the samples looked at", ""), *[cell(share(value), value) for value in row.chance]])
    return table(f"{row.task}: languages of the {row.top} most influential training samples", columns, rows)


def why(page: PosttrainingReport) -> Html:
    """The ablation."""
    found = page.ablation
    if found is None:
        return el(
            "p", "The grid is too small to tell what explains the outcome: it takes three languages and two runs."
        )
    verdict = (
        f"No single variable explains how near a language comes to {page.name_of(page.pivot)}: together they explain "
        f"{_percent(found.together)} of the variance between left-out languages, {_percent(found.beyond_single)} "
        f"more than the best one alone, {found.best_single}."
        if found.holds
        else f"One variable may be enough: {found.best_single}. All together explain {_percent(found.together)} of the "
        f"variance between left-out languages, {_percent(found.beyond_single)} more than it does alone."
    )
    columns = [
        Column("variable"),
        Column("alone", True, "explained variance of left-out languages, by this variable only"),
        Column("its part of all", True, "Shapley value: mean over all orders of what it adds"),
    ]
    rows = [
        [
            named(row.variable, row.variable),
            cell(_percent(row.alone), row.alone.value),
            cell(_percent(row.part), row.part.value),
        ]
        for row in found.variables
    ]
    pairs = f"Pairs of variables add {_percent(found.interactions)}; below zero they fit what does not carry over."
    return join(el("p", verdict), table("What each variable explains", columns, rows), el("p", pairs, css="note"))


def _percent(e: Estimate) -> str:
    if e.low is None or e.high is None or math.isnan(e.low):
        return f"{number(100 * e.value, 0)}{NBSP}%"
    return f"{number(100 * e.value, 0)}{NBSP}% ({number(100 * e.low, 0)} to {number(100 * e.high, 0)})"


def doubts(page: PosttrainingReport) -> Html:
    """Noise, failures, dropped samples, and what a small grid cannot say."""
    said = [
        f"{task}: two fine-tunings of one cell differ by {number(value, 3)} (standard deviation of the mean over "
        "languages); smaller differences between single runs mean nothing."
        for task, value in page.noise.items()
    ] or ["Nothing was repeated: no difference between two cells can be told from chance."]
    if page.failed:
        said.append(f"{counted(len(page.failed), 'model')} failed: {listed(list(page.failed), most=4)}.")
    said += [
        f"{task}: {count} test samples were left out, since they are trained on."
        for task, count in page.dropped.items()
    ]
    said.append(
        "Every cell made the same number of updates: cells with fewer samples read theirs more often."
        if page.equal_steps
        else "Cells with more samples were trained longer, as in the paper: data and length of training go together."
    )
    return el("ul", *[el("li", sentence) for sentence in said])


def evidence(page: PosttrainingReport) -> Html:
    """What it took, and the study file."""
    return join(
        lines(page.facts),
        el("details", el("summary", "Configuration"), el("pre", _yaml(page.config))) if page.config else None,
    )
