"""Every shape letter in the source is explained, for the room in which it stands, in the code and on the page."""

import ast
import re
from pathlib import Path

import pytest

from glotmix.notation import EVERYWHERE, SHAPES

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "glotmix"
SYMBOLS = {"R_D", "R_N", "log_G", "by_log_G", "log_N", "O_WRONLY", "O_RDONLY"}
"""Names that end in a paper's symbol, or in a word, and not in a shape."""


def letters_in(tree):
    """Shape letters of the variables, arguments and attributes of a file, each with a name that has it."""
    found = {}
    for node in ast.walk(tree):
        name = next((getattr(node, part) for part in ("id", "arg", "attr") if hasattr(node, part)), None)
        shape = re.fullmatch(r"_*(?:[a-z][a-z0-9_]*|[A-ZΑ-Ωα-ω])_([A-Z]+)", name) if isinstance(name, str) else None
        if shape and name not in SYMBOLS and shape[1] != "UNIT":
            found |= dict.fromkeys(shape[1], name)
    return found


@pytest.fixture(scope="module")
def used():
    found = {}
    for path in SOURCE.rglob("*.py"):
        room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        for letter, name in letters_in(ast.parse(path.read_text(encoding="utf-8"))).items():
            found[room, letter] = f"{name} in {path.relative_to(SOURCE)}"
    return found


def test_every_letter_is_explained_where_it_stands(used):
    unknown = {
        where: f"{letter} of {where}"
        for (room, letter), where in used.items()
        if letter not in SHAPES[EVERYWHERE] and letter not in SHAPES.get(room, {})
    }
    assert not unknown


def test_nothing_is_explained_that_is_not_in_use(used):
    stale = {(room, letter) for room, letters in SHAPES.items() for letter in letters if room != EVERYWHERE} - set(used)
    elsewhere = {letter for room, letter in used if letter not in SHAPES.get(room, {})}
    assert not stale
    assert set(SHAPES[EVERYWHERE]) == elsewhere


def test_a_letter_that_is_not_explained_would_be_told():
    assert letters_in(ast.parse("def f(p_XL): self.loss_RT = x.y_Z")) == {
        "X": "p_XL", "L": "p_XL", "R": "loss_RT", "T": "loss_RT", "Z": "y_Z",
    }  # fmt: skip


def test_the_page_says_the_same():
    rows = (ROOT / "docs" / "notation.md").read_text(encoding="utf-8").splitlines()
    for room, letters in SHAPES.items():
        for letter, meaning in letters.items():
            wanted = f"| `{letter}` | {meaning} |" if room == EVERYWHERE else f"`{letter}` {meaning}"
            assert any(wanted in row for row in rows if room == EVERYWHERE or row.startswith(f"| {room} |")), wanted
