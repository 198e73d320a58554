"""The page's sections, each from evidence to HTML; "" where there is nothing to say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from glotmix.report import html
from glotmix.report.evidence import Evidence
from glotmix.report.explorer import explorer_data
from glotmix.report.figures.bars import mixture_bars
from glotmix.report.figures.drawing import Figure
from glotmix.report.figures.heatmap import heat_map
from glotmix.report.figures.intervals import closed_loop, law_errors
from glotmix.report.figures.panels import predictions, shares, waterfalls
from glotmix.report.frames import cautions as doubts
from glotmix.report.frames.accuracy import law_rows
from glotmix.report.frames.answer import expectation, gain_rows, headline, mixture_rows, objective_unit
from glotmix.report.frames.loop import loop_rows, summary, verdicts
from glotmix.report.frames.words import NBSP, duration, interval, large, listed, number, scientific, share, signed
from glotmix.report.html import Column

PANELS = 6
"""Small multiples shown at once; the others wait behind a menu."""


def what_to_do(evidence: Evidence) -> str:
    """The recommendation: a sentence, a chart, a table."""
    if evidence.advice is None:
        return f'<p class="answer">{escape(headline(evidence))}</p>'
    advice = evidence.advice
    parts = [f'<p class="answer">{escape(headline(evidence))}</p>', f'<p class="lead">{escape(expectation(evidence))}</p>']
    if advice.active:
        parts.append(f"<p>Limits that hold it back: {escape(listed(list(advice.active), most=8))}.</p>")
    if figure := mixture_bars(evidence):
        parts.append(html.figure(figure))
    parts.append(_mixture_table(evidence))
    return "".join(parts)


def _mixture_table(evidence: Evidence) -> str:
    rows = mixture_rows(evidence)
    names = list(rows[0].baselines)
    columns = [Column("language"), Column("optimum", True), *[Column(name, True) for name in names]]
    known = any(row.epochs is not None for row in rows)
    if known:
        columns.append(Column("epochs", True, "passes over the language's unique tokens in the target run"))
    cells = []
    for row in rows:
        line = [html.named(row.name, row.language), html.cell(share(row.optimum), row.optimum)]
        line += [html.cell(share(row.baselines[name]), row.baselines[name]) for name in names]
        if known:
            line.append(html.cell("–" if row.epochs is None else number(row.epochs, 2), row.epochs, numeric=True))
        cells.append(line)
    return html.table("Every mixture compared: share of the training tokens", columns, cells)


def how_sure(evidence: Evidence) -> str:
    """The closed loop, the expected gains, and the laws' held-out error in a sentence."""
    if evidence.advice is None and not evidence.trained:
        return ""
    parts = [f'<p class="lead">{escape(summary(evidence))}</p>']
    if figure := closed_loop(evidence):
        parts.append(html.figure(figure))
    if table := _gain_table(evidence):
        parts.append(table)
    if (loop := _loss_table(evidence)) and loop:
        parts.append(loop)
    rows = law_rows(evidence)
    if chosen := next((row for row in rows if row.chosen), None):
        parts.append(
            f"<p>The law behind these predictions, {escape(chosen.law)}, is off by {number(100 * chosen.error, 2)}{NBSP}% on "
            f'mixtures it was not fitted to (<a href="#fig-laws">all laws below</a>).</p>'
        )
    return "".join(parts)


def _gain_table(evidence: Evidence) -> str:
    advice = evidence.advice
    if advice is None:
        return ""
    unit = objective_unit(advice, evidence.unit)
    measured = {row.name: row for row in loop_rows(evidence)}
    found = {v.baseline: v for v in verdicts(evidence)}
    columns = [
        Column("against"),
        Column(f"predicted gain ({unit})", True, "objective of the baseline minus the optimum's, with its 95 % interval"),
        Column(f"measured gain ({unit})", True, "the same, from proxies trained on both mixtures"),
        Column("verdict"),
    ]
    words = {"better": "✓ optimum better", "worse": "✗ optimum worse", "within the noise": "≈ within the noise"}
    cells = []
    for row in gain_rows(evidence):
        verdict = found.get(row.baseline)
        cells.append(
            [
                html.cell(row.baseline),
                html.cell(interval(row.gain, 4), row.gain.value),
                html.cell(interval(verdict.difference, 4), verdict.difference.value) if verdict else html.cell("not trained", numeric=True),
                html.cell(words[verdict.outcome], css=f"v-{verdict.outcome[:6]}") if verdict else html.cell("prediction only"),
            ]
        )
    note = "" if measured else " Nothing was trained to check it."
    return html.table(f"What the optimum gains over each other mixture.{note}", columns, cells)


def _loss_table(evidence: Evidence) -> str:
    """Predicted and measured loss of each target at the optimum, and at the natural or current mixture."""
    advice = evidence.advice
    if advice is None or not advice.optimum.losses:
        return ""
    against = next((b for name in ("current", "natural") for b in advice.baselines if b.name == name and b.losses), None)
    measured = {t.name: t for t in evidence.trained}
    columns = [Column("language"), Column(f"optimum, predicted ({evidence.unit})", True)]
    columns += [Column("optimum, measured", True)] if "optimum" in measured else []
    columns += [Column(f"{against.name}, predicted", True), Column("difference", True)] if against else []
    cells = []
    for target, loss in advice.optimum.losses.items():
        outside = target not in advice.optimum.mixture
        line = [html.named(evidence.name_of(target), target, "outside the mixture" if outside else ""), html.cell(interval(loss), loss.value)]
        if "optimum" in measured:
            seeds = [x for x in measured["optimum"].measured.get(target, ()) if math.isfinite(x)]
            mean = sum(seeds) / len(seeds) if seeds else math.nan
            line.append(html.cell(number(mean), mean))
        if against:
            other = against.losses.get(target)
            gap = loss.value - other.value if other else math.nan
            line += [html.cell(interval(other), other.value) if other else html.cell("–", numeric=True), html.cell(signed(gap), gap, _sign(gap))]
        cells.append(line)
    return html.table("Loss of each language", columns, cells, folded=len(cells) > 12)


def _sign(gap: float) -> str:
    return "down" if gap < 0 else "up" if gap > 0 else ""


def what_it_cost(evidence: Evidence) -> str:
    """Runs, tokens, FLOPs and time, and what share of the target run that is."""
    cost = evidence.cost
    if cost is None:
        return ""
    facts = [(large(sum(cost.runs.values())), "training runs", ", ".join(f"{n} {status}" for status, n in cost.runs.items()))]
    if cost.tokens:
        facts.append((large(cost.tokens), "training tokens", "over all runs"))
    if cost.flops:
        facts.append((scientific(cost.flops), "FLOPs", "over all runs"))
    if cost.flops and cost.target_flops:
        part = cost.flops / cost.target_flops
        facts.append((share(part) if part >= 1e-4 else f"{scientific(100 * part)}{NBSP}%", "of the target run", f"which takes {scientific(cost.target_flops)} FLOPs"))
    if cost.seconds:
        stages = ", ".join(f"{stage} {duration(seconds)}" for stage, seconds in cost.by_stage.items())
        facts.append((duration(cost.seconds), "wall-clock time", stages))
    tiles = "".join(f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd><dd class=\"more-of-it\">{escape(more)}</dd></div>" for value, label, more in facts)
    return f'<dl class="facts">{tiles}</dl>'


def why(evidence: Evidence) -> str:
    """Transfer: who helps whom, and what makes up each language's gain."""
    if not evidence.transfer:
        return ""
    parts = []
    for i, (lens, matrix) in enumerate(evidence.transfer.items()):
        if len(evidence.transfer) > 1:
            parts.append(f"<h3>{escape(lens)}</h3>")
        parts.append(html.figure(heat_map(evidence, lens, f"transfer-{i}")))
        if notes := "; ".join(f"{key}: {value}" for key, value in matrix.notes.items()):
            parts.append(f'<p class="note">{escape(matrix.method or lens)}. {escape(notes)}.</p>')
    lens, matrix = next(iter(evidence.transfer.items()))
    parts.append(
        _panels(
            waterfalls(evidence, matrix),
            "What each language learns from",
            f"{lens} from the largest to the smallest, added up to the whole reduction of loss; thin lines are 95 % intervals.",
        )
    )
    return "".join(parts)


def what_could_be_wrong(evidence: Evidence) -> str:
    """Doubts, the serious ones first."""
    words = {"serious": ("!", "Serious"), "look": ("?", "Worth a look"), "fine": ("✓", "Checked")}
    items = "".join(
        f'<li class="{doubt.level}"><span class="sign" aria-hidden="true">{words[doubt.level][0]}</span><div><strong>{escape(doubt.title)}</strong>'
        f'<span class="unseen"> ({words[doubt.level][1]})</span><p>{escape(doubt.text)}</p></div></li>'
        for doubt in doubts.cautions(evidence)
    )
    return f'<ul class="doubts">{items}</ul>' if items else ""


def explore(evidence: Evidence) -> str:
    """The place and the data of the explorer."""
    data = explorer_data(evidence)
    if data is None:
        return ""
    return (
        "<p>Move a share and the others make room in proportion, within their limits. The law is evaluated here, in the page: "
        f"<i>{html.formula(data['law']['formula'])}</i></p>"
        '<div id="explorer"><noscript><p>The explorer needs JavaScript.</p></noscript></div>' + html.data("explorer-data", data)
    )


def evidence(evidence: Evidence) -> str:
    """Laws, runs, corpus and provenance."""
    parts = []
    if figure := law_errors(evidence):
        parts.append(html.figure(figure))
        chosen = next((row.law for row in law_rows(evidence) if row.chosen), law_rows(evidence)[0].law)
        parts.append(_panels(predictions(evidence, chosen), f"Predicted against measured: {chosen}", "Held-out mixtures; on the line the prediction is right.", small=True))
        parts.append(_error_table(evidence))
    if panels := shares(evidence):
        text = "Every point is a run. The line marks the recommended share, the diamond the predicted loss there."
        parts.append(_panels(panels, "Loss against share", text, small=True))
    parts += [_census(evidence), _runs(evidence), _provenance(evidence)]
    return "".join(parts)


def _error_table(evidence: Evidence) -> str:
    from glotmix.report.frames.accuracy import relative_error

    laws = [row.law for row in law_rows(evidence)]
    errors = {(h.law, h.target): relative_error(h) for h in evidence.held_out}
    targets = list(dict.fromkeys(h.target for h in evidence.held_out))
    cells = []
    for target in targets:
        known = {law: errors[law, target] for law in laws if math.isfinite(errors.get((law, target), math.nan))}
        best = min(known, key=lambda law: known[law]) if known else None
        line = [html.named(evidence.name_of(target), target)]
        for law in laws:
            value = known.get(law, math.nan)
            line.append(html.cell(number(100 * value, 2) if law in known else "–", value, "best" if law == best else ""))
        cells.append(line)
    return html.table("Held-out error of every law (%), best in bold", [Column("language"), *[Column(law, True) for law in laws]], cells, folded=len(cells) > 12)


def _census(evidence: Evidence) -> str:
    if not evidence.census:
        return ""
    names = {
        "documents": ("documents", "exact duplicates removed", lambda x: f"{x:,}".replace(",", NBSP)),
        "bytes": ("bytes", "UTF-8", large),
        "unique_tokens": ("unique tokens", "training tokens U", large),
        "fertility": ("fertility", "tokens per word", lambda x: number(x, 2)),
        "bytes_per_token": ("bytes per token", "", lambda x: number(x, 2)),
        "byte_premium": ("byte premium", "bytes for the same content, relative to the reference", lambda x: number(x, 2)),
        "epochs": ("epochs", "passes at the target budget", lambda x: number(x, 2)),
    }
    used = [key for key in names if any(getattr(row, key) is not None for row in evidence.census)]
    columns = [Column("language"), *[Column(names[key][0], True, names[key][1]) for key in used]]
    cells = []
    for row in evidence.census:
        line = [html.named(evidence.name_of(row.language), row.language)]
        for key in used:
            value = getattr(row, key)
            line.append(html.cell("–" if value is None else names[key][2](value), value, numeric=True))
        cells.append(line)
    return "<h3>The corpus</h3>" + html.table("Census of the corpus", columns, cells, folded=len(cells) > 12)


def _runs(evidence: Evidence) -> str:
    """All runs, with mixtures and losses, as data that the page turns into a table when asked."""
    runs = evidence.measurements
    planned = {row.run: row for row in evidence.runs}
    if runs is None and not planned:
        return ""
    head = ["run", "role", "status", "seed", "N", "D", "seconds"]
    rows: list[list[object]] = [[r.run, r.role, r.status, r.seed, r.N, r.D, r.seconds] for r in evidence.runs]
    if not planned and runs is not None:
        rows = [
            [name, role, "complete", int(seed), html.finite(N), html.finite(D), None]
            for name, role, seed, N, D in zip(runs.runs, runs.role_R, runs.seed_R, runs.N_R, runs.D_R, strict=True)
        ]
    packed = html.packed_runs(runs) if runs is not None else None
    return "<h3>The runs</h3>" + html.folded_data("runs", f"{len(rows)} runs: design, mixtures and losses", head, rows, packed)


def _provenance(evidence: Evidence) -> str:
    parts = []
    if evidence.provenance:
        lines = "".join(f"<dt>{escape(key)}</dt><dd>{escape(str(value))}</dd>" for key, value in evidence.provenance.items())
        parts.append(f'<dl class="lines">{lines}</dl>')
    if evidence.exports:
        lines = "".join(f"<dt>{escape(key)}</dt><dd>{escape(str(value))}</dd>" for key, value in evidence.exports.items())
        parts.append(f'<h4>Exported for</h4><dl class="lines">{lines}</dl>')
    if evidence.config:
        parts.append(f"<details><summary>Configuration</summary><pre>{escape(html.yaml(evidence.config))}</pre></details>")
    return "<h3>Where it comes from</h3>" + "".join(parts) if parts else ""


def _panels(figures: Sequence[Figure], title: str, text: str, small: bool = False) -> str:
    """A grid of small multiples; beyond a handful the reader picks."""
    if not figures:
        return ""
    shown = list(figures) if len(figures) <= PANELS + 2 else list(figures[:PANELS])
    rest = figures[len(shown) :]
    body = "".join(html.figure(figure, small=True) for figure in shown)
    menu = ""
    if rest:
        options = "".join(f'<option value="{escape(f.key)}">{escape(f.finding)}</option>' for f in rest)
        menu = f'<label class="more">Show another <select class="panel-menu"><option value="">choose one of {len(rest)}</option>{options}</select></label>'
        menu += html.data("", {f.key: html.figure(f, small=True) for f in rest})
    return f'<h3>{escape(title)}</h3><p class="note">{escape(text)}</p>{menu}<div class="panels{" small" if small else ""}">{body}</div>'
