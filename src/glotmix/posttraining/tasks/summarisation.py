"""Summarisation: a short text to one sentence, judged by ROUGE-L and chrF against a reference."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from glotmix.posttraining.metrics import chrf, rouge_l
from glotmix.posttraining.sample import Sample, asked
from glotmix.posttraining.tasks.phrases import phrases
from glotmix.posttraining.tasks.task import Task

SPACELESS = ("Hans", "Hant", "Hani", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt")
"""Scripts that put no spaces between sentences."""


class Summarisation(Task):
    """F of ROUGE-L, and chrF, both from 0 to 1.

    An embedded document is one event among statements of other people; its summary is what happens, without the place.
    """

    name = "summarisation"
    metric = "rouge_l"
    answer_tokens = 32

    def draw(self, rng: random.Random) -> tuple[str, Mapping[str, Any]]:
        names = rng.sample(range(12), 3)
        facts = rng.sample(range(10), 2)
        event = {"activity": rng.randrange(12), "place": rng.randrange(10), "at": rng.randrange(3)}
        meaning = {"names": names, "facts": facts} | event
        return "/".join(".".join(map(str, v)) if isinstance(v, list) else str(v) for v in meaning.values()), meaning

    def held_together(self, id: str) -> str:
        """Names and statements: a test document is new in more than the place of its event."""
        return "/".join(id.split("/")[:2])

    def say(self, id: str, meaning: Mapping[str, Any], language: str) -> Sample:
        said = phrases(language)
        who, *others = (said.words["names"][index] for index in meaning["names"])
        activity, place = said.words["activity"][meaning["activity"]], said.words["place"][meaning["place"]]
        sentences = [
            said.say(self.name, "said", name=name, fact=said.words["fact"][fact])
            for name, fact in zip(others, meaning["facts"], strict=True)
        ]
        sentences.insert(meaning["at"], said.say(self.name, "event", name=who, activity=activity, place=place))
        document = ("" if language.partition("_")[2] in SPACELESS else " ").join(sentences)
        summary = said.say(self.name, "summary", name=who, activity=activity)
        return Sample(id, self.name, language, asked(said.say(self.name, "ask", document=document), summary))

    def scores(self, sample: Sample, answer: str) -> dict[str, float]:
        return {
            self.metric: rouge_l(answer, sample.answer),
            "chrf": chrf(answer, sample.answer),
        }
