"""Tokenise a corpus into a store, piece by piece."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from glotmix.artifact import creating, fingerprint, open_artifact, read_json, write_json
from glotmix.corpus.document import Document
from glotmix.corpus.overlap import TextOverlap, held_out_elsewhere, leaks_of, shared_texts
from glotmix.corpus.readers.reader import Reader, remarks
from glotmix.corpus.sample import LowestHashes
from glotmix.corpus.split import HELD_OUT_ELSEWHERE, hashed_documents
from glotmix.errors import BadInput, Problems
from glotmix.progress import Advance
from glotmix.reading.tally import ReadTally
from glotmix.tokens.balance import balanced_tokenizer
from glotmix.tokens.config import TokensConfig
from glotmix.tokens.fidelity import check_fidelity, fidelity
from glotmix.tokens.joining import hashes_of, join, nearly_held_out
from glotmix.tokens.opening import open_store
from glotmix.tokens.pieces import TALLY, Piece, TokenizeSpec, plan_pieces, write_piece
from glotmix.tokens.store import KIND, SUMMARY, TokenStore
from glotmix.tokens.tokenizer import Tokenizer, load_tokenizer

Scatter = Callable[[TokenizeSpec, Sequence[Piece], Advance | None], None]
"""Makes pieces in other processes; returns when all are there."""


SCATTER_FROM = 32 << 20
"""Bytes on disk from which pieces are worth processes of their own."""


MOST_OF_ONE = 8
"""Times the mean that a language may have of an unequal sample."""
SAMPLE_REACH = 16
"""The tokenizer's sample is drawn from the first ``SAMPLE_REACH × sample_bytes`` bytes of each language."""


def build_store(
    directory: Path,
    reader: Reader,
    languages: Sequence[str],
    tokens_config: TokensConfig,
    held_out: float,
    *,
    base: Path = Path(),
    tokenizer: Tokenizer | None = None,
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
        tokenizer: takes the place of the one that ``tokens_config`` names.
        min_tokens: fewest tokens, in training and held out, that are of any use (one sequence and one token more).
        progress: told the language, the bytes of text read so far and, where known, the bytes there will be.
        scatter: makes pieces in other processes, where there are several of them and much text.

    Raises:
        BadInput: a language without text or with fewer than ``min_tokens`` tokens; a store made by other settings.
        Corrupt: the store that is there changed since it was written.
        GlotmixError: the disk is full; nothing is left under ``directory``.
    """
    languages = tuple(languages)
    given = tokenizer
    if given is None and tokens_config.tokenizer != "train":
        given = load_tokenizer(tokens_config.tokenizer, base)
    made_from = {
        "corpus": reader.inputs(),
        "languages": list(languages),
        "tokens": tokens_config.model_dump(),
        "tokenizer": given.fingerprint if given else "train",
        "held_out": held_out,
    } | ({} if reader.config.near_duplicates is None else {"near_duplicates": reader.config.near_duplicates})
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
    kept = {name: fidelity(tokenizer, reader.documents(name)) for name in languages} if given else {}
    if tokens_config.lossy == "refuse":
        check_fidelity(kept, tokens_config.tokenizer)
    dtype = "<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4"
    missing = [piece for piece in pieces if not piece.is_complete()]
    if scatter and len(missing) > 1 and sum(piece.part.bytes for piece in missing if piece.part) >= SCATTER_FROM:
        workshop = TokenizeSpec(reader.config, reader.languages, reader.base, trained, dtype, held_out)
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
        if (tags := {name: reader.config.tag(name) for name in languages}) != {name: name for name in languages}:
            summary["tags"] = tags
        if any(reader.config.is_pairs(name) for name in languages):
            summary["pairs"] = True
        if targets := [name for name in languages if reader.config.is_target(name)]:
            summary["targets"] = targets
        own = {name: [piece.directory for piece in pieces if piece.language == name] for name in languages}
        hashes = {name: hashes_of(places) for name, places in own.items()}
        held = {name: held_N for name, (_, held_N) in hashes.items()}
        every = {name: hash_N for name, (hash_N, _) in hashes.items()}
        elsewhere = held_out_elsewhere(held)
        (texts, shared), (counts, leaks) = shared_texts(every), leaks_of(every, held)
        del hashes, held, every
        shared = {
            one: {
                other: n
                for other, n in row.items()
                if not (reader.config.is_blend_of(one, other) or reader.config.is_blend_of(other, one))
            }
            for one, row in shared.items()
        }
        shared = {one: row for one, row in shared.items() if row}
        near = None if (share := reader.config.near_duplicates) is None else nearly_held_out(own, share)
        reading, problems = {}, []
        for language, places in own.items():
            tally = _tallied(places)
            alike = None if near is None else near.rows[language]
            most = tokens_config.held_out_tokens
            totals = join(part, language, places, most, dtype, elsewhere.pop(language), tally, alike)
            if reader.config.is_target(language):
                problems += _no_target(language, totals)
            else:
                problems += _too_little(language, totals, min_tokens, held_out, most)
            summary["languages"][language], reading[language] = totals, tally
        if problems:
            raise problems[0] if len(problems) == 1 else Problems(problems)
        left_out = {name: tally.left_out[HELD_OUT_ELSEWHERE] for name, tally in reading.items()}
        left_out = {name: n for name, n in left_out.items() if n}
        found = {} if near is None else near.leaks
        counts = counts if leaks or found else {}
        summary["overlap"] = TextOverlap(texts, shared, left_out, counts, leaks, found).to_json()
        summary["remarks"] = list(remarks(reader))
        limited = [name for name in languages if reader.bytes_wanted(name) is not None]
        there = {name: count[0] for name in limited if (count := reader.counted(name)) is not None}
        summary |= {"there": there} if there else {}
        summary["reading"] = {name: tally.to_json() for name, tally in reading.items()}
        summary["fidelity"] = {name: asdict(one) for name, one in kept.items()}
        write_json(part / SUMMARY, summary)
    shutil.rmtree(folder, ignore_errors=True)
    return open_store(directory)


def _trained(
    reader: Reader, languages: Iterable[str], config: TokensConfig, held_out: float, progress: Advance | None
) -> Tokenizer:
    """A tokenizer trained on a fair sample of the training documents of every language."""

    def train(language: str) -> Iterator[Document]:
        return (d for d, side, _ in hashed_documents(reader, language, held_out) if side == "train")

    return trained_on({name: train(name) for name in languages if not reader.config.is_target(name)}, config, progress)


def trained_on(
    documents: Mapping[str, Iterable[Document]], config: TokensConfig, progress: Advance | None = None
) -> Tokenizer:
    """A tokenizer trained on a fair sample of documents of every language."""
    samples: dict[str, list[Document]] = {}
    sizes: dict[str, int] = {}
    by_bytes = config.balance == "bytes"
    for language, found in documents.items():
        # By temperature the sizes must be known, and a large language may get several times the mean.
        reach = found if config.balance == "temperature" else _until(found, SAMPLE_REACH * config.sample_bytes)
        kept = LowestHashes(config.sample_bytes * (1 if by_bytes else MOST_OF_ONE))
        if progress:
            progress(f"sampling {language}", 0, None)
        sizes[language] = 0
        for document in reach:
            sizes[language] += (size := document.bytes)
            kept.add(document, size)
        samples[language] = kept.in_order()
    if progress:
        progress("training the tokenizer", 0, None)
    return balanced_tokenizer(samples, sizes, config)


def _until(documents: Iterable[Document], limit: int) -> Iterator[Document]:
    """Documents until they hold ``limit`` characters."""
    read = 0
    for document in documents:
        yield document
        read += len(document.text)
        if read >= limit:
            return


def _tallied(pieces: Sequence[Path]) -> ReadTally:
    """What all pieces of a language read."""
    total = ReadTally()
    for piece in pieces:
        total.add(ReadTally.from_json(read_json(piece / TALLY)))
    return total


def _no_target(language: str, totals: dict[str, dict[str, int]]) -> list[BadInput]:
    if totals["held_out"]["bytes"]:
        return []
    return [
        BadInput(f"{language} has no text to measure", where=f"targets.{language}", expected="at least one document")
    ]


def _too_little(
    language: str, totals: dict[str, dict[str, int]], min_tokens: int, held_out: float, most: int
) -> list[BadInput]:
    """A language that cannot fill one sequence, on either side, stops the study here and not in a proxy."""
    train, measured = totals["train"]["tokens"], totals["held_out"]["tokens"]
    found = []
    if train < min_tokens:
        found.append(
            BadInput(f"{language} has {train} training tokens", where="corpus", expected=f"at least {min_tokens}")
        )
    if measured < min_tokens:
        documents = totals["train"]["documents"]
        told = f"{language} has {measured} held-out tokens ({documents} documents to train on, {held_out:g} held out"
        expected = f"a share that leaves at least {min_tokens} tokens to measure on"
        where = "corpus.held_out"
        if most < min_tokens:
            told, where, expected = (
                f"{told}, at most {most} measured",
                "tokens.held_out_tokens",
                f"{min_tokens} or more",
            )
        found.append(BadInput(f"{told})", where=where, expected=expected))
    return found
