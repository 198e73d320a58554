"""Running out of memory: how it is told from other errors, and how what a stack held is given back."""

from __future__ import annotations

import gc

import torch


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device or the machine refused memory; of the latter torch tells in words only."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def free(device: str) -> None:
    """Give back what the last stack held on ``device``, so that the next one finds it."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
