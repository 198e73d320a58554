"""Row fields: which field of a file's rows holds the text, which the language, and whether the rows are chats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glotmix.errors import BadInput
from glotmix.language import NO_LANGUAGE
from glotmix.reading.labels import Labels
from glotmix.reading.values import is_missing, value_of

TEXT_NAMES = ("text", "content", "document", "body", "raw_content", "raw_text", "article", "passage", "sentence")
"""What the field with the text is usually called; the first that is there counts."""
LANGUAGE_NAMES = (
    "language", "lang", "lang_code", "language_code", "lang_id", "language_id", "langid", "lid", "locale",
    "lang_script", "iso_639_3", "iso639_3", "iso",
)  # fmt: skip
"""What the field with the language is usually called."""
TURNS = {"messages": "chat", "conversations": "sharegpt"}
"""Fields with the turns of a chat, to the source of a post-training study that reads them."""
MOSTLY = 0.9
"""Share of the rows that must agree where a field is known by its values and not by its name."""
LONG_TEXT = 20
"""Characters, on average, from which a field without a usual name is taken for the text."""
LONGEST_LABEL = 40
"""Characters of a label of a language, where its field has no usual name."""


@dataclass(frozen=True)
class RowFields:
    """What the fields of some rows are."""

    text: str | None
    """Field with the text; None where none is."""
    language: str | None
    """Field with the language; None where none is."""
    chat: str | None
    """Source of a post-training study that reads such rows ("chat", "sharegpt"); None where they are no chats."""
    names: tuple[str, ...]
    """All fields, one inside another as ``metadata.lang``."""


def row_fields(rows: Sequence[Mapping[str, Any]]) -> RowFields:
    """Tell the fields of some rows by their names, else by their values."""
    names = tuple(dict.fromkeys(name for row in rows for name in _names(row)))
    values = {name: [value_of(row, name) for row in rows] for name in names}
    language = _language(values)
    text = _text({name: found for name, found in values.items() if name != language})
    chat = next((source for name, source in TURNS.items() if any(_turns(row.get(name)) for row in rows)), None)
    if chat is None and {"prompt", "completion"} <= set(names):
        chat = "chat"
    if chat is not None and text is not None and text.rpartition(".")[2].lower() not in TEXT_NAMES:
        text = None  # the longest field of a chat is a part of it
    return RowFields(text, language, chat, names)


def _names(row: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name, value in row.items():
        if isinstance(value, Mapping) and not before:
            yield from _names(value, f"{name}.")
        else:
            yield f"{before}{name}"


def _turns(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(turn, Mapping) for turn in value)


def _text(values: Mapping[str, list[Any]]) -> str | None:
    texts = {
        name: [one for one in found if isinstance(one, str) and one.strip()]
        for name, found in values.items()
        if all(isinstance(one, str) for one in found if not is_missing(one))
    }
    texts = {name: found for name, found in texts.items() if found}
    for name in TEXT_NAMES:
        if (inside := next((one for one in texts if one.rpartition(".")[2].lower() == name), None)) is not None:
            return inside
    lengths = {name: sum(map(len, found)) / len(found) for name, found in texts.items()}
    longest = max(lengths, key=lengths.__getitem__, default=None)
    return longest if longest is not None and lengths[longest] >= LONG_TEXT else None


def _language(values: Mapping[str, list[Any]]) -> str | None:
    known = [name for usual in LANGUAGE_NAMES for name in values if name.rpartition(".")[2].lower() == usual]
    for name in known:
        if _shares(values[name])[0] >= 0.5:
            return name
    for name, found in values.items():
        labels = [one for one in found if isinstance(one, str) and one.strip()]
        if not labels or max(map(len, labels)) > LONGEST_LABEL or all(one.casefold() in NO_LANGUAGE for one in labels):
            continue
        resolved, tags = _shares(labels)
        if resolved >= MOSTLY and tags > 1 and len(labels) >= MOSTLY * len(found):
            return name
    return None


def _shares(values: Sequence[Any]) -> tuple[float, int]:
    """Share of the labels that say a language, or that there is none; and how many languages they name."""
    labels, sound, tags = Labels(), 0, set[str]()
    given = [value for value in values if not is_missing(value)]
    for value in given:
        try:
            label = labels.read(value, field="", place="")
        except BadInput:
            continue
        sound += 1
        tags |= {label.tag} if label.tag else set()
    return (sound / len(given) if given and tags else 0.0), len(tags)
