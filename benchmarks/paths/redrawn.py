"""Where a trainer draws rows at random: how far its own rule is off at other seeds.

A count of rows is a share of tokens up to the lengths of the rows that are drawn. Both rules are replayed with other
draws, and so is the random part of the sequences that a trainer reads which stops at a step.
"""

import numpy as np

DRAWS = 1000


def once_then_again(size, count, rng):
    """LLaMA-Factory's: every row once in random order, and what is missing drawn with replacement."""
    rows = rng.permutation(size)[:count]
    return np.concatenate([rows, rng.integers(size, size=count - len(rows))])


def whole_passes(size, count, rng):
    """That of ms-swift, Grain and our own order for tinker-cookbook: whole passes, and a part of one at random."""
    return np.concatenate([np.tile(np.arange(size), count // size), rng.permutation(size)[: count % size]])


RULES = {
    "llama_factory": once_then_again,
    "ms_swift": whole_passes,
    "maxtext": whole_passes,
    "torchtitan": whole_passes,
    "tinker_cookbook": whole_passes,
    "open_instruct": whole_passes,
}


def errors(rule, sizes, rows, expected, sequences, length, seed):
    """Relative errors of the shares in ``DRAWS`` other draws of one stage. [D, L]

    Args:
        rule: one of ``RULES``.
        sizes: tokens of every document of each language.
        rows: rows of each language that the files ask for.
        expected: shares by ``realised.json``.
        sequences: sequences that the stage trains on.
        length: tokens of a sequence.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    sizes = [np.asarray(one) for one in sizes]
    found = np.empty((DRAWS, len(sizes)))
    for draw in found:
        draw[:] = [one[rule(len(one), count, rng)].sum() for one, count in zip(sizes, rows, strict=True)]
        there = (draw / length).astype(int)
        if there.sum() > sequences:
            draw[:] = rng.multivariate_hypergeometric(there, sequences)
    share = found / found.sum(axis=1, keepdims=True)
    return share / np.asarray(expected) - 1
