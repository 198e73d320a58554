"""The section `corpus` of a study: where the text comes from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from glotmix.config import Section
from glotmix.corpus.readers import READERS


class CorpusConfig(Section):
    """Where the text comes from."""

    reader: Annotated[str, READERS.known] = "embedded"
    """Format of the corpus; ``embedded`` needs no files, ``files`` reads text, JSON, CSV, TSV and Parquet by their
    endings, ``plain``, ``jsonl``, ``csv`` and ``parquet`` one of these alone."""
    path: str | None = None
    """Directory or file of the corpus; for ``hub`` the name of the data set. Relative to the study file."""
    sources: dict[str, str] = Field(default_factory=dict)
    """Language tag to its own directory, file pattern, or hub configuration, where the layout does not tell."""
    text_field: str = "text"
    """Field or column with the text (JSON, CSV, Parquet, hub); ``metadata.text`` for one inside another."""
    language_field: str | None = None
    """Field or column with the language, when one file holds several: a tag in any spelling, an English name, or a list
    of one. Rows without one, or labelled ``und`` and the like, are left out and counted."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Label to the language it means, where it is not a language's name or tag; ``und`` leaves its rows out."""
    id_field: str | None = None
    """Field or column with a document id; parallel documents share ids. Default: the document's place in the file."""
    split: str = "train"
    """Split of a hub data set."""
    bytes_per_language: int | dict[str, int] | None = None
    """Stop reading a language after so many bytes of text; for ``embedded`` the amount to generate."""
    errors: Literal["strict", "replace"] = "strict"
    """What to do with bytes that are not text: stop with file and offset, or put U+FFFD in their place."""
    encoding: str | None = None
    """Encoding of text files without a byte order mark (``cp1252``, ``gbk``); default UTF-8."""
    held_out: float = Field(0.05, gt=0, lt=0.5)
    """Share of documents, chosen by a hash of their id, that is measured on and never trained on."""
    drop_untranslated: bool = True
    """Man pages: leave out paragraphs that were left in English."""
    seed: int = 0
    """Seed of the embedded corpus."""
