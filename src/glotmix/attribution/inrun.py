"""In-run data Shapley by language: who lowered whose held-out loss, measured while one proxy trains.

Wang et al. 2024 (arXiv 2406.11011), first order: the Shapley value of sample i for one update, with the loss taken as
linear in the weights, is ``φ_i = η ⟨∇L_target, ∇L_i / B⟩`` (their §4.2; our sign: positive helps). Values add up over
updates and over the samples of a language, so a language needs one gradient, not one per sample: the sum over its
sequences in the batch, which costs the batch's own backward pass and no more. That is the departure from their ghost
products per sample; the figures by language are the same.

AdamW does not step along the gradient. What a language adds to an update is its gradient divided by ``√v̂ + ε``, so the
corrected form is ``φ = η c ⟨∇L_target / (√v̂ + ε), G_language⟩`` with clipping c. Momentum spreads a gradient over later
updates with a total weight that is one (but for the first tens of updates); here it counts at once. Weight decay and
what is left of the curvature belong to no language: compare ``predicted`` with ``measured``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from glotmix.errors import BadInput
from glotmix.proxy import model
from glotmix.proxy.evaluate import HeldOut
from glotmix.proxy.model import Parameters, Shape
from glotmix.proxy.stack import BETAS, EPSILON, Stack
from glotmix.transfer.matrix import TransferMatrix


@dataclass(frozen=True)
class Target:
    """Held-out text of one language that contributions are measured on."""

    tokens_BS: Tensor
    """Sequences of T + 1 tokens."""
    bits_per_nat: float
    """Turns nats per token into bits per byte: tokens / bytes / ln 2."""


def targets_of(held_out: Mapping[str, HeldOut], context: int, windows: int) -> dict[str, Target]:
    """The first ``windows`` windows of every language's held-out text.

    Raises:
        BadInput: a language with less text than one window, or no language.
    """
    if not held_out:
        raise BadInput("no held-out text")
    found = {}
    for language, text in held_out.items():
        count = min(windows, (len(text.tokens) - 1) // context)
        if count < 1:
            raise BadInput(f"{language} has {len(text.tokens)} held-out tokens", expected=f"at least {context + 1}")
        tokens = np.asarray(text.tokens[: count * context + 1], np.int64)
        index = context * np.arange(count)[:, None] + np.arange(context + 1)
        found[language] = Target(torch.from_numpy(tokens[index]), len(text.tokens) / text.bytes / math.log(2))
    return found


class InRunShapley:
    """Collects the contributions of a stack's runs; give :meth:`on_batch` to ``train_stack`` and ask for matrices."""

    def __init__(
        self,
        targets: Mapping[str, Target],
        sources: Sequence[str],
        languages_of: Callable[[int, int], Sequence[str]],
        *,
        clip: float,
        every: int = 10,
        preconditioned: bool = True,
    ):
        """
        Args:
            targets: held-out text by language, :func:`targets_of`.
            sources: training languages.
            languages_of: languages of the sequences of ``(run_index, step)``, as ``MixtureBatches.languages_of``.
            clip: the training's bound on gradient norms.
            every: updates between two measurements, each of which stands for as many.
            preconditioned: the form for Adam; False is the published one, for SGD.
        """
        if not targets or not sources:
            raise BadInput(f"{len(targets)} targets and {len(sources)} sources", expected="at least one of each")
        if every < 1:
            raise BadInput(f"every = {every}", expected="1 or more updates")
        self.targets, self.sources = dict(targets), tuple(sources)
        self._languages_of, self._clip, self._every, self._preconditioned = languages_of, clip, every, preconditioned
        self._sum: np.ndarray | None = None
        self._losses: list[np.ndarray] = []

    def on_batch(self, stack: Stack, step: int, tokens_KBS: Tensor, learning_rate: float) -> None:
        """Called between the backward pass and the update: the stack holds the batch's gradients."""
        # In the middle of each span: an Adam step at the very start is all sign and noise, and would count for a span.
        if step % self._every != self._every // 2:
            return
        second = stack.views(stack.second_KP)
        gradient = stack.views(stack.gradient_KP)
        for k in range(stack.K):
            parameters = {name: tensor[k : k + 1] for name, tensor in stack.parameters.items()}
            scale = None
            if self._preconditioned:
                scale = _preconditioner(
                    {n: t[k : k + 1] for n, t in gradient.items()},
                    {n: t[k : k + 1] for n, t in second.items()},
                    step + 1,
                    self._clip,
                )
            value_TL, loss_T = self.contributions(
                parameters, stack.shape, tokens_KBS[k], self._languages_of(k, step), learning_rate, scale
            )
            if self._sum is None:
                self._sum = np.zeros((stack.K, len(self.targets), len(self.sources)))
            self._sum[k] += self._every * value_TL
            self._losses.append(loss_T)
        self._K = stack.K

    def contributions(
        self,
        parameters: Parameters,
        shape: Shape,
        tokens_BS: Tensor,
        languages_B: Sequence[str],
        learning_rate: float,
        scale: Mapping[str, Tensor] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """What one update of one run gives, [T, L], and the targets' losses before it, [T]; both in bits per byte.

        Args:
            parameters: the run's tensors, K = 1.
            shape: of the run.
            tokens_BS: the batch.
            languages_B: language of every sequence.
            learning_rate: η of the update.
            scale: what the optimiser multiplies each gradient with (``c / (√v̂ + ε)``); None for plain SGD.

        Raises:
            BadInput: a sequence of a language that is not among the sources.
        """
        if unknown := set(languages_B) - set(self.sources):
            raise BadInput(f"training sequences of {min(unknown)}", expected=f"among {', '.join(self.sources)}")
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}
        value_TL = np.zeros((len(self.targets), len(self.sources)))
        loss_T = np.zeros(len(self.targets))
        device = tokens_BS.device
        directions = []
        for t, target in enumerate(self.targets.values()):
            loss, gradient = _gradient(leaves, target.tokens_BS.to(device), shape)
            loss_T[t] = loss * target.bits_per_nat
            if scale is not None:
                gradient = {name: g * scale[name] for name, g in gradient.items()}
            directions.append({name: g * (learning_rate * target.bits_per_nat) for name, g in gradient.items()})
        for source in dict.fromkeys(languages_B):
            rows = [i for i, language in enumerate(languages_B) if language == source]
            _, gradient = _gradient(leaves, tokens_BS[rows], shape)
            share = len(rows) / len(languages_B)
            for t, direction in enumerate(directions):
                value_TL[t, self.sources.index(source)] = share * _dot(direction, gradient)
        return value_TL, loss_T

    def matrices(self) -> list[TransferMatrix]:
        """One matrix per run of the stack: held-out bits per byte that each source took off each target.

        Raises:
            BadInput: nothing was measured.
        """
        if self._sum is None:
            raise BadInput("no update was measured", expected="on_batch given to a training of at least one update")
        loss_RKT = np.array(self._losses).reshape(-1, self._K, len(self.targets))
        name = "in-run Shapley" + (", Adam's preconditioning" if self._preconditioned else ", SGD form")
        names = tuple(self.targets)
        return [
            TransferMatrix(
                names,
                self.sources,
                self._sum[k],
                unit="bpb",
                method=name,
                notes={
                    "every": self._every,
                    "predicted": dict(zip(names, self._sum[k].sum(1).tolist(), strict=True)),
                    "measured": dict(zip(names, (loss_RKT[0, k] - loss_RKT[-1, k]).tolist(), strict=True)),
                },
            )
            for k in range(self._K)
        ]


def _preconditioner(
    gradient: Mapping[str, Tensor], second: Mapping[str, Tensor], step: int, clip: float
) -> dict[str, Tensor]:
    """``c / (√v̂ + ε)`` of the update that is about to be made, with v̂ as it will be after this gradient."""
    norm = math.sqrt(sum(float(g.float().square().sum(dtype=torch.float64)) for g in gradient.values()))
    c = min(1.0, clip / (norm + 1e-6))
    beta2 = BETAS[1]
    scale = {}
    for name, g in gradient.items():
        after = second[name] * beta2 + (c * g.float()).square() * (1 - beta2)
        scale[name] = c / ((after / (1 - beta2**step)).sqrt() + EPSILON)
    return scale


def _gradient(parameters: Parameters, tokens_BS: Tensor, shape: Shape) -> tuple[float, dict[str, Tensor]]:
    """Mean loss in nats per token over sequences, and its gradient in fp32."""
    loss_K = model.loss(parameters, tokens_BS.unsqueeze(0), shape)
    found = torch.autograd.grad(loss_K.sum(), list(parameters.values()))
    return float(loss_K.detach()), {name: g.float() for name, g in zip(parameters, found, strict=True)}


def _dot(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    return sum(float((one[name] * other[name]).sum(dtype=torch.float64)) for name in one)
