"""Phrases: how one language says the embedded tasks, from ``phrases/<language>.toml`` and num2words."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from glotmix.errors import BadInput, MissingExtra

DATA = Path(__file__).with_suffix("")
LISTS = ("things", "names")
"""Lists of single words, written with spaces between."""


@lru_cache(maxsize=1)
def embedded_languages() -> tuple[str, ...]:
    """Tags of the languages that the embedded tasks are written in."""
    return tuple(sorted(path.stem for path in DATA.glob("*_*.toml")))


class Phrases:
    """One language's words and templates. Lists are parallel: entry i means the same in every language."""

    def __init__(self, language: str):
        if language not in embedded_languages():
            raise BadInput(
                f"the embedded tasks are not written in {language}",
                where="languages",
                expected=" | ".join(embedded_languages()),
            )
        try:
            import num2words
        except ImportError:
            raise MissingExtra("num2words", "train") from None
        with open(DATA / f"{language}.toml", "rb") as file:
            data: dict[str, Any] = tomllib.load(file)
        self.language = language
        self.comma: str = data["comma"]
        """What stands between the entries of a list."""
        self.words: dict[str, list[str]] = {
            name: entries.split() if name in LISTS else entries for name, entries in data["words"].items()
        }
        """Lists of words."""
        self._templates = {name: data[name] for name in ("mathematics", "instructions", "summarisation")}
        self._number_words, self._num2words = data["number_words"], num2words.num2words

    def say(self, task: str, template: str, /, **slots: object) -> str:
        """A template of a task with its slots filled."""
        return str(self._templates[task][template]).format(**slots)

    def carriers(self) -> list[str]:
        """Sentences that any word fits into."""
        return list(self._templates["instructions"]["carriers"])

    def number(self, n: int, spelled: bool) -> str:
        """A number in words or in digits."""
        return str(self._num2words(n, lang=self._number_words)) if spelled else str(n)


@lru_cache(maxsize=64)
def phrases(language: str) -> Phrases:
    """The phrases of a language, read once."""
    return Phrases(language)
