"""Formats of corpora, one per file; :func:`open_reader` chooses."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import Reader

READERS = {
    "files": "files:FilesReader",
    "plain": "files:FilesReader",
    "jsonl": "files:FilesReader",
    "csv": "files:FilesReader",
    "parquet": "files:FilesReader",
    "manpages": "manpages:ManPagesReader",
    "hub": "hub:HubReader",
    "embedded": "embedded:EmbeddedReader",
}
"""Name in the configuration → module and class. Imported when asked for: some need large libraries."""


def open_reader(config: CorpusConfig, languages: Sequence[str], base: Path) -> Reader:
    """The reader that ``config.reader`` names.

    Args:
        config: the ``corpus`` section of a study.
        languages: tags that will be read.
        base: directory that ``config.path`` is relative to (that of the study file).

    Raises:
        BadInput: the corpus is not there, or the reader cannot give one of the languages.
    """
    module, _, name = READERS[config.reader].partition(":")
    reader: Reader = getattr(import_module(f"glotmix.corpus.readers.{module}"), name)(config, languages, base)
    return reader
