"""How often each language may be read."""

from __future__ import annotations

from glotmix.report.components import panels
from glotmix.report.evidence import Evidence
from glotmix.report.figures.passes import passes
from glotmix.report.html import Html


def how_often(evidence: Evidence) -> Html:
    """A curve per language, where the law knows repetition."""
    if not evidence.turning:
        return Html("")
    return panels(
        passes(evidence),
        f"Loss against passes over a {evidence.mixes}'s own text",
        f"By the law, with the other {evidence.mixes}s in the proportions recommended. The diamond is the recommended "
        "mixture; the bar is the 95 % interval, over the resampled laws, of the point where another pass no longer "
        "pays.",
        small=True,
    )
