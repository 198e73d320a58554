"""The program that an executor starts for a job: trains a stack of proxies and leaves their run directories.

``python -m glotmix.sweep.worker ORDER.json``. It ends with its driver: on Linux the kernel kills it, elsewhere a thread
watches. A lock on the order keeps an orphan that is still dying and its successor apart.
"""

from __future__ import annotations

import ctypes
import dataclasses
import fcntl
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glotmix.artifact import creating, open_artifact, read_json, write_json
from glotmix.config import ProxyConfig
from glotmix.errors import GlotmixError
from glotmix.mixture.design import PlannedRun
from glotmix.tokens.shards import open_store

if TYPE_CHECKING:
    from glotmix.proxy.guide import Guide
    from glotmix.proxy.loader import MixtureBatches
    from glotmix.proxy.model import Shape
    from glotmix.proxy.parallel import Team
    from glotmix.proxy.train import RunResult, StackRun
    from glotmix.proxy.watch import Watched

PR_SET_PDEATHSIG = 1


def main(order_path: Path) -> int:
    """Train the runs of one order; exit code 0, or that of the error whose message goes to the log."""
    die_with_driver()
    with open(order_path, encoding="utf-8") as lock:
        if os.environ.get("RANK", "0") == "0":  # one of a team holds it for all
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            work(read_json(order_path), order_path.with_suffix(".progress"))
        except GlotmixError as error:
            print(error, file=sys.stderr)
            return error.exit_code
    return 0


def work(order: Mapping[str, Any], progress: Path) -> None:
    """Train a stack and write one artifact per run; runs that a predecessor finished stay as they are."""
    from glotmix.proxy.loader import MixtureBatches
    from glotmix.proxy.model import Shape
    from glotmix.proxy.parallel import join, leave
    from glotmix.proxy.train import StackRun, steps_of, train_stack
    from glotmix.proxy.watch import Watched

    runs_directory = Path(order["runs_directory"])
    planned = [PlannedRun.from_json(run) for run in order["runs"]]
    runs = [
        StackRun(
            run.run,
            run.schedule,
            run.tokens,
            run.seed,
            run.weighting,
            None if run.adaptive is None else run.adaptive.make(run.seed),
        )
        for run in planned
    ]
    proxy = ProxyConfig.model_validate(order["proxy"])
    store = open_store(Path(order["store"]))
    shape, team = Shape.of(proxy, store.vocab_size), join(order.get("device", "cpu"))
    kept = progress.with_suffix(".checkpoints")
    final = {run.run: steps_of(run.tokens, proxy) for run in planned if run.keep}

    def checkpoint(run: str, step: int) -> Path | None:
        return kept / run / f"step-{step}" if proxy.keep_checkpoints or final.get(run) == step else None

    batches = MixtureBatches(store, runs, proxy, order["available"])
    held_out = {target: store.held_out(target) for target in order["targets"]}
    watched = Watched.of(held_out, batches, proxy.context) if order.get("watch") else None
    began = time.time()
    results = train_stack(
        runs,
        batches,
        shape,
        proxy,
        team=team,
        state=progress.with_suffix(".state"),
        checkpoint=checkpoint,
        held_out=watched.held_out if watched else held_out,
        trained_on=watched.trained_on if watched else None,
        guide=_guide(planned, runs, batches, shape, proxy, runs_directory, watched, team.device),
        end_of_document=store.end_of_document,
        on_step=_Reporter(progress),
    )
    leave()
    if not team.leads:
        return
    ended = time.time()
    for result in results:
        made_from = order["made_from"][result.run]
        if open_artifact(runs_directory / result.run, "run", made_from) is None:
            with creating(runs_directory / result.run, "run", made_from) as part:
                write_json(part / "run.json", _record(result))
                if (kept / result.run).is_dir():
                    shutil.copytree(kept / result.run, part / "checkpoints")
        told = speed(result, shape, proxy, team) | {"began": began, "ended": ended}
        print(f"{result.run}: {told['tokens_per_second']:,.0f} tokens/s, {told['mfu']:.0%} of the measured peak")
        write_json(progress.parent / "timings" / f"{result.run}.json", told)
    shutil.rmtree(kept, ignore_errors=True)
    progress.unlink(missing_ok=True)


def _guide(
    planned: Sequence[PlannedRun],
    runs: Sequence[StackRun],
    batches: MixtureBatches,
    shape: Shape,
    proxy: ProxyConfig,
    runs_directory: Path,
    watched: Watched | None,
    device: str,
) -> Guide | None:
    """What steers runs with loss weights or adaptive methods; None where there are none."""
    from glotmix.proxy.checkpoint import load_checkpoint
    from glotmix.proxy.guide import Guide
    from glotmix.proxy.train import steps_of

    if not any(run.is_guided for run in runs):
        return None
    references = {}
    for run in planned:
        if run.adaptive is not None and run.adaptive.reference:
            weights = runs_directory / run.adaptive.reference / "checkpoints" / f"step-{steps_of(run.tokens, proxy)}"
            references[run.run] = {name: tensor.to(device) for name, tensor in load_checkpoint(weights)[1].items()}
    development = watched.development if watched else None
    return Guide(runs, batches, shape, proxy, references=references, development=development)


def speed(result: RunResult, shape: Shape, proxy: ProxyConfig, team: Team) -> dict[str, float]:
    """Seconds of a run (its share of its stack's), tokens per second of its stack, and model FLOP utilisation."""
    from glotmix.proxy import flops, precision

    rate = result.D / result.seconds if result.seconds > 0 else 0.0
    kind = team.device.partition(":")[0]
    peak = flops.peak(kind, precision.dtype(proxy.precision, kind)) * team.size
    return {
        "seconds": result.seconds,
        "tokens_per_second": rate,
        "mfu": flops.utilisation(shape, proxy.context, rate, peak),
    }


def _record(result: RunResult) -> dict[str, Any]:
    """What a run measured. Without its seconds: the same run made twice is the same bytes."""
    record = dataclasses.asdict(result)
    del record["seconds"]
    if not record["guided"]:
        del record["guided"]
    return record


class _Reporter:
    """Writes the share done at most twice a second."""

    def __init__(self, path: Path):
        self.path, self.last = path, 0.0

    def __call__(self, step: int, steps: int) -> None:
        now = time.monotonic()
        if now - self.last > 0.5:
            self.last = now
            part = self.path.with_suffix(".progress.part")
            part.write_text(json.dumps({"share": step / steps}))
            part.replace(self.path)


def die_with_driver() -> None:
    """Arrange that this process is killed when the driver that started it dies, ``kill -9`` included."""
    driver = int(os.environ.get("GLOTMIX_DRIVER", "0"))
    if not driver:
        return
    if "WORLD_SIZE" in os.environ:  # torchrun stands between the driver and this process
        threading.Thread(target=_watch, args=(driver, _alive), daemon=True).start()
        return
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != driver:  # it died before the line above
        os._exit(1)
    threading.Thread(target=_watch, args=(driver, _is_parent), daemon=True).start()


def _is_parent(driver: int) -> bool:
    return os.getppid() == driver


def _alive(driver: int) -> bool:
    try:
        os.kill(driver, 0)
    except ProcessLookupError:
        return False
    return True


def _watch(driver: int, is_there: Callable[[int], bool]) -> None:
    while is_there(driver):
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
