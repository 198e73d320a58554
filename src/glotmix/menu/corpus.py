"""The menu: the text of a corpus, as a study would read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from glotmix.config import checked
from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.document import Document
from glotmix.corpus.readers.reader import open_reader
from glotmix.language import Language
from glotmix.menu.sources import PathLike


def documents(
    language: str, *, reader: str = "files", path: PathLike | None = None, **fields: Any
) -> Iterator[Document]:
    """The documents of one language, one after the other: what a study with this corpus would read.

    Args:
        language: tag ("swh_Latn"; "sw" and "swh" resolve).
        reader: format of the corpus: ``"files"`` (text, JSON, CSV, TSV, Parquet), ``"manpages"``, ``"hub"``, or
            ``"embedded"``, a small parallel corpus that needs no files.
        path: directory or file of the corpus; for ``"hub"`` the name of the data set.
        fields: further ones of a study's section ``corpus``: ``text_field``, ``language_field``, ``sources``,
            ``bytes_per_language``, ...

    Raises:
        BadInput: the corpus is not there, or has nothing in that language; the message names the place.
    """
    tag = Language.resolve(language).tag
    given = {"reader": reader, **({} if path is None else {"path": str(path)}), **fields}
    return iter(open_reader(checked(CorpusConfig, given, where="documents"), [tag], Path()).documents(tag))
