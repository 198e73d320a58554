"""The token store: what goes in comes out, losses are per byte, and a broken one is never read."""

import errno
import gc
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.document import Document
from glotmix.corpus.readers.reader import open_reader
from glotmix.corpus.split import is_held_out, split_documents
from glotmix.corpus.words import count_words
from glotmix.errors import BadInput, Corrupt, GlotmixError
from glotmix.tokens import build, pieces
from glotmix.tokens.build import build_store
from glotmix.tokens.census import take_census
from glotmix.tokens.config import TokensConfig
from glotmix.tokens.opening import open_store

LANGUAGES = ("spa_Latn", "rus_Cyrl", "cmn_Hans")
TOKENS = TokensConfig(vocab_size=500, sample_bytes=20_000, held_out_tokens=3000)


@pytest.fixture(scope="module")
def reader():
    return open_reader(CorpusConfig(bytes_per_language=60_000), LANGUAGES, Path())


@pytest.fixture(scope="module")
def store(reader, tmp_path_factory):
    return build_store(tmp_path_factory.mktemp("store") / "tokens", reader, LANGUAGES, TOKENS, 0.1)


@pytest.mark.parametrize("language", LANGUAGES)
def test_decoding_the_shards_gives_back_the_corpus(store, reader, language):
    sides = {"train": [], "held_out": []}
    for document, side in split_documents(reader, language, 0.1):
        sides[side].append(document)
    tokens = store.train(language)
    assert tokens.dtype == np.uint16
    index = store.documents(language, "train")
    assert index["id"].to_list() == [d.id for d in sides["train"]]
    for row, document in zip(index.iter_rows(named=True), sides["train"], strict=True):
        ids = tokens[row["offset"] : row["offset"] + row["length"]]
        assert ids[-1] == store.end_of_document
        assert store.tokenizer().decode(ids[:-1]) == document.text
        assert row["bytes"] == len(document.text.encode())
        assert row["words"] == count_words(document.text, language)
    assert len(tokens) == store.unique_tokens(language) == index["length"].sum()


@pytest.mark.parametrize("language", LANGUAGES)
def test_held_out_is_whole_documents_within_the_limit_and_its_bytes_are_theirs(store, reader, language):
    texts = {d.id: d.text for d, side in split_documents(reader, language, 0.1) if side == "held_out"}
    held, index = store.held_out(language), store.documents(language, "held_out")
    assert 0.8 * TOKENS.held_out_tokens < len(held.tokens) <= TOKENS.held_out_tokens
    assert held.documents == len(index) == int(np.sum(np.asarray(held.tokens) == store.end_of_document))
    assert held.bytes == sum(len(texts[id].encode()) for id in index["id"])
    assert all(is_held_out(id, 0.1) for id in index["id"])


def test_languages_are_measured_on_the_same_documents_as_far_as_they_go(store):
    first, second = (store.documents(language, "held_out")["id"].to_list() for language in LANGUAGES[:2])
    assert len(set(first) & set(second)) > 0.5 * min(len(first), len(second))


def test_uniform_and_unigram_losses_are_their_closed_forms(store):
    n = min(store.unique_tokens(language) for language in LANGUAGES)
    counts = np.ones(store.vocab_size)
    for language in LANGUAGES:
        for token in np.asarray(store.train(language)[:n]):
            counts[token] += 1
    q = counts / counts.sum()
    for language in LANGUAGES:
        held = store.held_out(language)
        by_hand = -sum(np.log2(q[token]) for token in np.asarray(held.tokens)) / held.bytes
        assert store.unigram_bits_per_byte(language) == pytest.approx(by_hand, rel=1e-12)
        assert store.uniform_bits_per_byte(language) == pytest.approx(len(held.tokens) * np.log2(500) / held.bytes)
        assert store.unigram_bits_per_byte(language) < store.uniform_bits_per_byte(language)


def test_the_same_again_is_reused_and_anything_else_is_refused(store, reader, monkeypatch):
    def never(*arguments):
        raise AssertionError("tokenised again")

    monkeypatch.setattr(build, "write_piece", never)
    again = build_store(store.directory, reader, LANGUAGES, TOKENS, 0.1)
    assert again.fingerprint == store.fingerprint
    with pytest.raises(BadInput, match=r"held_out: 0\.1 there, 0\.2 here"):
        build_store(store.directory, reader, LANGUAGES, TOKENS, 0.2)


def test_two_builds_are_equal_byte_for_byte(store, reader, tmp_path):
    build_store(tmp_path / "tokens", reader, LANGUAGES, TOKENS, 0.1)
    for path in store.directory.iterdir():
        assert path.read_bytes() == (tmp_path / "tokens" / path.name).read_bytes()


def test_a_truncated_or_missing_shard_is_corrupt_by_name(reader, tmp_path):
    store = build_store(tmp_path / "t", reader, LANGUAGES[:1], TOKENS, 0.1)
    path = tmp_path / "t" / "spa_Latn.train.bin"
    data = path.read_bytes()
    path.write_bytes(data[:-2])
    with pytest.raises(Corrupt, match=r"spa_Latn\.train\.bin.*was written with"):
        open_store(tmp_path / "t")
    path.write_bytes(data[:-2] + b"\0\1")
    for look in (lambda: open_store(tmp_path / "t"), store.verify):
        with pytest.raises(Corrupt, match=r"spa_Latn\.train\.bin.*checksum"):
            look()
    path.unlink()
    with pytest.raises(Corrupt, match=r"spa_Latn\.train\.bin: missing"):
        open_store(tmp_path / "t")


@pytest.mark.parametrize("at", ["bin", "parquet"])
def test_a_full_disk_leaves_nothing_under_the_final_name(reader, tmp_path, monkeypatch, at):
    def full(*arguments, **settings):
        raise OSError(errno.ENOSPC, "No space left on device")

    if at == "bin":
        monkeypatch.setattr(pieces, "_append", full)
    else:
        monkeypatch.setattr(pieces.pq.ParquetWriter, "write_table", full)
    with pytest.raises(GlotmixError, match="No space left on device"):
        build_store(tmp_path / "t", reader, LANGUAGES[:1], TOKENS, 0.1)
    assert {path.name for path in tmp_path.rglob("*.*")} == {"t.pieces", "artifact.json", "tokenizer.json"}
    assert not (tmp_path / "t").exists()


def write(tmp_path, name, text):
    path = tmp_path / "corpus" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def plain(tmp_path, languages=("spa_Latn",)):
    return open_reader(CorpusConfig(reader="plain", path="corpus"), languages, tmp_path)


def test_too_little_text_is_an_error_that_names_the_language(tmp_path):
    write(tmp_path, "es.txt", "\n\n".join(f"documento {k}" for k in range(60)))
    for held_out, where in ((0.1, "training tokens"), (1e-9, "held-out tokens")):
        with pytest.raises(BadInput, match=f"spa_Latn has .* {where}"):
            build_store(
                tmp_path / "t",
                plain(tmp_path),
                ["spa_Latn"],
                TOKENS,
                held_out,
                min_tokens=20 if held_out < 0.1 else 10**6,
            )
    assert not (tmp_path / "t").exists()
    with pytest.raises(BadInput, match=r"tokens\.held_out_tokens: .* at most 1000 measured\) \(expected 1001"):
        build_store(
            tmp_path / "t",
            plain(tmp_path),
            ["spa_Latn"],
            TOKENS.model_copy(update={"held_out_tokens": 1000}),
            0.1,
            min_tokens=1001,
        )
    with pytest.raises(BadInput, match="fra_Latn"):
        build_store(tmp_path / "t", plain(tmp_path, ("fra_Latn",)), ["fra_Latn"], TOKENS, 0.1)


def test_a_text_longer_than_a_batch_is_encoded_in_pieces_that_join(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "LONGEST_TEXT", 500)
    monkeypatch.setattr(pieces, "BATCH_CHARACTERS", 500)
    write(tmp_path, "es/long.txt", "agua y luna " * 400)
    write(tmp_path, "es/wide.txt", "x" * 3000)
    for k in range(40):
        write(tmp_path, f"es/doc{k}.txt", f"uno dos tres {k} " * 5)
    reader = plain(tmp_path)
    store = build_store(tmp_path / "t", reader, ["spa_Latn"], TOKENS, 0.2)
    texts = {d.id: d.text for d in reader.documents("spa_Latn")}
    for row in store.documents("spa_Latn", "train").iter_rows(named=True):
        ids = store.train("spa_Latn")[row["offset"] : row["offset"] + row["length"] - 1]
        assert store.tokenizer().decode(ids) == texts[row["id"]]


def test_large_vocabularies_are_stored_in_four_bytes(reader, tmp_path):
    import tokenizers

    backend = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({f"w{k}": k for k in range(70_000)} | {"?": 70_000}, unk_token="?")
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    backend.save(str(tmp_path / "tokenizer.json"))
    config = TokensConfig(tokenizer="tokenizer.json", held_out_tokens=1000, lossy="allow")
    store = build_store(tmp_path / "t", reader, LANGUAGES[:1], config, 0.1, base=tmp_path)
    assert store.train("spa_Latn").dtype == np.uint32
    assert store.train("spa_Latn").max() == store.end_of_document == 70_001


def test_progress_is_told_by_language(reader, tmp_path):
    told = []
    build_store(tmp_path / "t", reader, LANGUAGES[:2], TOKENS, 0.1, progress=lambda *told_: told.append(told_))
    assert {label for label, _, _ in told} >= {"spa_Latn", "rus_Cyrl", "sampling spa_Latn", "training the tokenizer"}
    assert all(total is None or done <= total for _, done, total in told)


def test_the_census_counts_what_is_there(store):
    census = take_census(store)
    mixture = dict.fromkeys(LANGUAGES, 1 / 3)
    census = census.at(1e6, mixture)
    for row in census.rows:
        assert row.unique_tokens == store.unique_tokens(row.language)
        index = store.documents(row.language, "train")
        assert (row.documents, row.bytes) == (len(index), index["bytes"].sum())
        assert row.fertility == pytest.approx((index["length"].sum() - len(index)) / index["words"].sum())
        assert row.epochs == pytest.approx(1e6 / 3 / row.unique_tokens)
    assert census["cmn_Hans"].fertility_unit == "character"
    assert census["spa_Latn"].byte_premium == 1
    assert census["rus_Cyrl"].byte_premium > 1.4  # two bytes a letter; equal alphabets would give about 1
    assert census["cmn_Hans"].byte_premium < 1
    assert type(census).from_json(json.loads(json.dumps(census.to_json()))) == census
    with pytest.raises(BadInput, match="not a census"):
        type(census).from_json({"languages": [{}]})


def test_the_census_prints_as_a_table(store):
    from rich.console import Console

    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(*take_census(store).tables())
    console.file.close()
    text = console.export_text()
    assert all(language in text for language in LANGUAGES)
    assert "premium and parity: bytes and tokens that say what one does in spa_Latn" in text


def test_documents_are_forgotten_once_they_are_written(tmp_path, monkeypatch):
    """Of 3,000 documents never more than a batch, the sample and the held-out ones are alive at once."""
    monkeypatch.setattr(pieces, "BATCH_CHARACTERS", 1000)
    monkeypatch.setattr(pieces, "INDEX_ROWS", 32)
    write(tmp_path, "es.txt", "\n\n".join(f"el documento número {k} dice {k * k}" for k in range(3000)))
    alive = []
    split = pieces.hashed_documents

    def counted(*arguments):
        for k, item in enumerate(split(*arguments)):
            if k % 250 == 0:
                alive.append(sum(isinstance(thing, Document) for thing in gc.get_objects()))
            yield item

    monkeypatch.setattr(pieces, "hashed_documents", counted)
    config = TokensConfig(vocab_size=400, sample_bytes=1000, held_out_tokens=1000)
    before = sum(isinstance(thing, Document) for thing in gc.get_objects())
    build_store(tmp_path / "t", plain(tmp_path), ["spa_Latn"], config, 0.05)
    assert len(alive) >= 12
    assert max(alive) - before < 250


STREAM = """
import resource, sys
from pathlib import Path
from glotmix.config import CorpusConfig, TokensConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.tokens.store import build_store
base = Path(sys.argv[1])
reader = open_reader(CorpusConfig(reader="plain", path="corpus"), ["spa_Latn"], base)
config = TokensConfig(vocab_size=400, sample_bytes=100_000, held_out_tokens=2000)
build_store(base / sys.argv[2], reader, ["spa_Latn"], config, 0.05)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [200])
def test_memory_does_not_grow_with_two_hundred_megabytes(tmp_path, megabytes):
    """Peak memory of tokenising one megabyte and many; holding the text alone would add twice its size as str and ids."""
    line = "el agua hierve a cien grados y la luna brilla por la noche número {} " * 15

    def peak(name, size):
        with open(tmp_path / "corpus" / "es.txt", "w") as file:
            written = k = 0
            while written < size << 20:
                written += file.write(line.format(*range(k, k + 15)) + "\n\n")
                k += 15
        done = subprocess.run(
            [sys.executable, "-c", STREAM, str(tmp_path), name], capture_output=True, text=True, check=True
        )
        return int(done.stdout) / 1024

    (tmp_path / "corpus").mkdir()
    small = peak("small", 1)
    assert peak("large", megabytes) - small < 80
