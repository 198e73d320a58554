"""Readers of files: layouts, compressions, and what is wrong said with file and line."""

import bz2
import gzip
import json
import lzma

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers import files
from glotmix.corpus.readers.reader import open_reader
from glotmix.errors import BadInput
from glotmix.reading import streams
from tests.contracts.reader import ReaderContract

COMPRESS = {
    "": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress, ".zst": zstandard.ZstdCompressor().compress,
}  # fmt: skip
TEXTS = {
    "es": ["El agua está fría.", "Dos líneas\nde texto.", "Tres.", "El agua está fría.", "Cinco árboles."],
    "fra": ["L'eau est froide.", "Deux lignes\nde texte.", "Trois.", "Quatre œufs.", "Cinq arbres."],
}


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def read(reader, language="spa_Latn"):
    return list(reader.documents(language))


@pytest.fixture
def reading(tmp_path):
    """``reading(reader, **settings)`` over the directory ``corpus``."""

    def opened(reader="plain", path="corpus", languages=("spa_Latn", "fra_Latn"), **settings):
        return open_reader(CorpusConfig(reader=reader, path=path, **settings), languages, tmp_path)

    return opened


class TestPlainDirectories(ReaderContract):
    @pytest.fixture
    def make(self, tmp_path, reading):
        for language, texts in TEXTS.items():
            for k, text in enumerate(texts):
                write(tmp_path / "corpus" / language / "deep" / f"doc{k}.txt", text + "\r\n")
        return reading


class TestPlainFiles(ReaderContract):
    @pytest.fixture
    def make(self, tmp_path, reading):
        for language, texts in TEXTS.items():
            write(tmp_path / "corpus" / f"{language}.txt", "\ufeff" + "\n\n \n".join(texts))
        return reading


class TestJsonLines(ReaderContract):
    @pytest.fixture
    def make(self, tmp_path, reading):
        for language, texts in TEXTS.items():
            rows = "\n".join(json.dumps({"text": text}) for text in texts)
            write(tmp_path / "corpus" / language / "part.jsonl.zst", COMPRESS[".zst"](rows.encode()))
        return lambda **settings: reading("jsonl", **settings)


class TestParquet(ReaderContract):
    @pytest.fixture
    def make(self, tmp_path, reading):
        rows = [(language, text, f"{k}") for language, texts in TEXTS.items() for k, text in enumerate(texts)]
        columns = dict(zip(("lang", "body", "name"), map(list, zip(*rows, strict=True)), strict=True))
        pq.write_table(pa.table(columns), tmp_path / "all.parquet", row_group_size=3)
        fields = {"text_field": "body", "language_field": "lang", "id_field": "name"}
        return lambda **settings: reading("parquet", path="all.parquet", **fields, **settings)

    def test_ids_come_from_their_column_so_translations_share_them(self, make):
        assert [d.id for d in read(make())] == [d.id for d in read(make(), "fra_Latn")] == list("01234")


@pytest.mark.parametrize("ending", COMPRESS)
def test_every_compression_gives_the_same_text(tmp_path, reading, ending):
    write(tmp_path / "corpus" / f"spa_Latn.txt{ending}", COMPRESS[ending](b"uno\n\ndos"))
    assert [d.text for d in read(reading())] == ["uno", "dos"]


@pytest.mark.parametrize("name", ["es", "spa", "spa_Latn", "es_MX", "es-419"])
def test_a_directory_may_be_called_by_any_spelling_of_its_language(tmp_path, reading, name):
    write(tmp_path / "corpus" / name / "a.txt", "hola")
    write(tmp_path / "corpus" / "man1" / "a.txt", "no language")
    assert [(d.text, d.id) for d in read(reading())] == [("hola", "a")]


def test_sources_override_the_layout(tmp_path, reading):
    write(tmp_path / "corpus" / "odd" / "x.txt", "hola")
    write(tmp_path / "corpus" / "es" / "y.txt", "not this")
    assert [d.text for d in read(reading(sources={"es": "odd"}))] == ["hola"]
    assert [d.text for d in read(reading(sources={"spa": "o*/*.txt"}))] == ["hola"]


def test_ids_are_names_in_directories_and_counters_elsewhere(tmp_path, reading):
    write(tmp_path / "corpus" / "es" / "intro.txt", "hola")
    write(tmp_path / "corpus" / "fr.txt", "salut\n\nça va")
    assert [(d.id, d.is_named) for d in read(reading())] == [("intro", True)]
    assert [(d.id, d.is_named) for d in read(reading(), "fra_Latn")] == [("#0", False), ("#1", False)]


def test_a_long_file_is_many_documents(tmp_path, reading, monkeypatch):
    monkeypatch.setattr(files, "MAX_DOCUMENT_BYTES", 100)
    write(tmp_path / "corpus" / "es" / "long.txt", "\n".join(["x" * 30] * 10) + "\n\nfin")
    documents = read(reading())
    assert [len(d.text) for d in documents] == [92, 92, 92, 30, 3]
    assert documents[0].id == "long#0"
    assert "".join(d.text for d in documents).count("x") == 300


@pytest.mark.parametrize("layout", ["es.txt", "es/a.txt", "es.jsonl"])
def test_bytes_that_are_not_utf8_are_named_by_file_and_offset(tmp_path, reading, layout):
    raw = b'{"text": "abc"}\n{"text": "d\xe9f"}\n'
    write(tmp_path / "corpus" / layout, raw)
    reader = "jsonl" if layout.endswith("jsonl") else "plain"
    with pytest.raises(BadInput, match="0xe9 at offset 27") as raised:
        read(reading(reader))
    assert str(tmp_path / "corpus" / layout) in str(raised.value)
    assert "\ufffd" in "".join(d.text for d in read(reading(reader, errors="replace")))


def test_a_line_without_end_is_an_error_and_does_not_fill_the_memory(tmp_path, reading, monkeypatch):
    monkeypatch.setattr(streams, "MAX_LINE_BYTES", 1000)
    write(tmp_path / "corpus" / "es.txt.gz", gzip.compress(b"ok\n" + b"x" * 5000))
    with pytest.raises(BadInput, match=r"es\.txt\.gz:2.*too long"):
        read(reading())


def test_a_file_that_swells_without_end_is_an_error(tmp_path, reading, monkeypatch):
    monkeypatch.setattr(streams, "MAX_EXPANSION", 20)
    path = tmp_path / "corpus" / "es.txt.gz"
    write(path, gzip.compress(b"hola\n" * 1000))
    monkeypatch.setattr(streams, "_EXPANSION_FROM", 1000)
    with pytest.raises(BadInput, match="decompresses"):
        read(reading())


@pytest.mark.parametrize("ending", [".gz", ".xz", ".bz2", ".zst"])
def test_files_joined_end_to_end_are_read_to_the_last(tmp_path, reading, ending):
    """cat a.gz b.gz > c.gz is how large corpora are put together."""
    parts = [f"{k}\n\n".encode() * 3000 for k in range(3)]
    write(tmp_path / "corpus" / f"es.txt{ending}", b"".join(map(COMPRESS[ending], parts)))
    assert "".join(d.text for d in read(reading())) == "0" * 3000 + "1" * 3000 + "2" * 3000


@pytest.mark.parametrize("ending", [".gz", ".xz", ".bz2", ".zst"])
def test_a_damaged_file_is_bad_input(tmp_path, reading, ending):
    whole = COMPRESS[ending](b"hola\n" * 10_000)
    for name, data in (("cut", whole[: len(whole) // 2]), ("other", b"plain text")):
        write(tmp_path / name / f"es.txt{ending}", data)
        with pytest.raises(BadInput, match=rf"es\.txt\{ending}"):
            read(reading(path=name))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": 3}', "text is a number"),
        ('{"body": "x"}', "no field 'text'; it has body"),
        ("[1]", "a list"),
        ('{"text": "x"', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_a_bad_record_is_named_by_file_and_line(tmp_path, reading, line, message):
    write(tmp_path / "corpus" / "es.jsonl", '{"text": "ok"}\n\n' + line)
    with pytest.raises(BadInput, match=r"es\.jsonl:3") as raised:
        read(reading("jsonl"))
    assert message in str(raised.value)


def test_half_a_surrogate_pair_is_named_or_replaced(tmp_path, reading):
    write(tmp_path / "corpus" / "es.jsonl", '{"text": "a\\ud800b"}')
    with pytest.raises(BadInput, match=r"es\.jsonl:1.*surrogate"):
        read(reading("jsonl"))
    assert [d.text for d in read(reading("jsonl", errors="replace"))] == ["a\ufffdb"]


def test_a_language_field_that_is_no_language_is_named(tmp_path, reading):
    write(tmp_path / "corpus" / "all.jsonl", '{"text": "ok", "lang": "klingonish"}')
    with pytest.raises(BadInput, match=r"all\.jsonl:1: lang: 'klingonish' is no language"):
        read(reading("jsonl", language_field="lang"))


def test_a_parquet_file_without_the_column_lists_those_it_has(tmp_path, reading):
    (tmp_path / "corpus").mkdir()
    pq.write_table(pa.table({"content": ["x"]}), tmp_path / "corpus" / "es.parquet")
    with pytest.raises(BadInput, match="no field 'text'; it has content"):
        read(reading("parquet"))
    write(tmp_path / "corpus" / "fr.parquet", b"PAR1 not really")
    with pytest.raises(BadInput, match=r"fr\.parquet"):
        read(reading("parquet"), "fra_Latn")


@pytest.mark.parametrize("reader", ["plain", "jsonl", "parquet", "manpages"])
def test_a_corpus_that_is_not_there_is_bad_input(reading, tmp_path, reader):
    with pytest.raises(BadInput, match="no such file or directory"):
        reading(reader, path="nowhere")
    (tmp_path / "empty" / "de").mkdir(parents=True)
    with pytest.raises(BadInput, match=f"no {reader} files for spa_Latn; it holds de"):
        read(reading(reader, path="empty"))
    with pytest.raises(BadInput, match=r"corpus\.path is missing"):
        reading(reader, path=None)


def test_a_language_of_blank_files_has_no_text(tmp_path, reading):
    write(tmp_path / "corpus" / "es" / "a.txt", " \n\n ")
    with pytest.raises(BadInput, match="no text in spa_Latn"):
        read(reading())


def test_inputs_change_with_the_text_and_not_with_its_date(tmp_path, reading):
    path = tmp_path / "corpus" / "es" / "a.txt"
    write(path, "hola")
    write(tmp_path / "corpus" / "fr" / "a.txt", "salut")
    before = reading().inputs()
    path.touch()
    assert reading().inputs() == before
    write(path, "HOLA")
    after = reading().inputs()
    assert after["spa_Latn"] != before["spa_Latn"]
    assert after["fra_Latn"] == before["fra_Latn"]


def test_hub_rows_are_read_through_the_same_fields(reading, monkeypatch):
    from glotmix.corpus.readers import hub

    class Datasets:
        @staticmethod
        def load_dataset(name, configuration, *, split, streaming):
            assert streaming
            rows = [{"text": f"{name} {configuration} {split} {k}"} for k in range(3)]
            return iter(rows)

    monkeypatch.setattr(hub, "_datasets", lambda: Datasets)
    monkeypatch.setattr(hub.HubReader, "_revision", lambda self: "abc")
    reader = reading("hub", path="owner/name", sources={"fr": "french"})
    assert [d.text for d in read(reader)] == [f"owner/name spa_Latn train {k}" for k in range(3)]
    assert read(reader, "fra_Latn")[0].text == "owner/name french train 0"
    assert reader.inputs()["configurations"] == {"spa_Latn": "spa_Latn", "fra_Latn": "french"}


def test_a_hub_that_cannot_be_reached_is_bad_input(reading, monkeypatch):
    from glotmix.corpus.readers import hub

    class Datasets:
        @staticmethod
        def load_dataset(*arguments, **settings):
            raise ConnectionError("no network\nmore")

    monkeypatch.setattr(hub, "_datasets", lambda: Datasets)
    with pytest.raises(BadInput, match=r"owner/name \(spa_Latn\).*no network"):
        read(reading("hub", path="owner/name"))
