"""Shards: every language's token ids in flat files that are mapped into memory, with an index of documents.

``<lang>.train.bin`` and ``<lang>.held_out.bin`` hold token ids, little-endian uint16 (uint32 from 65,536 ids on), each
document **followed by** ``end_of_document``. ``<lang>.<split>.parquet`` is the index: one row per document.

Held-out losses are bits per byte: all tokens are predicted, the ends of documents too, and the nats are divided by
``ln 2`` and by the UTF-8 bytes of the text, which hold no end-of-document bytes. So the number does not depend on the
tokenizer, and a model pays for not knowing where a text ends.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field

from glotmix.artifact import MANIFEST, Artifact, creating, fingerprint, open_artifact, read_json, write_json
from glotmix.config import TokensConfig
from glotmix.corpus.document import Document
from glotmix.corpus.readers.reader import Reader
from glotmix.corpus.sample import LowestHashes
from glotmix.corpus.split import Side, split_documents
from glotmix.errors import BadInput, Corrupt
from glotmix.progress import Advance
from glotmix.tokens.joining import INDEX, join
from glotmix.tokens.pieces import Piece, Workshop, plan_pieces, write_piece
from glotmix.tokens.tokenizer import Tokenizer, load_tokenizer, train_tokenizer

Scatter = Callable[[Workshop, Sequence[Piece], Advance | None], None]
"""Makes pieces in other processes; returns when all are there."""

KIND, CLONES = "tokens", "clones"
SUMMARY = "store.json"
SIDES: tuple[Side, ...] = ("train", "held_out")
SCATTER_FROM = 32 << 20
"""Bytes on disk from which pieces are worth processes of their own."""
SAMPLE_REACH = 16
"""The tokenizer's sample is drawn from the first ``SAMPLE_REACH × sample_bytes`` bytes of each language."""
VERIFY_UP_TO = 1 << 28
"""Bytes of a store whose checksums are compared whenever it is opened: about a second."""
MOST_IDS = 1 << 24
"""Ids of the largest vocabulary, over which counts are held in memory; ten clones of a large tokenizer have a fifth."""
UNIGRAM_TOKENS = 1_000_000
"""Most tokens of each language that the unigram distribution is counted on."""


@dataclass(frozen=True)
class HeldOut:
    """What a language's loss is measured on: whole documents."""

    tokens: np.ndarray
    """Token ids, [n]; every document is followed by ``end_of_document``, which is predicted too."""
    bytes: int
    """UTF-8 bytes of the documents' text, the denominator of bits per byte."""
    documents: int
    """How many documents."""
    end_of_document: int | None = None
    """Id that the text is predicted from, where it is not the store's (clones have their own)."""


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
        """Tags, in the order in which they were asked for."""
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

    def train(self, language: str) -> np.ndarray:
        """All training tokens of a language, mapped read-only, [U]."""
        return self._ids(language, "train")

    def held_out(self, language: str) -> HeldOut:
        """What the loss of a language is measured on."""
        side = self._summary["languages"][language]["held_out"]
        return HeldOut(self._ids(language, "held_out"), side["bytes"], side["documents"])

    def _ids(self, language: str, side: Side) -> np.ndarray:
        path = self._file(language, side, "bin")
        told, size = self._summary["languages"][language][side]["tokens"], path.stat().st_size
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
                if int(self._ids(language, side).max()) >= self.vocab_size:
                    path = self._path(language, side, "bin")
                    raise Corrupt(f"{path}: holds an id outside of the vocabulary of {self.vocab_size}")

    def documents(self, language: str, split: Side) -> pl.DataFrame:
        """The index: ``id``, ``offset`` and ``length`` in tokens (its end included), ``bytes`` and ``words`` of text.

        ``words`` counts characters in scripts without spaces between words (see :mod:`glotmix.tokens.fertility`).
        """
        path = self._file(language, split, "parquet")
        try:
            table = pq.read_table(path)
            table.validate(full=True)  # texts in it may be none, at which polars panics
            if not table.schema.equals(INDEX):
                raise ValueError(f"columns {', '.join(table.schema.names)}, expected {', '.join(INDEX.names)}")
        except (pa.ArrowException, OSError, ValueError) as error:  # a name of a column may be no text
            raise Corrupt(f"{path}: no index of documents: {(str(error) or 'unreadable').splitlines()[0]}") from None
        plain = pa.Table.from_arrays(table.columns, schema=INDEX)  # without metadata, which may be no text either
        return pl.DataFrame(pl.from_arrow(plain))

    def unique_tokens(self, language: str) -> int:
        """``U``: training tokens of a language, ends of documents included."""
        return int(self._summary["languages"][language]["train"]["tokens"])

    def totals(self, language: str, split: Side) -> dict[str, int]:
        """``documents``, ``tokens``, ``bytes`` and ``words`` of one side of a language."""
        return dict(self._summary["languages"][language][split])

    def uniform_bits_per_byte(self, language: str) -> float:
        """Loss of the model that knows nothing: ``n log2(V) / bytes`` over the n held-out tokens."""
        held = self.held_out(language)
        return float(len(held.tokens) * np.log2(self.vocab_size) / held.bytes)

    def unigram_bits_per_byte(self, language: str) -> float:
        """Loss of the model that knows frequencies only, the same for every language.

        ``-Σ_i log2 q(x_i) / bytes`` over the held-out tokens, with ``q(v) = (c_v + 1) / (Σ c + V)`` counted on equally
        many training tokens of every language in the store (the first of each; as many as the smallest language has,
        at most ``UNIGRAM_TOKENS``).
        """
        held = self.held_out(language)
        counts = np.bincount(held.tokens, minlength=self.vocab_size)
        return float(-(counts @ np.log2(self._unigram)) / held.bytes)

    @cached_property
    def _unigram(self) -> np.ndarray:
        n = min(UNIGRAM_TOKENS, *(self.unique_tokens(language) for language in self.languages))
        counts = np.ones(self.vocab_size)
        for language in self.languages:
            counts += np.bincount(self.train(language)[:n], minlength=self.vocab_size)
        return counts / counts.sum()

    def verify(self) -> None:
        """Compare every file with its checksum.

        Raises:
            Corrupt: naming the file that changed.
        """
        self._artifact.verify()

    def _path(self, language: str, split: str, ending: str) -> Path:
        if language not in self._summary["languages"]:
            raise BadInput(f"no tokens of {language}", where=self.directory, expected=" | ".join(self.languages))
        return self.directory / f"{language}.{split}.{ending}"

    def _file(self, language: str, split: str, ending: str) -> Path:
        """The same of a file that must be there; only what the manifest lists is opened."""
        self._path(language, split, ending)
        return self._artifact.checked(f"{language}.{split}.{ending}", content=False)


def open_store(directory: Path, *, verify: bool = False) -> TokenStore:
    """The token store in ``directory``; every file is compared with what was written.

    Args:
        directory: of the store.
        verify: compare checksums of a store over ``VERIFY_UP_TO`` too; of such a one only the sizes are compared
            otherwise, as every worker opens it.

    Raises:
        BadInput: there is none.
        Corrupt: a file is missing, truncated or changed, or describes what no store is; the message names it.
    """
    clones = _kind(directory) == CLONES
    artifact = open_artifact(directory, CLONES if clones else KIND)
    if artifact is None:
        raise BadInput("no token store in it", where=directory, expected=f"a directory with {SUMMARY}")
    small = sum(recorded["bytes"] for recorded in artifact.files.values()) <= VERIFY_UP_TO
    try:
        artifact.verify(content=verify or small)
    except Corrupt as error:
        raise Corrupt(f"{error}; delete {directory} to make it again") from None
    if clones:
        from glotmix.tokens.clone import ClonedStore

        return ClonedStore(artifact)
    store = TokenStore(artifact)
    if verify or small:
        store.check_ids()
    return store


class _Totals(BaseModel):
    """One side of a language."""

    documents: int = Field(ge=1, le=1 << 62, strict=True)
    tokens: int = Field(ge=2, le=1 << 62, strict=True)
    bytes: int = Field(ge=1, le=1 << 62, strict=True)


class _Summary(BaseModel):
    """What every store tells of itself."""

    vocab_size: int = Field(ge=1, le=MOST_IDS, strict=True)
    end_of_document: int = Field(ge=0, strict=True)
    dtype: Literal["<u2", "<u4"]
    languages: dict[str, dict[Side, _Totals]] = Field(min_length=1)


def _check(summary: object, where: Path) -> None:
    try:
        found = _Summary.model_validate(summary)
        if found.end_of_document >= found.vocab_size or any(len(sides) < 2 for sides in found.languages.values()):
            raise ValueError("sides or end of document missing")
    except ValueError as error:
        raise Corrupt(f"{where}: describes no store: {'; '.join(str(error).splitlines()[:3])}") from None


def _kind(directory: Path) -> str | None:
    """Kind of the artifact in ``directory``; None where there is none that can be read."""
    manifest = directory / MANIFEST
    try:
        return str(read_json(manifest)["kind"]) if manifest.is_file() else None
    except (BadInput, KeyError, TypeError):
        return None  # open_artifact tells what is wrong with it


def build_store(
    directory: Path,
    reader: Reader,
    languages: Sequence[str],
    tokens_config: TokensConfig,
    held_out: float,
    *,
    base: Path = Path(),
    min_tokens: int = 2,
    progress: Advance | None = None,
    scatter: Scatter | None = None,
) -> TokenStore:
    """Tokenise a corpus, or open what was tokenised before from the same corpus with the same settings.

    The corpus is cut into pieces (:mod:`glotmix.tokens.pieces`), which are kept in ``<directory>.pieces`` until the
    store is complete: interrupted and called again, only missing pieces are made. Text is streamed: memory holds a
    batch of some documents, the sample a tokenizer is trained on, and some 8-byte hashes of every document.

    Args:
        directory: where the store will be.
        reader: the corpus.
        languages: tags; their order is kept.
        tokens_config: the ``tokens`` section of a study.
        held_out: share of documents that is measured on.
        base: directory that a tokenizer's relative path starts from.
        min_tokens: fewest tokens, in training and held out, that are of any use (one sequence and one token more).
        progress: told the language, the bytes of text read so far and, where known, the bytes there will be.
        scatter: makes pieces in other processes, where there are several of them and much text.

    Raises:
        BadInput: a language without text or with fewer than ``min_tokens`` tokens; a store made by other settings.
        Corrupt: the store that is there changed since it was written.
        GlotmixError: the disk is full; nothing is left under ``directory``.
    """
    languages = tuple(languages)
    given = None if tokens_config.tokenizer == "train" else load_tokenizer(tokens_config.tokenizer, base)
    made_from = {
        "corpus": reader.inputs(),
        "languages": list(languages),
        "tokens": tokens_config.model_dump(),
        "tokenizer": given.fingerprint if given else "train",
        "held_out": held_out,
    }
    if open_artifact(directory, KIND, made_from) is not None:
        return open_store(directory, verify=True)
    folder = directory.with_name(f"{directory.name}.pieces")
    mine = fingerprint(made_from)
    pieces = plan_pieces(folder / mine, reader, languages, mine)
    trained = folder / mine / "tokenizer"
    if open_artifact(trained, "tokenizer", {"store": mine}) is None:
        with creating(trained, "tokenizer", {"store": mine}) as part:
            (given or _trained(reader, languages, tokens_config, held_out, progress)).save(part)
    tokenizer = load_tokenizer(str(trained.resolve()), base)
    dtype = "<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4"
    missing = [piece for piece in pieces if not piece.is_complete()]
    if scatter and len(missing) > 1 and sum(piece.part.bytes for piece in missing if piece.part) >= SCATTER_FROM:
        workshop = Workshop(reader.config, reader.languages, reader.base, trained, dtype, held_out)
        scatter(workshop, missing, progress)
    for piece in missing:
        write_piece(piece, reader, tokenizer, dtype, held_out, progress)
    with creating(directory, KIND, made_from) as part:
        tokenizer.save(part)
        summary: dict[str, Any] = {
            "vocab_size": tokenizer.vocab_size,
            "end_of_document": tokenizer.end_of_document,
            "dtype": dtype,
            "tokenizer": tokenizer.fingerprint,
            "languages": {},
        }
        for language in languages:
            own = [piece.directory for piece in pieces if piece.language == language]
            totals = join(part, language, own, tokens_config.held_out_tokens, dtype)
            _enough(language, totals, min_tokens, held_out)
            summary["languages"][language] = totals
        write_json(part / SUMMARY, summary)
    shutil.rmtree(folder, ignore_errors=True)
    return open_store(directory)


def _trained(
    reader: Reader, languages: Iterable[str], config: TokensConfig, held_out: float, progress: Advance | None
) -> Tokenizer:
    """A tokenizer trained on a fair sample of the training documents of every language."""
    texts: dict[str, list[str]] = {}
    for language in languages:
        train = (d for d, side in split_documents(reader, language, held_out) if side == "train")
        reach = _until(train, SAMPLE_REACH * config.sample_bytes)
        kept = LowestHashes(config.sample_bytes)
        if progress:
            progress(f"sampling {language}", 0, None)
        for document in reach:
            kept.add(document, document.bytes)
        texts[language] = [document.text for document in kept.in_order()]
    if progress:
        progress("training the tokenizer", 0, None)
    return train_tokenizer(texts, config.vocab_size, config.sample_bytes)


def _until(documents: Iterable[Document], limit: int) -> Iterator[Document]:
    """Documents until they hold ``limit`` characters."""
    read = 0
    for document in documents:
        yield document
        read += len(document.text)
        if read >= limit:
            return


def _enough(language: str, totals: dict[str, dict[str, int]], min_tokens: int, held_out: float) -> None:
    """A language that cannot fill one sequence, on either side, stops the study here and not in a proxy."""
    train, measured = totals["train"]["tokens"], totals["held_out"]["tokens"]
    if train < min_tokens:
        raise BadInput(f"{language} has {train} training tokens", where="corpus", expected=f"at least {min_tokens}")
    if measured < min_tokens:
        documents = totals["train"]["documents"]
        raise BadInput(
            f"{language} has {measured} held-out tokens ({documents} documents to train on, {held_out:g} held out)",
            where="corpus.held_out",
            expected=f"a share that leaves at least {min_tokens} tokens to measure on",
        )
