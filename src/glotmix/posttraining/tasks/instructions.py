"""Instruction following: instructions that code can verify, in the language that they are given in.

After IFEval (Zhou et al. 2023, arXiv 2311.07911), with kinds that every script can follow: no letters' case, no count
of letters.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from glotmix.posttraining.sample import Sample, asked
from glotmix.posttraining.tasks.phrases import Phrases, phrases
from glotmix.posttraining.tasks.task import Task

KINDS = ("repeat", "reverse", "first", "last", "brackets", "choose", "sentence")
LEAST_WORDS = 3
"""Words (or, without spaces, characters) that a sentence has beside the one asked for."""


class Instructions(Task):
    """Pass rate: 1 where the instruction was followed to the letter, else 0."""

    name = "instructions"
    metric = "pass_rate"
    answer_tokens = 40
    minds_language = True

    def draw(self, rng: random.Random) -> tuple[str, Mapping[str, Any]]:
        kind = rng.choice(KINDS)
        words = rng.sample(range(40), 3)
        times = rng.randint(2, 4) if kind == "repeat" else 2
        carrier = rng.randrange(3)
        used = words[:1] if kind in ("repeat", "brackets", "sentence") else words
        meaning = {"kind": kind, "words": used, "times": times, "carrier": carrier}
        id = f"{kind}/{'.'.join(map(str, used))}" + (f"/{times}" if kind == "repeat" else "")
        return id, meaning

    def say(self, id: str, meaning: Mapping[str, Any], language: str) -> Sample:
        said = phrases(language)
        words = [said.words["things"][index] for index in meaning["words"]]
        kind, times = meaning["kind"], meaning["times"]
        question = said.say(self.name, kind, word=words[0], words=said.comma.join(words), times=times)
        check = {"kind": kind, "words": words, "times": times}
        return Sample(id, self.name, language, asked(question, _reference(said, meaning, words)), check)

    def scores(self, sample: Sample, answer: str) -> dict[str, float]:
        return {self.metric: float(follows(sample.check, answer))} if sample.check else {}


def follows(check: Mapping[str, Any], answer: str) -> bool:
    """Whether an answer does what was asked; signs between words and the case of letters do not matter."""
    return _CHECKS[check["kind"]](_words(answer), [_folded(word) for word in check["words"]], check["times"], answer)


def _reference(said: Phrases, meaning: Mapping[str, Any], words: list[str]) -> str:
    match meaning["kind"]:
        case "repeat":
            return " ".join(words * meaning["times"])
        case "reverse":
            return said.comma.join(words[::-1])
        case "first":
            return words[0]
        case "last":
            return words[-1]
        case "brackets":
            return f"[{words[0]}]"
        case "choose":
            return said.comma.join(words[: meaning["times"]])
    return str(said.carriers()[meaning["carrier"]].format(word=words[0]))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _words(text: str) -> list[str]:
    """Runs of letters, marks and digits."""
    return re.findall(r"[\w’'ً-ْ]+", _folded(text))


def _chosen(found: Sequence[str], words: Sequence[str], times: int, answer: str) -> bool:
    return len(found) == times == len(set(found)) and set(found) <= set(words)


def _sentence(found: Sequence[str], words: Sequence[str], times: int, answer: str) -> bool:
    """The word stands in it (as a word, or within a text without spaces) and is not alone."""
    text = _folded(answer)
    if words[0] in found:
        return len(found) > LEAST_WORDS
    spaceless = len(found) <= 2 and words[0] in text
    return spaceless and sum(len(word) for word in found) > len(words[0]) + LEAST_WORDS


_CHECKS: Mapping[str, Callable[[Sequence[str], Sequence[str], int, str], bool]] = {
    "repeat": lambda found, words, times, answer: list(found) == list(words) * times,
    "reverse": lambda found, words, times, answer: list(found) == list(words)[::-1],
    "first": lambda found, words, times, answer: list(found) == [words[0]],
    "last": lambda found, words, times, answer: list(found) == [words[-1]],
    "brackets": lambda found, words, times, answer: _folded(answer).strip() == f"[{words[0]}]",
    "choose": _chosen,
    "sentence": _sentence,
}
