"""Fertility: how many tokens a language pays for what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from glotmix.corpus.census import Census, CensusRow
from glotmix.corpus.words import fertility_unit

if TYPE_CHECKING:
    from glotmix.tokens.store import TokenStore


COUNTED_TOKENS, CHUNK_TOKENS = 1 << 26, 1 << 20
"""Most tokens of a side that are looked at for what of the vocabulary they use, and how many at once."""
MIN_PARALLEL = 10
"""Fewest shared documents that a byte premium is estimated from."""


def take_census(store: TokenStore, reference: str | None = None) -> Census:
    """What a token store holds, language by language. Shares and epochs: :meth:`Census.at`.

    The byte premium of a language is the sum of bytes over the documents it shares with the reference, by an id that is
    a name, divided by the reference's bytes for the same documents (Arnett, Chang and Bergen 2024, "A Bit of a Problem:
    Measurement Disparities in Dataset Sizes across Languages", estimate it on parallel text in the same way). It means
    something only where equal ids mean translations; fewer than ``MIN_PARALLEL`` shared documents give none. Parity is
    the same in tokens (Petrov et al. 2023, arXiv 2305.15425, call it the tokenization premium): what fairness costs.

    Args:
        store: the tokens of a study.
        reference: language of byte premium 1; default English if the store has it, else its first language. Sources
            without a language, and others of the reference's language, have neither premium nor parity.
    """
    if reference is None:
        reference = next((one for one in store.languages if store.tag(one) == "eng_Latn"), store.languages[0])
    ours = _named(store, reference)
    rows = []
    for language in store.languages:
        train, held = store.totals(language, "train"), store.totals(language, "held_out")
        theirs = _named(store, language)
        text = train if train["tokens"] else held  # of a target all is measured
        if language != reference and store.tag(language) in ("", store.tag(reference)):
            theirs = theirs.clear()
        shared = ours.join(theirs, on="id", suffix="_theirs")
        rows.append(
            CensusRow(
                language=language,
                documents=train["documents"],
                bytes=train["bytes"],
                unique_tokens=train["tokens"],
                held_out_documents=held["documents"],
                held_out_tokens=held["tokens"],
                held_out_bytes=held["bytes"],
                fertility=(text["tokens"] - text["documents"]) / max(text["words"], 1),
                fertility_unit=fertility_unit(store.tag(language)),
                bytes_per_token=text["bytes"] / text["tokens"],
                byte_premium=_premium(shared["bytes_theirs"].to_numpy(), shared["bytes"].to_numpy()),
                parallel_documents=len(shared),
                share=None,
                epochs=None,
                tokens_per_byte=text["tokens"] / max(text["bytes"], 1),
                parity=_premium(shared["length_theirs"].to_numpy() - 1, shared["length"].to_numpy() - 1),
                **_known_of(store, language),
            )
        )
    return Census(tuple(rows), reference, None, store.overlap, store.remarks)


def _named(store: TokenStore, language: str) -> pl.DataFrame:
    """Id, bytes and tokens of the training documents whose id is a name."""
    documents = store.documents(language, "train").select("id", "bytes", "length")
    return documents.filter(~pl.col("id").str.contains("#", literal=True)).unique(
        "id", keep="first", maintain_order=True
    )


def _known_of(store: TokenStore, language: str) -> dict[str, Any]:
    """What the tokenizer makes of a language, and what was read of it."""
    unknown = store.tokenizer().unknown if store.text is None else None  # clones have ids of their own
    seen_V = np.zeros(store.vocab_size, dtype=bool)
    total = unknowns = 0
    for side_N in (store.train(language), store.held_out(language).tokens):
        for start in range(0, min(len(side_N), COUNTED_TOKENS), CHUNK_TOKENS):
            ids_N = side_N[start : start + CHUNK_TOKENS]
            seen_V[ids_N] = True
            total += len(ids_N)
            unknowns += 0 if unknown is None else int(np.count_nonzero(ids_N == unknown))
    known: dict[str, Any] = {
        "vocabulary_share": float(seen_V.mean()),
        "unknown_tokens": unknowns / max(total, 1),
        "lost_text": 0.0 if (kept := store.fidelity(language)) is None else kept.lost,
    }
    if (tally := store.reading(language)) is not None:
        known |= {"files": tally.files, "rows": tally.rows}
        known |= {"left_out": dict(tally.left_out), "labels": dict(tally.labels)}
    return known


def _premium(theirs: np.ndarray, ours: np.ndarray) -> float | None:
    return float(theirs.sum() / ours.sum()) if len(ours) >= MIN_PARALLEL else None
