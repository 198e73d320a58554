"""Leakage: no test sample, nor a translation or near copy of one, is trained on.

A test sample leaks when its id is trained on (within one data set; parallel data: in any language), or when one
training sample holds most of its 8-grams: 70 %, as PaLM counts (Chowdhery et al. 2022, arXiv 2204.02311, §8), there
over the whole training set and here within one sample, since templates and greetings recur. N-grams are of words, and
of characters in scripts without spaces; a text shorter than that is compared whole.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from glotmix.errors import BadInput
from glotmix.posttraining.metrics import words
from glotmix.posttraining.sample import Sample

N = 8
SHARE = 0.7


@dataclass(frozen=True)
class Leak:
    """A test sample that is trained on."""

    test: Sample
    """The test sample."""
    train: Sample
    """The training sample that it is found in."""
    share: float
    """Share of its n-grams found there; 1 for equal ids."""


def leaks(train: Sequence[Sample], test: Iterable[Sample], *, parallel: bool, ids: bool = True) -> list[Leak]:
    """Test samples that the training samples give away.

    Args:
        train: everything that any cell trains on, of one task.
        test: everything that it is tested on.
        parallel: whether ids are shared by translations, so that an id counts in every language.
        ids: whether ids of both name the same samples; else texts alone count.
    """
    by_id: dict[tuple[str, str], Sample] = {}
    holders: defaultdict[int, list[int]] = defaultdict(list)
    for index, sample in enumerate(train):
        if ids:
            by_id[sample.id, "" if parallel else sample.language] = sample
        for gram in _grams(sample):
            holders[gram].append(index)
    found = []
    for sample in test:
        same = by_id.get((sample.id, "" if parallel else sample.language))
        if same is not None:
            found.append(Leak(sample, same, 1.0))
            continue
        grams = _grams(sample)
        shared = Counter(index for gram in grams for index in holders.get(gram, ()))
        if shared:
            index, count = shared.most_common(1)[0]
            if count >= SHARE * len(grams):
                found.append(Leak(sample, train[index], count / len(grams)))
    return found


def refuse_leaks(found: Sequence[Leak]) -> None:
    """
    Raises:
        BadInput: a test sample inside training, naming both.
    """
    if found:
        leak = found[0]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise BadInput(
            f"test sample {leak.test.id!r} of {leak.test.task} in {leak.test.language} is in the training data as "
            f"{leak.train.id!r} in {leak.train.language}, {leak.share:.0%} of it{more}",
            where="leakage",
            expected="test samples that are never trained on, or leakage: drop",
        )


def _grams(sample: Sample) -> set[int]:
    """Hashes of a sample's n-grams; of the whole text where it is shorter."""
    tokens = words(sample.text)
    return {hash(tuple(tokens[i : i + N])) for i in range(max(1, len(tokens) - N + 1))}
