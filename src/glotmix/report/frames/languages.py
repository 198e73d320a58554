"""Who wins and who pays: every language's loss under the recommended mixture and under the one it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from glotmix.estimate import Estimate, Outcome, negated, pooled_means, unpaired, verdict
from glotmix.optimize.last_phase import CONTINUED
from glotmix.report.evidence import Evidence, Trained
from glotmix.wording import counted, listed

IN_USE = ("current", CONTINUED, "natural", "uniform")
"""What the recommendation is instead of: the mixture in use, else the natural one, else the even one."""


@dataclass(frozen=True)
class LanguageRow:
    """One target."""

    target: str
    """Tag or group name."""
    name: str
    """What the page calls it."""
    inside: bool
    """Whether it is trained on."""
    weight: float
    """Its weight in the objective, as a part of the whole."""
    predicted: Estimate | None
    """Loss under the optimum that the law expects."""
    before_predicted: Estimate | None
    """The same under the mixture compared with."""
    measured: Estimate | None
    """Measured loss under the optimum."""
    before: Estimate | None
    """Measured loss under the mixture compared with."""
    change: Estimate | None
    """Optimum minus the other mixture: as measured where both were trained, else as predicted. Negative is better."""
    trained: bool
    """Whether ``change`` was measured."""
    outcome: Outcome | None
    """How the measured change judges: "better" is a lower loss; None where nothing was measured."""


def compared_with(evidence: Evidence) -> str | None:
    """The mixture that the recommendation is held against; None where there is nothing to hold it against."""
    advice = evidence.advice
    if advice is None:
        return None
    known = [baseline.name for baseline in advice.baselines]
    trained = {one.name for one in evidence.trained}
    for name in IN_USE:
        if name in known:
            return name
    return next((name for name in known if name in trained), known[0] if known else None)


def language_rows(evidence: Evidence) -> list[LanguageRow]:
    """Every target, in the order of the objective's weights, the heaviest first; then by name."""
    advice = evidence.advice
    if advice is None:
        return []
    against = compared_with(evidence)
    other = next((b for b in advice.baselines if b.name == against), None)
    trained = {one.name: one for one in evidence.trained}
    here, there = trained.get("optimum"), trained.get(against or "")
    weights = dict(advice.weights) or dict.fromkeys(advice.optimum.mixture, 1.0)
    total = sum(weights.values()) or 1.0
    measured = here.measured if here else {}
    rows = []
    for target in dict.fromkeys([*advice.optimum.losses, *measured]):
        expected = advice.optimum.losses.get(target)
        before = other.losses.get(target) if other else None
        change = None if here is None or there is None else _change(evidence, here, there, target)
        was_measured = change is not None
        if change is None and expected is not None and before is not None:
            change = Estimate(expected.value - before.value)
        rows.append(
            LanguageRow(
                target=target,
                name=evidence.name_of(target),
                inside=target in advice.optimum.mixture,
                weight=weights.get(target, 0.0) / total,
                predicted=expected,
                before_predicted=before,
                measured=_measured(evidence, here, target),
                before=_measured(evidence, there, target),
                change=change,
                trained=was_measured,
                outcome=verdict(negated(change)) if was_measured and change is not None else None,
            )
        )
    return sorted(rows, key=lambda row: (-row.weight, not row.inside, row.name))


@dataclass(frozen=True)
class Foretold:
    """How the law's single predictions came out."""

    held: int
    """Losses that lie within the intervals of prediction and measurement: by language and trained mixture."""
    asked: int
    """Losses that were predicted and measured, both with an interval."""
    right: tuple[str, ...]
    """Names of languages whose loss moved beyond the noise to the side that the law foretold."""
    wrong: tuple[str, ...]
    """Names of those that moved to the other side, the one that moved most first."""


def foretold(evidence: Evidence) -> Foretold:
    """Single predictions against what was measured, by their size and by their direction.

    A loss holds if it lies within 95 % of its prediction, given both intervals: half widths add as squares. Wide
    intervals of losses hold while a gain is foretold where a language loses, so directions are counted as well: of the
    languages whose loss under the optimum differs from that under the mixture in use beyond the noise.
    """
    held = asked = 0
    for trained in evidence.trained:
        for target, expected in trained.predicted.items():
            found = _measured(evidence, trained, target)
            if found is None or (noise := _half(found)) is None or (doubt := _half(expected)) is None:
                continue
            asked += 1
            held += abs(found.value - expected.value) <= float(np.hypot(noise, doubt))
    right: list[str] = []
    wrong: list[str] = []
    for row in sorted(language_rows(evidence), key=lambda row: -abs(row.change.value) if row.change else 0.0):
        if row.outcome in ("better", "worse") and row.predicted is not None and row.before_predicted is not None:
            is_gain = row.predicted.value < row.before_predicted.value
            (right if is_gain == (row.outcome == "better") else wrong).append(row.name)
    return Foretold(held, asked, tuple(right), tuple(wrong))


def foretold_in_words(evidence: Evidence) -> str:
    """What the single predictions were worth, in the words of the terminal, the card and the page; "" where untold."""
    told, parts, what = foretold(evidence), list[str](), evidence.measures
    if told.asked:
        parts.append(
            f"Of {counted(told.asked, 'single loss', 'single losses')}, one per {what} and trained mixture, "
            f"{told.held} held within the intervals of prediction and measurement."
        )
    moved = len(told.right) + len(told.wrong)
    if moved == 1:
        side = "as the law foretold" if told.right else "to the other side than the law foretold"
        name = (told.right + told.wrong)[0]
        parts.append(f"One {what} moved beyond the noise against {compared_with(evidence)}: {name}, {side}.")
    elif moved:
        text = (
            f"Of {counted(moved, what)} whose loss against {compared_with(evidence)} moved beyond the noise, the "
            f"law has the direction of {len(told.right)} right"
        )
        parts.append(
            text + (f"; it foretold the opposite of {listed(list(told.wrong), most=4)}." if told.wrong else ".")
        )
    return " ".join(parts)


def _change(evidence: Evidence, here: Trained, there: Trained, target: str) -> Estimate | None:
    """Optimum minus the other: the study's own paired test, else means with the pooled spread between seeds."""
    if target in there.differences:
        return negated(there.differences[target])
    values = {one.name: _finite(one, target) for one in evidence.trained}
    values = {name: of for name, of in values.items() if of}
    if here.name not in values or there.name not in values:
        return None
    return negated(unpaired(values, here.name)[there.name])


def _measured(evidence: Evidence, trained: Trained | None, target: str) -> Estimate | None:
    """Mean over seeds; the spread between seeds is pooled over all trained mixtures."""
    if trained is None:
        return None
    return pooled_means({one.name: _finite(one, target) for one in evidence.trained}).get(trained.name)


def _half(estimate: Estimate) -> float | None:
    return None if estimate.low is None or estimate.high is None else (estimate.high - estimate.low) / 2


def _finite(trained: Trained, target: str) -> list[float]:
    return [x for x in trained.measured.get(target, ()) if np.isfinite(x)]


Part = Literal["wins", "pays", "open"]


def part_of(row: LanguageRow) -> Part:
    """Whether a language wins or pays: beyond the noise where it was measured, by the law's word where not."""
    if row.change is None:
        return "open"
    if row.trained:
        return "wins" if row.outcome == "better" else "pays" if row.outcome == "worse" else "open"
    return "wins" if row.change.value < 0 else "pays" if row.change.value > 0 else "open"
