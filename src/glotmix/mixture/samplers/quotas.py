"""Quotas: how many sequences of each language a schedule has drawn by the start of each block, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glotmix.mixture.apportionment import apportion
from glotmix.mixture.schedule import Schedule


@dataclass(frozen=True)
class Quotas:
    """A run cut into stages and blocks, with whole-number counts that follow the shares.

    Block b of the run starts at index ``start(b)``; stages begin a block of their own and the last block of a stage
    takes up the remainder, so blocks have ``block`` to ``2 block - 1`` sequences (fewer only in a shorter stage).
    """

    start_S: np.ndarray
    """First index of each stage, and the run's length behind them: S + 1 integers."""
    first_S: np.ndarray
    """First block of each stage, and the number of blocks behind them: S + 1 integers."""
    p_SL: np.ndarray
    """Shares of the languages in each stage."""
    expected_SL: np.ndarray
    """Expected number of sequences before each stage, and in the whole run: S + 1 rows."""
    drawn_SL: np.ndarray
    """The same in whole numbers."""
    block: int
    """Sequences per block."""
    plain_S: np.ndarray
    """Whether largest remainder alone cannot make a count fall from one block of a stage to the next."""

    @classmethod
    def of(cls, schedule: Schedule, total: int, block: int) -> Quotas:
        """The quotas of a run of ``total`` sequences. A stage that rounds to no sequence at all is left out."""
        start_S = np.array([*(round(stage.start * total) for stage in schedule.stages), total], dtype=np.int64)
        p_SL = np.array([stage.mixture.vector(schedule.languages) for stage in schedule.stages])
        kept = np.diff(start_S) > 0
        start_S, p_SL = np.append(start_S[:-1][kept], total), p_SL[kept]
        length_S = np.diff(start_S)
        expected_SL = np.vstack([np.zeros(p_SL.shape[1]), np.cumsum(p_SL * length_S[:, None], axis=0)])
        drawn_SL = np.zeros_like(expected_SL, dtype=np.int64)
        for stage, length in enumerate(length_S):
            most_L = drawn_SL[stage] + np.where(p_SL[stage] > 0, length, 0)
            rows = slice(stage + 1, stage + 2)
            drawn_SL[rows] = apportion(expected_SL[rows], start_S[rows], drawn_SL[stage : stage + 1], most_L[None])
        first_S = np.append(0, np.cumsum(np.maximum(length_S // block, 1)))
        plain_S = _are_plain(p_SL, expected_SL, drawn_SL, np.minimum(block, length_S))
        return cls(start_S, first_S, p_SL, expected_SL, drawn_SL, block, plain_S)

    def block_of(self, index_N: np.ndarray) -> np.ndarray:
        """The block that holds each index."""
        stage = np.searchsorted(self.start_S, index_N, side="right") - 1
        return np.asarray(
            np.minimum(self.first_S[stage] + (index_N - self.start_S[stage]) // self.block, self.first_S[stage + 1] - 1)
        )

    def start(self, block_N: np.ndarray) -> np.ndarray:
        """First index of each block; the run's length for the number one past the last block."""
        stage = np.searchsorted(self.first_S, block_N, side="right") - 1
        return np.asarray(self.start_S[stage] + (block_N - self.first_S[stage]) * self.block)

    def drawn(self, block_N: np.ndarray) -> np.ndarray:
        """Sequences of each language before each block. Shape [N, L], rows sum to ``start(block)``."""
        stage_N = np.minimum(np.searchsorted(self.first_S, block_N, side="right") - 1, len(self.p_SL) - 1)
        at_end_N = block_N == self.first_S[stage_N + 1]
        if self.plain_S[stage_N].all():
            middle_N = np.where(at_end_N, self.first_S[stage_N], block_N)
            drawn_NL = self._rounded(stage_N, middle_N, self.drawn_SL[stage_N], self.drawn_SL[stage_N + 1])
        else:
            drawn_NL = self._halved(stage_N, block_N)
        return np.where(at_end_N[:, None], self.drawn_SL[stage_N + 1], drawn_NL)

    def _halved(self, stage_N: np.ndarray, block_N: np.ndarray) -> np.ndarray:
        """Counts before each block, by halving the stage until the block's start is hit.

        At each half the expected counts are rounded between the counts at both ends, so that they never fall from one
        block to the next, however rare a language is.
        """
        low_N, high_N = self.first_S[stage_N], self.first_S[stage_N + 1]
        low_NL, high_NL = self.drawn_SL[stage_N], self.drawn_SL[stage_N + 1]
        while (open_N := (block_N > low_N) & (block_N < high_N)).any():
            middle_N = np.where(open_N, (low_N + high_N) // 2, low_N)
            upper_NL = np.where(open_N[:, None], high_NL, low_NL)
            middle_NL = self._rounded(stage_N, middle_N, low_NL, upper_NL)
            right_N = open_N & (block_N >= middle_N)
            left_N = open_N & ~right_N
            low_N, high_N = np.where(right_N, middle_N, low_N), np.where(left_N, middle_N, high_N)
            low_NL = np.where(right_N[:, None], middle_NL, low_NL)
            high_NL = np.where(left_N[:, None], middle_NL, high_NL)
        return np.asarray(np.where((block_N == high_N)[:, None], high_NL, low_NL))

    def _rounded(self, stage_N: np.ndarray, block_N: np.ndarray, low_NL: np.ndarray, high_NL: np.ndarray) -> np.ndarray:
        """Expected counts at the start of each block, rounded within bounds."""
        offset_N = (block_N - self.first_S[stage_N]) * self.block
        quota_NL = self.expected_SL[stage_N] + self.p_SL[stage_N] * offset_N[:, None]
        return apportion(quota_NL, self.start_S[stage_N] + offset_N, low_NL, high_NL)


def _are_plain(p_SL: np.ndarray, expected_SL: np.ndarray, drawn_SL: np.ndarray, block_S: np.ndarray) -> np.ndarray:
    """Which stages need no halving.

    Largest remainder leaves every count at its expectation rounded down or up. Where a language expects at least one
    sequence per block, a whole number lies between the expectations at two blocks' starts, so its count cannot fall.
    Languages that pause in a stage must not owe or have a fraction, which the others would have to make up.
    """
    common_S = ((p_SL == 0) | (p_SL * block_S[:, None] >= 1)).all(axis=1)
    settled_S = ((p_SL > 0) | (np.abs(drawn_SL[:-1] - expected_SL[:-1]) < 1e-6)).all(axis=1)
    whole_S = (np.abs(drawn_SL - expected_SL) < 1).all(axis=1)
    return np.asarray(common_S & settled_S & whole_S[:-1] & whole_S[1:])
