"""In-run data Shapley by language: who lowered whose held-out loss, measured while one proxy trains.

Wang et al. 2024 (arXiv 2406.11011), first order: the Shapley value of sample i for one update, with the loss taken as
linear in the weights, is ``φ_i = η ⟨∇L_target, ∇L_i / B⟩`` (their §4.2; our sign: positive helps). Values add up over
updates and over the samples of a language, so a language needs one gradient, not one per sample: the sum over its
sequences in the batch. That is the departure from their ghost products per sample; the figures by language are the
same. Languages with equally many sequences go through as one stack of models, and the language with the most of them
needs no pass at all: its gradient is what the others leave of the batch's, which the training has computed anyway.

AdamW does not step along the gradient. What a language adds to an update is its gradient divided by ``√v̂ + ε``, so the
corrected form is ``φ = η c ⟨∇L_target / (√v̂ + ε), G_language⟩`` with clipping c. Momentum spreads a gradient over later
updates with a total weight that is one (but for the first tens of updates); here it counts at once. Weight decay and
what is left of the curvature belong to no language: compare ``predicted`` with ``measured``.

Every gradient is taken at the fp32 master weights, in fp32. Where products run in bf16 the training's own gradient will
not do: an entry that cancels to 0.0 there is divided by ε alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from glotmix.attribution.factors import block_products
from glotmix.errors import BadInput
from glotmix.proxy import model
from glotmix.proxy.evaluate import EvaluationText
from glotmix.proxy.model import Parameters, Shape
from glotmix.proxy.stack import BETAS, EPSILON, TOKENS_AT_ONCE, Stack
from glotmix.transfer.matrix import TransferMatrix

TOGETHER_BYTES = 1 << 28
"""Copies of a model that go through together take no more memory than this."""
UNSETTLED = 5
"""Updates after the start, or after a restart, that are never looked at: √v̂ is then the root of so few squares that a
language's share of an update has no variance. With the first update v̂ = g², and a share is a ratio of two gradients."""


@dataclass(frozen=True)
class Target:
    """Held-out text of one language that contributions are measured on."""

    tokens_BS: Tensor
    """Sequences of T + 1 tokens."""
    bits_per_nat: float
    """Turns nats per token into bits per byte: tokens / bytes / ln 2."""


def targets_of(held_out: Mapping[str, EvaluationText], context: int, windows: int) -> dict[str, Target]:
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
            every: updates between two measurements, each of which stands for as many; the first ``UNSETTLED`` updates
                are not measured in the form for Adam.
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
        if not is_looked_at(step, self._every, stack.updates, self._preconditioned):
            return
        for k in range(stack.K):
            parameters = {name: tensor[k : k + 1] for name, tensor in stack.master.items()}
            batch_P = _batch_gradient(stack, k, parameters, tokens_KBS[k])
            scale_P = _preconditioner(stack, k, batch_P, self._clip) if self._preconditioned else None
            value_TL, loss_T = self.contributions(
                parameters, stack.shape, tokens_KBS[k], self._languages_of(k, step), learning_rate, scale_P, batch_P
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
        scale_P: Tensor | None = None,
        batch_P: Tensor | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """What one update of one run gives, [T, L], and the targets' losses before it, [T]; both in bits per byte.

        Args:
            parameters: the run's tensors, K = 1.
            shape: of the run.
            tokens_BS: the batch.
            languages_B: language of every sequence.
            learning_rate: η of the update.
            scale_P: what the optimiser multiplies gradients with (``c / (√v̂ + ε)``), the tensors one behind the other;
                None for plain SGD.
            batch_P: the gradient of the batch's mean loss, where it is known: one language less to compute.

        Raises:
            BadInput: a sequence of a language that is not among the sources.
        """
        if unknown := set(languages_B) - set(self.sources):
            raise BadInput(f"training sequences of {min(unknown)}", expected=f"among {', '.join(self.sources)}")
        device = tokens_BS.device
        targets = {name: target.tokens_BS.to(device) for name, target in self.targets.items()}
        loss_T, direction = np.zeros(len(self.targets)), {}
        for name, loss, gradient_P in _gradients(parameters, targets, shape):
            bits = self.targets[name].bits_per_nat
            loss_T[list(self.targets).index(name)] = loss * bits
            direction[name] = gradient_P.mul_(learning_rate * bits)
            if scale_P is not None:
                gradient_P.mul_(scale_P)
        direction_TP = torch.stack([direction.pop(name) for name in self.targets])
        rows = {s: [i for i, language in enumerate(languages_B) if language == s] for s in dict.fromkeys(languages_B)}
        most = max(rows, key=lambda source: len(rows[source])) if batch_P is not None else None
        value_TL = np.zeros((len(self.targets), len(self.sources)))
        for source, _, gradient_P in _gradients(
            parameters, {s: tokens_BS[some] for s, some in rows.items() if s != most}, shape
        ):
            gradient_P.mul_(len(rows[source]) / len(languages_B))
            value_TL[:, self.sources.index(source)] = block_products(direction_TP, gradient_P).cpu().numpy()
        if batch_P is not None and most is not None:
            whole_T = block_products(direction_TP, batch_P).cpu().numpy()
            value_TL[:, self.sources.index(most)] = whole_T - value_TL.sum(1)
        return value_TL, loss_T

    def matrices(self) -> list[TransferMatrix]:
        """One matrix per run of the stack: held-out bits per byte that each source took off each target.

        Raises:
            BadInput: nothing was measured.
        """
        if self._sum is None:
            least = UNSETTLED + self._every if self._preconditioned else self._every
            raise BadInput("no update was measured", expected=f"a training of {least} updates or more with on_batch")
        loss_RKT = np.array(self._losses).reshape(-1, self._K, len(self.targets))
        names = tuple(self.targets)
        return [
            values(names, self.sources, self._sum[k], loss_RKT[:, k], self._every, self._preconditioned)
            for k in range(self._K)
        ]


def is_looked_at(step: int, every: int, settled: int, preconditioned: bool) -> bool:
    """Whether update ``step`` (from 0) is measured, the optimiser's ``settled + 1``-th since its start or a restart.

    The one in the middle of each span of ``every``.
    """
    return step % every == every // 2 and (settled >= UNSETTLED or not preconditioned)


def values(
    targets: tuple[str, ...],
    sources: tuple[str, ...],
    value_TL: np.ndarray,
    loss_RT: np.ndarray,
    every: int,
    preconditioned: bool,
) -> TransferMatrix:
    """The matrix of a run, with what first order predicts beside what was measured from the first of R looks to the
    last."""
    return TransferMatrix(
        targets,
        sources,
        value_TL,
        unit="bpb",
        method="in-run Shapley" + (", Adam's preconditioning" if preconditioned else ", SGD form"),
        notes={
            "every": every,
            "predicted": dict(zip(targets, value_TL.sum(1).tolist(), strict=True)),
            "measured": dict(zip(targets, (loss_RT[0] - loss_RT[-1]).tolist(), strict=True)),
        },
    )


def _batch_gradient(stack: Stack, k: int, parameters: Parameters, tokens_BS: Tensor) -> Tensor:
    """Gradient of run k's mean loss of the batch at the master weights, [P]: the training's own where that is fp32."""
    if stack.dtype == torch.float32:
        return _of_run(stack, stack.gradient_KP, k)
    together = max(1, TOKENS_AT_ONCE[stack.device.type == "cpu"] // (tokens_BS.shape[1] - 1))
    whole_P = torch.zeros((), device=stack.device)
    for part in tokens_BS.split(together):
        ((_, _, gradient_P),) = _gradients(parameters, {"batch": part}, stack.shape)
        whole_P = whole_P + gradient_P * (len(part) / len(tokens_BS))
    return whole_P


def _of_run(stack: Stack, flat_KP: Tensor, k: int) -> Tensor:
    """Run k's part of one of the stack's buffers, the tensors one behind the other, [P]."""
    return _flat([view[k] for view in stack.views(flat_KP).values()])


def _preconditioner(stack: Stack, k: int, gradient_P: Tensor, clip: float) -> Tensor:
    """``c / (√v̂ + ε)`` of the update that run k is about to make, with v̂ as it will be after this gradient, [P]."""
    second_P = _of_run(stack, stack.second_KP, k)
    c = min(1.0, clip / (float(torch.linalg.vector_norm(gradient_P)) + 1e-6))
    beta2 = BETAS[1]
    after_P = (second_P * beta2).addcmul_(gradient_P, gradient_P, value=c**2 * (1 - beta2))
    return c / after_P.div_(1 - beta2 ** (stack.updates + 1)).sqrt_().add_(EPSILON)


def _gradients(
    parameters: Parameters, tokens: Mapping[str, Tensor], shape: Shape
) -> Iterator[tuple[str, float, Tensor]]:
    """Name, mean loss in nats per token, and its gradient in fp32, [P], for sequences [B, S] under each name.

    Those with equally many sequences go through together, as a stack of copies of the model.
    """
    size = sum(tensor.numel() for tensor in parameters.values())
    together = max(1, TOGETHER_BYTES // (4 * size))
    counts: dict[int, list[str]] = {}
    for name, tokens_BS in tokens.items():
        counts.setdefault(len(tokens_BS), []).append(name)
    for names in counts.values():
        for start in range(0, len(names), together):
            some = names[start : start + together]
            copies = {
                n: t.detach().expand(len(some), *t.shape[1:]).contiguous().requires_grad_()
                for n, t in parameters.items()
            }
            loss_K = model.loss(copies, torch.stack([tokens[name] for name in some]), shape)
            found = torch.autograd.grad(loss_K.sum(), list(copies.values()))
            for k, name in enumerate(some):
                yield name, float(loss_K[k].detach()), _flat([tensor[k] for tensor in found])


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.float().flatten() for tensor in tensors])
