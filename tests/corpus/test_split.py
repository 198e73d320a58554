"""The split: fair, stable, the same for translations, and no text on both sides."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.document import Document
from glotmix.corpus.readers.reader import Reader
from glotmix.corpus.sample import LowestHashes
from glotmix.corpus.split import HashSet, hash64, is_held_out, split_documents


class ListReader(Reader):
    """Documents from a list of (id, text)."""

    def __init__(self, documents):
        super().__init__(CorpusConfig(), ["spa_Latn", "fra_Latn"], None)
        self.list = documents

    def _documents(self, language, tally):
        for id, text in self.list:
            yield Document(text, id, language, "list")

    def inputs(self):
        return {}


@pytest.mark.parametrize("fraction", [0.01, 0.05, 0.3])
def test_the_share_held_out_is_the_share_asked_for(fraction):
    """Binomial with n = 20,000: four standard deviations; an always-train rule is 14 or more away."""
    n = 20_000
    held = sum(is_held_out(f"doc{k}", fraction) for k in range(n))
    assert abs(held - n * fraction) < 4 * (n * fraction * (1 - fraction)) ** 0.5


@given(st.text(), st.floats(0, 0.5), st.floats(0, 0.5))
def test_holding_out_more_holds_out_the_same_and_more(id, a, b):
    low, high = sorted((a, b))
    assert is_held_out(id, low) <= is_held_out(id, high)


def test_the_hash_is_fixed_for_ever():
    """A different hash would move documents of finished studies to the other side."""
    assert hash64("man1/ls") == int.from_bytes(__import__("hashlib").blake2b(b"man1/ls", digest_size=8).digest(), "big")
    assert [is_held_out(f"d{k}", 0.2) for k in range(12)] == [is_held_out(f"d{k}", 0.2) for k in range(12)]


def test_translations_are_on_one_side_and_duplicates_are_dropped_across_sides():
    rng = random.Random(0)
    texts = [f"text {rng.randrange(300)}" for _ in range(3000)]
    reader = ListReader([(f"id{k}", text) for k, text in enumerate(texts)])
    sides = {language: {d.id: s for d, s in split_documents(reader, language, 0.3)} for language in reader.languages}
    assert sides["spa_Latn"] == sides["fra_Latn"]
    by_text = {}
    for document, side in split_documents(reader, "spa_Latn", 0.3):
        assert document.text not in by_text
        by_text[document.text] = side
    assert set(by_text) == set(texts)
    assert set(by_text.values()) == {"train", "held_out"}


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 50), max_size=3000))
def test_the_hash_set_is_a_set(values):
    ours, theirs = HashSet(), set()
    for value in values:
        assert ours.add(value) == ((value or 1) not in theirs)
        theirs.add(value or 1)
        assert value in ours
    assert len(ours) == len(theirs)


def test_the_hash_set_grows_and_takes_a_few_bytes_each():
    rng = random.Random(1)
    values = [rng.getrandbits(64) for _ in range(50_000)]
    ours = HashSet()
    assert all(ours.add(value) for value in values)
    assert not any(ours.add(value) for value in values)
    assert ours._slots.nbytes <= 64 * len(values)


@pytest.mark.parametrize("size", [1, 50, 10**9])
def test_lowest_hashes_are_a_fair_sample_of_the_asked_size_in_any_order_of_arrival(size):
    documents = [Document("x" * (1 + k % 7), f"d{k}", "spa_Latn", "") for k in range(500)]
    kept = []
    for order in (documents, documents[::-1]):
        sample = LowestHashes(size)
        for document in order:
            sample.add(document, len(document.text))
        kept.append(sample.in_order())
    assert kept[0] == kept[1] == sorted(documents, key=lambda d: hash64(d.id))[: len(kept[0])]
    total = sum(len(d.text) for d in kept[0])
    assert total >= min(size, sum(len(d.text) for d in documents))
    assert total - len(kept[0][-1].text) < size
