"""A corpus in an object store is read as one on the disk is, compressed or not, and tokenised to the same store."""

import gzip
import uuid

import pytest

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.errors import BadInput
from glotmix.reading import streams
from glotmix.tokens.build import build_store
from glotmix.tokens.config import TokensConfig

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("upath")

LINES = "".join(f'{{"text": "hola número {k}, dice el viento"}}\n' for k in range(300)).encode()


@pytest.fixture
def places(tmp_path):
    """The same three files on the disk and in fsspec's memory, as ``corpus.path``."""
    url = f"memory://{uuid.uuid4().hex}"
    store = fsspec.filesystem("memory")
    files = {"es/a.jsonl": LINES, "es/sub/b.jsonl.gz": gzip.compress(LINES.replace(b"hola", b"agua"), mtime=0)}
    for name, data in files.items():
        (tmp_path / "corpus" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "corpus" / name).write_bytes(data)
        store.pipe_file(f"{url.removeprefix('memory://')}/{name}", data)
    return str(tmp_path / "corpus"), url


def test_documents_and_fingerprints_are_the_same(places, tmp_path):
    here, there = (open_reader(CorpusConfig(reader="jsonl", path=path), ["spa_Latn"], tmp_path) for path in places)
    assert [(d.id, d.text) for d in there.documents("spa_Latn")] == [(d.id, d.text) for d in here.documents("spa_Latn")]
    assert there.inputs() == here.inputs()
    assert "memory" in next(there.documents("spa_Latn")).place


def test_files_that_do_not_read_lines_by_themselves_are_read_too(places, tmp_path, monkeypatch):
    """Those of S3 and its like; those of fsspec's memory are Python's own. Lines of theirs have no bound."""
    from fsspec.implementations.memory import MemoryFileSystem
    from fsspec.spec import AbstractBufferedFile

    class Remote(AbstractBufferedFile):
        def _fetch_range(self, start, end):
            return self.fs.cat_file(self.path, start, end)

    monkeypatch.setattr(MemoryFileSystem, "open", lambda self, path, mode="rb", **_: Remote(self, path, mode))
    test_documents_and_fingerprints_are_the_same(places, tmp_path)
    monkeypatch.setattr(streams, "MAX_LINE_BYTES", 10)
    with pytest.raises(BadInput, match="line too long"):
        list(open_reader(CorpusConfig(reader="jsonl", path=places[1]), ["spa_Latn"], tmp_path).documents("spa_Latn"))


def test_the_store_is_the_same(places, tmp_path):
    config = TokensConfig(vocab_size=300, sample_bytes=3000, held_out_tokens=1000)
    stores = [
        build_store(
            tmp_path / name, open_reader(CorpusConfig(reader="jsonl", path=path), ["spa_Latn"], tmp_path), ["spa_Latn"], config, 0.2
        )
        for name, path in zip(("here", "there"), places, strict=True)
    ]  # fmt: skip
    assert stores[0].fingerprint == stores[1].fingerprint
    assert stores[0].train("spa_Latn").tobytes() == stores[1].train("spa_Latn").tobytes()


@pytest.mark.parametrize("url", ["nowhere://x/y", "memory://not-there"])
def test_a_place_that_is_none_is_bad_input(tmp_path, url):
    with pytest.raises(BadInput):
        open_reader(CorpusConfig(reader="plain", path=url), ["spa_Latn"], tmp_path)
