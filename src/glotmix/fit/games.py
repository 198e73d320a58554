"""Games from files: Shapley values, Owen values and interactions of a table of coalitions or of a fitted law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glotmix.errors import BadInput
from glotmix.fit.fit import Fit
from glotmix.measurements import Measurements
from glotmix.transfer.estimate import NORMAL_95, Payoff, estimated
from glotmix.transfer.game import MOST_PLAYERS, Game, game_from, game_of, members
from glotmix.transfer.interactions import interactions, owen
from glotmix.transfer.matrix import TransferMatrix
from glotmix.transfer.shapley import exact, weights


@dataclass(frozen=True)
class Asked:
    """What is asked of a game."""

    empty: Mapping[str, float]
    """Target to the loss of the empty coalition; where a target is missing, the worst measured (or predicted) one."""
    estimate: bool = False
    """Whether values may be estimated from a part of the coalitions."""
    groups: Mapping[str, tuple[str, ...]] | None = None
    """Families that bargain as wholes: Owen values. A language in none of them is a family of its own."""
    interactions_of: str | None = None
    """Target whose pairwise interactions are wanted in place of the values."""


def shapley_of(measurements: Measurements | None, asked: Asked, law: Fit | None = None) -> TransferMatrix:
    """Values of the game that was measured, of that of a fitted law, or of both.

    With runs alone: exact from every coalition, or estimated from some. With a law alone: exact values of what it
    predicts for every coalition, with its own uncertainty. With both: *law-adjusted*, the law as control variate and
    the coalitions that were run correcting it.

    Raises:
        BadInput: neither runs nor a law, coalitions that are missing, or questions that do not go together.
    """
    if measurements is None:
        if law is None:
            raise BadInput("no table of runs and no law", expected="RUNS, --mixtures with --losses, or --law fit.json")
        return values_of_law(law, asked)
    worst = dict(zip(measurements.targets, np.nanmax(measurements.loss_RT, axis=0).tolist(), strict=True))
    empty = worst | dict(asked.empty)
    if asked.estimate or law is not None:
        if asked.groups or asked.interactions_of:
            raise BadInput("groups or interactions of estimated values", expected="every coalition, or a law alone")
        if law is None:
            return estimated(measurements, empty)
        if (law.languages, law.targets) != (measurements.languages, measurements.targets):
            raise BadInput(
                f"a law of {', '.join(law.languages)}", where="--law", expected=", ".join(measurements.languages)
            )
        return estimated(measurements, empty, prior=payoff_of_law(law, empty))
    return _of(game_from(measurements, empty), asked)


def payoff_of_law(law: Fit, empty: Mapping[str, float]) -> Payoff:
    """``L_t(∅) - L̂_t(S)`` of coalitions [C, L] as [C, T], members having equal shares; zero for nobody."""
    empty_T = np.array([empty[target] for target in law.targets])

    def payoff(inside: np.ndarray) -> np.ndarray:
        some_C = np.asarray(inside.any(axis=1))
        members_CL = np.where(some_C[:, None], inside, True)
        loss_CT = law.predict(members_CL / members_CL.sum(axis=1, keepdims=True)).value_RT
        return np.where(some_C[:, None], empty_T - loss_CT, 0.0)

    return payoff


def values_of_law(law: Fit, asked: Asked) -> TransferMatrix:
    """Exact values of the game that a law predicts; 95 % intervals over its resampled fits, where it has them.

    Raises:
        BadInput: more than 12 languages, or a target of which the law says nothing.
    """
    inside_CL = members(len(law.languages))[1:] if len(law.languages) <= MOST_PLAYERS else np.zeros((0, 0))
    if not len(inside_CL):
        raise BadInput(f"all coalitions of {len(law.languages)} languages", expected=f"at most {MOST_PLAYERS}")
    p_CL = inside_CL / inside_CL.sum(axis=1, keepdims=True)
    loss_CT = law.predict(p_CL).value_RT
    if unknown := [
        target for target, known in zip(law.targets, np.isfinite(loss_CT).all(axis=0), strict=True) if not known
    ]:
        raise BadInput(f"the law is not finite for {', '.join(unknown)} in every coalition", expected="another law")
    empty = dict(zip(law.targets, loss_CT.max(axis=0).tolist(), strict=True)) | dict(asked.empty)
    game = game_of(law.languages, law.targets, payoff_of_law(law, empty))
    matrix = _of(game, asked)
    loss_BCT = law.resampled(p_CL)
    notes = {"law": law.law.name, "empty_loss": {target: empty[target] for target in law.targets}}
    low_TL = high_TL = None
    if len(loss_BCT) and not (asked.groups or asked.interactions_of):
        # The empty coalition is given: it shifts all values of a target and does not vary.
        spread_TL = NORMAL_95 * np.einsum("lc,bct->btl", weights(len(law.languages))[:, 1:], loss_BCT).std(axis=0)
        low_TL, high_TL = matrix.value_TL - spread_TL, matrix.value_TL + spread_TL
    method = f"{matrix.method} of a law"
    return TransferMatrix(matrix.targets, matrix.sources, matrix.value_TL, low_TL, high_TL, "bpb", method, notes)


def families(groups: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """``NAME=A,B`` as ``{NAME: (A, B)}``."""
    found = {}
    for item in groups:
        name, equals, inside = item.partition("=")
        if not equals or not name or not inside:
            raise BadInput(f"{item!r}", where="--group", expected="NAME=A,B")
        found[name] = tuple(member.strip() for member in inside.split(","))
    return found


def _of(game: Game, asked: Asked) -> TransferMatrix:
    """What is asked of a complete game."""
    if asked.groups and asked.interactions_of:
        raise BadInput("groups and interactions at once", expected="one of them")
    if asked.groups:
        named = {language for family in asked.groups.values() for language in family}
        alone = {language: (language,) for language in game.players if language not in named}
        return owen(game, {**asked.groups, **alone})
    if (target := asked.interactions_of) is None:
        return exact(game)
    if target not in game.targets:
        raise BadInput(f"no target {target}", where="--interactions", expected=", ".join(game.targets))
    index_LL = interactions(game)[game.targets.index(target)]
    method = f"pairwise Shapley interactions for {target}"
    return TransferMatrix(game.players, game.players, index_LL, None, None, "bpb", method, dict(game.notes or {}))
