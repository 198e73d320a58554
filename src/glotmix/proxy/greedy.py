"""Greedy continuation: what a proxy says next, token by token, for many prompts side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from glotmix.footprint import Footprint
from glotmix.proxy import flops, held, model
from glotmix.proxy.kernels import one_thread
from glotmix.proxy.model import Parameters, Shape

TOKENS_AT_ONCE = {True: 8192, False: 131_072}
"""Tokens of one pass, on a CPU or a GPU."""


@torch.no_grad()
def continued(parameters: Parameters, shape: Shape, prompts: Sequence[Sequence[int]], end: int) -> list[list[int]]:
    """The most probable next tokens of each prompt, up to ``end`` (which is left out) or the model's context.

    Nothing is kept between tokens: a pass is over everything said so far, which for the short contexts of proxies costs
    less than a second way to compute attention. Prompts that are done leave the batch, and
    those of like length go together.

    Args:
        parameters: of one model, K = 1.
        shape: its shape.
        prompts: token ids of each.
        end: id that ends a continuation.
    """
    device = parameters["embedding"].device
    at_once = max(1, TOKENS_AT_ONCE[device.type == "cpu"] // shape.context)
    found: list[list[int]] = [[] for _ in prompts]
    order = sorted(
        (i for i, prompt in enumerate(prompts) if len(prompt) < shape.context), key=lambda i: len(prompts[i])
    )
    matrix_VD = model.output_matrix(parameters)[0]
    with one_thread():
        for start in range(0, len(order), at_once):
            asked = order[start : start + at_once]
            while asked:
                length_B = torch.tensor([len(prompts[i]) + len(found[i]) for i in asked], device=device)
                tokens_BT = torch.full((len(asked), int(length_B.max())), end, device=device)
                for row, i in zip(tokens_BT, asked, strict=True):
                    said = [*prompts[i], *found[i]]
                    row[: len(said)] = torch.tensor(said, device=device)
                h_BTD = model.hidden(parameters, tokens_BT.unsqueeze(0), shape)[0].view(*tokens_BT.shape, -1)
                last_BD = h_BTD[torch.arange(len(asked), device=device), length_B - 1]
                chosen_B = (last_BD @ matrix_VD.T).argmax(-1).tolist()
                going = []
                for i, chosen in zip(asked, chosen_B, strict=True):
                    if chosen == end:
                        continue
                    found[i].append(chosen)
                    if len(prompts[i]) + len(found[i]) < shape.context:
                        going.append(i)
                asked = going
    return found


def tokens_of(sentences: float, context: int) -> float:
    """Tokens that pass through a model for so many prompts, about: half a context is prompt, and the other half is said
    one token at a time, each after everything before it."""
    return sentences * (context / 2) * (3 * context / 4)


def footprint(stage: str, shape: Shape, *, sentences: float, models: float) -> Footprint:
    """What :func:`continued` holds on a GPU, and computes.

    Args:
        stage: what it is called.
        shape: of the models.
        sentences: prompts that each model is asked.
        models: how many.
    """
    together = min(max(1.0, sentences), max(1, TOKENS_AT_ONCE[False] // shape.context))
    layer = held.Depth.of(lambda n: held.of_proxy(replace(shape, layers=n), int(together), shape.context)).layer
    return Footprint(
        stage,
        weights=4 * shape.parameters,
        activations=layer,
        logits=2 * 4 * together * shape.vocab,
        flops=models * tokens_of(sentences, shape.context) * flops.per_token(shape, shape.context) / 3,
        smaller="fewer translation.sentences",
    )
