"""How many small models a GPU trains at once: tokens per second and memory against K, for 1M-parameter proxies.

    python benchmarks/gpu.py                                # a few minutes on one GPU
    python benchmarks/gpu.py --device cpu --counts 1 2      # only to see that it runs

The aim is 512 models of 1M parameters at 20 million tokens per second in total, so that RegMix's whole sweep (512 × 1B
tokens) takes hours. K models are one :class:`glotmix.proxy.stack.Stack`; where K of them don't fit, the row says so.
The whole step is on the clock: forward, backward, clipping, AdamW. Utilisation is against the measured product of
8,192² matrices in the same precision on this device. Raw results: benchmarks/results/gpu.json, a picture beside it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from glotmix.proxy import flops, precision
from glotmix.proxy.model import Shape
from glotmix.proxy.stack import Stack

SHAPES = {
    "0.14M": Shape(64, 3, 4, 176, 2048),
    "1M": Shape(128, 5, 4, 352, 2048),
    "5M": Shape(256, 6, 4, 704, 2048),
}
T = 128


def waited(device: str) -> float:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()


def chosen(shape: Shape, batch: int, device: str) -> torch.dtype:
    """The type of the products that a sweep would take on this device."""
    return precision.dtype(precision.decide("auto", [(shape, batch)], device).precision)


def measure(shape: Shape, K: int, batch: int, device: str, repetitions: int, steps: int) -> dict:
    dtype = chosen(shape, batch, device)
    row = {"K": K, "batch": batch, "dtype": str(dtype)}
    try:
        if device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()
        stack = Stack(shape, range(K), dtype=dtype, device=device)
        tokens = torch.randint(0, shape.vocab, (K, batch, T + 1), device=device)
        speeds = []
        for repetition in range(repetitions + 1):
            began = waited(device)
            for _ in range(steps):
                stack.backward(tokens)
                stack.step(1, 1e-3, 0.1, 1.0)
            if repetition:  # the first one warms up
                speeds.append(K * batch * T * steps / (waited(device) - began))
    except torch.OutOfMemoryError:
        return row | {"fits": False}
    memory = torch.cuda.max_memory_allocated() if device.startswith("cuda") else None
    return row | {"fits": True, "tokens_per_second": speeds, "bytes": memory}


def picture(record: dict, path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, left = plt.subplots(figsize=(6, 3.6))
    right = left.twinx()
    for name, found in record["shapes"].items():
        rows = [row for row in found["rows"] if row["fits"]]
        counts = [row["K"] for row in rows]
        left.plot(counts, [statistics.median(row["tokens_per_second"]) for row in rows], marker="o", label=name)
        if all(row["bytes"] for row in rows):
            right.plot(counts, [row["bytes"] / 1e9 for row in rows], linestyle=":", marker=".")
    left.set(xscale="log", yscale="log", xlabel="models trained as one, K", ylabel="tokens per second in total")
    right.set(ylabel="GB, dotted")
    left.legend(title="parameters")
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shapes", nargs="+", default=["1M"], choices=SHAPES)
    parser.add_argument("--counts", nargs="+", type=int, default=[1, 8, 32, 64, 128, 256, 512])
    parser.add_argument("--batch", type=int, default=16, help="sequences of 128 tokens per model and step")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="per repetition")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gpu.json")
    options = parser.parse_args()
    kind = options.device.partition(":")[0]
    dtype = chosen(SHAPES[options.shapes[0]], options.batch, options.device)
    peak = flops.peak(kind, dtype, size=8192 if kind == "cuda" else 1024)
    name = torch.cuda.get_device_name() if kind == "cuda" else "cpu"
    record: dict = {"device": name, "torch": torch.__version__, "peak_flops": peak, "shapes": {}}
    for shape_name in options.shapes:
        shape = SHAPES[shape_name]
        rows = []
        for K in options.counts:
            rows.append(measure(shape, K, options.batch, options.device, options.repetitions, options.steps))
            if kind == "cuda":
                torch.cuda.empty_cache()
            record["shapes"][shape_name] = {"N": shape.N, "rows": rows}
            options.out.write_text(json.dumps(record, indent=1) + "\n")
            if not rows[-1]["fits"]:
                print(f"{shape_name} K = {K:4}: does not fit")
                continue
            speeds = rows[-1]["tokens_per_second"]
            used = statistics.median(speeds) * flops.per_token(shape, T) / peak
            memory = "" if rows[-1]["bytes"] is None else f", {rows[-1]['bytes'] / 1e9:.1f} GB"
            print(
                f"{shape_name} K = {K:4}: {statistics.median(speeds):,.0f} tokens/s "
                f"({min(speeds):,.0f}–{max(speeds):,.0f}), {used:.1%} of the peak{memory}"
            )
    picture(record, options.out.with_suffix(".svg"))


if __name__ == "__main__":
    main()
