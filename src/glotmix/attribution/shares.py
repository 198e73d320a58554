"""Language shares: which languages the top samples of a language come from.

Each figure stands beside what it would be without any transfer. A share alone says little: a classification head
shared by languages that have nothing else in common mixes them almost evenly. The figure that moves with the
alignment of languages is :mod:`glotmix.attribution.translations`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glotmix.attribution import nulls
from glotmix.attribution.influence import Described, InfluenceScores
from glotmix.errors import BadInput
from glotmix.transfer.matrix import TransferMatrix


@dataclass(frozen=True)
class LanguageShares:
    """Share of each training language among the top m of each test language's samples; rows sum to one."""

    shares: TransferMatrix
    """The shares, with intervals over seeds; of a single run over its test samples (the notes say which)."""
    chance: TransferMatrix
    """Each language's share of the training samples."""
    same_label: TransferMatrix | None
    """Shares if the top were random samples of the test sample's label; None without labels."""
    shuffled: TransferMatrix
    """Shares when training samples' languages are shuffled (within their labels): mean and 95 % band of one run."""


def language_shares(
    runs: Sequence[InfluenceScores], m: int, rng: np.random.Generator, *, negative: bool = False
) -> LanguageShares:
    """Shares of the training languages among the top m samples, averaged over a test language's samples and over runs.

    Args:
        runs: scores of the same samples from runs that differ in their seed; intervals are Student's, over runs, or
            over test samples where there is one run.
        m: how many samples count as the top.
        rng: draws the shuffles.
        negative: look at the most harmful samples.

    Raises:
        BadInput: no runs, runs over different samples, or m beyond the training samples.
    """
    test, train = nulls.described(runs)
    targets, sources = test.names, train.names
    source_N, target_Q = nulls.codes(train.languages, sources), nulls.codes(test.languages, targets)
    tops = [scores.top(m, negative=negative) for scores in runs]

    def by_test(top_QM: np.ndarray, source_N: np.ndarray) -> np.ndarray:
        return np.stack([(source_N[top_QM] == i).mean(1) for i in range(len(sources))], 1)

    def shares(top_QM: np.ndarray, source_N: np.ndarray) -> np.ndarray:
        share_QL = by_test(top_QM, source_N)
        return np.stack([share_QL[target_Q == t].mean(0) for t in range(len(targets))])

    method = f"TracIn share of the {'most negative' if negative else 'top'} {m}"
    chance_L = np.bincount(source_N, minlength=len(sources)) / len(train)
    within = nulls.groups(train.labels, len(train))
    null_STL = np.stack(
        [shares(tops[s % len(tops)], nulls.shuffled(source_N, within, rng)) for s in range(nulls.SHUFFLES)]
    )
    share_QL = by_test(tops[0], source_N)
    ends = nulls.over_tests(share_QL, np.ones_like(share_QL), target_Q, rng)
    return LanguageShares(
        nulls.share_matrix(targets, sources, np.stack([shares(top, source_N) for top in tops]), method, m, ends),
        TransferMatrix(targets, sources, np.tile(chance_L, (len(targets), 1)), unit="1", method="chance"),
        _same_label(test, train),
        TransferMatrix(targets, sources, null_STL.mean(0), *nulls.band(null_STL), "1", "languages shuffled"),
    )


def _same_label(test: Described, train: Described) -> TransferMatrix | None:
    if test.labels is None or train.labels is None:
        return None
    if missing := set(test.labels) - set(train.labels):
        raise BadInput(f"no training sample has label {min(missing, key=str)!r}")
    label_N, source_N = np.array(train.labels), np.array(train.languages)
    share = {y: [float((source_N[label_N == y] == s).mean()) for s in train.names] for y in set(test.labels)}
    of = [[share[y] for y, lang in zip(test.labels, test.languages, strict=True) if lang == t] for t in test.names]
    value_TL = np.array([np.mean(rows, 0) for rows in of])
    return TransferMatrix(test.names, train.names, value_TL, unit="1", method="random samples of the same label")
