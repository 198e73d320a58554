"""Writes tests/tokens/shards with the libraries' own writers, so that the readers are tested by what those write.

.venv/bin/python scripts/shards.py documents
bash scripts/exporter_envs.sh streaming litdata
.cache/exporter-envs/streaming/bin/python scripts/shards.py mds
.cache/exporter-envs/litdata/bin/python scripts/shards.py litdata
"""

import importlib.machinery
import importlib.util
import json
import random
import shutil
import sys
import types
from importlib.metadata import version
from pathlib import Path

import numpy as np

SHARDS = Path(__file__).resolve().parents[1] / "tests" / "tokens" / "shards"
DOCUMENTS = 40
BLOCK = 32
"""Ids in a block where documents are joined and cut."""


def documents():
    """Texts, a tokenizer that is trained on them, and their ids."""
    from glotmix.corpus.document import Document
    from glotmix.tokens.build import trained_on
    from glotmix.tokens.config import TokensConfig

    rng = random.Random(0)
    words = ["mto", "nyumba", "samaki", "habari", "jua", "mwezi", "kitabu", "ça", "да", "水"]
    texts = [" ".join(rng.choice(words) for _ in range(rng.randrange(5, 40))) + f" {k}" for k in range(DOCUMENTS)]
    told = {"swh": [Document(text, f"#{k}", "", "") for k, text in enumerate(texts)]}
    tokenizer = trained_on(told, TokensConfig(vocab_size=300, sample_bytes=20_000))
    SHARDS.mkdir(parents=True, exist_ok=True)
    tokenizer.save(SHARDS)
    found = {"end": tokenizer.end_of_document, "texts": texts, "ids": tokenizer.encode_batch(texts)}
    (SHARDS / "documents.json").write_text(json.dumps(found, ensure_ascii=False) + "\n")


def known():
    """Texts, ids of each, ids of each with its end, and all of these in blocks, of which the last is left out, as the
    tools do it."""
    told = json.loads((SHARDS / "documents.json").read_text())
    ended = [[*ids, told["end"]] for ids in told["ids"]]
    flat = [one for ids in ended for one in ids]
    blocks = [flat[k : k + BLOCK] for k in range(0, len(flat) - BLOCK + 1, BLOCK)]
    return told["texts"], told["ids"], ended, blocks


def fresh(name):
    """An empty folder."""
    shutil.rmtree(SHARDS / name, ignore_errors=True)
    return SHARDS / name


class NoVision(types.ModuleType):
    """A module in which everything is an empty class: the library imports torchvision, for pictures."""

    def __init__(self, name):
        super().__init__(name)
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def mds():
    """Every way in which ids and text get into MDS."""
    if importlib.util.find_spec("torchvision") is None:
        names = ("", ".datasets", ".transforms", ".transforms.functional")
        sys.modules.update({f"torchvision{name}": NoVision(f"torchvision{name}") for name in names})
    from streaming import MDSWriter

    texts, ids, ended, blocks = known()

    def write(name, columns, rows, **more):
        with MDSWriter(out=str(fresh(name)), columns=columns, size_limit=3000, **more) as writer:
            for row in rows:
                writer.write(row)

    write("mds-documents", {"tokens": "ndarray:int32"}, [{"tokens": np.array(one, np.int32)} for one in ended])
    write("mds-no-ends", {"tokens": "ndarray:uint16"}, [{"tokens": np.array(one, np.uint16)} for one in ids])
    write("mds-blocks", {"tokens": f"ndarray:uint16:{BLOCK}"}, [{"tokens": np.array(b, np.uint16)} for b in blocks])
    write("mds-foundry", {"tokens": "bytes"}, [{"tokens": np.array(b, np.int64).tobytes()} for b in blocks])
    columns = {"id": "int", "input_ids": "ndarray:int64", "text": "str"}
    rows = [
        {"id": k, "input_ids": np.array(one, np.int64), "text": text}
        for k, (one, text) in enumerate(zip(ended, texts, strict=True))
    ]
    write("mds-columns", columns, rows)
    for packing in ("zstd", "gz"):
        columns = {"n": "int32", "tokens": "ndarray:uint32"}
        rows = [{"n": k, "tokens": np.array(one, np.uint32)} for k, one in enumerate(ended)]
        write(f"mds-{packing}", columns, rows, compression=packing, hashes=["sha1"])
    write("mds-text", {"text": "str"}, [{"text": one} for one in texts])
    write("mds-pickle", {"tokens": "pkl"}, [{"tokens": one} for one in ids[:3]])
    (SHARDS / "mds.txt").write_text(f"mosaicml-streaming {version('mosaicml-streaming')}\n")


def litdata():
    """Every way in which ids and text get into litdata's chunks."""
    import torch
    from litdata import TokensLoader
    from litdata.streaming.writer import BinaryWriter

    texts, ids, ended, blocks = known()

    def write(name, items, **more):
        writer = BinaryWriter(str(fresh(name)), chunk_size=more.pop("chunk_size", 300), **more)
        for number, item in enumerate(items):
            writer[number] = item
        writer.done()
        writer.merge()

    write("litdata-documents", [torch.tensor(one, dtype=torch.int32) for one in ended], item_loader=TokensLoader())
    write("litdata-no-ends", [np.array(one, np.uint16) for one in ids], item_loader=TokensLoader())
    write("litdata-blocks", [torch.tensor(one, dtype=torch.int16) for one in blocks], item_loader=TokensLoader())
    write("litdata-tree", [torch.tensor(one) for one in ended], chunk_size=16)
    write(
        "litdata-zstd", [np.array(one, np.int32) for one in ended], item_loader=TokensLoader(), compression="zstd",
        compression_level="chunk",
    )  # fmt: skip
    write("litdata-text", texts, chunk_size=16)
    write("litdata-framed", [torch.tensor(one) for one in ended[:4]], chunk_size=16, compression="zstd")
    write("litdata-pickle", [{"ids": {1, 2}} for _ in range(3)], chunk_size=16)
    (SHARDS / "litdata.txt").write_text(f"litdata {version('litdata')}\n")


if __name__ == "__main__":
    {"documents": documents, "mds": mds, "litdata": litdata}[sys.argv[1]]()
