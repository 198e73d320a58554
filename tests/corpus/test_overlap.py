"""The same text in two languages is found, told, and never measured in one and trained on in the other."""

import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glotmix.corpus import overlap
from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.overlap import TextOverlap, held_out_elsewhere, leaks_of, shared_texts
from glotmix.corpus.readers.reader import open_reader
from glotmix.corpus.split import HELD_OUT_ELSEWHERE, split_documents
from glotmix.tokens import joining
from glotmix.tokens.build import build_store
from glotmix.tokens.census import take_census
from glotmix.tokens.config import TokensConfig

LANGUAGES = ("spa_Latn", "glg_Latn", "por_Latn")
HASHES = st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(0, 30), max_size=20), min_size=1)


@given(HASHES)
def test_counts_are_those_of_sets(found):
    hashes = {name: np.array(values, dtype=np.uint64) for name, values in found.items()}
    sets = {name: set(values) for name, values in found.items()}
    texts, shared = shared_texts(hashes)
    assert texts == {name: len(values) for name, values in sets.items()}
    wanted = {
        one: {other: len(sets[one] & sets[other]) for other in sets if other != one and sets[one] & sets[other]}
        for one in sets
    }
    assert shared == {name: row for name, row in wanted.items() if row}
    elsewhere = held_out_elsewhere(hashes)
    for name in sets:
        others = set().union(*(sets[other] for other in sets if other != name))
        assert set(elsewhere[name].tolist()) == others


@given(HASHES, HASHES)
def test_leaks_are_those_of_sets(trained, measured):
    names = sorted({*trained, *measured})
    held = {name: np.array(measured.get(name, []), dtype=np.uint64) for name in names}
    every = {name: np.append(held[name], np.array(trained.get(name, []), dtype=np.uint64)) for name in names}
    counts, leaks = leaks_of(every, held)
    sets = {
        name: (set(trained.get(name, [])) - set(measured.get(name, [])), set(measured.get(name, []))) for name in names
    }
    wanted = {
        one: {
            other: len(sets[one][1] & sets[other][0])
            for other in names
            if other != one and sets[one][1] & sets[other][0]
        }
        for one in names
    }
    assert leaks == {name: row for name, row in wanted.items() if row}
    assert counts == {name: len(own) for name, (_, own) in sets.items()}


def test_what_there_is_nothing_of_is_not_written():
    assert set(TextOverlap({"a": 1}, {}, {}).to_json()) == {"texts", "shared", "left_out"}
    told = TextOverlap({"a": 1}, {}, {}, {"a": 3}, {"a": {"b": 2}})
    assert TextOverlap.from_json(told.to_json()) == told


def test_a_large_corpus_is_compared_by_its_lowest_hashes(monkeypatch):
    monkeypatch.setattr(overlap, "MOST_HASHES", 5000)
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 1 << 64, (2, 20_000), dtype=np.uint64)
    other[:10_000] = one[:10_000]
    texts, shared = shared_texts({"a": one, "b": other})
    assert texts["a"] == pytest.approx(20_000, rel=0.1)
    assert shared["a"]["b"] == shared["b"]["a"] == pytest.approx(10_000, rel=0.1)


@pytest.fixture
def corpus(tmp_path):
    """Three languages of 300 documents; half of the Galician ones are Spanish ones, in another order."""
    rng = random.Random(0)
    own = {name: [f"{name} {k} {rng.random()}" for k in range(300)] for name in LANGUAGES}
    own["glg_Latn"][:150] = rng.sample(own["spa_Latn"], 150)
    for name, texts in own.items():
        (tmp_path / "c" / name).mkdir(parents=True)
        (tmp_path / "c" / name / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return open_reader(CorpusConfig(reader="jsonl", path="c"), LANGUAGES, tmp_path), own


def test_no_text_that_is_held_out_stands_in_the_training_text_of_any_language(corpus):
    reader, _ = corpus
    sides = {name: list(split_documents(reader, name, 0.2)) for name in LANGUAGES}
    train = {document.text for rows in sides.values() for document, side in rows if side == "train"}
    held = {document.text for rows in sides.values() for document, side in rows if side == "held_out"}
    assert not train & held
    assert len(held) > 100


@pytest.mark.parametrize("part_bytes", [1 << 26, 5000])
def test_a_store_leaves_them_out_and_counts_them(corpus, tmp_path, part_bytes, monkeypatch):
    from glotmix.corpus.readers import reader as reader_module

    monkeypatch.setattr(reader_module, "PART_BYTES", part_bytes)
    reader, _ = corpus
    config = TokensConfig(vocab_size=300, sample_bytes=3000, held_out_tokens=1000)
    store = build_store(tmp_path / "tokens", reader, LANGUAGES, config, 0.2)
    tokenizer, texts = store.tokenizer(), {}
    for name in LANGUAGES:
        for side in ("train", "held_out"):
            ids = store.train(name) if side == "train" else store.held_out(name).tokens
            for row in store.documents(name, side).iter_rows(named=True):
                texts[name, side, tokenizer.decode(ids[row["offset"] : row["offset"] + row["length"]])] = row["id"]
    train = {text for _, side, text in texts if side == "train"}
    assert not train & {text for _, side, text in texts if side == "held_out"}
    assert store.overlap.shared == {"spa_Latn": {"glg_Latn": 150}, "glg_Latn": {"spa_Latn": 150}}
    assert store.overlap.left_out.keys() == {"spa_Latn", "glg_Latn"}
    leaks = store.overlap.leaks
    assert {name: leaks[other][name] for name, other in (("spa_Latn", "glg_Latn"), ("glg_Latn", "spa_Latn"))} == dict(
        store.overlap.left_out
    )
    for name in LANGUAGES:
        tally = store.reading(name)
        counts = {side: store.totals(name, side)["documents"] for side in ("train", "held_out")}
        assert tally.rows == 300 == tally.read + sum(tally.left_out.values())
        assert tally.read == sum(counts.values())
        assert tally.left_out[joining.NOT_MEASURED] > 0
        assert tally.left_out[HELD_OUT_ELSEWHERE] == store.overlap.left_out.get(name, 0)
        assert tally.bytes == sum(store.totals(name, side)["bytes"] for side in counts)
    notes = "\n".join(take_census(store).notes())
    assert "50.0% of the texts of spa_Latn stand in glg_Latn" in notes
    assert f"spa_Latn: {store.overlap.left_out['spa_Latn']} training documents are left out" in notes
    held, there = store.overlap.held_out["glg_Latn"], leaks["glg_Latn"]["spa_Latn"]
    assert f"of the {held} held-out documents of glg_Latn {there} stood in the training text of spa_Latn" in notes
