"""Every command and every line of code in the tutorials runs as it stands, in the order of the page."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[1] / "docs" / "tutorials").glob("*.md"))
LEAVES = {
    "your-own-runs": ["fit.json", "predicted.csv", "mixture.json", "levanter/realised.json", "report.html"],
    "your-own-corpus": ["out/first/report.html", "out/first/export/levanter/realised.json", "compared.html"],
    "your-own-training-loop": [],
}


def blocks(page):
    return re.findall(r"^```(python|sh)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


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
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(parts)], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    for name in LEAVES[page.stem]:
        assert (tmp_path / name).is_file(), name
