"""Balance: how much of each language's text a tokenizer is trained on.

``bytes``: as many bytes of each. ``temperature``: bytes in proportion to the language's size to the power 1/τ, as
multilingual models sample their data (Conneau et al. 2020, XLM-R, §3.1). ``parity``: so much of each that the same
documents cost about as many tokens in all languages: what costs more is sampled more, and the fairest of some rounds is
taken. Foroutan et al. 2025 (parity-aware BPE, arXiv 2508.04796) choose each merge for the language that is worst off;
here merges are those of plain BPE, and the sample decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from glotmix.corpus.document import Document
from glotmix.errors import BadInput
from glotmix.tokens.config import TokensConfig
from glotmix.tokens.tokenizer import JsonTokenizer, train_tokenizer

ROUNDS = 5
"""Tokenizers that are trained under ``parity``, the first one by bytes."""
STEP = 2.0
"""Power of a language's cost, relative to the mean, that its weight is multiplied by after every round."""
LEAST_SHARED = 10
"""Fewest documents that all languages must share for ``parity``."""


def balanced_tokenizer(
    samples: Mapping[str, Sequence[Document]], sizes: Mapping[str, int], config: TokensConfig
) -> JsonTokenizer:
    """A tokenizer trained on samples that are balanced as ``config.balance`` says.

    Args:
        samples: documents of each language, a fair sample of them.
        sizes: language to bytes of text that were seen of it.
        config: the section ``tokens``.

    Raises:
        BadInput: ``parity`` without documents that all languages share.
    """
    texts = {
        language: [text for document in documents for text in (document.prompt, document.text) if text]
        for language, documents in samples.items()
    }
    total = config.sample_bytes * len(texts)
    if config.balance == "parity":
        return _fairest(samples, texts, total, config)
    power = 1 / config.temperature if config.balance == "temperature" else 0.0
    weight_L = np.array([float(max(sizes[language], 1)) for language in texts]) ** power
    return train_tokenizer(texts, config.vocab_size, _bytes(texts, weight_L, total))


def _bytes(texts: Mapping[str, object], weight_L: np.ndarray, total: int) -> dict[str, int]:
    share_L = weight_L / weight_L.sum()
    return {language: max(1, round(total * share)) for language, share in zip(texts, share_L.tolist(), strict=True)}


def _fairest(
    samples: Mapping[str, Sequence[Document]], texts: Mapping[str, list[str]], total: int, config: TokensConfig
) -> JsonTokenizer:
    shared = set.intersection(*({one.id for one in documents if one.is_named} for documents in samples.values()))
    if len(shared) < LEAST_SHARED:
        raise BadInput(
            f"balance: parity with {len(shared)} documents that all languages share",
            where="tokens.balance",
            expected=f"{LEAST_SHARED} or more (corpus.id_field, or files of the same names), or balance: bytes",
        )
    parallel = {
        language: [one.text for one in documents if one.id in shared] for language, documents in samples.items()
    }
    weight_L = np.ones(len(texts))
    found: list[tuple[float, JsonTokenizer]] = []
    for _ in range(ROUNDS):
        tokenizer = train_tokenizer(texts, config.vocab_size, _bytes(texts, weight_L, total))
        cost_L = np.array([float(sum(map(len, tokenizer.encode_batch(parallel[name])))) for name in texts])
        found.append((float(cost_L.max() / cost_L.min()), tokenizer))
        weight_L *= (cost_L / cost_L.mean()) ** STEP
    return min(found, key=lambda one: one[0])[1]
