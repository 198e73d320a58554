"""docs/extending.md is followed to the letter: a file and a line are added to a copy of glotmix, and its commands run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
TINY = """
name: Tiny
languages: [spa_Latn, rus_Cyrl]
corpus: {reader: embedded, bytes_per_language: 40_000, held_out: 0.1}
tokens: {vocab_size: 300, held_out_tokens: 1000}
design: {coalitions: all, swarm: 4, swarm_roles: fit, anchors: 0}
proxy: {width: 16, layers: 1, heads: 1, tokens: 3000, context: 16, batch: 4}
sweep: {stack: 7, workers: 1}
fit: {laws: ["null", own_ratio_floored], folds: 3, bootstrap: 0}
validation: {seeds: 0}
"""
NOISE = """
kind: noise
name: Noise
languages: [spa_Latn, rus_Cyrl]
seeds: 2
corpus: {reader: embedded, bytes_per_language: 40_000, held_out: 0.1}
tokens: {vocab_size: 300, held_out_tokens: 1000}
proxy: {width: 16, layers: 1, heads: 1, tokens: 3000, context: 16, batch: 4}
sweep: {stack: 2, workers: 1}
"""
RUNS = "run,p/a,p/b,loss/a,loss/b\n" + "\n".join(
    f"r{i},{p},{1 - p},{3 - 0.5 * p + 0.003 * (i % 3)},{3.2 - 0.6 * (1 - p)}"
    for i, p in enumerate((0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9))
)


def blocks(body, language):
    """(title, text) of the fenced blocks of a language."""
    return re.findall(rf"^```{language}(?: title=\"([^\"]+)\")?\n(.*?)^```$", body, re.M | re.S)


def registered(text, line):
    """The line as the last of the first table of names in a file."""
    end = re.search(r"^(    \},\n\)|\})$", text, re.M)
    return text[: end.start()] + line + text[end.start() :]


def test_the_page_has_the_five_recipes_each_of_one_file_and_one_line():
    assert len(RECIPES) == 5
    for title, body in RECIPES.items():
        files = blocks(body, "python")
        assert len(files) == 2, title
        assert not (ROOT / files[0][0]).exists(), title
        assert (ROOT / files[1][0]).is_file(), title
        assert len(files[1][1].strip().splitlines()) == 1, title


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_works_from_the_command_line(title, tmp_path):
    body = RECIPES[title]
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (new, code), (table, line) = blocks(body, "python")
    for parent in reversed((tmp_path / new).relative_to(tmp_path).parents):
        (tmp_path / parent).mkdir(exist_ok=True)
    (tmp_path / new).write_text(code, encoding="utf-8")
    before = (tmp_path / table).read_text(encoding="utf-8")
    (tmp_path / table).write_text(registered(before, line), encoding="utf-8")
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "noise.yaml").write_text(NOISE)
    (tmp_path / "runs.csv").write_text(RUNS)
    (tmp_path / "mixture.json").write_text('{"spa_Latn": 0.75, "rus_Cyrl": 0.25}')
    (tmp_path / "glotmix").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m glotmix "$@"\n')
    (tmp_path / "glotmix").chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src"), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ((_, commands),) = blocks(body, "sh")
    done = subprocess.run(
        ["sh", "-e", "-c", commands], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    ((_, expected),) = blocks(body, "text")
    for words in expected.strip().splitlines():
        assert words in done.stdout, done.stdout
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), str(tmp_path / new)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
