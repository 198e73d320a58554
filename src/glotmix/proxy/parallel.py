"""One stack over several devices: every process trains on its part of each batch, gradients are averaged in between.

All gradients of a stack lie in one buffer, so data parallelism is one all-reduce a step; DistributedDataParallel's
buckets exist to give a module of many tensors what is here by construction (docs/decisions.md). Processes are started
by ``torchrun`` (``python -m torch.distributed.run``); a program that was started without it is alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from glotmix.errors import BadInput

PATIENCE = timedelta(hours=2)
"""How long processes wait for one that reads or writes a large model for all; where one died ``torchrun`` ends them."""


@dataclass(frozen=True)
class Team:
    """The processes that train one stack together."""

    rank: int = 0
    """This process's number."""
    size: int = 1
    """How many there are."""
    device: str = "cpu"
    """Where this one computes."""

    @property
    def leads(self) -> bool:
        """Whether this process writes results and files."""
        return self.rank == 0

    def part(self, tokens_KBS: torch.Tensor) -> torch.Tensor:
        """This process's sequences of a batch [K, B, ...].

        Raises:
            BadInput: the batch cannot be split evenly.
        """
        B = tokens_KBS.shape[1]
        if B % self.size:
            raise BadInput(
                f"batch of {B} sequences over {self.size} processes", where="proxy.batch", expected="a multiple"
            )
        each = B // self.size
        return tokens_KBS[:, self.rank * each : (self.rank + 1) * each]

    def whole(self, part: torch.Tensor, axis: int = 0) -> torch.Tensor:
        """What every process has of something, in the order of its sequences; the same bits in each."""
        if self.size == 1:
            return part
        parts = [torch.empty_like(part) for _ in range(self.size)]
        dist.all_gather(parts, part.contiguous())
        return torch.cat(parts, axis)

    def mean_(self, tensor: torch.Tensor) -> torch.Tensor:
        """Average over the processes, in place; the same bits in each."""
        if self.size > 1:
            # Memory is summed as it lies: gradients that came out transposed in one process need not in another.
            lying = tensor.contiguous()
            dist.all_reduce(lying)
            tensor.copy_(lying.div_(self.size))
        return tensor

    def total(self, value: float) -> float:
        """The sum of a number over the processes, in fp64; the same in each."""
        if self.size == 1:
            return value
        sum_ = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(sum_)
        return float(sum_)

    def told(self, flag: bool) -> bool:
        """What the leading process says of something, in every process: two that look at a disk may see two things."""
        if self.size == 1:
            return flag
        said = torch.tensor(int(flag), device=self.device)
        dist.broadcast(said, 0)
        return bool(said)

    def wait(self) -> None:
        """Until every process has come here."""
        if self.size > 1:
            dist.barrier()


ALONE = Team()
"""A process by itself."""


def join(device: str | None = None) -> Team:
    """The team that this process was started in by ``torchrun``, or a team of one.

    Args:
        device: "cpu" or "cuda"; default "cuda" where every process can have a GPU of its own, else "cpu".
    """
    size, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    kind = device or ("cuda" if torch.cuda.is_available() and torch.cuda.device_count() > local else "cpu")
    where = f"cuda:{local}" if kind == "cuda" else "cpu"
    if size == 1:
        return Team(device=where)
    if kind == "cuda":
        torch.cuda.set_device(local)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if kind == "cuda" else "gloo", timeout=PATIENCE)
    return Team(dist.get_rank(), size, where)


def leave() -> None:
    """Close the connections."""
    if dist.is_initialized():
        dist.destroy_process_group()
