"""Train a stack of proxies, each on its own mixture, schedule, seed and data order."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from glotmix.errors import BadInput, Stopped
from glotmix.mixture.part import WHOLE
from glotmix.proxy import flops, precision
from glotmix.proxy.checkpoint import digest, load_into, load_state, save_checkpoint, save_optimiser, save_state
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.evaluate import Evaluation, EvaluationText
from glotmix.proxy.model import Shape
from glotmix.proxy.parallel import Team
from glotmix.proxy.run import Batches, LossRow, RunResult, StackRun, learning_rate, step_at, steps_of
from glotmix.proxy.stack import Stack

if TYPE_CHECKING:
    from glotmix.proxy.controller import MixtureController


@dataclass
class _Member:
    """What is known of one member while the stack trains."""

    losses: list[LossRow] = field(default_factory=list)
    reason: str = ""
    steps: int = 0


def train_stack(
    runs: Sequence[StackRun],
    batches: Batches,
    shape: Shape,
    training: ProxyConfig,
    *,
    held_out: Mapping[str, EvaluationText] | None = None,
    trained_on: Mapping[str, EvaluationText] | None = None,
    base: Mapping[str, torch.Tensor] | None = None,
    guide: MixtureController | None = None,
    end_of_document: int = 0,
    device: str = "cpu",
    team: Team | None = None,
    state: Path | None = None,
    state_every: float = 60.0,
    stopping: Callable[[], bool] | None = None,
    checkpoint: Callable[[str, int], Path | None] | None = None,
    with_optimiser: bool = False,
    going_on: Callable[[str, int], Path] | None = None,
    on_start: Callable[[Stack], None] | None = None,
    on_batch: Callable[[Stack, int, torch.Tensor, float], None] | None = None,
    on_step: Callable[[int, int, torch.Tensor], None] | None = None,
) -> list[RunResult]:
    """Train the runs side by side as one program.

    Args:
        runs: members of the stack; all with the same number of steps (see :func:`steps_of`).
        batches: token ids [B, T + 1] for ``(run_index, step)``; see :mod:`glotmix.proxy.loader`.
        shape: the proxies' shape.
        training: batch, context, learning rate and the rest.
        held_out: language to held-out text; None measures nothing.
        trained_on: language to training text that is measured beside it, for the gap between the two.
        base: parameters, [1, ...], that all runs go on from; held-out losses are then measured before the first step
            too. None for random weights.
        guide: steers the runs that have loss weights or an adaptive method (:mod:`glotmix.proxy.controller`).
        end_of_document: token that each held-out stream is predicted from.
        device: torch device.
        team: the processes that share the work, this one among them (:mod:`glotmix.proxy.parallel`); every process
            gets the whole result, and only the leading one writes files. Default: this process alone.
        state: file for the state in mid-run. Where one made by the same runs is found, training resumes from it bit for
            bit; it is deleted at the end.
        state_every: seconds between two states.
        stopping: asked after every update; once it says so the state is saved and the training ends.
        checkpoint: where to keep the weights of ``(run, step)``, or None not to; asked at every evaluation, and where
            the part of a run ends that is trained.
        with_optimiser: whether AdamW's moments are kept with the weights.
        going_on: the kept checkpoint, with its optimiser, of ``(run, step)`` that runs of which only a part is trained
            go on from.
        on_start: called with the stack before its first step (to load weights, say); what it writes into the master
            weights counts.
        on_batch: called between backward pass and update with (stack, step from 0, token ids [K, B, S], learning rate);
            it must leave the stack as it is (:mod:`glotmix.attribution.inrun`).
        on_step: called with (updates made, updates in all, training losses [K] before the update) after every update;
            reading the losses waits for the device.

    Returns:
        One result per run, in order. A run whose loss is no longer finite is marked "diverged" and taken out; the
        others go on as if it had never been there.

    Raises:
        BadInput: no runs, or runs with different numbers of steps or restarts; guided runs without a guide; a batch
            does not part over the team.
        Stopped: ``stopping`` said so, and the state is saved.
    """
    steps, spans = _common_steps(runs, training), _common_spans(runs, training)
    begin, end = _common_part(runs, steps)
    team = team or Team(device=device)
    _check_guided(runs, guide)
    device = team.device
    training = precision.decided(training, shape, device)
    stack = Stack(
        shape,
        [run.seed for run in runs],
        dtype=precision.dtype(training.precision),
        device=device,
        recompute=training.recompute_activations,
    )
    evaluation, watched = (
        Evaluation(texts, training.context, end_of_document=end_of_document, device=device) if texts else None
        for texts in (held_out, trained_on)
    )
    members = [_Member() for _ in runs]
    clock = _Clock()
    made_from = _made_from(runs, batches, training, held_out, base)
    first = _resume(state, stack, members, clock, made_from, guide)
    if begin and not first:
        if going_on is None:
            raise BadInput(f"run {runs[0].run} begins at step {begin}", expected="a checkpoint to go on from")
        for k, run in enumerate(runs):
            load_into(stack, k, going_on(run.part.after, begin))
        first = begin
    if base is not None and first == 0:
        stack.set({name: tensor.expand(stack.K, *tensor.shape[1:]) for name, tensor in base.items()})
        if evaluation is not None:
            _measure_base(evaluation, stack, members)
    if on_start is not None and first == 0:
        on_start(stack)
        stack.cast()
    measure_at = {math.ceil(steps * (i + 1) / training.evaluations) for i in range(training.evaluations)} | {end}
    per_step = training.batch * training.context
    watch = _Watch(members, stack)
    ahead = guide is None  # what a guided run reads next depends on this step
    for step, tokens_KBS in _ahead(batches, len(runs), range(first, end), stack.device, ahead):
        if guide is None:
            loss_K = team.mean_(stack.backward(team.part(tokens_KBS)))
        else:
            loss_K = guide.backward(stack, step, tokens_KBS, team)
        watch.losses(step, loss_K, last=step + 1 in measure_at)
        if all(member.reason for member in members):
            break
        team.mean_(stack.gradient_KP)
        begun, ends = next(span for span in spans if step < span[1])
        if step == begun > 0:
            stack.restart()
        rate = learning_rate(step - begun, ends - begun, training)
        if on_batch is not None:
            on_batch(stack, step, tokens_KBS, rate)
        stack.step(step + 1 - begun, rate, training.weight_decay, training.clip)
        if step + 1 in measure_at:
            if evaluation is not None:
                _measure(evaluation, stack, members, step + 1, per_step)
            if watched is not None:
                _watch_training(watched, stack, members, batches, step + 1, per_step)
            wanted = checkpoint if team.leads else None
            _keep(wanted, runs, members, stack, step + 1, end_of_document, with_optimiser)
        if on_step is not None and team.leads:
            on_step(step + 1, steps, loss_K)
        stop = stopping is not None and stopping()
        due = stop or clock.since_saved() >= state_every
        if state is not None and team.leads and step + 1 < end and due:
            watch.read()
            progress = {"step": step + 1, "seconds": clock.seconds(), "members": [asdict(m) for m in members]}
            progress |= {} if guide is None else {"guide": guide.state()}
            save_state(state, stack, made_from, progress)
            clock.saved()
            if stop:
                raise Stopped(f"stopped after {step + 1} of {steps} updates; training resumes from {state}")
    if state is not None and team.leads:
        state.unlink(missing_ok=True)
    return [
        _result(run, member, k, begin, batches, shape, training, clock.seconds() / len(runs), guide)
        for k, (run, member) in enumerate(zip(runs, members, strict=True))
    ]


def _result(
    run: StackRun,
    member: _Member,
    k: int,
    begin: int,
    batches: Batches,
    shape: Shape,
    training: ProxyConfig,
    seconds: float,
    guide: MixtureController | None,
) -> RunResult:
    per_step = training.batch * training.context
    D, trained = member.steps * per_step, max(member.steps - begin, 0) * per_step
    count = getattr(batches, "tokens_by_language", None)
    return RunResult(
        run.run,
        "diverged" if member.reason else "complete",
        member.reason,
        shape.N,
        D,
        trained * flops.per_token(shape, training.context) + (guide.flops(k) if guide else 0.0),
        {} if count is None else dict(count(k, member.steps)),
        tuple(member.losses),
        seconds,
        training.precision,
        guide.record(k) if guide else {},
    )


class _Clock:
    """Wall time of the training, over interruptions."""

    def __init__(self) -> None:
        self._before, self._began = 0.0, time.perf_counter()
        self._saved = self._began

    def seconds(self) -> float:
        return self._before + time.perf_counter() - self._began

    def go_on_from(self, seconds: float) -> None:
        self._before = seconds

    def since_saved(self) -> float:
        return time.perf_counter() - self._saved

    def saved(self) -> None:
        self._saved = time.perf_counter()


class _Watch:
    """Notices members that diverge. A GPU is asked now and then only, since every answer stops its queue."""

    def __init__(self, members: list[_Member], stack: Stack):
        self._members, self._stack = members, stack
        self._first_bad_K = torch.full((stack.K,), -1, device=stack.device)
        self._every = 1 if stack.device.type == "cpu" else 50
        self._step = -1

    def losses(self, step: int, loss_K: torch.Tensor, *, last: bool) -> None:
        """The training losses of a step, before its update."""
        bad = ~torch.isfinite(loss_K) & (self._first_bad_K < 0)
        self._first_bad_K = torch.where(bad, step, self._first_bad_K)
        self._step = step
        if last or step % self._every == 0:
            self.read()

    def read(self) -> None:
        for k, (member, bad) in enumerate(zip(self._members, self._first_bad_K.tolist(), strict=True)):
            if member.reason:
                continue
            if bad >= 0:
                member.reason, member.steps = f"training loss not finite at step {bad}", bad
                self._stack.freeze(k)
            else:
                member.steps = self._step + 1


def _ahead(
    batches: Batches, K: int, steps: range, device: torch.device, ahead: bool
) -> Iterator[tuple[int, torch.Tensor]]:
    """(step, token ids [K, B, S]); beside a GPU a thread assembles the next while this one is trained on.

    On a CPU every core trains already: the thread would take its time from the training.
    """

    def assemble(step: int) -> torch.Tensor:
        return torch.from_numpy(np.stack([batches(k, step) for k in range(K)]).astype(np.int64, copy=False))

    if device.type == "cpu" or not ahead:
        for step in steps:
            yield step, assemble(step).to(device)
        return
    with ThreadPoolExecutor(1) as thread:
        coming = [thread.submit(assemble, step) for step in steps[:1]]
        for step in steps:
            tokens_KBS = coming.pop().result()
            if device.type == "cuda":
                tokens_KBS = tokens_KBS.pin_memory()
            if step + 1 < steps.stop:
                coming.append(thread.submit(assemble, step + 1))
            yield step, tokens_KBS.to(device, non_blocking=True)


def _common_steps(runs: Sequence[StackRun], training: ProxyConfig) -> int:
    if not runs:
        raise BadInput("no runs to train")
    steps = {steps_of(run.tokens, training): run.run for run in runs}
    if len(steps) > 1:
        (a, one), (b, other) = list(steps.items())[:2]
        raise BadInput(f"runs {one} and {other} have {a} and {b} steps", expected="equal numbers of steps in a stack")
    return next(iter(steps))


def _common_spans(runs: Sequence[StackRun], training: ProxyConfig) -> list[tuple[int, int]]:
    """First step and end of every span that has a learning-rate schedule of its own: one, without restarts."""
    if len(restarts := {run.restarts: run.run for run in runs}) > 1:
        (a, one), (b, other) = list(restarts.items())[:2]
        raise BadInput(f"runs {one} and {other} restart at {a} and {b}", expected="equal restarts in a stack")
    steps = _common_steps(runs, training)
    edges = sorted({0, *(round(start * steps) for start in next(iter(restarts))), steps})
    return list(itertools.pairwise(edges))


def _common_part(runs: Sequence[StackRun], steps: int) -> tuple[int, int]:
    """First step and end of what is trained of the runs: all of them, as a rule."""
    parts = {(step_at(run.part.begin, steps), step_at(run.part.end, steps)): run for run in runs}
    if len(parts) > 1:
        (a, one), (b, other) = list(parts.items())[:2]
        raise BadInput(f"of runs {one.run} and {other.run} steps {a} and {b}", expected="equal parts in a stack")
    (begin, end), run = next(iter(parts.items()))
    if not 0 <= begin < end <= steps:
        raise BadInput(f"steps {begin} to {end} of {steps}", where=run.run, expected="a part of the run with a step")
    if (begin or end < steps) and (run.is_guided or run.restarts):
        raise BadInput("a part of a run that is guided or restarts", where=run.run, expected="a plain run")
    return begin, end


def _check_guided(runs: Sequence[StackRun], guide: MixtureController | None) -> None:
    guided = [run.run for run in runs if run.is_guided]
    if guided and guide is None:
        raise BadInput(f"run {guided[0]} has loss weights or an adaptive method", expected="a guide")


def _made_from(
    runs: Sequence[StackRun],
    batches: Batches,
    training: ProxyConfig,
    held_out: Mapping[str, EvaluationText] | None,
    base: Mapping[str, torch.Tensor] | None,
) -> dict[str, Any]:
    """What a state in mid-run must agree on for training to resume from it."""
    return ({} if base is None else {"base": digest(base)}) | {
        "runs": [
            [run.run, run.schedule.to_json(), run.tokens, run.seed]
            + ([dict(run.weighting or {}), run.adaptive.name if run.adaptive else ""] if run.is_guided else [])
            + ([] if run.part == WHOLE else [run.part.to_json()])
            for run in runs
        ],
        "training": training.model_dump(exclude={"base", "size", "recompute_activations", "precision"}),
        "data": getattr(batches, "fingerprint", None),
        "held_out": {language: [len(text.tokens), text.bytes] for language, text in (held_out or {}).items()},
    }


def _resume(
    state: Path | None,
    stack: Stack,
    members: list[_Member],
    clock: _Clock,
    made_from: Mapping[str, Any],
    guide: MixtureController | None,
) -> int:
    """The step to go on from: 0 where there is no state of these runs."""
    progress = None if state is None else load_state(state, stack, made_from)
    if progress is None:
        return 0
    for member, stored in zip(members, progress["members"], strict=True):
        member.losses = [LossRow(**row) for row in stored["losses"]]
        member.reason, member.steps = stored["reason"], stored["steps"]
    if guide is not None:
        guide.restore(progress["guide"])
    clock.go_on_from(progress["seconds"])
    return int(progress["step"])


def _measure(evaluation: Evaluation, stack: Stack, members: list[_Member], step: int, per_step: int) -> None:
    nats_KL = evaluation.losses(stack.master, stack.shape)
    for k, member in enumerate(members):
        if member.reason:
            continue
        if not np.isfinite(nats_KL[k]).all():
            member.reason = f"held-out loss not finite at step {step}"
            stack.freeze(k)
            continue
        member.losses += _rows(evaluation, nats_KL[k], step, step * per_step)


def _measure_base(evaluation: Evaluation, stack: Stack, members: list[_Member]) -> None:
    """Losses of what all members go on from: measured once, so that they are the same in any company."""
    nats_KL = evaluation.losses({name: tensor[:1] for name, tensor in stack.master.items()}, stack.shape)
    if not np.isfinite(nats_KL).all():
        raise BadInput("its held-out losses are not finite", where="proxy.base")
    for member in members:
        member.losses += _rows(evaluation, nats_KL[0], 0, 0)


def _rows(evaluation: Evaluation, nats_L: np.ndarray, step: int, tokens: int) -> list[LossRow]:
    bpb_L = evaluation.bits_per_byte(nats_L)
    return [
        LossRow(step, tokens, language, metric, float(values_L[i]))
        for i, language in enumerate(evaluation.languages)
        for metric, values_L in (("nats", nats_L), ("bpb", bpb_L))
    ]


def _watch_training(
    evaluation: Evaluation, stack: Stack, members: list[_Member], batches: Batches, step: int, per_step: int
) -> None:
    """Losses on text that is trained on, and how much of each language has been read."""
    nats_KL = evaluation.losses(stack.master, stack.shape)
    count = getattr(batches, "tokens_by_language", None)
    for k, member in enumerate(members):
        if member.reason:
            continue
        seen = count(k, step) if count else {}
        for i, language in enumerate(evaluation.languages):
            member.losses.append(LossRow(step, step * per_step, language, "train", float(nats_KL[k, i])))
            if language in seen:
                member.losses.append(LossRow(step, step * per_step, language, "seen", float(seen[language])))


def _keep(
    checkpoint: Callable[[str, int], Path | None] | None,
    runs: Sequence[StackRun],
    members: list[_Member],
    stack: Stack,
    step: int,
    end_of_document: int,
    with_optimiser: bool,
) -> None:
    """Write the weights that are asked for."""
    if checkpoint is None:
        return
    for k, (run, member) in enumerate(zip(runs, members, strict=True)):
        directory = None if member.reason else checkpoint(run.run, step)
        if directory is not None:
            save_checkpoint(directory, stack.master, stack.shape, k=k, end_of_document=end_of_document)
            if with_optimiser:
                save_optimiser(directory, stack, k)
