"""Kill a study again and again with ``kill -9`` at random moments, and compare its tables byte for byte.

    python benchmarks/faults.py --engine local --kills 40 --seed 1
    python benchmarks/faults.py --engine ray --kills 40 --seed 2      # a cluster of a head and two nodes, started here
    python benchmarks/faults.py show

What is killed is drawn anew each time: the driver, one of its workers, or (on Ray) a whole node, which is then replaced
by a new one. A killed driver is started again by the same command. A study that comes to its end is compared with one
that was never disturbed, and the next one begins in an empty directory, until the kills are spent. Moments are counted
in CPU seconds of the study's processes, so that a busy machine does not only kill what is starting. Seeds give victims
and moments; ``benchmarks/results/faults.json`` keeps them with what was done and half written at each.

With ``--folder`` a study that is not at its end when the kills are spent is gone on with by the next call, and
``--kills 0`` brings it to its end.
"""

from __future__ import annotations

import argparse
import contextlib
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
import psutil

from glotmix.artifact import checksum

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
LONGEST = 12.0
"""CPU seconds between two kills at most; the undisturbed study takes about 30."""
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


class Clock:
    """CPU seconds of a study's processes, of those that have ended too."""

    def __init__(self, driver: subprocess.Popen[bytes], out: Path, remote: bool):
        self.driver, self.out, self.remote = driver, out, remote
        self.seconds: dict[int, float] = {}

    def read(self) -> float:
        pids = [self.driver.pid, *(workers(self.out) if self.remote else [])]
        with contextlib.suppress(psutil.Error):
            pids += [child.pid for child in psutil.Process(self.driver.pid).children(recursive=True)]
        for pid in pids:
            with contextlib.suppress(psutil.Error):
                times = psutil.Process(pid).cpu_times()
                self.seconds[pid] = times.user + times.system
        return sum(self.seconds.values())


class Storm:
    """Studies under fire."""

    def __init__(self, folder: Path, engine: str, seed: int, calm: Path, precision: str):
        self.folder, self.rng, self.seed, self.engine = folder, random.Random(seed), seed, engine
        self.precision, asked = precision, f"proxy.precision={precision}"
        if not (calm / "report.html").exists() and start(calm, ["sweep.workers=1", asked]).wait():
            sys.exit(f"the undisturbed study failed: {calm.with_suffix('.log').read_text()[-2000:]}")
        self.expected = digests(calm)
        self.runs = pl.read_parquet(calm / TABLES[0])["run"].to_list()
        self.kills: list[dict] = []
        self.studies: list[dict] = []
        self.nodes = Nodes() if engine == "ray" else None
        self.settings = [*(self.nodes.settings if self.nodes else ["sweep.workers=1"]), asked]

    def study(self, out: Path, kills: int) -> bool:
        """Go on with a study until it ends (True), or until the kills are spent, the last one on its driver."""
        driver = start(out, self.settings)
        while driver.poll() is None:
            if not kills:
                driver.wait()
                break
            moment = self.rng.uniform(0.1, LONGEST)
            clock = Clock(driver, out, self.nodes is not None)
            while driver.poll() is None and clock.read() < moment:
                time.sleep(0.1)
            if driver.poll() is None:
                driver = self.kill(out, driver, moment, last=len(self.kills) + 1 >= kills)
                if len(self.kills) >= kills:
                    return False
        if driver.returncode:
            sys.exit(f"the study ended with {driver.returncode}: {out.with_suffix('.log').read_text()[-2000:]}")
        table = pl.read_parquet(out / TABLES[0])
        complete = table.filter(pl.col("status") == "complete")["run"]
        found = digests(out)
        self.studies.append(
            {
                "engine": self.engine,
                "precision": self.precision,
                "study": out.name,
                "runs": len(self.runs),
                "lost": len(set(self.runs) - set(complete)),
                "twice": int(table["run"].is_duplicated().sum()),
                "identical": {name: found[name] == self.expected[name] for name in TABLES},
            }
        )
        print(f"{out.name}: {json.dumps(self.studies[-1])}", flush=True)
        return True

    def kill(self, out: Path, driver: subprocess.Popen[bytes], moment: float, *, last: bool) -> subprocess.Popen[bytes]:
        """Kill something; the driver that goes on, a new one where it was the victim."""
        shares = {name: share for name, share in SHARES.items() if name != "node" or self.nodes}
        victim = "driver" if last else self.rng.choices(list(shares), list(shares.values()))[0]
        alive = workers(out) if victim == "worker" else []
        if victim == "worker" and not alive:
            victim = "driver"  # the sweep has not begun, or is done
        one = {"seed": self.seed, "engine": self.engine, "victim": victim, "after": round(moment, 3), "orphans": 0}
        one["runs_done"] = len(list((out / "runs").glob("*/run.json")))
        one["half_written"] = len(list((out / "runs").glob("*.part")))
        one["stage"] = stage(out)
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
            driver = driver if last else start(out, self.settings)
        self.kills.append(one)
        print(json.dumps(one), flush=True)
        return driver

    def stop(self) -> None:
        if self.nodes:
            self.nodes.stop()


def stage(out: Path) -> str:
    """How far a study's results go."""
    names = ("closed_loop.json", "closed_loop_plan.json", "optimum.json", "measurements", "plan.json", "tokens")
    return next((name for name in names if (out / name).exists()), "nothing yet")


def keep(storm: Storm) -> None:
    """Add to the results."""
    old = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"kills": [], "studies": []}
    new = {"studies": old["studies"] + storm.studies, "kills": old["kills"] + storm.kills}
    RESULTS.write_text(json.dumps(new, indent=1) + "\n")


def show() -> bool:
    """Totals of all that was kept; whether nothing was lost, done twice or changed."""
    found = json.loads(RESULTS.read_text())
    kills = Counter((one["engine"], one["victim"]) for one in found["kills"])
    print("| executor | killed | kills | while runs were there already | orphans |")
    print("|---|---|---|---|---|")
    for engine, victim in sorted(kills):
        own = [one for one in found["kills"] if (one["engine"], one["victim"]) == (engine, victim)]
        amid, orphans = sum(one["runs_done"] > 0 for one in own), sum(one["orphans"] for one in own)
        print(f"| {engine} | {victim} | {len(own)} | {amid} | {orphans} |")
    lost = sum(one["lost"] for one in found["studies"])
    twice = sum(one["twice"] for one in found["studies"])
    changed = sum(not all(one["identical"].values()) for one in found["studies"])
    orphans = sum(one["orphans"] for one in found["kills"])
    print(f"{len(found['kills'])} kills in {len(found['studies'])} studies that came to their end")
    print(f"runs lost {lost}, done twice {twice}, studies with other tables {changed}, orphans {orphans}")
    return not (lost or twice or changed or orphans)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["run", "show"], default="run")
    parser.add_argument("--engine", choices=["local", "ray"], default="local")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--folder", type=Path, help="where the studies are (default: a new folder)")
    arguments = parser.parse_args()
    if arguments.what == "run":
        with tempfile.TemporaryDirectory() as fresh:
            folder = arguments.folder or Path(fresh)
            folder.mkdir(parents=True, exist_ok=True)
            storm = Storm(folder, arguments.engine, arguments.seed, folder / "calm", arguments.precision)
            try:
                kills, ended = arguments.kills, True
                while ended:
                    out = folder / f"study-{len(list(folder.glob('study-*.done'))) + 1}"
                    ended = storm.study(out, kills)
                    if not ended and not arguments.folder:
                        ended, kills = storm.study(out, 0), 0
                    if ended:
                        out.with_suffix(".done").touch()
                    if not kills:
                        break
            finally:
                keep(storm)
                storm.stop()
    sys.exit(0 if show() else 1)


if __name__ == "__main__":
    main()
