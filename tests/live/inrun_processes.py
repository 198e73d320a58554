"""A small language model of plain torch, and its training alone or in two processes (run by torchrun)."""

import json
import math
import os
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from glotmix.attribution.inrun import Target
from glotmix.live.inrun import InRunShapley

SOURCES = ("a", "b", "absent")
V, D, F, B, S = 40, 16, 24, 8, 9


class Language(nn.Module):
    """Table, norm, two layers with a residual, and the table again as a head."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.table, self.norm = nn.Embedding(V, D), nn.LayerNorm(D)
        self.up, self.down, self.head = nn.Linear(D, F), nn.Linear(F, D), nn.Linear(D, V, bias=False)
        self.head.weight = self.table.weight

    def forward(self, ids):
        x = 0.3 * self.table(ids)
        return self.head(x + self.down(torch.tanh(self.up(self.norm(x)))))


class Copied(torch.autograd.Function):
    """Megatron's ``copy_to_tensor_model_parallel_region``."""

    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def backward(ctx, delta):
        delta = delta.clone()
        torch.distributed.all_reduce(delta)
        return delta


class Summed(torch.autograd.Function):
    """Megatron's ``reduce_from_tensor_model_parallel_region``."""

    @staticmethod
    def forward(ctx, x):
        x = x.clone()
        torch.distributed.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, delta):
        return delta


class Split(Language):
    """``up`` split by its outputs, ``down`` by its inputs; the rest is the same on each process."""

    def __init__(self, rank, parts):
        super().__init__()
        up, down, size = self.up, self.down, F // parts
        mine = slice(rank * size, rank * size + size)
        self.up, self.down, self.shift = nn.Linear(D, size), nn.Linear(size, D, bias=False), Shift()
        with torch.no_grad():
            for part, whole in (
                (self.up.weight, up.weight[mine]),
                (self.up.bias, up.bias[mine]),
                (self.down.weight, down.weight[:, mine]),
                (self.shift.bias, down.bias),
            ):
                part.copy_(whole)
        for parameter in (self.up.weight, self.up.bias, self.down.weight):
            parameter.tensor_model_parallel = True

    def forward(self, ids):
        x = 0.3 * self.table(ids)
        inner = torch.tanh(self.up(Copied.apply(self.norm(x))))
        return self.head(x + self.shift(Summed.apply(self.down(inner))))


class Shift(nn.Module):
    """What a row-split layer adds after the sum over processes."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(D))

    def forward(self, x):
        return x + self.bias


def loss(model, inputs):
    ids = inputs["input_ids"]
    nll = cross_entropy(model(ids[:, :-1]).transpose(1, 2), ids[:, 1:], reduction="none")
    return nll.mean(1)


def batch(step):
    rng = torch.Generator().manual_seed(step)
    tokens_BS = torch.randint(0, V // 2, (B, S), generator=rng)
    source_B = torch.tensor([0, 1, 1, 0, 1, 1, 1, 0])
    tokens_BS[source_B == 1] += V // 3
    return tokens_BS, source_B


def windows():
    rng = torch.Generator().manual_seed(99)
    tokens = [torch.randint(low, V // 2 + low, (3, S), generator=rng) for low in (0, V // 3)]
    return {name: Target(ids, math.log2(math.e)) for name, ids in zip("xy", tokens, strict=True)}


def train(kind, rank=0, world=1):
    """Values of nine updates with AdamW, clipped, two micro-batches each."""
    model = Split(rank, world) if kind == "split" else Language()
    options = {"tensor_group": torch.distributed.group.WORLD} if kind == "split" else {}
    called = model
    if kind == "data":
        called = nn.parallel.DistributedDataParallel(model)
    if kind == "sharded":
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh("cpu", (world,))
        for layer in (model.up, model.down):
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    shapley = InRunShapley(model, optimizer, windows(), SOURCES, every=2, loss=loss, windows=2, **options)
    for step in range(9):
        tokens_BS, source_B = batch(step)
        if kind in ("data", "sharded"):
            tokens_BS, source_B = tokens_BS[rank::world], source_B[rank::world]
        for part in torch.arange(len(source_B)).chunk(2):
            shapley.reads(source_B[part])
            (loss(called, {"input_ids": tokens_BS[part]}).mean() / 2).backward()
        clip(model, kind)
        shapley.before_update()
        optimizer.step()
        optimizer.zero_grad()
    return shapley.matrix().value_TL


def clip(model, kind):
    """To a norm of 0.3, where layers are split over what all processes hold."""
    if kind != "split":
        nn.utils.clip_grad_norm_(model.parameters(), 0.3)
        return
    split = [getattr(p, "tensor_model_parallel", False) for p in model.parameters()]
    both = torch.stack([p.grad.square().sum() for p in model.parameters()])
    mine = both[torch.tensor(split)].sum()
    torch.distributed.all_reduce(mine)
    norm = (mine + both[~torch.tensor(split)].sum()).sqrt()
    for p in model.parameters():
        p.grad.mul_((0.3 / (norm + 1e-6)).clamp(max=1.0))


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    for kind in ("data", "sharded", "split"):
        found = train(kind, rank, world)
        (Path(sys.argv[1]) / f"{kind}-{rank}.json").write_text(json.dumps(found.tolist()))
    torch.distributed.destroy_process_group()
