"""Task: what is asked in every language, and how an answer is scored."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, ClassVar

from glotmix.errors import BadInput
from glotmix.posttraining.sample import Sample, Split

MOST_DRAWS = 200
"""Draws per sample wanted before a generator is said to have no more."""
HELD_OUT: Mapping[Split, float] = {"test": 0.15, "validation": 0.05}
"""Share of meanings that embedded tasks test on, and choose checkpoints by."""


class Task(ABC):
    """One task. Its embedded generator draws meanings without words, and says each in any language."""

    name: ClassVar[str]
    """Its name in files and tables."""
    metric: ClassVar[str]
    """Name of the score that decides, between 0 and 1, greater is better."""
    answer_tokens: ClassVar[int]
    """Tokens after which an embedded task's answer is cut off."""
    minds_language: ClassVar[bool] = False
    """Whether an answer in another language than the question's fails."""

    by_likelihood: ClassVar[bool] = False
    """Whether nothing is generated: the score is how probable the model finds the held-out answer."""

    @abstractmethod
    def draw(self, rng: random.Random) -> tuple[str, Mapping[str, Any]]:
        """A meaning: its id, and the values that :meth:`say` needs."""

    def held_together(self, id: str) -> str:
        """What meanings that are too much alike share: they go to one split. Default: each meaning by itself."""
        return id

    @abstractmethod
    def say(self, id: str, meaning: Mapping[str, Any], language: str) -> Sample:
        """A meaning in one language."""

    @abstractmethod
    def scores(self, sample: Sample, answer: str) -> dict[str, float]:
        """Scores of an answer by name, :attr:`metric` among them, each from 0 to 1. Language is judged elsewhere. None
        where only a judge can tell, or likelihood (:attr:`by_likelihood`)."""

    def embedded(self, language: str, split: Split, count: int, seed: int = 0) -> list[Sample]:
        """``count`` samples of one split. Meanings and splits are the same in every language: the samples are parallel.

        Raises:
            BadInput: the generator has fewer different meanings.
        """
        return [self.say(id, meaning, language) for id, meaning in self._meanings(split, count, seed)]

    def _meanings(self, split: Split, count: int, seed: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
        rng = random.Random(f"{self.name} {seed}")
        seen: set[str] = set()
        found = 0
        for _ in range(MOST_DRAWS * max(count, 1)):
            if found == count:
                return
            id, meaning = self.draw(rng)
            if id not in seen and split_of(self.held_together(id)) == split:
                found += 1
                yield id, meaning
            seen.add(id)
        if found < count:
            raise BadInput(f"{self.name} has {found} {split} samples", expected=f"{count} of the embedded generator")


def split_of(id: str) -> Split:
    """The split that a meaning belongs to, in every language and however many samples are asked for."""
    place = int.from_bytes(sha256(id.encode()).digest()[:8]) / 2**64
    for split, share in HELD_OUT.items():
        if place < share:
            return split
        place -= share
    return "train"


def ordered(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """Samples in the order in which cells take them: a cell with more of a language holds all of one with fewer.

    The order is drawn anew for every language, so that languages do not say the same things, and for every seed.
    """
    return sorted(samples, key=lambda s: sha256(f"{seed} {s.language} {s.id}".encode()).digest())
