"""No violation that axe-core finds, on pages of every kind, on a desk and on a phone, in light and dark."""

import json
from pathlib import Path

import pytest
from browser import frame, open_page
from selenium.webdriver.common.by import By

AXE = Path(__file__).parents[2] / ".cache" / "axe" / "axe.min.js"
"""Brought by scripts/packages.sh."""


@pytest.fixture(scope="session")
def every_kind(pages, tmp_path_factory):
    """Kind to a page of it."""
    from explored import evidence_of, fit_of
    from test_clones import findings
    from test_compare_page import comparison
    from test_influence_page import task
    from test_posttraining_page import BLIND, LEARNT, page_of, report

    from glotmix.report import write_report
    from glotmix.studies.clones.page import page as clones_page
    from glotmix.studies.compare.page import write_page
    from glotmix.studies.influence.findings import InfluenceEvidence
    from glotmix.studies.influence.page import write_influence_report

    folder = tmp_path_factory.mktemp("kinds")
    made = {name: pages[name] for name in ("small", "hostile", "compared")}
    made["explored"] = write_report(evidence_of(fit_of()), folder / "explored.html")
    made["compare"] = write_page(comparison(), "T", "Q?", folder / "compare.html")
    made["clones"] = folder / "clones.html"
    made["clones"].write_text(clones_page(findings()), encoding="utf-8")
    made["posttraining"] = folder / "posttraining.html"
    made["posttraining"].write_text(page_of(report(LEARNT, BLIND)), encoding="utf-8")
    topics = InfluenceEvidence("T", "Q?", {"eng_Latn": "English"}, (task(),))
    made["influence"] = write_influence_report(topics, folder / "influence.html")
    return made


def violations(browser, path, width, scheme):
    """Rule to the elements that break it."""
    if not AXE.is_file():
        pytest.skip("needs axe-core: scripts/packages.sh")
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    open_page(browser, path)
    for summary in browser.find_elements(By.CSS_SELECTOR, "summary"):
        browser.execute_script("arguments[0].parentElement.open = true", summary)
    frame(browser)
    browser.execute_script(AXE.read_text(encoding="utf-8"))
    found = browser.execute_async_script(
        "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then((r) => done(JSON.stringify("
        "r.violations.map((v) => [v.id, v.impact, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160))]))));"
    )
    return json.loads(found)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (375, "light")])
@pytest.mark.parametrize("name", ["small", "compared", "explored"])
def test_axe_finds_nothing_to_complain_of(browser, every_kind, name, width, scheme):
    assert violations(browser, every_kind[name], width, scheme) == []


@pytest.mark.parametrize("name", ["hostile", "compare", "clones", "influence", "posttraining"])
def test_axe_finds_nothing_on_the_other_kinds(browser, every_kind, name):
    assert violations(browser, every_kind[name], 1280, "light") == []
