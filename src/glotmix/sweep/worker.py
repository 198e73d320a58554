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
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glotmix.artifact import creating, open_artifact, read_json, write_json
from glotmix.config import ProxyConfig
from glotmix.errors import GlotmixError
from glotmix.mixture.design import PlannedRun
from glotmix.tokens.shards import open_store

if TYPE_CHECKING:
    from glotmix.proxy.train import RunResult

PR_SET_PDEATHSIG = 1


def main(order_path: Path) -> int:
    """Train the runs of one order; exit code 0, or that of the error whose message goes to the log."""
    die_with_driver()
    with open(order_path, encoding="utf-8") as lock:
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
    from glotmix.proxy.train import StackRun, train_stack

    runs_directory = Path(order["runs_directory"])
    planned = [PlannedRun.from_json(run) for run in order["runs"]]
    runs = [StackRun(run.run, run.schedule, run.tokens, run.seed) for run in planned]
    proxy = ProxyConfig.model_validate(order["proxy"])
    store = open_store(Path(order["store"]))
    results = train_stack(
        runs,
        MixtureBatches(store, runs, proxy, order["available"]),
        Shape.of(proxy, store.vocab_size),
        proxy,
        held_out={target: store.held_out(target) for target in order["targets"]},
        end_of_document=store.end_of_document,
        on_step=_Reporter(progress),
    )
    for result in results:
        made_from = order["made_from"][result.run]
        if open_artifact(runs_directory / result.run, "run", made_from) is None:
            with creating(runs_directory / result.run, "run", made_from) as part:
                write_json(part / "run.json", _record(result))
        write_json(progress.parent / "timings" / f"{result.run}.json", {"seconds": result.seconds})
    progress.unlink(missing_ok=True)


def _record(result: RunResult) -> dict[str, Any]:
    """What a run measured. Without its seconds: the same run made twice is the same bytes."""
    record = dataclasses.asdict(result)
    del record["seconds"]
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
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != driver:  # it died before the line above
        os._exit(1)
    threading.Thread(target=_watch, args=(driver,), daemon=True).start()


def _watch(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
