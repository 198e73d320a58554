"""Engines that run a sweep's jobs. One per file; all pass the contract in ``tests/contracts/executor.py``."""

from __future__ import annotations

from glotmix.sweep.config import SweepConfig
from glotmix.sweep.executors.executor import Executor as Executor
from glotmix.sweep.executors.executor import Job as Job
from glotmix.sweep.executors.executor import JobEnd as JobEnd


def open_executor(config: SweepConfig) -> Executor:
    """The executor that a study names."""
    if config.executor == "local":
        from glotmix.sweep.executors.local import LocalExecutor

        return LocalExecutor(workers=config.workers)
    if config.executor == "ray":
        from glotmix.sweep.executors.ray import RayExecutor

        return RayExecutor(config.workers, config.address, config.cpus, config.gpus)
    from glotmix.sweep.executors.slurm import SlurmExecutor

    return SlurmExecutor(config.workers, config.slurm, config.array)
