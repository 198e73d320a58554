"""How trainers turn weights into counts: the rules that ``realised.json`` is simulated with.

All take and give arrays over the languages, [L]. Counts are exact for the rule as documented; where a run is too long
to replay sample by sample, the docstring says by how much the shortcut can differ.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from glotmix.mixture.apportionment import apportion

GREEDY_REPLAY = 100_000
"""Samples that the greedy rule is replayed for; beyond, its counts are known to within about one sample."""
DRAW_REPLAY = 2_000_000
"""Random draws that are replayed one by one; beyond, counts are one multinomial draw from the same distribution."""


def largest_remainder(p_L: np.ndarray, total: int) -> np.ndarray:
    """Whole counts that sum to ``total``, each within one of ``p_l × total`` (Hamilton's method; ties by order)."""
    share_L = np.asarray(p_L, dtype=float) / np.sum(p_L)
    most_L = np.where(share_L > 0, total, 0)
    return np.asarray(apportion(share_L[None] * total, np.array([total]), np.zeros_like(most_L)[None], most_L[None])[0])


def greedy_deficit(p_L: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Counts of the samples ``start … stop - 1`` after Megatron's rule.

    Sample i goes to the language with the greatest ``w_l · max(i, 1) − count_l``, so every language gets a sample at
    the very start, however rare. Source: ``build_blending_indices`` of Megatron-core; nanotron and GPT-NeoX have the
    same rule. Replayed up to ``GREEDY_REPLAY`` samples; longer runs take largest-remainder counts, off by about one.
    """
    w_L = np.asarray(p_L, dtype=float) / np.sum(p_L)
    if stop > GREEDY_REPLAY:
        return np.asarray(np.maximum(largest_remainder(w_L, stop) - largest_remainder(w_L, start), 0))
    if start >= stop:
        return np.zeros(len(w_L), dtype=np.int64)
    return np.asarray(_dealt(w_L.tobytes(), stop) - _dealt(w_L.tobytes(), start))


@lru_cache(maxsize=1024)
def _dealt(weights: bytes, stop: int) -> np.ndarray:
    """Counts of the first ``stop`` samples; kept, because an export asks several times for the same."""
    w_L = np.frombuffer(weights)
    count_L, used_L = np.zeros(len(w_L)), w_L > 0
    w_L, error_L = np.where(used_L, w_L, 0.0), np.full(len(w_L), -np.inf)
    for i in range(stop):
        np.subtract(w_L * max(i, 1), count_L, out=error_L, where=used_L)
        count_L[error_L.argmax()] += 1
    return count_L.astype(np.int64)


def blocks(p_L: np.ndarray, total: int, block: int) -> np.ndarray:
    """Counts after Levanter's rule: ``int(w_l · block)`` in each block, what is left over to the largest language.

    Source: ``MixtureDataset._compute_expected_counts_per_block``. The last, unfinished block is a random part of a
    block; it is counted with its expectation (largest remainder).
    """
    (per_block_L,) = block_counts(p_L, np.array([block]))
    return np.asarray(per_block_L * (total // block) + largest_remainder(per_block_L / block, total % block))


def block_counts(p_L: np.ndarray, block_N: np.ndarray) -> np.ndarray:
    """Sequences of each language in one of Levanter's blocks, for blocks of several sizes. [N, L]"""
    w_L = np.asarray(p_L, dtype=float)
    count_NL = (w_L / w_L.sum() * block_N[:, None]).astype(np.int64)
    count_NL[np.arange(len(block_N)), np.argmax(count_NL, axis=1)] += block_N - count_NL.sum(axis=1)
    return np.asarray(count_NL)


def random_draws(p_L: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """Counts of ``total`` independent draws."""
    return rng.multinomial(total, np.asarray(p_L, dtype=float) / np.sum(p_L))
