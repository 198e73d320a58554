"""Texts of a classification task: what a classifier is tuned on, and what its influence is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import polars as pl
import torch

from glotmix.attribution.samples import Samples
from glotmix.errors import BadInput
from glotmix.language import Language
from glotmix.reading.rows import read_rows
from glotmix.reading.values import kind_of, text_of

MOST_ROWS = 5_000_000
"""A table with more rows than this is not one of samples whose influence is asked."""

COLUMNS = ("text", "language", "pair", "id", "label")


class Encoder(Protocol):
    """A tokenizer, as classifiers need it."""

    padding: int
    """Id of padding."""

    def __call__(self, texts: Sequence[str], pairs: Sequence[str] | None, length: int) -> list[list[int]]:
        """Token ids of every text (or pair of texts), at most ``length`` of them."""


@dataclass(frozen=True)
class Texts:
    """N texts with their languages; the other fields are None where there is no such thing."""

    texts: tuple[str, ...]
    """The texts."""
    languages: tuple[str, ...]
    """Language of every text."""
    pairs: tuple[str, ...] | None = None
    """Second texts, where the task is one of pairs (paraphrase, entailment)."""
    ids: tuple[str, ...] | None = None
    """Identity of every text, shared by translations."""
    labels: tuple[str, ...] | None = None
    """Class of every text."""

    def __post_init__(self) -> None:
        if not self.texts:
            raise BadInput("no texts")
        for name in ("languages", "pairs", "ids", "labels"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.texts):
                raise BadInput(f"{len(values)} {name} for {len(self.texts)} texts")

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, each once, sorted."""
        return tuple(sorted(set(self.labels or ())))

    def take(self, chosen: Sequence[int]) -> Texts:
        """The texts at these places, in this order."""

        def pick(values: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if values is None else tuple(values[i] for i in chosen)

        texts, languages = pick(self.texts) or (), pick(self.languages) or ()
        return Texts(texts, languages, pick(self.pairs), pick(self.ids), pick(self.labels))

    @classmethod
    def joined(cls, *tables: Texts) -> Texts:
        """Several tables as one; what not all of them have, none has."""

        def put(name: str) -> tuple[str, ...] | None:
            columns = [getattr(table, name) for table in tables]
            return None if None in columns else tuple(value for column in columns for value in column)

        return cls(put("texts") or (), put("languages") or (), put("pairs"), put("ids"), put("labels"))

    def without(self, language: str) -> Texts:
        """The texts of all other languages."""
        return self.take([i for i, name in enumerate(self.languages) if name != language])

    def encoded(self, encoder: Encoder, length: int, classes: Sequence[str] | None = None) -> Samples:
        """Token ids, masks and classes of the texts.

        Args:
            encoder: the model's tokenizer.
            length: most tokens of a text; what is beyond is cut off.
            classes: the model's classes in order; without them there are no ``labels`` among the inputs.

        Raises:
            BadInput: a text without tokens, or a label that is none of the classes.
        """
        ids = encoder(self.texts, self.pairs, length)
        for i, row in enumerate(ids):
            if not row:
                raise BadInput(f"text {i} ({self.languages[i]}) has no tokens: {self.texts[i][:40]!r}")
        width = max(map(len, ids))
        inputs = {
            "input_ids": torch.tensor([row + [encoder.padding] * (width - len(row)) for row in ids]),
            "attention_mask": torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids]),
        }
        if classes is not None:
            inputs["labels"] = torch.tensor(self._places(classes))
        return Samples(inputs, self.languages, self.ids, self.labels)

    def _places(self, classes: Sequence[str]) -> list[int]:
        place = {name: i for i, name in enumerate(classes)}
        if self.labels is None:
            raise BadInput("texts without labels", expected=f"one of {', '.join(classes)} for each")
        if unknown := sorted(set(self.labels) - set(place)):
            raise BadInput(f"label {unknown[0]!r}", expected=f"one of {', '.join(classes)}, the model's classes")
        return [place[label] for label in self.labels]

    def save(self, path: Path) -> None:
        """Write a Parquet file with the columns that :func:`read_texts` reads."""
        columns = {"text": self.texts, "language": self.languages}
        more = {"pair": self.pairs, "id": self.ids, "label": self.labels}
        pl.DataFrame(columns | {k: v for k, v in more.items() if v is not None}).write_parquet(path)


def drawn(keys: Sequence[str], most: int, seed: int) -> list[int]:
    """Places of at most so many of them, drawn at random and in order; equal keys are drawn or left together.

    By a hash of seed and key, not by their number: of other languages with the same keys the same are drawn.
    """
    rank = {key: blake2b(f"{seed} {key}".encode(), digest_size=8).digest() for key in set(keys)}
    return sorted(sorted(range(len(keys)), key=lambda i: (rank[keys[i]], i))[:most])


def in_one_spelling(*tables: Texts) -> tuple[Texts, ...]:
    """The same tables with one name for a language that they spell in several ways ("es" and "spa_Latn"): its tag.

    What is no language, or is always spelt alike, keeps its name: a table may tell of any groups.
    """
    tags: dict[str, str | None] = {}
    for name in (name for table in tables for name in table.languages):
        if name not in tags:
            try:
                tags[name] = Language.resolve(name).tag
            except BadInput:
                tags[name] = None
    known = [tag for tag in tags.values() if tag is not None]
    named = {name: tag if tag is not None and known.count(tag) > 1 else name for name, tag in tags.items()}
    return tuple(replace(table, languages=tuple(named[name] for name in table.languages)) for table in tables)


def read_texts(path: Path) -> Texts:
    """Read a table of texts: JSON Lines, JSON, CSV, TSV or Parquet (:mod:`glotmix.reading.rows`) with the columns
    ``text`` and ``language``, and maybe ``pair`` (a second text), ``id`` (shared by translations) and ``label``.
    Whatever stands in them is text: the id 007 is not 7.

    Raises:
        BadInput: no such file, not such a table, a column or a value that is missing, with file and line.
    """
    columns: dict[str, list[str]] = {}
    count, first = 0, ""
    for row in read_rows(path):
        if not count:
            first, columns = row.place, {name: [] for name in COLUMNS if name in row.fields}
            for name in ("text", "language"):
                if name not in columns:
                    there = ", ".join(map(str, list(row.fields)[:12]))
                    raise BadInput(f"no column {name!r}", where=path, expected=f"text and language, found {there}")
        count += 1
        if count > MOST_ROWS:
            raise BadInput(f"over {MOST_ROWS} rows", where=path, expected=f"1 to {MOST_ROWS}")
        if more := [name for name in COLUMNS if name in row.fields and name not in columns]:
            raise BadInput(
                f"{more[0]} for the first time", where=row.place, expected=f"in every row, as from {first} on"
            )
        for name, values in columns.items():
            values.append(_value(row.fields.get(name), name, row.place))
    if not count:
        raise BadInput("0 rows", where=path, expected=f"1 to {MOST_ROWS}")
    further = [tuple(columns[name]) if name in columns else None for name in ("pair", "id", "label")]
    return Texts(tuple(columns["text"]), tuple(columns["language"]), *further)


def _value(value: object, name: str, place: str) -> str:
    text = str(value).lower() if isinstance(value, bool) and name == "label" else text_of(value)
    if text is None or (not text.strip() and name != "pair"):
        found = "empty" if text is not None else kind_of(value)
        raise BadInput(f"{name} is {found}", where=place, expected="text")
    return text
