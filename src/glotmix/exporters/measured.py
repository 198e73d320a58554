"""Unique tokens and document lengths of the data: from a study's token store, or counted on a sample of texts."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from glotmix.artifact import MANIFEST
from glotmix.corpus.config import CorpusConfig, CorpusSource
from glotmix.corpus.readers.reader import Part, Reader, open_reader
from glotmix.errors import BadInput
from glotmix.language import is_language
from glotmix.progress import Advance
from glotmix.tokens.opening import open_store
from glotmix.tokens.store import SUMMARY
from glotmix.tokens.tokenizer import Tokenizer, load_tokenizer

SAMPLE = 1000
"""Documents of a language that are tokenised."""
READ_BYTES = 1 << 30
"""Bytes on disk of a language that are read; of more, files evenly spread over it."""
STORE = "tokens"
"""Folder of a study's token store."""


@dataclass(frozen=True)
class Measured:
    """What an export must know of the data."""

    unique: Mapping[str, float]
    """Unique tokens of each language, an end-of-text token per document included."""
    tokens_per_document: Mapping[str, float]
    """Mean tokens of a document, likewise."""
    document_lengths: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Tokens of the documents of a sample, where texts were measured."""
    remarks: tuple[str, ...] = ()
    """Where the numbers are from, in words."""


def store_of(directory: Path) -> Path | None:
    """The token store of a study, or the store itself; None where there is none."""
    for found in (directory / STORE, directory):
        if (found / MANIFEST).is_file() and (found / SUMMARY).is_file():
            return found
    return None


def measured_in_store(store: Path, languages: Sequence[str]) -> Measured:
    """The numbers of the languages that a token store has."""
    opened = open_store(store)
    totals = {name: opened.totals(name, "train") for name in languages if name in opened.languages}
    return Measured(
        {name: float(opened.unique_tokens(name)) for name in totals},
        {name: one["tokens"] / one["documents"] for name, one in totals.items() if one["documents"]},
        remarks=(f"unique tokens and tokens per document are those of the corpus and tokenizer of {store.parent}",),
    )


def measure(
    data: Path, languages: Sequence[str], tokenizer: str | None, *, seed: int = 0, tell: Advance | None = None
) -> Measured:
    """Measure the data of each language.

    Args:
        data: directory of a study, whose token store knows; else texts as a study's ``corpus.path`` holds them
            (``DATA/<language>/**``, ``DATA/<language>.jsonl``, ...).
        languages: tags.
        tokenizer: the trainer's tokenizer, for texts: a path or a name on the hub.
        seed: of the sample.
        tell: is told how far it is.

    Raises:
        BadInput: texts and no tokenizer, or a language without text.
    """
    if (store := store_of(data)) is not None:
        return measured_in_store(store, languages)
    if tokenizer is None:
        raise BadInput("no tokenizer to measure texts with", where="--measure", expected="--tokenizer, your trainer's")
    if not data.exists():
        raise BadInput("no such file or directory", where=data, expected="a study's directory, or texts by language")
    encoder = load_tokenizer(tokenizer, Path())
    sources = {name: CorpusSource() for name in languages if not is_language(name)}
    corpus = CorpusConfig(reader="files", path=str(data.resolve()), sources=sources)
    reader = open_reader(corpus, languages, Path())
    unique, means, lengths = {}, {}, {}
    for i, (language, tag) in enumerate(zip(languages, reader.languages, strict=True)):
        if tell is not None:
            tell(f"measuring {language}", i, len(languages))
        unique[language], lengths[language], means[language] = _language(reader, tag, encoder, seed)
    return Measured(
        unique,
        means,
        lengths,
        (f"unique tokens and tokens per document were measured in {data} with tokenizer {tokenizer}",),
    )


def _language(reader: Reader, language: str, encoder: Tokenizer, seed: int) -> tuple[float, list[float], float]:
    """Unique tokens, lengths of the documents of a sample, and the mean length over all that was read."""
    parts, scale = _read(reader.parts(language))
    rng = random.Random(f"{seed} {language}")
    sample: list[str] = []
    documents = size = 0
    for part in parts:
        for document in reader.documents(language, part):
            documents += 1
            size += document.bytes
            if len(sample) < SAMPLE:
                sample.append(document.text)
            elif (place := rng.randrange(documents)) < SAMPLE:
                sample[place] = document.text
    if not documents:
        raise BadInput(f"no text in {language}", where="--measure", expected="at least one document")
    tokens = [len(ids) + 1 for ids in encoder.encode_batch(sample)]
    sampled = sum(len(text.encode()) for text in sample)
    total = size * (sum(tokens) - len(sample)) / sampled + documents
    return total * scale, [float(count) for count in tokens], total / documents


def _read(parts: Sequence[Part]) -> tuple[list[Part | None], float]:
    """Parts to read, evenly spread, and how many times as much there is on disk."""
    total = sum(part.bytes for part in parts)
    if not parts or total <= READ_BYTES:
        return [None], 1.0
    count = max(1, round(len(parts) * READ_BYTES / total))
    chosen = [parts[int((k + 0.5) * len(parts) / count)] for k in range(count)]
    return list(chosen), total / sum(part.bytes for part in chosen)
