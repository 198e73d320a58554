"""Kill a study with ``kill -9`` at random moments, resume it each time, and compare its tables byte for byte.

    python benchmarks/faults.py --kills 20

Writes ``benchmarks/results/faults.json``: the moments, how much was done at each, and the digests of the final tables
beside those of a study that was never interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from glotmix.artifact import checksum

ROOT = Path(__file__).parents[1]
TABLES = (
    "measurements/runs.parquet",
    "measurements/losses.parquet",
    "transfer.json",
    "optimum.json",
    "closed_loop.json",
)
# Small enough for twenty lives, large enough that a kill finds every stage at work.
SMALLER = [
    "proxy.tokens=30000",
    "proxy.width=32",
    "proxy.batch=8",
    "design.swarm=4",
    "validation.seeds=2",
    "fit.bootstrap=10",
    "tokens.held_out_tokens=2000",
    "corpus.bytes_per_language=120000",
    "sweep.stack=4",
]


def start(out: Path) -> subprocess.Popen[bytes]:
    """The study, in a process group of its own."""
    changes = [word for change in SMALLER for word in ("--set", change)]
    command = [
        sys.executable,
        "-m",
        "glotmix",
        "run",
        str(ROOT / "recipes/quickstart.yaml"),
        "--out",
        str(out),
        *changes,
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)


def finish(out: Path) -> float:
    """Run to the end; seconds."""
    began = time.monotonic()
    process = start(out)
    _, errors = process.communicate()
    if process.returncode:
        sys.exit(f"the study failed: {errors.decode()[-2000:]}")
    return time.monotonic() - began


def workers(out: Path) -> list[int]:
    """Processes of this study's workers that are alive."""
    pattern = f"glotmix.sweep.worker {out}/"
    found = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split() if int(pid) != os.getpid()]


def left_behind(out: Path, patience: float = 5.0) -> int:
    """Workers that outlive their driver by more than the time in which a new one finds out that it has none."""
    until = time.monotonic() + patience
    while (alive := len(workers(out))) and time.monotonic() < until:
        time.sleep(0.1)
    return alive


def digests(out: Path) -> dict[str, str]:
    """Checksums of the results."""
    return {name: checksum(out / name) for name in TABLES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results/faults.json")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        calm, stormy = Path(folder) / "calm", Path(folder) / "stormy"
        seconds = finish(calm)
        print(f"uninterrupted: {seconds:.0f} s")
        kills = []
        for number in range(arguments.kills):
            process = start(stormy)
            moment = rng.uniform(0.3, seconds / 2)
            time.sleep(moment)
            ended = process.poll() is not None
            if not ended:
                os.kill(process.pid, signal.SIGKILL)
            process.wait()
            process.stderr.close()
            done = len(list((stormy / "runs").glob("*/run.json")))
            parts = len(list((stormy / "runs").glob("*.part")))
            orphans = left_behind(stormy)
            kills.append(
                {"after": moment, "already_done": ended, "runs_done": done, "half_written": parts, "orphans": orphans}
            )
            print(
                f"kill {number + 1} after {moment:.1f} s: {done} runs done, {parts} half written, {orphans} orphans",
                flush=True,
            )
        finish(stormy)
        expected, found = digests(calm), digests(stormy)
        identical = {name: expected[name] == found[name] for name in TABLES}
    result = {"seconds": seconds, "kills": kills, "identical": identical, "digests": expected}
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    arguments.results.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(identical, indent=1))
    sys.exit(0 if all(identical.values()) and not any(kill["orphans"] for kill in kills) else 1)


if __name__ == "__main__":
    main()
