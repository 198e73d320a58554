"""In which precision the matrix products of a proxy run: bf16 where this machine is faster at it, fp32 elsewhere.

Weights, AdamW's moments and the update are fp32 in either case.
"""

from __future__ import annotations

import time
from functools import cache

import torch

WORTH_IT = 1.3
"""bf16 is taken when it is so many times as fast; a smaller gain is not worth its rounding."""


def dtype(precision: str, device: str = "cpu") -> torch.dtype:
    """``float32`` and ``bfloat16`` as they say; ``auto`` by a measurement of a few milliseconds, once per process.

    A CPU without bf16 instructions is not measured: torch emulates them, several times slower than fp32.
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    return torch.bfloat16 if _bf16_gain(torch.device(device).type) >= WORTH_IT else torch.float32


@cache
def _bf16_gain(device: str) -> float:
    if device == "cpu" and not torch.cpu._is_avx512_bf16_supported() and not torch.cpu._is_amx_tile_supported():
        return 0.0
    if device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return 0.0
    seconds = {kind: _product_seconds(device, kind) for kind in (torch.float32, torch.bfloat16)}
    return seconds[torch.float32] / seconds[torch.bfloat16]


def _product_seconds(device: str, kind: torch.dtype, rows: int = 2048, inner: int = 256, columns: int = 1024) -> float:
    """The fastest of several products of a shape that proxies use."""
    a = torch.randn(rows, inner, device=device).to(kind)
    b = torch.randn(inner, columns, device=device).to(kind)
    times = []
    for _ in range(8):
        began = time.perf_counter()
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return min(times)
