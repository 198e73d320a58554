"""One self-contained HTML file: styles, drawings, data and the explorer; it asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.resources import files
from pathlib import Path

from glotmix.artifact import write_text
from glotmix.report import sections
from glotmix.report.evidence import Evidence
from glotmix.report.figures import palette
from glotmix.report.figures.heatmap import STEPS

SECTIONS = (
    ("do", "What to do", sections.what_to_do),
    ("sure", "How sure", sections.how_sure),
    ("cost", "What it cost", sections.what_it_cost),
    ("why", "Why", sections.why),
    ("doubts", "What could be wrong", sections.what_could_be_wrong),
    ("explore", "Try it yourself", sections.explore),
    ("evidence", "The evidence", sections.evidence),
)
"""The page from top to bottom: an answer first, then its reasons. A section with nothing to say is left out."""


def write_report(evidence: Evidence, path: Path) -> Path:
    """Write the report of a study and return its path.

    Args:
        evidence: what is known; stages that are missing leave their part of the page out.
        path: the HTML file.

    Raises:
        GlotmixError: the file cannot be written.
    """
    write_text(path, page(evidence))
    return path


def page(evidence: Evidence) -> str:
    """The report as HTML text."""
    bodies = [(key, title, make(evidence)) for key, title, make in SECTIONS]
    bodies = [(key, title, body) for key, title, body in bodies if body]
    links = "".join(f'<a href="#{key}">{escape(title)}</a>' for key, title, _ in bodies)
    main = "".join(
        f'<section id="{key}" aria-labelledby="{key}-h"><h2 id="{key}-h">{escape(title)}</h2>{body}</section>'
        for key, title, body in bodies
    )
    style, script = _style(), "\n".join(asset(name) for name in ("law.js", "page.js", "explorer.js"))
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    description = f'<p class="question">{escape(evidence.description)}</p>' if evidence.description else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f'<meta name="generator" content="glotmix"><title>{escape(evidence.title)} · glotmix</title><style>{style}</style></head><body>'
        f'<a class="skip" href="#do">To the recommendation</a><nav class="bar" aria-label="Sections"><div>{links}</div>'
        '<button type="button" id="theme" hidden aria-label="Colours: as the system">◐</button></nav>'
        f'<header><p class="kicker">glotmix report</p><h1>{escape(evidence.title)}</h1>{description}</header>'
        f'<main>{main}</main><div id="tip" role="tooltip" hidden></div><div id="said" class="unseen" aria-live="polite"></div>'
        f"<script>{script}</script></body></html>\n"
    )


def asset(name: str) -> str:
    """Text of a file in the package's assets."""
    return files("glotmix.report").joinpath("assets", name).read_text(encoding="utf-8")


def _style() -> str:
    return asset("page.css").replace("/*RAMP*/", palette.variables(STEPS)) + palette.classes(STEPS)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
