"""Shards: every language's token ids in flat files that are mapped into memory, with an index of documents.

``<lang>.train.bin`` and ``<lang>.held_out.bin`` hold token ids, little-endian uint16 (uint32 from 65,536 ids on), each
document **followed by** ``end_of_document``. ``<lang>.<split>.parquet`` is the index: one row per document. Where a
source's name has slashes, those of its files have ``~``.

Held-out losses are bits per byte: all tokens are predicted, the ends of documents too, and the nats are divided by
``ln 2`` and by the UTF-8 bytes of the text, which hold no end-of-document bytes. So the number does not depend on the
tokenizer, and a model pays for not knowing where a text ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field

from glotmix.artifact import Artifact, open_artifact, read_json
from glotmix.corpus.overlap import TextOverlap
from glotmix.corpus.split import Side
from glotmix.errors import BadInput, Corrupt
from glotmix.reading.tally import ReadTally
from glotmix.source import file_stem
from glotmix.tokens.fidelity import Fidelity
from glotmix.tokens.joining import INDEX, PROMPTED
from glotmix.tokens.tokenizer import Tokenizer, load_tokenizer

T = TypeVar("T")
KIND, CLONES = "tokens", "clones"
SUMMARY = "store.json"
SIDES: tuple[Side, ...] = ("train", "held_out")
VERIFY_UP_TO = 1 << 28
"""Bytes of a store whose checksums are compared whenever it is opened: about a second."""
MOST_IDS = 1 << 24
"""Ids of the largest vocabulary, over which counts are held in memory; ten clones of a large tokenizer have a fifth."""
UNIGRAM_TOKENS = 1_000_000
"""Most tokens of each language that the unigram distribution is counted on."""


@dataclass(frozen=True)
class HeldOutText:
    """What a language's loss is measured on: whole documents."""

    tokens: np.ndarray
    """Token ids, [n]; every document is followed by ``end_of_document``, which is predicted too."""
    bytes: int
    """UTF-8 bytes of the documents' text, the denominator of bits per byte."""
    documents: int
    """How many documents."""
    end_of_document: int | None = None
    """Id that the text is predicted from, where it is not the store's (clones have their own)."""
    starts: np.ndarray | None = None
    """First token of every document, where each is predicted from its own prompt alone, [documents]."""
    scored: np.ndarray | None = None
    """Which tokens count, booleans [n]: those of completions, neither prompts nor ends, and of translations with their
    ends; None for all."""

    @property
    def counting(self) -> int:
        """How many tokens count."""
        return len(self.tokens) if self.scored is None else int(self.scored.sum())


class TokenStore:
    """Token ids of every language of a study, on disk. Opened by :func:`open_store`, made by :func:`build_store`."""

    text: str | None = None
    """Text that all languages are written from, where they are clones (:mod:`glotmix.tokens.clone`)."""

    def __init__(self, artifact: Artifact):
        self.directory = artifact.directory
        self._artifact = artifact
        summary = read_json(artifact.checked(SUMMARY))
        _check(summary, self.directory / SUMMARY)
        self.languages: tuple[str, ...] = tuple(summary["languages"])
        """Tags, or names of sources, in the order in which they were asked for."""
        self.vocab_size: int = summary["vocab_size"]
        """Number of token ids."""
        self.end_of_document: int = summary["end_of_document"]
        """Id that follows every document."""
        self.dtype = np.dtype(summary["dtype"])
        """Type of the ids on disk."""
        self._summary = summary
        self._open()

    def _open(self) -> None:
        """Read what else a store of this kind has."""

    @property
    def fingerprint(self) -> str:
        """Changes when corpus, tokenizer or split change."""
        return self._artifact.fingerprint

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return load_tokenizer(str(self.directory.resolve()), self.directory)

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that made the ids."""
        return self._tokenizer

    def tag(self, name: str) -> str:
        """Tag of a source's language; "" where it has none."""
        tags: dict[str, str] = self._known("tags", lambda told: {str(k): str(v) for k, v in told.items()}) or {}
        return tags.get(name, name)

    def train(self, language: str) -> np.ndarray:
        """All training tokens of a language, mapped read-only, [U]."""
        return self._ids(language, "train")

    def held_out(self, language: str) -> HeldOutText:
        """What the loss of a language is measured on."""
        side = self._summary["languages"][language]["held_out"]
        ids_N = self._ids(language, "held_out")
        prompted = self.pairs or language in self.targets
        if not prompted or "prompt" not in (index := self._index(language, "held_out")).column_names:
            return HeldOutText(ids_N, side["bytes"], side["documents"])
        offset_M, length_M, prompt_M = (index[name].to_numpy() for name in ("offset", "length", "prompt"))
        scored_N = np.zeros(len(ids_N), dtype=bool)
        for offset, length, prompt in zip(offset_M.tolist(), length_M.tolist(), prompt_M.tolist(), strict=True):
            scored_N[offset + prompt : offset + length - (not self.pairs)] = True
        return HeldOutText(ids_N, side["bytes"], side["documents"], None, offset_M, scored_N)

    def _ids(self, language: str, side: Side) -> np.ndarray:
        path = self._file(language, side, "bin")
        told, size = self._summary["languages"][language][side]["tokens"], path.stat().st_size
        if language in self.targets and side == "train" and not size and not told:
            return np.empty(0, dtype=self.dtype)
        if size != told * self.dtype.itemsize or not size:
            raise Corrupt(f"{path}: {size} bytes, but {SUMMARY} tells of {told} tokens of {self.dtype.itemsize}")
        return np.memmap(path, dtype=self.dtype, mode="r")

    def check_ids(self) -> None:
        """Read all tokens.

        Raises:
            Corrupt: one is not in the vocabulary.
        """
        for language in self.languages:
            for side in SIDES:
                if int(self._ids(language, side).max(initial=0)) >= self.vocab_size:
                    path = self._path(language, side, "bin")
                    raise Corrupt(f"{path}: holds an id outside of the vocabulary of {self.vocab_size}")

    def documents(self, language: str, split: Side) -> pl.DataFrame:
        """The index: ``id``, ``offset`` and ``length`` in tokens (its end included), ``bytes`` and ``words`` of text.

        ``words`` counts characters in scripts without spaces between words (see :mod:`glotmix.tokens.census`).
        """
        table = self._index(language, split)
        plain = pa.Table.from_arrays([table[name] for name in INDEX.names], schema=INDEX)  # no metadata, no text maybe
        return pl.DataFrame(pl.from_arrow(plain))

    def _index(self, language: str, split: Side) -> pa.Table:
        path = self._file(language, split, "parquet")
        try:
            with pq.ParquetFile(path) as file:  # read_table opens pyarrow.dataset and pandas, which take a second
                table = file.read()
            table.validate(full=True)  # texts in it may be none, at which polars panics
            if not (table.schema.equals(INDEX) or (split == "held_out" and table.schema.equals(PROMPTED))):
                raise ValueError(f"columns {', '.join(table.schema.names)}, expected {', '.join(INDEX.names)}")
        except (pa.ArrowException, OSError, ValueError) as error:  # a name of a column may be no text
            raise Corrupt(f"{path}: no index of documents: {(str(error) or 'unreadable').splitlines()[0]}") from None
        return table

    @property
    def pairs(self) -> bool:
        """Whether documents are sentences with their translations: ``source, end, target, end``."""
        return bool(self._summary.get("pairs", False))

    @property
    def targets(self) -> tuple[str, ...]:
        """Sources of which all is measured, and nothing trained on."""
        return self._known("targets", lambda told: tuple(map(str, told))) or ()

    def unique_tokens(self, language: str) -> int:
        """``U``: training tokens of a language, ends of documents included."""
        return int(self._summary["languages"][language]["train"]["tokens"])

    @property
    def there(self) -> dict[str, int]:
        """Tokens of sources whose data was tokenised already, by its own index: more than were read, where reading was
        limited."""
        return self._known("there", lambda told: {str(name): int(count) for name, count in told.items()}) or {}

    def totals(self, language: str, split: Side) -> dict[str, int]:
        """``documents``, ``tokens``, ``bytes`` and ``words`` of one side of a language."""
        return dict(self._summary["languages"][language][split])

    def reading(self, language: str) -> ReadTally | None:
        """What was read of a language and what was left out; None in a store that does not know."""
        return self._known("reading", ReadTally.from_json, language)

    def fidelity(self, language: str) -> Fidelity | None:
        """What of its text the tokenizer keeps; None where it was trained here, and keeps all."""
        return self._known("fidelity", lambda one: Fidelity(float(one["unknown"]), float(one["lost"])), language)

    @property
    def overlap(self) -> TextOverlap | None:
        """What languages have in common; None in a store that does not know."""
        return self._known("overlap", TextOverlap.from_json)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What lies beside the corpus and is not read."""
        return self._known("remarks", lambda told: tuple(map(str, told))) or ()

    def _known(self, name: str, make: Callable[[Any], T], language: str | None = None) -> T | None:
        """A part of the summary that older stores and clones are without."""
        try:
            value = self._summary.get(name)
            value = value if language is None or value is None else value.get(language)
            return None if value is None else make(value)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise Corrupt(f"{self.directory / SUMMARY}: {name} is not as it was written: {error!r}") from None

    def uniform_bits_per_byte(self, language: str) -> float:
        """Loss of the model that knows nothing: ``n log2(V) / bytes`` over the n held-out tokens."""
        held = self.held_out(language)
        return float(held.counting * np.log2(self.vocab_size) / held.bytes)

    def unigram_bits_per_byte(self, language: str) -> float:
        """Loss of the model that knows frequencies only, the same for every language.

        ``-Σ_i log2 q(x_i) / bytes`` over the held-out tokens, with ``q(v) = (c_v + 1) / (Σ c + V)`` counted on equally
        many training tokens of every language in the store (the first of each; as many as the smallest language has,
        at most ``UNIGRAM_TOKENS``).
        """
        held = self.held_out(language)
        ids_N = held.tokens if held.scored is None else held.tokens[held.scored]
        counts = np.bincount(ids_N, minlength=self.vocab_size)
        return float(-(counts @ np.log2(self._unigram)) / held.bytes)

    @cached_property
    def _unigram(self) -> np.ndarray:
        trained = [language for language in self.languages if language not in self.targets]
        n = min(UNIGRAM_TOKENS, *(self.unique_tokens(language) for language in trained))
        counts = np.ones(self.vocab_size)
        for language in trained:
            counts += np.bincount(self.train(language)[:n], minlength=self.vocab_size)
        return np.asarray(counts / counts.sum())

    def verify(self) -> None:
        """Compare every file with its checksum.

        Raises:
            Corrupt: naming the file that changed.
        """
        self._artifact.verify()

    def _path(self, language: str, split: str, ending: str) -> Path:
        if language not in self._summary["languages"]:
            raise BadInput(f"no tokens of {language}", where=self.directory, expected=" | ".join(self.languages))
        return self.directory / f"{file_stem(language)}.{split}.{ending}"

    def _file(self, language: str, split: str, ending: str) -> Path:
        """The same of a file that must be there; only what the manifest lists is opened."""
        self._path(language, split, ending)
        return self._artifact.checked(f"{file_stem(language)}.{split}.{ending}", content=False)


class _Totals(BaseModel):
    """One side of a language."""

    documents: int = Field(ge=0, le=1 << 62, strict=True)
    tokens: int = Field(ge=0, le=1 << 62, strict=True)
    bytes: int = Field(ge=0, le=1 << 62, strict=True)


class _Summary(BaseModel):
    """What every store tells of itself."""

    vocab_size: int = Field(ge=1, le=MOST_IDS, strict=True)
    end_of_document: int = Field(ge=0, strict=True)
    dtype: Literal["<u2", "<u4"]
    languages: dict[str, dict[Side, _Totals]] = Field(min_length=1)
    targets: list[str] = Field(default_factory=list)
    pairs: bool = Field(False, strict=True)


def _check(summary: object, where: Path) -> None:
    try:
        found = _Summary.model_validate(summary)
        if found.end_of_document >= found.vocab_size or any(len(sides) < 2 for sides in found.languages.values()):
            raise ValueError("sides or end of document missing")
        for name, sides in found.languages.items():
            for side, one in sides.items():
                empty = side == "train" and name in found.targets
                if not empty and (one.documents < 1 or one.tokens < 2 or one.bytes < 1):
                    raise ValueError(f"{name}, {side}: {one.documents} documents, {one.tokens} tokens")
    except ValueError as error:
        raise Corrupt(f"{where}: describes no store: {'; '.join(str(error).splitlines()[:3])}") from None


def verified(directory: Path, kind: str, *, verify: bool = False) -> tuple[Artifact, bool]:
    """The artifact of a token store, compared with what was written, and whether its content was.

    Args:
        directory: of the store.
        kind: of the artifact.
        verify: compare checksums of a store over ``VERIFY_UP_TO`` too.

    Raises:
        BadInput: there is none.
        Corrupt: a file is missing, truncated or changed; the message names it.
    """
    artifact = open_artifact(directory, kind)
    if artifact is None:
        raise BadInput("no token store in it", where=directory, expected=f"a directory with {SUMMARY}")
    content = verify or sum(recorded["bytes"] for recorded in artifact.files.values()) <= VERIFY_UP_TO
    try:
        artifact.verify(content=content)
    except Corrupt as error:
        raise Corrupt(f"{error}; delete {directory} to make it again") from None
    return artifact, content


def open_plain(directory: Path, *, verify: bool = False) -> TokenStore:
    """The store of tokenised text in ``directory``; see :func:`glotmix.tokens.opening.open_store`."""
    artifact, content = verified(directory, KIND, verify=verify)
    store = TokenStore(artifact)
    if content:
        store.check_ids()
    return store
