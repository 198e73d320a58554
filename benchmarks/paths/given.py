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
    found = sys.modules["mixture"] = importlib.util.module_from_spec(spec)
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


def rates(scheduler, rate, advance):
    """Learning rates of every step of the stages and of a single run: the first from launches that hand their state on.

    Args:
        scheduler: stage (None for the single run) to the scheduler that the trainer builds for that launch.
        rate: scheduler to its learning rate.
        advance: moves a scheduler on by a step.
    """
    single, alone = [], scheduler(None)
    for _ in range(FACTS["steps"]):
        single.append(float(rate(alone)))
        advance(alone)
    staged, state = [], None
    for stage, (_, length) in enumerate(FACTS["phases"]):
        one = scheduler(stage)
        if state is not None:
            one.load_state_dict(state)
        for _ in range(length):
            staged.append(float(rate(one)))
            advance(one)
        state = one.state_dict()
    return {"stages": staged, "single": single}


def rates_of_one_launch(scheduler):
    """The same of torch's schedulers, where one launch follows all stages."""

    def advance(one):
        one.optimizer.step()
        one.step()

    FACTS["phases"] = [[0, FACTS["steps"]]]
    return rates(scheduler, lambda one: one.optimizer.param_groups[0]["lr"], advance)


class AtStep:
    """A learning rate that is a function of the step alone, as a scheduler."""

    def __init__(self, at):
        self.at, self.step = at, 0

    def rate(self):
        return self.at(self.step)

    def advance(self):
        self.step += 1

    def state_dict(self):
        return {"step": self.step}

    def load_state_dict(self, state):
        self.step = state["step"]


def answer(steps, ends=True, learning_rates=None):
    """Write what was read, one entry per step or per stage: {"step" or "stage", "counts"}.

    Args:
        steps: the entries, counts by token id.
        ends: whether a token per document, the end-of-text, is read beside those that tell their language.
        learning_rates: of :func:`rates`.
    """
    (FOLDER / "steps.json").write_text(json.dumps({"steps": steps, "ends": ends, "rates": learning_rates}))
