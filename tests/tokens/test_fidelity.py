"""A tokenizer that loses text is warned of above one in a hundred, and refused above one in ten, with a way out."""

import pytest

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.document import Document
from glotmix.corpus.readers.reader import open_reader
from glotmix.errors import BadInput
from glotmix.tokens.build import build_store
from glotmix.tokens.census import take_census
from glotmix.tokens.config import TokensConfig
from glotmix.tokens.fidelity import fidelity
from glotmix.tokens.tokenizer import JsonTokenizer, train_tokenizer

tokenizers = pytest.importorskip("tokenizers")
LANGUAGES = ("spa_Latn", "rus_Cyrl")


def latin(letters="abcdefghijklmnñopqrstuvwxyz0123456789", lowercase=True):
    """A WordPiece tokenizer like BERT's, that knows some letters."""
    words = ["[UNK]", "[SEP]", *letters, *(f"##{c}" for c in letters), *".,:;()-¿?¡!%°/'\"«»"]
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    )
    backend.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lowercase)
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    backend.decoder = tokenizers.decoders.WordPiece()
    return backend


def of(backend, *texts):
    return fidelity(JsonTokenizer(backend), [Document(text, "", "spa_Latn", "") for text in texts])


def test_what_is_unknown_and_what_is_lost():
    found = of(latin(), "hola mundo")
    assert (found.unknown, found.lost) == (0, 0)
    found = of(latin(), "hola мир")
    assert found.unknown == pytest.approx(1 / 5)
    assert found.lost == pytest.approx(3 / 7)
    found = of(latin(), "Ávila Ávila")  # a small letter and no accent
    assert found.unknown == 0
    assert found.lost == pytest.approx(2 / 10)
    exact = train_tokenizer({"spa_Latn": ["hola мир 水 \u2028 é"]}, 300, 1000)
    assert fidelity(exact, [Document("Ávila мир 水\u0085 ½", "", "spa_Latn", "")]).worst == 0


def test_unknown_tokens_of_every_kind_of_model():
    unigram = tokenizers.Tokenizer(tokenizers.models.Unigram([("<unk>", 0.0), ("a", -1.0)], unk_id=0))
    assert JsonTokenizer(unigram).unknown == 0
    level = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    assert JsonTokenizer(level).unknown == 1
    assert train_tokenizer({"spa_Latn": ["hola"]}, 300, 1000).unknown is None


def built(tmp_path, backend, **settings):
    backend.save(str(tmp_path / "tokenizer.json"))
    reader = open_reader(CorpusConfig(bytes_per_language=30_000), LANGUAGES, tmp_path)
    config = TokensConfig(tokenizer="tokenizer.json", held_out_tokens=2000, **settings)
    return build_store(tmp_path / "tokens", reader, LANGUAGES, config, 0.1, base=tmp_path)


def test_a_tokenizer_that_loses_a_language_is_refused_before_anything_is_tokenised(tmp_path):
    with pytest.raises(
        BadInput, match=r"rus_Cyrl: \d\d\.\d% of the tokens are unknown.*tokens\.lossy: allow"
    ) as raised:
        built(tmp_path, latin())
    assert "train" in raised.value.expected
    assert not (tmp_path / "tokens").exists()


def test_one_that_is_allowed_to_is_told_of_in_the_census(tmp_path):
    census = take_census(built(tmp_path, latin(), lossy="allow"))
    assert census["rus_Cyrl"].unknown_tokens > 0.4
    assert census["spa_Latn"].unknown_tokens < 0.01
    notes = "\n".join(census.notes())
    assert "rus_Cyrl: " in notes
    assert "of the tokens are unknown ones; fertility, epochs and bits per byte mean little" in notes
    assert "spa_Latn: the tokenizer loses" in notes  # capitals and accents, over one in a hundred
    assert 0 < census["spa_Latn"].vocabulary_share < 1


def test_parity_is_the_tokens_that_say_what_one_says_in_the_reference(tmp_path):
    reader = open_reader(CorpusConfig(bytes_per_language=30_000), LANGUAGES, tmp_path)
    store = build_store(tmp_path / "t", reader, LANGUAGES, TokensConfig(vocab_size=257, held_out_tokens=2000), 0.1)
    census = take_census(store)  # nothing is merged: a token is a byte
    assert census["spa_Latn"].parity == 1
    assert census["rus_Cyrl"].parity == pytest.approx(census["rus_Cyrl"].byte_premium)
