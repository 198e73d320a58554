"""Clones: languages that are equivalent by construction, as token ids over a store that exists already.

A clone of a language has its text and its tokenizer, but ids of its own: whatever a model learns of one through the
other is transfer, and nothing is linguistics. Source: "The Role of Language Imbalance in Cross-lingual Generalisation"
(arXiv 2404.07982) and its released ``ClonedLanguageDataset``. Nothing is copied: a clone is a table from ids to ids.

Language i = 1 … n reads token ``x`` of the text as ``map_i(x)``: with V ids and nothing shared, ``x + (i - 1) V``.
**Anchors** are ids that all clones keep in common; the others of clone i > 1 get the next free ids, so the vocabulary
has ``V + (n - 1)(V - anchors)`` ids and, with anchors = 1, is the text's own. **Relatives** permute a share of the ids
among themselves before that: with anchors = 1 they write with the same ids and mean other things by that share of them,
so how alike two languages are is a dial. The same tables make the vocabularies of real languages **disjoint** or leave
them merged: then every language reads its own text.

Departures from the released code: exact counts per language in place of independent draws; more than two languages may
have anchors; ids that do not occur in the text are no anchors, since they would count for nothing; there is no padding.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import Field

from glotmix.artifact import creating, open_artifact, write_json
from glotmix.config import Section
from glotmix.corpus.split import Side
from glotmix.errors import BadInput
from glotmix.tokens.store import CLONES, SUMMARY, UNIGRAM_TOKENS, HeldOutText, TokenStore, open_plain, verified
from glotmix.tokens.tokenizer import Tokenizer

MAPS = "maps.npy"
SIDES: tuple[Side, Side] = ("train", "held_out")


class ClonesConfig(Section):
    """How a language is cloned."""

    n: int = Field(2, ge=1, le=100)
    """Languages, the original among them."""
    anchors: float = Field(0.0, ge=0, le=1)
    """Share of the ids of the text that all clones have in common."""
    anchors_by: Literal["random", "frequency"] = "random"
    """Which ids those are: any, or the most frequent ones."""
    permuted: float = Field(0.0, ge=0, le=1)
    """Share of the ids that mean something else in each clone (graded relatives)."""
    parallel: float = Field(0.0, ge=0, le=1)
    """Share of the text that is read in every language; the rest is read in one only."""
    share_end: bool = False
    """Whether the end of a document is the same id in all clones; in the paper it is cloned."""
    seed: int = 0
    """Seed of anchors and permutations."""


def clone_names(language: str, n: int) -> tuple[str, ...]:
    """``fra_Latn.1``, ``fra_Latn.2``, …: the original is the first."""
    return tuple(f"{language}.{i}" for i in range(1, n + 1))


def clone_maps(config: ClonesConfig, count_V: np.ndarray, end_of_document: int) -> tuple[np.ndarray, int]:
    """From the text's ids to those of every clone, [n, V], and the size of the vocabulary.

    Args:
        config: anchors, permutations, seed.
        count_V: how often each id occurs in the text.
        end_of_document: id that follows every document.
    """
    V = len(count_V)
    rng = np.random.default_rng([config.seed, 0])
    shuffled = rng.permutation(V)
    occurring = shuffled[count_V[shuffled] > 0]
    if config.anchors_by == "frequency":
        occurring = occurring[np.argsort(-count_V[occurring], kind="stable")]
    cloned_V = np.ones(V, dtype=bool)
    cloned_V[occurring[: round(config.anchors * len(occurring))]] = False
    if config.anchors == 1:
        cloned_V[:] = False
    if config.share_end:
        cloned_V[end_of_document] = False
    own = np.flatnonzero(cloned_V)
    maps_nV = np.tile(np.arange(V), (config.n, 1))
    for i in range(1, config.n):
        maps_nV[i, own] = V + (i - 1) * len(own) + np.arange(len(own))
        maps_nV[i] = maps_nV[i, _relative(config, i, occurring, V, end_of_document)]
    return maps_nV, V + (config.n - 1) * len(own)


def _relative(config: ClonesConfig, clone: int, occurring: np.ndarray, V: int, end_of_document: int) -> np.ndarray:
    """A permutation of the ids that moves exactly the share asked for of those that occur (one cycle)."""
    order_V = np.arange(V)
    rng = np.random.default_rng([config.seed, 1, clone])
    words = rng.permutation(occurring[occurring != end_of_document])
    moved = words[: round(config.permuted * len(words))]
    order_V[moved] = np.roll(moved, 1)
    return order_V


class MappedTokens:
    """A text as a clone reads it: an array of ids, looked up when asked for."""

    def __init__(self, tokens: np.ndarray, map_V: np.ndarray):
        self._tokens, self._map_V = tokens, map_V
        self.dtype = map_V.dtype
        self.shape = (len(tokens),)

    def __len__(self) -> int:
        return len(self._tokens)

    def __getitem__(self, index: Any) -> Any:
        return self._map_V[self._tokens[index]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._map_V[self._tokens], dtype=dtype)


class ClonedStore(TokenStore):
    """The token store of clones; made by :func:`clone_store`, opened by :func:`glotmix.tokens.opening.open_store`.

    Every clone has the whole text for its own (``unique_tokens``); that a run reads each sequence in one language only
    is seen to by :class:`glotmix.mixture.samplers.clones.CloneSampler`, which the batches use because the store has a
    ``text``.
    """

    texts: tuple[str, ...]
    """Language of the base store that each language here reads."""
    parallel: float
    """Share of the text that every clone reads."""
    maps_nV: np.ndarray
    """From the base's ids to those of each language."""

    def _open(self) -> None:
        self.texts, self.parallel = tuple(self._summary["texts"]), self._summary["parallel"]
        self.text = self.texts[0] if len(set(self.texts)) == 1 else None
        self.maps_nV = np.load(self.directory / MAPS, allow_pickle=False).astype(self.dtype)

    def text_of(self, language: str) -> str:
        """Language of the base store that a language here reads."""
        self._path(language, "train", "bin")
        return self.texts[self.languages.index(language)]

    @cached_property
    def base(self) -> TokenStore:
        """The store of the text."""
        base = open_plain(self.directory / self._summary["base"])
        if base.fingerprint != self._summary["base_fingerprint"]:
            raise BadInput(f"the tokens in {base.directory} are not those it was made from", where=self.directory)
        return base

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return self.base.tokenizer()

    def map_of(self, clone: str) -> np.ndarray:
        """From the text's ids to those of a clone, [V]."""
        self._path(clone, "train", "bin")
        return np.asarray(self.maps_nV[self.languages.index(clone)])

    def train(self, language: str) -> np.ndarray:
        """All training tokens of a clone; not in memory, but indexed like an array."""
        return MappedTokens(self.base.train(self.text_of(language)), self.map_of(language))  # type: ignore[return-value]

    def held_out(self, language: str) -> HeldOutText:
        """The text's held-out tokens in the clone's ids."""
        held, map_V = self.base.held_out(self.text_of(language)), self.map_of(language)
        return HeldOutText(map_V[held.tokens], held.bytes, held.documents, int(map_V[self.base.end_of_document]))

    def documents(self, language: str, split: Side) -> pl.DataFrame:
        """The text's index."""
        return self.base.documents(self.text_of(language), split)

    def in_text(self, language: str, ids: np.ndarray) -> np.ndarray:
        """The text's ids of a clone's: the inverse of its map."""
        map_V = self.map_of(language)
        back = np.full(self.vocab_size, -1)
        back[map_V] = np.arange(len(map_V))
        return np.asarray(back[ids])


def clone_store(directory: Path, base: TokenStore, text: str | Sequence[str], config: ClonesConfig) -> ClonedStore:
    """Make the store of a language's clones, or open the one that is there.

    Args:
        directory: where it will be; it holds the tables and the way to ``base``, no text.
        base: store of the text.
        text: the language that is cloned; or several, which keep their names and texts and get ids as clones would.
        config: how; of several languages ``n`` is their number.

    Raises:
        BadInput: a language that the store does not have; a directory made by other settings.
    """
    texts = (text,) * config.n if isinstance(text, str) else tuple(text)
    names = clone_names(text, config.n) if isinstance(text, str) else texts
    config = config.model_copy(update={"n": len(texts)})
    made_from = {"base": base.fingerprint, "texts": list(texts), "clones": config.model_dump()}
    if open_artifact(directory, CLONES, made_from) is None:
        maps_nV, vocab_size = clone_maps(config, _counts(base, texts), base.end_of_document)
        sides = [{side: base.totals(one, side) for side in SIDES} for one in texts]
        summary: dict[str, Any] = {
            "texts": texts,
            "parallel": config.parallel,
            "base": os.path.relpath(base.directory, directory),
            "base_fingerprint": base.fingerprint,
            "languages": dict(zip(names, sides, strict=True)),
            "vocab_size": vocab_size,
            "end_of_document": base.end_of_document,
            "dtype": "<u2" if vocab_size <= 1 << 16 else "<u4",
        }
        with creating(directory, CLONES, made_from) as part:
            np.save(part / MAPS, maps_nV, allow_pickle=False)
            write_json(part / SUMMARY, summary)
    return open_clones(directory)


def open_clones(directory: Path, *, verify: bool = False) -> ClonedStore:
    """The store of clones in ``directory``; see :func:`glotmix.tokens.opening.open_store`."""
    return ClonedStore(verified(directory, CLONES, verify=verify)[0])


def _counts(base: TokenStore, texts: Sequence[str]) -> np.ndarray:
    """How often each id occurs in the texts (at most ``UNIGRAM_TOKENS`` of each), [V]."""
    counts = [np.bincount(base.train(one)[:UNIGRAM_TOKENS], minlength=base.vocab_size) for one in dict.fromkeys(texts)]
    return np.asarray(np.sum(counts, axis=0))


def shared_mass(store: ClonedStore, clone: str) -> float:
    """Share of the text's tokens that a clone writes exactly as the original does: how alike the two really are."""
    same_V = store.map_of(clone) == store.map_of(store.languages[0])
    count_V = _counts(store.base, [store.text_of(clone)])
    return float(count_V[same_V].sum() / count_V.sum())
