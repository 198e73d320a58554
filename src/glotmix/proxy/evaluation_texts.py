"""What a comparison of methods measures besides the held-out loss, and what it keeps apart for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from glotmix.errors import BadInput
from glotmix.proxy.evaluate import EvaluationText
from glotmix.proxy.loader import MixtureBatches

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
