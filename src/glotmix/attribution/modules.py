"""What a module's input and the gradient of its output say of its parameters: factors of a gradient for each sample.

Linear layers, embeddings (repeated tokens, padding row, a scale as Gemma's), transformers' ``Conv1D`` and tied matrices
keep their factors; every other module's parameters (LayerNorm, RMSNorm, ...) get their per-sample gradients from that
module alone. LoRA adapters are linear layers and need nothing of their own.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, layer_norm, rms_norm

from glotmix.attribution.factors import Factor, Outer, Rows, Whole
from glotmix.errors import BadInput

MULTIPLE = 1e-2
"""Relative error with which an embedding's output must be a multiple of its rows; in bf16 a scale has eight bits."""


@dataclass(frozen=True)
class Call:
    """One call of a module that holds parameters, on a batch."""

    name: str
    """Name of the module."""
    module: nn.Module
    """The module."""
    x: Tensor
    """Its input, samples first."""
    scale: float = 1.0
    """What an embedding multiplies its rows with."""


def owned(model: nn.Module, parameters: Mapping[str, nn.Parameter]) -> dict[str, dict[str, str]]:
    """Module to the chosen parameters that it holds: their names in it, and in the model (of a tied one the first)."""
    names = {id(p): name for name, p in parameters.items()}
    found = {
        place: {n: names[id(p)] for n, p in module.named_parameters(recurse=False) if id(p) in names}
        for place, module in model.named_modules()
    }
    return {place: mine for place, mine in found.items() if mine}


def call_of(name: str, module: nn.Module, samples: int, given: tuple[Any, ...], output: Any) -> Call:
    """
    Raises:
        BadInput: a module with parameters that is not one tensor in and one out, samples first in both.
    """
    tensors = [value for value in given if isinstance(value, Tensor)]
    if len(tensors) != 1 or not isinstance(output, Tensor):
        kind = type(module).__name__
        raise BadInput(f"{kind} with parameters of its own", where=name, expected="one tensor in, one tensor out")
    x = tensors[0]
    if len(x) != samples or len(output) != samples:
        raise BadInput(f"input of shape {tuple(x.shape)} in a batch of {samples}", where=name, expected="samples first")
    return Call(name, module, x.detach(), _scale(name, module, x, output))


def spread(samples: int, module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Before a module's call: one that is called once for the whole batch (BERT's positions, [1, T]) gets an input per
    sample. None where nothing changes."""
    given = [*inputs, *options.values()]
    if isinstance(module, nn.Embedding) and len(given) == 1 and len(given[0]) == 1 < samples:
        return (given[0].expand(samples, *given[0].shape[1:]),), {}
    return None


def factors_of(call: Call, mine: Mapping[str, str], delta: Tensor) -> Iterator[tuple[str, Factor]]:
    """Chosen parameters of a call, each by its name in the model with its factor.

    Args:
        call: the call.
        mine: the chosen parameters of its module, as :func:`owned` gives them.
        delta: gradient of the call's output, in its shape.

    Raises:
        BadInput: a module whose parameters have no gradient for each sample.
    """
    module, x, B = call.module, call.x, len(delta)
    if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D":
        x_BTI, delta_BTO = _live(x.reshape(B, -1, x.shape[-1]), delta.reshape(B, -1, delta.shape[-1]))
        if "weight" in mine:  # transformers' Conv1D stores [in, out]
            sides = (delta_BTO, x_BTI) if isinstance(module, nn.Linear) else (x_BTI, delta_BTO)
            yield mine["weight"], Outer(*sides)
        if "bias" in mine:
            yield mine["bias"], Whole(delta_BTO.sum(1))
    elif isinstance(module, nn.Embedding):
        if module.max_norm is not None or module.scale_grad_by_freq:
            raise BadInput("max_norm and scale_grad_by_freq tie samples together", where=call.name)
        row_BT = x.reshape(B, -1)
        if module.padding_idx is not None:
            row_BT = torch.where(row_BT == module.padding_idx, -1, row_BT)
        value_BTI = delta.reshape(B, -1, delta.shape[-1])
        rows = Rows(row_BT, value_BTI if call.scale == 1.0 else call.scale * value_BTI)
        yield mine["weight"], _table(rows, len(module.weight))
    elif (normal := _normalised(module, x)) is not None:
        dims = tuple(range(1, delta.ndim - 1))
        if "weight" in mine:
            yield mine["weight"], Whole((delta * normal).sum(dims) if dims else delta * normal)
        if "bias" in mine:
            yield mine["bias"], Whole(delta.sum(dims) if dims else delta)
    else:
        yield from ((mine[n], Whole(g)) for n, g in _gradients_of(module, call.name, list(mine), x, delta).items())


def size_of(parameter: Tensor) -> tuple[int, int]:
    """Rows and columns of a parameter; a vector is one row."""
    return (parameter.shape[0], parameter.shape[1]) if parameter.ndim == 2 else (1, parameter.numel())


@torch.no_grad()
def _scale(name: str, module: nn.Module, x: Tensor, output: Tensor) -> float:
    """What an embedding of somebody's own multiplies its rows with (Gemma's, BART's), read off the first sample."""
    if not isinstance(module, nn.Embedding) or type(module).forward is nn.Embedding.forward:
        return 1.0
    rows, seen = embedding(x[0], module.weight).float(), output[0].float()
    square = float(rows.square().sum())
    scale = float((rows * seen).sum()) / square if square else 1.0
    if float((seen - scale * rows).norm()) > MULTIPLE * float(seen.norm()):
        kind = type(module).__name__
        raise BadInput(f"{kind} does more than to look rows up", where=name, expected="rows, or a multiple of them")
    return scale


def _live(x_BTI: Tensor, delta_BTO: Tensor) -> tuple[Tensor, Tensor]:
    """Without the positions that no sample's loss depends on: padding, and in a classifier's last layer all but one."""
    if delta_BTO[0].any(1).all():  # as a rule, and told by one sample
        return x_BTI, delta_BTO
    live_T = delta_BTO.abs().amax((0, 2)) != 0  # three times as fast as any(); NaN is not zero either
    live_T[0] = True  # sums over no position at all have no shape
    return x_BTI[:, live_T], delta_BTO[:, live_T]


def _table(rows: Rows, height: int) -> Rows | Whole:
    """A table with fewer rows than a sample has positions (positions, token types) is smaller whole."""
    B, T, columns = rows.value_BTI.shape
    if height > T + 2:  # two rows more: RoBERTa's positions begin behind its padding index
        return rows
    there = rows.row_BT >= 0
    place_BT = torch.where(there, rows.row_BT, 0) + height * torch.arange(B, device=there.device)[:, None]
    table = torch.zeros(B * height, columns, device=there.device)
    table.index_add_(0, place_BT.flatten(), (rows.value_BTI.float() * there[..., None]).flatten(0, 1))
    return Whole(table.view(B, -1))


def _normalised(module: nn.Module, x: Tensor) -> Tensor | None:
    """What a norm over the last dimension multiplies its weight with; None for any other module."""
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1:
        return layer_norm(x.float(), module.normalized_shape, None, None, module.eps)
    if type(module).__name__.endswith("RMSNorm") and [n for n, _ in module.named_parameters()] == ["weight"]:
        epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
        if isinstance(epsilon, float):
            return rms_norm(x.float(), (x.shape[-1],), None, epsilon)
    return None


def _gradients_of(module: nn.Module, name: str, names: list[str], x: Tensor, delta: Tensor) -> dict[str, Tensor]:
    """Per-sample gradients [B, size] of a module's own parameters, from its inputs and its outputs' gradients."""
    own = {n: p.detach() for n, p in module.named_parameters(recurse=False)}
    buffers = dict(module.named_buffers(recurse=False))
    if any(True for _ in module.children()):
        raise BadInput(f"{type(module).__name__} holds parameters and modules", where=name, expected="one or the other")

    bare = copy.copy(module)  # without the hooks that brought us here, or anybody else's
    bare._forward_hooks, bare._forward_pre_hooks = OrderedDict(), OrderedDict()

    def product(chosen: dict[str, Tensor], x_1: Tensor, delta_1: Tensor) -> Tensor:
        y: Tensor = torch.func.functional_call(bare, {**buffers, **own, **chosen}, (x_1.unsqueeze(0),))
        return (y * delta_1.unsqueeze(0)).sum()

    per_sample = torch.func.vmap(torch.func.grad(product), in_dims=(None, 0, 0))
    with torch.enable_grad():
        found = per_sample({n: own[n] for n in names}, x, delta)
    return {n: g.detach().flatten(1) for n, g in found.items()}
