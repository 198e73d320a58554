"""The menu: who helps whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from glotmix.errors import BadInput
from glotmix.fit.games import ShapleyRequest, shapley_of
from glotmix.menu.sources import LawLike, RunsLike, law_of, runs_of
from glotmix.transfer.matrix import TransferMatrix


def shapley(
    runs: RunsLike | None = None,
    *,
    law: LawLike | None = None,
    empty: float | Mapping[str, float] | None = None,
    estimate: bool = False,
    groups: Mapping[str, Sequence[str]] | None = None,
    interactions: str | None = None,
) -> TransferMatrix:
    """Shapley values of every source language for every target: what it gives, on average over all coalitions.

    From runs alone they are exact where every coalition was run, and with ``estimate`` taken from some of them. From a
    law alone they are exact values of what it predicts. From both, the law predicts and the runs correct it.

    Args:
        runs: coalitions, as :func:`~glotmix.menu.fitting.read_runs` takes them: runs whose languages have equal shares.
        law: what ``fit`` returned, a ``fit.json``, or a finished study.
        empty: loss of a model that was trained on nothing, one for all targets or by target.
        estimate: take values from a part of the coalitions.
        groups: name to the languages of a family that bargains as a whole: Owen values.
        interactions: a target, whose pairwise interactions are wanted in place of the values.

    Returns:
        ``values[target, source]`` in the unit of the losses; positive helps.

    Raises:
        BadInput: neither runs nor a law, coalitions that are missing, or questions that do not go together.
    """
    if runs is None and law is None:
        raise BadInput("no runs and no law", where="shapley", expected="one of them, or both")
    measured = None if runs is None else runs_of(runs)
    fitted = None if law is None else law_of(law)
    told = measured or fitted
    assert told is not None
    known = dict(empty) if isinstance(empty, Mapping) else {} if empty is None else dict.fromkeys(told.targets, empty)
    families = None if groups is None else {name: tuple(members) for name, members in groups.items()}
    return shapley_of(measured, ShapleyRequest(known, estimate, families, interactions), fitted)
