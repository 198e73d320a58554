"""Parts: where gradients are computed - a device, the memory that is free on it, and processes side by side.

Training samples are shared out over processes by whole batches, and what these find is put together in their order: a
sample's gradient is computed in the same batch however many processes there are.
"""

from __future__ import annotations

import copy
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from glotmix.attribution.gradients import Loss
from glotmix.attribution.samples import Samples
from glotmix.errors import BadInput

Found = TypeVar("Found")
Told = Callable[[int, int], None] | None
"""Called with (training samples done, in all)."""
DEVICES = ("auto", "cpu", "cuda")


def device_of(model: nn.Module) -> torch.device:
    """Where a model's parameters lie."""
    return next(model.parameters()).device


def placed(model: nn.Module, wanted: str) -> nn.Module:
    """The model on the device that is wanted; ``auto`` is a GPU where there is one.

    Raises:
        BadInput: no such device here.
    """
    if wanted not in DEVICES:
        raise BadInput(f"device = {wanted!r}", expected=" | ".join(DEVICES))
    here = torch.cuda.is_available()
    if wanted == "cuda" and not here:
        raise BadInput("no GPU that torch sees", where="device", expected="auto or cpu")
    return model.to("cuda" if here and wanted != "cpu" else "cpu")


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device: of a container, what its limit leaves."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [int(os.sysconf("SC_AVPHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE"))] if hasattr(os, "sysconf") else []
    told = Path("/proc/meminfo")
    if told.is_file():
        lines = [line.split() for line in told.read_text().splitlines()]
        found = [1024 * int(words[1]) for words in lines if words[0] == "MemAvailable:"] or found
    group = Path("/sys/fs/cgroup")
    limit, used = ((group / f"memory.{name}") for name in ("max", "current"))
    if limit.is_file() and used.is_file() and (most := limit.read_text().strip()).isdigit():
        found.append(max(0, int(most) - int(used.read_text())))
    return min(found, default=1 << 32)


def in_parts(
    work: Callable[..., Found],
    processes: int,
    model: nn.Module,
    loss: Loss,
    train: Samples,
    batch: int,
    on_progress: Told,
    *options: Any,
) -> list[Found]:
    """``work(number, model, loss, part, on_progress, *options)`` for each part of the training samples, in order.

    Args:
        work: a module's function; in another process it gets a model of its own, on a GPU of its own where there are.
        processes: parts side by side; one works here.
        model: as it lies.
        loss: per-sample losses.
        train: training samples.
        batch: samples of a pass; parts are whole batches.
        on_progress: told as parts are done.
        *options: whatever else the work needs, and can be sent.

    Raises:
        BadInput: a model or loss that cannot be sent to another process.
    """
    if processes > 1:
        try:
            ForkingPickler.dumps((model, loss))
        except Exception as error:  # whatever a model's parts raise that cannot be sent
            message = f"model or loss cannot be sent to other processes: {error}"
            raise BadInput(message, expected="a loss that is a module's function") from None
    batches = -(-len(train) // batch)
    if min(processes, batches) == 1:
        return [work(0, model, loss, train, on_progress, *options)]
    places = [
        range(batch * int(some[0]), min(len(train), batch * (int(some[-1]) + 1)))
        for some in np.array_split(np.arange(batches), min(processes, batches))
    ]
    threads = max(1, torch.get_num_threads() // len(places))
    found = []
    with ProcessPoolExecutor(len(places), multiprocessing.get_context("spawn")) as pool:
        futures = [
            pool.submit(_part, work, i, threads, model, loss, train.take(place), options)
            for i, place in enumerate(places)
        ]
        for place, future in zip(places, futures, strict=True):
            found.append(future.result())
            if on_progress is not None:
                on_progress(place.stop, len(train))
    return found


def _part(
    work: Callable[..., Found],
    number: int,
    threads: int,
    model: nn.Module,
    loss: Loss,
    train: Samples,
    options: tuple[Any, ...],
) -> Found:
    torch.set_num_threads(threads)
    # What was sent lies in memory that all processes share, and weights are loaded into it.
    model = copy.deepcopy(model)
    if device_of(model).type == "cuda":
        model.to(f"cuda:{number % torch.cuda.device_count()}")
    return work(number, model, loss, train, None, *options)
