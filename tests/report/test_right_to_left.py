"""Names that are written from right to left stand beside their own shares."""

import dataclasses

import pytest
from browser import open_page
from sample import sample

from glotmix.report import write_report
from glotmix.report.evidence import About
from glotmix.report.frames.answer import mixture_rows
from glotmix.report.html import el, isolated

NAMES = ["עברית", "العربية الفصحى", "فارسی", "اردو", "ייִדיש", "کوردی"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    evidence = sample(6, 1)
    about = {tag: About(name) for tag, name in zip(evidence.about, [*NAMES, "Italian"], strict=True)}
    evidence = dataclasses.replace(evidence, about=about)
    return evidence, write_report(evidence, tmp_path_factory.mktemp("rtl") / "page.html")


def test_a_run_from_right_to_left_is_isolated_wherever_text_is_escaped():
    assert el("p", "57 % עברית, 12 % فارسی") == "<p>57 % <bdi>עברית</bdi>, 12 % <bdi>فارسی</bdi></p>"
    assert el("p", "العربية الفصحى <b>") == "<p><bdi>العربية الفصحى</bdi> &lt;b&gt;</p>"
    assert el("title", "עברית & x") == "<title>עברית &amp; x</title>"
    assert isolated("עברית 5 %") == "\u2068עברית\u2069 5 %"
    assert el("p", "Spanish") == "<p>Spanish</p>"


def test_shares_and_names_of_the_headline_stand_in_reading_order(browser, written):
    """In a real browser: every share stands left of its own name, or on the line before it."""
    evidence, path = written
    open_page(browser, path)
    places = browser.execute_script(
        """const found = [], walk = document.createTreeWalker(document.querySelector('.answers dd'), NodeFilter.SHOW_TEXT);
        while (walk.nextNode()) for (const part of walk.currentNode.data.matchAll(/[\\d.]+\\u202f%|[\\u0590-\\u08ff][\\u0590-\\u08ff ]*[\\u0590-\\u08ff]/g)) {
          const range = document.createRange();
          range.setStart(walk.currentNode, part.index);
          range.setEnd(walk.currentNode, part.index + part[0].length);
          const box = range.getBoundingClientRect();
          found.push([part[0], box.left, box.top]);
        }
        return found;"""
    )
    rows = mixture_rows(evidence)
    assert [text for text, *_ in places[1::2]] == [row.name for row in rows]
    for (_, left, top), (_, right, below) in zip(places[::2], places[1::2], strict=True):
        assert left < right or top < below
    order = [(round(top), left) for _, left, top in places]
    assert order == sorted(order)
