"""The section `corpus` of a study: where the text comes from."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from glotmix.config import Section
from glotmix.corpus.readers import READERS
from glotmix.errors import BadInput
from glotmix.language import Language
from glotmix.source import named_twice, source_name

ALL = "."
"""Path of a source that is all of what lies at ``corpus.path``."""
GLOB = frozenset("*?[")
"""Characters that make a path a pattern."""


class CorpusSource(Section):
    """One source: a part of the data that has a share of its own. What is not given is as in the section ``corpus``."""

    language: str | None = None
    """Language of its text, in any spelling; none for code and the like."""
    group: str | None = None
    """Group that it belongs to, such as its domain: a player of its own, with limits of its own."""
    path: str | None = None
    """Directory, file or pattern of files, relative to the study file; default: ``<name>/**`` or ``<name>.<ending>`` in
    ``corpus.path``."""
    of: dict[str, float] | list[str] | None = None
    """Other sources or languages whose text it is a mixture of, in place of a path: their documents in turn, in the
    shares told (of bytes; it ends with the first that ends), or all there are. A ``replay`` of what was read before."""
    hub: str | None = None
    """Name of a data set on the Hugging Face hub, in place of ``path``."""
    subset: str | None = None
    """Configuration of that data set; of the embedded corpus, the kinds of documents (``weather train``)."""
    reader: Annotated[str, READERS.known] | None = None
    """Format of its text."""
    tokenizer: str | None = None
    """Tokenizer that made it, where it is tokenised already."""
    text_field: str | None = None
    """Field or column with the text."""
    language_field: str | None = None
    """Field or column with the language; rows in another language than the source's are left out."""
    id_field: str | None = None
    """Field or column with a document id."""
    split: str | None = None
    """Split of a hub data set."""
    encoding: str | None = None
    """Encoding of text files without a byte order mark."""
    errors: Literal["strict", "replace"] | None = None
    """What to do with bytes that are not text."""
    prompt_field: str | None = None
    """Of a target: field with what comes before the text, which is then measured given it. Of pairs: field with the
    sentence of which ``text_field`` is the translation."""
    translates: str | None = None
    """Of pairs in two files: the file whose lines those of ``path`` translate, relative to the study file. Of the
    embedded corpus: the language whose sentences those of ``language`` translate."""
    seed: int | None = None
    """Seed of the embedded corpus."""
    measured: Literal["part", "all"] = "part"
    """``all`` for a target, of which nothing is trained on; else the share ``held_out``."""
    tokens: float | None = Field(None, gt=0)
    """Unique tokens U of it that the target run has, where what is read here is only a sample."""
    tokens_per_document: float | None = Field(None, gt=0)
    """Mean tokens of a document of it that the target run has; counted here where it is not given."""

    @field_validator("group")
    @classmethod
    def _group(cls, text: str | None) -> str | None:
        try:
            return None if text is None else source_name(text)
        except BadInput as error:
            raise ValueError(str(error)) from None

    @field_validator("language")
    @classmethod
    def _tag(cls, text: str | None) -> str | None:
        if text is None:
            return None
        try:
            return Language.resolve(text).tag
        except BadInput as error:  # pydantic adds the field, the caller the file
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _one_place(self) -> CorpusSource:
        if self.path is not None and (self.hub or self.subset) is not None:
            raise ValueError("path and hub at once; give one of them" if self.hub else "subset is of a hub data set")
        if self.of is not None:
            if self.path is not None or self.hub is not None or self.reader is not None:
                raise ValueError("of and a place of its own at once; give one of them")
            if not self.of or not all(0 < share < float("inf") for share in self.parts.values()):
                raise ValueError("of: expected names, or names to shares above 0")
        return self

    @property
    def parts(self) -> dict[str, float]:
        """What it is a mixture of, with shares; all alike where none are told, and nothing where it is none."""
        return dict(self.of) if isinstance(self.of, dict) else dict.fromkeys(self.of or (), 1.0)


class CorpusConfig(Section):
    """Where the text comes from."""

    reader: Annotated[str, READERS.known] = "embedded"
    """Format of the corpus; ``embedded`` needs no files, ``files`` reads text, JSON, CSV, TSV and Parquet by their
    endings, ``plain``, ``jsonl``, ``csv`` and ``parquet`` one of these alone; ``pairs`` reads sentences with their
    translations, for comparisons of methods. Data that is tokenised already:
    ``megatron`` (``.bin`` with ``.idx``), ``token_tables`` (``input_ids`` in Parquet or Arrow), ``token_arrays``, and
    the shards of MosaicML Streaming (``mds``) and ``litdata``, which may hold text as well."""
    path: str | None = None
    """Directory or file of the corpus; for ``hub`` the name of the data set. Relative to the study file."""
    sources: dict[str, str | CorpusSource] = Field(default_factory=dict)
    """Language tag to its own directory, file pattern, or hub configuration, where the layout does not tell. What the
    section ``sources`` of a study describes is kept here as well."""
    text_field: str = "text"
    """Field or column with the text (JSON, CSV, Parquet, hub); ``metadata.text`` for one inside another."""
    language_field: str | None = None
    """Field or column with the language, when one file holds several: a tag in any spelling, an English name, or a list
    of one. Rows without one, or labelled ``und`` and the like, are left out and counted."""
    prompt_field: str | None = None
    """Field or column with what comes before the text and is not measured; only targets and pairs have one."""
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
    near_duplicates: float | None = Field(None, gt=0, le=1)
    """Leave out training documents that have at least this share of their runs of words in common with a held-out one
    of any source (MinHash; extra ``near``); 0.7 is usual. Default: texts that are the same alone."""
    tokenizer: str | None = None
    """Tokenizer that made data that is tokenised already."""
    drop_untranslated: bool = True
    """Man pages: leave out paragraphs that were left in English. Pairs: leave out those that are the same on both
    sides."""
    seed: int = 0
    """Seed of the embedded corpus."""

    @model_validator(mode="after")
    def _names(self) -> CorpusConfig:
        for name in self.described:
            try:
                kept = source_name(name)
            except BadInput as error:
                raise ValueError(f"sources: {error}") from None
            if kept != name:
                raise ValueError(f"sources: {name!r} is to be written {kept!r}")
            own = self.described[name]
            if own.prompt_field is not None and not self.is_target(name) and not self.is_pairs(name):
                raise ValueError(f"sources.{name}.prompt_field: only targets and pairs have prompts")
            if own.translates is not None and (reader := own.reader or self.reader) not in ("pairs", "embedded"):
                raise ValueError(f"sources.{name}.translates: reader is {reader}, expected pairs or embedded")
        if self.prompt_field is not None and self.reader != "pairs":
            raise ValueError("prompt_field: only targets and pairs have prompts; say it there")
        if twins := named_twice(self.described):
            raise ValueError(f"sources: {' and '.join(twins)} are one name")
        return self

    @property
    def described(self) -> dict[str, CorpusSource]:
        """Sources that are more than a language, by name."""
        return {name: one for name, one in self.sources.items() if isinstance(one, CorpusSource)}

    def named(self, text: str) -> str:
        """The name that a source or language has in a study: its own, or the language's tag.

        Raises:
            BadInput: it is neither.
        """
        return text if text in self.described else Language.resolve(text).tag

    def tag(self, name: str) -> str:
        """Tag of a source's language; "" where it has none."""
        source = self.described.get(name)
        return name if source is None else source.language or ""

    def grouped(self, name: str, by: Literal["group", "language", "family"]) -> str:
        """The group that a source is in, or its language's tag or family; "" where it has none."""
        if by == "group":
            source = self.described.get(name)
            return (source and source.group) or ""
        tag = self.tag(name)
        return tag if by == "language" or not tag else Language.resolve(tag).family

    def places(self) -> dict[str, str]:
        """Source or language to its own directory, pattern or configuration, where it has one."""
        told = {self.named(name): one if isinstance(one, str) else one.path for name, one in self.sources.items()}
        return {name: place for name, place in told.items() if place is not None}

    def is_target(self, name: str) -> bool:
        """Whether all of a source is measured, and nothing trained on."""
        source = self.described.get(name)
        return source is not None and source.measured == "all"

    def is_pairs(self, name: str) -> bool:
        """Whether a source is parallel text, of which only the translations are learnt."""
        source = self.described.get(name)
        if source is not None and source.translates is not None:
            return True
        return ((source and source.reader) or self.reader) == "pairs"

    def is_blend_of(self, name: str, part: str) -> bool:
        """Whether a source is a mixture of another one, whose text it then shares."""
        source = self.described.get(name)
        return source is not None and part in map(self.named, source.parts)

    def has_place(self, name: str) -> bool:
        """Whether a source says itself where it lies, and is not looked for in ``path``."""
        source = self.described.get(name)
        return source is not None and (source.path or source.hub or source.of) is not None

    def alone(self, *names: str) -> CorpusConfig:
        """This section as a reader of these sources, which are read alike, needs it: their own fields and place in the
        stead of those here, and no word of sources that lie elsewhere."""
        own: dict[str, object] = {}
        sources = {name: one for name, one in self.sources.items() if not self.has_place(name)}
        for name in names:
            if (source := self.described.get(name)) is None:
                continue
            own = {key: value for key in _READING if (value := getattr(source, key)) is not None}
            if not source.language:
                own["language_field"] = None  # nothing to look for in it
            if source.hub is not None:
                own |= {"reader": "hub", "path": source.hub}
                source = source.model_copy(update={"path": source.subset})
            elif source.subset is not None:
                source = source.model_copy(update={"path": source.subset})
            elif source.path is not None:
                own["path"], pattern = _root_of(source.path)
                source = source.model_copy(update={"path": pattern})
            sources[name] = source
        if isinstance(limits := self.bytes_per_language, dict):
            elsewhere = set(self.described) - set(sources)
            own["bytes_per_language"] = {name: limit for name, limit in limits.items() if name not in elsewhere}
        return self.model_copy(update={**own, "sources": sources})


_READING = (
    "reader",
    "tokenizer",
    "text_field",
    "prompt_field",
    "language_field",
    "id_field",
    "split",
    "encoding",
    "errors",
    "seed",
)
"""Fields of a source that stand in place of the corpus's own."""


def _root_of(path: str) -> tuple[str, str]:
    """A directory or file, and the pattern inside it; ``ALL`` where there is none."""
    if not GLOB & set(path):
        return path, ALL
    scheme, mark, rest = path.rpartition("://")
    parts = PurePosixPath(rest).parts
    first = next(k for k, part in enumerate(parts) if GLOB & set(part))
    root = str(PurePosixPath(*parts[:first])) if first else "."
    return scheme + mark + root, str(PurePosixPath(*parts[first:]))
