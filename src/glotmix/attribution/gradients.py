"""Per-sample gradients of any torch model, caught by hooks in one backward pass over a batch.

No gradient of a parameter is computed by autograd: the pass stops at the modules' outputs, and what it leaves there is
turned into :mod:`glotmix.attribution.factors`. Linear layers, embeddings (repeated tokens, padding row), transformers'
``Conv1D`` and tied matrices keep their factors; every other module's parameters (LayerNorm, RMSNorm, ...) get their
per-sample gradients from that module alone. LoRA adapters are linear layers and need nothing of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, rms_norm

from glotmix.attribution.factors import Factor, Gradient, Outer, Rows, Whole
from glotmix.errors import BadInput

Batch = Mapping[str, Tensor]
Loss = Callable[[nn.Module, Batch], Tensor]
"""Losses of the samples of a batch, [B]: each from its own sample alone."""

CHECKED = 4
"""Samples of the first batch on which gradients are compared with autograd's."""
AGREEMENT = 1e-3
"""Relative error of a batch's summed gradient, against autograd's, beyond which a module was misread."""
NEGLIGIBLE = 1e-3
"""Share of the whole gradient below which a parameter's is compared with the whole: a key's bias, which the softmax
does not see, has rounding errors for a gradient."""


def chosen_parameters(model: nn.Module, parameters: str | Sequence[str] = "all") -> dict[str, nn.Parameter]:
    """Trainable parameters by name.

    Args:
        parameters: "all"; "linear", of ``nn.Linear`` (a matrix tied to an embedding is the embedding's);
            "embeddings"; or name patterns such as ``["*.layer.11.*", "classifier.*"]``.

    Raises:
        BadInput: nothing is chosen, or a pattern that no trainable parameter matches.
    """
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trainable:
        raise BadInput("the model has no parameter with requires_grad")
    if isinstance(parameters, str):
        if parameters == "all":
            return trainable
        if parameters not in ("linear", "embeddings"):
            raise BadInput(
                f"parameters = {parameters!r}", expected='"all", "linear", "embeddings" or a list of patterns'
            )
        embeddings = _owned(model, nn.Embedding)
        owned = embeddings if parameters == "embeddings" else _owned(model, nn.Linear) - embeddings
        chosen = {name: p for name, p in trainable.items() if id(p) in owned}
        if not chosen:
            raise BadInput(f"no trainable parameters are {parameters}")
        return chosen
    for pattern in parameters:
        if not any(fnmatchcase(name, pattern) for name in trainable):
            raise BadInput(f"no trainable parameter matches {pattern!r}", expected=f"such as {next(iter(trainable))!r}")
    return {n: p for n, p in trainable.items() if any(fnmatchcase(n, pattern) for pattern in parameters)}


def _owned(model: nn.Module, kind: type[nn.Module]) -> set[int]:
    return {id(p) for module in model.modules() if isinstance(module, kind) for p in module.parameters(recurse=False)}


class PerSampleGradients:
    """``gradients(batch)``: name to :class:`Gradient` of every chosen parameter, for each sample of the batch.

    The first samples are checked against autograd: a module that hooks do not see as it is (fused attention, in-place
    activations, weights used without their module) is a named error, never a wrong score.
    """

    def __init__(self, model: nn.Module, loss: Loss, parameters: str | Sequence[str] = "all"):
        self.model, self.loss = model, loss
        self.parameters = chosen_parameters(model, parameters)
        for name, parameter in self.parameters.items():
            if parameter.dtype not in (torch.float32, torch.float64):
                kind = str(parameter.dtype).removeprefix("torch.")
                raise BadInput(f"is in {kind}", where=f"parameter {name}", expected="float32, as model.float() gives")
        self._names = {id(p): name for name, p in self.parameters.items()}
        self._modules: dict[str, nn.Module] = {
            name: module
            for name, module in model.named_modules()
            if any(id(p) in self._names for p in module.parameters(recurse=False))
        }
        self._checked = False

    @property
    def matrices(self) -> dict[str, nn.Parameter]:
        """Parameters whose gradients are held whole: not of tables that are only looked up, of which a few rows are."""
        tables = _owned(self.model, nn.Embedding) - _owned(self.model, nn.Linear)
        return {name: p for name, p in self.parameters.items() if id(p) not in tables}

    def __call__(self, batch: Batch) -> dict[str, Gradient]:
        """
        Raises:
            BadInput: losses that are not one per sample, a module that mixes the batch, or the check above.
        """
        with _evaluating(self.model):
            if not self._checked:
                few = {name: tensor[:CHECKED] for name, tensor in batch.items()}
                self._check(few, self._caught(few))
                self._checked = True
            return self._caught(batch)

    def _caught(self, batch: Batch) -> dict[str, Gradient]:
        calls: list[tuple[str, Tensor, Tensor]] = []
        samples = len(next(iter(batch.values())))
        hooks = []
        try:
            for name, module in self._modules.items():
                hooks.append(module.register_forward_pre_hook(_spread(name, samples), with_kwargs=True))
                hooks.append(module.register_forward_hook(_record(name, samples, calls), with_kwargs=True))
            with torch.enable_grad(), _frozen(self.model):
                loss_B = self.loss(self.model, batch)
                self._check_losses(loss_B, samples)
                outputs = [output for _, _, output in calls]
                deltas = torch.autograd.grad(loss_B.sum(), outputs, allow_unused=True) if outputs else ()
        finally:
            for hook in hooks:
                hook.remove()
        factors: dict[str, list[Factor]] = {}
        for (name, x, _), delta in zip(calls, deltas, strict=True):
            if delta is not None:
                for parameter, factor in self._factors(name, x.detach(), delta):
                    factors.setdefault(parameter, []).append(factor)
        return {name: Gradient(_size(self.parameters[name]), tuple(found)) for name, found in factors.items()}

    @staticmethod
    def _check_losses(loss_B: Tensor, samples: int) -> None:
        if loss_B.shape != (samples,):
            raise BadInput(f"the loss has shape {tuple(loss_B.shape)}", expected=f"({samples},): one per sample")

    def _factors(self, name: str, x: Tensor, delta: Tensor) -> Iterator[tuple[str, Factor]]:
        """Chosen parameters of one call of a module, each with its factor."""
        module, B = self._modules[name], len(delta)
        mine = {n: self._names[id(p)] for n, p in module.named_parameters(recurse=False) if id(p) in self._names}
        if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D":
            x_BTI, delta_BTO = _live(x.reshape(B, -1, x.shape[-1]), delta.reshape(B, -1, delta.shape[-1]))
            if "weight" in mine:  # transformers' Conv1D stores [in, out]
                sides = (delta_BTO, x_BTI) if isinstance(module, nn.Linear) else (x_BTI, delta_BTO)
                yield mine["weight"], Outer(*sides)
            if "bias" in mine:
                yield mine["bias"], Whole(delta_BTO.sum(1))
        elif isinstance(module, nn.Embedding):
            if module.max_norm is not None or module.scale_grad_by_freq:
                raise BadInput("max_norm and scale_grad_by_freq tie samples together", where=name)
            row_BT = x.reshape(B, -1)
            if module.padding_idx is not None:
                row_BT = torch.where(row_BT == module.padding_idx, -1, row_BT)
            rows = Rows(row_BT, delta.reshape(B, -1, delta.shape[-1]))
            yield mine["weight"], _table(rows, len(module.weight))
        elif (normal := _normalised(module, x)) is not None:
            dims = tuple(range(1, delta.ndim - 1))
            if "weight" in mine:
                yield mine["weight"], Whole((delta * normal).sum(dims) if dims else delta * normal)
            if "bias" in mine:
                yield mine["bias"], Whole(delta.sum(dims) if dims else delta)
        else:
            yield from ((mine[n], Whole(g)) for n, g in _gradients_of(module, name, list(mine), x, delta).items())

    def _check(self, batch: Batch, gradients: Mapping[str, Gradient]) -> None:
        with torch.enable_grad():
            total = self.loss(self.model, batch).sum()
            truth = torch.autograd.grad(total, list(self.parameters.values()), allow_unused=True)
        whole = math.hypot(*(float(true.double().norm()) for true in truth if true is not None))
        least = max(1e-6, NEGLIGIBLE * whole)
        for (name, parameter), true in zip(self.parameters.items(), truth, strict=True):
            true = torch.zeros_like(parameter) if true is None else true
            caught = torch.zeros(parameter.numel(), device=parameter.device)
            if name in gradients:
                caught = torch.cat([block.sum(0) for _, block in gradients[name].blocks()])
            scale = true.float().norm().clamp(min=least)
            if (caught - true.float().flatten()).norm() > AGREEMENT * scale:
                raise BadInput(
                    "its gradient is not what its module's inputs and outputs tell; leave it out of the parameters",
                    where=f"parameter {name}",
                    expected="a module called on the batch, by its own forward, without in-place changes of its output",
                )


def _size(parameter: Tensor) -> tuple[int, int]:
    return (parameter.shape[0], parameter.shape[1]) if parameter.ndim == 2 else (1, parameter.numel())


def _live(x_BTI: Tensor, delta_BTO: Tensor) -> tuple[Tensor, Tensor]:
    """Without the positions that no sample's loss depends on: padding, and in a classifier's last layer all but one."""
    if delta_BTO[0].any(1).all():  # as a rule, and told by one sample
        return x_BTI, delta_BTO
    live_T = delta_BTO.abs().amax((0, 2)) != 0  # three times as fast as any(); NaN is not zero either
    live_T[0] = True  # sums over no position at all have no shape
    return x_BTI[:, live_T], delta_BTO[:, live_T]


def _spread(name: str, samples: int) -> Callable[..., Any]:
    """Gives a module that is called once for the whole batch (BERT's positions, [1, T]) an input per sample."""

    def hook(module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        given = [*inputs, *options.values()]
        if isinstance(module, nn.Embedding) and len(given) == 1 and len(given[0]) == 1 < samples:
            return (given[0].expand(samples, *given[0].shape[1:]),), {}
        return None

    return hook


def _record(name: str, samples: int, calls: list[tuple[str, Tensor, Tensor]]) -> Callable[..., Any]:
    def hook(module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any], output: Any) -> Any:
        given = [value for value in (*inputs, *options.values()) if isinstance(value, Tensor)]
        if len(given) != 1 or not isinstance(output, Tensor):
            kind = type(module).__name__
            raise BadInput(f"{kind} with parameters of its own", where=name, expected="one tensor in, one tensor out")
        if len(given[0]) != samples or len(output) != samples:
            shape = tuple(given[0].shape)
            raise BadInput(f"input of shape {shape} in a batch of {samples}", where=name, expected="samples first")
        if not output.requires_grad:
            output = output.detach().requires_grad_()
        calls.append((name, given[0], output))
        return output

    return hook


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

    def product(chosen: dict[str, Tensor], x_1: Tensor, delta_1: Tensor) -> Tensor:
        y: Tensor = torch.func.functional_call(module, {**buffers, **own, **chosen}, (x_1.unsqueeze(0),))
        return (y * delta_1.unsqueeze(0)).sum()

    per_sample = torch.func.vmap(torch.func.grad(product), in_dims=(None, 0, 0))
    with torch.enable_grad():
        found = per_sample({n: own[n] for n in names}, x, delta)
    return {n: g.detach().flatten(1) for n, g in found.items()}


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout; every module's own mode comes back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """No gradients of parameters, which are not needed and are half of the work."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    try:
        for p in trainable:
            p.requires_grad_(False)
        yield
    finally:
        for p in trainable:
            p.requires_grad_(True)
