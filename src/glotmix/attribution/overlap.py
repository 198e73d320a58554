"""Overlap of the top samples of two runs: zero-shot against regular fine-tuning, one seed against another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glotmix.attribution.influence import InfluenceScores
from glotmix.errors import BadInput


@dataclass(frozen=True)
class TopOverlap:
    """What two runs rank highest alike."""

    by_language: dict[str, float]
    """Test language to the mean share of the top m that both runs have."""
    chance: float
    """The share if both tops were random."""


def top_overlap(one: InfluenceScores, other: InfluenceScores, m: int) -> TopOverlap:
    """How much of the top m two runs have in common.

    Ranked among the training samples of both runs (joined by language and id), so that a run which leaves the test
    language out (zero-shot) compares with one that does not. Its ceiling is the overlap of two seeds of one run.

    Raises:
        BadInput: no ids, ids that occur twice in a language, different test samples, or fewer than m in common.
    """
    if one.test != other.test:
        raise BadInput("the two runs have different test samples")
    here, there = _places(one), _places(other)
    common = [key for key in here if key in there]
    if not 1 <= m <= len(common):
        raise BadInput(f"top {m} of {len(common)} training samples in common", expected=f"1 to {len(common)}")
    tops = [
        np.argsort(-scores.value_QN[:, [place[key] for key in common]], axis=1, kind="stable")[:, :m]
        for scores, place in ((one, here), (other, there))
    ]
    shared_Q = np.array([len(np.intersect1d(a, b)) / m for a, b in zip(*tops, strict=True)])
    language_Q = np.array(one.test.languages)
    return TopOverlap({name: float(shared_Q[language_Q == name].mean()) for name in one.test.names}, m / len(common))


def _places(scores: InfluenceScores) -> dict[tuple[str, str], int]:
    if scores.train.ids is None:
        raise BadInput("training samples have no ids", expected="ids to join the runs by")
    keys = list(zip(scores.train.languages, scores.train.ids, strict=True))
    places = {key: n for n, key in enumerate(keys)}
    if len(places) < len(keys):
        twice = next(key for n, key in enumerate(keys) if places[key] != n)
        raise BadInput(f"id {twice[1]!r} occurs twice in {twice[0]}", expected="one sample per language and id")
    return places
