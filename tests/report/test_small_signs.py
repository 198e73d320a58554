"""Small signs that mislead when they are missing: the padlock, cut bars, whole words, the name of an interval, the card alone."""

import base64
import re
from xml.etree import ElementTree

import pytest
from browser import frame, open_page
from selenium.webdriver.support.ui import WebDriverWait
from test_verdict import trained_as

from glotmix.report.figures.drawing import text_width
from glotmix.report.figures.one_page import WIDTH, wrapped
from glotmix.report.frames.verdict import decide
from glotmix.report.page import write_report
from glotmix.wording import OF_A_RUN, OF_THE_LAW

SCRIPT = "return [...document.querySelectorAll(arguments[0])]"


@pytest.fixture
def opened(browser, pages):
    browser.get("about:blank")
    open_page(browser, pages["small"])
    frame(browser)
    return browser


def test_the_padlock_is_drawn_and_shows_whether_a_share_is_held(opened):
    """Not a letter that a font may lack: paths with an extent, another shackle when held."""
    shown = """const b = document.querySelector('.dial button'), seen = (s) => getComputedStyle(b.querySelector(s)).display !== 'none';
        const box = b.querySelector('svg').getBoundingClientRect();
        return [b.textContent.trim(), box.width > 8 && box.height > 8, seen('.open'), seen('.shut'), b.getAttribute('aria-pressed')];"""
    assert opened.execute_script(shown) == ["", True, True, False, "false"]
    opened.execute_script("document.querySelector('.dial button').click()")
    frame(opened)
    assert opened.execute_script(shown) == ["", True, False, True, "true"]


def test_an_interval_that_leaves_the_strip_is_marked_as_cut(opened):
    """A language that gets everything leaves the others far worse than any mixture that the strips were made for."""
    opened.execute_script("glotmix.set([1, 0, 0, 0, 0, 0]); document.querySelector('#x-guesses').scrollIntoView()")
    beyond = "return document.querySelectorAll('.guess .live.beyond').length"  # rows out of sight are drawn when seen
    WebDriverWait(opened, 20).until(lambda browser: browser.execute_script(beyond) > 0)
    rows = opened.execute_script(
        """return [...document.querySelectorAll('.guess')].map((r) => [r.querySelector('.live').classList.contains('beyond'),
        r.classList.contains('cut-high'), getComputedStyle(r.querySelector('.strip'), '::after').content]);"""
    )
    assert any(beyond for beyond, *_ in rows)
    for _, cut, content in rows:
        assert ("▸" in content) == cut
    assert any(cut for _, cut, _ in rows)


@pytest.mark.parametrize("width", [320, 375, 768, 1280])
def test_no_word_is_broken_in_a_table_or_a_heading(browser, pages, width):
    """Every word of a cell, a heading or an answer stands on one line; where a table is too wide it scrolls."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    open_page(browser, pages["small"])
    broken = browser.execute_script(
        """const found = [];
        for (const e of document.querySelectorAll('th, td, caption, h1, h2, h3, h4, dt, dd, .answer, .verdict')) {
          const walk = document.createTreeWalker(e, NodeFilter.SHOW_TEXT);
          while (walk.nextNode()) for (const part of walk.currentNode.data.matchAll(/[^\\s–—-]+/g)) {
            const range = document.createRange();
            range.setStart(walk.currentNode, part.index);
            range.setEnd(walk.currentNode, part.index + part[0].length);
            if (new Set([...range.getClientRects()].map((r) => Math.round(r.top))).size > 1) found.push(part[0]);
          }
        }
        return found;"""
    )
    assert broken == []


def test_a_wide_table_takes_the_margin_before_it_scrolls(browser, pages):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False})  # fmt: skip
    open_page(browser, pages["small"])
    cut = browser.execute_script(
        """return [...document.querySelectorAll('main > section > .scroll')].filter((e) => e.scrollWidth > e.clientWidth + 1)
        .map((e) => [e.getAttribute('aria-label'), innerWidth - e.getBoundingClientRect().right]).filter(([, room]) => room > 60);"""
    )
    assert cut == []
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def test_every_interval_says_of_what(pages):
    """The page's are of the law, or of measurements; those of a single new run, which are wider, are never meant."""
    text = re.sub(r"<script.*?</script>", "", pages["small"].read_text(encoding="utf-8"), flags=re.S)
    assert OF_THE_LAW in text
    assert OF_A_RUN not in text
    assert "a single new run is noisier" in text
    script = pages["small"].read_text(encoding="utf-8")
    assert "95\\u202f% interval of the law" in script


def test_the_card_as_a_picture_says_what_the_card_says(small, tmp_path):
    evidence = trained_as(small, lambda t: -0.1)
    write_report(evidence, tmp_path / "page.html", tmp_path / "card.svg")
    root = ElementTree.parse(tmp_path / "card.svg").getroot()
    lines = [e.text for e in root.iter() if e.tag.endswith("text")]
    said = " ".join(lines)
    decision = decide(evidence)
    assert decision.headline in said
    assert decision.because in said
    for question in (
        "What to train on",
        "Instead of what",
        "For whom",
        "At whose cost",
        "How sure",
        "On what evidence",
    ):
        assert question in lines
    for element in root.iter():
        if element.tag.endswith("text") and element.get("text-anchor") == "start":
            x, size = float(element.get("x")), float(element.get("font-size"))
            assert x + text_width(element.text, size) <= WIDTH
        assert "class" not in element.attrib  # it is shown without the page's style
    assert " ".join(wrapped(decision.headline, 20, 200)) == decision.headline
    assert max(text_width(line, 20) for line in wrapped(decision.headline, 20, 200)) <= 200


def test_the_card_prints_on_one_page(browser, pages):
    """Its button leaves the card and who pays, and nothing else."""
    open_page(browser, pages["small"])
    browser.execute_script("window.print = () => {}; document.querySelector('[data-card-print]').click()")
    pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True, "preferCSSPageSize": True})["data"])  # fmt: skip
    assert len(re.findall(rb"/Type /Page\b(?!s)", pdf)) == 1


def test_paper_cuts_no_table_off_and_holds_the_card_on_its_first_page(browser, pages):
    """A sheet of A4 less its margins is 688 pixels wide and 1,001 high."""
    open_page(browser, pages["small"])
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 688, "height": 1001, "deviceScaleFactor": 1, "mobile": False})  # fmt: skip
    try:
        beyond = "return [...document.querySelectorAll('.scroll table')].filter(e => e.offsetParent && e.getBoundingClientRect().right > 689).map(e => e.caption.textContent)"  # fmt: skip
        assert browser.execute_script(beyond) == []
        assert browser.execute_script("return document.querySelectorAll('.scroll table').length") > 3
        assert browser.execute_script("return document.querySelector('#card').getBoundingClientRect().bottom") < 1001
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_pages_picture_becomes_a_png(browser, pages):
    open_page(browser, pages["small"])
    size = browser.execute_async_script(
        """const done = arguments[0];
        HTMLAnchorElement.prototype.click = function () { fetched(this.href); };
        const fetched = (address) => { const image = new Image(); image.onload = () => done([image.width, image.height]); image.onerror = () => done('no image'); image.src = address; };
        document.querySelector('[data-card-png]').click();"""
    )
    assert size[0] == 2 * WIDTH
    assert size[1] > 600
