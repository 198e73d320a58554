"""Every command and every line of code in the tutorials runs as it stands, in the order of the page; so does the
README's Python, which uses the menu alone."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_menu import frame

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
LEAVES = {
    "your-own-runs": ["fit.json", "predicted.csv", "mixture.json", "levanter/realised.json", "report.html"],
    "your-own-corpus": ["out/first/report.html", "out/first/export/levanter/realised.json", "compared.html"],
    "your-own-training-loop": [],
    "your-own-trainer": ["out/own/report.html", "out/own/closed_loop.json", "design.csv", "runs.csv"],
}


def blocks(page):
    return re.findall(r"^```(python|sh)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


def execute(code, folder, env):
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_runs(page, tmp_path):
    """Code of one page shares its variables; commands run between its parts, all in one directory."""
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    parts = []
    for language, code in blocks(page):
        if language == "python":
            parts.append(code)
        else:
            parts.append(f"import subprocess\nsubprocess.run(['bash', '-euc', {code!r}], check=True)\n")
    assert parts
    execute("\n".join(parts), tmp_path, env)
    for name in LEAVES[page.stem]:
        assert (tmp_path / name).is_file(), name


def test_the_readme_runs(tmp_path):
    """On a table as it describes one."""
    frame(["swh_Latn", "eng_Latn"]).write_csv(tmp_path / "runs.csv")
    code = [text for language, text in blocks(ROOT / "README.md") if language == "python"]
    assert code
    execute("\n".join(code), tmp_path, os.environ)
    assert (tmp_path / "blend" / "realised.json").is_file()


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.stem)
def test_code_uses_the_menu_alone(page):
    code = "\n".join(text for language, text in blocks(page) if language == "python")
    assert not re.findall(r"^\s*(?:from|import) glotmix\b(?! as gm$).*", code, re.M)
