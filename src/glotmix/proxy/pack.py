"""How many proxies to train as one program, and in how many processes: measured, not guessed.

A stack shares what a process costs to start, and may be faster or slower than one proxy at a time; runs that do not
fill the last round of jobs leave a process idle. What counts is when the last run would be done.

On a CPU the choice is one single-threaded process per core: for a small model the threads of one process spend their
time waiting for each other. On a GPU one process stacks as many as still add speed and fit into its memory.
What is trained does not depend on the choice (tests/proxy/test_stack.py), only how long it takes.
"""

from __future__ import annotations

import heapq
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from glotmix.errors import GlotmixError
from glotmix.proxy import flops, kernels, precision
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.model import Shape
from glotmix.proxy.stack import Stack

GAIN = 1.05
"""A larger stack is taken when it is so many times as fast: a smaller one loses less when it is interrupted."""
STARTING = 2.2
"""Processor seconds until a process that trains has imported what it needs and opened its tokens. The smallest proxies
train for no longer, so it is fastest to start few processes for them (docs/engine.md)."""
LARGEST = {"cpu": 8, "cuda": 1024}
LARGE = 300_000
"""Parameters (with embeddings) from which processes side by side are measured side by side: their stacks no longer fit
into the caches together, so what is fastest alone need not be fastest in company (docs/engine.md)."""
MEMORY_SHARE = 0.8
"""Of a GPU's free memory; the rest is for evaluation and fragmentation."""


@dataclass(frozen=True)
class Packing:
    """How a sweep is spread over this machine."""

    stack: int
    """Proxies trained as one program, K."""
    processes: int
    """Programs side by side, one thread each on a CPU."""
    tokens_per_second: float
    """Expected training speed of all processes together."""
    measured: Mapping[int, float]
    """K to tokens per second of one process; empty where nothing was measured."""
    explanation: str
    """The choice in a sentence."""

    def to_json(self) -> dict[str, Any]:
        """For storing: a stored choice is used again, so a study that is resumed does not change its mind."""
        return asdict(self) | {"measured": {str(K): speed for K, speed in self.measured.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Packing:
        """What :meth:`to_json` gave."""
        return cls(**dict(value) | {"measured": {int(K): float(speed) for K, speed in value["measured"].items()}})


def choose(
    shape: Shape,
    training: ProxyConfig,
    runs: int | Sequence[int],
    *,
    device: str = "cpu",
    stack: int | None = None,
    processes: int | None = None,
    seconds: float = 2.0,
) -> Packing:
    """Stack and processes for ``runs`` equal runs on this machine.

    Args:
        shape: the proxies' shape.
        training: batch, context, precision, and the tokens of a run.
        runs: how many there are to train, or the sizes of the sets of which runs can be stacked (those of one seed,
            say); no stack is so large that a process stays idle.
        device: "cpu" or "cuda".
        stack: the user's choice of K; then only its speed is measured.
        processes: the user's choice of processes; default one per core that this process may use, or one on a GPU.
        seconds: time for the measurement, about.

    Raises:
        GlotmixError: not even one proxy fits into the GPU's memory.
    """
    training = precision.decided(training, shape, device)
    kind = torch.device(device).type
    available = processes or (_cores() if kind == "cpu" else 1)
    sets = [runs] if isinstance(runs, int) else list(runs)
    used = max(1, min(available, sum(sets)))
    most = max(1, min(LARGEST[kind], -(-sum(sets) // used), max(sets, default=1)))
    sizes = [stack] if stack else sorted({2**i for i in range(most.bit_length()) if 2**i <= most} | {most})
    together = used if kind == "cpu" and shape.parameters > LARGE else 1
    measured = _measure_together(shape, training, sizes, device, seconds / len(sizes), together)
    lasts = {K: _seconds(K, speed, training.tokens, sets, used) for K, speed in measured.items()}
    best = sizes[0] if sizes[0] in measured else 0
    for K, seconds_of_all in lasts.items():
        if seconds_of_all * GAIN < lasts[best]:
            best = K
    if not best:
        raise GlotmixError(f"a proxy with {shape.parameters:,} parameters does not fit into the memory of {device}")
    speed = measured[best] * used
    chosen = "as asked for" if stack else "measured " + ", ".join(f"K = {K}: {v:,.0f}" for K, v in measured.items())
    share = flops.utilisation(shape, training.context, measured[best], _peak(training, device))
    explanation = (
        f"{used} process{'es' * (used > 1)} × {best} stacked: {speed:,.0f} tokens/s in all "
        f"({chosen} tokens/s per process; {share:.0%} of the {device}'s matrix-product peak)"
    )
    return Packing(best, used, speed, measured, explanation)


def _seconds(K: int, speed: float, tokens: float, sets: Sequence[int], processes: int) -> float:
    """Until the last of the processes has trained its jobs; those of a set are as even as possible."""
    done = [0.0] * processes
    for runs in sets:
        jobs = -(-runs // K)
        for job in range(jobs):
            heapq.heapreplace(done, done[0] + STARTING + (runs // jobs + (job < runs % jobs)) * tokens / speed)
    return max(done)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _peak(training: ProxyConfig, device: str) -> float:
    return flops.peak(device, precision.dtype(training.precision))


def _measure_together(
    shape: Shape, training: ProxyConfig, sizes: list[int], device: str, seconds: float, processes: int
) -> dict[int, float]:
    """Mean tokens per second of a process, by K, while ``processes`` of them do the same."""
    if processes == 1:
        return _measure(shape, training, sizes, device, seconds)
    order: dict[str, Any] = {"shape": asdict(shape), "training": training.model_dump(mode="json"), "sizes": sizes}
    order |= {"device": device, "seconds": 2 * seconds}  # they do not start at the same moment
    command = [sys.executable, "-m", "glotmix.proxy.pack", json.dumps(order)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(  # noqa: S603 - an argument list that glotmix built, no shell
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
        )
        for _ in range(processes)
    ]
    outputs = [process.communicate() for process in running]
    for process, (_, errors) in zip(running, outputs, strict=True):
        if process.returncode:
            raise GlotmixError(f"the packing could not be measured: {errors.strip().splitlines()[-1:]}")
    found = [json.loads(output.splitlines()[-1]) for output, _ in outputs]
    return {K: sum(one[str(K)] for one in found) / processes for K in sizes if all(str(K) in one for one in found)}


def _measure(shape: Shape, training: ProxyConfig, sizes: list[int], device: str, seconds: float) -> dict[int, float]:
    """Tokens per second of one process with one thread, by K, as far as memory goes."""
    measured = {}
    with kernels.one_thread():
        try:
            for K in sizes:
                if not _fits(shape, training, K, device):
                    break
                measured[K] = _speed(shape, training, K, device, seconds)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
    return measured


def _fits(shape: Shape, training: ProxyConfig, K: int, device: str) -> bool:
    """Whether the state alone (weights, gradient, moments) would leave room; activations show when it runs."""
    if torch.device(device).type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return K * shape.parameters * 18 < MEMORY_SHARE * free


def _speed(shape: Shape, training: ProxyConfig, K: int, device: str, seconds: float) -> float:
    """The fastest step counts: what else runs on the machine can only slow a step down. On a CPU it is timed by the
    process's own clock, which stands still while others run."""
    clock = time.perf_counter if torch.device(device).type == "cuda" else time.process_time
    program = Stack(shape, range(K), dtype=precision.dtype(training.precision), device=device)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, shape.vocab, (K, training.batch, training.context + 1), generator=generator).to(device)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - began < seconds and len(times) < 50):
        start = clock()
        program.backward(tokens)
        program.step(len(times) + 1, 1e-3, 0.1, 1.0)
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()
        times.append(clock() - start)
    return K * training.batch * training.context / max(min(times[1:]), 1e-9)


def main(order: dict[str, Any]) -> None:
    """One of the processes of :func:`_measure_together`: prints K to tokens per second as JSON."""
    training = ProxyConfig.model_validate(order["training"])
    shape = Shape(**order["shape"])
    print(json.dumps(_measure(shape, training, order["sizes"], order["device"], order["seconds"])))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
