"""Gradients of a training's batches by source, caught while the training's own passes run.

A source's gradient is the sum over its sequences: ``Σ_b δ_bᵀ a_b`` of a linear layer, from the inputs and the gradients
of the outputs that backpropagation has anyway. All sources together cost one more product per matrix, a third of a
training step; nothing is passed through the model a second time. Any number of micro-batches adds up, activations
may be computed again in the backward pass, and what the loss is weighted or divided by is in the gradients already.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Partial, Shard

from glotmix.attribution.factors import by_group
from glotmix.attribution.modules import Call, call_of, factors_of, owned, size_of, spread


class SourceGradients:
    """Sums of gradients by source, from :meth:`reads` to :meth:`take`.

    Of parameters that FSDP2 has sharded each process keeps its shard, summed over the processes; of all others what its
    own sequences give. Between the two calls memory holds the gradients of L models.
    """

    def __init__(self, model: nn.Module, parameters: Mapping[str, nn.Parameter], sources: int):
        """
        Args:
            model: that is trained.
            parameters: whose gradients are caught, by name.
            sources: L, how many sources there are.
        """
        self._model, self._parameters, self._L = model, dict(parameters), sources
        self._owned = owned(model, parameters)
        self._hooks: list[Any] = []
        self._sums: dict[str, Tensor] = {}
        self._source_B, self._training = torch.zeros(0, dtype=torch.long), True

    def reads(self, source_B: Tensor) -> None:
        """Number of the source of each sequence of the batch that the next forward pass reads."""
        self._source_B, self._training = source_B, self._model.training
        if self._hooks:
            return
        for name in self._owned:
            module = self._model.get_submodule(name)
            self._hooks.append(module.register_forward_pre_hook(self._before, with_kwargs=True))
            self._hooks.append(module.register_forward_hook(partial(self._after, name), with_kwargs=True))

    def take(self) -> dict[str, Tensor]:
        """Name to the sums of each parameter's gradient by source, [L, entries held here] in fp32; watching ends."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        found, self._sums = self._sums, {}
        return found

    @property
    def _counts(self) -> bool:
        """Whether a pass is one of the training: not of an evaluation, not a first one that is computed again."""
        return torch.is_grad_enabled() and self._model.training == self._training

    def _before(self, module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        return spread(len(self._source_B), module, inputs, options) if self._counts else None

    def _after(
        self, name: str, module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any], output: Any
    ) -> None:
        if not self._counts:
            return
        call = call_of(name, module, len(self._source_B), (*inputs, *options.values()), output)
        if output.requires_grad:
            output.register_hook(partial(self._add, call, self._source_B))

    @torch.no_grad()
    def _add(self, call: Call, source_B: Tensor, delta: Tensor) -> None:
        for name, factor in factors_of(call, self._owned[call.name], delta):
            parameter = self._parameters[name]
            sum_LP = by_group(factor, size_of(parameter), source_B.to(delta.device), self._L)
            if isinstance(parameter, DTensor):
                sum_LP = _shard(sum_LP.view(self._L, *parameter.shape), parameter)
            if name in self._sums:
                self._sums[name] += sum_LP
            else:
                self._sums[name] = sum_LP


def _shard(sum_L: Tensor, parameter: DTensor) -> Tensor:
    """This process's shard of the sum over all processes, [L, entries]; every process must call it."""
    mesh = parameter.device_mesh
    whole = DTensor.from_local(sum_L, mesh, [Partial()] * mesh.ndim, run_check=False)
    # One dimension stands before the parameter's own.
    places = [Shard(place.dim + 1) if isinstance(place, Shard) else place for place in parameter.placements]
    return whole.redistribute(placements=places).to_local().flatten(1)
