"""S3, as s3fs speaks it to moto's server on this machine: a corpus is read from it, a study's results go there and back.

Needs ``pip install s3fs moto[server]``, which the development tools do not bring.
"""

import uuid

import pytest

from glotmix.artifact import checksum, creating
from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.study.mirror import Mirror
from glotmix.tokens.build import build_store
from glotmix.tokens.config import TokensConfig

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

LINES = "".join(f'{{"text": "hola número {k}, dice el viento"}}\n' for k in range(300)).encode()


@pytest.fixture
def bucket(monkeypatch):
    s3fs, moto_server = pytest.importorskip("s3fs"), pytest.importorskip("moto.server")
    server = moto_server.ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    store = s3fs.S3FileSystem(skip_instance_cache=True)
    store.root = uuid.uuid4().hex
    store.mkdir(store.root)
    yield store
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_a_corpus_in_a_bucket_becomes_the_same_store(bucket, tmp_path):
    (tmp_path / "corpus" / "es").mkdir(parents=True)
    (tmp_path / "corpus" / "es" / "a.jsonl").write_bytes(LINES)
    bucket.pipe_file(f"{bucket.root}/corpus/es/a.jsonl", LINES)
    config = TokensConfig(vocab_size=300, sample_bytes=3000, held_out_tokens=1000)
    stores = []
    for name, path in (("here", str(tmp_path / "corpus")), ("there", f"s3://{bucket.root}/corpus")):
        reader = open_reader(CorpusConfig(reader="jsonl", path=path), ["spa_Latn"], tmp_path)
        stores.append(build_store(tmp_path / name, reader, ["spa_Latn"], config, 0.2))
    assert stores[0].fingerprint == stores[1].fingerprint
    assert stores[0].train("spa_Latn").tobytes() == stores[1].train("spa_Latn").tobytes()


def test_what_one_machine_finished_the_next_one_finds(bucket, tmp_path):
    here, there, url = tmp_path / "here", tmp_path / "there", f"s3://{bucket.root}/study"
    for name in ("tokens", "runs/a", "runs/b"):
        with creating(here / name, "run", {"name": name}) as part:
            (part / "run.json").write_text(name * 1000)
    assert Mirror(url, here, print).push() == ["tokens", "runs/a", "runs/b"]
    bucket.rm(f"{bucket.root}/study/runs/b/artifact.json")  # as if the machine had been taken away while it sent
    assert Mirror(url, there, print).pull() == ["runs/a", "tokens"]
    assert checksum(there / "runs/a/run.json") == checksum(here / "runs/a/run.json")
    assert Mirror(url, here, print).push() == ["runs/b"]
    assert Mirror(url, there, print).pull() == ["runs/b"]
