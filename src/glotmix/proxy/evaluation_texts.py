"""What a comparison of methods measures besides the held-out loss, and what it keeps apart for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from glotmix.errors import BadInput
from glotmix.proxy.evaluate import EvaluationText
from glotmix.proxy.loader import MixtureBatches
from glotmix.proxy.pairs import learnt
from glotmix.tokens.store import HeldOutText

DEVELOPMENT = 0.25
"""Share of the held-out text that methods may learn from; losses are measured on the rest."""
TRAINED_TOKENS = 4096
"""Most training tokens of a language on which the loss is measured."""


@dataclass(frozen=True)
class Text:
    """A stream of tokens and the bytes it stands for."""

    tokens: np.ndarray
    """Token ids, [n]."""
    bytes: int
    """Bytes of UTF-8."""


@dataclass(frozen=True)
class EvaluationTexts:
    """Three texts of every language: measured, learnt from by methods only, and trained on."""

    held_out: Mapping[str, EvaluationText]
    """The first three quarters of the held-out text."""
    development: Mapping[str, np.ndarray]
    """The rest as windows, [n, T + 1]."""
    trained_on: Mapping[str, EvaluationText]
    """A sample of the sequences that runs may read, the same for all runs."""

    @classmethod
    def of(cls, held_out: Mapping[str, EvaluationText], batches: MixtureBatches, context: int) -> EvaluationTexts:
        """Divide the held-out text, and sample the training text.

        The bytes of the measured part are taken as its share of the tokens, the same for every run.

        Raises:
            BadInput: a language has too little held-out text to divide.
        """
        if batches.targets is not None:
            return cls._of_pairs(held_out, batches, context)
        measured, development = {}, {}
        for language, text in held_out.items():
            kept = int((1 - DEVELOPMENT) * len(text.tokens))
            windows = (len(text.tokens) - kept - 1) // context
            if windows < 1:
                raise BadInput(
                    f"{language} has {len(text.tokens)} held-out tokens",
                    where="corpus.held_out",
                    expected=f"at least {round((context + 2) / DEVELOPMENT)}, a quarter of which makes a window",
                )
            measured[language] = Text(np.asarray(text.tokens[:kept]), round(text.bytes * kept / len(text.tokens)))
            place = kept + context * np.arange(windows)[:, None] + np.arange(context + 1)
            development[language] = np.asarray(text.tokens)[place]
        trained_on = {}
        for language, size in batches.fingerprint["available"].items():
            count = min(size, TRAINED_TOKENS // context)
            tokens = batches.first_sequences(language, count)[:, 1:].ravel()
            trained_on[language] = Text(tokens, len(tokens))  # only nats per token are asked for
        return cls(measured, development, trained_on)

    @classmethod
    def _of_pairs(
        cls, held_out: Mapping[str, EvaluationText], batches: MixtureBatches, context: int
    ) -> EvaluationTexts:
        """The same of parallel text, which is divided between pairs."""
        assert batches.targets is not None
        measured: dict[str, EvaluationText] = {}
        trained_on: dict[str, EvaluationText] = {}
        development = {}
        for language, text in held_out.items():
            assert isinstance(text, HeldOutText)
            measured[language], rest = divided(text)
            development[language] = rows_of(rest, context, batches.targets.end)
        for language, size in batches.fingerprint["available"].items():
            rows_BS = batches.first_sequences(language, min(size, max(1, TRAINED_TOKENS // context)))
            starts, scored = np.arange(len(rows_BS)) * context, learnt(rows_BS, batches.targets.end)
            tokens = rows_BS[:, 1:].ravel()
            trained_on[language] = HeldOutText(tokens, len(tokens), len(rows_BS), None, starts, scored.ravel())
        return cls(measured, development, trained_on)


def divided(text: HeldOutText) -> tuple[HeldOutText, HeldOutText]:
    """Held-out pairs that are measured on, and those that methods may learn from.

    Raises:
        BadInput: too few to divide.
    """
    assert text.starts is not None
    assert text.scored is not None
    M = len(text.starts)
    kept = int((1 - DEVELOPMENT) * M)
    if not 0 < kept < M:
        expected = f"at least {round(1 / DEVELOPMENT)}, a quarter of which methods may learn from"
        raise BadInput(f"{M} held-out pairs", where="corpus.held_out", expected=expected)
    cut, total = int(text.starts[kept]), int(text.scored.sum())
    parts = (slice(0, cut), slice(0, kept)), (slice(cut, None), slice(kept, None))
    found = []
    for tokens, pairs in parts:
        scored = text.scored[tokens]
        size = round(text.bytes * int(scored.sum()) / total)
        starts = text.starts[pairs] - text.starts[pairs][0]
        found.append(HeldOutText(np.asarray(text.tokens[tokens]), size, len(starts), None, starts, scored))
    return found[0], found[1]


def rows_of(text: HeldOutText, context: int, end: int) -> np.ndarray:
    """Held-out pairs that fit into the context as rows, [n, context + 1] (see :mod:`glotmix.proxy.pairs`)."""
    assert text.starts is not None
    pairs = [one for one in np.split(text.tokens, text.starts[1:]) if len(one) <= context]
    rows = np.full((len(pairs), context + 1), end, dtype=np.int64)
    for row, pair in zip(rows, pairs, strict=True):
        row[1 : 1 + len(pair)] = pair
    return rows
