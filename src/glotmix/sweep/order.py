"""What the programs that executors start have in common: one order, one process, one exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glotmix.artifact import read_json
from glotmix.errors import GlotmixError
from glotmix.orphan import die_with_driver
from glotmix.sweep.lock import alone


def command_of(module: str, order: Path, *, devices: int = 1, nodes: int = 1) -> tuple[str, ...]:
    """What starts a program on an order: by itself, or as so many processes that meet through ``torchrun``.

    Args:
        module: the program.
        order: its only argument.
        devices: processes, each with a device of its own.
        nodes: over which they lie, as many on each.
    """
    on_nodes: tuple[str, ...] = ()
    launcher: tuple[str, ...] = ()
    meeting: tuple[str, ...] = ("--standalone",)
    if nodes > 1:
        on_nodes = ("srun", f"--nodes={nodes}", "--ntasks-per-node=1", "--cpu-bind=none")
        meeting = (f"--nnodes={nodes}", "--rdzv-backend=c10d")  # where: slurm_task says
    if devices > 1:
        launcher = ("torch.distributed.run", *meeting, f"--nproc-per-node={devices // nodes}", "-m")
    return (*on_nodes, sys.executable, "-m", *launcher, module, str(order.resolve()))


def follow(path: Path, work: Callable[[Any], int | None]) -> int:
    """Do what an order asks for, and end with the driver that gave it.

    A lock on the order keeps an orphan that is still dying and its successor apart; of a team of processes that train
    together the first one holds it for all.

    Args:
        path: the order, a JSON file.
        work: does it; what it returns is the exit code, None being 0.

    Returns:
        The exit code: 0, or that of the error whose message goes to standard error, the job's log.
    """
    die_with_driver()
    with alone(path) if os.environ.get("RANK", "0") == "0" else contextlib.nullcontext():
        try:
            return work(read_json(path)) or 0
        except GlotmixError as error:
            print(error, file=sys.stderr)
            return error.exit_code
        except OSError as error:
            print(f"{error.filename or path}: {error.strerror or error}", file=sys.stderr)
            return 1
