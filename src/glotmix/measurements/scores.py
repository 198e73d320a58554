"""Scores among the targets of a table: declared or told by their column, checked, and turned into errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from glotmix.errors import BadInput
from glotmix.language import find_name
from glotmix.measurements.draft import Draft
from glotmix.scored import Scored, smallest_step
from glotmix.wording import counted

PERCENT = 1.5
"""A column of scores that holds one above this is in percent."""
NEAR_CHANCE = 2.0
"""Standard deviations of a score's own noise above chance up to which a run says nothing."""
MOST_FAULTS = 3
"""Scores out of range that are told of one column."""


@dataclass(frozen=True)
class DeclaredScores:
    """What somebody says of the targets of a table beside what its columns say; names in any spelling of theirs."""

    higher: tuple[str, ...] = ()
    """Scores of which more is better."""
    lower: tuple[str, ...] = ()
    """Error rates."""
    chance: Mapping[str, float] = field(default_factory=dict)
    """Target to the score of guessing; "" for all that are scores."""
    questions: Mapping[str, float] = field(default_factory=dict)
    """Target to how many questions it is the mean of; likewise."""

    @classmethod
    def of(cls, scored: Mapping[str, Scored]) -> DeclaredScores:
        """What is known already."""
        told = {
            name: {target: x for target, one in scored.items() if (x := getattr(one, name)) is not None}
            for name in ("chance", "questions")
        }
        ways = {
            way: tuple(target for target, one in scored.items() if one.higher_is_better is way) for way in (True, False)
        }
        return cls(ways[True], ways[False], told["chance"], told["questions"])

    def among(self, targets: Sequence[str], columns: Mapping[str, Scored]) -> dict[str, Scored]:
        """Target to what its scores mean.

        Args:
            targets: all targets of the table.
            columns: those whose columns say that they are scores.

        Raises:
            BadInput: a name of no target, or a chance or a number of questions of what is no score or cannot be.
        """
        found = dict(columns)
        for option, names, way in (("--higher-is-better", self.higher, True), ("--error-rate", self.lower, False)):
            found |= {find_name(name, targets, where=option, what="target"): Scored(way) for name in names}
        for what, told in (("chance", self.chance), ("questions", self.questions)):
            for name, value in told.items():
                meant = list(found) if not name else [find_name(name, targets, where=f"--{what}", what="target")]
                if missing := [target for target in meant if target not in found]:
                    raise BadInput(f"{missing[0]} is no score", where=f"--{what}", expected="--higher-is-better too")
                changed: dict[str, Any] = {what: value}
                found |= {target: replace(found[target], **changed) for target in meant}
        return found


def as_errors(
    draft: Draft, declared: DeclaredScores, *, study: bool = False
) -> tuple[dict[str, Scored], list[str], list[str]]:
    """Turn the scores of a draft into errors between 0 and 1, in place.

    Args:
        draft: names of its targets are final.
        declared: what is said of them beside the columns.
        study: whether glotmix wrote it, so that nothing needs a remark.

    Returns:
        What the scores mean by target, remarks, and faults.

    Raises:
        BadInput: a name of no target, or what cannot be.
    """
    scored = declared.among(list(draft.losses), draft.scored)
    remarks: list[str] = []
    faults: list[str] = []
    for target, told in scored.items():
        score_R, said, wrong = _within_one(draft, target, draft.losses[target], target in draft.percent_scores)
        remarks += said
        faults += wrong
        if wrong:
            draft.losses[target] = np.full(len(score_R), 0.5)  # told; not told again as a loss
            continue
        questions = told.questions or smallest_step(score_R)
        known = replace(told, questions=questions)
        error_R = np.asarray(told.turned(score_R))
        at_end_R = (error_R <= 0) | (error_R >= 1)
        if at_end_R.any():
            step = 0.5 / (questions or 500)
            error_R = np.clip(error_R, step, 1 - step)
            runs = counted(int(at_end_R.sum()), "run")
            remarks.append(f"{target} is 0 or 1 in {runs}: counted as half a question away ({step:.2g})")
        if (words := _near_chance(target, error_R, known)) is not None:
            remarks.append(words)
        draft.losses[target] = error_R
    return scored, [] if study else remarks, faults


def _within_one(
    draft: Draft, target: str, score_R: np.ndarray, percent: bool
) -> tuple[np.ndarray, list[str], list[str]]:
    """Scores between 0 and 1; what is outside is a fault."""
    known_R, remarks = np.isfinite(score_R), []
    if percent or bool((score_R[known_R] > PERCENT).any()):
        score_R = score_R / 100
        remarks.append(f"scores of {target} are percentages, divided by 100")
    bad = np.flatnonzero(known_R & ((score_R < 0) | (score_R > 1)))
    written = 100.0 if remarks else 1.0
    faults = [
        f"run {draft.names[r]}: score of {target} is {written * score_R[r]:g} "
        "(expected 0 to 1, or percent from 0 to 100)"
        for r in bad[:MOST_FAULTS]
    ]
    return score_R, remarks, faults


def _near_chance(target: str, error_R: np.ndarray, known: Scored) -> str | None:
    """What must be said of runs that guess."""
    error_R = error_R[np.isfinite(error_R)]
    if known.chance is None or not len(error_R):
        return None
    noise = np.sqrt(known.most * (1 - known.most) / (known.questions or 500))
    guess_R = error_R > known.most - NEAR_CHANCE * noise
    if not guess_R.any():
        return None
    if guess_R.mean() > 0.9:
        return (
            f"{target} is no better than chance ({known.chance:g}) in {guess_R.sum()} of {len(guess_R)} runs: it tells "
            "next to nothing of mixtures; larger or longer runs, or its bits per byte, would"
        )
    which = f"{guess_R.sum()} of {len(guess_R)} runs"
    return f"{target} is no better than chance ({known.chance:g}) in {which}, which say little"
