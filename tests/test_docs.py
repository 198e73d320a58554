"""The documentation site builds without a warning: no dead link, no page left out, every documented module there."""

import os
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.version import Version

from glotmix import version

ROOT = Path(__file__).parents[1]
COMPARED = ("benchmarks/compare.py", "--table", "--out")


def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-3000:]
    page = (tmp_path / "site" / "methods" / "laws" / "index.html").read_text()
    assert 'src="http' not in page
    assert 'rel="stylesheet" href="http' not in page
    reference = (tmp_path / "site" / "api" / "laws" / "index.html").read_text()
    assert "glotmix.laws.shapley_law.ShapleyLaw" in reference
    pages = {path.parent.name: path.read_text() for path in (tmp_path / "site" / "api").glob("*/index.html")}
    assert {name: roles for name, text in pages.items() if (roles := re.findall(r":\w+:<code>[^<]*", text))} == {}
    assert any("autorefs-internal" in text for text in pages.values())


ROOMS = sorted(
    {path.stem for path in (ROOT / "src" / "glotmix").iterdir() if (path / "__init__.py").is_file()} - {"commands"}
)
PAGES = {page: page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs" / "api").glob("*.md"))}


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_in_the_reference(room):
    assert [page for page, text in PAGES.items() if re.search(rf"^::: glotmix\.{room}\b", text, re.M)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_of_the_reference_says_what_its_room_is_for(page):
    prose = re.sub(r"^:::.*|^#.*", "", PAGES[page], flags=re.M)
    assert len(prose.split()) > 40


@pytest.mark.parametrize(
    ("page", "command"),
    [
        ("docs/exporters.md", ["benchmarks/exporters.py", "--table"]),
        ("docs/exporters.md", ["benchmarks/trainer_paths.py", "--table"]),
        ("docs/engine.md", ["benchmarks/engine.py", "--show"]),
        ("docs/engine.md", ["benchmarks/engine.py", "--show", "--out", "benchmarks/results/engine_bf16.json"]),
        ("docs/methods/laws.md", ["benchmarks/laws.py", "--show"]),
        ("docs/methods/laws.md", ["benchmarks/climb.py", "--show"]),
        ("docs/methods/laws.md", ["benchmarks/decisions.py", "--show"]),
        ("docs/methods/laws.md", ["benchmarks/values.py", "--show"]),
        ("docs/methods/repetition.md", ["benchmarks/repetition.py", "--show"]),
        ("docs/methods/repetition.md", ["benchmarks/long_tails.py", "--show"]),
        ("docs/methods/order.md", ["benchmarks/order.py", "--show"]),
        ("docs/decisions.md", ["benchmarks/merged.py", "--show"]),
        ("docs/methods/laws.md", ["benchmarks/fit_speed.py", "--show"]),
        ("docs/methods/shapley.md", ["benchmarks/games.py", "--show"]),
        ("docs/methods/shapley.md", ["benchmarks/transfer_intervals.py", "--show"]),
        ("docs/methods/active-design.md", ["benchmarks/active.py", "--show"]),
        ("docs/methods/clones.md", ["benchmarks/clones.py"]),
        ("docs/methods/post-training.md", ["benchmarks/posttrainer.py", "--table"]),
        ("docs/methods/post-training.md", ["benchmarks/posttraining.py", "--table"]),
        ("docs/methods/upsample-or-upweight.md", ["benchmarks/compare.py", "--table"]),
        ("docs/methods/upsample-or-upweight.md", [*COMPARED, "benchmarks/results/compare-overfitting.json"]),
        ("docs/methods/upsample-or-upweight.md", [*COMPARED, "benchmarks/results/compare-medium.json"]),
        ("docs/methods/upsample-or-upweight.md", ["benchmarks/gradient_variance.py", "--table"]),
        ("docs/methods/upsample-or-upweight.md", ["benchmarks/cooldown.py", "--show"]),
        ("docs/methods/upsample-or-upweight.md", ["benchmarks/translation.py", "--show"]),
        ("docs/methods/influence.md", ["benchmarks/influence.py", "--table"]),
        ("docs/methods/influence.md", ["benchmarks/in_run.py", "--table"]),
        ("docs/methods/influence.md", ["benchmarks/imbalance.py", "--show"]),
        ("docs/methods/influence.md", ["benchmarks/influence_size.py", "--table"]),
        ("docs/methods/influence.md", ["benchmarks/precision.py", "values", "--show"]),
        ("docs/methods/influence.md", ["benchmarks/influence.py", "--table", "--fresh"]),
        ("docs/scaling.md", ["benchmarks/price.py", "--show"]),
        ("docs/scaling.md", ["benchmarks/faults.py", "show"]),
        ("docs/scaling.md", ["benchmarks/scaling.py", "show"]),
        ("docs/scaling.md", ["benchmarks/tokenise.py", "show"]),
        ("docs/threat-model.md", ["benchmarks/fuzz.py", "show"]),
        ("docs/tutorials/your-own-trainer.md", ["benchmarks/own_trainer.py", "--show"]),
        ("docs/tutorials/your-own-trainer.md", ["benchmarks/pretraining_lead.py", "--show"]),
        ("docs/starting-from-a-model.md", ["benchmarks/add_a_language.py", "--table"]),
    ],
)
def test_tables_are_those_of_the_results_kept(page, command, monkeypatch, capsys):
    """A table that a benchmark prints from its kept results stands in its page, line by line."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    before, ended = set(sys.modules), None
    try:
        runpy.run_path(command[0], run_name="__main__")
    except SystemExit as end:  # 0 of those that also tell whether something failed
        ended = end.code
    finally:  # benchmarks import each other by names that are others' elsewhere
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(ROOT / "benchmarks")):
                del sys.modules[name]
    assert not ended
    printed = capsys.readouterr().out
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    assert len(lines) > 3
    assert [line for line in lines if line not in text] == []


def test_no_page_waits_to_be_filled_in():
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
    waiting = re.compile(r"^(?:[A-Z_]{4,}|TODO.*|.*\bTBD\b.*)$", re.M)
    found = {}
    for page in pages:
        prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        found[page.name] = waiting.findall(prose)
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_every_result_that_the_docs_name_is_kept():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    named = {
        name
        for page in pages
        for name in re.findall(r"benchmarks/(?:results/)?[\w./-]+\w", page.read_text(encoding="utf-8"))
    }
    assert len(named) > 10
    # Pages write influence_*.json as well.
    assert sorted(name for name in named if not any(ROOT.glob(f"{name}*"))) == []


def test_the_version_is_in_one_place_and_fits_the_changelog():
    """A release bears the newest heading's number; while there is something unreleased, a development version after it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"]
    assert (ROOT / project["tool"]["hatch"]["version"]["path"]).samefile(version.__file__)
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    unreleased, *_ = re.split(r"^## \[\d", changes.partition("## [Unreleased]")[2], flags=re.M)
    releases = [Version(number) for number in re.findall(r"^## \[(\d[\w.]*)\] - \d{4}-\d\d-\d\d$", changes, re.M)]
    here = Version(version.__version__)
    assert releases == sorted(releases, reverse=True)
    assert here.is_devrelease == bool(unreleased.strip())
    assert here > releases[0] if here.is_devrelease else here == releases[0]
