"""Games from files: Shapley values, Owen values and interactions of a table of coalitions or of a fitted law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glotmix.errors import BadInput
from glotmix.fit.fit import Fit
from glotmix.language import find_name
from glotmix.measurements import Measurements, same_names
from glotmix.mixture.groups import MOST_PLAYERS
from glotmix.scored import Scored
from glotmix.transfer.coalitions import repeats_in
from glotmix.transfer.estimate import Payoff
from glotmix.transfer.game import (
    Game,
    empty_losses,
    empty_notes,
    empty_of_scores,
    empty_weights,
    game_from,
    members,
)
from glotmix.transfer.groups import owen
from glotmix.transfer.interactions import interactions_for
from glotmix.transfer.matrix import TransferMatrix
from glotmix.transfer.measured import PriorAt, estimated, values_of_runs
from glotmix.transfer.noise import LEVEL, largest_of_blocks
from glotmix.transfer.shapley import exact, weights


@dataclass(frozen=True)
class ShapleyRequest:
    """What is asked of a game."""

    empty: Mapping[str, float]
    """Target to the loss of the empty coalition; where a target is missing, the mean of the models that were trained on
    one other language."""
    estimate: bool = False
    """Whether values may be estimated from a part of the coalitions."""
    groups: Mapping[str, tuple[str, ...]] | None = None
    """Families that bargain as wholes: Owen values. A language in none of them is a family of its own."""
    interactions_of: str | None = None
    """Target whose pairwise interactions are wanted in place of the values."""


def shapley_of(measurements: Measurements | None, asked: ShapleyRequest, law: Fit | None = None) -> TransferMatrix:
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
    if law is not None:
        measurements = same_names(measurements, law, where="--law")
    empty = _empty(measurements.targets, asked, measurements.scored)
    if asked.estimate or law is not None:
        if asked.groups or asked.interactions_of:
            raise BadInput("groups or interactions of estimated values", expected="every coalition, or a law alone")
        if law is None:
            return estimated(measurements, empty)
        if set(law.targets) != set(measurements.targets):
            raise BadInput(
                f"a law of the losses of {', '.join(law.targets)}",
                where="--law",
                expected=", ".join(measurements.targets),
            )
        return estimated(measurements, empty, prior=payoffs_of_law(law))
    if asked.groups or asked.interactions_of:
        return _of(game_from(measurements, empty), asked)
    return values_of_runs(measurements, empty)


def payoffs_of_law(law: Fit) -> PriorAt:
    """``L_t(∅) - L̂_t(S)`` of coalitions [C, L] as [C, T] in the order of the empty losses, members having equal shares;
    zero for the empty coalition."""

    def at(N: float, D: float, empty: Mapping[str, float]) -> Payoff:
        empty_T = np.array(list(empty.values()))
        order = [law.targets.index(target) for target in empty]

        def payoff(inside: np.ndarray) -> np.ndarray:
            some_C = np.asarray(inside.any(axis=1))
            members_CL = np.where(some_C[:, None], inside, True)
            p_CL = members_CL / members_CL.sum(axis=1, keepdims=True)
            loss_CT = law.predict(p_CL, _or_own(N), _or_own(D)).value_RT[:, order]
            return np.where(some_C[:, None], empty_T - loss_CT, 0.0)

        return payoff

    return at


def values_of_law(law: Fit, asked: ShapleyRequest) -> TransferMatrix:
    """Exact values of the game that a law predicts; 95 % intervals over its resampled fits, where it has them.

    Raises:
        BadInput: more than 12 languages, or a target of which the law says nothing.
    """
    inside_CL = members(len(law.languages)) if len(law.languages) <= MOST_PLAYERS else np.zeros((0, 0), dtype=bool)
    if not len(inside_CL):
        raise BadInput(f"all coalitions of {len(law.languages)} languages", expected=f"at most {MOST_PLAYERS}")
    p_CL = inside_CL[1:] / inside_CL[1:].sum(axis=1, keepdims=True)
    loss_CT = np.vstack([np.full(len(law.targets), np.nan), law.predict(p_CL).value_RT])
    known_CT = np.isfinite(loss_CT)
    if unknown := [target for target, known in zip(law.targets, known_CT[1:].all(axis=0), strict=True) if not known]:
        raise BadInput(f"the law is not finite for {', '.join(unknown)} in every coalition", expected="another law")
    empty = _empty(law.targets, asked, law.scored)
    empty_TC = empty_weights(law.languages, law.targets, inside_CL, known_CT, empty)
    loss_CT[0] = empty_T = empty_losses(law.targets, empty, empty_TC, loss_CT)
    sizes = {name: value for name, value in (("N", law.N), ("D", law.D)) if np.isfinite(value)}
    unique_CL = None if law.unique_L is None else np.tile(law.unique_L, (len(p_CL), 1))
    again = repeats_in(law.languages, p_CL, np.full(len(p_CL), law.D), unique_CL)
    notes = {"law": law.law.name, "budget": "fixed", **sizes, **empty_notes(law.targets, empty, empty_T)}
    notes |= {"repeats": again} if again else {}
    matrix = _of(Game(law.languages, law.targets, empty_T - loss_CT, None, notes), asked)
    loss_BCT = law.resampled(p_CL)
    low_TL = high_TL = None
    if len(loss_BCT) > 1 and not (asked.groups or asked.interactions_of):
        # A loss of the empty coalition that is given shifts all values of a target and does not vary.
        moving_BT = 0.0 if empty_TC is None else np.einsum("tc,bct->bt", empty_TC[:, 1:], loss_BCT)[:, :, None]
        value_BTL = moving_BT / len(law.languages) - np.einsum(
            "lc,bct->btl", weights(len(law.languages))[:, 1:], loss_BCT
        )
        away_BV = (value_BTL - value_BTL.mean(axis=0)).reshape(len(loss_BCT), -1)
        covariance_VV = away_BV.T @ away_BV / (len(loss_BCT) - 1)
        variance_TL = np.diag(covariance_VV).reshape(matrix.value_TL.shape)
        freedom_T = np.full(len(law.targets), len(loss_BCT) - 1.0)
        spread_TL = largest_of_blocks(covariance_VV, freedom_T, LEVEL) * np.sqrt(variance_TL)
        low_TL, high_TL = matrix.value_TL - spread_TL, matrix.value_TL + spread_TL
        notes["intervals"] = f"all {spread_TL.size} hold together with {LEVEL:.0%}, if the law's form is right"
    method = f"{matrix.method} of a law"
    ends = (low_TL, high_TL)
    return TransferMatrix(matrix.targets, matrix.sources, matrix.value_TL, *ends, matrix.unit, method, notes)


def _empty(targets: Sequence[str], asked: ShapleyRequest, scored: Mapping[str, Scored]) -> dict[str, float | None]:
    """What was given (of a score: a score), else the error of guessing of scores, and None of losses.

    Raises:
        BadInput: a target that there is not.
    """
    given = {find_name(name, targets, where="--empty", what="target"): loss for name, loss in asked.empty.items()}
    given = {target: scored[target].turned(x) if target in scored else x for target, x in given.items()}
    return empty_of_scores(targets, scored) | given


def _or_own(size: float) -> float | None:
    """None, the law's own size, where the runs do not tell theirs."""
    return float(size) if np.isfinite(size) else None


def families(groups: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """``NAME=A,B`` as ``{NAME: (A, B)}``."""
    found = {}
    for item in groups:
        name, equals, inside = item.partition("=")
        if not equals or not name or not inside:
            raise BadInput(f"{item!r}", where="--group", expected="NAME=A,B")
        found[name] = tuple(member.strip() for member in inside.split(","))
    return found


def _of(game: Game, asked: ShapleyRequest) -> TransferMatrix:
    """What is asked of a complete game."""
    if asked.groups and asked.interactions_of:
        raise BadInput("groups and interactions at once", expected="one of them")
    if asked.groups:
        groups = {
            name: tuple(find_name(language, game.players, where="--group", what="language") for language in family)
            for name, family in asked.groups.items()
        }
        named = {language for family in groups.values() for language in family}
        alone = {language: (language,) for language in game.players if language not in named}
        return owen(game, {**groups, **alone})
    if (target := asked.interactions_of) is None:
        return exact(game)
    return interactions_for(game, find_name(target, game.targets, where="--interactions", what="target"))
