"""K proxies of one shape as one program: all parameters in one flat buffer, one optimiser for all of them.

A row of the buffer is a model, ``[K, P]``, matrices first and the norms' vectors behind them, so AdamW, the norms of
the gradients and weight decay are a handful of operations whatever the number of tensors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from glotmix.footprint import Footprint
from glotmix.proxy import flops, held, kernels, model, native, precision
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.model import Parameters, Shape

BETAS = (0.9, 0.95)
EPSILON = 1e-8


TOKENS_AT_ONCE = {True: 4096, False: 65_536}
"""Tokens of each model in one pass, on a CPU or a GPU: bounds the memory of activations; on a CPU speed is flat from
2,048 to 8,192 (docs/engine.md)."""
EVALUATED_TOKEN = 9
"""Bytes of a held-out token: its id, and whether it counts."""
ALIGNMENT = 16
"""Floats: every tensor begins at a cache line, so a member's products give the same bits wherever it stands."""


def _layout(shape: Shape) -> tuple[dict[str, int], int, int]:
    """Where each tensor starts in a row, where the matrices end, and the row's length."""
    start, place, matrices = {}, 0, 0
    for name, size in shape.tensors().items():
        start[name] = place
        place += -(-math.prod(size) // ALIGNMENT) * ALIGNMENT
        matrices = place if len(size) > 1 else matrices
    return start, matrices, place


class Stack:
    """Parameters, gradients and AdamW's moments of K proxies.

    Matrix products run in ``dtype``, on a copy of the weights in it; the master weights, the sums of gradients, the
    moments and the update stay in fp32.
    """

    def __init__(
        self,
        shape: Shape,
        seeds_K: Sequence[int],
        *,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        recompute: bool = False,
    ):
        """
        Args:
            shape: of all models.
            seeds_K: seeds of their initial weights.
            dtype: of the matrix products.
            device: where they live.
            recompute: keep blocks' inputs only and compute the rest again in the backward pass.
        """
        self.shape, self.dtype, self.device, self.recompute = shape, dtype, torch.device(device), recompute
        self.K = len(seeds_K)
        self._start, self.matrices, P = _layout(shape)
        self.master_KP = torch.zeros(self.K, P, device=self.device)
        self.working_KP = self.master_KP if dtype == torch.float32 else self.master_KP.to(dtype)
        self.gradient_KP = torch.zeros_like(self.master_KP)
        self.first_KP, self.second_KP = torch.zeros_like(self.master_KP), torch.zeros_like(self.master_KP)
        self.updates = 0
        """Updates made since the start or the last restart."""
        self.set(model.init_parameters(shape, seeds_K))
        self.parameters = {name: view.requires_grad_() for name, view in self.views(self.working_KP).items()}
        self.gradients = list(self.views(self.gradient_KP).values())

    def views(self, flat_KP: Tensor) -> dict[str, Tensor]:
        """Every tensor by name as a view into a flat buffer."""
        return {
            name: flat_KP.detach()[:, self._start[name] : self._start[name] + math.prod(size)].view(self.K, *size)
            for name, size in self.shape.tensors().items()
        }

    def set(self, parameters: model.Parameters) -> None:
        """Set the weights."""
        for name, view in self.views(self.master_KP).items():
            view.copy_(parameters[name].detach())
        self.cast()

    @property
    def master(self) -> dict[str, Tensor]:
        """The weights in fp32, K first: what is kept, measured and attributed. Views; write, then :meth:`cast`."""
        return self.views(self.master_KP)

    def backward(self, tokens_KBS: Tensor) -> Tensor:
        """Add the gradient of the mean loss of a batch to the gradients; the losses, [K].

        A batch of more than ``TOKENS_AT_ONCE`` tokens goes through in parts of equal weight per sequence.
        """
        B, S = tokens_KBS.shape[1:]
        together = max(1, TOKENS_AT_ONCE[self.device.type == "cpu"] // (S - 1))
        losses = [self._backward(part, part.shape[1] / B) for part in tokens_KBS.split(min(together, B), 1)]
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum(0)

    def backward_weighted(self, tokens_KBS: Tensor, weight_KB: Tensor) -> Tensor:
        """Add the gradient of ``1/B Σ_b w_b loss_b`` to the gradients; the loss of every token, [K, B, T]. Tokens may
        have weights of their own, [K, B, T]."""
        B, S = tokens_KBS.shape[1:]
        together = min(B, max(1, TOKENS_AT_ONCE[self.device.type == "cpu"] // (S - 1)))
        losses = []
        for tokens, weight in zip(tokens_KBS.split(together, 1), weight_KB.split(together, 1), strict=True):
            weighted_K, loss_KBT = model.weighted_loss(self.parameters, tokens, weight, self.shape, self.recompute)
            part = weighted_K.sum() * (tokens.shape[1] / B)
            self.add(torch.autograd.grad(part, list(self.parameters.values())))
            losses.append(loss_KBT.detach())
        return torch.cat(losses, 1)

    def _backward(self, tokens_KBS: Tensor, weight: float) -> Tensor:
        loss_K = model.loss(self.parameters, tokens_KBS, self.shape, self.recompute) * weight
        # The models share nothing, so the sum's gradient is each one's own.
        self.add(torch.autograd.grad(loss_K.sum(), list(self.parameters.values())))
        return loss_K.detach()

    def add(self, gradients: Sequence[Tensor]) -> None:
        """Add gradients of the parameters, in their order and in any precision, to the fp32 sums."""
        torch._foreach_add_(self.gradients, list(gradients))

    @torch.no_grad()
    def step(self, step: int, learning_rate: float, weight_decay: float, clip: float) -> Tensor:
        """Clip each model's gradient to norm ``clip``, one AdamW update, clear the gradients; the norms, [K].

        Decoupled weight decay on matrices only (Loshchilov & Hutter 2019, arXiv 1711.05101).

        Args:
            step: number of the update, from 1, for the bias corrections.
        """
        self.updates, gradient_KP = step, self.gradient_KP
        norm_K: Tensor = torch.linalg.vector_norm(gradient_KP, dim=1)
        if kernels.uses_native(gradient_KP):
            self._native_step(step, learning_rate, weight_decay, clip, norm_K)
            return norm_K
        gradient_KP.mul_((clip / (norm_K + 1e-6)).clamp_(max=1.0).unsqueeze(1))
        beta1, beta2 = BETAS
        self.first_KP.lerp_(gradient_KP, 1 - beta1)
        self.second_KP.mul_(beta2).addcmul_(gradient_KP, gradient_KP, value=1 - beta2)
        if weight_decay:
            self.master_KP[:, : self.matrices].mul_(1 - learning_rate * weight_decay)
        denominator = self.second_KP.sqrt().div_(math.sqrt(1 - beta2**step)).add_(EPSILON)
        self.master_KP.addcdiv_(self.first_KP, denominator, value=-learning_rate / (1 - beta1**step))
        self.cast()
        self.gradient_KP.zero_()
        return norm_K

    def _native_step(self, step: int, learning_rate: float, weight_decay: float, clip: float, norm_K: Tensor) -> None:
        """The same in one pass over memory instead of eight."""
        beta1, beta2 = BETAS
        rates = (learning_rate / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step), EPSILON)
        P = self.master_KP.shape[1]
        keep = 1 - learning_rate * weight_decay
        for k, norm in enumerate(norm_K.tolist()):
            factor = min(1.0, clip / (norm + 1e-6))
            for start, size, kept in ((0, self.matrices, keep), (self.matrices, P - self.matrices, 1.0)):
                rows = (flat[k, start:] for flat in (self.master_KP, self.gradient_KP, self.first_KP, self.second_KP))
                native.adamw(*rows, size, factor, beta1, beta2, kept, *rates)
        self.cast()

    @torch.no_grad()
    def restart(self) -> None:
        """Forget AdamW's moments: the next update is number 1."""
        self.first_KP.zero_()
        self.second_KP.zero_()
        self.updates = 0

    @torch.no_grad()
    def load(self, master_KP: Tensor, first_KP: Tensor, second_KP: Tensor, updates: int) -> None:
        """Set weights, AdamW's moments (whole buffers as another stack of this shape had them) and its updates."""
        self.updates = updates
        self.master_KP.copy_(master_KP)
        self.first_KP.copy_(first_KP)
        self.second_KP.copy_(second_KP)
        self.cast()

    @torch.no_grad()
    def load_member(self, k: int, master: Parameters, first: Parameters, second: Parameters, updates: int) -> None:
        """Set one model's weights and AdamW's moments ([1, ...] each, by name), and the stack's updates."""
        self.updates = updates
        for flat_KP, tensors in ((self.master_KP, master), (self.first_KP, first), (self.second_KP, second)):
            for name, view in self.views(flat_KP).items():
                view[k].copy_(tensors[name][0])
        self.cast()

    @torch.no_grad()
    def cast(self) -> None:
        """Bring what the products read up to the master weights; to be called when something else wrote into them."""
        if self.working_KP is not self.master_KP:
            self.working_KP.copy_(self.master_KP)

    @torch.no_grad()
    def freeze(self, k: int) -> None:
        """Take a diverged model out: its parameters become zeros, whose gradients are zeros ever after."""
        for flat in (self.master_KP, self.working_KP, self.gradient_KP, self.first_KP, self.second_KP):
            flat[k].zero_()


def footprint(
    stage: str,
    shape: Shape,
    training: ProxyConfig,
    *,
    tokens: float,
    K: int = 1,
    devices: int = 1,
    evaluated: float = 0.0,
) -> Footprint:
    """What a stack holds on one GPU while it trains, and what all runs of a stage compute.

    Args:
        stage: what it is called.
        shape: of the proxies.
        training: batch, context and precision; ``auto`` is bf16, as on GPUs that have it.
        tokens: training tokens of all runs together.
        K: proxies of one stack.
        devices: GPUs that share every batch.
        evaluated: held-out tokens that are kept beside it.
    """
    half = training.precision != "float32"
    dtype = precision.dtype("bfloat16" if half else "float32")
    P = K * _layout(shape)[2]
    batch, T = -(-training.batch // devices), training.context
    sequences = min(batch, max(1, TOKENS_AT_ONCE[False] // T))
    logits = min(kernels.CHUNK_ROWS, K * sequences * T) * shape.vocab * (dtype.itemsize + 4 + half * 4)
    recompute = training.recompute_activations
    return Footprint(
        stage,
        weights=(4 + half * dtype.itemsize) * P,
        gradients=(4 + dtype.itemsize) * P,
        optimiser=8 * P,
        activations=K * held.of_proxy(shape, sequences, T, dtype, recompute=recompute, freed=logits / K),
        logits=logits,
        kept=EVALUATED_TOKEN * evaluated,
        flops=tokens * flops.per_token(shape, T),
        devices=devices,
        smaller="proxy.recompute_activations: true, a smaller sweep.stack or proxy.context"
        + ("" if devices > 1 else ", sweep.devices_per_run"),
    )
