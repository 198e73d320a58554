"""Readers of what strangers may send, each as a function of bytes that must return or say no with place and reason.

Used by tests/test_hostile_input.py and, a million times, by benchmarks/fuzz.py.
"""

import csv
import gzip
import io
import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import zstandard

from glotmix.artifact import checksum
from glotmix.config import read_yaml
from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.manpages import is_english
from glotmix.corpus.readers.reader import open_reader
from glotmix.measurements import read_runs
from glotmix.posttraining.sources import SourceConfig, read_all
from glotmix.reading.tally import ReadTally
from glotmix.studies import KINDS
from glotmix.studies.mixture.config import StudyConfig
from glotmix.tokens.opening import open_store
from glotmix.tokens.prepared_reader import FORMATS, SHARDED
from tests.hostile_results import RESULTS
from tests.mutants import Hostile, parsed


class StudyFile(Hostile):
    """Of every kind. Among the sound ones are all sections with all their fields, in YAML's flow style, which is JSON."""

    words = (b"*a", b"&a ", b"<<: ", b"!!python/object/apply:os.system ", b"[[[[", b"{", b"? ", b"- ", b": ", b"|\n", b"%YAML 1.1\n",
             b"languages: [no]", b"seed: 0x1F", b"corpus: {path: ", b"1" * 5000, b".nan", b"scale: tiny",
             *(f"kind: {kind}\n".encode() for kind in KINDS))  # fmt: skip

    def make(self):
        recipes = Path(__file__).parents[1] / "recipes"
        head = {"name": "x", "languages": ["es", "fr"]}
        text = b"name: x\nlanguages: [es, fr]\ncorpus: {reader: plain, path: data}\noptimize: {floors: {es: 0.1}}\n"
        sections = StudyConfig(**head).model_dump(mode="json").items()
        whole = [json.dumps(head | {name: section}).encode() for name, section in sections if isinstance(section, dict)]
        experiments = [{"kind": kind, **head} for kind in KINDS]
        return [
            text,
            text + b"scales: {tiny: {seed: 3}}\nscale: tiny\n",
            (recipes / "quickstart.yaml").read_bytes().partition(b"\ntokens:")[0],
            *whole,
            *(json.dumps(one).encode() for one in experiments),
        ]

    def read(self, data):
        path = self.folder / "study.yaml"
        path.write_bytes(data)
        kind = str(read_yaml(path).get("kind", "mixture"))
        return KINDS.find(kind, where=path)().load(path)


class RunsTable(Hostile):
    """One wide table, or two with ``---`` between them."""

    words = (
        b"---\n",
        b"nan",
        b"inf",
        b"-",
        b",",
        b"\n",
        b'"',
        b"\r",
        b"p/es",
        b"loss/es",
        b"p/",
        b"1e308",
        b"run",
        b"D",
        b"seed",
        b"x" * 300,
    )

    def make(self):
        rows = "".join(
            f"r{i},{1e6 * (i + 1):g},1e8,{i},{i / 4},{1 - i / 4},{3 - i / 9},{2 + i / 7}\n" for i in range(4)
        )
        head = "run,N,D,seed,p/es,p/fr,loss/es,loss/fr\n"
        two = "run,train/es,train/fr\na,0.5,0.5\nb,1,0\n---\nrun,loss/es,loss/fr\na,2,3\nb,3,2\n"
        return [(head + rows).encode(), head.encode(), two.encode()]

    def read(self, data):
        first, between, second = data.partition(b"\n---\n")
        path, losses = self.folder / "runs.csv", self.folder / "losses.csv"
        path.write_bytes(first)
        if not between:
            return read_runs(path)
        losses.write_bytes(second)
        return read_runs(path, mixtures=path, losses=losses)


class Corpus(Hostile):
    reader: str
    name: str
    settings: ClassVar[dict] = {}

    def read(self, data):
        """One file: by itself, and every so often as the only one of a corpus, which takes ten times as long."""
        path = self.folder / self.name
        if not hasattr(self, "corpus"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            config = CorpusConfig(reader=self.reader, path=str(self.folder), **self.settings)
            self.corpus, self.number = open_reader(config, ["spa_Latn"], self.folder), 0
        path.write_bytes(data)
        self.number += 1
        if self.number % 32 == 0:
            reader = open_reader(self.corpus.config, ["spa_Latn"], self.folder)
            return sum(document.bytes for document in reader.documents("spa_Latn"))
        return self.one(path)

    def one(self, path):
        return list(self.corpus._read("", path, "spa_Latn", ReadTally()))


class JsonLines(Corpus):
    reader, name, settings = "jsonl", "all.jsonl", {"language_field": "lang", "id_field": "id"}
    words = (
        b'"\\ud800"',
        b"[" * 3000,
        b"NaN",
        b"1" * 4400,
        b'{"text":',
        b"}",
        b"\\u0000",
        b"\xef\xbb\xbf",
        b"null",
        b"\r\n",
    )

    def make(self):
        row = '{"text": "Hola, ¿qué tal?", "lang": "es", "id": 7}\n'
        return [(row * 2).encode(), row.replace("es", "fr").encode(), (row * 3).replace("\n", "\r\n").encode()]

    def tree(self, data):
        lines = data.split(b"\n")
        at = zlib.crc32(data) % len(lines)
        return parsed(lines[at], lambda value: b"\n".join([*lines[:at], json.dumps(value).encode(), *lines[at + 1 :]]))


class Rows(Hostile):
    """A table of rows with labels, in one of several formats: the first byte modulo their number says which."""

    endings: tuple[str, ...] = ("jsonl", "json", "csv", "tsv", "jsonl.gz", "csv.zst", "parquet", "none")
    words = (
        b'"', b'""', b"\t", b",", b"\r", b"\r\n", b"\xe2\x80\xa8", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1f\x8b\x08", b"PAR1", b"[", b"{" * 200,
        b"9" * 4400, b"NaN", b"1e999", b"null", b"und", b"__label__es", b'["es", "ru"]', b"\\ud800", b"sep=;", b"metadata", b'"lang":',
        b"\x00", b"\x00" * 40,
    )  # fmt: skip

    def make(self):
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = [
            {"text": "Hola, ¿qué tal?", "lang": "es", "id": "7", "language": "es", "label": "x"},
            {"text": 'dijo "no"\u2028y ya', "lang": "und", "id": "007", "language": "ru", "label": "y"},
        ]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        array = json.dumps(rows, indent=1).encode()
        tables = {}
        for name, separator in (("csv", ","), ("tsv", "\t")):
            out = io.StringIO(newline="")
            writer = csv.DictWriter(out, list(rows[0]), delimiter=separator)
            writer.writeheader()
            writer.writerows(rows)
            tables[name] = out.getvalue().encode()
        pq.write_table(pa.Table.from_pylist(rows), self.folder / "seed.parquet")
        press = zstandard.ZstdCompressor().compress
        sound = (lines, array, tables["csv"], tables["tsv"], gzip.compress(lines, mtime=0), press(tables["csv"]),
                 (self.folder / "seed.parquet").read_bytes(), lines)  # fmt: skip
        return [bytes([number]) + data for number, data in enumerate(sound)]

    def tree(self, data):
        if not data or data[0] % len(self.endings) not in (0, 1, 7):
            return None
        return parsed(data[1:], lambda value: data[:1] + json.dumps(value).encode())

    def path(self, data):
        ending = self.endings[data[0] % len(self.endings) if data else 0]
        path = self.folder / (f"all.{ending}" if ending != "none" else "all")
        path.write_bytes(data[1:])
        return path

    def read(self, data):
        """Rows in no language and in the one that is asked for: all are read or counted."""
        path, tally = self.path(data), ReadTally()
        config = CorpusConfig(reader="files", path=str(path), language_field="lang", id_field="id")
        reader = open_reader(config, ["spa_Latn"], self.folder)
        documents = list(reader.documents("spa_Latn", tally=tally))
        assert tally.rows == tally.read + tally.left_out.total() == len(documents) + tally.left_out.total()
        return documents


class TextsTable(Rows):
    """Texts that a classifier is tuned on."""

    def read(self, data):
        from glotmix.attribution.texts import read_texts

        return read_texts(self.path(data))


class Chats(Rows):
    """Conversations: the second byte says in which format."""

    sources = ("chat", "sharegpt", "mgsm", "mcot_math", "aya_dolly", "xlsum")

    def make(self):
        turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
        said = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
        rows = [
            {"id": 1, "messages": turns, "conversations": said, "question": "q", "answer": 1.50, "inputs": "q"},
            {"id": None, "lang": "es", "prompt": "q", "completion": "a", "text": "t", "summary": "s", "targets": "a"},
        ]
        every = {name: value for row in rows for name, value in row.items()}
        lines = "".join(json.dumps({**every, "id": number}) + "\n" for number in range(2)).encode()
        found = [bytes([0, number]) + lines for number in range(len(self.sources))]
        return [
            *found,
            b"\3\2q\t18\nr\t1,200\n",
            b"\4\0" + gzip.compress(lines, mtime=0),
            b"\1\3[" + lines.split(b"\n")[0] + b"]",
        ]

    def read(self, data):
        source = self.sources[data[1] % len(self.sources) if len(data) > 1 else 0]
        path = self.path(data[:1] + data[2:])
        config = SourceConfig(source=source, path=str(path))
        return read_all(config, "mathematics", ("spa_Latn",), self.folder)

    def tree(self, data):
        return None if not data or data[0] % 8 else parsed(data[2:], lambda v: data[:2] + json.dumps(v).encode())


class Roff(Corpus):
    reader, name = "manpages", "es/man1/ls.1"

    def one(self, path):
        return [is_english(text) for text in self.corpus._stripped(path)]

    words = (b".SH ", b".if n \\{", b".el ", b"\\}", b".de xx\n", b"..\n", b"\\*(xx", b".ds xx \\*(xx\\*(xx\n", b"\\f[", b"\\N'99999999999'",
             b"\\[u110000]", b"\\h'", b".so ../../etc/passwd\n", b".TS\n", b'.\\"', b"\\\n", b'" coding: rot13', b".Fl ", b".Op Oo Dq ",
             b"\\(e", b".while n ", b"'\\\" -*- coding: utf-7 -*-\n", b"\\o'", b"\\C'")  # fmt: skip

    def make(self):
        page = (
            '.\\" coding: utf-8\n.TH LS 1\n.SH NOMBRE\nls \\- lista \\fBdirectorios\\fP\n.ds xx hola\n.if n \\{\\\n\\*(xx\n.\\}\n'
            + ".PP\nMuestra información acerca de los ficheros \\(em por omisión, del directorio actual.\n" * 4
            + ".Nm ls\n.Op Fl a Ar file\n.IP \\(bu 4\nuno\n.TS\nx\n.TE\n"
        )
        return [page.encode(), page.encode("latin-1", "replace")]


class Shards(Hostile):
    """The four files that describe a store: which one the bytes replace is their first byte modulo four."""

    words = (b'"|O"', b'"<u8"', b"../../x", b"1e400", b"-1", b"null", b"{}", b"[]", b'"bytes"', b"PAR1", b'"<u2"')
    files = ("artifact.json", "store.json", "spa_Latn.train.parquet", "spa_Latn.train.bin")

    def make(self):
        import pyarrow.parquet as pq

        from glotmix.artifact import creating, write_json
        from glotmix.tokens.joining import INDEX

        self.store = self.folder / "tokens"
        sides = {side: {"documents": 1, "tokens": 4, "bytes": 9, "words": 2} for side in ("train", "held_out")}
        summary = {
            "vocab_size": 300,
            "end_of_document": 0,
            "dtype": "<u2",
            "tokenizer": "x",
            "languages": {"spa_Latn": sides},
        }
        with creating(self.store, "tokens", {"languages": ["spa_Latn"]}) as part:
            write_json(part / "store.json", summary)
            for side in sides:
                np.array([5, 6, 299, 0], "<u2").tofile(part / f"spa_Latn.{side}.bin")
                row = {"id": ["a#1"], "offset": [0], "length": [4], "bytes": [9], "words": [2]}
                pq.write_table(pl.DataFrame(row).to_arrow().cast(INDEX), part / f"spa_Latn.{side}.parquet")
        self.sound = {name: (self.store / name).read_bytes() for name in self.files}
        self.changed = set()
        return [bytes([number]) + self.sound[name] for number, name in enumerate(self.files)]

    def tree(self, data):
        return parsed(data[1:], lambda value: data[:1] + json.dumps(value).encode()) if data[:1] in b"\0\1" else None

    def read(self, data):
        """Checksums are made to fit: a stranger would do that too."""
        for name in self.changed:
            (self.store / name).write_bytes(self.sound[name])
        name = self.files[data[0] % 4 if data else 0]
        self.changed = {name, "artifact.json"}
        path = self.store / name
        path.write_bytes(data[1:])
        if name != "artifact.json":
            manifest = json.loads(self.sound["artifact.json"])
            manifest["files"][name] = {"bytes": path.stat().st_size, "sha256": checksum(path)}
            (self.store / "artifact.json").write_text(json.dumps(manifest))
        store = open_store(self.store)
        for language in store.languages:
            store.train(language), store.held_out(language), store.documents(language, "train")
            store.unigram_bits_per_byte(language), store.uniform_bits_per_byte(language)
            store.unique_tokens(language), store.totals(language, "train")


class Tokenised(Hostile):
    """Files of data that is tokenised already: which one the bytes replace is their first byte modulo their number.

    Files are read by themselves, and every so often by the reader of a study, which takes ten times as long."""

    words = (b"pkl", b"pickle", b'"ndarray"', b"ndarray:int32:2,2", b"../../x", b"1e400", b"-1", b"null", b"{}", b"[]",
             b"no_header_tensor:17", b"MMIDIDX", b"\x93NUMPY", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x28\xb5\x2f\xfd")  # fmt: skip
    files = (
        *(("mds", "mds-documents", name) for name in ("index.json", "shard.00000.mds")),
        *(("mds", "mds-columns", name) for name in ("index.json", "shard.00000.mds")),
        *(("mds", "mds-zstd", name) for name in ("index.json", "shard.00000.mds.zstd")),
        *(("litdata", "litdata-documents", name) for name in ("index.json", "chunk-0-0.bin")),
        *(("litdata", "litdata-tree", name) for name in ("index.json", "chunk-0-0.bin")),
        *(("megatron", "megatron", name) for name in ("x.idx", "x.bin")),
        ("token_arrays", "flat", "x.npy"),
    )
    """Reader, folder and name of each."""

    def make(self):
        shards = Path(__file__).parent / "tokens" / "shards"
        self.settings = {"tokenizer": str(shards / "tokenizer.json")}
        for folder in {folder for _, folder, _ in self.files}:
            if (shards / folder).is_dir():
                shutil.copytree(shards / folder, self.folder / folder, dirs_exist_ok=True)
            else:
                (self.folder / folder).mkdir(exist_ok=True)
        np.save(self.folder / "flat" / "x.npy", np.array([5, 6, 0, 7, 0], "<u2"))
        (self.folder / "megatron" / "x.bin").write_bytes(np.array([5, 6, 0, 7, 0], "<u2").tobytes())
        head = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 8, 2, 3)
        (self.folder / "megatron" / "x.idx").write_bytes(head + struct.pack("<2i2q3q", 3, 2, 0, 6, 0, 1, 2))
        self.sound = [(self.folder / folder / name).read_bytes() for _, folder, name in self.files]
        self.changed = self.number = 0
        return [bytes([number]) + data for number, data in enumerate(self.sound)]

    def tree(self, data):
        if not data or self.files[data[0] % len(self.files)][2] != "index.json":
            return None
        return parsed(data[1:], lambda value: data[:1] + json.dumps(value).encode())

    def place(self, number):
        return self.folder.joinpath(*self.files[number][1:])

    def read(self, data):
        self.place(self.changed).write_bytes(self.sound[self.changed])
        self.changed = (data[0] if data else 0) % len(self.files)
        self.place(self.changed).write_bytes(data[1:])
        kind, folder, _ = self.files[self.changed]
        self.number += 1
        if self.number % 32 == 1:
            config = CorpusConfig(reader=kind, sources={"x": {"path": folder}}, **self.settings)
            reader = open_reader(config, ["x"], self.folder)
            reader.counted("x")
            return sum(document.bytes for document in reader.documents("x"))
        made, endings = {**FORMATS, **SHARDED}[kind]
        read = 0
        for path in sorted((self.folder / folder).iterdir()):
            if path.name.endswith(endings):
                file = made(path, 0)
                if getattr(file, "text", False):
                    read += sum(map(len, file.texts()))
                else:
                    file.counts()
                    read += sum(map(len, file.ids()))
        return read


class Checkpoint(Hostile):
    """The two files of a checkpoint, the state in mid-run with them: the first byte modulo three says which."""

    words = (
        b'"dtype":"F64"',
        b'"shape":[',
        b'"data_offsets":[0,',
        b"__metadata__",
        b"\xff\xff\xff\xff\xff\xff\xff\x7f",
        b'"F4"',
        b"-1",
        b"1e9",
    )

    def make(self):
        from dataclasses import asdict

        from glotmix.proxy.checkpoint import save_checkpoint, save_state
        from glotmix.proxy.model import Shape
        from glotmix.proxy.stack import Stack

        self.stack = Stack(Shape(16, 1, 1, 16, 32, True, 8), [0])
        assert asdict(self.stack.shape)
        save_checkpoint(self.folder / "c", self.stack.views(self.stack.master_KP), self.stack.shape)
        save_state(self.folder / "s.state", self.stack, {"a": 1}, {"step": 3})
        self.files = [
            self.folder / "c" / "config.json",
            self.folder / "c" / "model.safetensors",
            self.folder / "s.state",
        ]
        self.sound = {path: path.read_bytes() for path in self.files}
        self.changed = self.files[0]
        return [bytes([number]) + self.sound[path] for number, path in enumerate(self.files)]

    def tree(self, data):
        """The configuration, or the header of the tensors, whose length is made to fit."""
        if data[:1] == b"\0":
            return parsed(data[1:], lambda value: data[:1] + json.dumps(value).encode())
        if len(data) < 9:
            return None
        (size,) = struct.unpack("<Q", data[1:9])

        def put(value):
            header = json.dumps(value).encode()
            return data[:1] + struct.pack("<Q", len(header)) + header + data[9 + size :]

        return parsed(data[9 : 9 + size], put)

    def read(self, data):
        from glotmix.proxy.checkpoint import load_checkpoint, load_state

        self.changed.write_bytes(self.sound[self.changed])
        path = self.changed = self.files[data[0] % 3 if data else 0]
        path.write_bytes(data[1:])
        if path.suffix == ".state":
            return load_state(path, self.stack, {"a": 1})
        return load_checkpoint(self.folder / "c")


TARGETS: dict[str, Callable[[Path], Hostile]] = {
    "study": StudyFile,
    "runs": RunsTable,
    "jsonl": JsonLines,
    "rows": Rows,
    "texts": TextsTable,
    "chat": Chats,
    "roff": Roff,
    "shards": Shards,
    "tokenised": Tokenised,
    "safetensors": Checkpoint,
    **RESULTS,
}
