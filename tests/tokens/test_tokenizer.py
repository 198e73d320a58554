"""Tokenizers: exact in both directions, balanced over languages, and told apart by their fingerprint."""

import os
import random

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from glotmix.errors import BadInput
from glotmix.tokens.tokenizer import END_OF_DOCUMENT, load_tokenizer, train_tokenizer

TEXTS = {
    "spa_Latn": ["el agua hierve a cien grados, y la luna brilla por la noche. " * 3] * 20,
    "rus_Cyrl": ["вода кипит при ста градусах, и луна светит ночью. " * 3] * 20,
    "cmn_Hans": ["水在一百度时沸腾，月亮在夜里发光。" * 5] * 20,
}


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, 400, 5000)


@given(st.text())
def test_decoding_gives_back_every_text(tokenizer, text):
    """Byte-level: any string, of any script, seen or not. A lone surrogate is no text."""
    assert tokenizer.decode(tokenizer.encode_batch([text])[0]) == text


def test_ids_stay_below_the_vocabulary_and_the_end_of_a_document_is_one_of_them(tokenizer):
    assert tokenizer.vocab_size == 400
    assert 0 <= tokenizer.end_of_document < 400
    ids = [i for texts in TEXTS.values() for one in tokenizer.encode_batch(texts) for i in one]
    assert max(ids) < 400
    assert tokenizer.end_of_document not in ids
    assert tokenizer.decode([*tokenizer.encode_batch(["hola"])[0], tokenizer.end_of_document]) == "hola"


def test_digits_are_single_tokens_so_numbers_look_alike_in_every_language(tokenizer):
    assert len(tokenizer.encode_batch(["20268"])[0]) == 5


def test_training_is_deterministic(tokenizer):
    assert train_tokenizer(TEXTS, 400, 5000).fingerprint == tokenizer.fingerprint
    assert train_tokenizer(TEXTS, 350, 5000).fingerprint != tokenizer.fingerprint


def test_a_large_language_does_not_take_the_vocabulary():
    """Ten times the text changes nothing, as both are cut to the same bytes; unbalanced training would change it."""
    large = {**TEXTS, "spa_Latn": TEXTS["spa_Latn"] * 10}
    size = sum(len(text.encode()) for text in TEXTS["spa_Latn"])
    assert train_tokenizer(large, 400, size).fingerprint == train_tokenizer(TEXTS, 400, size).fingerprint


def test_unsegmented_text_does_not_explode(tmp_path):
    """Sixty thousand Han characters without a space: one piece of that length, as without a pre-tokeniser, would take
    minutes and gigabytes to train on."""
    rng = random.Random(0)
    text = "".join(chr(rng.randrange(0x4E00, 0x9FA5)) for _ in range(60_000))
    tokenizer = train_tokenizer({"cmn_Hans": [text], "tha_Thai": ["ก" * 30_000]}, 1000, 1_000_000)
    assert tokenizer.decode(tokenizer.encode_batch([text[:1000]])[0]) == text[:1000]
    backend = tokenizers.Tokenizer.from_file(str(tokenizer.save(tmp_path)))
    pieces = backend.pre_tokenizer.pre_tokenize_str(text + "ก" * 30_000)
    assert max(end - start for _, (start, end) in pieces) <= 4


def test_saved_tokenizers_are_loaded_by_file_and_by_directory(tokenizer, tmp_path):
    path = tokenizer.save(tmp_path)
    for spec in ("tokenizer.json", ".", str(path), str(tmp_path)):
        loaded = load_tokenizer(spec, tmp_path)
        assert loaded.fingerprint == tokenizer.fingerprint
        assert loaded.end_of_document == tokenizer.end_of_document
        assert loaded.encode_batch(["agua"]) == tokenizer.encode_batch(["agua"])


def test_an_end_of_document_is_added_where_there_is_none(tmp_path):
    import tokenizers

    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer("tokenizer.json", tmp_path)
    assert (tokenizer.vocab_size, tokenizer.end_of_document) == (3, 2)
    backend.add_special_tokens(["</s>"])
    backend.save(str(tmp_path / "other.json"))
    assert load_tokenizer("other.json", tmp_path).end_of_document == 2
    assert END_OF_DOCUMENT in (tokenizer.save(tmp_path)).read_text()


def test_sentencepiece_models_are_tokenizers(tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece")
    source = tmp_path / "text.txt"
    source.write_text("\n".join(text for texts in TEXTS.values() for text in texts))
    sentencepiece.SentencePieceTrainer.Train(
        input=str(source),
        model_prefix=str(tmp_path / "sp"),
        vocab_size=120,
        minloglevel=2,
        num_threads=1,
        hard_vocab_limit=False,
    )
    tokenizer = load_tokenizer("sp.model", tmp_path)
    text = "la luna brilla"
    assert tokenizer.decode(tokenizer.encode_batch([text])[0]) == text
    assert tokenizer.end_of_document < tokenizer.vocab_size
    (tmp_path / "store").mkdir()
    tokenizer.save(tmp_path / "store")
    assert load_tokenizer("store", tmp_path).fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize("spec", ["missing.json", "./nothing", "/nowhere/at/all", "empty", "bad.json", "bad.model"])
def test_what_is_no_tokenizer_is_bad_input_by_name(tmp_path, spec):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.json").write_text('{"model": 3}')
    (tmp_path / "bad.model").write_bytes(b"no model")
    with pytest.raises(BadInput, match=spec.split("/")[-1]):
        load_tokenizer(spec, tmp_path)


def test_a_hub_name_that_cannot_be_had_is_bad_input(tmp_path, monkeypatch):
    import tokenizers

    def refuse(name):
        raise OSError(f"cannot reach {name}")

    monkeypatch.setattr(tokenizers.Tokenizer, "from_pretrained", staticmethod(refuse), raising=False)
    with pytest.raises(BadInput, match="owner/model"):
        load_tokenizer("owner/model", tmp_path)


def test_a_forked_process_encodes_without_a_warning(tokenizer, capfd):
    tokenizer.encode_batch(["uses the threads"] * 64)
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    child = os.fork()
    if child == 0:
        os._exit(0 if tokenizer.decode(tokenizer.encode_batch(["agua"] * 64)[0]) == "agua" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert os.environ.get("TOKENIZERS_PARALLELISM") == before
    assert "forked" not in capfd.readouterr().err
