"""Layouts: the files of published data sets as they are handed out, with their own fields for text, class and identity.

A file holds one language, or says of every row which one it is in. Where translations are row by row the same and rows
have no identity, their place is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glotmix.errors import BadInput
from glotmix.language import Language
from glotmix.reading.rows import read_rows
from glotmix.reading.values import text_of
from glotmix.wording import listed

if TYPE_CHECKING:
    from glotmix.attribution.texts import Texts


@dataclass(frozen=True)
class Layout:
    """Names that a data set has for what is read; of several the first that a row has."""

    text: tuple[str, ...]
    """Of the text."""
    label: tuple[str, ...]
    """Of its class."""
    pair: tuple[str, ...] = ()
    """Of the second text; none where there is none."""
    id: tuple[str, ...] = ()
    """Of its identity; without one it is the row's place among those of its language."""
    language: tuple[str, ...] = ("language",)
    """Of its language, in a file of several."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Classes that count as another; none leaves all as they are."""


LAYOUTS = {
    # xnli.test.tsv has sentence1, gold_label and pairID; multinli.train.<language>.tsv premise, hypo and label, no
    # identity, and "contradictory" for the test's "contradiction".
    "xnli": Layout(
        ("sentence1", "premise"), ("gold_label", "label"), ("sentence2", "hypo", "hypothesis"), ("pairID",),
        labels={"contradictory": "contradiction"},
    ),
    "paws_x": Layout(("sentence1",), ("label",), ("sentence2",), ("id",)),
    # Reviews have an identity each, which no translation shares.
    "marc": Layout(("review_body",), ("stars",), (), ("review_id",)),
}  # fmt: skip
"""Name in a study file to how the files are read."""


def read_layout(
    name: str, path: str, languages: Sequence[str], base: Path, counted: Mapping[str, str] | None = None
) -> Texts:
    """Texts of all languages in the files of a data set.

    Args:
        name: of the layout.
        path: the file, relative to ``base``; with ``{language}``, ``{code}`` or ``{short}`` in it a file per language.
        languages: tags.
        base: directory that it starts from.
        counted: class to the name that it counts as, others being left out; default as the layout has it.

    Raises:
        BadInput: no such file, a row without one of the fields, or none of a language.
    """
    from glotmix.attribution.texts import Texts

    layout = LAYOUTS[name]
    rows: list[tuple[str, str, str, str, str]] = []
    apart = any(f"{{{word}}}" in path for word in ("language", "code", "short"))
    for tag in languages if apart else (None,):
        rows += _rows(
            layout, base / (path if tag is None else Language.resolve(tag).put_into(path)), tag, languages, counted
        )
    if lacking := [tag for tag in languages if not any(row[1] == tag for row in rows)]:
        raise BadInput(f"no rows of {listed(lacking)}", where=base / path, expected="some of every language")
    texts, tags, pairs, ids, labels = (tuple(column) for column in zip(*rows, strict=True))
    return Texts(texts, tags, pairs if layout.pair else None, ids, labels)


def _rows(
    layout: Layout, path: Path, tag: str | None, languages: Sequence[str], counted: Mapping[str, str] | None
) -> list[tuple[str, str, str, str, str]]:
    """Text, language, pair, id and label of every row that counts."""
    found, seen = [], dict.fromkeys(languages, 0)
    known: dict[str, str | None] = {}
    for row in read_rows(path):
        language = tag
        if language is None:
            told = _value(row.fields, layout.language, row.place)
            if told not in known:
                known[told] = _tag(told)
            language = known[told]
        if language not in seen:
            continue
        seen[language] += 1
        label = _value(row.fields, layout.label, row.place)
        label = layout.labels.get(label, label)
        if counted:
            if label not in counted:
                continue
            label = counted[label]
        pair = _value(row.fields, layout.pair, row.place) if layout.pair else ""
        has_id = any(name in row.fields for name in layout.id)
        id = _value(row.fields, layout.id, row.place) if has_id else str(seen[language])
        found.append((_value(row.fields, layout.text, row.place), str(language), pair, id, label))
    return found


def _tag(name: str) -> str | None:
    try:
        return Language.resolve(name).tag
    except BadInput:
        return None


def _value(fields: Mapping[str, Any], names: Sequence[str], place: str) -> str:
    for name in names:
        if name in fields:
            value = text_of(fields[name])
            if value is None or not value.strip():
                raise BadInput(f"{name} is empty", where=place, expected="text")
            return value
    raise BadInput(f"no field {' or '.join(names)}", where=place, expected=f"one of {', '.join(map(str, fields))}")
