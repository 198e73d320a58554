"""Flags: shape, length and learning rate of a run in a trainer's own words, beside the files that hold its mixture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from glotmix.exporters.quoting import number


@dataclass(frozen=True)
class RunSettings:
    """What a trainer is told of a run beside its mixture."""

    width: int
    """Model width."""
    layers: int
    """Transformer blocks."""
    heads: int
    """Attention heads."""
    feed_forward: int
    """Width of the SwiGLU layer."""
    tied: bool
    """Whether input and output embedding are one."""
    vocab_size: int
    """Ids of the tokenizer."""
    sequence_length: int
    """Tokens per sequence."""
    batch: int
    """Sequences per step."""
    learning_rate: float
    """Peak."""
    final_learning_rate: float
    """Share of the peak at the end of the cosine."""
    warmup: float
    """Share of the steps in linear warm-up."""
    weight_decay: float
    """AdamW's."""
    clip: float
    """Largest norm of the gradient."""
    base: str | None = None
    """Where the trainer finds the model that it goes on from; None for random weights."""


def arguments(flags: Sequence[str], settings: RunSettings, steps: int, seed: int) -> tuple[str, ...]:
    """The flags of a run, one word each; none for none.

    Args:
        flags: of an exporter: words with fields of :class:`RunSettings` in braces, and ``steps``, ``seed``,
            ``tokens``, ``sequences``, ``warmup_steps``, ``warmup_sequences``, ``least_learning_rate``, ``head_width``,
            ``true_if_tied`` and ``true_if_untied``. A word that ends in ``?tied`` or ``?untied`` is for those alone,
            one in ``?base`` or ``?random`` for runs that go on from a model, or from random weights.
        settings: shape and training.
        steps: optimiser steps.
        seed: of initial weights and data.
    """
    sequences = steps * settings.batch
    warmup = math.ceil(settings.warmup * steps)
    known = {
        **vars(settings),
        "steps": steps,
        "seed": seed,
        "sequences": sequences,
        "tokens": sequences * settings.sequence_length,
        "batch_tokens": settings.batch * settings.sequence_length,
        "warmup_steps": warmup,
        "warmup_sequences": warmup * settings.batch,
        "least_learning_rate": settings.learning_rate * settings.final_learning_rate,
        "head_width": settings.width // settings.heads,
    }
    texts = {name: number(value) for name, value in known.items() if isinstance(value, int | float)}
    texts["base"] = settings.base or ""
    texts |= {"true_if_tied": str(settings.tied).lower(), "true_if_untied": str(not settings.tied).lower()}
    meant = {"", "tied" if settings.tied else "untied", "random" if settings.base is None else "base"}
    words = []
    for word in flags:
        text, _, only = word.partition("?")
        if only in meant:
            words.append(text.format(**texts))
    return tuple(words)


def loads(flags: Sequence[str]) -> bool:
    """Whether flags tell a trainer which model to go on from."""
    return any(word.endswith("?base") for word in flags)
