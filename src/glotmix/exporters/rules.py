"""How trainers turn weights into counts: the rules that ``realised.json`` is simulated with.

All take and give arrays over the languages, [L]. Counts are exact for the rule as documented; where a run is too long
to replay sample by sample, the docstring says by how much the shortcut can differ.
"""

from __future__ import annotations

import numpy as np

GREEDY_REPLAY = 200_000
"""Samples that the greedy rule is replayed for; beyond, its counts are known to within about one sample."""
DRAW_REPLAY = 4_000_000
"""Random draws that are replayed one by one; beyond, counts are one multinomial draw from the same distribution."""


def largest_remainder(p_L: np.ndarray, total: int) -> np.ndarray:
    """Whole counts that sum to ``total``, each within one of ``p_l × total`` (Hamilton's method; ties by order)."""
    exact_L = np.asarray(p_L, dtype=float) / np.sum(p_L) * total
    count_L = np.floor(exact_L + 1e-9).astype(np.int64)
    short = int(total - count_L.sum())
    order_L = np.argsort(-(exact_L - count_L), kind="stable")
    count_L[order_L[:short]] += 1
    return count_L


def greedy_deficit(p_L: np.ndarray, total: int) -> np.ndarray:
    """Counts after Megatron's rule: sample i goes to the language with the greatest ``w_l · max(i, 1) − count_l``.

    Source: ``build_blending_indices`` of Megatron-core; nanotron and GPT-NeoX have the same rule. Replayed for the
    first ``GREEDY_REPLAY`` samples; longer runs take largest-remainder counts, which differ by about one sample.
    """
    w_L = np.asarray(p_L, dtype=float) / np.sum(p_L)
    if total > GREEDY_REPLAY:
        return largest_remainder(w_L, total)
    count_L = np.zeros(len(w_L))
    for i in range(total):
        count_L[np.argmax(w_L * max(i, 1) - count_L)] += 1
    return count_L.astype(np.int64)


def blocks(p_L: np.ndarray, total: int, block: int) -> np.ndarray:
    """Counts after Levanter's rule: ``int(w_l · block)`` in each block, what is left over to the largest language.

    Source: ``MixtureDataset._compute_expected_counts_per_block``. The last, unfinished block is a random part of a
    block; it is counted with its expectation (largest remainder).
    """
    per_block_L = block_counts(p_L, block)
    return per_block_L * (total // block) + largest_remainder(per_block_L / block, total % block)


def block_counts(p_L: np.ndarray, block: int) -> np.ndarray:
    """Sequences of each language in one of Levanter's blocks."""
    w_L = np.asarray(p_L, dtype=float)
    count_L = (w_L / w_L.sum() * block).astype(np.int64)
    count_L[np.argmax(count_L)] += block - count_L.sum()
    return count_L


def random_draws(p_L: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """Counts of ``total`` independent draws."""
    return rng.multinomial(total, np.asarray(p_L, dtype=float) / np.sum(p_L))
