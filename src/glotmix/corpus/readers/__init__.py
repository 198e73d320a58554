"""Formats of corpora, one per file; :func:`glotmix.corpus.readers.reader.open_reader` chooses."""

from __future__ import annotations

from glotmix.registry import Registry, moved

READERS = Registry(
    "reader",
    {
        "embedded": "glotmix.corpus.readers.embedded:EmbeddedReader",
        "files": "glotmix.corpus.readers.files:FilesReader",
        "plain": "glotmix.corpus.readers.files:FilesReader",
        "jsonl": "glotmix.corpus.readers.files:FilesReader",
        "csv": "glotmix.corpus.readers.files:FilesReader",
        "parquet": "glotmix.corpus.readers.files:FilesReader",
        "pairs": "glotmix.corpus.readers.pairs:PairsReader",
        "manpages": "glotmix.corpus.readers.manpages:ManPagesReader",
        "megatron": "glotmix.tokens.prepared_reader:PreparedReader",
        "token_tables": "glotmix.tokens.prepared_reader:PreparedReader",
        "token_arrays": "glotmix.tokens.prepared_reader:PreparedReader",
        "mds": "glotmix.tokens.prepared_reader:ShardReader",
        "litdata": "glotmix.tokens.prepared_reader:ShardReader",
        "hub": "glotmix.corpus.readers.hub:HubReader",
    },
)
"""Name in the configuration to the class; imported when asked for, as some need large libraries."""
__getattr__ = moved({"open_reader": "glotmix.corpus.readers.reader:open_reader"})
"""It stands beside the readers' base class since 0.3; the old name goes with 0.4."""
