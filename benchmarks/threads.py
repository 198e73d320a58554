"""What threads cost a small model on a machine that does something else too: the probes of a checkpoint, timed.

    python benchmarks/threads.py

The alignment of two clones in a model of the size of ``recipes/cloned-languages.yaml --scale small``, in a fresh
process each: one thread or all, waiting as OpenMP does by default (spinning) or asleep (``OMP_WAIT_POLICY=passive``,
which the command line sets), alone or beside one busy process per core. Writes ``benchmarks/results/threads.json``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "threads.json"
BUSY = "while True: pass"
REPEATS = 2
PROBE = """
import json, sys, time
import numpy as np, torch
from glotmix.config import ProxyConfig
from glotmix.probe import alignment
alignment.SMALL = 0
from glotmix.proxy.model import Shape, init_parameters
V = 257
proxy = ProxyConfig(width=32, layers=2, heads=2, context=128, batch=10, tied=False)
shape = Shape.of(proxy, 2 * V)
parameters = init_parameters(shape, [0])
text = np.random.default_rng(0).integers(0, V, (32, 129))
seconds = []
for _ in range(int(sys.argv[1]) + 1):
    began = time.perf_counter()
    alignment.align(parameters, shape, text, np.arange(V), np.arange(V) + V)
    seconds.append(round(time.perf_counter() - began, 3))
print(json.dumps(seconds[1:]))
"""


def timed(threads: int, waiting: str) -> list[float]:
    """Seconds of each repeat in a fresh process."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    environment.pop("OMP_WAIT_POLICY", None)
    if waiting == "asleep":
        environment["OMP_WAIT_POLICY"] = "passive"
    command = [sys.executable, "-c", PROBE, str(REPEATS)]
    return json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    cores, found = os.cpu_count() or 1, []
    for busy in (0, cores):
        # Each in a session of its own, as a program of another window is: Linux shares the cores between sessions.
        neighbours = [subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True) for _ in range(busy)]
        try:
            for threads, waiting in ((1, "spinning"), (cores, "spinning"), (cores, "asleep")):
                row = {"busy": busy, "threads": threads, "waiting": waiting, "seconds": timed(threads, waiting)}
                print(row, flush=True)
                found.append(row)
        finally:
            for neighbour in neighbours:
                neighbour.kill()
    RESULT.write_text(json.dumps({"cores": cores, "rows": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
