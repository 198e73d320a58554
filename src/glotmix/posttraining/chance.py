"""Chance: what an answer scores that knows how answers look and nothing of the question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from glotmix.posttraining.sample import Sample
from glotmix.posttraining.tasks.task import Task

CANDIDATES = 20
"""Most frequent answers that are tried as the one constant answer."""
SHIFTS = 10
NO_MODEL = 1 / 256
"""Probability of a byte to whoever knows nothing."""


def chance(task: Task, test: Sequence[Sample]) -> float:
    """The greater of two blind scores on a language's test samples: the best constant answer, and answers dealt out
    at random among the questions. The constant is picked on the test samples themselves: it is no understatement.
    Where answers are judged by their likelihood, the probability of a byte to whoever knows nothing.
    """
    if task.by_likelihood:
        return NO_MODEL
    common = [answer for answer, _ in Counter(sample.answer for sample in test).most_common(CANDIDATES)]
    constant = max(_mean(task, test, [answer] * len(test)) for answer in common)
    said = [sample.answer for sample in test]
    shifts = [1 + (len(said) - 1) * i // SHIFTS for i in range(SHIFTS)]
    dealt = [_mean(task, test, said[shift:] + said[:shift]) for shift in dict.fromkeys(shifts)]
    return max(constant, sum(dealt) / len(dealt))


def _mean(task: Task, test: Sequence[Sample], answers: Sequence[str]) -> float:
    scores = [task.scores(sample, answer).get(task.metric, 0.0) for sample, answer in zip(test, answers, strict=True)]
    return sum(scores) / len(scores)
