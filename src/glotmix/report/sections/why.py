"""Why, what could be wrong, and the explorer."""

from __future__ import annotations

from glotmix.report.components import figure, panels
from glotmix.report.evidence import INSIDE, Evidence
from glotmix.report.explorer import explorer_data
from glotmix.report.figures.heatmap import heat_map, interaction_map
from glotmix.report.figures.panels import waterfalls
from glotmix.report.figures.trade import front_figure
from glotmix.report.frames.cautions import Caution, cautions
from glotmix.report.html import Html, data, el, formula, join
from glotmix.wording import listed

SIGNS = {"serious": ("!", "Serious"), "look": ("?", "Worth a look"), "fine": ("✓", "Checked")}


def why(evidence: Evidence) -> Html:
    """Transfer: who helps whom, and what makes up each language's gain."""
    pairs = figure(interaction_map(evidence, evidence.interactions)) if evidence.interactions else None
    if not evidence.transfer:
        return pairs or Html("")
    several = len(evidence.transfer) > 1
    maps = []
    for i, lens in enumerate(evidence.transfer):
        drawn = figure(heat_map(evidence, lens, f"transfer-{i}"))
        folded = lens == INSIDE and several  # unfolds what is above it
        maps.append(
            el("details", el("summary", lens), drawn) if folded else join(el("h3", lens) if several else None, drawn)
        )
    lens, matrix = next(iter(evidence.transfer.items()))
    return join(
        *maps,
        panels(
            waterfalls(evidence, matrix),
            f"What each {evidence.measures} learns from",
            f"{lens} from the largest to the smallest, added up to the whole reduction of loss; thin lines are 95 % "
            "intervals.",
        ),
        pairs,
    )


def what_could_be_wrong(evidence: Evidence) -> Html:
    """Doubts, the serious ones first."""
    items = [_doubt(caution) for caution in cautions(evidence)]
    return el("ul", *items, css="doubts") if items else Html("")


def _doubt(caution: Caution) -> Html:
    sign, words = SIGNS[caution.level]
    return el(
        "li",
        el("span", sign, css="sign", aria_hidden="true"),
        el("div", el("strong", caution.title), el("span", f" ({words})", css="unseen"), el("p", caution.text)),
        css=caution.level,
    )


def explore(evidence: Evidence) -> Html:
    """The place and the data of the explorer."""
    value = explorer_data(evidence)
    front = figure(front_figure(evidence, evidence.front)) if evidence.front else None
    if value is None:
        return front or Html("")
    return join(
        el(
            "p",
            "Move a share: the others make room in proportion, within their limits. The law is evaluated here, in the "
            "page: ",
            formula(value["law"]["formula"]),
        ),
        el("p", f"The study kept the shares inside {listed(kept)} as they were; here they are free to move.")
        if evidence.advice is not None and (kept := evidence.advice.kept)
        else None,
        el("div", el("noscript", el("p", "The explorer needs JavaScript.")), id="explorer"),
        el("div", id="phases") if value["order"] else None,
        data(value, "explorer-data"),
        front,
    )
