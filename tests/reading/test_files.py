"""Everything under a language's folder is read or named."""

import os

import pytest

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.errors import BadInput
from glotmix.reading.files import HIDDEN, OTHER_ENDING, READ_ALREADY
from glotmix.reading.tally import ReadTally


@pytest.fixture
def corpus(tmp_path):
    """``corpus(files, **settings)``: a reader over files given by name."""

    def made(files, languages=("spa_Latn",), **settings):
        for name, text in files.items():
            path = tmp_path / "c" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return open_reader(CorpusConfig(**{"reader": "files", "path": "c", **settings}), languages, tmp_path)

    return made


def texts(reader, language="spa_Latn", tally=None):
    return [document.text for document in reader.documents(language, tally=tally)]


def left_out(reader, language="spa_Latn"):
    return {why: sorted(path.name for path in paths) for why, paths in reader.listing(language).left_out.items()}


ROW = '{"text": "%s"}\n'


def test_hidden_files_and_folders_are_skipped_and_named(corpus):
    reader = corpus(
        {
            "es/a.jsonl": ROW % "a",
            "es/.b.jsonl": ROW % "b",
            "es/.ipynb_checkpoints/a.jsonl": ROW % "c",
            ".git/es/a.jsonl": ROW % "d",
        }
    )
    assert texts(reader) == ["a"]
    assert left_out(reader) == {HIDDEN: [".b.jsonl", ".ipynb_checkpoints"]}


def test_every_format_under_a_folder_is_read_and_other_endings_are_named(corpus):
    reader = corpus(
        {
            "es/a.jsonl": ROW % "a",
            "es/b.csv": "text\nb\n",
            "es/c.txt": "c",
            "es/d.json": f"[{ROW % 'd'}]",
            "es/e.docx": "x",
            "es/deep/F.TSV": "text\nf\n",
        }
    )
    assert sorted(texts(reader)) == ["a", "b", "c", "d", "f"]
    assert left_out(reader) == {OTHER_ENDING: ["e.docx"]}


def test_linked_folders_are_read_once_and_loops_end(corpus, tmp_path):
    reader = corpus({"es/real/a.jsonl": ROW % "a", "../away/b.jsonl": ROW % "b"})
    os.symlink("real", tmp_path / "c/es/again")
    os.symlink(".", tmp_path / "c/es/loop")
    os.symlink("..", tmp_path / "c/es/real/up")
    os.symlink("../../away", tmp_path / "c/es/more")
    os.symlink("../../away", tmp_path / "c/es/more again")
    reader = corpus({})
    assert [document.id for document in reader.documents("spa_Latn")] == ["more/b#1", "real/a#1"]
    assert left_out(reader) == {READ_ALREADY: ["again", "loop", "more again", "up"]}


def test_a_link_to_nothing_is_an_error(corpus, tmp_path):
    corpus({"es/a.jsonl": ROW % "a"})
    os.symlink("gone", tmp_path / "c/es/b.jsonl")
    with pytest.raises(BadInput, match=r"b\.jsonl: a link to nothing"):
        texts(corpus({}))
    (tmp_path / "c/es/b.jsonl").unlink()
    os.symlink("b.jsonl", tmp_path / "c/es/b.jsonl")
    with pytest.raises(BadInput, match=r"b\.jsonl: a link to nothing"):
        texts(corpus({}))


def test_what_cannot_be_opened_is_an_error(corpus, tmp_path, monkeypatch):
    reader = corpus({"es/a.jsonl": ROW % "a", "es/deep/b.jsonl": ROW % "b"})

    def refuse(self, *arguments, **settings):
        raise PermissionError(13, "Permission denied", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "open", refuse)
        with pytest.raises(BadInput, match=r"a\.jsonl: cannot be read: Permission denied"):
            texts(reader)
    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "iterdir", refuse)
        with pytest.raises(BadInput, match="cannot be read: Permission denied"):
            texts(corpus({}))


def test_two_names_for_one_language_are_both_read_and_the_rest_is_told(corpus):
    reader = corpus(
        {
            "sq/a.jsonl": ROW % "a",
            "als/a.jsonl": ROW % "b",
            "Albanian/c.jsonl": ROW % "c",
            "fr/x.jsonl": ROW % "x",
            "train/x.jsonl": ROW % "x",
        },
        ["als_Latn"],
    )
    assert sorted(texts(reader, "als_Latn")) == ["a", "b", "c"]
    assert reader.unclaimed() == ["fr", "train"]
    ids = [document.id for document in reader.documents("als_Latn")]
    assert len(set(ids)) == 3


def test_an_ending_that_the_reader_does_not_read_is_told_with_one_that_does(corpus):
    with pytest.raises(BadInput, match=r"a\.csv.*reader: files"):
        texts(corpus({"es/a.csv": "text\nx\n"}, reader="jsonl"))


@pytest.mark.parametrize("name", ["t.jsonl", "t.csv", "t.parquet"])
def test_rows_are_read_or_counted_by_why_they_are_not(corpus, tmp_path, name):
    import polars as pl

    labels = ["es", "Spanish", "und", None, "ru", "unknown", "es", "spa_Latn", ""]
    words = ["a", "b", "c", "d", "e", "f", "", "h", "i"]
    table = pl.DataFrame({"text": words, "lang": labels, "id": [None, "7", "007", "x", None, "", "y", None, "z"]})
    (tmp_path / "c").mkdir()
    {"t.jsonl": table.write_ndjson, "t.csv": table.write_csv, "t.parquet": table.write_parquet}[name](
        tmp_path / "c" / name
    )
    reader, tally = corpus({}, language_field="lang", id_field="id"), ReadTally()
    documents = list(reader.documents("spa_Latn", tally=tally))
    assert [document.text for document in documents] == ["a", "b", "h"]
    assert documents[1].id == "7"
    assert "#" in documents[0].id
    assert "#" in documents[2].id
    assert tally.rows == 9
    assert tally.rows == tally.read + sum(tally.left_out.values())
    assert tally.labels == {"es": 1, "Spanish": 1, "spa_Latn": 1}
    assert tally.left_out == {
        "labelled und": 1,
        "no label": 2,
        "in rus_Cyrl": 1,
        "labelled unknown": 1,
        "without text": 1,
    }
    assert ReadTally.from_json(tally.to_json()) == tally
