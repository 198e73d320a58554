"""Likelihood: how probable a model finds given answers, for validation and where no one answer is right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from glotmix.posttraining.chat import Encoded, encode, padded, prompt_ids
from glotmix.posttraining.sample import Sample

TOKENS_AT_ONCE = 8192
LOGITS_BYTES = 1 << 31
"""Logits of samples that go through together take no more, in fp32 and as the products give them."""


@torch.no_grad()
def nats_of(model: Any, samples: Sequence[Encoded], pad: int, *, half: bool = False) -> np.ndarray:
    """Nats of every sample's learnt tokens together, [N].

    Args:
        model: a transformers causal language model; it is left in evaluation mode.
        samples: whose learnt tokens count.
        pad: token that fills batches up.
        half: whether products run in bf16 on weights of another type.
    """
    model.eval()
    most = min(TOKENS_AT_ONCE, LOGITS_BYTES // (8 * model.config.vocab_size))
    part = max(1, most // max(map(len, samples), default=1))
    found = [np.zeros(0)]
    for start in range(0, len(samples), part):
        ids_BT, mask_BT = (torch.from_numpy(x).to(model.device) for x in padded(samples[start : start + part], pad))
        with torch.autocast("cuda", torch.bfloat16, enabled=half):
            logits = model(input_ids=ids_BT).logits[:, :-1].float()  # padding is on the right, behind every answer
        learnt_BT = mask_BT[:, 1:]
        nats_BT = torch.zeros(learnt_BT.shape, dtype=torch.float64, device=logits.device)
        nats = torch.nn.functional.cross_entropy(logits[learnt_BT], ids_BT[:, 1:][learnt_BT], reduction="none")
        nats_BT[learnt_BT] = nats.double()
        found.append(nats_BT.sum(1).cpu().numpy())
    return np.concatenate(found)


def bits_per_byte(model: Any, tokenizer: Any, samples: Sequence[Sample]) -> list[float]:
    """Bits of every sample's last answer over its bytes, given everything before it; its end counts as a byte."""
    last = [_last_answer(encode(tokenizer, sample), len(prompt_ids(tokenizer, sample.prompt))) for sample in samples]
    nats_N = nats_of(model, last, tokenizer.pad_token_id)
    return [
        float(nats) / math.log(2) / (len(sample.answer.encode()) + 1)
        for nats, sample in zip(nats_N, samples, strict=True)
    ]


def _last_answer(encoded: Encoded, begins: int) -> Encoded:
    return Encoded(encoded.ids, np.arange(len(encoded)) >= begins, encoded.language)
