"""Why: who helps whom, in an order that shows the groups, and what makes up each target's gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering

from glotmix.estimate import Estimate
from glotmix.report.evidence import About, Evidence, Interactions
from glotmix.report.frames.units import gain_unit
from glotmix.transfer.matrix import TransferMatrix, repeated_in_words
from glotmix.wording import counted, listed, number, signed

BY_FAMILY_FROM = 31
"""From so many languages on the matrix is grouped by family, and clustered inside each."""
METHODS = {
    "exact Shapley": "Shapley values: what a source adds, averaged over all groups of languages that it can join.",
    "in-run Shapley": "In-run Shapley values: what a source's batches added to the loss's fall, step by step.",
}
"""How values were computed, in a sentence; another method is named as it is."""
BUDGETS = {
    "fixed": "Every group had the same number of tokens, so a source's tokens are taken from the others: a negative "
    "value is often what that displaces, not harm.",
    "own": "Every group had the tokens of its members alone, so a larger group also had more of them.",
    "capped": "No group read a language more often than the study's limit, so groups of little text had fewer tokens.",
}
"""What readers must know of the tokens that groups had."""
EMPTY = {
    "unigram": "Without any language a target's loss is that of guessing tokens by how often they occur",
    "base": "Without any language a target's loss is that of the model that proxies start from",
    "uniform_tokens": "Without any language a target's loss is that of guessing all tokens alike",
}
"""Loss of the empty coalition, as :class:`glotmix.mixture.config.DesignConfig` names it, in words."""


@dataclass(frozen=True)
class Waterfall:
    """How the sources add up to a target's reduction of loss."""

    target: str
    """Language evaluated."""
    steps: tuple[tuple[str, Estimate], ...]
    """Source (or "37 others") and its value, the largest in size first."""
    total: float
    """Their sum."""


def clustered(matrix: TransferMatrix, about: Mapping[str, About] | None = None) -> TransferMatrix:
    """The matrix with similar languages side by side; targets outside the mixture come last.

    Average linkage with optimal leaf ordering on the rows and columns of the scaled values. With many languages whose
    families are known, families stay together (the largest first), and so do groups that were players.
    """
    place = {source: i for i, source in enumerate(matrix.sources)}
    inside = [t for t in matrix.targets if t in place]
    order = _order(matrix, list(matrix.sources))
    if about and len(matrix.sources) >= BY_FAMILY_FROM and any(about.get(s) and about[s].family for s in order):
        family = {s: about[s].family if s in about else "" for s in order}
        size = {f: sum(1 for s in order if family[s] == f) for f in family.values()}
        order.sort(key=lambda s: (-size[family[s]], family[s]))
    if group := group_of(matrix):
        place_of = {name: k for k, name in enumerate(dict.fromkeys(group.values()))}
        order.sort(key=lambda s: place_of[group[s]])
    targets = [s for s in order if s in set(inside)] + [t for t in matrix.targets if t not in place]
    rows = [matrix.targets.index(t) for t in targets]
    columns = [place[s] for s in order]

    def pick(grid: np.ndarray | None) -> np.ndarray | None:
        return None if grid is None else np.asarray(grid)[np.ix_(rows, columns)]

    value = pick(matrix.value_TL)
    assert value is not None
    return TransferMatrix(
        tuple(targets),
        tuple(order),
        value,
        pick(matrix.low_TL),
        pick(matrix.high_TL),
        matrix.unit,
        matrix.method,
        matrix.notes,
    )


def group_of(matrix: TransferMatrix) -> dict[str, str]:
    """Source to its group, where groups were the players and these are their members; else nothing."""
    groups = {one: name for name, inside in matrix.notes.get("groups", {}).items() for one in inside}
    return groups if set(matrix.sources) <= groups.keys() else {}


def _order(matrix: TransferMatrix, sources: list[str]) -> list[str]:
    if len(sources) < 3:
        return sources
    rows = [matrix.targets.index(s) for s in sources if s in matrix.targets]
    value = np.nan_to_num(matrix.value_TL)
    if len(rows) == len(sources):
        square = value[rows].copy()
        off = ~np.eye(len(sources), dtype=bool)
        np.fill_diagonal(square, square[off].max() if off.any() else 0)
        features = np.hstack([square, square.T])
    else:
        features = value.T
    spread = features.std() or 1.0
    tree = linkage(features / spread, "average")
    if len(sources) <= 200:
        tree = optimal_leaf_ordering(tree, features / spread)
    return [sources[i] for i in leaves_list(tree)]


def certain(matrix: TransferMatrix) -> np.ndarray:
    """Mask [T, L] of the values whose interval leaves out zero; without intervals all count, and nothing is claimed."""
    if matrix.low_TL is None or matrix.high_TL is None:
        return np.asarray(np.isfinite(matrix.value_TL))
    return (matrix.low_TL > 0) | (matrix.high_TL < 0)


def finding(evidence: Evidence, matrix: TransferMatrix) -> str:
    """The strongest help and harm between different languages whose intervals leave out zero.

    The intervals of a matrix hold all at once, so that with no transfer at all at most one page in twenty names a
    helper; without intervals (nothing was repeated) no page does.
    """
    if matrix.low_TL is None or matrix.high_TL is None:
        return "Nothing was repeated, so transfer cannot be told from noise"
    sure = certain(matrix)
    cross = [
        (float(matrix.value_TL[i, j]), target, source)
        for i, target in enumerate(matrix.targets)
        for j, source in enumerate(matrix.sources)
        if target != source and sure[i, j]
    ]
    if not cross:
        return evidence.in_own_words("No transfer between different languages stands out from the noise")
    best, worst = max(cross), min(cross)
    name = evidence.name_of

    def unit(target: str) -> str:
        told = gain_unit(evidence, matrix, target)
        return f" {told}" if told not in ("", "1") else ""

    text = (
        f"{name(best[2])} helps {name(best[1])} most ({signed(best[0], 2)}{unit(best[1])})"
        if best[0] > 0
        else evidence.in_own_words("No language helps another beyond the noise")
    )
    if worst[0] < 0:
        text += f"; {name(worst[2])} costs {name(worst[1])} most ({signed(worst[0], 2)}{unit(worst[1])})"
    return text


def certainty(matrix: TransferMatrix) -> str:
    """How many cells differ from zero beyond the noise."""
    if matrix.low_TL is None:
        return "Nothing was repeated, so these values have no intervals."
    known, sure = np.isfinite(matrix.low_TL), certain(matrix)
    text = f"{int(sure.sum())} of {counted(int(known.sum()), 'value')} have a 95 % interval that leaves out zero."
    if "intervals" in matrix.notes:
        text += " The intervals hold all at once: with no transfer at all, 19 of 20 such matrices would show none."
    if not known.all():
        text += f" {counted(int((~known).sum()), 'value')} have no interval: nothing tells the noise of their target."
    return text


def waterfall(matrix: TransferMatrix, target: str, most: int = 10) -> Waterfall:
    """A target's values by size; beyond ``most`` sources the smallest are added up (without an interval)."""
    row = matrix.targets.index(target)
    values = matrix.value_TL[row]
    order: Sequence[int] = sorted(range(len(values)), key=lambda j: -abs(values[j]))
    shown, rest = (order, []) if len(order) <= most else (order[: most - 1], order[most - 1 :])
    steps = []
    for j in shown:
        low, high = matrix.interval(target, matrix.sources[j]) or (None, None)
        steps.append((matrix.sources[j], Estimate(float(values[j]), low, high)))
    if rest:
        steps.append((f"{len(rest)} others", Estimate(float(values[list(rest)].sum()))))
    return Waterfall(target, tuple(steps), float(values.sum()))


def method_in_words(evidence: Evidence, matrix: TransferMatrix, lens: str) -> str:
    """How the values came about, for a reader who has not read the paper."""
    notes = matrix.notes
    told = [evidence.in_own_words(METHODS.get(matrix.method, f"{matrix.method or lens}."))]
    told += [evidence.in_own_words(BUDGETS[str(notes["budget"])])] if notes.get("budget") in BUDGETS else []
    if isinstance(repeats := notes.get("repeats"), Mapping):
        told.append(f"{repeated_in_words(repeats, evidence.name_of(str(repeats['language'])))}.")
    if isinstance(losses := notes.get("empty_loss"), Mapping) and losses:
        known = {t: one.turned(loss) if (one := evidence.scored.get(t)) else loss for t, loss in losses.items()}
        shown = listed([f"{evidence.name_of(target)} {number(loss, 2)}" for target, loss in known.items()], most=8)
        how = evidence.in_own_words(EMPTY.get(str(notes.get("empty")), "The loss without any language was given"))
        told.append(f"{how} ({shown} {matrix.unit}); it shifts all values of a target alike.")
    if isinstance(notes.get("runs"), int):
        told.append(f"From {counted(notes['runs'], 'run')}.")
    return " ".join(told)


def pair_finding(evidence: Evidence, found: Interactions) -> str:
    """How many pairs there are of either kind whose intervals leave out zero, and the strongest of each.

    As for :func:`finding`: the intervals hold for all pairs at once, and without them nothing is claimed.
    """
    if found.half_LL is None:
        return "Nothing was repeated, so what pairs do together cannot be told from noise"
    i, j = np.triu_indices(len(found.languages), 1)
    values = found.value_LL[i, j]
    sure = np.where(np.abs(values) > found.half_LL[i, j], values, 0.0)
    together, instead = int((sure > 0).sum()), int((sure < 0).sum())

    def pair(k: int) -> str:
        first, second = (evidence.name_of(found.languages[at[k]]) for at in (i, j))
        return f"{first} and {second} ({signed(float(values[k]), 2)} {found.unit})"

    most, least = pair(int(sure.argmax())), pair(int(sure.argmin()))
    if not together and not instead:
        return "No pair does more or less together than apart beyond the noise"
    if len(values) == 1:
        return f"{most} {'do more together' if together else 'stand in for each other'}"
    if together == len(values):
        return f"All {together} pairs do more together than apart, most of all {most}"
    if instead == len(values):
        return f"In all {instead} pairs the {evidence.mixes}s stand in for each other, most of all {least}"
    parts = []
    if together:
        parts.append(f"{together} of {len(values)} pairs do more together than apart, most of all {most}")
    if instead:
        rest = f"{instead}{'' if parts else f' of {len(values)} pairs'} stand in for each other, most of all {least}"
        parts.append(rest)
    return "; ".join(parts)
