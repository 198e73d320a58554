"""What counts as a word: characters in scripts without spaces between words."""

from __future__ import annotations

from glotmix.language import Language

UNSPACED_SCRIPTS = frozenset(["Hans", "Hant", "Hani", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"])
"""Scripts that put no spaces between words; there fertility is counted per character."""


def fertility_unit(language: str) -> str:
    """What fertility is counted per: ``word`` (between white space), or ``character`` in scripts without spaces; text
    in no language ("") has words."""
    return "character" if language and Language.resolve(language).script in UNSPACED_SCRIPTS else "word"


def count_words(text: str, language: str) -> int:
    """Words of a text, or its characters that are not white space, as :func:`fertility_unit` says."""
    words = text.split()
    return sum(map(len, words)) if fertility_unit(language) == "character" else len(words)
