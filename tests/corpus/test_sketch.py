"""Counting by sketch: exact while it can be, within its error beyond, and the same however a corpus is cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glotmix.corpus.document import Document
from glotmix.corpus.sketch import KEPT, sketch


def documents(texts):
    return (Document(text, f"#{k}", "spa_Latn", "list") for k, text in enumerate(texts))


@given(st.lists(st.text(min_size=1, max_size=3), max_size=60), st.integers(0, 60))
def test_small_corpora_are_counted_exactly_and_parts_merge_into_the_whole(texts, cut):
    whole = sketch(documents(texts))
    assert (whole.documents, whole.distinct) == (len(texts), len(set(texts)))
    assert whole.bytes == sum(len(text.encode()) for text in texts)
    merged = sketch(documents(texts[:cut])) | sketch(documents(texts[cut:]))
    assert (merged.documents, merged.bytes) == (whole.documents, whole.bytes)
    assert np.array_equal(merged.lowest, whole.lowest)


def test_large_corpora_are_estimated_within_four_standard_errors():
    """60,000 distinct of 90,000; taking every document for distinct would be 50 % off, the bound here is 6 %."""
    texts = [f"text {k % 60_000}" for k in range(90_000)]
    found = sketch(documents(texts))
    assert len(found.lowest) == KEPT
    assert abs(found.distinct / 60_000 - 1) < 4 / (KEPT - 2) ** 0.5
    assert found.duplicates == pytest.approx(1 / 3, abs=0.05)
    halves = sketch(documents(texts[::2])) | sketch(documents(texts[1::2]))
    assert np.array_equal(halves.lowest, found.lowest)
