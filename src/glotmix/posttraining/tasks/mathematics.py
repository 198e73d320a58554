"""Mathematics: arithmetic in words, judged by the number that the answer ends with."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from glotmix.posttraining.metrics import last_number
from glotmix.posttraining.sample import Sample, asked
from glotmix.posttraining.tasks.phrases import phrases
from glotmix.posttraining.tasks.task import Task

KINDS = ("plus", "minus", "more", "fewer", "together")
LIMIT = 9
"""Largest operand of the embedded problems."""


class Mathematics(Task):
    """Exact match of the last number, as for MGSM (Shi et al. 2022, arXiv 2210.03057)."""

    name = "mathematics"
    metric = "exact_match"
    answer_tokens = 8

    def draw(self, rng: random.Random) -> tuple[str, Mapping[str, Any]]:
        kind = rng.choice(KINDS)
        a, b = rng.randint(1, LIMIT), rng.randint(1, LIMIT)
        taken = kind in ("minus", "fewer")
        a, b = (max(a, b), min(a, b)) if taken else (a, b)
        meaning = {"kind": kind, "a": a, "b": b, "name": rng.randrange(12), "thing": rng.randrange(40)}
        if kind in ("plus", "minus"):
            meaning["name"] = meaning["thing"] = 0
        elif kind == "together":
            meaning["name"] = 0
        meaning["value"] = a - b if taken else a + b
        return "/".join(str(meaning[key]) for key in ("kind", "a", "b", "name", "thing")), meaning

    def held_together(self, id: str) -> str:
        """Kind and numbers: a test problem is new in more than the name of a thing."""
        return "/".join(id.split("/")[:3])

    def say(self, id: str, meaning: Mapping[str, Any], language: str) -> Sample:
        said = phrases(language)
        question = said.say(
            self.name,
            meaning["kind"],
            a=said.number(meaning["a"], True),
            b=said.number(meaning["b"], True),
            name=said.words["names"][meaning["name"]],
            thing=said.words["things"][meaning["thing"]],
        )
        return Sample(id, self.name, language, asked(question, str(meaning["value"])))

    def scores(self, sample: Sample, answer: str) -> dict[str, float]:
        wanted = last_number(sample.answer)
        return {self.metric: float(wanted is not None and last_number(answer) == wanted)}
