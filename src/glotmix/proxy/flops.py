"""FLOPs of training counted per part, this machine's peak, and how much of it a run used.

Only matrix products count, a multiply-add as two, the backward pass as twice the forward (Kaplan et al. 2020,
arXiv 2001.08361, §2.1); unlike there the products of attention and of the output matrix are counted, which are more
than half of a small proxy. Causal attention is counted in full, over T keys for every query, as is customary (PaLM,
arXiv 2204.02311, app. B); an implementation that skips the masked half gets credit for it.
"""

from __future__ import annotations

import time
from functools import cache

import torch

from glotmix.proxy.model import Shape


def parameter_groups(shape: Shape) -> dict[str, int]:
    """Parameters of each part; they sum to ``shape.parameters``, and without embedding and output to ``shape.N``."""
    d, f, layers = shape.width, shape.feed_forward, shape.layers
    groups = {
        "embedding": shape.vocab * d,
        "attention": layers * d * (shape.qkv_width + shape.query_width),
        "feed_forward": layers * 3 * d * f,
        "norms": (2 * layers + 1) * d + layers * shape.head_norms * 2 * shape.head_width,
        "output": 0 if shape.tied else shape.vocab * d,
    }
    if shape.biases:
        groups["biases"] = layers * shape.qkv_width
    assert sum(groups.values()) == shape.parameters
    assert shape.parameters - groups["embedding"] - groups["output"] == shape.N
    return groups


def forward_per_token(shape: Shape, context: int) -> dict[str, float]:
    """FLOPs per token of each part's matrix products in the forward pass."""
    groups = parameter_groups(shape)
    parts = {
        "attention": 2.0 * groups["attention"],
        "scores": shape.layers * 2.0 * context * shape.query_width,
        "mixing": shape.layers * 2.0 * context * shape.query_width,
        "feed_forward": 2.0 * groups["feed_forward"],
        "output": 2.0 * shape.vocab * shape.width,
    }
    in_matrices = shape.N - groups["norms"] - groups.get("biases", 0) + shape.vocab * shape.width
    assert sum(parts.values()) == 2.0 * in_matrices + 4.0 * shape.layers * context * shape.query_width
    return parts


def per_token(shape: Shape, context: int) -> float:
    """FLOPs per training token: C = D times this."""
    return 3.0 * sum(forward_per_token(shape, context).values())


@cache
def peak(device: str = "cpu", dtype: torch.dtype = torch.float32, size: int = 1024, products: int = 10) -> float:
    """FLOP/s of the fastest of several square products [size, size], as the process's threads do them."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    best = float("inf")
    for _ in range(products):
        began = time.perf_counter()
        torch.mm(a, b, out=out)
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2.0 * size**3 / best


def utilisation(shape: Shape, context: int, tokens_per_second: float, peak_flops: float) -> float:
    """Share of the peak that training at this speed uses (MFU)."""
    return tokens_per_second * per_token(shape, context) / peak_flops
