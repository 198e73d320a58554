"""``native.c`` compiled for this machine, where there is a C compiler; without one torch's own operations do the work.

Compiled once (about a second) into the user's cache directory, under a name that changes with the source, the compiler
and the processor. ``GLOTMIX_NATIVE=0`` switches it off.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

SOURCE = Path(__file__).with_name("native.c")
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
HIDE_BF16 = "GLOTMIX_BF16"
"""Environment variable; "0" treats every machine as one without bf16 products: here their instructions are left out."""
LANES = 8
"""Floats in the narrowest vector; widths must be a multiple."""

_POINTER, _COUNT, _REAL = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
_SIGNATURES = {
    "rms_forward": [_POINTER] * 3 + [_COUNT] * 2 + [_REAL],
    "rms_backward": [_POINTER] * 4 + [_COUNT] * 2,
    "swiglu_forward": [_POINTER] * 2 + [_COUNT] * 2,
    "swiglu_backward": [_POINTER] * 3 + [_COUNT] * 2,
    "cross_entropy": [_POINTER] * 4 + [_COUNT] * 2,
    "attention_forward": [_POINTER] * 6 + [_COUNT] * 4,
    "attention_backward": [_POINTER] * 8 + [_COUNT] * 4,
}
"""Functions that there are for tensors of each type in :data:`TYPES` and each width of a vector."""
_ADAMW = [_POINTER] * 4 + [_COUNT] + [_REAL] * 7
TYPES = {torch.float32: "f32", torch.bfloat16: "bf16"}


def flags() -> tuple[str, ...]:
    """What the compiler is given."""
    hidden = os.environ.get(HIDE_BF16) == "0" and platform.machine() in ("x86_64", "AMD64")
    return (*FLAGS, "-mno-avx512bf16") if hidden else FLAGS


@cache
def library() -> ctypes.CDLL | None:
    """The compiled functions; None where there is no compiler."""
    if os.environ.get("GLOTMIX_NATIVE") == "0":
        return None
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    cached = _cache_directory() / f"native-{_fingerprint(compiler)}.so"
    try:
        if not cached.is_file():
            _compile(compiler, cached)
        loaded = ctypes.CDLL(str(cached))
    except (OSError, subprocess.SubprocessError):
        return None
    functions = {
        f"{name}_{kind}_{lanes}": arguments
        for name, arguments in _SIGNATURES.items()
        for kind in TYPES.values()
        for lanes in {LANES, _widest(loaded)}
    }
    for name, arguments in (functions | {"adamw": _ADAMW}).items():
        getattr(loaded, name).argtypes = arguments
        getattr(loaded, name).restype = None
    return loaded


def call(name: str, *arguments: Tensor | float, width: int) -> None:
    """Call a function of ``native.c`` for the type of the first tensor, in the widest vectors that divide ``width``.

    Tensors are passed as their memory and must be contiguous; which are fp32 or int64 whatever the first one is, the
    source says.
    """
    loaded, first = library(), arguments[0]
    assert loaded is not None
    assert isinstance(first, Tensor)
    widest = _widest(loaded)
    _do(f"{name}_{TYPES[first.dtype]}_{LANES if width % widest else widest}", *arguments)


def adamw(*arguments: Tensor | float) -> None:
    """One update of AdamW: weights, gradients and both moments, all fp32 and of one size, then the source's numbers."""
    _do("adamw", *arguments)


def _do(function: str, *arguments: Tensor | float) -> None:
    getattr(library(), function)(*(a.data_ptr() if isinstance(a, Tensor) else a for a in arguments))


@cache
def _widest(loaded: ctypes.CDLL) -> int:
    return int(ctypes.c_int64.in_dll(loaded, "widest").value)


def _compile(compiler: str, to: Path) -> None:
    """Into a file of its own, renamed when whole: several processes may do this at once."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent) as directory:
        built = Path(directory) / "native.so"
        subprocess.run(  # noqa: S603 — the compiler this machine has, on our own file
            [compiler, *flags(), str(SOURCE), "-o", str(built), "-lm"], check=True, capture_output=True, timeout=120
        )
        os.replace(built, to)


def _cache_directory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glotmix"


def _fingerprint(compiler: str) -> str:
    """Of everything the machine code depends on."""
    processor = platform.machine() + platform.processor()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        lines = information.read_text("utf-8", errors="replace").splitlines()
        processor += "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
    parts = (SOURCE.read_text(encoding="utf-8"), compiler, *flags(), processor)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
