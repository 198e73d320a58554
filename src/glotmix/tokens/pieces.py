"""Pieces: a corpus is tokenised in parts, each in any process on any machine, and the parts are joined in order.

A piece is an artifact of its own, so what is done is not done again. It holds what its part of a language became:
token ids of both sides, and a row per document with the hash of its text (see :mod:`glotmix.tokens.joining`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from glotmix.artifact import creating, open_artifact, write_json
from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.document import Document
from glotmix.corpus.near import signature
from glotmix.corpus.readers.reader import Part, Reader, open_reader
from glotmix.corpus.split import Side, hash64, hashed_documents
from glotmix.corpus.words import count_words
from glotmix.progress import Advance
from glotmix.reading.tally import ReadTally
from glotmix.source import file_stem
from glotmix.tokens.tokenizer import Tokenizer, load_tokenizer

KIND = "piece"
TALLY = "tally.json"
BATCH_CHARACTERS = 1 << 16
"""Text that is encoded at once: a tenth faster than a megabyte, as the encodings stay in the caches."""
LONGEST_TEXT = 1 << 20
"""Characters from which a text is cut; memory holds some twenty times as much while its tokens are Python's."""
REPORT_EVERY = 1 << 20
"""Bytes of text between two reports."""
INDEX_ROWS = 1024
"""Documents whose tokens are written before their rows of the index are."""

_ROWS = pa.schema(
    [
        ("id", pa.string()),
        ("text_hash", pa.uint64()),
        ("id_hash", pa.uint64()),
        ("held_out", pa.bool_()),
        *[(name, pa.int64()) for name in ("length", "bytes", "words")],
    ]
)
"""Columns of a piece's index: one row per document, in the order in which they were read; where near-duplicates are
looked for, ``SIGNATURE`` too."""
SIGNATURE = pa.field("signature", pa.binary())
PROMPT = pa.field("prompt", pa.int64())
"""Tokens of a document's prompt, with which its tokens begin; in pieces of targets that have prompts."""


@dataclass(frozen=True)
class Piece:
    """One part of one language, and where its tokens go."""

    directory: Path
    """Its artifact."""
    language: str
    """Tag."""
    part: Part | None
    """Which files; None for all of the language."""
    made_from: dict[str, Any]
    """What determines it."""

    def is_complete(self) -> bool:
        """Whether it was made, from the same."""
        return open_artifact(self.directory, KIND, self.made_from) is not None


@dataclass(frozen=True)
class TokenizeSpec:
    """What all pieces of a store have in common."""

    corpus: CorpusConfig
    """The corpus."""
    languages: tuple[str, ...]
    """All languages of the store: a reader may compare them."""
    base: Path
    """Directory that relative paths start from."""
    tokenizer: Path
    """Directory of the tokenizer."""
    dtype: str
    """Type of the ids on disk."""
    held_out: float
    """Share of documents that is measured on."""

    def order(self, piece: Piece) -> dict[str, Any]:
        """What another process needs to make a piece, as JSON."""
        return {
            "corpus": self.corpus.model_dump(mode="json"),
            "languages": list(self.languages),
            "base": str(self.base.resolve()),
            "tokenizer": str(self.tokenizer.resolve()),
            "dtype": self.dtype,
            "held_out": self.held_out,
            "directory": str(piece.directory.resolve()),
            "language": piece.language,
            "part": None if piece.part is None else asdict(piece.part),
            "made_from": piece.made_from,
        }


def plan_pieces(folder: Path, reader: Reader, languages: Sequence[str], made_from: str) -> list[Piece]:
    """The pieces of a corpus; how it is cut depends on the sizes of its files alone.

    Args:
        folder: where they go.
        reader: the corpus.
        languages: tags, in order.
        made_from: fingerprint of the store that they are for.
    """
    pieces = []
    for language in languages:
        for number, part in enumerate(reader.parts(language) or [None]):
            source = {"store": made_from, "language": language, "part": None if part is None else asdict(part)}
            pieces.append(Piece(folder / f"{file_stem(language)}-{number:05d}", language, part, source))
    return pieces


def follow(order: dict[str, Any], progress: Advance | None = None) -> None:
    """Make the piece that an order of :meth:`TokenizeSpec.order` describes, in a process of its own."""
    base = Path(order["base"])
    reader = open_reader(CorpusConfig.model_validate(order["corpus"]), order["languages"], base)
    tokenizer = load_tokenizer(order["tokenizer"], base)
    part = None if order["part"] is None else Part(**order["part"])
    piece = Piece(Path(order["directory"]), order["language"], part, order["made_from"])
    write_piece(piece, reader, tokenizer, order["dtype"], order["held_out"], progress)


def write_piece(
    piece: Piece, reader: Reader, tokenizer: Tokenizer, dtype: str, held_out: float, progress: Advance | None = None
) -> None:
    """Tokenise one part of a language. Text is streamed: memory holds one batch of it."""
    if piece.is_complete():
        return
    total = reader.bytes_wanted(piece.language) if piece.part is None else None
    signed = reader.config.near_duplicates is not None
    pairs = reader.config.is_pairs(piece.language)
    prompted = pairs or reader.config.alone(piece.language).prompt_field is not None
    rows = _ROWS.append(SIGNATURE) if signed else _ROWS
    rows = rows.append(PROMPT) if prompted else rows
    with creating(piece.directory, KIND, piece.made_from) as folder:
        tally = ReadTally()
        documents = hashed_documents(reader, piece.language, held_out, piece.part, tally)
        encoded = _encoded(_reported(documents, piece.language, total, progress), tokenizer, closed=pairs)
        with (
            open(folder / "train.bin", "wb") as train,
            open(folder / "held_out.bin", "wb") as measured,
            pq.ParquetWriter(folder / "documents.parquet", rows) as index,
        ):
            sides: dict[Side, BinaryIO] = {"train": train, "held_out": measured}
            while batch := list(islice(encoded, INDEX_ROWS)):
                for _, side, _, tokens, _ in batch:
                    _append(sides[side], np.array([*tokens, tokenizer.end_of_document], dtype=dtype))
                index.write_table(pa.Table.from_pylist([_row(*one, signed, prompted) for one in batch], schema=rows))
        write_json(folder / TALLY, tally.to_json())


def _row(
    document: Document, side: Side, text_hash: int, tokens: list[int], prompt: int, signed: bool, prompted: bool
) -> dict[str, Any]:
    text, language = document.text, document.language
    more: dict[str, Any] = {"prompt": prompt} if prompted else {}
    if signed:
        more["signature"] = signature(document.prompt + text, language).astype("<u4").tobytes()
    return more | {
        "id": document.id,
        "text_hash": text_hash,
        "id_hash": hash64(document.id),
        "held_out": side == "held_out",
        "length": len(tokens) + 1,
        "bytes": document.bytes,
        "words": count_words(text, language),
    }


def _append(file: BinaryIO, tokens: np.ndarray) -> None:
    file.write(tokens.tobytes())


Hashed = tuple[Document, Side, int]


def _encoded(
    documents: Iterable[Hashed], tokenizer: Tokenizer, *, closed: bool
) -> Iterator[tuple[Document, Side, int, list[int], int]]:
    """Documents with their tokens, and how many of these are the prompt's, which is encoded apart (``closed``: and ends
    like a document); in batches of about ``BATCH_CHARACTERS``."""
    end = [tokenizer.end_of_document] if closed else []
    batch: list[Hashed] = []
    size = 0

    def done() -> Iterator[tuple[Document, Side, int, list[int], int]]:
        ids = encode(tokenizer, [document.text for document, _, _ in batch])
        before = [one for one in batch if one[0].prompt]
        prompts = dict(
            zip(
                (id(document) for document, _, _ in before),
                encode(tokenizer, [document.prompt for document, _, _ in before]),
                strict=True,
            )
        )
        for (document, side, text_hash), tokens in zip(batch, ids, strict=True):
            prompt = [*prompts[id(document)], *end] if document.prompt else []
            yield document, side, text_hash, [*prompt, *tokens], len(prompt)

    for one in documents:
        batch.append(one)
        size += len(one[0].text) + len(one[0].prompt)
        if size >= BATCH_CHARACTERS:
            yield from done()
            batch, size = [], 0
    yield from done()


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text. One over ``LONGEST_TEXT`` is encoded in pieces, cut after a newline or space if any."""
    if all(len(text) <= LONGEST_TEXT for text in texts):
        return tokenizer.encode_batch(texts)
    return [list(chain.from_iterable(tokenizer.encode_batch([cut])[0] for cut in _cuts(text))) for text in texts]


def _cuts(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > LONGEST_TEXT:
        limit = start + LONGEST_TEXT
        cut = 1 + (text.rfind("\n", start, limit) if "\n" in text[start:limit] else text.rfind(" ", start, limit))
        cut = cut if cut > start else limit
        yield text[start:cut]
        start = cut
    yield text[start:]


def _reported(items: Iterable[Hashed], label: str, total: int | None, progress: Advance | None) -> Iterator[Hashed]:
    """The same items, with the bytes read so far told to ``progress`` about once per megabyte."""
    read = told = 0
    for item in items:
        yield item
        read += item[0].bytes
        if progress and read - told >= REPORT_EVERY:
            told = read
            progress(label, read, total)
    if progress:
        progress(label, read, read)
