"""A page on balancing methods: which one, how sure, who overfits, whether to sample or to weigh, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from glotmix.artifact import write_text
from glotmix.estimate import verdict
from glotmix.report.components import Column, cell, named, panels, table
from glotmix.report.html import Html, el, join
from glotmix.report.page import assemble
from glotmix.studies.compare import findings as frame
from glotmix.studies.compare.figures import courses
from glotmix.studies.compare.findings import MEAN, WORST, Comparison
from glotmix.wording import interval, large, listed, number, scientific, share, signed, unbroken

VERDICTS = {"better": "✓ better", "worse": "✗ worse", "within the noise": "? not told apart", "no noise known": "?"}

Names = Mapping[str, str]
"""Language to what people call it."""


def write_page(found: Comparison, title: str, question: str, path: Path, names: Names | None = None) -> Path:
    """Write the page and return its path.

    Raises:
        GlotmixError: the file cannot be written.
    """
    names = {language: (names or {}).get(language, language) for language in found.sizes}
    sections: tuple[tuple[str, str, Callable[[Comparison, Names], Html | None]], ...] = (
        ("do", "What to do", what_to_do),
        ("sure", "How sure", how_sure),
        ("translations", "Translations", translations),
        ("overfit", "Who overfits, and when", who_overfits),
        ("side", "To sample or to weigh", to_sample_or_weigh),
        ("cost", "What it cost", what_it_cost),
    )
    write_text(path, assemble(title, question, [(key, head, make(found, names)) for key, head, make in sections]))
    return path


def what_to_do(found: Comparison, names: Names) -> Html:
    """The answer, and every method's losses."""
    sentences = [*frame.about_the_smallest(found, names[found.smallest]), *frame.about_cooldown(found, names)]
    return join(
        el("p", frame.headline(found), css="answer"),
        *[el("p", sentence) for sentence in sentences],
        _losses(found, names),
    )


def _losses(found: Comparison, names: Names) -> Html:
    columns = [Column("method", hint="with its numbers")]
    columns += [Column(names[name], True, "held-out loss in bits per byte") for name in found.languages]
    columns += [Column("mean", True), Column("worst", True, "the language with the greatest loss")]
    best = {name: min(row.loss[name].value for row in found.rows) for name in [*found.languages, MEAN, WORST]}
    cells = []
    for row in found.rows:
        line = [named(row.method, row.method, row.formula)]
        for name in [*found.languages, MEAN, WORST]:
            value = row.loss[name].value
            line.append(cell(interval(row.loss[name]), value, "best" if value == best[name] else ""))
        cells.append(line)
    note = (
        f"Held-out loss after {large(found.tokens)} tokens, {found.seeds} seeds. Intervals are for holding methods "
        "against each other: what a seed does to all of them alike is left out."
    )
    return join(
        table("Loss of every method in bits per byte, the best in bold", columns, cells), el("p", note, css="note")
    )


def how_sure(found: Comparison, names: Names) -> Html | None:
    """Every method against the baseline, then every pair."""
    if len(found.rows) < 2:
        return None
    shown = [*found.languages, MEAN, WORST]
    columns = [Column(f"against {found.baseline}"), *[Column(names.get(name, name), True) for name in shown]]
    cells = []
    for row in found.rows:
        if row.method == found.baseline:
            continue
        line = [named(row.method, row.method)]
        for name in shown:
            pair = found.pair(row.method, found.baseline, name)
            assert pair is not None
            text = f"{unbroken(interval(pair.difference))} {unbroken(VERDICTS[pair.verdict])}"
            if pair.verdict == "within the noise" and verdict(pair.difference) in ("better", "worse"):
                text += " once all pairs count"
            line.append(cell(text, pair.difference.value, f"v-{pair.verdict.split()[0]} judged"))
        cells.append(line)
    return join(
        table("Difference of loss in bits per byte (below zero: better)", columns, cells),
        _all_pairs(found),
        el(
            "p",
            "Verdicts are at 5 % after Holm's correction over all pairs of a column. Each 95 % interval is of one "
            "difference alone, so it may leave out zero where the verdict, which counts all pairs, does not.",
            css="note",
        ),
    )


def _all_pairs(found: Comparison) -> Html:
    methods = [row.method for row in found.rows]
    columns = [Column("mean loss of … minus that of"), *[Column(name, True) for name in methods]]
    cells = []
    for one in methods:
        line = [named(one, one)]
        for other in methods:
            pair = found.pair(one, other, MEAN)
            if pair is None:
                line.append(cell("–", numeric=True))
                continue
            sure = "*" if pair.verdict in ("better", "worse") else ""
            line.append(
                cell(signed(pair.difference.value) + sure, pair.difference.value, f"v-{pair.verdict.split()[0]}")
            )
        cells.append(line)
    return table("Every pair: difference of the mean loss, * where it is beyond the noise", columns, cells)


def translations(found: Comparison, names: Names) -> Html | None:
    """BLEU and chrF of held-out sentences, where runs learn to translate."""
    if not found.quality:
        return None
    shown = [*found.languages, MEAN]
    parts: list[Html] = [el("p", sentence) for sentence in frame.about_translations(found, names)]
    for metric in found.quality:
        columns = [Column("method"), *[Column(names.get(name, name), True) for name in shown]]
        columns += [Column(f"mean against {found.baseline}", True)]
        best = {name: max(row.quality[metric][name].value for row in found.rows) for name in shown}
        cells = []
        for row in found.rows:
            line = [named(row.method, row.method)]
            for name in shown:
                estimate = row.quality[metric][name]
                css = "best" if estimate.value == best[name] else ""
                line.append(cell(interval(estimate, 1), estimate.value, css))
            pair = found.quality_pair(metric, row.method, found.baseline, MEAN)
            if pair is None:
                line.append(cell("–", numeric=True))
            else:
                text = f"{unbroken(interval(pair.difference, 1))} {unbroken(VERDICTS[pair.verdict])}"
                line.append(cell(text, pair.difference.value, f"v-{pair.verdict.split()[0]} judged"))
            cells.append(line)
        parts.append(table(f"{metric} of held-out sentences, 0 to 100, the best in bold", columns, cells))
    told = listed([f"{count:,} of {names[name]}" for name, count in found.sentences.items()], most=20)
    parts.append(el("p", f"Translated greedily: {told}, the same for all; scored by sacrebleu.", css="note"))
    return join(*parts)


def who_overfits(found: Comparison, names: Names) -> Html:
    """The gap between training and held-out text over the run, and where it begins to hurt."""
    language = found.smallest
    watches = [watch for watch in found.watches if watch.language == language]
    columns = [
        Column("method"),
        Column("language"),
        Column("epochs", True, "passes over its unique tokens in the run"),
        Column("gap at the end", True, "held-out minus training loss, nats per token"),
        Column("least loss after", True, "epochs at the evaluation with the least held-out loss"),
        Column("predicted", True, "training tokens at which the law has repetition worth 1/e, in millions"),
        Column("measured", True, "training tokens at the least held-out loss, in millions"),
        Column("rise since", True, "held-out loss at the end minus that least, nats per token"),
        Column("so it"),
    ]
    cells = []
    for watch in found.watches:
        state = "overfits" if watch.overfits else "forgets" if watch.forgets else ""
        predicted = watch.tokens_at(found.predicted_epochs)
        cells.append(
            [
                named(watch.method, watch.method),
                cell(names[watch.language]),
                cell(number(watch.moments[-1].epochs, 2), watch.moments[-1].epochs),
                cell(interval(watch.gap), watch.gap.value),
                cell(f"{number(watch.best.epochs, 1)} epochs", watch.best.epochs),
                cell("not in this run" if predicted is None else number(predicted / 1e6, 2), predicted, numeric=True),
                cell(number(watch.best.tokens / 1e6, 2), watch.best.tokens),
                cell(interval(watch.rise), watch.rise.value),
                cell(state, css="v-worse" if state else ""),
            ]
        )
    return join(
        el("p", _prediction(found, names)),
        panels(
            courses(watches, names[language]),
            f"{names[language]}: held-out loss and loss on training text",
            "Strong line: held-out text, its least marked; faint line: text that is trained on.",
            small=True,
        ),
        table("Every method and language", columns, cells, fold=True),
    )


def _prediction(found: Comparison, names: Names) -> str:
    onsets = [w for w in found.watches if w.overfits]
    predicted = (
        f"By the data-constrained law (arXiv 2305.16264, its published half-life) a repeated token is worth less than "
        f"1/e of a new one after {number(found.predicted_epochs, 1)} epochs; the law never rises, so it says when "
        "repetition stops helping, not that it hurts."
    )
    if not onsets:
        return f"{predicted} Nothing overfitted here beyond the noise."
    measured = [f"{names[w.language]} with {w.method} after {number(w.best.epochs, 1)}" for w in onsets]
    return (
        f"{predicted} Measured, the held-out loss turned while that on training text fell: {listed(measured)} epochs."
    )


def to_sample_or_weigh(found: Comparison, names: Names) -> Html | None:
    """Gradient second moments, and which form is the quieter."""
    side = found.side
    if side is None:
        return None
    columns = [
        Column("language"),
        Column("second moment G", True, "of single-sequence gradients"),
        Column("loss weight", True, "of weighting under proportional sampling"),
        Column("share of the noise", True, "of the weighted gradient's second moment"),
    ]
    cells = [
        [
            named(names[name], name),
            cell(interval(side.G[name], 2), side.G[name].value),
            cell(number(side.weights[name], 2), side.weights[name]),
            cell(share(side.shares[name]), side.shares[name]),
        ]
        for name in found.languages
    ]
    return join(
        el("p", frame.about_the_side(side), css="lead"),
        el(
            "p",
            "Weighting is the noisier form by Σ p (w − 1) G over languages with target share p, weight w and second "
            "moment G. The published inequality takes all G as equal; in general the sign turns where the languages "
            "that are weighted down have much the larger gradients.",
        ),
        table("Gradients at the end of the proportional run", columns, cells),
    )


def what_it_cost(found: Comparison, names: Names) -> Html:
    """FLOPs, tokens to a loss, epochs, and each schedule's epochs by its stages."""
    columns = [
        Column("method"),
        Column("FLOPs", True, "with reference and proxy runs and what the method looks at"),
        Column(f"tokens to {found.baseline}'s mean loss", True),
        *[Column(f"epochs of {names[name]}", True) for name in found.languages],
    ]
    cells = []
    for row in found.rows:
        reached = row.tokens_to[MEAN]
        line = [named(row.method, row.method), cell(scientific(row.flops), row.flops)]
        line.append(cell("never" if reached is None else large(round(reached)), reached, numeric=True))
        line += [cell(number(row.epochs[name], 2), row.epochs[name]) for name in found.languages]
        cells.append(line)
    staged = [row for row in found.rows if len(row.stages) > 1]
    items = [el("li", f"{row.method}: {_stages(row, names)}") for row in staged]
    lost = [el("li", f"{run}: {reason}") for run, reason in found.lost.items()]
    return join(
        table("Cost", columns, cells),
        el("p", f"Matrix products of all runs in {found.precision}.", css="note") if found.precision else None,
        join(el("h3", "Epochs by the start of each stage"), el("ul", *items)) if items else None,
        join(el("h3", "Runs left out"), el("ul", *lost)) if lost else None,
    )


def _stages(row: frame.MethodRow, names: Names) -> str:
    shown = row.stages[1:4]
    parts = [
        f"at {share(start)} of the run " + listed([f"{names[n]} {number(e, 2)}" for n, e in epochs.items()], most=8)
        for start, epochs in shown
    ]
    return "; ".join(parts) + ("; and so on" if len(row.stages) > 4 else "")
