"""Answers: what a fine-tuned model says to a prompt, greedily."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from glotmix.errors import BadInput
from glotmix.footprint import Footprint
from glotmix.posttraining.chat import end_tokens, prompt_ids
from glotmix.posttraining.sample import Sample
from glotmix.proxy.architecture import Architecture

BATCH = 128
"""Prompts answered side by side, at most."""
CACHE_BYTES = 1 << 32
"""Keys and values of prompts and answers, padding included, that are held at once."""


def load_model(
    directory: str | Path, device: str = "cpu", dtype: torch.dtype = torch.float32, *, half: bool = False
) -> Any:
    """A causal language model, ready to answer; ``half``: in bf16 where it is on a GPU.

    Raises:
        BadInput: there is none, or it asks for code of its own.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    dtype = torch.bfloat16 if half and device == "cuda" else dtype
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(str(directory), dtype=dtype, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BadInput(
            f"cannot load the model: {reason}", where=directory, expected="a directory or a hub name"
        ) from None
    return model.to(device).eval()


@torch.no_grad()
def answers(model: Any, tokenizer: Any, samples: Sequence[Sample], most: int) -> list[str]:
    """Greedy answers, in the order of the samples.

    Args:
        model: a transformers causal language model.
        tokenizer: its tokenizer, with a chat template.
        samples: whose prompts are answered.
        most: tokens after which an answer is cut off.

    Raises:
        BadInput: a prompt that leaves no room for its answer in the model's context.
    """
    prompts = [prompt_ids(tokenizer, sample.prompt) for sample in samples]
    context = getattr(model.config, "max_position_embeddings", None)
    for sample, prompt in zip(samples, prompts, strict=True):
        if context is not None and len(prompt) + most > context:
            raise BadInput(
                f"the question of sample {sample.id!r} has {len(prompt)} tokens, its answer up to {most}",
                where=f"{sample.task} in {sample.language}",
                expected=f"at most {context} together, the model's context",
            )
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    found = [""] * len(prompts)
    pad, ends = tokenizer.pad_token_id, end_tokens(tokenizer)
    at_once = CACHE_BYTES / Architecture(model.config).cache_per_token(model.dtype)
    for chosen in batches_of([len(prompts[i]) + most for i in order], order, at_once):
        T = len(prompts[chosen[-1]])
        ids_BT = torch.tensor([[pad] * (T - len(prompts[i])) + prompts[i] for i in chosen], device=model.device)
        mask_BT = torch.tensor([[0] * (T - len(prompts[i])) + [1] * len(prompts[i]) for i in chosen]).to(model.device)
        out = model.generate(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            max_new_tokens=most,
            do_sample=False,
            pad_token_id=pad,
            eos_token_id=list(ends),
        )
        for i, ids in zip(chosen, out[:, T:].tolist(), strict=True):
            length = next((t for t, id in enumerate(ids) if id in ends), len(ids))
            found[i] = tokenizer.decode(ids[:length], skip_special_tokens=True).strip()
    return found


def batches_of(length_N: Sequence[int], order: Sequence[int], at_once: float) -> Iterator[list[int]]:
    """Parts of ``order`` that go together: at most ``BATCH``, and so many tokens with their padding.

    Args:
        length_N: tokens of each, growing.
        order: what they are.
        at_once: tokens of a part; one that is longer goes alone.
    """
    part: list[int] = []
    for length, one in zip(length_N, order, strict=True):
        if part and (len(part) == BATCH or (len(part) + 1) * length > at_once):
            yield part
            part = []
        part.append(one)
    if part:
        yield part


def footprint(stage: str, architecture: Architecture, *, questions: int, tokens: float, half: bool) -> Footprint:
    """What :func:`answers` holds on a GPU, and computes: keys and values of all that is answered together.

    Args:
        stage: what it is called.
        architecture: of the model.
        questions: that all models answer.
        tokens: of a question and its answer, about.
        half: whether the model is in bf16.
    """
    dtype = torch.bfloat16 if half else torch.float32
    cache = architecture.cache_per_token(dtype)
    together = int(min(BATCH, questions, max(1, CACHE_BYTES // (cache * tokens))))
    layer = architecture.held(together, int(tokens), dtype).layer
    return Footprint(
        stage,
        weights=dtype.itemsize * architecture.parameters,
        activations=layer,
        logits=together * architecture.vocab * (dtype.itemsize + 4),
        kept=together * tokens * cache,
        flops=questions * tokens * architecture.forward_flops(int(tokens)),
        smaller="fewer tasks.*.answer_tokens or shots",
    )
