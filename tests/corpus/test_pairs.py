"""Parallel text: files of lines, rows and catalogues as pairs, and what is wrong with them said with file and line."""

import gzip
import json
import struct

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.corpus.split import split_documents
from glotmix.errors import BadInput
from glotmix.reading.tally import ReadTally
from tests.contracts.reader import ReaderContract

ENGLISH = ["The water is cold.", "Two lines.", "Three.", "Five trees.", "Good night."]
SPANISH = ["El agua está fría.", "Dos líneas.", "Tres.", "Cinco árboles.", "Buenas noches."]
FRENCH = ["L'eau est froide.", "Deux lignes.", "Trois.", "Cinq arbres.", "Bonne nuit."]


def catalogue(messages, *, charset="utf-8", order="<"):
    """A compiled catalogue, laid out as GNU's manual says."""
    header = (b"", f"Content-Type: text/plain; charset={charset}\n".encode())
    both = sorted([header, *((m.encode(charset), t.encode(charset)) for m, t in messages)])
    count, start = len(both), 28 + 16 * len(both)
    tables, strings = b"", b""
    for side in (0, 1):
        for pair in both:
            tables += struct.pack(f"{order}2I", len(pair[side]), start + len(strings))
            strings += pair[side] + b"\0"
    return struct.pack(f"{order}7I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, 0) + tables + strings


@pytest.fixture
def pairs(tmp_path):
    """``pairs({name: source}, **settings)``: a reader of parallel text in ``tmp_path``."""

    def opened(sources, **settings):
        return open_reader(CorpusConfig(reader="pairs", sources=sources, **settings), list(sources), tmp_path)

    return opened


def told(reader, name):
    return [(document.prompt, document.text) for document in reader.documents(name)]


class TestRows(ReaderContract):
    """Rows of both sides, a file for each language."""

    @pytest.fixture
    def make(self, tmp_path):
        for tag, texts in (("spa_Latn", SPANISH), ("fra_Latn", FRENCH)):
            rows = [json.dumps({"translation": {"en": e, tag[:3]: t}}) for e, t in zip(ENGLISH, texts, strict=True)]
            (tmp_path / f"{tag}.jsonl").write_text("\n".join(rows))
        return lambda **more: open_reader(
            CorpusConfig(reader="pairs", path=".", **more), ("spa_Latn", "fra_Latn"), tmp_path
        )


EXPECTED = [(f"es {e}", s) for e, s in zip(ENGLISH, SPANISH, strict=True)]


def test_lines_rows_and_catalogues_say_the_same(tmp_path, pairs):
    (tmp_path / "c.en").write_text("\n".join(ENGLISH) + "\n")
    (tmp_path / "c.es.gz").write_bytes(gzip.compress("\r\n".join(SPANISH).encode()))
    both = list(zip(ENGLISH, SPANISH, strict=True))
    (tmp_path / "plain.tsv").write_text("".join(f"{e}\t{s}\n" for e, s in both))
    (tmp_path / "head.tsv").write_text("id\tde\ta\n" + "".join(f"1\t{e}\t{s}\n" for e, s in both))
    pq.write_table(pa.table({"translation": [{"en": e, "es": s} for e, s in both]}), tmp_path / "x.parquet")
    (tmp_path / "a.mo").write_bytes(catalogue(both))
    (tmp_path / "b.mo").write_bytes(catalogue(both, charset="iso-8859-1", order=">"))
    reader = pairs(
        {
            "lines": {"language": "es", "path": "c.es.gz", "translates": "c.en"},
            "plain": {"language": "es", "path": "plain.tsv"},
            "head": {"language": "es", "path": "head.tsv", "prompt_field": "de", "text_field": "a"},
            "parquet": {"language": "es", "path": "x.parquet"},
            "mo": {"language": "es", "path": "a.mo"},
            "latin": {"language": "es", "path": "b.mo"},
        }
    )
    for name in ("lines", "plain", "head", "parquet"):
        assert told(reader, name) == EXPECTED, name
    for name in ("mo", "latin"):
        assert sorted(told(reader, name)) == sorted(EXPECTED), name


def test_of_a_catalogue_contexts_plurals_and_line_breaks_are_left_out(tmp_path, pairs):
    messages = [
        ("menu\4Open", "Abrir"),
        ("%d file\0%d files", "%d archivo\0%d archivos"),
        ("a\nb c", "d\n e"),
        ("x", ""),
    ]
    (tmp_path / "a.mo").write_bytes(catalogue(messages))
    tally = ReadTally()
    reader = pairs({"m": {"language": "es", "path": "*.mo"}})
    found = [(one.prompt, one.text) for one in reader.documents("m", None, tally)]
    assert sorted(found) == [("es %d file", "%d archivo"), ("es Open", "Abrir"), ("es a b c", "d e")]
    assert tally.left_out == {"with an empty side": 1}


def test_bytes_that_are_no_text_may_be_replaced(tmp_path, pairs):
    (tmp_path / "a.mo").write_bytes(catalogue([("a", "ñ")], charset="latin-1").replace(b"latin-1", b"utf-8  "))
    source = {"m": {"language": "es", "path": "a.mo"}}
    with pytest.raises(BadInput, match=r"not valid utf-8.*corpus\.errors: replace"):
        told(pairs(source), "m")
    assert told(pairs(source, errors="replace"), "m") == [("es a", "\ufffd")]


def test_files_of_different_length_are_refused_with_both_counts(tmp_path, pairs):
    (tmp_path / "c.en").write_text("\n".join(ENGLISH[:3]))
    (tmp_path / "c.es").write_text("\n".join(SPANISH))
    reader = pairs({"p": {"language": "es", "path": "c.es", "translates": "c.en"}})
    with pytest.raises(BadInput, match=r"c\.es: 5 lines, but .*c\.en has 3") as caught:
        list(reader.documents("p"))
    assert "as many lines" in str(caught.value)


def test_empty_and_equal_sides_are_left_out_and_counted(tmp_path, pairs):
    (tmp_path / "c.tsv").write_text("One\tUno\n \tDos\nThree\t\nOK\tOK\n")
    tally, reader = ReadTally(), pairs({"p": {"language": "es", "path": "c.tsv"}})
    assert [one.text for one in reader.documents("p", None, tally)] == ["Uno"]
    assert tally.left_out == {"with an empty side": 2, "the same on both sides": 1}
    assert len(told(pairs({"p": {"language": "es", "path": "c.tsv"}}, drop_untranslated=False), "p")) == 2


def test_a_source_is_on_one_side_of_the_split_in_every_language_and_a_pair_is_there_once(tmp_path, pairs):
    rows = [(f"Sentence {k % 60}.", f"Frase {k % 90}.") for k in range(180)]
    for name in ("es", "fr"):
        (tmp_path / f"{name}.tsv").write_text("".join(f"{e}\t{name} {s}\n" for e, s in rows))
    reader = pairs({n: {"language": n, "path": f"{n}.tsv"} for n in ("es", "fr")})
    sides = {"train": set(), "held_out": set()}
    for name in ("es", "fr"):
        found = list(split_documents(reader, name, 0.4))
        assert len(found) == len(set(rows)) == 180
        for document, side in found:
            sides[side].add(document.prompt[3:])
    assert not sides["train"] & sides["held_out"]
    assert min(map(len, sides.values())) > 10
    (tmp_path / "es.tsv").write_text("One\tUno\nOne\tUno\nOne\tUn\n")
    tally = ReadTally()
    from glotmix.corpus.split import hashed_documents

    assert len(list(hashed_documents(reader, "es", 0.4, None, tally))) == 2
    assert tally.left_out == {"the same text as another one": 1}


@pytest.mark.parametrize(
    ("files", "source", "message"),
    [
        ({"a.txt": "Uno\n"}, {"path": "a.txt"}, r"other side is not told.*sources\.p\.translates"),
        ({"a.txt": "Uno\n"}, {"path": "a.txt", "translates": "gone.en"}, r"gone\.en: cannot be read"),
        ({"a.jsonl": '{"en": "a", "es": "b"}'}, {"path": "a.jsonl"}, r"a\.jsonl:1.*two sides is not told; it has en, es"),
        ({"a.jsonl": '{"translation": {"en": "a", "de": "b"}}'}, {"path": "a.jsonl"}, "with spa_Latn in it"),
        ({"a.jsonl": '{"translation": {"en": 1, "es": "b"}}'}, {"path": "a.jsonl"}, r"no text in field 'translation\.en'"),
        ({"a.mo": "no catalogue"}, {"path": "a.mo"}, r"a\.mo: no catalogue: begins with 6e 6f 20 63"),
        ({"a.mo": catalogue([("a", "b")])[:60]}, {"path": "a.mo"}, r"a\.mo: catalogue is cut off"),
        ({"a.mo": catalogue([("a", "ñ")], charset="latin-1").replace(b"latin-1", b"ascii  ")}, {"path": "a.mo"}, "ascii"),
        ({"a.tsv": "x\ty\n"}, {"path": "a.tsv", "language": None}, r"sources\.p\.language"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path, pairs, files, source, message):
    for name, data in files.items():
        (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(BadInput, match=rf"(?s){message}"):
        list(pairs({"p": {"language": "es", **source}}).documents("p"))


def test_settings_of_pairs_beside_other_readers_are_refused():
    with pytest.raises(ValueError, match="reader is jsonl, expected pairs or embedded"):
        CorpusConfig(reader="jsonl", path="a", sources={"p": {"language": "es", "translates": "b"}})
    with pytest.raises(ValueError, match="only targets and pairs have prompts"):
        CorpusConfig(reader="jsonl", path="a", prompt_field="x")


def test_the_embedded_corpus_has_its_sentences_in_two_languages(tmp_path):
    source = {"language": "spa_Latn", "translates": "en"}
    config = CorpusConfig(reader="embedded", bytes_per_language=3000, sources={"eng-spa": source})
    found = list(open_reader(config, ["eng-spa"], tmp_path).documents("eng-spa"))
    assert ("es The currency is called: Honduran Lempira.", "La moneda se llama: lempira hondureño.") in [
        (one.prompt, one.text) for one in found
    ]
    assert all(one.language == "spa_Latn" for one in found)
