"""Labels: the language that a row says it is in, however the file spells it, and what to do with one that says nothing.

A label may be a tag in any spelling, an English name, a list of one, or fastText's ``__label__spa_Latn``. A row whose
label is missing, ``und`` and the like, or names several languages belongs to none of those asked for: it is left out
and counted. Anything else that is no language is an error, as it may be one that is misspelt; ``labels`` says what it
is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from glotmix.errors import BadInput
from glotmix.language import NO_LANGUAGE, Language
from glotmix.reading.values import is_missing, kind_of, text_of

LEFT_OUT = "und"
"""What ``labels`` maps a label to whose rows are left out."""
_LISTED = re.compile(r"\s*[,;|]\s*")


@dataclass(frozen=True)
class Label:
    """What a row says."""

    tag: str | None
    """Tag of its language; None where it is in none that is known."""
    reason: str
    """Why it is in none; "" otherwise."""
    spelling: str
    """The label as it stands there."""


class Labels:
    """What labels mean."""

    def __init__(self, meanings: Mapping[str, str] | None = None, *, option: str = "corpus.labels"):
        """
        Args:
            meanings: label to language, for labels that are none or mean another one; ``und`` leaves its rows out.
            option: name of the setting that these come from, for messages.

        Raises:
            BadInput: a meaning that is no language.
        """
        self._option = option
        self._meanings = dict(meanings or {})
        for label, meaning in self._meanings.items():
            if meaning.casefold() not in NO_LANGUAGE:
                try:
                    Language.resolve(meaning)
                except BadInput as error:
                    raise BadInput(f"{label}: {error.message}", where=option, expected=error.expected) from None

    def read(self, value: object, script: object = None, *, field: str, place: str) -> Label:
        """What a row says by the value of its label.

        Args:
            value: the label, text or a list of them.
            script: ISO 15924 code that stands in a field of its own, if any.
            field: name of the label's field, for messages.
            place: file and line, for messages.

        Raises:
            BadInput: a label that is no language and is not known to mean none.
        """
        if isinstance(value, list | tuple):
            return self._of_list(value, script, field, place)
        if is_missing(value):
            return Label(None, "no label", "")
        text = text_of(value)
        if text is None:
            raise BadInput(f"{field} is {kind_of(value)}", where=place, expected="a language, or a list of one")
        text = text.strip()
        meant = self._meanings.get(text, text)
        if isinstance(script, str) and script.strip() and "_" not in meant:
            meant = f"{meant}_{script.strip()}"
        if (found := _meant(meant)) is not None:
            return Label(found or None, "" if found else f"labelled {text}", text)
        if len(parts := [part for part in _LISTED.split(text) if part]) > 1:
            return self._of_list(parts, script, field, place)
        raise self._unknown(meant, text, field, place)

    def _unknown(self, meant: str, text: str, field: str, place: str) -> BadInput:
        try:
            found = Language.resolve(meant).tag
        except BadInput as error:
            ways = f"{error.expected}; or {self._option}: {{{text[:40]!r}: {LEFT_OUT}}} to leave such rows out"
            return BadInput(f"{field}: {error.message}", where=place, expected=ways)
        raise AssertionError(found)

    def _of_list(self, values: Sequence[Any], script: object, field: str, place: str) -> Label:
        found = [self.read(value, script, field=field, place=place) for value in values[:100]]
        tags = {one.tag for one in found if one.tag is not None}
        spelling = ", ".join(one.spelling for one in found)[:100]
        if len(tags) == 1 and all(one.tag for one in found):
            return Label(tags.pop(), "", spelling)
        if not found:
            return Label(None, "no label", "")
        return Label(None, f"labelled {spelling}" if not tags else "labelled with several languages", spelling)


@lru_cache(maxsize=10_000)
def _meant(text: str) -> str | None:
    """Tag of a label; "" for one that means no language, None for one that is not known."""
    plain = text.removeprefix("__label__")
    head = re.split(r"[-_]", plain, maxsplit=1)[0].casefold()
    if plain.casefold() in NO_LANGUAGE or head in ("und", "mul", "zxx", "mis"):
        return ""
    try:
        return Language.resolve(plain).tag
    except BadInput:
        return None
