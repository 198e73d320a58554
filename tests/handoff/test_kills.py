"""Whoever dies, whenever: the driver in the middle of writing, between two calls, or the trainer. The tables are the same."""

import json
import random
import subprocess
import sys

import pytest

from glotmix.handoff.asked import About, asked_runs
from tests.handoff.planted import losses, waiting
from tests.handoff.test_loop import STUDY

DRIVERS = """
import os, sys
import glotmix.cli, glotmix.proxy.model, glotmix.report.page, glotmix.studies.mixture.kind, glotmix.sweep.executors.external

def drive(left, moment, study, out):
    real = os.replace
    def replace(part, *arguments, **named):
        nonlocal left
        left -= 1
        if left == 0 and moment == "half" and os.path.isfile(part):
            os.truncate(part, os.path.getsize(part) // 2)
        if left == 0 and moment != "after":
            os._exit(9)
        real(part, *arguments, **named)
        if left == 0:
            os._exit(9)
    os.replace = replace
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    sys.argv = ["glotmix", "run", study, "--out", out]
    try:
        glotmix.cli.main()
    except SystemExit as ended:
        os._exit(int(ended.code or 0))
    os._exit(0)

for line in sys.stdin:
    left, moment, study, out = line.rstrip("\\n").split("\\t")
    if not (child := os.fork()):
        drive(int(left), moment, study, out)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Calls `glotmix run` in a process of its own for each line; which dies, without a chance to clean up, before its n-th
file gets its name, in the middle of writing it, or after."""
KILLED = 9
MOMENTS = ("before", "half", "after")


@pytest.fixture(scope="module")
def call():
    """Exit code of one call of `glotmix run`."""
    words, pipe = [sys.executable, "-c", DRIVERS], subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as drivers:

        def called(folder, kill_at=0, moment="before"):
            drivers.stdin.write(f"{kill_at or 10**9}\t{moment}\t{folder / 'study.yaml'}\t{folder / 'out'}\n")
            drivers.stdin.flush()
            return int(drivers.stdout.readline())

        yield called
        drivers.stdin.close()


def trainer(handoff, rng):
    """Train some of what waits, each into a file of its own; and die now and then while one is written."""
    about, asked = About.of(handoff), asked_runs(handoff)
    names = waiting(handoff)
    if not names:
        return
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


def played_through(call, folder, kills, rng, moves_to=None):
    """A study from its first call to its page, killed ``kills`` times on the way; once runs wait, its folder may move."""
    folder.mkdir()
    (folder / "study.yaml").write_text(json.dumps(STUDY))
    calls = killed = 0
    while True:
        calls += 1
        assert calls < 10 * (kills + 5)
        code = call(folder, rng.randint(1, 60) if killed < kills else 0, rng.choice(MOMENTS))
        killed += code == KILLED
        assert code in (0, 3, KILLED)
        if code == 0 and killed == kills:
            return calls
        if code == 3 and moves_to:
            folder, moves_to = folder.rename(moves_to), None
        if code != 0 and (folder / "out" / "handoff" / "waiting.txt").is_file() and rng.random() < 0.8:
            trainer(folder / "out" / "handoff", rng)


@pytest.fixture(scope="module")
def undisturbed(call, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "study"
    played_through(call, folder, 0, random.Random(0))
    return tables(folder)


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_study_that_is_killed_again_and_again_has_the_tables_of_one_that_is_not(call, undisturbed, tmp_path, kills):
    """And although it goes on on another machine."""
    here, folder = tmp_path / "here", tmp_path / "there"
    played_through(call, here, kills, random.Random(kills), folder)
    assert tables(folder) == undisturbed
    runs = {path.name for path in (folder / "out" / "handoff" / "runs").iterdir()}
    assert not [name for name in runs if name.endswith(".part")]
    assert len({name.rpartition(".")[0] for name in runs}) == len(runs)  # nothing was asked for twice
    assert str(here) not in (folder / "out" / "handoff" / "loop.sh").read_text()
