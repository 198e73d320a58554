"""The program that an executor starts for a job: trains a stack of proxies and leaves their run directories.

``python -m glotmix.sweep.worker ORDER.json``. It ends with its driver; a lock on the order keeps an orphan that still
dies and its successor apart.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glotmix.artifact import creating, open_artifact, write_json, write_text
from glotmix.errors import BadInput, GlotmixError
from glotmix.mixture.design import PlannedRun
from glotmix.proxy.config import ProxyConfig
from glotmix.sweep.order import follow
from glotmix.tokens.opening import open_store
from glotmix.tokens.store import TokenStore

if TYPE_CHECKING:
    from glotmix.proxy.controller import MixtureController
    from glotmix.proxy.evaluation_texts import EvaluationTexts
    from glotmix.proxy.loader import MixtureBatches
    from glotmix.proxy.model import Shape
    from glotmix.proxy.parallel import Team
    from glotmix.proxy.run import RunResult, StackRun


def main(path: Path) -> int:
    """Train the runs of one order; exit code 0, or that of the error whose message goes to the log."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _Stop.ask)
    return follow(path, lambda order: work(order, path.with_suffix(".progress")))


def work(order: Mapping[str, Any], progress: Path) -> None:
    """Train a stack and write one artifact per run; runs that a predecessor finished stay as they are.

    Where the memory is too small for the stack it is trained in halves, one after the other.

    Raises:
        GlotmixError: not even one proxy fits, or a stack that several processes train together does not.
    """
    from glotmix.proxy.memory import free, is_out_of_memory
    from glotmix.proxy.parallel import join, leave

    store, team = open_store(Path(order["store"])), join(order.get("device", "cpu"))
    stacks = [[PlannedRun.from_json(run) for run in order["runs"]]]
    while stacks:
        stack = stacks.pop(0)
        try:
            _train(order, stack, store, team, progress)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(stack) == 1 or team.size > 1:
                what = "proxy" if len(stack) == 1 else f"stack of {len(stack)} over {team.size} processes"
                reason = (str(error) or type(error).__name__).splitlines()[0]
                raise GlotmixError(f"out of memory: not even one {what} fits ({reason})") from None
            half = len(stack) // 2
            stacks[:0] = [stack[:half], stack[half:]]
            print(f"out of memory with {len(stack)} proxies in a stack; going on with {half}", flush=True)
        free(team.device)
    leave()
    if team.leads:
        shutil.rmtree(progress.with_suffix(".checkpoints"), ignore_errors=True)
        progress.unlink(missing_ok=True)


def _train(
    order: Mapping[str, Any], planned: Sequence[PlannedRun], store: TokenStore, team: Team, progress: Path
) -> None:
    """Train some of an order's runs as one stack, unless all of them are done."""
    from glotmix.proxy.evaluation_texts import EvaluationTexts
    from glotmix.proxy.loader import MixtureBatches
    from glotmix.proxy.model import Shape
    from glotmix.proxy.run import StackRun, step_at, steps_of
    from glotmix.proxy.train import train_stack

    runs_directory = Path(order["runs_directory"])
    if all(_is_done(order, run.run) for run in planned):
        return
    runs = [StackRun.of(run) for run in planned]
    proxy = ProxyConfig.model_validate(order["proxy"])
    shape = Shape.of(proxy, store.vocab_size)
    kept = progress.with_suffix(".checkpoints")
    steps = steps_of(planned[0].tokens, proxy)
    final = {run.run: steps if run.part is None else step_at(run.part.end, steps) for run in planned if run.keep}

    def checkpoint(run: str, step: int) -> Path | None:
        return kept / run / f"step-{step}" if proxy.keep_checkpoints or final.get(run) == step else None

    batches = MixtureBatches(store, runs, proxy, order["available"])
    held_out = {target: store.held_out(target) for target in order["targets"]}
    watched = EvaluationTexts.of(held_out, batches, proxy.context) if order.get("watch") else None
    began = time.time()
    results = train_stack(
        runs,
        batches,
        shape,
        proxy,
        team=team,
        state=progress.with_suffix(".state"),
        checkpoint=checkpoint,
        with_optimiser=proxy.keep_checkpoints == "with_optimiser" or any(_is_begun(run) for run in planned),
        going_on=lambda run, step: checkpoint_of(runs_directory / run, step),
        held_out=watched.held_out if watched else held_out,
        trained_on=watched.trained_on if watched else None,
        base=_base(order, shape, team.device),
        guide=_guide(planned, runs, batches, shape, proxy, runs_directory, watched, team.device),
        end_of_document=store.end_of_document,
        stopping=_Stop.asked if team.size == 1 else None,
        on_step=_Reporter(progress, [run.run for run in runs]),
    )
    if not team.leads:
        return
    ended = time.time()
    for result in results:
        if not _is_done(order, result.run):
            with creating(runs_directory / result.run, "run", order["made_from"][result.run]) as part:
                # One line, so that polars reads all of them as JSON Lines: scan_ndjson("runs/*/run.json").
                write_text(part / "run.json", json.dumps(_record(result), allow_nan=False) + "\n")
                if (kept / result.run).is_dir():
                    shutil.copytree(kept / result.run, part / "checkpoints")
        told = speed(result, shape, proxy, team) | {"began": began, "ended": ended}
        print(f"{result.run}: {told['tokens_per_second']:,.0f} tokens/s, {told['mfu']:.0%} of the measured peak")
        write_json(progress.parent / "timings" / f"{result.run}.json", told)


def _is_begun(run: PlannedRun) -> bool:
    """Whether a run ends before its time, for others to go on from."""
    return run.part is not None and run.part.end < 1


def checkpoint_of(run: Path, step: int) -> Path:
    """Where a run's directory keeps its weights after ``step`` updates."""
    return run / "checkpoints" / f"step-{step}"


def _base(order: Mapping[str, Any], shape: Shape, device: str) -> dict[str, Any] | None:
    """Parameters that an order's runs go on from; None for random weights."""
    from glotmix.proxy.checkpoint import load_checkpoint

    if order.get("base") is None:
        return None
    theirs, parameters = load_checkpoint(Path(order["base"]))
    if dataclasses.replace(theirs, context=shape.context) != shape:
        raise BadInput(f"is of shape {theirs}", where=order["base"], expected=f"that of the proxies, {shape}")
    return {name: tensor.to(device) for name, tensor in parameters.items()}


def _is_done(order: Mapping[str, Any], run: str) -> bool:
    return open_artifact(Path(order["runs_directory"]) / run, "run", order["made_from"][run]) is not None


def _guide(
    planned: Sequence[PlannedRun],
    runs: Sequence[StackRun],
    batches: MixtureBatches,
    shape: Shape,
    proxy: ProxyConfig,
    runs_directory: Path,
    watched: EvaluationTexts | None,
    device: str,
) -> MixtureController | None:
    """What steers runs with loss weights or adaptive methods, or that learn translations; None where there are none."""
    from glotmix.proxy.checkpoint import load_checkpoint
    from glotmix.proxy.controller import MixtureController
    from glotmix.proxy.run import steps_of

    if not any(run.is_guided for run in runs) and batches.targets is None:
        return None
    references = {}
    for run in planned:
        if run.adaptive is not None and run.adaptive.reference:
            weights = checkpoint_of(runs_directory / run.adaptive.reference, steps_of(run.tokens, proxy))
            references[run.run] = {name: tensor.to(device) for name, tensor in load_checkpoint(weights)[1].items()}
    development = watched.development if watched else None
    return MixtureController(runs, batches, shape, proxy, references=references, development=development)


def speed(result: RunResult, shape: Shape, proxy: ProxyConfig, team: Team) -> dict[str, float]:
    """Seconds of a run (its share of its stack's), tokens per second of its stack, and model FLOP utilisation."""
    from glotmix.proxy import flops, precision

    rate = result.D / result.seconds if result.seconds > 0 else 0.0
    kind = team.device.partition(":")[0]
    peak = flops.peak(kind, precision.dtype(result.precision)) * team.size
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


class _Stop:
    """Whether a signal asked this process to end: the first one lets it save its state, the second ends it."""

    _asked = False

    @classmethod
    def ask(cls, number: int, frame: object) -> None:
        """Handle a signal."""
        if cls._asked:
            sys.exit(128 + number)
        cls._asked = True

    @classmethod
    def asked(cls) -> bool:
        """Whether one came."""
        return cls._asked


class _Reporter:
    """Writes the share done and the training losses at most twice a second."""

    def __init__(self, path: Path, runs: Sequence[str]):
        self.path, self.runs, self.last = path, runs, 0.0

    def __call__(self, step: int, steps: int, loss_K: Any) -> None:
        now = time.monotonic()
        if now - self.last > 0.5:
            self.last = now
            losses = dict(zip(self.runs, loss_K.tolist(), strict=True))
            finite = {run: loss for run, loss in losses.items() if math.isfinite(loss)}
            part = self.path.with_suffix(".progress.part")
            part.write_text(json.dumps({"share": step / steps, "nats": finite}))
            part.replace(self.path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
