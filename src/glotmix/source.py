"""Source: what a mixture has shares of, a language or a part of the data under a free name: ``eng/web-high``, ``code``.

Tables, files and pages are keyed by these names, so a name must be safe in all of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from glotmix.errors import BadInput

EXPECTED = "letters, digits and _ - . /, such as eng/web-high"
LONGEST = 100
"""Characters of a name."""
_PART = re.compile(r"\w(?:[\w.-]*\w)?")
"""What stands between slashes; it begins and ends with a letter, a digit or _, so it is no option, no hidden file and
leads nowhere (``..``)."""
_SLASH = "~"
"""Stands for a slash in names of files; no name holds one."""


def source_name(text: object) -> str:
    """The name of a source as it is kept: trimmed, letters composed (NFC).

    Raises:
        BadInput: it is no text, is empty or too long, or holds something that is not safe everywhere.
    """
    name = unicodedata.normalize("NFC", text.strip()) if isinstance(text, str) else ""
    if len(name) > LONGEST:
        raise BadInput(f"a name of {len(name)} characters", expected=f"at most {LONGEST}")
    if not all(map(_PART.fullmatch, name.split("/"))):
        raise BadInput(f"{text!r} is no name of a source", expected=EXPECTED)
    return name


def same_name(one: str, other: str) -> bool:
    """Whether two names are one: they differ in white space around them and in case alone."""
    return _key(one) == _key(other)


def named_twice(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names that are one; None where all are different."""
    seen: dict[str, str] = {}
    for name in names:
        if (key := _key(name)) in seen:
            return seen[key], name
        seen[key] = name
    return None


def named_as(text: object, known: Sequence[str]) -> str | None:
    """The one of some names that a text means; None where it is none of them."""
    return next((name for name in known if isinstance(text, str) and same_name(text, name)), None)


def file_stem(name: str) -> str:
    """The name of a source's files: its own, with a sign that no name holds for every slash."""
    return name.replace("/", _SLASH)


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name.strip()).casefold())
