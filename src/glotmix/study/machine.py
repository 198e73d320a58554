"""What this machine has to train with, and the speed that is declared for it where nothing is measured."""

from __future__ import annotations

import os

from glotmix.study.training import gpus

SPEED = {"cpu": 3e10, "cuda": 2e13}
"""FLOP/s that a core and a GPU keep up on small proxies. Declared, not measured: the choice must not depend on what
else the machine does just now. `--dry-run` measures."""
HOURS = 4.0
"""An evening."""


def this_machine() -> tuple[str, int, str]:
    """Device, processes side by side, and both in words."""
    if found := gpus():
        return "cuda", found, f"{found} GPU{'s' * (found > 1)}"
    cores = len(os.sched_getaffinity(0))
    return "cpu", cores, f"{cores} core{'s' * (cores > 1)}"
