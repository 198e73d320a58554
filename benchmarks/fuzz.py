"""A million hostile inputs: study files, tables, corpora, chats, roff, shards, safetensors. No traceback, no hang.

    python benchmarks/fuzz.py mutants --inputs 100000             # of each kind: sound ones with a few changes
    python benchmarks/fuzz.py hypothesis --inputs 5000            # and from Hypothesis' strategies
    python benchmarks/fuzz.py atheris --inputs 100000 jsonl roff  # guided by coverage; pip install atheris
    python benchmarks/fuzz.py show

An input must be read or be refused by an error of ours that names the place and the reason (tests/hostile.py). Anything
else, ten seconds of processor time for one input, or the end of the process stops the run; the input is then kept in
``--keep``. Counts: benchmarks/results/fuzz.json.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import own_tests  # noqa: F401 - before anything of the tests

ROOT = Path(__file__).parents[1]

GUIDED = (
    "artifact config corpus.readers.files corpus.readers.records corpus.readers.manpages corpus.readers.roff "
    "corpus.readers.roff_escapes corpus.readers.mdoc reading.streams reading.json_values reading.delimited "
    "reading.rows reading.parquet reading.labels attribution.texts posttraining.sources measurements tokens.store "
    "proxy.checkpoint"
).split()
"""Modules whose branches guide atheris; it must see them being imported."""


def watched() -> contextlib.AbstractContextManager:
    """Imports inside are guided by, in the process that atheris runs in."""
    if "--inside" not in sys.argv or "atheris" not in sys.argv:
        return contextlib.nullcontext()
    import atheris

    return atheris.instrument_imports(include=[f"glotmix.{name}" for name in GUIDED])


with watched():
    for module in GUIDED:
        importlib.import_module(f"glotmix.{module}")

from tests.hostile import TARGETS, Hostile  # noqa: E402 - what it imports is watched

RESULT = ROOT / "benchmarks/results/fuzz.json"
LONGEST = 10.0
"""Seconds of processor time after which an input counts as a hang."""
TELL_EVERY = 1000


class Counted:
    """A target that counts and times, leaves the input of the moment in a file, and ends the process where it hangs."""

    def __init__(self, target: Hostile, folder: Path):
        self.target, self.last, self.told = target, folder / "input", folder / "told.json"
        self.inputs, self.accepted, self.slowest = 0, 0, 0.0

    def __call__(self, data: bytes) -> None:
        self.last.write_bytes(data)
        signal.setitimer(signal.ITIMER_PROF, LONGEST)  # its signal ends the process, wherever that is
        began = time.process_time()
        self.accepted += self.target(data)
        self.slowest = max(self.slowest, time.process_time() - began)
        signal.setitimer(signal.ITIMER_PROF, 0)
        self.inputs += 1
        if self.inputs % TELL_EVERY == 0:
            self.tell()

    def tell(self) -> None:
        found = {"inputs": self.inputs, "accepted": self.accepted, "slowest_seconds": self.slowest}
        self.told.write_text(json.dumps(found))


def by_mutants(counted: Counted, inputs: int, seed: int) -> None:
    """Sound inputs with a few changes each; what is drawn follows from the seed alone."""
    rng = random.Random(seed)
    for _ in range(inputs):
        counted(counted.target.mutant(rng))


def by_hypothesis(counted: Counted, inputs: int, seed: int) -> None:
    """Hypothesis' own search, which shrinks what it finds."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    @seeded(seed)
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(counted.target.strategy())
    def fuzz(data: bytes) -> None:
        counted(data)

    fuzz()


def by_atheris(counted: Counted, inputs: int, seed: int) -> None:
    """libFuzzer, which mutates what reaches branches that nothing reached before. It does not return."""
    import atheris

    folder = counted.last.parent
    corpus, words = folder / "corpus", folder / "words"
    corpus.mkdir()
    for number, data in enumerate(counted.target.seeds):
        (corpus / str(number)).write_bytes(data)
    escaped = ["".join(rf"\x{byte:02x}" for byte in word[:60]) for word in counted.target.words]
    words.write_text("".join(f'"{word}"\n' for word in escaped))
    arguments = [f"-runs={inputs}", f"-seed={seed + 1}", f"-dict={words}", f"-artifact_prefix={folder}/"]
    arguments += ["-max_len=2000", "-rss_limit_mb=2500", "-timeout=600", "-verbosity=0"]
    atheris.Setup(["fuzz", *arguments, str(corpus)], counted)
    atheris.Fuzz()


ENGINES = {"mutants": by_mutants, "hypothesis": by_hypothesis, "atheris": by_atheris}


def fuzz(engine: str, name: str, inputs: int, seed: int, keep: Path) -> dict:
    """One engine on one kind of input, in a process of its own; counts."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        command = [sys.executable, __file__, engine, name, "--inputs", str(inputs), "--seed", str(seed)]
        began = time.monotonic()
        done = subprocess.run([*command, "--inside", folder], capture_output=True, text=True, check=False)
        if done.returncode:
            keep.mkdir(parents=True, exist_ok=True)
            kept = shutil.copy(Path(folder) / "input", keep / f"{engine}-{name}-{seed}")
            sys.exit(f"{done.stderr[-4000:]}\n{name}: exit code {done.returncode}; the input is kept in {kept}")
        found = json.loads((Path(folder) / "told.json").read_text())
    return {"engine": engine, "target": name, "seed": seed, **found, "seconds": time.monotonic() - began, "failures": 0}


def show() -> None:
    """Totals of what was kept."""
    rows = json.loads(RESULT.read_text()) if RESULT.exists() else []
    print(f"| kind | {' | '.join(ENGINES)} | inputs | read | slowest, s |")
    print("|---" * (len(ENGINES) + 4) + "|")
    for name in [*TARGETS, "all"]:
        own = [row for row in rows if name in (row["target"], "all")]
        by = [sum(row["inputs"] for row in own if row["engine"] == engine) for engine in ENGINES]
        accepted, slowest = sum(row["accepted"] for row in own), max((row["slowest_seconds"] for row in own), default=0)
        print(f"| {name} | {' | '.join(f'{n:,}' for n in [*by, sum(by), accepted])} | {slowest:.2f} |")
    print(f"failures: {sum(row['failures'] for row in rows)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=[*ENGINES, "show"])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=" | ".join(TARGETS))
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "glotmix-fuzz")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_intermixed_args()
    if arguments.inside:
        (name,) = arguments.targets
        counted = Counted(TARGETS[name](arguments.inside / "here"), arguments.inside)
        ENGINES[arguments.engine](counted, arguments.inputs, arguments.seed)
        counted.tell()
        return
    for name in (arguments.targets or list(TARGETS)) if arguments.engine != "show" else []:
        row = fuzz(arguments.engine, name, arguments.inputs, arguments.seed, arguments.keep)
        rows = json.loads(RESULT.read_text()) if RESULT.exists() else []
        same = ("engine", "target", "seed")
        rows = [one for one in rows if any(one[key] != row[key] for key in same)] + [row]
        RESULT.write_text(json.dumps(rows, indent=1) + "\n")
        print(json.dumps(row), flush=True)
    show()


if __name__ == "__main__":
    main()
