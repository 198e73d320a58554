"""Unique tokens and document lengths are those of the data: counted, with the trainer's tokenizer, or a study's."""

import json

import pytest

from glotmix.errors import BadInput
from glotmix.exporters import measured as measuring
from glotmix.exporters.from_file import export_file
from glotmix.exporters.measured import measure

tokenizers = pytest.importorskip("tokenizers")


@pytest.fixture
def tokenizer(tmp_path):
    """Words are tokens."""
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    words.save(str(tmp_path / "words.json"))
    return str(tmp_path / "words.json")


@pytest.fixture
def texts(tmp_path):
    """deu: 40 documents of 5 words; spa: 30 of 2 and 10 of 100 words, in several files."""
    for name, rows in {"deu": [5] * 40, "spa": [2] * 30 + [100] * 10}.items():
        (tmp_path / "texts" / name).mkdir(parents=True)
        for k in range(4):
            part = "".join(json.dumps({"text": " ".join(["a"] * n)}) + "\n" for n in rows[k::4])
            (tmp_path / "texts" / name / f"{k}.jsonl").write_text(part)
    return tmp_path / "texts"


def test_unique_tokens_and_lengths_are_counted_with_an_end_for_each_document(texts, tokenizer):
    found = measure(texts, ["deu", "spa"], tokenizer)
    assert found.unique == pytest.approx({"deu": 40 * 6, "spa": 30 * 3 + 10 * 101})
    assert found.tokens_per_document == pytest.approx({"deu": 6, "spa": 27.5})
    assert sorted(found.document_lengths["spa"]) == [3.0] * 30 + [101.0] * 10


def test_a_sample_of_documents_and_of_files_stands_for_all(texts, tokenizer, monkeypatch):
    monkeypatch.setattr(measuring, "SAMPLE", 8)
    found = measure(texts, ["deu", "spa"], tokenizer)
    assert found.unique["deu"] == pytest.approx(240)
    assert len(found.document_lengths["spa"]) == 8
    monkeypatch.setattr("glotmix.corpus.readers.reader.PART_BYTES", 1)
    monkeypatch.setattr(measuring, "READ_BYTES", 500)
    assert measure(texts, ["deu"], tokenizer).unique["deu"] == pytest.approx(240, rel=0.05)


def test_what_is_missing_is_said(texts, tokenizer, tmp_path):
    with pytest.raises(BadInput, match="no tokenizer to measure texts with"):
        measure(texts, ["deu"], None)
    with pytest.raises(BadInput, match="no such file or directory"):
        measure(tmp_path / "nowhere", ["deu"], tokenizer)
    with pytest.raises(BadInput, match="fra"):
        measure(texts, ["fra"], tokenizer)


def exported(mixture, out, **changes):
    given = {"tokens": 1e5, "sequence_length": 32, "batch": 8, "paths": [], "seed": 0, "unique": {}}
    return export_file(mixture, "open_instruct", out, **{**given, "tokens_per_document": {}, **changes})


def test_an_export_takes_what_was_measured_and_assumes_nothing(texts, tokenizer, tmp_path):
    mixture = tmp_path / "mixture.json"
    mixture.write_text(json.dumps({"deu": 0.7, "spa": 0.3}))
    realised = exported(mixture, tmp_path / "out", data=texts, tokenizer=tokenizer)
    assert realised.epochs["deu"] == pytest.approx(7e4 / 240, rel=0.01)
    assert not any("is not given for" in remark for remark in realised.remarks)
    assert any("% of spa is beyond 32 tokens and cut off" in remark for remark in realised.remarks)
    given = exported(mixture, tmp_path / "out", data=texts, tokenizer=tokenizer, unique={"deu": 1e6})
    assert given.epochs["deu"] == pytest.approx(0.07, rel=0.01)  # what was told goes before what was measured


def test_a_mixture_in_a_studys_directory_inherits_from_its_tokens(tmp_path, tokenizer, monkeypatch):
    class Store:
        languages = ("deu", "spa")

        def totals(self, language, side):
            assert side == "train"
            return {"documents": 10, "tokens": 200}

        def unique_tokens(self, language):
            return 5000

    (tmp_path / "study" / "tokens").mkdir(parents=True)
    for name in (measuring.MANIFEST, measuring.SUMMARY):
        (tmp_path / "study" / "tokens" / name).write_text("{}")
    monkeypatch.setattr(measuring, "open_store", lambda directory: Store())
    mixture = tmp_path / "study" / "optimum.json"
    mixture.write_text(json.dumps({"mixture": {"deu": 0.7, "spa": 0.3}}))
    realised = exported(mixture, tmp_path / "out")
    assert realised.epochs["deu"] == pytest.approx(7e4 / 5000, rel=0.01)
    assert f"those of the corpus and tokenizer of {tmp_path / 'study'}" in realised.remarks[0]
