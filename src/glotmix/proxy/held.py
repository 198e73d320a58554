"""What autograd holds between a forward and its backward pass, counted on tensors that have shapes and no memory.

They are torch's fake tensors on the CPU. Tensors on ``meta`` would not do: attention writes out all scores there, as no
device that people train on does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.multiprocessing.reductions import StorageWeakRef

from glotmix.proxy import kernels, model
from glotmix.proxy.model import Shape


def held(forward: Callable[[], Any], besides: Iterable[Tensor]) -> int:
    """Bytes of everything that ``forward`` leaves for its backward pass, each storage once.

    Args:
        forward: computes something that has a gradient.
        besides: tensors that are counted elsewhere, such as the weights.
    """
    counted = {StorageWeakRef(tensor.untyped_storage()) for tensor in besides}
    alive: list[Tensor] = []  # a storage that is freed and made again would count as one
    total = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal total
        storage = tensor.untyped_storage()
        if (reference := StorageWeakRef(storage)) not in counted:
            counted.add(reference)
            alive.append(tensor)
            total += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return total


@dataclass(frozen=True)
class Depth:
    """What a model of equal layers holds: of one layer, and of everything around the layers."""

    layer: float
    """Bytes of one layer."""
    around: float
    """Bytes of embedding, last norm and loss."""

    @classmethod
    def of(cls, at: Callable[[int], float]) -> Depth:
        """From the same model with one layer and with two."""
        one, two = at(1), at(2)
        return cls(two - one, 2 * one - two)

    def bytes(self, layers: int, *, boundary: float = 0.0, freed: float = 0.0) -> float:
        """Of so many layers.

        Args:
            layers: how many.
            boundary: bytes of the input of a layer, where layers keep nothing else and one at a time is computed again.
            freed: bytes of what is gone by then (logits), whose room that layer takes.
        """
        if not boundary:
            return self.around + layers * self.layer
        return self.around + layers * boundary + max(self.layer - freed, 0.0)


def of_proxy(
    shape: Shape,
    sequences: int,
    context: int,
    dtype: torch.dtype = torch.float32,
    *,
    recompute: bool = False,
    freed: float = 0.0,
) -> float:
    """What a pass of one proxy over some sequences holds on a GPU, the gradients that the loss leaves included; the
    other arguments as in :meth:`Depth.bytes`."""

    def at(layers: int) -> float:
        truncated = dataclasses.replace(shape, layers=layers)
        with without_memory(), kernels.plain():
            sizes = truncated.tensors().items()
            parameters = {name: torch.zeros(1, *size, dtype=dtype).requires_grad_() for name, size in sizes}
            tokens = torch.zeros(1, sequences, context, dtype=torch.long)
            return held(lambda: model.hidden(parameters, tokens, truncated), parameters.values())

    states = sequences * context * shape.width * dtype.itemsize
    by_loss = states + 4 * shape.vocab * shape.width  # of the last states, and of the output matrix in fp32
    return Depth.of(at).bytes(shape.layers, boundary=states if recompute else 0, freed=freed) + by_loss


def without_memory() -> FakeTensorMode:
    """Inside, tensors have shapes, types and a device, and no memory."""
    return FakeTensorMode()
