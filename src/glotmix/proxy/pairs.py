"""Pairs: a sequence is one sentence with its translation, and the translation alone is learnt.

A row is ``end, source, end, target, end, end …`` up to the context: what is learnt can be read off the row itself, so
batches stay plain token ids. The loss of a pair is the sum of its target's nats (its end included) over the mean number
of such tokens: a constant, so that loss weights stand for sampling exactly as in theory, as in a language model's loss.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from glotmix.tokens.store import TokenStore

COUNTED = 1024
"""Pairs of each language on which the mean length of a target is counted."""


class PairRows:
    """Training pairs of a language that fit into the context, by number."""

    def __init__(self, store: TokenStore, language: str, context: int):
        index = store.documents(language, "train")
        lengths = index["length"].to_numpy()
        fitting = lengths <= context
        self._starts, self._lengths = index["offset"].to_numpy()[fitting], lengths[fitting]
        self._tokens, self._end, self._context = store.train(language), store.end_of_document, context
        self.left_out = int((~fitting).sum())
        """Pairs that are longer than the context and so are never read."""

    def __len__(self) -> int:
        return len(self._starts)

    def read(self, number_B: np.ndarray) -> np.ndarray:
        """Token ids, [B, T + 1]."""
        place_T = np.arange(self._context)
        index_BT = np.minimum(self._starts[number_B, None] + place_T, len(self._tokens) - 1)
        inside_BT = place_T < self._lengths[number_B, None]
        rows_BT = np.where(inside_BT, self._tokens[index_BT], self._end)
        return np.pad(rows_BT, ((0, 0), (1, 0)), constant_values=self._end)


@dataclass(frozen=True)
class Targets:
    """What of rows of pairs is learnt."""

    end: int
    """Id of the end of a document, which stands before, between and behind the sides."""
    mean: float
    """Learnt tokens of a row, on average."""

    @classmethod
    def of(cls, end: int, rows: Iterable[PairRows]) -> Targets:
        """With the mean of the first pairs of each language, all languages alike."""
        counts = [learnt(one.read(np.arange(min(COUNTED, len(one)))), end).sum(-1).mean() for one in rows if len(one)]
        return cls(end, float(np.mean(counts)))

    def weights(self, tokens: Tensor) -> Tensor:
        """Weight of every next token, [..., T] for token ids [..., T + 1]; their mean loss, so weighted, is that of the
        pairs."""
        counts: Tensor = learnt(tokens, self.end)
        return counts * ((tokens.shape[-1] - 1) / self.mean)


def learnt(tokens, end: int):  # type: ignore[no-untyped-def]  # of arrays and of tensors
    """Which next tokens are a target's, its end included: booleans [..., T] for token ids [..., T + 1]."""
    return (tokens[..., :-1] == end).cumsum(-1) == 2
