"""Generation: greedy continuations of prompts, by transformers or by vLLM behind one interface.

Both are given token ids and give token ids; templates, ends and text are :mod:`glotmix.posttraining.answer`'s.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from glotmix.errors import BadInput, MissingExtra
from glotmix.proxy.architecture import Architecture

BATCH = 128
"""Prompts answered side by side, at most."""
CACHE_BYTES = 1 << 32
"""Keys and values of prompts and answers, padding included, that are held at once."""


class Generator(ABC):
    """Continues prompts, always with the most probable token."""

    context: int | None
    """Tokens of a prompt and its answer together, at most; None where the model sets no limit."""

    @abstractmethod
    def continued(self, prompts: Sequence[Sequence[int]], most: int, ends: Sequence[int], pad: int) -> list[list[int]]:
        """Token ids that follow every prompt; what stands behind an end does not count.

        Args:
            prompts: token ids of each.
            most: tokens after which an answer is cut off.
            ends: tokens that end an answer.
            pad: token that fills batches up.
        """


class TransformersGenerator(Generator):
    """A transformers model's own ``generate``, prompts of like length together."""

    def __init__(self, model: Any):
        """
        Args:
            model: a causal language model, ready to answer.
        """
        self.model = model
        self.context = getattr(model.config, "max_position_embeddings", None)

    @torch.no_grad()
    def continued(self, prompts: Sequence[Sequence[int]], most: int, ends: Sequence[int], pad: int) -> list[list[int]]:
        """See :class:`Generator`."""
        model = self.model
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        found: list[list[int]] = [[] for _ in prompts]
        at_once = CACHE_BYTES / Architecture(model.config).cache_per_token(model.dtype)
        for chosen in batches_of([len(prompts[i]) + most for i in order], order, at_once):
            T = len(prompts[chosen[-1]])
            ids_BT = torch.tensor([[pad] * (T - len(prompts[i])) + [*prompts[i]] for i in chosen], device=model.device)
            mask_BT = torch.tensor([[0] * (T - len(prompts[i])) + [1] * len(prompts[i]) for i in chosen])
            out = model.generate(
                input_ids=ids_BT,
                attention_mask=mask_BT.to(model.device),
                max_new_tokens=most,
                do_sample=False,
                pad_token_id=pad,
                eos_token_id=list(ends),
            )
            for i, ids in zip(chosen, out[:, T:].tolist(), strict=True):
                found[i] = ids
        return found


class VllmGenerator(Generator):
    """vLLM, which schedules prompts itself; on a GPU, and in bf16 not bit for bit what transformers says."""

    def __init__(self, directory: str | Path, *, half: bool):
        """
        Args:
            directory: of the model, or its name on the hub.
            half: whether it is in bf16.

        Raises:
            MissingExtra: vLLM is not installed.
            BadInput: it cannot open the model.
        """
        try:
            from vllm import LLM, SamplingParams
        except ImportError:
            raise MissingExtra("vllm", "vllm") from None
        self._parameters = SamplingParams
        try:
            self._model = LLM(
                model=str(directory),
                dtype="bfloat16" if half else "float32",
                seed=0,
                trust_remote_code=False,
                skip_tokenizer_init=True,  # it is given ids
            )
        except (OSError, ValueError, RuntimeError) as error:
            reason = (str(error) or type(error).__name__).strip().splitlines()[0]
            expected = "finetuning.answers: transformers"
            raise BadInput(f"vLLM cannot open the model: {reason}", where=directory, expected=expected) from None
        self.context = self._model.llm_engine.model_config.max_model_len

    def continued(self, prompts: Sequence[Sequence[int]], most: int, ends: Sequence[int], pad: int) -> list[list[int]]:
        """See :class:`Generator`."""
        wanted = self._parameters(
            temperature=0.0, max_tokens=most, stop_token_ids=list(ends), ignore_eos=True, detokenize=False
        )
        asked = [{"prompt_token_ids": [*prompt]} for prompt in prompts]
        return [list(one.outputs[0].token_ids) for one in self._model.generate(asked, wanted, use_tqdm=False)]


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
