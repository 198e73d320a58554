"""One self-contained HTML file: styles, drawings, data and the explorer; it asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from glotmix.artifact import write_text
from glotmix.registry import load
from glotmix.report.evidence import Evidence
from glotmix.report.figures import palette
from glotmix.report.figures.heatmap import STEPS
from glotmix.report.figures.one_page import card_picture
from glotmix.report.html import Html, el
from glotmix.report.sections import COMPARED, SECTIONS

LAW_SCRIPTS = ("process.js", "law.js", "solve.js")
"""Evaluating and solving a law, which the explorer hands to a worker too: a script of its own."""
SCRIPTS = ("page.js", "take.js", "address.js", "explorer.js", "phases.js")


def write_report(evidence: Evidence, path: Path, card: Path | None = None) -> Path:
    """Write the report of a study and return its path.

    Args:
        evidence: what is known; stages that are missing leave their part of the page out.
        path: the HTML file.
        card: the SVG file of the decision card; None for none.

    Raises:
        GlotmixError: the file cannot be written.
    """
    write_text(path, page(evidence))
    if card is not None:
        write_text(card, card_picture(_with_clear_names(evidence)))
    return path


def page(evidence: Evidence) -> str:
    """The report as HTML text."""
    evidence = _with_clear_names(evidence)
    bodies = [(key, evidence.in_own_words(title), load(place)(evidence)) for key, (title, place) in SECTIONS.items()]
    return assemble(evidence.title, evidence.description, bodies)


def write_comparison(before: Evidence, after: Evidence, path: Path, names: tuple[str, str]) -> Path:
    """Write the page that compares two studies and return its path.

    Args:
        before: the study that is compared with.
        after: the study whose changes are shown.
        path: the HTML file.
        names: what the page calls the two.

    Raises:
        GlotmixError: the file cannot be written.
    """
    before, after = _with_clear_names(before), _with_clear_names(after)
    bodies = [
        (key, after.in_own_words(title), load(place)(before, after, names)) for key, (title, place) in COMPARED.items()
    ]
    write_text(path, assemble(f"{names[0]} and {names[1]}", after.description, bodies))
    return path


def assemble(
    title: str, question: str, bodies: Sequence[tuple[str, str, Html | None]], *, head: Html | None = None
) -> str:
    """One self-contained page of sections; the reports of all experiments are made by it.

    Args:
        title: heading of the page.
        question: what the study asks, in a sentence; may be empty.
        bodies: (anchor, heading, content) of each section from top to bottom; one without content is left out.
        head: what else the head of the page holds.
    """
    bodies = [(key, heading, body) for key, heading, body in bodies if body]
    first = bodies[0][0] if bodies else ""
    style, scripts = _style(), ["\n".join(map(asset, names)) for names in (LAW_SCRIPTS, SCRIPTS)]
    theme = el("button", "◐", type="button", id="theme", hidden=True, aria_label="Colours: as the system")
    body = el(
        "body",
        el("a", "To the answer", css="skip", href=f"#{first}"),
        el(
            "nav",
            el("div", *[el("a", heading, href=f"#{key}") for key, heading, _ in bodies]),
            theme,
            css="bar",
            aria_label="Sections",
        ),
        el(
            "header",
            el("p", "glotmix report", css="kicker"),
            el("h1", title),
            el("p", question, css="question") if question else None,
        ),
        el("main", *[_section(key, heading, body) for key, heading, body in bodies if body]),
        el("div", id="tip", role="tooltip", hidden=True),
        el("div", id="said", css="unseen", aria_live="polite"),
        el("script", Html(scripts[0]), id="law-script"),
        el("script", Html(scripts[1])),
    )
    return f"<!doctype html>\n{el('html', _head(title, style, scripts, head), body, lang='en')}\n"


def _with_clear_names(evidence: Evidence) -> Evidence:
    """The optimum under another law, which a study calls by the law's name, becomes "optimum of own_ratio"."""
    laws = {held.law for held in evidence.held_out}
    advice = evidence.advice
    if advice is None or not laws & {b.name for b in advice.baselines}:
        return evidence

    def clear(name: str) -> str:
        return f"optimum of {name}" if name in laws else name

    baselines = tuple(replace(b, name=clear(b.name)) for b in advice.baselines)
    gains = {clear(name): gain for name, gain in advice.gains.items()}
    trained = tuple(replace(t, name=clear(t.name)) for t in evidence.trained)
    return replace(evidence, advice=replace(advice, baselines=baselines, gains=gains), trained=trained)


def _head(title: str, style: str, scripts: Sequence[str], more: Html | None) -> Html:
    """The head, with a policy that lets nothing run or load but what this file brings (checked by its hash)."""
    hashes = " ".join(f"'{_hash(script)}'" for script in scripts)
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src {hashes}; worker-src blob:; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    return el(
        "head",
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark"><meta name="generator" content="glotmix">'),
        more,
        el("title", f"{title} · glotmix"),
        el("style", Html(style)),
    )


def _section(key: str, title: str, body: Html) -> Html:
    return el("section", el("h2", title, id=f"{key}-h"), body, id=key, aria_labelledby=f"{key}-h")


def _style() -> str:
    return asset("page.css").replace("/*RAMP*/", palette.variables(STEPS)) + palette.classes(STEPS)


def asset(name: str) -> str:
    """Text of a file in the package's assets."""
    return files("glotmix.report").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
