"""Independent draws: the language of every sequence by itself, as most trainers that mix at random draw it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from glotmix.mixture.samplers.permutation import hashed, key_of
from glotmix.mixture.samplers.scheduled import PIECE, Sampler, ordinals


@dataclass(frozen=True)
class IndependentSampler(Sampler):
    """A :class:`Sampler` whose languages are drawn one by one, with the shares of the stage as probabilities.

    Counts of a language then vary as they do under independent draws, ``n p (1 - p)`` in n of them, and a batch's
    gradient is as noisy as its sequences are; draws whose counts are exact are quieter. The sequences of a language
    come in the same order as there, epoch by epoch.

    Source: the released scripts of "Upsample or Upweight?" (arXiv 2410.04579) draw so. What is drawn remains a pure
    function of schedule, seed and index; counts up to an index are summed once, by pieces of the run.
    """

    _language_key: np.ndarray = field(init=False, repr=False, compare=False)
    _edge_SL: np.ndarray = field(init=False, repr=False, compare=False)
    _before_NL: list[np.ndarray] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "_language_key", key_of(self.seed, "language"))
        cumulative_SL = np.cumsum(self._quotas.p_SL, axis=1)
        object.__setattr__(self, "_edge_SL", cumulative_SL / cumulative_SL[:, -1:])
        object.__setattr__(self, "_before_NL", [np.zeros(len(self.languages), dtype=np.int64)])

    def _languages(self, start: int, stop: int) -> np.ndarray:
        index_N = np.arange(start, stop)
        draw_N = (hashed(self._language_key, index_N) >> np.uint64(11)) * 2.0**-53
        stage_N = np.searchsorted(self._quotas.start_S, index_N, side="right") - 1
        language_N = np.empty(len(index_N), dtype=np.int64)
        for stage in np.unique(stage_N):
            here = stage_N == stage
            language_N[here] = np.searchsorted(self._edge_SL[stage], draw_N[here], side="right")
        return language_N

    def _drawn_before(self, index: int) -> np.ndarray:
        piece, L = index // PIECE, len(self.languages)
        while len(self._before_NL) <= piece:
            start = (len(self._before_NL) - 1) * PIECE
            count_L = np.bincount(self._languages(start, start + PIECE), minlength=L)
            self._before_NL.append(self._before_NL[-1] + count_L)
        return np.asarray(self._before_NL[piece] + np.bincount(self._languages(piece * PIECE, index), minlength=L))

    def _drawn(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        language = self._languages(start, stop)
        return language, self._sequences(language, ordinals(language, self._drawn_before(start)))
