"""Translation share: reinforcing against complementary influence of other languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glotmix.attribution import nulls
from glotmix.attribution.influence import InfluenceScores
from glotmix.errors import BadInput
from glotmix.transfer.matrix import TransferMatrix


@dataclass(frozen=True)
class TranslationShare:
    """A number with its interval."""

    value: float
    """The number; NaN where it is not defined (no foreign sample among the top)."""
    low: float
    """Lower end: over seeds, or over the test samples of a single run."""
    high: float
    """Upper end."""


@dataclass(frozen=True)
class TranslationShares:
    """How many foreign samples among the top m are translations of own-language samples among the same top m.

    Such a sample reinforces what the own language's data says; the others complement it.
    """

    reinforcing: TransferMatrix
    """By foreign language, with intervals; NaN on the diagonal and where no foreign sample is on top."""
    overall: Mapping[str, TranslationShare]
    """Test language to the share over all foreign languages, with its interval."""
    chance: Mapping[str, float]
    """What it is if the tops of languages are independent: own samples among the top, over own samples in all."""
    shuffled: Mapping[str, TranslationShare]
    """The same with identities shuffled within language and label: mean and 95 % band of one run."""


def translation_shares(runs: Sequence[InfluenceScores], m: int, rng: np.random.Generator) -> TranslationShares:
    """Reinforcing influence as in Choenni et al. 2023 (arXiv 2305.13286), joined by sample ids.

    For a test sample let O be the own-language and F the foreign samples among its top m: the share is
    ``|{f ∈ F: id(f) ∈ id(O)}| / |F|``, pooled over the test samples of a language.

    Args:
        runs: scores of the same samples from runs that differ in their seed.
        m: how many samples count as the top.
        rng: draws the shuffles.

    Raises:
        BadInput: training samples without ids, or a test language that is not trained on.
    """
    test, train = nulls.described(runs)
    if train.ids is None:
        raise BadInput("training samples have no ids", expected="ids that translations share")
    if missing := [target for target in test.names if target not in train.names]:
        raise BadInput(f"no training samples of {', '.join(missing)}", expected="test languages that are trained on")
    tops = [scores.top(m) for scores in runs]
    source_N = nulls.codes(train.languages, train.names)
    own_Q, target_Q = nulls.codes(test.languages, train.names), nulls.codes(test.languages, test.names)
    id_N = nulls.codes(train.ids, tuple(dict.fromkeys(train.ids)))
    within = nulls.groups(tuple(zip(train.languages, train.labels or train.languages, strict=True)), len(train))

    def count(top_QM: np.ndarray, id_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Foreign top samples that are translations of own top samples, and all foreign ones, each [Q, L]."""
        hits_QL, foreign_QL = np.zeros((2, len(test), len(train.names)))
        for q, (top_M, own) in enumerate(zip(top_QM, own_Q, strict=True)):
            mine = source_N[top_M] == own
            translated = np.isin(id_N[top_M[~mine]], id_N[top_M[mine]])
            np.add.at(foreign_QL[q], source_N[top_M[~mine]], 1)
            np.add.at(hits_QL[q], source_N[top_M[~mine]], translated)
        return hits_QL, foreign_QL

    def by_target(value_QL: np.ndarray) -> np.ndarray:
        return np.stack([value_QL[target_Q == t].sum(0) for t in range(len(test.names))])

    def overall(hits_QL: np.ndarray, foreign_QL: np.ndarray) -> np.ndarray:
        return _ratio(by_target(hits_QL).sum(1), by_target(foreign_QL).sum(1))

    counts = [count(top, id_N) for top in tops]
    overall_RT = np.stack([overall(*both) for both in counts])
    null_ST = np.stack(
        [overall(*count(tops[s % len(tops)], nulls.shuffled(id_N, within, rng))) for s in range(nulls.SHUFFLES)]
    )
    by_language_RTL = np.stack([_ratio(*map(by_target, both)) for both in counts])
    own_T = np.mean([m - by_target(foreign).sum(1) / np.bincount(target_Q) for _, foreign in counts], 0)
    hits, foreign = counts[0]
    one = nulls.over_tests(hits.sum(1, keepdims=True), foreign.sum(1, keepdims=True), target_Q, rng)
    ends = nulls.student(overall_RT) if len(runs) > 1 else (one[0][:, 0], one[1][:, 0])
    method = f"translation share of the top {m}"
    return TranslationShares(
        nulls.share_matrix(
            test.names, train.names, by_language_RTL, method, m, nulls.over_tests(hits, foreign, target_Q, rng)
        ),
        _figures(test.names, overall_RT.mean(0), ends),
        {name: float(own / train.languages.count(name)) for name, own in zip(test.names, own_T, strict=True)},
        _figures(test.names, null_ST.mean(0), nulls.band(null_ST)),
    )


def _ratio(hits: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(hits, seen, out=np.full(hits.shape, np.nan), where=seen > 0))


def _figures(
    names: Sequence[str], value_T: np.ndarray, ends: tuple[np.ndarray, np.ndarray]
) -> dict[str, TranslationShare]:
    rows = zip(names, value_T.tolist(), ends[0].tolist(), ends[1].tolist(), strict=True)
    return {name: TranslationShare(*row) for name, *row in rows}
