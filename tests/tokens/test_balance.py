"""The sample a tokenizer is trained on: as many bytes of each language, by temperature, or for parity."""

import pytest

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.errors import BadInput
from glotmix.tokens import balance
from glotmix.tokens.build import build_store
from glotmix.tokens.census import take_census
from glotmix.tokens.config import TokensConfig

LANGUAGES = ("spa_Latn", "rus_Cyrl", "arb_Arab")


def census(tmp_path, **settings):
    sizes = {"spa_Latn": 60_000, "rus_Cyrl": 60_000, "arb_Arab": 60_000} | settings.pop("sizes", {})
    reader = open_reader(CorpusConfig(bytes_per_language=sizes), LANGUAGES, tmp_path)
    config = TokensConfig(vocab_size=600, sample_bytes=20_000, held_out_tokens=2000, **settings)
    return take_census(
        build_store(tmp_path / "-".join(map(str, settings.values())), reader, LANGUAGES, config, 0.1), "spa_Latn"
    )


def unfairness(found):
    parities = [row.parity for row in found.rows]
    return max(parities) / min(parities)


def test_parity_is_fairer_than_equal_bytes(tmp_path):
    """The same documents cost at most 1.05 times as many tokens in the dearest language; by bytes, more than that."""
    by_bytes, by_parity = (unfairness(census(tmp_path, balance=name)) for name in ("bytes", "parity"))
    assert by_parity < 1.05 < by_bytes


def test_temperature_gives_small_languages_more_than_their_part_and_less_than_an_equal_one(tmp_path, monkeypatch):
    given = []
    train = balance.train_tokenizer
    monkeypatch.setattr(
        balance, "train_tokenizer", lambda texts, vocab, sizes: given.append(sizes) or train(texts, vocab, sizes)
    )
    sizes = {"spa_Latn": 160_000, "rus_Cyrl": 40_000, "arb_Arab": 10_000}
    for settings in (
        {"balance": "bytes"},
        {"balance": "temperature", "temperature": 2},
        {"balance": "temperature", "temperature": 1},
    ):
        census(tmp_path, sizes=sizes, **settings)
    equal, by_root, in_proportion = given
    assert set(equal.values()) == {20_000}
    ratios = [found["spa_Latn"] / found["arb_Arab"] for found in (by_root, in_proportion)]
    assert ratios[0] == pytest.approx(4, rel=0.1)
    assert ratios[1] == pytest.approx(16, rel=0.1)
    for found in given:
        assert sum(found.values()) == pytest.approx(60_000, abs=3)


def test_parity_without_parallel_documents_is_named(tmp_path):
    for name in LANGUAGES:
        (tmp_path / "c").mkdir(exist_ok=True)
        (tmp_path / "c" / f"{name}.txt").write_text("\n\n".join(f"{name} {k} " * 9 for k in range(60)))
    reader = open_reader(CorpusConfig(reader="plain", path="c"), LANGUAGES, tmp_path)
    with pytest.raises(BadInput, match=r"tokens\.balance: balance: parity with 0 documents .*or balance: bytes"):
        build_store(tmp_path / "t", reader, LANGUAGES, TokensConfig(vocab_size=300, balance="parity"), 0.1)
