"""Train a stack of proxies, each on its own mixture, schedule, seed and data order."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from glotmix.config import ProxyConfig
from glotmix.errors import BadInput
from glotmix.mixture.schedule import Schedule
from glotmix.proxy import flops
from glotmix.proxy.evaluate import Evaluation, HeldOut
from glotmix.proxy.model import Shape
from glotmix.proxy.stack import Stack


@dataclass(frozen=True)
class StackRun:
    """One planned run: a member of a stack."""

    run: str
    """Its name."""
    schedule: Schedule
    """Mixture over training."""
    tokens: int
    """Training tokens D."""
    seed: int
    """Seed of the initial weights and of the data order."""


@dataclass(frozen=True)
class LossRow:
    """One number of the losses table."""

    step: int
    """Updates made before the measurement."""
    tokens: int
    """Training tokens seen before the measurement."""
    language: str
    """Language of the held-out text."""
    metric: str
    """"nats" per token or "bpb", bits per byte."""
    value: float
    """The loss."""


@dataclass(frozen=True)
class RunResult:
    """What became of one run."""

    run: str
    """Its name."""
    status: str
    """"complete" or "diverged"."""
    reason: str
    """Why it diverged; empty otherwise."""
    N: int
    """Parameters without embeddings."""
    D: int
    """Training tokens really seen."""
    C: float
    """Training compute in FLOPs."""
    tokens: Mapping[str, int]
    """Training tokens of each language."""
    losses: tuple[LossRow, ...]
    """Held-out losses over the run, the last ones at its end."""
    seconds: float
    """Wall time of the run's share of its stack."""


class Batches(Protocol):
    """Where training data comes from: token ids [B, T + 1] for a run of the stack and a step, in any order."""

    def __call__(self, run_index: int, step: int) -> np.ndarray: ...


@dataclass
class _Member:
    """What is known of one member while the stack trains."""

    losses: list[LossRow] = field(default_factory=list)
    reason: str = ""
    steps: int = 0


def steps_of(tokens: float, training: ProxyConfig) -> int:
    """Updates of a run of ``tokens`` training tokens: whole batches, at least one."""
    return max(1, round(tokens / (training.batch * training.context)))


def learning_rate(step: int, steps: int, training: ProxyConfig) -> float:
    """Rate of update ``step`` (from 0): linear warm-up, then a cosine to ``final_learning_rate`` of the peak."""
    warmup = math.ceil(training.warmup * steps)
    if step < warmup:
        return training.learning_rate * (step + 1) / warmup
    progress = (step - warmup + 1) / max(1, steps - warmup)
    low = training.final_learning_rate
    return training.learning_rate * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * progress)))


def train_stack(
    runs: Sequence[StackRun],
    batches: Batches,
    shape: Shape,
    training: ProxyConfig,
    *,
    held_out: Mapping[str, HeldOut] | None = None,
    end_of_document: int = 0,
    device: str = "cpu",
    on_start: Callable[[Stack], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> list[RunResult]:
    """Train the runs side by side as one program.

    Args:
        runs: members of the stack; all with the same number of steps (see :func:`steps_of`).
        batches: token ids [B, T + 1] for ``(run_index, step)``; see :mod:`glotmix.proxy.loader`.
        shape: the proxies' shape.
        training: batch, context, learning rate and the rest.
        held_out: language to held-out text; None measures nothing.
        end_of_document: token that each held-out stream is predicted from.
        device: torch device.
        on_start: called with the stack before the first step (to load weights, say).
        on_step: called with (updates made, updates in all) after every update.

    Returns:
        One result per run, in order. A run whose loss is no longer finite is marked "diverged" and taken out; the
        others go on as if it had never been there.

    Raises:
        BadInput: no runs, or runs with different numbers of steps.
    """
    steps = _common_steps(runs, training)
    began = time.perf_counter()
    stack = Stack(shape, [run.seed for run in runs], dtype=compute_dtype(training), device=device)
    if on_start is not None:
        on_start(stack)
    evaluation = None
    if held_out:
        evaluation = Evaluation(held_out, training.context, end_of_document=end_of_document, device=device)
    members = [_Member() for _ in runs]
    measure_at = {math.ceil(steps * (i + 1) / training.evaluations) for i in range(training.evaluations)}
    per_step = training.batch * training.context
    for step in range(steps):
        tokens_KBS = torch.from_numpy(np.stack([batches(k, step) for k in range(len(runs))]).astype(np.int64))
        loss_K = stack.backward(tokens_KBS.to(stack.device)).tolist()
        for k, loss in enumerate(loss_K):
            if not members[k].reason and not math.isfinite(loss):
                members[k].reason = f"training loss {loss} at step {step}"
                stack.freeze(k)
            elif not members[k].reason:
                members[k].steps = step + 1
        if all(member.reason for member in members):
            break
        stack.step(step + 1, learning_rate(step, steps, training), training.weight_decay, training.clip)
        if evaluation is not None and step + 1 in measure_at:
            _measure(evaluation, stack, members, step + 1, per_step)
        if on_step is not None:
            on_step(step + 1, steps)
    seconds = (time.perf_counter() - began) / len(runs)
    return [
        RunResult(
            run.run,
            "diverged" if member.reason else "complete",
            member.reason,
            shape.N,
            member.steps * per_step,
            member.steps * per_step * flops.per_token(shape, training.context),
            _tokens_by_language(batches, k, member.steps),
            tuple(member.losses),
            seconds,
        )
        for k, (run, member) in enumerate(zip(runs, members, strict=True))
    ]


def compute_dtype(training: ProxyConfig) -> torch.dtype:
    """What matrix products run in."""
    return torch.bfloat16 if training.precision == "bfloat16" else torch.float32


def _common_steps(runs: Sequence[StackRun], training: ProxyConfig) -> int:
    if not runs:
        raise BadInput("no runs to train")
    steps = {steps_of(run.tokens, training): run.run for run in runs}
    if len(steps) > 1:
        (a, one), (b, other) = list(steps.items())[:2]
        raise BadInput(f"runs {one} and {other} have {a} and {b} steps", expected="equal numbers of steps in a stack")
    return next(iter(steps))


def _measure(evaluation: Evaluation, stack: Stack, members: list[_Member], step: int, per_step: int) -> None:
    nats_KL = evaluation.losses(stack.parameters, stack.shape)
    bpb_KL = evaluation.bits_per_byte(nats_KL)
    for k, member in enumerate(members):
        if member.reason:
            continue
        if not np.isfinite(nats_KL[k]).all():
            member.reason = f"held-out loss not finite at step {step}"
            stack.freeze(k)
            continue
        for i, language in enumerate(evaluation.languages):
            for metric, values_KL in (("nats", nats_KL), ("bpb", bpb_KL)):
                member.losses.append(LossRow(step, step * per_step, language, metric, float(values_KL[k, i])))


def _tokens_by_language(batches: Batches, run_index: int, steps: int) -> dict[str, int]:
    count = getattr(batches, "tokens_by_language", None)
    return {} if count is None else dict(count(run_index, steps))
