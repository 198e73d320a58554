"""Chat: conversations without one right answer, judged by how probable a model finds the answers that were held out."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from glotmix.posttraining.sample import Sample
from glotmix.posttraining.tasks.instructions import Instructions
from glotmix.posttraining.tasks.mathematics import Mathematics
from glotmix.posttraining.tasks.summarisation import Summarisation
from glotmix.posttraining.tasks.task import Task

TALK: tuple[Task, ...] = (Mathematics(), Instructions(), Summarisation())
"""What embedded conversations are about."""


class Chat(Task):
    """``2^-b`` of a held-out answer's bits per byte b: the geometric mean of the probability of its bytes.

    Bytes are the same whatever the tokenizer, and texts of different lengths count alike. Languages whose script takes
    more bytes for a letter have higher ones: compare a language with itself.
    """

    name = "chat"
    metric = "byte_likelihood"
    answer_tokens = 1
    by_likelihood = True

    def draw(self, rng: random.Random) -> tuple[str, Mapping[str, Any]]:
        about = rng.randrange(len(TALK))
        id, meaning = TALK[about].draw(rng)
        return f"{about}:{id}", {"about": about, "meaning": meaning}

    def held_together(self, id: str) -> str:
        about, _, rest = id.partition(":")
        return f"{about}:{TALK[int(about)].held_together(rest)}"

    def say(self, id: str, meaning: Mapping[str, Any], language: str) -> Sample:
        said = TALK[meaning["about"]].say(id, meaning["meaning"], language)
        return Sample(id, self.name, language, said.messages)

    def scores(self, sample: Sample, answer: str) -> dict[str, float]:
        return {}
