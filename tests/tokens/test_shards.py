"""Shards as MosaicML Streaming and litdata write them (scripts/shards.py), read by their index and by their samples."""

import bz2
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import zstandard

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader, remarks
from glotmix.corpus.sketch import quick_census
from glotmix.errors import BadInput
from glotmix.tokens.build import build_store
from glotmix.tokens.config import TokensConfig
from tests.effort import counted

SHARDS = Path(__file__).parent / "shards"
TOLD = json.loads((SHARDS / "documents.json").read_text())
TEXTS, END = TOLD["texts"], TOLD["end"]
ALL = sum(map(len, TOLD["ids"])) + len(TEXTS)
"""Tokens of the documents, each with its end."""
DOCUMENTS = ("mds-documents", "mds-no-ends", "mds-columns", "mds-zstd", "mds-gz", "litdata-documents",
             "litdata-no-ends", "litdata-tree", "litdata-zstd")  # fmt: skip
BLOCKS = ("mds-blocks", "mds-foundry", "litdata-blocks")


def reader_of(folder, kind=None, **more):
    kind = kind or folder.name.partition("-")[0]
    config = CorpusConfig(
        reader=kind, sources={"x": {"path": folder.name}}, **{"tokenizer": str(SHARDS / "tokenizer.json"), **more}
    )
    return open_reader(config, ["x"], folder.parent)


def texts_of(reader):
    return [document.text for document in reader.documents("x")]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_and_tokens_are_those_of_the_text(name):
    reader = reader_of(SHARDS / name)
    assert reader.counted("x") == (ALL, len(TEXTS))
    assert texts_of(reader) == TEXTS
    assert remarks(reader) == ()  # the index is read with them


@pytest.mark.parametrize("name", ["mds-documents", "mds-zstd", "litdata-no-ends"])
def test_a_store_of_ids_has_the_bytes_of_one_of_text(name, tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    tokens = TokensConfig(tokenizer=str(SHARDS / "tokenizer.json"), held_out_tokens=1000)
    whole = []
    for reader in (reader_of(tmp_path / "text", "jsonl", tokenizer=None), reader_of(SHARDS / name)):
        store = build_store(tmp_path / reader.config.reader, reader, ["x"], tokens, 0.2)
        totals = [store.totals("x", side) for side in ("train", "held_out")]
        whole.append({key: sum(one[key] for one in totals) for key in ("tokens", "bytes", "documents")})
    assert whole[0] == whole[1]
    assert whole[0]["tokens"] == ALL


@pytest.mark.parametrize("name", BLOCKS)
def test_documents_that_run_through_blocks_end_where_their_ends_are(name):
    """Nothing but the size of the blocks is known without reading; a shard's end is one of a document, too."""
    reader = reader_of(SHARDS / name)
    tokens, documents = reader.counted("x")
    assert (tokens, documents) == (ALL // 32 * 32, None)
    found = texts_of(reader)
    files = len(reader.listing("x").files)
    assert "".join(found).replace("�", "") in "".join(TEXTS)
    assert [text for text in found if text in TEXTS] == [text for text in TEXTS if text in found]
    assert len(TEXTS) - 2 <= len(found) <= len(TEXTS) + files - 1
    assert sum(text not in TEXTS for text in found) <= 2 * files - 1


@pytest.mark.parametrize("name", ["mds-text", "litdata-text", "mds-columns"])
def test_text_needs_no_tokenizer_and_is_not_counted_by_an_index(name):
    reader = reader_of(SHARDS / name, tokenizer=None)
    assert reader.counted("x") is None
    assert texts_of(reader) == TEXTS


def test_most_is_counted_without_reading_a_sample(monkeypatch):
    """What a sample is read for: the first one, for whether documents have ends, and what its columns hide."""
    from glotmix.tokens.sharded import ShardFile

    seen = []
    real = ShardFile.each_sample

    def each(self):
        for number, sample in real(self):
            seen.append((self.path.name, number))
            yield number, sample

    monkeypatch.setattr(ShardFile, "each_sample", each)
    for name in ("mds-documents", "mds-zstd", "mds-blocks", "litdata-documents", "litdata-zstd"):
        seen.clear()
        assert reader_of(SHARDS / name).counted("x")[0] in (ALL, ALL // 32 * 32)
        assert {number for _, number in seen} == {0}


def test_a_hundred_thousand_documents_of_many_tokens_are_counted_in_few_calls(tmp_path):
    """The data itself is sparse: nobody could read a gigabyte of it in the calls that this takes."""
    documents, each = 1 << 15, 1 << 14
    (tmp_path / "mds-big").mkdir()
    head = b"{}"
    first = 4 * (documents + 2) + len(head)
    sample = 4 + 1 + 2 + 2 * each
    bounds = [first + k * sample for k in range(documents + 1)]
    with (tmp_path / "mds-big" / "shard.00000.mds").open("wb") as file:
        file.write(struct.pack(f"<{documents + 2}I", documents, *bounds) + head)
        file.write(struct.pack("<IBH", sample - 4, 1 << 2 | 1, each) + struct.pack("<H", 7))
        file.truncate(bounds[-1])
    shard = {"format": "mds", "version": 2, "compression": None, "samples": documents, "zip_data": None,
             "column_names": ["tokens"], "column_encodings": ["ndarray:uint16"], "column_sizes": [None],
             "raw_data": {"basename": "shard.00000.mds", "bytes": bounds[-1]}}  # fmt: skip
    (tmp_path / "mds-big" / "index.json").write_text(json.dumps({"version": 2, "shards": [shard]}))
    reader = reader_of(tmp_path / "mds-big")
    reader_of(SHARDS / "mds-documents").counted("x")  # loads libraries
    assert bounds[-1] > 1e9
    with counted() as effort:
        found = quick_census(reader, ["x"], lambda *_: None)
    assert found.counted == {"x": (documents * each, None)}  # all as long as each other: blocks
    assert effort.calls < 10_000


def test_a_shard_that_lies_there_twice_is_read_once(tmp_path):
    folder = shutil.copytree(SHARDS / "mds-zstd", tmp_path / "mds-zstd")
    packed = (folder / "shard.00000.mds.zstd").read_bytes()
    (folder / "shard.00000.mds").write_bytes(zstandard.ZstdDecompressor().decompress(packed, 1 << 20))
    reader = reader_of(folder)
    assert reader.counted("x") == (ALL, len(TEXTS))
    assert texts_of(reader) == TEXTS
    assert "compressed" in " ".join(remarks(reader))


def test_an_index_for_the_folders_in_its_folder(tmp_path):
    """As ``merge_index`` of MosaicML Streaming leaves it, without the indices of the parts."""
    index = json.loads((SHARDS / "mds-documents" / "index.json").read_text())
    for number, shard in enumerate(index["shards"]):
        name = shard["raw_data"]["basename"]
        (tmp_path / "mds" / f"part{number}").mkdir(parents=True)
        shutil.copy(SHARDS / "mds-documents" / name, tmp_path / "mds" / f"part{number}" / name)
        shard["raw_data"]["basename"] = f"part{number}/{name}"
    (tmp_path / "mds" / "index.json").write_text(json.dumps(index))
    assert texts_of(reader_of(tmp_path / "mds")) == TEXTS


def edit(folder, change, field="shards"):
    """The index with one shard, the first one, changed."""
    index = json.loads((folder / "index.json").read_text())
    change(index if field is None else index[field] if field == "config" else index[field][0])
    (folder / "index.json").write_text(json.dumps(index))


def put(shard, **fields):
    shard.update(fields)


REFUSED = {
    "a path out of the folder": ("mds-documents", lambda s: put(s["raw_data"], basename="../../etc/passwd"), r"shards\[0\]\.raw_data\.basename: '../../etc/passwd'"),
    "an absolute path": ("mds-documents", lambda s: put(s["raw_data"], basename="/etc/passwd"), r"raw_data\.basename"),
    "a name that is none": ("mds-documents", lambda s: put(s["raw_data"], basename=7), r"raw_data\.basename: 7"),
    "a name that no file has": ("mds-documents", lambda s: put(s["raw_data"], basename="x" * 3000), r"raw_data\.basename: 'xxx"),
    "no name": ("mds-documents", lambda s: put(s, raw_data=None), r"raw_data\.basename: None"),
    "a shard that is not there": ("mds-documents", lambda s: put(s["raw_data"], basename="other.mds"), r"shards\[0\]: no file other\.mds"),
    "more samples": ("mds-documents", lambda s: put(s, samples=99), r"shard\.00000\.mds: of \d+ samples \(expected 99"),
    "no samples": ("mds-documents", lambda s: put(s, samples="many"), r"samples: 'many'"),
    "samples below zero": ("mds-documents", lambda s: put(s, samples=-1), r"samples: -1"),
    "more bytes": ("mds-documents", lambda s: put(s["raw_data"], bytes=10**6), r"\d+ bytes \(expected 1000000"),
    "far more bytes than a shard has": ("mds-zstd", lambda s: put(s["raw_data"], bytes=1 << 40), r"raw_data\.bytes"),
    "fewer bytes": ("mds-zstd", lambda s: put(s["raw_data"], bytes=2000), r"shard\.00000\.mds.zstd"),
    "a pickle": ("mds-documents", lambda s: put(s, column_encodings=["pkl"]), r"column_encodings: 'tokens: pkl' \(expected no pickles"),
    "another type": ("mds-documents", lambda s: put(s, column_encodings=["ndarray:int64"]), r"sample \d+ has \d+ bytes for its ids.*int64"),
    "no whole type": ("mds-documents", lambda s: put(s, column_encodings=["ndarray:float32"]), r"column_encodings"),
    "a size that is not that of its length": ("mds-blocks", lambda s: put(s, column_sizes=[62]), r"column_sizes: 62"),
    "columns and no encodings": ("mds-documents", lambda s: put(s, column_encodings=[]), r"column_names"),
    "neither ids nor text": ("mds-documents", lambda s: put(s, column_names=["image"]), r"columns image.*tokens, input_ids, text"),
    "another format": ("mds-documents", lambda s: put(s, format="json"), r"format: \('json', 2\)"),
    "another compression": ("mds-zstd", lambda s: put(s, compression="br"), r"compression: 'br' \(expected zstd, gz, bz2"),
    "a path out of the folder of chunks": ("litdata-documents", lambda s: put(s, filename="../x.bin"), r"chunks\[0\]\.filename"),
    "other tokens": ("litdata-documents", lambda s: put(s, dim=s["dim"] + 1), r"chunks\[0\]\.dim: 280"),
    "other items": ("litdata-documents", lambda s: put(s, chunk_size=s["chunk_size"] + 1), r"chunks\[0\]|chunk-0-0"),
    "a chunk of pickles": ("litdata-documents", lambda c: put(c, data_format=["pickle"]), r"config\.data_format: \['pickle'\] \(expected no pickles"),
    "several values": ("litdata-documents", lambda c: put(c, data_format=["no_header_tensor:16", "int"]), r"config\.data_format"),
    "numbers that are no ids": ("litdata-documents", lambda c: put(c, data_format=["no_header_tensor:0"]), r"config\.data_format"),
    "a code that there is not": ("litdata-documents", lambda c: put(c, data_format=["no_header_tensor:" + "9" * 5000]), r"config\.data_format"),
    "another loader": ("litdata-documents", lambda c: put(c, item_loader="ParquetLoader"), r"config\.item_loader: 'ParquetLoader'"),
    "encryption": ("litdata-documents", lambda c: put(c, encryption={"algorithm": "fernet"}), r"config\.encryption"),
    "chunks without a list": ("litdata-documents", lambda i: put(i, chunks={}), r"index\.json: chunks"),
    "no config": ("litdata-documents", lambda i: put(i, config=None), r"index\.json: config: None"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_an_index_cannot_say_is_told_by_file_and_field(what, tmp_path):
    name, change, said = REFUSED[what]
    folder = shutil.copytree(SHARDS / name, tmp_path / name)
    field = "shards" if name.startswith("mds") else "chunks"
    if "config" in said:
        field = None if what == "no config" else "config"
    edit(folder, change, None if what == "chunks without a list" else field)
    reader = reader_of(folder)
    with pytest.raises(BadInput, match=said) as refused:
        reader.counted("x")
        texts_of(reader)
    assert str(folder) in str(refused.value)


@pytest.mark.parametrize(("name", "said"), [("mds-pickle", "pkl"), ("litdata-pickle", "pickle"), ("litdata-framed", "compression_level")])  # fmt: skip
def test_what_the_libraries_write_and_nobody_should_read(name, said):
    with pytest.raises(BadInput, match=said):
        reader_of(SHARDS / name).counted("x")


def test_damage_is_told_and_a_shard_without_an_index_is_not_read(tmp_path):
    folder = shutil.copytree(SHARDS / "mds-documents", tmp_path / "mds-documents")
    shard = folder / "shard.00000.mds"
    whole = shard.read_bytes()
    (folder / "shard.00009.mds").write_bytes(whole)
    with pytest.raises(BadInput, match=r"shard.00009.mds: stands in no index"):
        reader_of(folder).counted("x")
    (folder / "shard.00009.mds").unlink()
    turned = bytearray(whole)
    turned[8:12], turned[12:16] = whole[12:16], whole[8:12]
    shard.write_bytes(turned)
    with pytest.raises(BadInput, match=r"table of samples goes back"):
        reader_of(folder).counted("x")
    place = int.from_bytes(whole[4:8], "little")
    shard.write_bytes(whole[:place] + b"\xff\xff" + whole[place + 2 :])
    with pytest.raises(BadInput, match=r"sample 0 has \d+ bytes"):
        texts_of(reader_of(folder))
    shard.write_bytes(whole[: place + 4] + bytes([2 << 2]) + whole[place + 5 :])
    with pytest.raises(BadInput, match=r"sample 0: 2 axes"):
        texts_of(reader_of(folder))
    (folder / "index.json").write_text("{")
    with pytest.raises(BadInput, match=r"index.json: not valid JSON"):
        reader_of(folder).counted("x")
    (folder / "index.json").unlink()
    with pytest.raises(BadInput, match=r"no index.json"):
        reader_of(folder).counted("x")
    with pytest.raises(BadInput, match=r"corpus.tokenizer.*no tokenizer is named"):
        reader_of(SHARDS / "mds-documents", tokenizer=None).counted("x")


def test_a_compressed_shard_that_grows_beyond_what_its_index_says(tmp_path):
    folder = shutil.copytree(SHARDS / "mds-zstd", tmp_path / "mds-zstd")
    packed = folder / "shard.00000.mds.zstd"
    whole = zstandard.ZstdDecompressor().decompress(packed.read_bytes(), 1 << 20)
    for longer in (whole + b"\0", whole[:-1]):
        packed.write_bytes(zstandard.ZstdCompressor().compress(longer))
        with pytest.raises(BadInput, match=r"shard.00000.mds.zstd: (more than|ends in sample)"):
            texts_of(reader_of(folder))
    packed.write_bytes(bz2.compress(whole))  # whatever it is called: what it begins with counts
    assert texts_of(reader_of(folder)) == TEXTS


def test_blocks_without_an_end_of_document_are_refused(tmp_path):
    folder = shutil.copytree(SHARDS / "mds-blocks", tmp_path / "mds-blocks")
    shard = folder / "shard.00000.mds"
    whole = shard.read_bytes()
    place = int.from_bytes(whole[4:8], "little")
    ids_N = np.frombuffer(whole[place:], "<u2")
    shard.write_bytes(whole[:place] + np.where(ids_N == END, END - 1, ids_N).astype("<u2").tobytes())
    with pytest.raises(BadInput, match=rf"all \d+ samples have 32 ids, and none of these is {END}"):
        texts_of(reader_of(folder))
