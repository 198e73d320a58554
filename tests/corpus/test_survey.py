"""A folder of text as people have it: its layout is found, its sizes are counted, and what is not understood is told."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from glotmix.config import checked
from glotmix.corpus import survey as module
from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.corpus.survey import survey
from glotmix.errors import BadInput

TEXTS = {"spa_Latn": "el perro duerme en la casa", "swh_Latn": "mbwa analala nyumbani", "rus_Cyrl": "собака спит дома"}


def rows(language, n=20, **more):
    return [{"text": f"{TEXTS[language]} {k}", **more} for k in range(n)]


def write(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), encoding="utf-8")


def look(path):
    found = survey(str(path), Path(), lambda what, done, total: None)
    # What is found can be read as it is proposed, and comes to what was counted.
    reader = open_reader(checked(CorpusConfig, found.corpus), [one.language for one in found.languages], Path())
    for one in found.languages:
        documents = list(reader.documents(one.language))
        if one.is_counted:
            assert (one.documents, one.bytes) == (len(documents), sum(d.bytes for d in documents))
    return found


def tags(found):
    return {one.language for one in found.languages}


def test_a_folder_per_language_in_any_spelling(tmp_path):
    for name, language in (("es", "spa_Latn"), ("swahili", "swh_Latn"), ("rus_Cyrl", "rus_Cyrl")):
        write(tmp_path / name / "part/a.jsonl", rows(language))
    write(tmp_path / "qqq/a.jsonl", rows("spa_Latn"))
    (tmp_path / "es/notes.md").write_text("x")
    found = look(tmp_path)
    assert tags(found) == set(TEXTS)
    assert found.corpus == {"reader": "jsonl", "path": str(tmp_path)}
    assert {one.spelt for one in found.languages} == {"es", "swahili", "rus_Cyrl"}
    assert found.left_out == {"qqq": "its name is no language's"}
    assert any("notes.md" in one for one in found.remarks)


def test_a_file_per_language_text_and_compressed_rows_together(tmp_path):
    (tmp_path / "es.txt").write_text("\n\n".join(one["text"] for one in rows("spa_Latn")))
    with gzip.open(tmp_path / "sw.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(one) + "\n" for one in rows("swh_Latn"))
    found = look(tmp_path)
    assert tags(found) == {"spa_Latn", "swh_Latn"}
    assert found.corpus["reader"] == "files"


@pytest.mark.parametrize("field", ["language", "lang", "metadata.lang", "l"])
def test_rows_with_a_field_for_the_language(tmp_path, field):
    def labelled(language, label):
        inner = {field.partition(".")[2]: label} if "." in field else label
        return [{"content": one["text"], field.partition(".")[0]: inner} for one in rows(language)]

    write(tmp_path / "a.jsonl", labelled("spa_Latn", "es") + labelled("swh_Latn", "Swahili"))
    write(tmp_path / "b.jsonl", labelled("rus_Cyrl", "und") + labelled("rus_Cyrl", "ru"))
    found = look(tmp_path)
    assert {one.language: one.documents for one in found.languages} == dict.fromkeys(TEXTS, 20)
    assert found.corpus["language_field"] == field
    assert found.corpus["text_field"] == "content"
    assert look(tmp_path / "a.jsonl").corpus["path"].endswith("a.jsonl")


def test_labels_that_are_no_language_are_left_out_and_told(tmp_path):
    write(
        tmp_path / "a.jsonl",
        [one for language, label in (("spa_Latn", "es"), ("swh_Latn", "sw"), ("rus_Cyrl", "klingonish"))
         for one in rows(language, lang=label)],
    )  # fmt: skip
    found = look(tmp_path)
    assert tags(found) == {"spa_Latn", "swh_Latn"}
    assert found.corpus["labels"] == {"klingonish": "und"}
    assert "20 rows" in found.left_out["klingonish"]


def test_parquet_with_a_column_for_the_language(tmp_path):
    pl.DataFrame({"document": [one["text"] for one in rows("spa_Latn") + rows("swh_Latn")],
                  "lid": ["spa_Latn"] * 20 + ["swh_Latn"] * 20}).write_parquet(tmp_path / "a.parquet")  # fmt: skip
    found = look(tmp_path)
    assert tags(found) == {"spa_Latn", "swh_Latn"}
    assert found.corpus == {
        "reader": "parquet", "path": str(tmp_path), "language_field": "lid", "text_field": "document"
    }  # fmt: skip


def test_names_with_a_language_inside_and_what_they_have_in_common(tmp_path):
    for name, language in (("es", "spa_Latn"), ("sw", "swh_Latn"), ("ru_RU", "rus_Cyrl")):
        for k in range(2):
            write(tmp_path / f"{k}-to.{name}.jsonl", [{"text": f"{one['text']} {k}"} for one in rows(language)])
    write(tmp_path / "to.es.sw.jsonl", rows("spa_Latn"))
    found = look(tmp_path)
    assert {one.language: one.documents for one in found.languages} == dict.fromkeys(TEXTS, 40)
    assert found.left_out == {"to.es.sw.jsonl": "its name may mean spa_Latn or swh_Latn"}


def test_two_folders_further_down_with_what_lies_beside(tmp_path):
    for language in TEXTS:
        write(tmp_path / "release/text" / language / "a.jsonl", rows(language))
    (tmp_path / "release/LICENSE").write_text("x")
    (tmp_path / "tools").mkdir()
    found = look(tmp_path)
    assert tags(found) == set(TEXTS)
    assert found.corpus["path"] == f"{tmp_path}/release/text"
    assert set(found.left_out) == {"LICENSE", "tools"}


def test_man_pages(tmp_path):
    for place, said in (("es/man1", "una frase sobre los archivos"), ("pt_BR/man1", "uma frase sobre os arquivos"),
                        ("man1", "a sentence about the files that are in the folder")):  # fmt: skip
        page = ".TH LS 1\n.SH NAME\n" + f"{said}\n" * 10
        (tmp_path / place).mkdir(parents=True)
        for k in range(3):
            with gzip.open(tmp_path / place / f"ls{k}.1.gz", "wt") as file:
                file.write(page.replace("LS", f"LS{k}"))
    found = look(tmp_path)
    assert tags(found) == {"spa_Latn", "por_Latn", "eng_Latn"}
    assert found.corpus["reader"] == "manpages"


def test_a_language_whose_file_is_broken_is_left_out_with_the_place(tmp_path):
    write(tmp_path / "es/a.jsonl", rows("spa_Latn"))
    write(tmp_path / "sw/a.jsonl", rows("swh_Latn"))
    (tmp_path / "ru").mkdir()
    (tmp_path / "ru/a.jsonl").write_text('{"text": "a"}\n{"text": \n')
    (tmp_path / "fr").mkdir()
    (tmp_path / "fr/a.jsonl").symlink_to("gone.jsonl")
    (tmp_path / "de").mkdir()
    (tmp_path / "de/a.txt").write_bytes(b"\xff\xfe\xfd stra\xdfe \xe4\x00\xff")
    found = look(tmp_path)
    assert tags(found) == {"spa_Latn", "swh_Latn"}
    assert "Russian cannot be read" in found.left_out["ru"]
    assert "a.jsonl:2" in found.left_out["ru"]
    assert "a link to nothing" in found.left_out["fr"]
    assert "de" in found.left_out


def test_a_large_corpus_is_read_at_its_beginning_and_sizes_are_estimates(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "READ_BYTES", 4000)
    monkeypatch.setattr(module, "BEGINNING", 10)
    for language in ("spa_Latn", "swh_Latn"):
        write(tmp_path / language / "a.jsonl", rows(language, 400))
    found = look(tmp_path)
    assert not any(one.is_counted for one in found.languages)
    assert all(400 <= one.documents < 800 for one in found.languages)  # JSON counts as text where nothing is counted


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "it holds nothing"),
        ({"README.md": "x", "a/b.bin": "x"}, "it holds README.md, a"),
        ({"es/a.bin": "x", "sw/a.bin": "x"}, "it holds es, sw"),
        ({"a.jsonl": '{"messages": [{"role": "user", "content": "hola"}], "lang": "es"}\n'}, "rows are chats"),
        ({"es.jsonl": '{"conversations": [{"from": "human", "value": "hola"}]}\n'}, "source: sharegpt"),
    ],
)  # fmt: skip
def test_nothing_that_is_understood_is_said_with_what_is_there(tmp_path, files, told):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=told):
        look(tmp_path)


def test_no_such_folder(tmp_path):
    with pytest.raises(BadInput, match="no such file or directory"):
        look(tmp_path / "nothing")
