"""Fine-tuning a proxy on glotmix's own engine, for models so small that a trainer's step costs more than its work.

Same mathematics as TRL's supervised fine-tuning with a completion-only loss: the mean cross-entropy over a batch's
answer tokens, AdamW, the norm of the gradient clipped. A test trains both on the same batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glotmix.footprint import Footprint
from glotmix.posttraining.chat import Encoded, padded
from glotmix.posttraining.finetune import Finetuning, History, learning_rate
from glotmix.proxy import flops, held, model
from glotmix.proxy.checkpoint import load_checkpoint, save_checkpoint
from glotmix.proxy.stack import Stack

TOKENS_AT_ONCE = 8192


def answer_losses(parameters: model.Parameters, shape: model.Shape, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Cross-entropy in nats of every learnt token, in the order of the mask, [n]."""
    h_ND = model.hidden(parameters, ids_BT[None, :, :-1], shape)[0]
    learnt_N = mask_BT[:, 1:].reshape(-1)
    logits = h_ND[learnt_N] @ model.output_matrix(parameters)[0].T
    return torch.nn.functional.cross_entropy(logits, ids_BT[:, 1:].reshape(-1)[learnt_N], reduction="none")


class Proxy:
    """One proxy that is fine-tuned."""

    def __init__(self, directory: Path):
        self.shape, parameters = load_checkpoint(directory)
        self.stack = Stack(self.shape, [0])
        self.stack.set(parameters)

    def backward(
        self, samples: Sequence[Encoded], weights: Mapping[str, float] | None, pad: int, together: int | None = None
    ) -> float:
        """Add the gradient of a batch's loss, ``together`` samples at a time; the loss."""
        learnt = sum(int(sample.mask[1:].sum()) for sample in samples)
        total = 0.0
        for start in range(0, len(samples), together or len(samples)):
            part = samples[start : start + (together or len(samples))]
            ids_BT, mask_BT = map(torch.from_numpy, padded(part, pad))
            losses_N = answer_losses(self.stack.parameters, self.shape, ids_BT, mask_BT)
            if weights is not None:
                per_sample = torch.tensor([weights.get(sample.language, 0.0) for sample in part])
                losses_N = losses_N * per_sample.repeat_interleave(mask_BT[:, 1:].sum(1))
            loss = losses_N.sum() / learnt
            self.stack.add(torch.autograd.grad(loss, list(self.stack.parameters.values())))
            total += float(loss.detach())
        return total

    @torch.no_grad()
    def loss(self, samples: Sequence[Encoded], pad: int) -> float:
        """Mean loss per answer token over samples."""
        total, tokens = 0.0, 0
        for part in batches_of(samples):
            ids_BT, mask_BT = map(torch.from_numpy, padded(part, pad))
            losses_N = answer_losses(self.stack.parameters, self.shape, ids_BT, mask_BT)
            total, tokens = total + float(losses_N.sum()), tokens + len(losses_N)
        return total / tokens

    def weights(self) -> dict[str, Tensor]:
        """A copy of the weights, K = 1."""
        return {name: view.clone() for name, view in self.stack.master.items()}


def batches_of(samples: Sequence[Encoded]) -> Iterator[list[Encoded]]:
    """Samples of like length together, at most ``TOKENS_AT_ONCE`` tokens with their padding."""
    part: list[Encoded] = []
    for sample in sorted(samples, key=len):
        if part and (len(part) + 1) * len(sample) > TOKENS_AT_ONCE:
            yield part
            part = []
        part.append(sample)
    if part:
        yield part


def finetune_proxy(
    base: Path,
    train: Sequence[Encoded],
    validation: Sequence[Encoded],
    order: np.ndarray,
    settings: Finetuning,
    directory: Path,
    *,
    weights: Mapping[str, float] | None = None,
    pad: int = 0,
    keep: Callable[[int, Mapping[str, Tensor]], None] | None = None,
) -> History:
    """Fine-tune a chat-ready proxy and write the chosen checkpoint.

    Args:
        base: directory of the proxy (see :func:`glotmix.posttraining.chat.chat_proxy`).
        train: training samples.
        validation: samples whose loss chooses the checkpoint; none keeps the last.
        order: sample read at each place, [steps, batch].
        settings: learning rate and the rest.
        directory: where the chosen weights go; ``config.json`` and ``model.safetensors`` only.
        weights: loss weight of each language; None weighs all samples alike.
        pad: token that fills batches up.
        keep: called with (step, weights) at every validation, for influence.

    Returns:
        The losses of every step, and the validations.
    """
    proxy, steps = Proxy(base), len(order)
    losses: list[float] = []
    validations: list[tuple[int, float]] = []
    best: dict[str, Tensor] = proxy.weights()
    least = float("inf")
    for step, row in enumerate(order):
        losses.append(proxy.backward([train[i] for i in row], weights, pad, settings.pass_size))
        rate = learning_rate(step, steps, settings)
        proxy.stack.step(step + 1, rate, settings.weight_decay, settings.clip)
        if (step + 1) % settings.save_every == 0 or step + 1 == steps:
            value = proxy.loss(validation, pad) if validation else -float(step)
            if validation:
                validations.append((step + 1, value))
            if keep is not None:
                keep(step + 1, proxy.weights())
            if value < least:
                least, best, chosen = value, proxy.weights(), step + 1
    save_checkpoint(directory, best, proxy.shape, end_of_document=_end(base))
    return History(tuple(losses), tuple(validations), chosen)


def _end(base: Path) -> Any:
    from glotmix.artifact import read_json

    return read_json(base / "config.json").get("eos_token_id")


def footprint(stage: str, shape: model.Shape, settings: Finetuning, *, tokens: float) -> Footprint:
    """What :func:`finetune_proxy` holds, in fp32, with samples as long as the context, and computes.

    Args:
        stage: what it is called.
        shape: of the proxy.
        settings: of the fine-tuning.
        tokens: that all models read, repetitions counted.
    """
    P, samples, length = shape.parameters, settings.pass_size, min(settings.context, shape.context)
    return Footprint(
        stage,
        weights=2 * 4 * P,  # those of the best checkpoint beside its own
        gradients=2 * 4 * P,
        optimiser=8 * P,
        activations=held.of_proxy(shape, samples, length),
        logits=2 * 4 * samples * length * shape.vocab,
        flops=tokens * flops.per_token(shape, length),
        smaller="a smaller finetuning.micro_batch",
    )
