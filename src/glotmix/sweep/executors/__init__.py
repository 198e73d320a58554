"""Engines that run a sweep's jobs. One per file; all pass the contract in ``tests/contracts/executor.py``."""

from __future__ import annotations

from glotmix.registry import Registry

EXECUTORS = Registry(
    "executor",
    {
        "external": "glotmix.sweep.executors.external:ExternalExecutor",
        "local": "glotmix.sweep.executors.local:LocalExecutor",
        "ray": "glotmix.sweep.executors.ray:RayExecutor",
        "slurm": "glotmix.sweep.executors.slurm:SlurmExecutor",
    },
)
"""Name in the configuration to the class, whose ``of`` makes one from the section ``sweep``."""
