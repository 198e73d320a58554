"""Data that other trainers have tokenised: counted by its index, and read back as the text that it was made from."""

import json
import random
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.corpus.sketch import quick_census
from glotmix.errors import BadInput
from glotmix.tokens.build import build_store, trained_on
from glotmix.tokens.config import TokensConfig
from glotmix.tokens.tokenizer import load_tokenizer
from tests.effort import counted

SOURCES = {"eng": {"language": "en"}, "code": {}}


def texts(name, count=80):
    rng = random.Random(name)
    return [
        " ".join(f"{name}{rng.randrange(50)}" for _ in range(rng.randrange(5, 40))) + f"\n{k}é" for k in range(count)
    ]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A tokenizer.json, trained on all texts."""
    from glotmix.corpus.document import Document

    documents = {n: [Document(t, f"#{k}", "", "") for k, t in enumerate(texts(n))] for n in SOURCES}
    trained = trained_on(documents, TokensConfig(vocab_size=400, sample_bytes=20_000))
    folder = tmp_path_factory.mktemp("tokenizer")
    trained.save(folder)
    return load_tokenizer(str(folder / "tokenizer.json"), folder), folder / "tokenizer.json"


def write_megatron(prefix, documents, *, end=None, kind=8):
    """As ``IndexedDatasetBuilder`` of Megatron-LM writes: every document one sequence, its end appended if asked."""
    dtype = {4: "<i4", 8: "<u2"}[kind]
    rows = [[*ids, end] if end is not None else list(ids) for ids in documents]
    lengths = np.array([len(row) for row in rows], dtype="<i4")
    places = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)[:-1]]) * np.dtype(dtype).itemsize
    prefix.with_suffix(".bin").write_bytes(np.concatenate([np.array(r, dtype) for r in rows]).tobytes())
    head = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, kind, len(rows), len(rows) + 1)
    bounds = np.arange(len(rows) + 1, dtype="<i8")
    prefix.with_suffix(".idx").write_bytes(head + lengths.tobytes() + places.astype("<i8").tobytes() + bounds.tobytes())


def write(kind, folder, documents, end):
    folder.mkdir(parents=True)
    halves = documents[: len(documents) // 2], documents[len(documents) // 2 :]
    for part, some in enumerate(halves):
        if kind.startswith("megatron"):
            write_megatron(folder / f"part{part}", some, end=end if kind == "megatron" else None, kind=8 if part else 4)
        elif kind == "token_arrays":
            flat = np.concatenate([np.array([*ids, end], "<u2") for ids in some])
            (folder / f"part-{part}.npy").write_bytes(flat.tobytes()) if part else np.save(folder / "part-0.npy", flat)
        elif kind == "token_tables":
            rows = pa.table({"n": list(range(len(some))), "input_ids": pa.array(some, pa.list_(pa.int32()))})
            pq.write_table(rows, folder / f"part-{part}.parquet", row_group_size=7)
    if kind == "saved":
        datasets = pytest.importorskip("datasets")
        datasets.Dataset.from_dict({"input_ids": documents}).save_to_disk(str(folder), num_shards=2)


READERS = {"megatron": "megatron", "megatron without ends": "megatron", "token_tables": "token_tables",
           "saved": "token_tables", "token_arrays": "token_arrays"}  # fmt: skip


@pytest.mark.parametrize("kind", READERS)
def test_the_store_is_that_of_the_text_to_the_token(kind, tokenizer, tmp_path):
    made, path = tokenizer
    for name in SOURCES:
        rows = [{"text": text} for text in texts(name)]
        (tmp_path / "text" / name).mkdir(parents=True)
        (tmp_path / "text" / name / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        write(kind, tmp_path / "ids" / name, made.encode_batch(texts(name)), made.end_of_document)
    tokens = TokensConfig(tokenizer=str(path), held_out_tokens=100_000)
    told = CorpusConfig(reader="jsonl", path="text", sources=SOURCES)
    ids = CorpusConfig(reader=READERS[kind], path="ids", sources=SOURCES, tokenizer=str(path))
    by_text, by_ids = (open_reader(config, list(SOURCES), tmp_path) for config in (told, ids))
    for name in SOURCES:
        assert [d.text for d in by_ids.documents(name)] == [d.text for d in by_text.documents(name)]
    store = build_store(tmp_path / "by_text", by_text, list(SOURCES), tokens, 0.0001 + 0.2)
    again = build_store(tmp_path / "by_ids", by_ids, list(SOURCES), tokens, 0.0001 + 0.2)
    for name in SOURCES:
        whole = [
            sum(one.totals(name, side)[key] for side in ("train", "held_out"))
            for one in (store, again)
            for key in ("tokens", "bytes")
        ]
        assert whole[:2] == whole[2:]
        count, documents = by_ids.counted(name)
        assert count == whole[0]
        assert documents in (80, None)
        assert (documents is None) == (kind == "token_arrays")


def test_a_megatron_file_of_a_billion_tokens_is_counted_by_its_index(tokenizer, tmp_path):
    """The data itself is sparse: nobody could read two gigabytes of it in the calls that this takes."""
    made, path = tokenizer
    documents, each = 100_000, 10_000
    (tmp_path / "big").mkdir()
    with (tmp_path / "big" / "x.bin").open("wb") as file:
        file.truncate(2 * documents * each)
    lengths = np.full(documents, each, "<i4")
    places = np.arange(documents, dtype="<i8") * 2 * each
    head = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 8, documents, documents + 1)
    bounds = np.arange(documents + 1, dtype="<i8")
    (tmp_path / "big" / "x.idx").write_bytes(head + lengths.tobytes() + places.tobytes() + bounds.tobytes())
    config = CorpusConfig(reader="megatron", sources={"big": {"path": "big"}}, tokenizer=str(path))
    reader = open_reader(config, ["big"], tmp_path)
    reader.counted("big")  # loads libraries and the tokenizer
    with counted() as effort:
        found = quick_census(reader, ["big"], lambda *_: None)
    tokens = documents * each + (0 if made.end_of_document == 0 else documents)  # its ids are all 0
    assert found.counted == {"big": (tokens, documents)}
    assert found.to_json()["big"] == {"tokens": tokens, "documents": documents}
    assert effort.calls < 10_000
    assert found.tables()


def test_what_is_wrong_is_told_with_its_file(tokenizer, tmp_path):
    made, path = tokenizer
    write_megatron(tmp_path / "x", [[1, 2, 3], [4, 5]], end=made.end_of_document)

    def reader(kind, **more):
        config = CorpusConfig(
            reader=kind, sources={"x": {"path": more.pop("path", "x.bin")}}, **{"tokenizer": str(path), **more}
        )
        return open_reader(config, ["x"], tmp_path)

    with pytest.raises(BadInput, match="no tokenizer"):
        reader("megatron", tokenizer=None)
    assert reader("megatron").counted("x") == (7, 2)
    with (tmp_path / "x.bin").open("ab") as file:
        file.write(b"\0\0")
    with pytest.raises(BadInput, match=r"16 bytes.*14"):
        reader("megatron").counted("x")
    (tmp_path / "x.idx").write_bytes(b"not an index of anything, but long enough")
    with pytest.raises(BadInput, match="no index of a Megatron"):
        reader("megatron").counted("x")
    (tmp_path / "wide.npy").write_bytes(np.array([1, 60_000, made.end_of_document], "<u2").tobytes())
    with pytest.raises(BadInput, match="holds the id 60000"):
        list(reader("token_arrays", path="wide.npy").documents("x"))
    pq.write_table(pa.table({"tokens": [[1]]}), tmp_path / "t.parquet")
    with pytest.raises(BadInput, match="no column input_ids; it has tokens"):
        reader("token_tables", path="t.parquet").counted("x")
    np.save(tmp_path / "f.npy", np.array([0.5]))
    with pytest.raises(BadInput, match="whole numbers"):
        reader("token_arrays", path="f.npy").counted("x")


def test_unique_tokens_are_those_of_the_index_where_reading_is_limited(tokenizer, tmp_path):
    made, path = tokenizer
    write("megatron", tmp_path / "ids" / "eng", made.encode_batch(texts("eng")), made.end_of_document)
    config = CorpusConfig(
        reader="megatron", path="ids", sources={"eng": {"language": "en"}}, tokenizer=str(path), bytes_per_language=3000
    )
    reader = open_reader(config, ["eng"], tmp_path)
    tokens = TokensConfig(tokenizer=str(path), held_out_tokens=1000)
    store = build_store(tmp_path / "s", reader, ["eng"], tokens, 0.2)
    assert store.there == {"eng": reader.counted("eng")[0]}
    assert store.unique_tokens("eng") < store.there["eng"] / 2
