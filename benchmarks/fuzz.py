"""A million hostile inputs: study files, tables, JSON Lines, roff, shards, safetensors. No traceback, no hang.

    python benchmarks/fuzz.py hypothesis --inputs 20000           # of each kind
    python benchmarks/fuzz.py atheris --inputs 150000 jsonl roff  # guided by coverage; pip install atheris
    python benchmarks/fuzz.py show

An input must be read or be refused by an error of ours that names the place and the reason (tests/hostile.py); anything
else, and anything over ten seconds, stops the run and is kept. Counts: benchmarks/results/fuzz.json.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

GUIDED = (
    "artifact config corpus.readers.jsonl corpus.readers.records corpus.readers.manpages corpus.readers.roff "
    "corpus.readers.roff_escapes corpus.readers.mdoc corpus.readers.streams measurements tokens.shards proxy.checkpoint"
).split()
"""Modules whose branches guide atheris; it must see them being imported."""


def watched() -> contextlib.AbstractContextManager:
    """Imports inside are guided by, in the process that atheris runs in."""
    if "--inside" not in sys.argv:
        return contextlib.nullcontext()
    import atheris

    return atheris.instrument_imports(include=[f"glotmix.{name}" for name in GUIDED])


with watched():
    for module in GUIDED:
        importlib.import_module(f"glotmix.{module}")

from tests.hostile import TARGETS, Hostile  # noqa: E402 - the repository's root is no package

RESULT = ROOT / "benchmarks/results/fuzz.json"
LONGEST = 10
"""Seconds after which an input counts as a hang."""


class Counted:
    """A target that counts, times and stops what hangs."""

    def __init__(self, target: Hostile):
        self.target, self.inputs, self.accepted, self.slowest = target, 0, 0, 0.0

    def __call__(self, data: bytes) -> None:
        began = time.perf_counter()
        signal.alarm(LONGEST)
        self.accepted += self.target(data)
        signal.alarm(0)
        self.inputs += 1
        self.slowest = max(self.slowest, time.perf_counter() - began)


def by_hypothesis(counted: Counted, inputs: int, seed: int) -> None:
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


def by_atheris(counted: Counted, inputs: int, seed: int, name: str, told: Path) -> None:
    """In a process of its own: libFuzzer does not return. What it counted is left in ``told``."""
    import atheris

    corpus, words = counted.target.folder / "corpus", counted.target.folder / "words"
    corpus.mkdir()
    for number, data in enumerate(counted.target.seeds):
        (corpus / str(number)).write_bytes(data)
    escaped = ["".join(rf"\x{byte:02x}" for byte in word[:60]) for word in counted.target.words]
    words.write_text("".join(f'"{word}"\n' for word in escaped))

    def one(data: bytes) -> None:
        counted(data)
        if counted.inputs % 1000 == 0 or counted.inputs >= inputs:
            told.write_text(json.dumps([counted.inputs, counted.accepted, counted.slowest]))

    arguments = [name, f"-runs={inputs}", f"-seed={seed + 1}", f"-dict={words}", "-max_len=2000", "-rss_limit_mb=2500"]
    atheris.Setup([*arguments, f"-timeout={LONGEST}", "-print_final_stats=1", str(corpus)], one)
    atheris.Fuzz()


def fuzz(engine: str, name: str, inputs: int, seed: int) -> dict:
    """One kind of input; counts."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        row = {"engine": engine, "target": name, "seed": seed}
        if engine == "hypothesis":
            counted = Counted(TARGETS[name](Path(folder) / "here"))
            by_hypothesis(counted, inputs, seed)
            row |= {"inputs": counted.inputs, "accepted": counted.accepted, "slowest_seconds": counted.slowest}
        else:
            told = Path(folder) / "told.json"
            command = [sys.executable, __file__, "atheris", name, "--inputs", str(inputs), "--seed", str(seed)]
            done = subprocess.run([*command, "--inside", folder], capture_output=True, text=True, check=False)
            if done.returncode:
                kept = re.findall(r"Test unit written to (\S+)", done.stderr)
                sys.exit(f"{name}: {done.stderr[-4000:]}\ninput kept in {kept}")
            number, accepted, slowest = json.loads(told.read_text())
            row |= {"inputs": number, "accepted": accepted, "slowest_seconds": slowest}
    return row | {"seconds": time.monotonic() - began, "failures": 0}


def show() -> None:
    """Totals of what was kept."""
    rows = json.loads(RESULT.read_text())
    for name in TARGETS:
        own = [row for row in rows if row["target"] == name]
        inputs, accepted = (sum(row[key] for row in own) for key in ("inputs", "accepted"))
        slowest = max((row["slowest_seconds"] for row in own), default=0)
        print(f"{name:<12} {inputs:>9,} inputs, {accepted:>8,} read, the others refused; slowest {slowest:.2f} s")
    print(
        f"{'all':<12} {sum(row['inputs'] for row in rows):>9,} inputs, {sum(row['failures'] for row in rows)} failures"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=["hypothesis", "atheris", "show"])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=" | ".join(TARGETS))
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        (name,) = arguments.targets
        counted = Counted(TARGETS[name](arguments.inside / "here"))
        by_atheris(counted, arguments.inputs, arguments.seed, name, arguments.inside / "told.json")
        return
    for name in (arguments.targets or list(TARGETS)) if arguments.engine != "show" else []:
        row = fuzz(arguments.engine, name, arguments.inputs, arguments.seed)
        rows = json.loads(RESULT.read_text()) if RESULT.exists() else []
        same = ("engine", "target", "seed")
        rows = [one for one in rows if any(one[key] != row[key] for key in same)] + [row]
        RESULT.write_text(json.dumps(rows, indent=1) + "\n")
        print(json.dumps(row), flush=True)
    show()


if __name__ == "__main__":
    main()
