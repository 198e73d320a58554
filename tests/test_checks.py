"""What a contributor's commit, `make check` and continuous integration ask is the same, and is asked without a clock."""

import ast
import re
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]


def recipe(target):
    """The commands of a target in the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE).group(1)
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in lines.splitlines()]


def test_a_commit_is_asked_what_make_check_asks():
    (local,) = YAML(typ="safe").load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [hook["entry"] for hook in local["hooks"]] == recipe("check")
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in local["hooks"])


def test_continuous_integration_checks_before_it_tests():
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("make ")] == ["make check", "make test"]


def test_no_test_judges_by_a_clock():
    """A busy machine is slow. Work can be counted (`tests/effort.py`); processor time is left for what cannot."""
    clocks = {f"time.{name}{unit}" for name in ("time", "monotonic", "perf_counter") for unit in ("", "_ns")}
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in clocks
    }
    assert found == {"tests/effort.py"}
