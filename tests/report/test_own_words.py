"""Whoever mixes sources, or groups of a table, reads of sources or groups: the study's own word stands everywhere."""

import dataclasses
import re

import pytest
from browser import frame, open_page
from sample import sample
from test_verdict import trained_as

from glotmix.report import write_comparison, write_report
from glotmix.report.evidence import About, Flip
from glotmix.report.figures.languages import who_pays
from glotmix.report.frames.card import answers, flip_finding, flip_rows

SHOWN = """for (const d of document.querySelectorAll('details')) d.open = true;
for (const e of document.querySelectorAll('pre, .held, [aria-label^=Download]')) e.remove();  // fields and names of files
return document.body.innerText + [...document.querySelectorAll('svg desc, svg title')].map((e) => e.textContent).join(' ')
    + [...document.querySelectorAll('option, [title], [placeholder], [aria-label]')].map((e) => [e.text, e.title, e.placeholder, e.ariaLabel].join(' ')).join(' ');"""


def mixing(kind, outside=0):
    """A study of fourteen sources, or of a table's groups; what is outside are languages."""
    evidence = trained_as(sample(14, outside, swarm=40, resamples=10), lambda t: 0.1 if t.endswith("3_Latn") else -0.1)
    inside = evidence.advice.optimum.mixture
    about = {
        t: About(f"web/{i}", one.family, one.script, kind="source") if t in inside else one
        for i, (t, one) in enumerate(evidence.about.items())
    }
    flips = tuple(
        Flip(name, inside)
        for name in ("the study's aim", "every language alike", "the worst-off language", "only languages outside")
    )
    return dataclasses.replace(
        evidence,
        about=about if kind == "source" else {},
        title="Parts",
        description="What is best?",
        advice=dataclasses.replace(evidence.advice, flips=flips),
    )


@pytest.mark.parametrize("kind", ["source", "group"])
def test_no_page_of_sources_or_groups_speaks_of_languages(browser, tmp_path, kind):
    evidence = mixing(kind)
    for path in (
        write_report(evidence, tmp_path / "page.html"),
        write_comparison(evidence, evidence, tmp_path / "compared.html", ("one", "two")),
    ):
        open_page(browser, path)
        frame(browser)
        said = browser.execute_script(SHOWN)
        assert len(said) > 3000
        assert re.findall(r".{30}\b[Ll]anguages?\b.{20}", said) == []
        assert re.search(rf"\b14 {kind}s\b", said) or "compared" in path.name


def test_sources_beside_languages_that_are_only_measured_are_called_targets_together():
    evidence = mixing("source", outside=2)
    assert (evidence.mixes, evidence.measures) == ("source", "target")
    asked = {one.question: one.text for one in answers(evidence)}
    assert "14 sources alike" in asked["For whom"]
    assert "1 target of 16 gets worse" in asked["At whose cost"] or "targets of 16 get worse" in asked["At whose cost"]
    assert "one per target and trained mixture" in asked["How sure"]
    assert "of 16 targets gain" in who_pays(evidence).finding
    names = [row.name for row in flip_rows(evidence)]
    assert names == ["the study's aim", "every source alike", "the worst-off source", "only languages outside"]


def test_a_study_of_languages_speaks_of_languages():
    evidence = sample(6, 1)
    assert (evidence.mixes, evidence.measures) == ("language", "language")
    inside = evidence.advice.optimum.mixture
    far = dict.fromkeys(inside, 0.0) | {"spa_Latn": 1.0}
    told = []
    for name in ("every language alike", "the worst-off language", "only languages outside", "every score alike"):
        flips = (Flip("the study's weights", inside), Flip(name, far))
        told.append(flip_finding(flip_rows(dataclasses.replace(evidence, advice=dataclasses.replace(evidence.advice, flips=flips)))))  # fmt: skip
    ends = ("every language counts alike", "the worst-off language decides", "only languages outside count", "every score counts alike")  # fmt: skip
    for said, end in zip(told, ends, strict=True):
        assert "if the study's weights count" in said
        assert said.endswith(end)
