"""Two studies side by side: what changed in the answer, in what was measured, and in the settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from glotmix.estimate import Estimate
from glotmix.report.evidence import Evidence
from glotmix.report.frames.answer import gain_rows
from glotmix.report.frames.loop import verdicts
from glotmix.transfer.matrix import TransferMatrix
from glotmix.wording import listed, number, share


@dataclass(frozen=True)
class ShareRow:
    """One language's recommended share in both studies."""

    language: str
    """Tag or group name."""
    name: str
    """What the page calls it."""
    before: float | None
    """Share in the first study; None where the language is not in its mixture."""
    after: float | None
    """Share in the second study."""
    as_good: bool | None
    """Whether each share lies in the other study's range of shares that its law cannot tell from its optimum; None
    where a study gives no such range."""

    @property
    def change(self) -> float:
        """Second minus first; a language that is not in a mixture has no share of it."""
        return (self.after or 0.0) - (self.before or 0.0)


@dataclass(frozen=True)
class GainPair:
    """What the optimum gained over one baseline, in both studies."""

    baseline: str
    """Name of the baseline."""
    predicted: tuple[Estimate | None, Estimate | None]
    """By the law."""
    measured: tuple[Estimate | None, Estimate | None]
    """In the closed loop."""


@dataclass(frozen=True)
class StudyAgreement:
    """One lens on transfer in both studies."""

    lens: str
    """"Shapley values", ..."""
    pairs: int
    """(target, source) pairs that both studies have."""
    rank: float
    """Spearman's ρ over them; NaN with fewer than three."""
    differing: tuple[tuple[str, str, float, float], ...]
    """(target, source, first value, second value) whose 95 % intervals do not overlap, the largest difference first."""


def share_rows(before: Evidence, after: Evidence) -> list[ShareRow]:
    """Languages by size of the change, the largest first."""
    if before.advice is None or after.advice is None:
        return []
    one, two = before.advice, after.advice
    rows = []
    for language in dict.fromkeys([*one.optimum.mixture, *two.optimum.mixture]):
        a, b = one.optimum.mixture.get(language), two.optimum.mixture.get(language)
        room_a, room_b = one.spread.get(language), two.spread.get(language)
        as_good = None
        if a is not None and b is not None and room_a and room_b:
            as_good = room_a[0] <= b <= room_a[1] and room_b[0] <= a <= room_b[1]
        name = after.name_of(language) if language in after.about else before.name_of(language)
        rows.append(ShareRow(language, name, a, b, as_good))
    return sorted(rows, key=lambda row: (-abs(row.change), row.name))


def total_variation(rows: list[ShareRow]) -> float:
    """Share of the training tokens that would go to another language."""
    return 0.5 * sum(abs(row.change) for row in rows)


def headline(rows: list[ShareRow], what: str = "language") -> str:
    """What changed in the recommendation, in a sentence; ``what`` is mixed."""
    if not rows:
        return "One of the two studies recommends no mixture, so there is no change to show."
    moved = total_variation(rows)
    if moved < 0.005:
        apart = [row.name for row in rows if row.as_good is False]
        if not apart:
            return "Both studies recommend the same mixture."
        return (
            f"Both studies recommend nearly the same mixture ({share(moved)} of the tokens differ), but for "
            f"{listed(apart)} by more than the laws leave open."
        )
    largest = [row for row in rows if abs(row.change) >= 0.005][:3]
    parts = [f"{row.name} {_from_to(row)}" for row in largest]
    text = f"{share(moved)} of the training tokens would go to other {what}s: {listed(parts)}."
    judged = [row for row in rows if row.as_good is not None]
    if judged and all(row.as_good for row in judged):
        text += " Neither law can tell the two mixtures apart, so this change is no news."
    return text


def _from_to(row: ShareRow) -> str:
    if row.before is None:
        return f"comes in with {share(row.after or 0.0)}"
    if row.after is None:
        return f"leaves ({share(row.before)} before)"
    return f"from {share(row.before)} to {share(row.after)}"


def gain_pairs(before: Evidence, after: Evidence) -> list[GainPair]:
    """Baselines that at least one of the studies compared its optimum with."""
    predicted = [{row.baseline: row.gain for row in gain_rows(study)} for study in (before, after)]
    measured = [{v.baseline: v.difference for v in verdicts(study)} for study in (before, after)]
    names = dict.fromkeys(name for study in (*predicted, *measured) for name in study)
    return [
        GainPair(
            name,
            (predicted[0].get(name), predicted[1].get(name)),
            (measured[0].get(name), measured[1].get(name)),
        )
        for name in names
    ]


def agreements(before: Evidence, after: Evidence) -> list[StudyAgreement]:
    """Lenses that both studies have."""
    return [
        _agreement(lens, before.transfer[lens], after.transfer[lens])
        for lens in before.transfer
        if lens in after.transfer
    ]


def _agreement(lens: str, one: TransferMatrix, two: TransferMatrix) -> StudyAgreement:
    cells = [
        (target, source)
        for target in one.targets
        if target in two.targets
        for source in one.sources
        if source in two.sources
    ]
    a, b = np.array([one[c] for c in cells]), np.array([two[c] for c in cells])
    known = len(cells) >= 3 and np.ptp(a) > 0 and np.ptp(b) > 0
    rank = float(stats.spearmanr(a, b).statistic) if known else float("nan")
    apart = [
        (target, source, one[target, source], two[target, source])
        for target, source in cells
        if _apart(one.interval(target, source), two.interval(target, source))
    ]
    apart.sort(key=lambda cell: -abs(cell[3] - cell[2]))
    return StudyAgreement(lens, len(cells), rank, tuple(apart))


def _apart(one: tuple[float, float] | None, two: tuple[float, float] | None) -> bool:
    return one is not None and two is not None and (one[1] < two[0] or two[1] < one[0])


def settings_apart(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(field, first value, second value) of every field of the configurations that differs."""
    one, two = dict(_flat(before)), dict(_flat(after))
    return [
        (field, one.get(field, "–"), two.get(field, "–"))
        for field in dict.fromkeys([*one, *two])
        if one.get(field) != two.get(field)
    ]


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _flat(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _written(inner)


def _written(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, Mapping):
        return "none"
    return "not set" if value is None else str(value)


def agreement_words(found: StudyAgreement) -> str:
    """One lens in a sentence."""
    if not np.isfinite(found.rank):
        return f"{found.lens}: too few pairs in common to compare."
    text = f"{found.lens}: over {found.pairs} pairs of target and source both studies rank alike to ρ = "
    text += f"{number(found.rank, 2)} (Spearman)"
    if found.differing:
        return text + f"; for {len(found.differing)} of them the 95 % intervals do not overlap."
    return text + "; no pair's intervals lie apart."
