"""Kill a study again and again with ``kill -9`` at random moments, and compare its tables byte for byte.

    python benchmarks/faults.py --engine local --kills 40 --seed 1
    python benchmarks/faults.py --engine ray --kills 40 --seed 2      # a cluster of a head and two nodes, started here
    python benchmarks/faults.py show

What is killed is drawn anew each time: the driver, one of its workers, or (on Ray) a whole node, which is then replaced
by a new one. A killed driver is started again by the same command. A study that comes to its end is compared with one
that was never disturbed, and the next one begins in an empty directory, until the kills are spent. Seeds give victims
and moments; ``benchmarks/results/faults.json`` keeps them with what was done and half written at each.
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
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from glotmix.artifact import checksum, read_json

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/faults.json"
TABLES = (
    "measurements/runs.parquet",
    "measurements/losses.parquet",
    "transfer.json",
    "optimum.json",
    "closed_loop.json",
)
# Small enough to be run dozens of times, large enough that a kill finds every stage at work (benchmarks/executors.py).
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
# The smallest study that has every stage: coalitions, a swarm, an anchor, transfer, laws, optimum and closed loop. A
# killed worker counts as a failed try; so many tries that no run is given up for being unlucky.
STUDY = """
name: Storm
languages: [spa_Latn, rus_Cyrl]
outside: [por_Latn]
corpus: {bytes_per_language: 60000, held_out: 0.1}
tokens: {vocab_size: 400, held_out_tokens: 1500}
design: {coalitions: all, swarm: 2, anchors: 1, anchor_seeds: 1}
proxy: {width: 32, layers: 1, heads: 2, tokens: 40000, context: 32, batch: 4}
sweep: {stack: 2, retries: 99}
fit: {laws: ["null", own_ratio], folds: 3, bootstrap: 0}
validation: {seeds: 1, baselines: [natural, uniform]}
"""
SHARES = {"driver": 0.4, "worker": 0.35, "node": 0.25}
"""How often each is the victim; without nodes their share falls to the others."""


def start(out: Path, engine: list[str]) -> subprocess.Popen[bytes]:
    """The study, in a process group of its own."""
    study = out.parent / "storm.yaml"
    study.write_text(STUDY)
    changes = [word for change in engine for word in ("--set", change)]
    command = [sys.executable, "-m", "glotmix", "run", str(study), "--out", str(out)]
    with open(out.with_suffix(".log"), "ab") as log:
        return subprocess.Popen([*command, *changes], stdout=log, stderr=log, start_new_session=True)


def workers(out: Path) -> list[int]:
    """Processes of this study's workers that are alive."""
    pattern = f"glotmix.sweep.worker {out}/"
    found = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split() if int(pid) != os.getpid()]


def left_behind(out: Path, patience: float = 10.0) -> int:
    """Workers that outlive their driver by more than the time in which one finds out that it has none."""
    until = time.monotonic() + patience
    while (alive := len(workers(out))) and time.monotonic() < until:
        time.sleep(0.1)
    return alive


def digests(out: Path) -> dict[str, str]:
    """Checksums of the results."""
    return {name: checksum(out / name) for name in TABLES}


def patiently(start: Callable[[], Any], tries: int = 8) -> Any:
    """Ray gives a node half a minute to start, which on a busy machine may not do."""
    for _ in range(tries - 1):
        try:
            return start()
        except Exception as error:
            print(f"once more: {error}", flush=True)
            time.sleep(5)
    return start()


class Nodes:
    """A Ray cluster of a head that runs nothing and two nodes of one CPU; each is a group of processes."""

    def __init__(self) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        from ray.cluster_utils import Cluster

        self.cluster = patiently(lambda: Cluster(initialize_head=True, head_node_args={"num_cpus": 0}))
        self.nodes = [self.add() for _ in range(2)]
        self.cluster.wait_for_nodes(timeout=300)

    def add(self) -> Any:
        return patiently(lambda: self.cluster.add_node(num_cpus=1))

    @property
    def settings(self) -> list[str]:
        return ["sweep.executor=ray", f"sweep.address={self.cluster.address}", "sweep.workers=2"]

    def kill(self, rng: random.Random) -> None:
        """Kill one node as a power cut would, then put a new one in its place."""
        node = self.nodes.pop(rng.randrange(len(self.nodes)))
        for processes in node.all_processes.values():
            for info in processes:
                if info.process.poll() is None:
                    os.kill(info.process.pid, signal.SIGKILL)
        self.cluster.remove_node(node, allow_graceful=False)
        self.nodes.append(self.add())

    def stop(self) -> None:
        self.cluster.shutdown()


class Storm:
    """Studies under fire."""

    def __init__(self, folder: Path, engine: str, seed: int, calm: Path):
        self.folder, self.rng, self.seed, self.engine = folder, random.Random(seed), seed, engine
        self.nodes = Nodes() if engine == "ray" else None
        self.settings = self.nodes.settings if self.nodes else ["sweep.workers=1"]
        if not (calm / "report.html").exists() and start(calm, ["sweep.workers=1"]).wait():
            sys.exit(f"the undisturbed study failed: {calm.with_suffix('.log').read_text()[-2000:]}")
        self.seconds, self.expected = read_json(calm / "timing.json")["seconds"], digests(calm)
        self.runs = pl.read_parquet(calm / TABLES[0])["run"].to_list()
        print(f"undisturbed: {self.seconds:.0f} s, {len(self.runs)} runs", flush=True)
        self.kills: list[dict] = []
        self.studies: list[dict] = []

    def study(self, number: int, kills: int, until: float) -> None:
        """One study from an empty directory to its end, killed as long as there are kills and time left."""
        out = self.folder / f"study-{number}"
        driver, before = start(out, self.settings), len(self.kills)
        while driver.poll() is None:
            if len(self.kills) >= kills or time.monotonic() > until:
                driver.wait()
                break
            moment = self.rng.uniform(0.1, self.seconds / 4)
            try:
                driver.wait(moment)
                break
            except subprocess.TimeoutExpired:
                driver = self.kill(out, driver, moment)
        if driver.returncode:
            sys.exit(f"the study ended with {driver.returncode}: {out.with_suffix('.log').read_text()[-2000:]}")
        table = pl.read_parquet(out / TABLES[0])
        complete = table.filter(pl.col("status") == "complete")["run"]
        found = digests(out)
        self.studies.append(
            {
                "engine": self.engine,
                "seed": self.seed,
                "kills": len(self.kills) - before,
                "runs": len(self.runs),
                "lost": len(set(self.runs) - set(complete)),
                "twice": int(table["run"].is_duplicated().sum()),
                "identical": {name: found[name] == self.expected[name] for name in TABLES},
            }
        )
        print(f"study {number}: {json.dumps(self.studies[-1])}", flush=True)

    def kill(self, out: Path, driver: subprocess.Popen, moment: float) -> subprocess.Popen:
        """Kill something; the driver that goes on, a new one where it was the victim."""
        shares = {name: share for name, share in SHARES.items() if name != "node" or self.nodes}
        victim = self.rng.choices(list(shares), list(shares.values()))[0]
        alive = workers(out) if victim == "worker" else []
        if victim == "worker" and not alive:
            victim = "driver"  # the sweep has not begun, or is done
        one = {"seed": self.seed, "engine": self.engine, "victim": victim, "after": round(moment, 3), "orphans": 0}
        one["runs_done"] = len(list((out / "runs").glob("*/run.json")))
        one["half_written"] = len(list((out / "runs").glob("*.part")))
        if victim == "worker":
            try:
                os.kill(self.rng.choice(alive), signal.SIGKILL)
            except ProcessLookupError:
                return driver  # it ended by itself: no kill
        elif victim == "node" and self.nodes:
            self.nodes.kill(self.rng)
        else:
            os.kill(driver.pid, signal.SIGKILL)
            driver.wait()
            one["orphans"] = left_behind(out)
            driver = start(out, self.settings)
        self.kills.append(one)
        return driver

    def stop(self) -> None:
        if self.nodes:
            self.nodes.stop()


def keep(storm: Storm) -> None:
    """Add to the results; those of the same engine and seed are replaced."""
    old = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"kills": [], "studies": []}
    new = {}
    for key, mine in (("studies", storm.studies), ("kills", storm.kills)):
        others = [one for one in old[key] if (one["engine"], one["seed"]) != (storm.engine, storm.seed)]
        new[key] = others + mine
    RESULTS.write_text(json.dumps(new, indent=1) + "\n")


def show() -> bool:
    """Totals of all that was kept; whether nothing was lost, done twice or changed."""
    found = json.loads(RESULTS.read_text())
    kills = Counter((one["engine"], one["victim"]) for one in found["kills"])
    print(f"{len(found['kills'])} kills in {len(found['studies'])} studies: {dict(kills)}")
    lost = sum(one["lost"] for one in found["studies"])
    twice = sum(one["twice"] for one in found["studies"])
    changed = sum(not all(one["identical"].values()) for one in found["studies"])
    orphans = sum(one["orphans"] for one in found["kills"])
    print(f"runs lost {lost}, done twice {twice}, studies with other tables {changed}, orphans {orphans}")
    return not (lost or twice or changed or orphans)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["run", "show"], default="run")
    parser.add_argument("--engine", choices=["local", "ray"], default="local")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60, help="no kill after so long; what is begun is finished")
    parser.add_argument("--calm", type=Path, help="where the undisturbed study is, or goes (default: made anew)")
    arguments = parser.parse_args()
    if arguments.what == "run":
        until = time.monotonic() + 60 * arguments.minutes
        with tempfile.TemporaryDirectory() as folder:
            calm = arguments.calm or Path(folder) / "calm"
            storm = Storm(Path(folder), arguments.engine, arguments.seed, calm)
            try:
                number = 0
                while len(storm.kills) < arguments.kills and time.monotonic() < until:
                    number += 1
                    storm.study(number, arguments.kills, until)
                    keep(storm)
            finally:
                storm.stop()
    sys.exit(0 if show() else 1)


if __name__ == "__main__":
    main()
