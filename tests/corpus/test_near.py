"""Training text that is nearly a held-out one is found in every source, told and left out."""

import json
import random

import numpy as np
import pytest

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.corpus.split import NEARLY_HELD_OUT, is_held_out
from glotmix.tokens.build import build_store
from glotmix.tokens.census import take_census
from glotmix.tokens.config import TokensConfig

pytest.importorskip("datasketch")
from glotmix.corpus.near import near_held_out, signature

SOURCES = {"web": {"language": "en"}, "news": {"language": "en"}, "zh": {"language": "zh"}}


def words(rng, n=80):
    return [f"w{rng.randrange(5000)}" for _ in range(n)]


def jaccard(one, other, n=5):
    a, b = ({tuple(x[k : k + n]) for k in range(len(x) - n + 1)} for x in (one.split(), other.split()))
    return len(a & b) / len(a | b)


def test_signatures_estimate_what_texts_have_in_common():
    rng = random.Random(0)
    errors = []
    for changed in range(12):
        one = words(rng)
        other = list(one)
        for place in rng.sample(range(80), changed):
            other[place] = "else"
        one, other = " ".join(one), " ".join(other)
        errors.append(np.mean(signature(one, "eng_Latn") == signature(other, "eng_Latn")) - jaccard(one, other))
    assert np.abs(errors).max() < 0.15
    assert errors[0] == 0
    assert abs(np.mean(errors)) < 0.05


@pytest.mark.parametrize(("one", "other"), [("A  b\nC d e f", "a b c d e f"), ("x", "X "), ("", " ")])
def test_case_and_white_space_do_not_matter(one, other):
    assert (signature(one, "eng_Latn") == signature(other, "eng_Latn")).all()


def test_scripts_without_spaces_are_compared_by_characters():
    rng = random.Random(1)
    text = "".join(chr(0x4E00 + rng.randrange(3000)) for _ in range(400))
    near, far = text[:200] + "国" + text[201:], text[::-1]
    share = [np.mean(signature(text, "cmn_Hans") == signature(x, "cmn_Hans")) for x in (near, far)]
    assert share[0] > 0.85
    assert share[1] < 0.05


def test_only_what_is_near_is_found_and_counted_once():
    rng = random.Random(2)
    texts = [" ".join(words(rng)) for _ in range(40)]
    close = [text.replace(" w", " w", 1).rsplit(" ", 2)[0] for text in texts[:10]]
    measured = {"a": [signature(text, "eng_Latn") for text in texts], "b": []}
    parts = {
        "a": [(np.zeros(1, dtype=bool), [signature(texts[0], "eng_Latn")])],
        "b": [
            (np.array([True] * 10), [signature(text, "eng_Latn") for text in close]),
            (np.array([True, False]), [signature(close[0], "eng_Latn")] * 2),
            (np.array([True] * 20), [signature(" ".join(words(rng)), "eng_Latn") for _ in range(20)]),
        ],
    }
    found = near_held_out(measured, parts, 0.7)
    assert [rows.sum() for rows in found.rows["b"]] == [10, 1, 0]
    assert not found.rows["a"][0].any()
    assert found.leaks == {"a": {"b": 10}}


@pytest.mark.parametrize("part_bytes", [1 << 26, 4000])
def test_a_store_leaves_them_out_of_every_source(tmp_path, part_bytes, monkeypatch):
    from glotmix.corpus.readers import reader as reader_module

    monkeypatch.setattr(reader_module, "PART_BYTES", part_bytes)
    rng = random.Random(3)
    rows = {name: [(f"{name}-{k}", " ".join(words(rng, 40))) for k in range(120)] for name in SOURCES}
    held = [text for id, text in rows["web"] if is_held_out(id, 0.2)]
    assert len(held) > 10
    trained = [k for k, (id, _) in enumerate(rows["news"]) if not is_held_out(id, 0.2)]
    for k, text in zip(trained, held[:8], strict=False):
        rows["news"][k] = (rows["news"][k][0], text + " one more")
    for name, several in rows.items():
        (tmp_path / "c" / name).mkdir(parents=True)
        for half in (0, 1):
            lines = [json.dumps({"id": id, "text": text}) + "\n" for id, text in several[half::2]]
            (tmp_path / "c" / name / f"{half}.jsonl").write_text("".join(lines))
    settings = {"reader": "jsonl", "path": "c", "id_field": "id", "sources": SOURCES}
    tokens = TokensConfig(vocab_size=300, sample_bytes=3000, held_out_tokens=100_000)
    plain = open_reader(CorpusConfig(**settings), list(SOURCES), tmp_path)
    careful = open_reader(CorpusConfig(**settings, near_duplicates=0.7), list(SOURCES), tmp_path)
    before = build_store(tmp_path / "plain", plain, list(SOURCES), tokens, 0.2)
    after = build_store(tmp_path / "careful", careful, list(SOURCES), tokens, 0.2)
    assert before.overlap.near == {}
    assert after.overlap.near == {"web": {"news": 8}}
    assert before.totals("news", "train")["documents"] - after.totals("news", "train")["documents"] == 8
    for name in ("web", "zh"):
        assert before.totals(name, "train") == after.totals(name, "train")
    for name in SOURCES:
        assert before.totals(name, "held_out") == after.totals(name, "held_out")
        tally = after.reading(name)
        assert tally.rows == 120 == tally.read + sum(tally.left_out.values())
    assert after.reading("news").left_out[NEARLY_HELD_OUT] == 8
    census = take_census(after)
    counted = len(held)
    assert f"of the {counted} held-out documents of web 8 stood nearly in the training text of news" in "\n".join(
        census.notes()
    )
    assert before.fingerprint != after.fingerprint
