"""Engines that run a sweep's jobs. One per file; all pass the contract in ``tests/contracts/executor.py``."""

from __future__ import annotations

from glotmix.config import SweepConfig
from glotmix.errors import BadInput
from glotmix.sweep.executors.executor import Executor as Executor
from glotmix.sweep.executors.executor import Job as Job
from glotmix.sweep.executors.executor import JobEnd as JobEnd


def open_executor(config: SweepConfig) -> Executor:
    """The executor that a study names."""
    if config.executor == "local":
        from glotmix.sweep.executors.local import LocalExecutor

        return LocalExecutor(workers=config.workers)
    raise BadInput(f"sweep.executor = {config.executor!r}: not available in this version", expected="local")
