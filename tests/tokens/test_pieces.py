"""However a corpus is cut into pieces and wherever these are made, the store is the same; what is made is kept."""

import random

import polars as pl
import pytest

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers import reader
from glotmix.corpus.readers.reader import open_reader
from glotmix.errors import BadInput, GlotmixError
from glotmix.sweep.executors.local import LocalExecutor
from glotmix.sweep.tokenising import ExecutorTokenizer
from glotmix.tokens import build
from glotmix.tokens.build import build_store
from glotmix.tokens.config import TokensConfig
from glotmix.tokens.pieces import plan_pieces

TOKENS = TokensConfig(vocab_size=400, sample_bytes=5000, held_out_tokens=1000)


@pytest.fixture
def corpus(tmp_path):
    """Eleven files of Spanish, with texts that stand in several files and on both sides of the split."""
    rng = random.Random(0)
    words = "agua luna casa perro noche camino mar tierra fuego viento".split()
    texts = [" ".join(rng.choices(words, k=rng.randint(1, 30))) for _ in range(150)]
    for file in range(11):
        path = tmp_path / "corpus" / "es" / f"part{file:02d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        body = "\n\n".join(rng.choices(texts, k=60))
        path.write_text(body + "\n\n" + "x" * (1 << 20 if file == 5 else 0))  # one is long enough to be cut up
    (tmp_path / "corpus" / "es.txt").write_text("\n\n".join(texts))  # a file that is the whole language, too
    return tmp_path


def store_of(base, name, **more):
    spanish = open_reader(CorpusConfig(reader="plain", path="corpus"), ["spa_Latn"], base)
    return build_store(base / name, spanish, ["spa_Latn"], TOKENS, 0.3, **more)


def contents(store):
    index = [store.documents("spa_Latn", side) for side in ("train", "held_out")]
    return [store.train("spa_Latn").tobytes(), store.held_out("spa_Latn").tokens.tobytes(), *index]


@pytest.mark.parametrize("part_bytes", [1, 5000, 1 << 40])
def test_the_cut_changes_nothing(corpus, monkeypatch, part_bytes):
    """One piece is deduplicated as one stream; a join without deduplication would hold several hundred texts more."""
    whole = store_of(corpus, "whole")
    monkeypatch.setattr(reader, "PART_BYTES", part_bytes)
    spanish = open_reader(CorpusConfig(reader="plain", path="corpus"), ["spa_Latn"], corpus)
    assert len(plan_pieces(corpus, spanish, ["spa_Latn"], "")) == {1: 12, 5000: 11, 1 << 40: 1}[part_bytes]
    for mine, theirs in zip(contents(store_of(corpus, "cut")), contents(whole), strict=True):
        assert mine.equals(theirs) if isinstance(mine, pl.DataFrame) else mine == theirs
    assert whole.documents("spa_Latn", "train")["id"].is_unique().all()
    assert sorted(path.name for path in corpus.iterdir()) == ["corpus", "cut", "whole"]


def test_pieces_that_are_there_are_not_made_again(corpus, monkeypatch):
    monkeypatch.setattr(reader, "PART_BYTES", 5000)
    made, write = [], build.write_piece

    def interrupted(piece, *arguments):
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(piece.directory.name)
        write(piece, *arguments)

    monkeypatch.setattr(build, "write_piece", interrupted)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            store_of(corpus, "t")
        assert not (corpus / "t").exists()
    monkeypatch.setattr(
        build, "write_piece", lambda piece, *arguments: (made.append(piece.directory.name), write(piece, *arguments))
    )
    store_of(corpus, "t")
    assert sorted(made) == sorted(set(made))
    assert len(made) == 11


def test_pieces_made_by_other_processes_give_the_same_store(corpus, monkeypatch):
    monkeypatch.setattr(reader, "PART_BYTES", 1 << 20)
    here = contents(store_of(corpus, "here"))
    monkeypatch.setattr(build, "SCATTER_FROM", 0)
    monkeypatch.setattr(
        build,
        "write_piece",
        lambda piece, *arguments: pytest.fail(f"{piece} was left") if not piece.is_complete() else None,
    )
    told = []
    scatter = ExecutorTokenizer(lambda: LocalExecutor(2), corpus / "jobs")
    there = contents(store_of(corpus, "there", scatter=scatter, progress=lambda *one: told.append(one)))
    for mine, theirs in zip(there, here, strict=True):
        assert mine.equals(theirs) if isinstance(mine, pl.DataFrame) else mine == theirs
    assert told[-1][0] == "tokenising"
    assert told[-1][1] == told[-1][2] > 0


def test_a_corpus_that_is_at_fault_is_bad_input_wherever_it_is_read(corpus, monkeypatch):
    monkeypatch.setattr(build, "SCATTER_FROM", 0)
    monkeypatch.setattr(reader, "PART_BYTES", 1 << 20)
    store_of(corpus, "sound")
    (corpus / "corpus" / "es" / "part10.txt").write_bytes(b"a" * 70_000 + b"\xff")
    scatter = ExecutorTokenizer(lambda: LocalExecutor(2), corpus / "jobs")
    with pytest.raises(BadInput, match=r"part10\.txt: not valid UTF-8: byte 0xff at offset 70000"):
        store_of(corpus, "t", scatter=scatter)


def test_a_piece_whose_process_dies_every_time_is_an_error_with_its_log(corpus, monkeypatch):
    monkeypatch.setattr(build, "SCATTER_FROM", 0)
    monkeypatch.setattr(reader, "PART_BYTES", 1 << 20)
    scatter = ExecutorTokenizer(lambda: LocalExecutor(2), corpus / "jobs")
    job = ExecutorTokenizer._job

    def broken(self, workshop, piece):
        good = job(self, workshop, piece)
        return type(good)(good.name, ("python3", "-c", "raise SystemExit('no memory')"), good.log)

    monkeypatch.setattr(ExecutorTokenizer, "_job", broken)
    with pytest.raises(GlotmixError, match=r"2 pieces .* could not be tokenised, the last because: no memory"):
        store_of(corpus, "t", scatter=scatter)
