"""Fertility: how many tokens a language pays for what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from glotmix.corpus.census import Census, CensusRow
from glotmix.corpus.words import fertility_unit

if TYPE_CHECKING:
    from glotmix.tokens.store import TokenStore


MIN_PARALLEL = 10
"""Fewest shared documents that a byte premium is estimated from."""


def take_census(store: TokenStore, reference: str | None = None) -> Census:
    """What a token store holds, language by language. Shares and epochs: :meth:`Census.at`.

    The byte premium of a language is the sum of bytes over the documents it shares with the reference, by an id that is
    a name, divided by the reference's bytes for the same documents (Arnett, Chang and Bergen 2024, "A Bit of a Problem:
    Measurement Disparities in Dataset Sizes across Languages", estimate it on parallel text in the same way). It means
    something only where equal ids mean translations; fewer than ``MIN_PARALLEL`` shared documents give none.

    Args:
        store: the tokens of a study.
        reference: language of byte premium 1; default English if the store has it, else its first language.
    """
    if reference is None:
        reference = "eng_Latn" if "eng_Latn" in store.languages else store.languages[0]
    ours = _named(store, reference)
    rows = []
    for language in store.languages:
        train, held = store.totals(language, "train"), store.totals(language, "held_out")
        shared = ours.join(_named(store, language), on="id", suffix="_theirs")
        rows.append(
            CensusRow(
                language=language,
                documents=train["documents"],
                bytes=train["bytes"],
                unique_tokens=train["tokens"],
                held_out_documents=held["documents"],
                held_out_tokens=held["tokens"],
                held_out_bytes=held["bytes"],
                fertility=(train["tokens"] - train["documents"]) / max(train["words"], 1),
                fertility_unit=fertility_unit(language),
                bytes_per_token=train["bytes"] / train["tokens"],
                byte_premium=_premium(shared["bytes_theirs"].to_numpy(), shared["bytes"].to_numpy()),
                parallel_documents=len(shared),
                share=None,
                epochs=None,
            )
        )
    return Census(tuple(rows), reference, None)


def _named(store: TokenStore, language: str) -> pl.DataFrame:
    """Id and bytes of the training documents whose id is a name."""
    documents = store.documents(language, "train").select("id", "bytes")
    return documents.filter(~pl.col("id").str.contains("#", literal=True)).unique(
        "id", keep="first", maintain_order=True
    )


def _premium(theirs: np.ndarray, ours: np.ndarray) -> float | None:
    return float(theirs.sum() / ours.sum()) if len(ours) >= MIN_PARALLEL else None
