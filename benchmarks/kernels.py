"""Where a proxy's step spends its time, and what the hand-written operations gain over torch's own.

    python benchmarks/kernels.py        # one to three minutes of one core

One thread; processor time, not the clock's, so a busy machine disturbs it little; forward and backward together, the
median of the repetitions. Raw results: benchmarks/results/kernels.json.
"""

from __future__ import annotations

import json
import statistics
import time
from contextlib import nullcontext
from pathlib import Path

import torch

from glotmix.proxy import flops, kernels, model
from glotmix.proxy import stack as stacks
from glotmix.proxy.model import Shape
from glotmix.proxy.stack import Stack

SHAPES = {
    "0.14M": Shape(64, 3, 4, 176, 2048),
    "1M": Shape(128, 5, 4, 352, 2048),
    "5M": Shape(256, 6, 4, 704, 2048),
}
B, T = 16, 128


def milliseconds(work, repetitions: int = 15) -> float:
    work()
    times = []
    for _ in range(repetitions):
        began = time.thread_time()
        work()
        times.append(time.thread_time() - began)
    return 1e3 * statistics.median(times)


def both_ways(function, *inputs) -> dict[str, float]:
    """Milliseconds of forward and backward in C and in torch's operations."""
    found = {}
    for name, context in (("native", nullcontext), ("plain", kernels.plain)):
        leaves = [x.detach().requires_grad_() for x in inputs]
        with context():
            upstream = torch.ones_like(function(*leaves))
            found[name] = milliseconds(lambda x=leaves, g=upstream: torch.autograd.grad(function(*x), x, g))
    return found


def operations(shape: Shape) -> dict[str, dict[str, float]]:
    N, d, f = B * T, shape.width, shape.feed_forward
    tables = model.rotary(T, shape.head_width)
    targets = torch.randint(0, shape.vocab, (1, N))
    return {
        "attention with rotary positions": both_ways(
            lambda x: kernels.attention(x, *tables), torch.randn(1, B, T, 3, shape.heads, shape.head_width)
        ),
        "output matrix and cross-entropy": both_ways(
            lambda h, m: kernels.cross_entropy(h, m, targets),
            torch.randn(1, N, d),
            torch.randn(1, shape.vocab, d) * 0.02,
        ),
        "swiglu": both_ways(kernels.swiglu, torch.randn(1, N, 2 * f)),
        "rms_norm": both_ways(lambda x: kernels.rms_norm(x, 1e-5), torch.randn(1, N, d)),
        "products of a layer": {
            "native": sum(
                both_ways(torch.bmm, torch.randn(1, N, i), torch.randn(1, i, o))["plain"]
                for i, o in ((d, 3 * d), (d, d), (d, 2 * f), (f, d))
            )
        },
    }


def step(shape: Shape, K: int = 1, repetitions: int = 8, batch: int = B) -> dict[str, float]:
    """A whole training step: tokens per second of processor time."""
    stack = Stack(shape, range(K))
    tokens = torch.randint(0, shape.vocab, (K, batch, T + 1))

    def work():
        stack.backward(tokens)
        stack.step(1, 1e-3, 0.1, 1.0)

    work(), work()
    took = milliseconds(work, repetitions)
    speed = K * batch * T / took * 1e3
    return {"milliseconds": took, "tokens_per_second": speed, "gflops": speed * flops.per_token(shape, T) / 1e9}


def by_tokens_at_once(shape: Shape) -> dict[str, float]:
    """Tokens per core-second of one batch of 8,192 tokens, cut into passes of so many."""
    chosen, found = stacks.TOKENS_AT_ONCE[True], {}
    for at_once in (512, 1024, 2048, 4096, 8192):
        stacks.TOKENS_AT_ONCE[True] = at_once
        found[str(at_once)] = step(shape, repetitions=5, batch=8192 // T)["tokens_per_second"]
    stacks.TOKENS_AT_ONCE[True] = chosen
    return found


def peak_gflops(size: int = 1024) -> float:
    a, b, out = (torch.randn(size, size) for _ in range(3))
    return 2 * size**3 / milliseconds(lambda: torch.mm(a, b, out=out)) / 1e6


def main() -> None:
    torch.set_num_threads(1)
    peaks = [peak_gflops()]
    parts = {name: operations(shape) for name, shape in SHAPES.items()}
    steps = {name: {str(K): step(shape, K) for K in (1, 4)} for name, shape in SHAPES.items()}
    with kernels.plain():
        plain = {name: step(shape, repetitions=4) for name, shape in SHAPES.items()}
    at_once = {name: by_tokens_at_once(SHAPES[name]) for name in ("0.14M", "1M")}
    peaks.append(peak_gflops())
    record = {
        "peak_gflops": peaks,
        "operations_ms": parts,
        "step": steps,
        "step_in_plain_torch": plain,
        "tokens_per_second_by_tokens_at_once": at_once,
    }
    out = Path(__file__).parent / "results" / "kernels.json"
    out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"peak of one thread: {max(peaks):.0f} GFLOP/s")
    for name, rows in parts.items():
        for part, found in rows.items():
            print(f"{name:6} {part:32} " + "  ".join(f"{way} {ms:6.2f} ms" for way, ms in found.items()))
        for K, row in steps[name].items():
            share = row["gflops"] / max(peaks)
            print(f"{name:6} step, K = {K}: {row['tokens_per_second']:,.0f} tokens/core-s, {share:.0%} of the peak")
        print(f"{name:6} step in plain torch operations: {plain[name]['tokens_per_second']:,.0f} tokens/core-s")
    for name, speeds in at_once.items():
        print(f"{name:6} tokens at once: " + ", ".join(f"{n} {speed:,.0f}/core-s" for n, speed in speeds.items()))


if __name__ == "__main__":
    main()
