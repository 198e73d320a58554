"""Influence by language: everything that is asked of the scores of a run's seeds, each figure beside its null."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glotmix.attribution.influence import InfluenceScores
from glotmix.attribution.shares import LanguageShares, language_shares
from glotmix.attribution.translations import TranslationShare, TranslationShares, translation_shares


@dataclass(frozen=True)
class CheckpointInfluence:
    """A checkpoint on its own."""

    checkpoint: str
    """Its name."""
    shares: LanguageShares
    """Shares of the top samples by its gradients alone."""
    translations: TranslationShares | None
    """Translation shares by its gradients alone."""


@dataclass(frozen=True)
class InfluenceByLanguage:
    """Which languages' samples the predictions of each language rest on."""

    m: int
    """How many samples count as the top."""
    positive: LanguageShares
    """Of the samples that help most."""
    negative: LanguageShares
    """Of the samples that harm most."""
    translations: TranslationShares | None
    """Reinforcing influence; None without ids, or where a test language was not trained on."""
    moments: tuple[CheckpointInfluence, ...]
    """The same by checkpoint."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict; every share stands beside its nulls."""
        found: dict[str, Any] = {"m": self.m, "positive": _shares(self.positive), "negative": _shares(self.negative)}
        if self.translations is not None:
            found["translations"] = _translations(self.translations)
        found["checkpoints"] = {
            moment.checkpoint: {
                "shares": _shares(moment.shares),
                "translations": None if moment.translations is None else _translations(moment.translations),
            }
            for moment in self.moments
        }
        return found


def by_language(runs: Sequence[InfluenceScores], m: int, seed: int = 0) -> InfluenceByLanguage:
    """Shares, translation shares and their course over the checkpoints.

    Args:
        runs: scores of the same samples from runs that differ in their seed.
        m: how many samples count as the top.
        seed: of the nulls and intervals.

    Raises:
        BadInput: as :func:`~glotmix.attribution.shares.language_shares`.
    """
    train, test = runs[0].train, runs[0].test
    joined = train.ids is not None and set(test.names) <= set(train.names) and len(train.names) > 1

    def translated(scores: Sequence[InfluenceScores]) -> TranslationShares | None:
        return translation_shares(scores, m, np.random.default_rng(seed)) if joined else None

    moments = []
    for name in runs[0].checkpoints if len(runs[0].checkpoints) > 1 else ():
        at = [scores.at(name) for scores in runs]
        moments.append(CheckpointInfluence(name, language_shares(at, m, np.random.default_rng(seed)), translated(at)))
    return InfluenceByLanguage(
        m,
        language_shares(runs, m, np.random.default_rng(seed)),
        language_shares(runs, m, np.random.default_rng(seed), negative=True),
        translated(runs),
        tuple(moments),
    )


def _shares(found: LanguageShares) -> dict[str, Any]:
    nulls = {"chance": found.chance, "same_label": found.same_label, "shuffled": found.shuffled}
    shown = {name: None if matrix is None else matrix.to_json()["values"] for name, matrix in nulls.items()}
    return {"notes": dict(found.shares.notes), "shares": found.shares.to_json()["values"], **shown}


def _translations(found: TranslationShares) -> dict[str, Any]:
    def figure(of: TranslationShare) -> dict[str, float | None]:
        return {name: None if np.isnan(value) else value for name, value in vars(of).items()}

    return {
        target: {
            "share": figure(found.overall[target]),
            "chance": found.chance[target],
            "shuffled": figure(found.shuffled[target]),
        }
        for target in found.overall
    }
