"""Whoever dies, whenever: the driver in the middle of writing, between two calls, or the trainer. The tables are the same."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from glotmix.handoff.asked import About, asked_runs
from tests.handoff.planted import losses, waiting
from tests.handoff.test_loop import STUDY

DRIVER = """
import os, sys
real, left = os.replace, int(sys.argv[1])
def replace(*arguments, **named):
    global left
    left -= 1
    if left == 0:
        os._exit(9)
    real(*arguments, **named)
os.replace = replace
sys.argv = ["glotmix", "run", sys.argv[2], "--out", sys.argv[3]]
from glotmix.cli import main
main()
"""
"""Runs a study and dies, without a chance to clean up, before its n-th file gets its name."""
KILLED = 9


def call(folder, kill_at=0):
    """Exit code of one call of `glotmix run`."""
    words = [sys.executable, "-c", DRIVER, str(kill_at or 10**9), str(folder / "study.yaml"), str(folder / "out")]
    return subprocess.run(words, check=False, capture_output=True, cwd=folder).returncode


def trainer(handoff, rng):
    """Train some of what waits, each into a file of its own; and die now and then while one is written."""
    about, asked = About.of(handoff), asked_runs(handoff)
    names = waiting(handoff)
    for name in rng.sample(names, rng.randint(1, len(names))) if rng.random() < 0.5 else names:
        told = {"run": name, "D": asked[name].D, "bits_per_byte": losses(asked[name], about.targets)}
        text = json.dumps(told) + "\n"
        cut = rng.randrange(len(text) - 1) if rng.random() < 0.15 else len(text)
        (handoff / "results" / f"{name}.jsonl").write_text(text[:cut])


def tables(folder):
    place = folder / "out" / "measurements"
    found = {name: (place / name).read_bytes() for name in ("runs.parquet", "losses.parquet")}
    for name in ("transfer.json", "optimum.json", "closed_loop.json"):
        found[name] = (folder / "out" / name).read_bytes()
    return found


def played_through(folder, kills, rng):
    """A study from its first call to its page, killed ``kills`` times on the way; how often it was called."""
    folder.mkdir()
    (folder / "study.yaml").write_text(json.dumps(STUDY))
    calls = killed = 0
    while True:
        calls += 1
        assert calls < 10 * (kills + 5)
        code = call(folder, rng.randint(1, 60) if killed < kills else 0)
        killed += code == KILLED
        assert code in (0, 3, KILLED)
        if code == 0 and killed == kills:
            return calls
        if code != 0 and (folder / "out" / "handoff" / "waiting.txt").is_file() and rng.random() < 0.8:
            trainer(folder / "out" / "handoff", rng)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "study"
    played_through(folder, 0, random.Random(0))
    return tables(folder)


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_study_that_is_killed_again_and_again_has_the_tables_of_one_that_is_not(undisturbed, tmp_path, kills):
    folder = tmp_path / "study"
    played_through(folder, kills, random.Random(kills))
    assert tables(folder) == undisturbed
    runs = {path.name for path in (folder / "out" / "handoff" / "runs").iterdir()}
    assert not [name for name in runs if name.endswith(".part")]
    assert len({name.rpartition(".")[0] for name in runs}) == len(runs)  # nothing was asked for twice


def test_a_directory_that_moves_to_another_machine_goes_on(undisturbed, tmp_path):
    rng = random.Random(5)
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    (here / "study.yaml").write_text(json.dumps(STUDY))
    assert call(here) == 3
    trainer(here / "out" / "handoff", rng)
    os.rename(here, there)
    while call(there) == 3:
        trainer(there / "out" / "handoff", rng)
    assert tables(there) == undisturbed
    assert str(here) not in Path(there / "out" / "handoff" / "loop.sh").read_text()
