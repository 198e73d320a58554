"""The menu: the best mixture, at one size and along sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glotmix.menu.sources import LawLike, MixtureLike, law_of, mixture_of
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.optimum import Optimum
from glotmix.optimize.request import asked, kept_in, optimum_of
from glotmix.optimize.scale import Scaling, scaling_of


def optimize(
    law: LawLike,
    *,
    objective: str = "mean",
    weights: Mapping[str, float] | None = None,
    floors: Mapping[str, float] | None = None,
    ceilings: Mapping[str, float] | None = None,
    max_epochs: float | None = None,
    unique: Mapping[str, float] | None = None,
    tokens: float | None = None,
    parameters: float | None = None,
    current: MixtureLike | None = None,
    keep: MixtureLike | None = None,
    affected: Sequence[str] = (),
    **further: Any,
) -> Optimum:
    """The best mixture under limits, its interval, the active limits, and every baseline on the same law.

    Args:
        law: what ``fit`` returned, a ``fit.json``, or a finished study.
        objective: ``"mean"``, ``"weighted"``, ``"normalised"``, ``"worst"``, ``"regret"`` or ``"quantile"``.
        weights: weight of each target; default 1 for the groups in the mixture and 0 for those outside.
        floors: least share of a group.
        ceilings: greatest share of a group.
        max_epochs: most passes over a group's unique tokens in the target run; needs ``unique`` and ``tokens``.
        unique: unique tokens of each group; default those of the runs that were fitted to.
        tokens: training tokens D of the target run.
        parameters: size N of the target model, without embeddings.
        current: the mixture in use today, shown beside the optimum.
        keep: a mixture found before: its groups keep their relative shares, and new ones join.
        affected: with ``keep``: groups of it whose share is sought again.
        further: any other field of a study's section ``optimize``: ``groups``, ``kl``, ``l1``, ``near``, ``quantile``.

    Raises:
        BadInput: a limit on a group that the law does not know, or whatever else is wrong with the question.
        Infeasible: limits that no mixture meets; the message names the smallest set in conflict.
    """
    fitted = law_of(law)
    now = {} if current is None else mixture_of(current).to_json()
    config = _limits(objective, weights, floors, ceilings, max_epochs, further | {"current": now})
    kept = None if keep is None else kept_in(mixture_of(keep), fitted.languages, affected, where="keep")
    return optimum_of(fitted, config, unique=unique, D=tokens, N=parameters, keep=kept)


def scale(
    law: LawLike,
    *,
    sizes: Sequence[tuple[float, float]] = (),
    compute: float | None = None,
    objective: str = "mean",
    weights: Mapping[str, float] | None = None,
    floors: Mapping[str, float] | None = None,
    ceilings: Mapping[str, float] | None = None,
    max_epochs: float | None = None,
    unique: Mapping[str, float] | None = None,
    **further: Any,
) -> Scaling:
    """The optimum as a function of model size and tokens, with intervals, and the best way to spend a budget.

    Args:
        law: what ``fit`` returned, a ``fit.json``, or a finished study; fitted to runs in which N and D vary.
        sizes: pairs (N, D): parameters without embeddings, and training tokens.
        compute: budget in FLOPs: the best N, D and mixture with ``compute = 6 N D`` (Hoffmann et al. 2022).
        objective: as in :func:`optimize`; with ``compute`` one of ``"mean"`` and ``"weighted"``.
        weights: as in :func:`optimize`.
        floors: as in :func:`optimize`.
        ceilings: as in :func:`optimize`.
        max_epochs: as in :func:`optimize`; the limit follows D.
        unique: as in :func:`optimize`.
        further: as in :func:`optimize`.

    Raises:
        BadInput: neither sizes nor a budget, or a budget for a law that knows no N.
        Infeasible: limits that no mixture meets.
    """
    config = _limits(objective, weights, floors, ceilings, max_epochs, further)
    return scaling_of(law_of(law), config, unique=unique, sizes=list(sizes), C=compute)


def _limits(
    objective: str,
    weights: Mapping[str, float] | None,
    floors: Mapping[str, float] | None,
    ceilings: Mapping[str, float] | None,
    max_epochs: float | None,
    further: Mapping[str, Any],
) -> OptimizeConfig:
    """Objective and limits as a study's section ``optimize`` has them."""
    shares = {"weights": weights, "floors": floors, "ceilings": ceilings}
    given = {name: dict(value) for name, value in shares.items() if value is not None}
    return asked({"objective": objective, "max_epochs": max_epochs, **given, **further}, where="optimize")
