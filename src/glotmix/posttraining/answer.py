"""Answers: what a fine-tuned model says to a prompt, greedily."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from glotmix.errors import BadInput
from glotmix.footprint import Footprint
from glotmix.posttraining.chat import end_tokens, prompt_ids
from glotmix.posttraining.generation import BATCH, CACHE_BYTES, Generator
from glotmix.posttraining.optimiser import refuse_eight_bits
from glotmix.posttraining.sample import Sample
from glotmix.proxy.architecture import Architecture


def load_model(
    directory: str | Path,
    device: str = "cpu",
    dtype: torch.dtype | None = torch.float32,
    *,
    half: bool = False,
    quantised: bool = False,
) -> Any:
    """A causal language model, ready to answer.

    Args:
        directory: of the model, or its name on the hub.
        device: "cpu", "cuda" or one GPU of several ("cuda:1"); weights go there straight from the disk.
        dtype: of the weights; None leaves that in which they were saved.
        half: in bf16 where it is on a GPU.
        quantised: linear layers in four bits (NF4), which a GPU and bitsandbytes can.

    Raises:
        BadInput: there is none, it asks for code of its own, or four bits without a GPU.
        MissingExtra: bitsandbytes is not installed.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    cuda = device.startswith("cuda")
    dtype = torch.bfloat16 if half and cuda else dtype
    more: dict[str, Any] = {"device_map": {"": device}} if cuda else {}
    if quantised:
        refuse_eight_bits("finetuning.method = qlora", cuda=cuda)
        from transformers import BitsAndBytesConfig

        more["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        )
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            str(directory), dtype="auto" if dtype is None else dtype, trust_remote_code=False, **more
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BadInput(
            f"cannot load the model: {reason}", where=directory, expected="a directory or a hub name"
        ) from None
    return (model if cuda else model.to(device)).eval()


def answers(generator: Generator, tokenizer: Any, samples: Sequence[Sample], most: int) -> list[str]:
    """Greedy answers, in the order of the samples.

    Args:
        generator: the model.
        tokenizer: its tokenizer, with a chat template.
        samples: whose prompts are answered.
        most: tokens after which an answer is cut off.

    Raises:
        BadInput: a prompt that leaves no room for its answer in the model's context.
    """
    prompts = [prompt_ids(tokenizer, sample.prompt) for sample in samples]
    for sample, prompt in zip(samples, prompts, strict=True):
        if generator.context is not None and len(prompt) + most > generator.context:
            raise BadInput(
                f"the question of sample {sample.id!r} has {len(prompt)} tokens, its answer up to {most}",
                where=f"{sample.task} in {sample.language}",
                expected=f"at most {generator.context} together, the model's context",
            )
    ends = end_tokens(tokenizer)
    found = []
    for ids in generator.continued(prompts, most, list(ends), tokenizer.pad_token_id):
        length = next((t for t, id in enumerate(ids) if id in ends), len(ids))
        found.append(tokenizer.decode(ids[:length], skip_special_tokens=True).strip())
    return found


def footprint(
    stage: str,
    architecture: Architecture,
    *,
    questions: int,
    tokens: float,
    said: int,
    half: bool,
    devices: int = 1,
) -> Footprint:
    """What :func:`answers` holds on a GPU, computes and reads: keys and values of all that is answered together.

    Args:
        stage: what it is called.
        architecture: of the model.
        questions: that all models answer.
        tokens: of a question and its answer, about.
        said: of them the answer's, at most; for each all weights are read once by those that are answered together.
        half: whether the model is in bf16.
        devices: that share the questions, each with the whole model.
    """
    dtype = torch.bfloat16 if half else torch.float32
    cache, weights = architecture.cache_per_token(dtype), dtype.itemsize * architecture.parameters
    together = int(min(BATCH, -(-questions // devices), max(1, CACHE_BYTES // (cache * tokens))))
    layer = architecture.held(together, int(tokens), dtype).layer
    return Footprint(
        stage,
        weights=weights,
        activations=layer,
        logits=together * architecture.vocab * (dtype.itemsize + 4),
        kept=together * tokens * cache,
        flops=questions * tokens * architecture.forward_flops(int(tokens)),
        moved=questions / together * said * (weights + together * (tokens - said / 2) * cache),
        devices=devices,
        smaller="fewer tasks.*.answer_tokens or shots",
    )
