"""Planted scores: accuracy of multiple-choice questions that follows a planted loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from glotmix.measurements import Measurements
from glotmix.scored import Scored
from tests.fit.planted import LANGUAGES, noisy, swarm, table, truth

CHANCE, QUESTIONS = 0.25, 500
KINDS = dict.fromkeys((f"mmlu_{name}" for name in LANGUAGES), Scored(chance=CHANCE, questions=QUESTIONS))


def score_of(p_RL: np.ndarray) -> np.ndarray:
    """``c + (1 - c) σ(4 - 4 L)`` of every language's planted loss [R, T]: no law of glotmix in the mixture."""
    return np.asarray(CHANCE + (1 - CHANCE) / (1 + np.exp(4 * truth(p_RL) - 4)))


def tables(seed: int, R: int = 40, questions: int = QUESTIONS, loss: bool = False) -> Measurements:
    """Runs with the scores of all languages, and their losses where ``loss``."""
    rng = np.random.default_rng(seed)
    p_RL = swarm(rng, R)
    score_RT = rng.binomial(questions, score_of(p_RL)) / questions
    step = 0.5 / questions
    losses = table(p_RL, noisy(rng, truth(p_RL), 0.005))
    error_RT = np.clip(1 - score_RT, step, 1 - step)
    kinds = {name: replace(one, questions=questions) for name, one in KINDS.items()}
    if not loss:
        return replace(losses, targets=tuple(kinds), loss_RT=error_RT, scored=kinds)
    targets, loss_RT = (*LANGUAGES, *kinds), np.hstack([losses.loss_RT, error_RT])
    return replace(losses, targets=targets, loss_RT=loss_RT, scored=kinds)
