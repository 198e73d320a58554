"""What further training gained and what it made a model forget, target by target, as the closed loop measured it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from glotmix.estimate import Estimate, Outcome, pooled_means, verdict
from glotmix.report.evidence import Evidence
from glotmix.report.frames.units import reading
from glotmix.wording import NBSP, listed, number

OPTIMUM = "optimum"


@dataclass(frozen=True)
class KeptRow:
    """One target under every mixture that was trained."""

    target: str
    """Language or source."""
    known: bool
    """Whether the base was trained on it."""
    before: float
    """Loss of the base."""
    changes: Mapping[str, Estimate]
    """Mixture to the loss of the base minus that after training on the mixture, with its 95 % interval over seeds
    (spread pooled over mixtures): positive, it gained; negative, it forgot."""


def kept_rows(evidence: Evidence) -> list[KeptRow]:
    """What the base was trained on first, then the rest, each in the order of the targets; nothing without a base or a
    closed loop."""
    if evidence.base is None or not evidence.trained:
        return []
    old, rows = evidence.base.languages, []
    for target, before in evidence.base.losses.items():
        gains = {
            one.name: [before - x for x in one.measured[target]] for one in evidence.trained if target in one.measured
        }
        rows.append(KeptRow(target, target in old, before, pooled_means(gains)))
    return sorted(rows, key=lambda row: not row.known)


def kept_summary(evidence: Evidence, rows: list[KeptRow]) -> str:
    """What the recommended mixture gained and forgot, in words."""
    found = {row.target: row.changes[OPTIMUM] for row in rows if OPTIMUM in row.changes}
    said: dict[Outcome, list[str]] = {}
    for target, change in found.items():
        unit = reading(evidence, target)
        told = f"{evidence.name_of(target)} ({number(abs(unit.gain(change).value))}{NBSP}{unit.unit})"
        said.setdefault(verdict(change), []).append(told)
    parts = []
    for outcome, words in (
        ("better", "The recommended mixture gains on {}."),
        ("worse", "It forgets {}."),
        ("within the noise", "What it does to {} is within the noise."),
        ("no noise known", "Of {} no noise between seeds is known, so nothing tells a change from chance."),
    ):
        if outcome in said:
            parts.append(words.format(listed(said[outcome], most=12)))
    if "worse" not in said and "better" in said and "no noise known" not in said:
        parts.append("Nothing is forgotten beyond the noise.")
    return " ".join(parts)
