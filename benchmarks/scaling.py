"""What a sweep of 10,000 runs costs its driver, and how it scales: measured at 1 and 2 workers, simulated beyond.

    python benchmarks/scaling.py overhead                 # driver at 10,000 runs that take no time; tables; status
    python benchmarks/scaling.py measure                  # real proxies with 1 and 2 workers
    python benchmarks/scaling.py simulate [STUDY]         # 1 … 512 workers, from the run times of a finished study,
                                                          # those that are kept unless one is given
    python benchmarks/scaling.py show

The simulation is the sweep's own order of events: jobs go to the next free worker, the driver starts and ends them one
after the other (its measured cost each) and looks every 0.2 s, a job that died is tried again when the others are done.
One run in a hundred takes three times as long, one in fifty dies half way on average. benchmarks/results/scaling.json
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from glotmix.artifact import creating, read_json, write_json
from glotmix.measurements import from_tables, read_runs
from glotmix.mixture.design import PlannedRun
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.proxy.config import ProxyConfig
from glotmix.sweep.executors.executor import Executor, Job, JobEnd
from glotmix.sweep.executors.local import LocalExecutor
from glotmix.sweep.sweep import SweepSpec, run_sweep, tables, write_tables

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/scaling.json"
LANGUAGES = ("spa_Latn", "fra_Latn", "deu_Latn", "rus_Cyrl")
FSYNC = os.fsync
POLL = 0.2
STRAGGLERS, SLOWER = 0.01, 3.0
DEATHS = 0.02


def planned(count: int, tokens: int = 8000) -> list[PlannedRun]:
    """Runs over random mixtures."""
    rng = random.Random(0)
    mixtures = (Mixture.normalised({name: rng.random() for name in LANGUAGES}) for _ in range(count))
    return [PlannedRun(f"swarm-{i:05d}-s0", "swarm", Schedule.constant(m), tokens, 0) for i, m in enumerate(mixtures)]


def spec_in(folder: Path, store: Path, store_fingerprint: str, proxy: ProxyConfig, stack: int) -> SweepSpec:
    return SweepSpec(
        directory=folder,
        store=store,
        store_fingerprint=store_fingerprint,
        proxy=proxy,
        available=dict.fromkeys(LANGUAGES, 100),
        targets=LANGUAGES,
        stack=stack,
    )


class Instant(Executor):
    """Every run is there at once; what that takes is a worker's time and not the driver's."""

    workers = 1

    def __init__(self) -> None:
        self.seconds = self.wall = 0.0

    def run(self, jobs: Sequence[Job], tick: Callable[[], None]) -> Iterator[JobEnd]:
        for job in jobs:
            began, wall = time.process_time(), time.perf_counter()
            os.fsync = lambda file: None  # a worker's disk is not what is measured
            order = read_json(Path(job.command[-1]))
            for run in order["runs"]:
                losses = [
                    {
                        "step": 62,
                        "tokens": 8000,
                        "language": name,
                        "metric": metric,
                        "value": 1.0 + len(run["run"]) / 99,
                    }
                    for name in LANGUAGES
                    for metric in ("nats", "bpb")
                ]
                record = {"run": run["run"], "status": "complete", "reason": "", "N": 9e3, "D": 8e3, "C": 4e8}
                directory = Path(order["runs_directory"]) / run["run"]
                with creating(directory, "run", order["made_from"][run["run"]]) as part:
                    (part / "run.json").write_text(json.dumps(record | {"losses": losses}) + "\n")
            self.seconds += time.process_time() - began
            self.wall += time.perf_counter() - wall
            os.fsync = FSYNC
            yield JobEnd(job, 0, "")
            tick()


def overhead(runs: int) -> dict:
    """CPU seconds of the driver, run by run, and of what reads all runs afterwards."""
    from glotmix.study.status import status_of

    plan = planned(runs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec = spec_in(folder, folder / "tokens", "0" * 16, ProxyConfig(), 1)
        (folder / "study.json").write_text("{}")
        write_json(folder / "plan.json", [run.to_json() for run in plan])
        found: dict[str, float] = {"runs": runs}
        executor = Instant()
        wall, began = time.perf_counter(), time.process_time()
        assert run_sweep(plan, spec, executor, progress=lambda tally: None) == {}
        found["sweep_ms_per_run"] = 1e3 * (time.process_time() - began - executor.seconds) / runs
        found["sweep_wall_ms_per_run"] = 1e3 * (time.perf_counter() - wall - executor.wall) / runs

        def timed(what: str, do: Callable[[], object]) -> object:
            began = time.process_time()
            result = do()
            found[f"{what}_seconds"] = time.process_time() - began
            return result

        timed("resume", lambda: run_sweep(plan, spec, executor, progress=lambda tally: None))
        both = timed("tables", lambda: tables(plan, spec, {}))
        timed("write_tables", lambda: write_tables(folder, *both))
        assert len(timed("measurements", lambda: from_tables(*both))) == runs
        assert len(timed("read_runs", lambda: read_runs(folder))) == runs
        timed("status", lambda: status_of(folder))
    return found


def measure(runs: int) -> dict:
    """Seconds of a sweep of real proxies with one and with two workers, and CPU seconds: the cores may be shared."""
    import resource

    from glotmix.corpus.config import CorpusConfig
    from glotmix.corpus.readers.reader import open_reader
    from glotmix.tokens.build import build_store
    from glotmix.tokens.config import TokensConfig

    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reader = open_reader(CorpusConfig(bytes_per_language=100_000), LANGUAGES, folder)
        store = build_store(folder / "tokens", reader, LANGUAGES, TokensConfig(vocab_size=500), 0.1)
        proxy = ProxyConfig(width=48, layers=2, heads=2, context=64, batch=8)
        for workers in (1, 2):
            out = folder / f"w{workers}"
            spec = spec_in(out, store.directory, store.fingerprint, proxy, 2)
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            assert run_sweep(planned(runs, 400_000), spec, LocalExecutor(workers)) == {}
            seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            found[str(workers)] = {"seconds": seconds, "cpu_seconds": cpu, "runs": runs}
    return found


def simulated(seconds: Sequence[float], runs: int, workers: int, driver: float, rng: random.Random) -> dict:
    """One sweep: makespan, and the share of the workers' time that is not waste."""
    lengths = [rng.choice(seconds) * (SLOWER if rng.random() < STRAGGLERS else 1.0) for _ in range(runs)]
    now, useful, died = 0.0, sum(lengths), 0
    jobs, again = list(range(runs)), list[int]()
    while jobs:  # one attempt
        busy: list[tuple[float, int, bool]] = []
        jobs.reverse()
        while jobs or busy:
            while jobs and len(busy) < workers:
                job = jobs.pop()
                now += driver / 2
                dies = rng.random() < DEATHS
                heapq.heappush(busy, (now + lengths[job] * (rng.random() if dies else 1.0), job, dies))
            now = max(now, POLL * -(-busy[0][0] // POLL))  # the next look at which one has ended
            while busy and busy[0][0] <= now:
                _, job, dies = heapq.heappop(busy)
                now += driver / 2
                died += dies
                if dies:
                    again.append(job)
        jobs, again = again, []
    return {"workers": workers, "seconds": now, "efficiency": useful / (now * workers), "deaths": died}


def run_seconds(study: Path) -> list[float]:
    """Seconds of every run of a finished study."""
    return [read_json(path)["seconds"] for path in sorted((study / "jobs" / "timings").glob("*.json"))]


def simulate(seconds: Sequence[float], runs: int, driver: float) -> dict:
    """1 to 512 workers."""
    sweeps = []
    for workers in (1, 2, 8, 64, 512):
        sweeps.append(simulated(seconds, runs, workers, driver, random.Random(workers)))
    for sweep in sweeps:
        sweep["speedup"] = sweeps[0]["seconds"] / sweep["seconds"]
    return {"run_seconds": list(seconds), "runs": runs, "driver_seconds_per_run": driver, "sweeps": sweeps}


def show(found: dict) -> None:
    """What was found, for people."""
    if one := found.get("overhead"):
        cpu, wall = one["sweep_ms_per_run"], one["sweep_wall_ms_per_run"]
        print(f"driver: {cpu:.1f} ms of CPU and {wall:.1f} ms in all per run, at {one['runs']:,} runs; afterwards:")
        print("  " + ", ".join(f"{k.removesuffix('_seconds')} {v:.1f} s" for k, v in one.items() if "seconds" in k))
    print("| workers | runs | hours | times as fast as one | of the workers' time, training that counts |")
    print("|---|---|---|---|---|")
    rows = {f"{workers} | {one['runs']}, measured": one for workers, one in found.get("measured", {}).items()}
    simulation = found.get("simulated", {"sweeps": []})
    rows |= {f"{one['workers']} | {simulation['runs']:,}, simulated": one for one in simulation["sweeps"]}
    for name, one in rows.items():
        alone = next(other["seconds"] for first, other in rows.items() if first == f"1 |{name.partition('|')[2]}")
        counts = f"{one['efficiency']:.1%}" if "efficiency" in one else f"{one['cpu_seconds']:.0f} s of processors"
        print(f"| {name} | {one['seconds'] / 3600:.2f} | {alone / one['seconds']:.1f} | {counts} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["overhead", "measure", "simulate", "show"])
    parser.add_argument("study", nargs="?", type=Path)
    parser.add_argument("--runs", type=int)
    arguments = parser.parse_args()
    found = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    if arguments.what == "overhead":
        found["overhead"] = overhead(arguments.runs or 10_000)
    elif arguments.what == "measure":
        found["measured"] = measure(arguments.runs or 16)
    elif arguments.what == "simulate":
        seconds = run_seconds(arguments.study) if arguments.study else found.get("simulated", {}).get("run_seconds")
        if not seconds or "overhead" not in found:
            parser.error("simulate needs a finished study, and the overhead to be measured first")
        driver = found["overhead"]["sweep_wall_ms_per_run"] / 1e3
        found["simulated"] = simulate(seconds, arguments.runs or 10_000, driver)
    if arguments.what != "show":
        RESULT.write_text(json.dumps(found, indent=1) + "\n")
    show(found)


if __name__ == "__main__":
    main()
