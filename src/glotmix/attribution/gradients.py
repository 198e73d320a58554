"""Per-sample gradients of any torch model, caught by hooks in one backward pass over a batch.

No gradient of a parameter is computed by autograd: the pass stops at the modules' outputs, and what it leaves there is
turned into :mod:`glotmix.attribution.factors` by :mod:`glotmix.attribution.modules`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from glotmix.attribution.factors import Factor, Gradient
from glotmix.attribution.modules import Call, call_of, factors_of, owned, size_of, spread
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
        embeddings = _held_by(model, nn.Embedding)
        held = embeddings if parameters == "embeddings" else _held_by(model, nn.Linear) - embeddings
        chosen = {name: p for name, p in trainable.items() if id(p) in held}
        if not chosen:
            raise BadInput(f"no trainable parameters are {parameters}")
        return chosen
    for pattern in parameters:
        if not any(fnmatchcase(name, pattern) for name in trainable):
            raise BadInput(f"no trainable parameter matches {pattern!r}", expected=f"such as {next(iter(trainable))!r}")
    return {n: p for n, p in trainable.items() if any(fnmatchcase(n, pattern) for pattern in parameters)}


def _held_by(model: nn.Module, kind: type[nn.Module]) -> set[int]:
    return {id(p) for module in model.modules() if isinstance(module, kind) for p in module.parameters(recurse=False)}


def held_whole(model: nn.Module, parameters: Mapping[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    """Parameters whose gradients are held whole: not of tables that are only looked up, of which a few rows are."""
    tables = _held_by(model, nn.Embedding) - _held_by(model, nn.Linear)
    return {name: p for name, p in parameters.items() if id(p) not in tables}


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
        self._owned = owned(model, self.parameters)
        self._checked = False

    def __call__(self, batch: Batch) -> dict[str, Gradient]:
        """
        Raises:
            BadInput: losses that are not one per sample, a module that mixes the batch, or the check above.
        """
        with evaluating(self.model):
            if not self._checked:
                few = {name: tensor[:CHECKED] for name, tensor in batch.items()}
                self._check(few, self._caught(few))
                self._checked = True
            return self._caught(batch)

    def _caught(self, batch: Batch) -> dict[str, Gradient]:
        calls: list[tuple[Call, Tensor]] = []
        samples = len(next(iter(batch.values())))
        hooks = []
        try:
            for name in self._owned:
                module = self.model.get_submodule(name)
                hooks.append(module.register_forward_pre_hook(partial(spread, samples), with_kwargs=True))
                hooks.append(module.register_forward_hook(_record(name, samples, calls), with_kwargs=True))
            with torch.enable_grad(), _frozen(self.model):
                loss_B = self.loss(self.model, batch)
                self._check_losses(loss_B, samples)
                outputs = [output for _, output in calls]
                deltas = torch.autograd.grad(loss_B.sum(), outputs, allow_unused=True) if outputs else ()
        finally:
            for hook in hooks:
                hook.remove()
        factors: dict[str, list[Factor]] = {}
        for (call, _), delta in zip(calls, deltas, strict=True):
            if delta is not None:
                for parameter, factor in factors_of(call, self._owned[call.name], delta):
                    factors.setdefault(parameter, []).append(factor)
        return {name: Gradient(size_of(self.parameters[name]), tuple(found)) for name, found in factors.items()}

    @staticmethod
    def _check_losses(loss_B: Tensor, samples: int) -> None:
        if loss_B.shape != (samples,):
            raise BadInput(f"the loss has shape {tuple(loss_B.shape)}", expected=f"({samples},): one per sample")

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


def _record(name: str, samples: int, calls: list[tuple[Call, Tensor]]) -> Callable[..., Any]:
    def hook(module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any], output: Any) -> Any:
        call = call_of(name, module, samples, (*inputs, *options.values()), output)
        if not output.requires_grad:
            output = output.detach().requires_grad_()
        calls.append((call, output))
        return output

    return hook


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
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
