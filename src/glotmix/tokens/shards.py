"""Shards: every language's token ids in flat files that are mapped into memory, with an index of documents.

``<lang>.train.bin`` and ``<lang>.held_out.bin`` hold token ids, little-endian uint16 (uint32 from 65,536 ids on), each
document **followed by** ``end_of_document``. ``<lang>.<split>.parquet`` is the index: one row per document.

Held-out losses are bits per byte: all tokens are predicted, the ends of documents too, and the nats are divided by
``ln 2`` and by the UTF-8 bytes of the text, which hold no end-of-document bytes. So the number does not depend on the
tokenizer, and a model pays for not knowing where a text ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from glotmix.artifact import Artifact, creating, open_artifact, read_json, write_json
from glotmix.config import TokensConfig
from glotmix.corpus.document import Document
from glotmix.corpus.readers.reader import Reader
from glotmix.corpus.sample import LowestHashes
from glotmix.corpus.split import Side, split_documents
from glotmix.errors import BadInput, Corrupt
from glotmix.tokens.fertility import count_words
from glotmix.tokens.tokenizer import Tokenizer, load_tokenizer, train_tokenizer

Progress = Callable[[str, int, "int | None"], None]
"""Called with (what is being done, how much is done, how much there is or None)."""

KIND = "tokens"
SUMMARY = "store.json"
BATCH_BYTES = 1 << 20
"""Text that is encoded at once; memory holds a few times as much."""
INDEX_ROWS = 1024
"""Documents whose tokens are written before their rows of the index are."""
SAMPLE_REACH = 16
"""The tokenizer's sample is drawn from the first ``SAMPLE_REACH × sample_bytes`` bytes of each language."""
UNIGRAM_TOKENS = 1_000_000
"""Most tokens of each language that the unigram distribution is counted on."""

_INDEX = pa.schema([("id", pa.string()), *[(name, pa.int64()) for name in ("offset", "length", "bytes", "words")]])


@dataclass(frozen=True)
class HeldOut:
    """What a language's loss is measured on: whole documents."""

    tokens: np.ndarray
    """Token ids, [n]; every document is followed by ``end_of_document``, which is predicted too."""
    bytes: int
    """UTF-8 bytes of the documents' text, the denominator of bits per byte."""
    documents: int
    """How many documents."""


class TokenStore:
    """Token ids of every language of a study, on disk. Opened by :func:`open_store`, made by :func:`build_store`."""

    def __init__(self, artifact: Artifact):
        self.directory = artifact.directory
        self._artifact = artifact
        summary = read_json(self.directory / SUMMARY)
        self.languages: tuple[str, ...] = tuple(summary["languages"])
        """Tags, in the order in which they were asked for."""
        self.vocab_size: int = summary["vocab_size"]
        """Number of token ids."""
        self.end_of_document: int = summary["end_of_document"]
        """Id that follows every document."""
        self.dtype = np.dtype(summary["dtype"])
        """Type of the ids on disk."""
        self._summary = summary

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
        return np.memmap(self._path(language, "train", "bin"), dtype=self.dtype, mode="r")

    def held_out(self, language: str) -> HeldOut:
        """What the loss of a language is measured on."""
        tokens = np.memmap(self._path(language, "held_out", "bin"), dtype=self.dtype, mode="r")
        side = self._summary["languages"][language]["held_out"]
        return HeldOut(tokens, side["bytes"], side["documents"])

    def documents(self, language: str, split: Side) -> pl.DataFrame:
        """The index: ``id``, ``offset`` and ``length`` in tokens (its end included), ``bytes`` and ``words`` of text.

        ``words`` counts characters in scripts without spaces between words (see :mod:`glotmix.tokens.fertility`).
        """
        return pl.read_parquet(self._path(language, split, "parquet"))

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


def open_store(directory: Path) -> TokenStore:
    """The token store in ``directory``; the size of every file is compared with what was written.

    Raises:
        BadInput: there is none.
        Corrupt: a file is missing or truncated; the message names it.
    """
    artifact = open_artifact(directory, KIND)
    if artifact is None:
        raise BadInput("no token store in it", where=directory, expected=f"a directory with {SUMMARY}")
    for name, recorded in artifact.files.items():
        path = directory / name
        if not path.is_file():
            raise Corrupt(f"{path}: missing; delete {directory} to make it again")
        if (size := path.stat().st_size) != recorded["bytes"]:
            raise Corrupt(
                f"{path}: {size} bytes, was written with {recorded['bytes']}; delete {directory} to make it again"
            )
    return TokenStore(artifact)


def build_store(
    directory: Path,
    reader: Reader,
    languages: Sequence[str],
    tokens_config: TokensConfig,
    held_out: float,
    *,
    base: Path = Path(),
    min_tokens: int = 2,
    progress: Progress | None = None,
) -> TokenStore:
    """Tokenise a corpus, or open what was tokenised before from the same corpus with the same settings.

    Text is streamed: memory holds a batch of about a megabyte, the sample a tokenizer is trained on, the held-out
    documents that are kept, and 8-byte hashes of the documents.

    Args:
        directory: where the store will be.
        reader: the corpus.
        languages: tags; their order is kept.
        tokens_config: the ``tokens`` section of a study.
        held_out: share of documents that is measured on.
        base: directory that a tokenizer's relative path starts from.
        min_tokens: fewest tokens, in training and held out, that are of any use (one sequence and one token more).
        progress: told the language, the bytes of text read so far and, where known, the bytes there will be.

    Raises:
        BadInput: a language without text or with fewer than ``min_tokens`` tokens; a store made by other settings.
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
        return open_store(directory)
    with creating(directory, KIND, made_from) as part:
        tokenizer = given or _trained(reader, languages, tokens_config, held_out, progress)
        tokenizer.save(part)
        summary: dict[str, Any] = {
            "vocab_size": tokenizer.vocab_size,
            "end_of_document": tokenizer.end_of_document,
            "dtype": "<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4",
            "tokenizer": tokenizer.fingerprint,
            "languages": {},
        }
        for language in languages:
            totals = _write_language(
                part, reader, language, tokenizer, summary["dtype"], tokens_config, held_out, progress
            )
            _enough(language, totals, min_tokens, held_out)
            summary["languages"][language] = totals
        write_json(part / SUMMARY, summary)
    return open_store(directory)


def _trained(
    reader: Reader, languages: Iterable[str], config: TokensConfig, held_out: float, progress: Progress | None
) -> Tokenizer:
    """A tokenizer trained on a fair sample of the training documents of every language."""
    texts: dict[str, list[str]] = {}
    for language in languages:
        train = (d for d, side in split_documents(reader, language, held_out) if side == "train")
        reach = _until(train, SAMPLE_REACH * config.sample_bytes)
        kept = LowestHashes(config.sample_bytes)
        for document in _reported(reach, f"sampling {language}", None, progress):
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


def _write_language(
    part: Path,
    reader: Reader,
    language: str,
    tokenizer: Tokenizer,
    dtype: str,
    config: TokensConfig,
    held_out: float,
    progress: Progress | None,
) -> dict[str, dict[str, int]]:
    """Both sides of one language; returns their totals."""
    measured = LowestHashes(config.held_out_tokens)

    def training() -> Iterator[tuple[Document, list[int]]]:
        documents = _reported(
            split_documents(reader, language, held_out), language, reader.bytes_wanted(language), progress
        )
        for batch in _batches(documents):
            ids = _encode(tokenizer, [document.text for document, _ in batch])
            for (document, side), tokens in zip(batch, ids, strict=True):
                if side == "train":
                    yield document, tokens
                else:
                    measured.add(document, len(tokens) + 1)

    def write(side: Side, documents: Iterator[tuple[Document, list[int]]]) -> dict[str, int]:
        return _write_side(part / f"{language}.{side}", documents, tokenizer.end_of_document, dtype)

    train = write("train", training())
    chosen = measured.in_order()
    ids = _encode(tokenizer, [document.text for document in chosen])
    return {
        "train": train,
        "held_out": write("held_out", _fitting(zip(chosen, ids, strict=True), config.held_out_tokens)),
    }


def _fitting(documents: Iterable[tuple[Document, list[int]]], limit: int) -> Iterator[tuple[Document, list[int]]]:
    """Documents in order while they fit into ``limit`` tokens; the first one always, whole, whatever its length."""
    taken = 0
    for document, tokens in documents:
        if not taken or taken + len(tokens) + 1 <= limit:
            taken += len(tokens) + 1
            yield document, tokens


def _write_side(stem: Path, documents: Iterator[tuple[Document, list[int]]], end: int, dtype: str) -> dict[str, int]:
    """``<stem>.bin`` and its index ``<stem>.parquet``; returns how much there is."""
    totals = dict.fromkeys(("documents", "tokens", "bytes", "words"), 0)
    with (
        open(stem.with_name(f"{stem.name}.bin"), "wb") as file,
        pq.ParquetWriter(stem.with_name(f"{stem.name}.parquet"), _INDEX) as index,
    ):
        while batch := list(islice(documents, INDEX_ROWS)):
            rows: list[dict[str, Any]] = []
            for document, tokens in batch:
                _append(file, np.array([*tokens, end], dtype=dtype))
                row: dict[str, Any] = {
                    "id": document.id,
                    "offset": totals["tokens"],
                    "length": len(tokens) + 1,
                    "bytes": document.bytes,
                    "words": count_words(document.text, document.language),
                }
                rows.append(row)
                totals["documents"] += 1
                totals["tokens"] += row["length"]
                totals["bytes"] += row["bytes"]
                totals["words"] += row["words"]
            index.write_table(pa.Table.from_pylist(rows, schema=_INDEX))
    return totals


def _append(file: BinaryIO, tokens: np.ndarray) -> None:
    file.write(tokens.tobytes())


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


def _batches(documents: Iterable[tuple[Document, Side]]) -> Iterator[list[tuple[Document, Side]]]:
    """Documents in batches of about ``BATCH_BYTES`` characters."""
    batch: list[tuple[Document, Side]] = []
    size = 0
    for document, side in documents:
        batch.append((document, side))
        size += len(document.text)
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text. One over ``BATCH_BYTES`` is encoded in pieces, cut after a newline or space if it can."""
    if all(len(text) <= BATCH_BYTES for text in texts):
        return tokenizer.encode_batch(texts)
    return [list(chain.from_iterable(tokenizer.encode_batch([piece])[0] for piece in _pieces(text))) for text in texts]


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > BATCH_BYTES:
        limit = start + BATCH_BYTES
        cut = 1 + (text.rfind("\n", start, limit) if "\n" in text[start:limit] else text.rfind(" ", start, limit))
        cut = cut if cut > start else limit
        yield text[start:cut]
        start = cut
    yield text[start:]


T = TypeVar("T", Document, tuple[Document, Side])


def _reported(items: Iterable[T], label: str, total: int | None, progress: Progress | None) -> Iterator[T]:
    """The same items, with the bytes read so far told to ``progress`` about once per megabyte."""
    read = told = 0
    for item in items:
        yield item
        read += (item[0] if isinstance(item, tuple) else item).bytes
        if progress and read - told >= BATCH_BYTES:
            told = read
            progress(label, read, total)
    if progress:
        progress(label, read, read)
