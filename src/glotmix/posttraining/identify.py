"""Which language an answer is in: by its letters' scripts first, then by the characters that a language uses.

Naive Bayes over character 1- to 3-grams of texts in the candidate languages, which the user's own references give; no
download, and the candidates are those that can be confused. It abstains from an answer that no evidence decides
(digits, one name): such an answer fails for no language.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from glotmix.errors import BadInput
from glotmix.language import Language
from glotmix.posttraining.metrics import words

ORDERS = (1, 2, 3)
SMOOTHING = 0.1
SURE = 3.0
"""Nats by which another language must be likelier than the one asked for: odds of 20 to 1."""
HAN_AND_KANA = {"Hans": ("HAN",), "Hant": ("HAN",), "Jpan": ("HAN", "KANA"), "Hang": ("HANGUL", "HAN")}
LEAST_WORDS = 5
"""Words (characters, in scripts without spaces) from which a line is judged by itself."""
_ENDS = re.compile(r"[\n\r.!?…。！？।۔؟]+")
_CODE = re.compile(r"```.*?(?:```|$)|`[^`\n]*`|https?://\S+", re.DOTALL)
"""Code and addresses, which are in no language."""
SCRIPTS = {
    "LATIN": "Latn", "CYRILLIC": "Cyrl", "ARABIC": "Arab", "GREEK": "Grek", "HEBREW": "Hebr", "DEVANAGARI": "Deva",
    "BENGALI": "Beng", "THAI": "Thai", "TELUGU": "Telu", "TAMIL": "Taml", "GEORGIAN": "Geor", "ARMENIAN": "Armn",
    "ETHIOPIC": "Ethi", "KHMER": "Khmr", "LAO": "Laoo", "MYANMAR": "Mymr", "GUJARATI": "Gujr", "KANNADA": "Knda",
    "MALAYALAM": "Mlym", "SINHALA": "Sinh", "GURMUKHI": "Guru", "TIBETAN": "Tibt",
}  # fmt: skip
"""First word of a letter's Unicode name to its script."""


@dataclass(frozen=True)
class Identification:
    """What the identifier makes of an answer."""

    language: str
    """The likeliest candidate; the one asked for where nothing speaks against it."""
    margin: float
    """Log-likelihood in nats by which it is ahead of the language asked for; 0 for that one itself."""

    @property
    def wrong(self) -> bool:
        """Whether the answer is in another language than the one asked for, for sure."""
        return self.margin > SURE


class LanguageIdentifier:
    """Tells candidate languages apart."""

    def __init__(self, texts: Mapping[str, Iterable[str]]):
        """
        Args:
            texts: candidate language to texts in it.

        Raises:
            BadInput: a candidate without text.
        """
        self._counts: dict[str, list[Counter[str]]] = {}
        for language, given in texts.items():
            counts = [Counter[str]() for _ in ORDERS]
            for text in given:
                for order, count in zip(ORDERS, counts, strict=True):
                    count.update(_grams(text, order))
            if not counts[0]:
                raise BadInput(f"no text of {language} to know it by", where="language identifier")
            self._counts[language] = counts
        self._kinds = [
            len(set().union(*[set(counts[i]) for counts in self._counts.values()])) for i in range(len(ORDERS))
        ]
        self._totals = {language: [c.total() for c in counts] for language, counts in self._counts.items()}

    @property
    def languages(self) -> tuple[str, ...]:
        """Candidates."""
        return tuple(self._counts)

    def judge(self, answer: str, asked: str) -> Identification:
        """Whether an answer is in the language that was asked for, as far as can be told: as a whole and in every line.

        A line is judged by itself, sentences apart, since a quarter in the right language must not speak for three in
        another (line-level pass rate: Marchisio et al. 2024, arXiv 2406.20052). What is said of one of n lines because
        it is the worst of them counts ln n nats less.

        Raises:
            BadInput: a language that is no candidate.
        """
        if asked not in self._counts:
            raise BadInput(f"{asked} is no candidate", where="language identifier", expected=" | ".join(self._counts))
        prose = _CODE.sub(" ", answer)
        lines = [line for line in _ENDS.split(prose) if len(words(line)) >= LEAST_WORDS]
        found = [self._judged(line, asked) for line in lines] if len(lines) > 1 else []
        parts = [Identification(one.language, one.margin - math.log(len(lines))) for one in found]
        return max([self._judged(prose, asked), *parts], key=lambda one: one.margin)

    def _judged(self, answer: str, asked: str) -> Identification:
        scripts = Counter(script for c in answer if (script := letter_script(c)))
        if not scripts:
            return Identification(asked, 0.0)
        once = " ".join(dict.fromkeys(answer.casefold().split()))  # a word said three times is one piece of evidence
        likelihood = {language: self._likelihood(once, language) for language in self._counts}
        usual = scripts.most_common(1)[0][0]
        if not _writes(asked, usual):
            writers = [language for language in self._counts if _writes(language, usual)]
            return Identification(max(writers, key=likelihood.__getitem__) if writers else usual, math.inf)
        best = max(likelihood, key=lambda language: (likelihood[language], language == asked))
        return Identification(best, likelihood[best] - likelihood[asked])

    def _likelihood(self, text: str, language: str) -> float:
        """Mean over orders of the log-likelihoods: n-grams of different orders are one piece of evidence, not three."""
        total = 0.0
        for i, order in enumerate(ORDERS):
            counts, size = self._counts[language][i], self._totals[language][i] + SMOOTHING * self._kinds[i]
            total += sum(math.log((counts[gram] + SMOOTHING) / size) for gram in _grams(text, order)) / order
        return total / len(ORDERS)


def _grams(text: str, order: int) -> list[str]:
    """Character n-grams of the letters, words apart; digits and signs are no evidence."""
    folded = unicodedata.normalize("NFC", text).casefold()
    spaced = "".join(c if c.isalpha() or unicodedata.combining(c) else " " for c in folded)
    padded = " " + " ".join(spaced.split()) + " "
    grams = [padded[i : i + order] for i in range(len(padded) - order + 1)]
    return [gram for gram in grams if gram.strip()]


@lru_cache(maxsize=1 << 16)
def letter_script(character: str) -> str:
    """Script of a letter: an ISO 15924 code, "HAN", "KANA", "HANGUL", or "" for what is no letter or not known."""
    if not character.isalpha():
        return ""
    first = unicodedata.name(character, "").split(" ")[0]
    if first in ("HIRAGANA", "KATAKANA"):
        return "KANA"
    if first.startswith("CJK"):
        return "HAN"
    return "HANGUL" if first == "HANGUL" else SCRIPTS.get(first, "")


def _writes(language: str, script: str) -> bool:
    own = Language.resolve(language).script
    return script in HAN_AND_KANA.get(own, (own,))
