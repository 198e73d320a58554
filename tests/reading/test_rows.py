"""What a format's own library writes is read back to the last byte, in every compression, encoding and line end."""

import bz2
import csv
import gzip
import io
import json
import lzma
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from glotmix.errors import BadInput
from glotmix.reading import streams
from glotmix.reading.rows import Wanted, read_rows
from glotmix.reading.streams import ReadOptions
from glotmix.reading.values import is_missing, text_of, value_of

COMPRESS = {
    "": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress, ".zst": zstandard.ZstdCompressor().compress,
}  # fmt: skip
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32")
FIELDS = ("text", "id", "label")
CHILD = """
import sys, pathlib
from glotmix.errors import BadInput
from glotmix.reading.rows import read_rows
try:
    list(read_rows(pathlib.Path(sys.argv[1])))
except BadInput as error:
    print("refused" if sys.argv[1] in str(error) else error)
"""
QUIRKS = st.sampled_from(
    ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c", '"', '""', "'", ",", ";", "0", "007", "1e6", "\ufeff", " "]
)
TEXT = st.lists(st.text(max_size=8) | QUIRKS, max_size=4).map("".join)
ROWS = st.lists(st.fixed_dictionaries(dict.fromkeys(FIELDS, TEXT)), min_size=1, max_size=5)
COMPRESSION, ENCODING = st.sampled_from(list(COMPRESS)), st.sampled_from(ENCODINGS)
quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(path, **options):
    return [dict(row.fields) for row in read_rows(path, ReadOptions(**options))]


@quick
@given(ROWS, COMPRESSION, ENCODING, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans())
def test_json_lines(tmp_path, rows, ending, encoding, newline, ascii, last):
    path = tmp_path / f"t.jsonl{ending}"
    text = newline.join(json.dumps(row, ensure_ascii=ascii) for row in rows) + (newline if last else "")
    path.write_bytes(COMPRESS[ending](text.encode(encoding)))
    assert read(path) == rows


@quick
@given(ROWS, COMPRESSION, ENCODING, st.sampled_from([None, 1, "\t"]))
def test_a_json_array(tmp_path, rows, ending, encoding, indent):
    for name in ("t.json", "t.jsonl"):
        path = tmp_path / f"{name}{ending}"
        path.write_bytes(COMPRESS[ending](json.dumps(rows, ensure_ascii=False, indent=indent).encode(encoding)))
        assert read(path) == rows


@quick
@given(
    ROWS,
    COMPRESSION,
    ENCODING,
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(",;"),
)
def test_csv(tmp_path, rows, ending, encoding, quoting, separator):
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, FIELDS, quoting=quoting, delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    path = tmp_path / f"t.csv{ending}"
    path.write_bytes(COMPRESS[ending](out.getvalue().encode(encoding)))
    assert read(path) == rows


@quick
@given(ROWS, COMPRESSION, ENCODING, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_tsv_that_is_quoted(tmp_path, rows, ending, encoding, quoting):
    assume(all(value.count("\t") < 2 for row in rows for value in row.values()))
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, FIELDS, quoting=quoting, dialect="excel-tab")
    writer.writeheader()
    writer.writerows(rows)
    path = tmp_path / f"t.tsv{ending}"
    path.write_bytes(COMPRESS[ending](out.getvalue().encode(encoding)))
    assert read(path) == rows


@quick
@given(ROWS, COMPRESSION, ENCODING, st.sampled_from(["\n", "\r\n"]))
def test_tsv_in_which_a_quote_is_a_letter(tmp_path, rows, ending, encoding, newline):
    assume(
        all(
            value == value.replace("\t", "").replace("\n", "").replace("\r", "")
            for row in rows
            for value in row.values()
        )
    )
    assume(not any(value.startswith('"') and value.endswith('"') for row in rows for value in row.values()))
    text = (
        newline.join("\t".join(row[name] for name in FIELDS) for row in [dict(zip(FIELDS, FIELDS, strict=True)), *rows])
        + newline
    )
    path = tmp_path / f"t.tsv{ending}"
    path.write_bytes(COMPRESS[ending](text.encode(encoding)))
    assert read(path) == rows


@quick
@given(ROWS, st.sampled_from(["none", "snappy", "zstd", "gzip"]), st.booleans())
def test_parquet(tmp_path, rows, compression, dictionary):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path, compression=compression, use_dictionary=dictionary)
    assert read(path) == rows


@pytest.mark.parametrize("encoding", ["cp1252", "cp1251", "gbk", "shift_jis", "big5", "euc_kr", "koi8-r", "utf-16-le"])
def test_an_encoding_that_is_told_is_read_and_one_that_is_not_is_named(tmp_path, encoding):
    text = {
        "cp1251": "Где вода?",
        "koi8-r": "Где вода?",
        "gbk": "水在哪里",
        "shift_jis": "水はどこ",
        "big5": "水在哪裡",
        "euc_kr": "물은 어디",
    }
    row = {"text": text.get(encoding, "¿Dónde está?")}
    path = tmp_path / "t.jsonl"
    path.write_bytes((json.dumps(row, ensure_ascii=False) + "\n").encode(encoding) * 3)
    assert read(path, encoding=encoding) == [row] * 3
    with pytest.raises(BadInput, match=r"t\.jsonl"):
        read(path)


def test_an_encoding_that_there_is_not_is_named(tmp_path):
    (tmp_path / "t.jsonl").write_text("{}")
    for name in ("klingon", "rot13", "base64"):
        with pytest.raises(BadInput, match=f"no encoding '{name}'"):
            read(tmp_path / "t.jsonl", encoding=name)


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "tsv"])
def test_bytes_that_are_no_text_are_named_by_file_line_and_byte_in_every_format(tmp_path, form, ending):
    good = {"jsonl": b'{"text": "a"}\n', "json": b'[\n{"text": "a"},\n', "csv": b"text\na\n", "tsv": b"text\na\n"}[form]
    bad = {"jsonl": b'{"text": "\xe9"}\n', "json": b'{"text": "\xe9"}]', "csv": b"\xe9\n", "tsv": b"\xe9\n"}[form]
    path = tmp_path / f"t.{form}{ending}"
    path.write_bytes(COMPRESS[ending](good + bad))
    offset, line = (good + bad).index(b"\xe9"), (good + bad)[: (good + bad).index(b"\xe9")].count(b"\n") + 1
    with pytest.raises(BadInput, match=rf"t\.{form}{ending}:{line}: not valid UTF-8: byte 0xe9 at offset {offset}"):
        read(path)


def test_a_compressed_file_is_known_by_its_contents(tmp_path):
    for ending, compress in COMPRESS.items():
        path = tmp_path / f"download{ending[1:]}.jsonl"
        path.write_bytes(compress(b'{"text": "a"}\n'))
        assert read(path) == [{"text": "a"}]
    (tmp_path / "t.jsonl.gz").write_bytes(b"")
    with pytest.raises(BadInput, match="not gz: empty"):
        read(tmp_path / "t.jsonl.gz")


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("answers.jsonl", '{"a": 1250000}\n{"a": 1.50}\n{"a": 1e400}\n{"a": 0.1}', ["1250000", "1.50", "1e400", "0.1"]),
        ("answers.csv", "a\n007\n1e6\n0x10\nTrue\nNA\n", ["007", "1e6", "0x10", "True", "NA"]),
        ("answers.json", '[{"a": 9007199254740993}, {"a": -0.0}]', ["9007199254740993", "-0.0"]),
        ("old.csv", "a\rone\rtwo", ["one", "two"]),
        ("told.csv", "sep=;\na;b\n1,5;x\n", ["1,5"]),
        ("semicolons.csv", "a;b\n1,5;x\n", ["1,5"]),
        ("tabs.csv", "a\tb\n1,5\tx\n", ["1,5"]),
        ("values.json", '{"a": "x"}\n{"a":\n "y"}', ["x", "y"]),
        ("NaN.jsonl", '{"a": NaN}\n{"a": null}', [None, None]),
        ("inside", '{"a": "x"}', ["x"]),
        ("UPPER.JSONL", '{"a": "x"}', ["x"]),
    ],
)  # fmt: skip
def test_what_is_written_is_what_is_read(tmp_path, name, content, rows):
    (tmp_path / name).write_text(content, newline="")
    found = [row.fields["a"] for row in read_rows(tmp_path / name)]
    assert [None if is_missing(value) else text_of(value) for value in found] == rows


def test_whole_numbers_that_parquet_holds_as_floats_are_written_without_a_point(tmp_path):
    pq.write_table(pa.table({"id": pa.array([7.0, None, 2.5])}), tmp_path / "t.parquet")
    assert [text_of(row.fields["id"]) for row in read_rows(tmp_path / "t.parquet")] == ["7", None, "2.5"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.jsonl", '{"a": 1}\n{"a": ' + "9" * 5000 + "}", r"t\.jsonl:2: not valid JSON: a number of 5000 digits"),
        ("t.jsonl", '{"a": ' + "[" * 200 + "]" * 200 + "}", r"t\.jsonl:1: not valid JSON: brackets nested over 100"),
        ("t.jsonl", '{"a": ' + "[" * 200_000, r"t\.jsonl:1: not valid JSON"),
        ("t.jsonl", '{"a": 1, "a": 2}', r"t\.jsonl:1: not valid JSON: field 'a' is listed twice"),
        ("t.json", '[{"a": 1},\n{"a": ' + "9" * 5000 + "}]", r"t\.json:2: not valid JSON: a number of 5000 digits"),
        ("t.json", '[{"a": 1}\n{"a": 2}]', r"t\.json:2: not valid JSON: no comma"),
        ("t.json", '[{"a": 1},\n{"a": 2}', r"t\.json:2: not valid JSON"),
        ("t.json", '[{"a": 1}]\n\n[{"a": 2}]', r"t\.json:3: not valid JSON: text behind the array"),
        ("t.json", '[{"a": 1},\n]', r"t\.json:2: not valid JSON: a comma before \]"),
        ("t.csv", 'a,b\nx,y\n"open,z\nmore,w\n', r"t\.csv:3: not valid CSV: a quote is not closed"),
        ("t.csv", 'a,b\n"x"y,z\n', r"t\.csv:2: not valid CSV"),
        ("t.csv", "a,b\nx,y\nz\n", r"t\.csv:3: 1 columns \(expected 2: a, b\)"),
        ("t.csv", "a,b,a\nx,y,z\n", r"t\.csv:1: column 'a' is listed twice"),
        ("t.tsv", "a\tb\nx\ty\nx\ty\tz\n", r"t\.tsv:3: 3 columns"),
        ("t.jsonl", "3\n", r"t\.jsonl:1: holds a number \(expected an object"),
        ("t.txt", "hello\n", r"ends in '\.txt', which tells no format"),
        ("t.parquet", "PAR1 not really", "cannot be read as Parquet"),
        ("none.jsonl", None, "no such file"),
    ],
)  # fmt: skip
def test_what_is_unsound_is_named_by_file_and_line(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(BadInput, match=message):
        read(tmp_path / name)


def test_quotes_in_a_tsv_file(tmp_path):
    """Two quotes that never were a pair glue nothing; what only RFC 4180 explains is read by it."""
    path = tmp_path / "t.tsv"
    path.write_text('text\tlanguage\nuno\tes\n"dos\tes\ntres\tes\ncuatro"\tes\ncinco\tes\n')
    assert [row["text"] for row in read(path)] == ["uno", '"dos', "tres", 'cuatro"', "cinco"]
    path.write_text('text\tlanguage\n"uno\ndos"\tes\n"a\tb"\tes\n')
    assert [row["text"] for row in read(path)] == ["uno\ndos", "a\tb"]
    path.write_text('text\tlanguage\n"¿Qué?"\tes\n"Ven", dijo\tes\n')
    assert [row["text"] for row in read(path)] == ['"¿Qué?"', '"Ven", dijo']
    path.write_text('"text"\t"language"\n"¿Qué?"\t"es"\n')
    assert read(path) == [{"text": "¿Qué?", "language": "es"}]


def test_a_table_without_header_takes_its_names_and_one_with_a_header_loses_none(tmp_path):
    wanted = Wanted(columns=("question", "answer"))
    (tmp_path / "t.tsv").write_text("¿2+2?\t4\n¿3+3?\t6\n")
    assert [row.fields["answer"] for row in read_rows(tmp_path / "t.tsv", wanted=wanted)] == ["4", "6"]
    (tmp_path / "t.tsv").write_text("question\tanswer\n¿2+2?\t4\n")
    assert [row.fields["answer"] for row in read_rows(tmp_path / "t.tsv", wanted=wanted)] == ["4"]


def test_a_parquet_file_at_whose_statistics_the_library_ends_the_process_is_refused():
    """Found by benchmarks/fuzz.py: an exception in C++ that nobody catches, when a column's sizes are asked for."""
    path = Path(__file__).with_name("damaged_statistics.parquet")
    done = subprocess.run([sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "refused\n")


def test_fields_inside_fields(tmp_path):
    rows = [{"text": "a", "metadata": {"lang": "es", "x": {"y": "z"}}}]
    (tmp_path / "t.jsonl").write_text(json.dumps(rows[0]))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    for name in ("t.jsonl", "t.parquet"):
        (row,) = read_rows(tmp_path / name, wanted=Wanted(fields=("text", "metadata.lang", "metadata.x.y")))
        assert (value_of(row.fields, "metadata.lang"), value_of(row.fields, "metadata.x.y")) == ("es", "z")
        assert is_missing(value_of(row.fields, "metadata.none"))


def test_a_long_array_is_read_an_object_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "_CHUNK_BYTES", 64)
    rows = [{"text": "x" * k} for k in range(200)]
    (tmp_path / "t.json").write_text(json.dumps(rows))
    assert read(tmp_path / "t.json") == rows
    monkeypatch.setattr(streams, "MAX_LINE_BYTES", 100)
    with pytest.raises(BadInput, match=r"t\.json:1: object too long"):
        read(tmp_path / "t.json")
