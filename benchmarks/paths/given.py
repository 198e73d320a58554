"""What a script in this folder is given, and how it answers: facts.json in, steps.json out."""

import importlib.util
import json
import shlex
import sys
from collections import Counter
from pathlib import Path

from marked import FIRST_ID

FOLDER = Path(sys.argv[1])
FACTS = json.loads((FOLDER / "facts.json").read_text())
OUT = FOLDER / "out"
LANGUAGES = FACTS["languages"]
BATCH, LENGTH = FACTS["batch"], FACTS["length"]


def module():
    """The generated mixture.py."""
    spec = importlib.util.spec_from_file_location("mixture", OUT / "mixture.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def array(name):
    """A bash array of launch.sh."""
    (line,) = [line for line in (OUT / "launch.sh").read_text().splitlines() if line.startswith(f"{name}=(")]
    return shlex.split(line[len(name) + 2 : -1])


def documents():
    """Language, its number, the tokens of each of its documents (end included), and its path."""
    for i, name in enumerate(LANGUAGES):
        sizes, path = FACTS["documents"][name]
        yield name, i, sizes, path


def counts(ids):
    """Tokens by id."""
    found = Counter(ids)
    return [found.get(i, 0) for i in range(FIRST_ID + len(LANGUAGES))]


def answer(steps):
    """Write one line per step (or per stage): {"stage" or "step", "counts", "rate"}."""
    (FOLDER / "steps.json").write_text(json.dumps(steps))
