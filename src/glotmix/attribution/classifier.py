"""Tuning a classifier on texts of several languages, with the checkpoints that TracIn needs.

As Choenni et al. 2023 (arXiv 2305.13286): full fine-tuning with AdamW, one checkpoint per epoch. The learning rate
warms up and falls linearly, the usual schedule; theirs is not stated in what we could read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from glotmix.artifact import write_json
from glotmix.attribution.samples import Samples, classification_loss
from glotmix.attribution.tuning import Tuning
from glotmix.errors import GlotmixError
from glotmix.footprint import Footprint
from glotmix.proxy.architecture import Architecture


def tune(
    model: Any,
    samples: Samples,
    tuning: Tuning,
    seed: int,
    *,
    keep: Path | None = None,
    on_epoch: Callable[[int], None] | None = None,
) -> None:
    """Tune a transformers classifier in place.

    Args:
        model: with ``logits`` for every sample, and ``save_pretrained``.
        samples: with ``labels`` among the inputs.
        tuning: see :class:`Tuning`.
        seed: of the order of samples and of dropout.
        keep: directory for checkpoints ``epoch-1``, ...: weights, and the learning rate they were reached with in
            ``trainer_state.json``, as transformers' own trainer leaves them.
        on_epoch: called with the number of epochs done.

    Raises:
        GlotmixError: the loss is no longer finite.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), tuning.learning_rate, weight_decay=tuning.weight_decay)
    per_epoch = math.ceil(len(samples) / tuning.batch)
    updates, device = per_epoch * tuning.epochs, next(model.parameters()).device
    model.train()
    for epoch in range(1, tuning.epochs + 1):
        shuffled = samples.take(rng.permutation(len(samples)).tolist())
        for i, (_, batch) in enumerate(shuffled.batches(tuning.batch, device)):
            step = (epoch - 1) * per_epoch + i
            rate = learning_rate(step, updates, tuning)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = classification_loss(model, batch).mean()
            if not torch.isfinite(loss):
                raise GlotmixError(f"training loss not finite in epoch {epoch}: try a smaller learning rate")
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), tuning.clip)
            optimizer.step()
        if keep is not None:
            directory = keep / f"epoch-{epoch}"
            model.save_pretrained(directory)
            history = [{"epoch": epoch, "step": epoch * per_epoch, "learning_rate": rate}]
            write_json(directory / "trainer_state.json", {"global_step": epoch * per_epoch, "log_history": history})
        if on_epoch is not None:
            on_epoch(epoch)
    model.eval()


def learning_rate(step: int, updates: int, tuning: Tuning) -> float:
    """Rate of update ``step`` (from 0): linear warm-up, then linearly towards zero, which it does not reach."""
    warmup = math.ceil(tuning.warmup * updates)
    if step < warmup:
        return tuning.learning_rate * (step + 1) / warmup
    return tuning.learning_rate * (updates - step) / max(1, updates - warmup)


@torch.no_grad()
def confidences(model: nn.Module, samples: Samples, batch: int = 64) -> np.ndarray:
    """Probability that the model gives to every sample's class, [N]."""
    model.eval()
    device = next(model.parameters()).device
    losses = [classification_loss(model, inputs) for _, inputs in samples.batches(batch, device)]
    return torch.exp(-torch.cat(losses)).double().cpu().numpy()


@torch.no_grad()
def accuracies(model: Any, samples: Samples, batch: int = 64) -> dict[str, float]:
    """Language to the share of its samples whose class the model predicts."""
    model.eval()
    device = next(model.parameters()).device
    right = []
    for _, inputs in samples.batches(batch, device):
        given = {name: tensor for name, tensor in inputs.items() if name != "labels"}
        right.append(model(**given).logits.argmax(1) == inputs["labels"])
    right_N, languages = torch.cat(right).cpu().numpy(), np.array(samples.languages)
    return {name: float(right_N[languages == name].mean()) for name in dict.fromkeys(samples.languages)}


def footprint(stage: str, architecture: Architecture, tuning: Tuning, samples: float) -> Footprint:
    """What :func:`tune` holds, in fp32, and computes.

    Args:
        stage: what it is called.
        architecture: of the classifier.
        tuning: batch and length.
        samples: that all tunings read, repetitions counted.
    """
    P = architecture.parameters
    return Footprint(
        stage,
        weights=4 * P,
        gradients=4 * P,
        optimiser=8 * P,
        activations=architecture.activations(tuning.batch, tuning.length),
        flops=samples * tuning.length * 3 * architecture.forward_flops(tuning.length),
        smaller="a smaller tuning.batch",
    )
