"""The section `sweep` of a study: where and how the proxies run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from glotmix.config import Section
from glotmix.exporters import EXPORTERS
from glotmix.sweep.executors import EXECUTORS
from glotmix.sweep.loggers import LOGGERS


class SweepConfig(Section):
    """Where and how the proxies run."""

    executor: Annotated[str, EXECUTORS.known] = "local"
    """What runs them."""
    workers: int | None = Field(None, ge=1)
    """Processes side by side; default one per core."""
    stack: int | None = Field(None, ge=1)
    """Proxies trained as one program; default measured on this machine."""
    retries: int = Field(1, ge=0)
    """How many times a run that died is tried again."""
    address: str | None = None
    """Ray: the cluster's address, or ``auto``; none starts Ray on this machine."""
    cpus: float = Field(1.0, gt=0)
    """Ray: CPUs of a job."""
    gpus: float = Field(0.0, ge=0)
    """Ray: GPUs of a job; a fraction lets several share one."""
    slurm: dict[str, str] = Field(default_factory=dict)
    """SLURM: options of ``sbatch`` without their dashes (partition, time, account, gres)."""
    array: int = Field(1000, ge=1)
    """SLURM: most tasks in one array."""
    trainer: Annotated[str, EXPORTERS.known] | None = None
    """External: the exporter whose trainer trains the runs (``glotmix exporters``)."""
    command: str | None = None
    """External: what trains one run (``bash train.sh {run_dir} {arguments}``); in braces may stand run_dir, results,
    run, arguments, seed, steps, tokens, N, batch, sequence_length and learning_rate."""
    data: str | dict[str, str] | None = None
    """External: where your data lies for the trainer, ``{language}`` in it, or a path per language."""
    load: str | None = None
    """External: where your trainer finds the model that runs go on from, in its own format; default ``proxy.base``."""
    results: list[str] = Field(default_factory=list)
    """External: files or folders in which results are looked for, beside ``handoff/results``."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where proxies train; ``auto`` takes the GPUs where there are any."""
    devices_per_run: int = Field(1, ge=1)
    """Devices that train one stack together, each on its part of every batch (data parallel, through ``torchrun``)."""
    nodes_per_run: int = Field(1, ge=1)
    """SLURM: nodes over which these devices lie, as many on each; their processes meet at the first one."""
    logger: Annotated[str, LOGGERS.known] | None = None
    """Experiment tracker that runs are shown in as they are done; its own settings say where that is."""
    mirror: str | None = None
    """URL (``s3://bucket/study`` and whatever else fsspec knows) that finished results are sent to and fetched from."""

    @field_validator("slurm", mode="before")
    @classmethod
    def _numbers_as_they_are_written(cls, value: object) -> object:
        """``nodes: 4`` is no text in YAML, and on the command line of sbatch it is one."""
        if not isinstance(value, dict):
            return value
        return {name: str(one) if type(one) is int else one for name, one in value.items()}

    @model_validator(mode="after")
    def _devices_lie_on_nodes(self) -> SweepConfig:
        if self.nodes_per_run > 1 and self.executor != "slurm":
            raise ValueError(f"nodes_per_run = {self.nodes_per_run} with executor {self.executor}; slurm has nodes")
        if self.devices_per_run % self.nodes_per_run:
            raise ValueError(f"devices_per_run {self.devices_per_run} over {self.nodes_per_run} nodes (nodes_per_run)")
        return self
