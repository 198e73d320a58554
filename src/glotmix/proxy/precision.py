"""In which precision the matrix products of a proxy run: decided once by what the machine is, never by how busy it is.

What is bf16 in either case, and what never is, stands in docs/engine.md.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from glotmix.proxy import flops, native
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.model import Shape

Name = Literal["float32", "bfloat16"]
ENOUGH = 2.5e8
"""FLOPs of a step's products from which they outweigh what bf16 costs around them: below, a step on a CPU is mostly
calls, and bf16 makes more of them (measured: docs/engine.md)."""
ONEDNN_WITH_BF16 = ("AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX512_CORE_AMX", "AVX10", "DEFAULT", "ALL")
"""Beginnings of values of ``ONEDNN_MAX_CPU_ISA`` that leave the library behind torch's products its bf16."""


@dataclass(frozen=True)
class Decision:
    """A precision and why it was taken."""

    precision: Name
    """Of the matrix products."""
    reason: str
    """In a clause, for the record and the page."""


def dtype(precision: str) -> torch.dtype:
    """``float32`` and ``bfloat16`` as torch's types.

    Raises:
        KeyError: another name; ``auto`` must have been decided before (:func:`decided`).
    """
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]


def decide(wanted: str, steps: Sequence[tuple[Shape, int]], device: str = "cpu") -> Decision:
    """What ``proxy.precision`` comes to for these proxies on this machine; the same for all of them, so that losses
    over sizes are comparable.

    Args:
        wanted: ``float32`` and ``bfloat16`` are taken as they are; ``auto`` is decided by the kind of device and what a
            step is.
        steps: shape, and sequences of a step, of all proxies.
        device: where they train, as this process sees it.
    """
    if wanted != "auto":
        return Decision("bfloat16" if wanted == "bfloat16" else "float32", "set by proxy.precision")
    if os.environ.get(native.HIDE_BF16) == "0":
        return Decision("float32", f"{native.HIDE_BF16}=0 hides bf16 products")
    if torch.device(device).type == "cuda":
        return _on_gpu()
    return _on_cpu(steps)


def decided(training: ProxyConfig, shape: Shape, device: str = "cpu") -> ProxyConfig:
    """``training`` with its precision decided, for one shape."""
    if training.precision != "auto":
        return training
    return training.model_copy(update={"precision": decide("auto", [(shape, training.batch)], device).precision})


def _on_gpu() -> Decision:
    if not torch.cuda.is_available():
        reason = "the GPUs cannot be seen from here; set proxy.precision: bfloat16 if they multiply bf16"
        return Decision("float32", reason)
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return Decision("bfloat16", "the GPU multiplies bf16")
    return Decision("float32", "the GPU does not multiply bf16")


def _on_cpu(steps: Sequence[tuple[Shape, int]]) -> Decision:
    if not _cpu_multiplies_bf16():
        return Decision("float32", "the processor does not multiply bf16")
    if native.library() is None:
        return Decision("float32", "the engine's kernels are not compiled here")
    for shape, batch in steps:
        if any(width % native.LANES for width in (shape.width, shape.head_width, shape.feed_forward)):
            return Decision("float32", f"the engine's kernels take multiples of {native.LANES} as widths")
        if batch * shape.context * flops.per_token(shape, shape.context) < ENOUGH:
            return Decision("float32", f"a step of {batch} x {shape.context} tokens is too little work for bf16")
    return Decision("bfloat16", "the processor multiplies bf16")


def _cpu_multiplies_bf16() -> bool:
    """Whether the processor has the instructions, and the library behind torch's products may use them."""
    allowed = os.environ.get("ONEDNN_MAX_CPU_ISA", "DEFAULT").upper().startswith(ONEDNN_WITH_BF16)
    return allowed and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
