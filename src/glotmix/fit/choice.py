"""From files to results: what the single commands do with tables and results that already exist. No torch."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType

from glotmix.artifact import read_json
from glotmix.errors import BadInput
from glotmix.fit.fit import Fit, fit, varying
from glotmix.fit.holdout import Holdout, cross_validate, extrapolate, judge
from glotmix.fit.parallel import processes
from glotmix.fit.selection import choose
from glotmix.fit.several import STARTS, Repeats, fit_all
from glotmix.fit.splits import mixtures_of
from glotmix.fit.staging import Staging, choose_stages, through_of
from glotmix.laws import find_law
from glotmix.laws.residual import Corrected
from glotmix.measurements import DeclaredScores, Measurements, read_runs, same_names
from glotmix.notebook import Shown
from glotmix.progress import Advance, Stages
from glotmix.transfer.coalitions import plays_coalition
from glotmix.transfer.measured import values_for_laws
from glotmix.wording import listed

USUAL_LAWS = ("null", "own_ratio", "own_ratio_floored", "log_linear", "shapley_law", "shapley_law_data")
"""What ``--law auto`` compares."""
REPEATING_LAWS = (
    "atlas",
    "shapley_law_repeated",
    "shapley_law_data_repeated",
    "own_ratio_repeated",
    "shapley_law_overfit",
)
"""What it compares beside these where D and unique tokens are known and something is repeated."""
TURNING_LAWS = ("shapley_law_repeated",)
"""What it compares beside these where passes are not known, and a loss rises with the target's own share."""
RISING, LEAST_RISING = 0.01, 8
"""Significance from which a loss is taken to rise, and runs that must be able to say so."""
JOINT_LAWS = ("shapley_law_joint", "shukor_joint", "shukor_additive", "capacity")
"""What it compares beside these where N or D varies."""
ORDERED_LAWS = ("own_ratio_floored+order", "shapley_law+order", "shapley_law_data+order")
"""What it compares beside these where mixtures change within runs; and one more each where text is repeated, and where
N or D varies."""
VALUED_LAWS = ("shapley_law_prior",)
"""What it compares beside these where the runs are few and coalitions among them tell Shapley values."""
FEW_MIXTURES = 32
"""Mixtures up to which they are few (benchmarks/values.py)."""
LEFT_IN_A_FOLD = 0.7
"""Of the coalitions, at the least."""
CORRECTED_LAWS = ("shapley_law+gaussian_process",)
"""What it compares beside these where neither varies and there are runs enough to learn what the law leaves over."""
HOPELESS, FAR_BEHIND = 2.5, 1.6
"""A law whose residuals are more than the first many times the least is not judged by held-out error, and one whose
held-out errors by mixture are more than the second many times the least is not judged beyond the runs."""
MOST_JUDGED = 24
"""Targets by which laws are compared; the law that is chosen is fitted to all of them."""
ENOUGH_TO_CORRECT = 40
ENOUGH_TO_SHARE = 100
"""Runs from which the fits are shared out over processes, unless told otherwise."""


@dataclass(frozen=True, repr=False)
class Fitted(Shown):
    """What ``glotmix fit`` found."""

    chosen: str
    """Law with the least held-out error."""
    fit: Fit
    """That law, fitted to all runs."""
    holdout: Holdout
    """Held-out errors of all laws, by mixture."""
    beyond: Mapping[str, Holdout]
    """Errors of laws that saw the other runs: on those of the largest "N" and "D", and in the "corners" of the simplex;
    what the table cannot show is left out."""
    unique: Mapping[str, float]
    """Unique tokens per group where the table tells them, else empty."""
    judged: Holdout | None = None
    """Errors on runs that were kept apart, which took no part in the choice; None where there are none."""
    staging: Staging = field(default_factory=Staging)
    """How scores are fitted, and what the other way would have been worth."""

    def to_json(self) -> dict[str, Any]:
        """The content of fit.json."""
        return {
            "chosen": self.chosen,
            "fit": self.fit.to_json(),
            "holdout": self.holdout.to_json(),
            "beyond": {name: one.to_json() for name, one in self.beyond.items()},
            "judged": None if self.judged is None else self.judged.to_json(),
            "unique": dict(self.unique),
            **({"staging": self.staging.to_json()} if self.staging.scores else {}),
        }

    def table(self) -> Group:
        """What :meth:`tables` has, in one piece."""
        return Group(*self.tables())

    def tables(self) -> list[RenderableType]:
        """Held-out errors, which law was chosen and why, and what the runs do not tell of its parameters."""
        unclear = [
            f"{target}: {'; '.join(at.unclear)}" for target, at in self.fit.fits.items() if at.usable and at.unclear
        ]
        told = ["What the runs do not tell of its parameters:", *unclear] if unclear else []
        by = _chosen_by(self.beyond)
        where = "held-out error" if by is None else f"the error on the largest {by} of mixtures held out too"
        chosen = f"Chosen by {where}, the simplest law within one standard error of the best: {self.chosen}"
        lost = [target for target, at in self.fit.fits.items() if at.usable and at.status != "converged"]
        if lost:
            told.append(f"Its fit has not converged for {listed(lost)}: {self.fit.fits[lost[0]].status}.")
        judged = [] if self.judged is None else [self.judged.table()]
        stages = [self.staging.table(through_of(self.staging.staged, self.fit.fits))] if self.staging.scores else []
        return [self.holdout.table(), *[one.table() for one in self.beyond.values()], chosen, *stages, *judged, *told]


def fit_table(
    runs: Path | Measurements | None,
    *,
    mixtures: Path | None,
    losses: Path | None,
    laws: Sequence[str],
    folds: int,
    bootstrap: int,
    seed: int,
    weights: Repeats = None,
    held_out: Path | None = None,
    workers: int | None = None,
    tell: Advance | None = None,
) -> Fitted:
    """Fit laws to a table of runs, judge them by cross-validation over mixtures, and keep the best.

    A table over at least three sizes is there to be extrapolated, so there the law is chosen by its error on the
    largest runs after a fit to the others. Runs of ``held_out`` only judge, after the choice.

    Raises:
        BadInput: whatever is wrong with the tables, or fewer runs than parameters.
    """
    measured = runs if isinstance(runs, Measurements) else measurements_in(runs, mixtures, losses)
    if workers is None:
        workers = processes_for(measured)
    apart = None if held_out is None else _apart(held_out, measured)
    return fit_measurements(
        measured,
        laws=laws,
        folds=folds,
        bootstrap=bootstrap,
        seed=seed,
        weights=weights,
        held_out=apart,
        workers=workers,
        tell=tell,
    )


def _apart(path: Path, measured: Measurements) -> Measurements:
    """Runs that are kept apart, under the names of the others and with their scores."""
    scores = DeclaredScores.of(measured.scored)
    return same_names(read_runs(path, scores=scores), measured, where=path)


def fit_measurements(
    measurements: Measurements,
    *,
    laws: Sequence[str],
    folds: int,
    bootstrap: int,
    seed: int,
    weights: Repeats = None,
    held_out: Measurements | None = None,
    workers: int = 1,
    tell: Advance | None = None,
) -> Fitted:
    """The same for runs that are at hand, in so many processes."""
    names = list(dict.fromkeys(name for law in laws for name in (usual(measurements) if law == "auto" else (law,))))
    families = [find_law(name) for name in names]
    compared = families if "null" in names else [find_law("null"), *families]
    # Laws that use Shapley values get them from the coalitions among the runs that they are fitted to.
    values = values_for_laws if any("transfer" in family.needs for family in families) else None
    stages = Stages(
        tell, {"Fitting laws": 3.0, "Judging laws": 6.0, "Judging beyond": 3.0, "Fitting": 3.0, "Judging apart": 1.0}
    )
    unjudged: dict[str, Any] = {"seed": seed, "weights": weights, "workers": workers}
    how = {**unjudged, "transfer": values}
    unjudged |= {"starts": STARTS}
    how["targets"] = judged_targets(measurements)
    with processes(workers):
        near = fit_all(compared, measurements, tell=stages.stage("Fitting laws"), **how)
        hopeless = out_of_question(near)
        compared = [law for law in compared if law.name not in hopeless]
        holdout = cross_validate(
            compared, measurements, folds=folds, near=near, tell=stages.stage("Judging laws"), **how
        )
        holdout = dataclasses.replace(holdout, problems={**holdout.problems, **hopeless})
        candidates = {name: scores for name, scores in holdout.scores.items() if name in names}
        if not candidates:
            problems = "; ".join(f"{law}: {problem}" for law, problem in holdout.problems.items())
            raise BadInput(f"no law could be fitted: {problems}")
        beyond = extrapolate(
            worth_extrapolating(holdout), measurements, near=near, starts=2, tell=stages.stage("Judging beyond"), **how
        )
        by = _chosen_by(beyond)
        compete = holdout if by is None else beyond[by]
        competing = {name: compete.scores[name] for name in candidates if name in compete.scores}
        chosen = choose(_only(compete, competing or candidates), measurements.scored)
        needed = values_for_laws(measurements) if "transfer" in find_law(chosen).needs else None
        tell = stages.stage("Fitting")
        again = near.get(chosen)
        staging = choose_stages(chosen, measurements, holdout, folds=folds, near=near, **how)
        more: dict[str, Any] = {"bootstrap": bootstrap, "near": again, "staged": staging.staged}
        fitted = fit(chosen, measurements, transfer=needed, tell=tell, **more, **unjudged)
        judged = None
        if held_out is not None:
            judged = judge(
                compared,
                measurements,
                held_out,
                near=near,
                staged=staging.staged,
                tell=stages.stage("Judging apart"),
                **how,
            )
    unique = (
        {}
        if measurements.unique_RL is None
        else dict(zip(measurements.languages, measurements.unique_RL.max(axis=0).tolist(), strict=True))
    )
    return Fitted(chosen, fitted, holdout, beyond, unique, judged, staging)


def usual(measurements: Measurements) -> tuple[str, ...]:
    """What ``--law auto`` compares on these runs."""
    found, ordered, varies = list(USUAL_LAWS), list(ORDERED_LAWS), varying(measurements)
    if repeated(measurements):
        found += REPEATING_LAWS
        ordered.append("shapley_law_repeated+order")
    elif rising(measurements):
        found += TURNING_LAWS
    if not varies and tells_values(measurements):
        found += VALUED_LAWS
    if varies & {"N", "D"}:
        found += JOINT_LAWS
        ordered.append("shapley_law_joint+order")
    elif len(measurements) >= ENOUGH_TO_CORRECT:
        found += CORRECTED_LAWS
    return (*found, *ordered) if "order" in varies else tuple(found)


def tells_values(measurements: Measurements) -> bool:
    """Whether the runs are few, and enough of them coalitions that every fold tells Shapley values."""
    if mixtures_of(measurements).max() >= FEW_MIXTURES:
        return False
    inside_RL = measurements.p_RL[plays_coalition(measurements)] > 0
    return LEFT_IN_A_FOLD * len(np.unique(inside_RL, axis=0)) >= len(measurements.languages) + 1


def judged_targets(measurements: Measurements) -> tuple[str, ...]:
    """The targets by which a law is chosen: all where there are few, else ``MOST_JUDGED`` of those in the mixture,
    which decide, evenly spaced in the order of the table."""
    targets = measurements.targets
    if len(targets) <= MOST_JUDGED:
        return targets
    inside = [target for target in targets if target in measurements.languages] or list(targets)
    place = np.unique(np.linspace(0, len(inside) - 1, min(MOST_JUDGED, len(inside))).round().astype(int))
    return tuple(inside[k] for k in place)


def out_of_question(near: Mapping[str, Fit]) -> dict[str, str]:
    """Laws that leave over more than ``HOPELESS`` times what the best law does of the runs it was fitted to, with why.

    They are not judged any further: what cannot follow the runs that it has seen will not follow others. The null law
    is always judged, and so are laws with a black box, which follow the runs that they have seen whatever they are
    worth.
    """
    # A score's questions are noisier than a loss by an order of magnitude, and some laws say nothing of scores.
    losses = any(at.usable and at.scored is None for one in near.values() for at in one.fits.values())
    scales = {
        law: float(
            np.median([at.scale for at in one.fits.values() if at.usable and (at.scored is None) == losses] or [np.inf])
        )
        for law, one in near.items()
        if not isinstance(one.law, Corrected)
    }
    least = min(scales.values(), default=1.0)
    told = "leaves over {:.1f} times as much of the runs that it was fitted to as the best law; not judged further"
    return {law: told.format(x / least) for law, x in scales.items() if law != "null" and x > HOPELESS * least}


def worth_extrapolating(holdout: Holdout) -> list[str]:
    """The laws that are not hopeless already where nothing is extrapolated, and the null law to compare them with."""
    least = np.nanmin([holdout.mean(law) for law in holdout.scores])
    return [law for law in holdout.scores if law == "null" or not holdout.mean(law) > FAR_BEHIND * least]


def repeated(measurements: Measurements) -> bool:
    """Whether some run sees tokens of a language more than once."""
    if measurements.unique_RL is None or not np.isfinite(measurements.D_R).all():
        return False
    return bool((measurements.p_RL * measurements.D_R[:, None] > measurements.unique_RL).any())


def rising(measurements: Measurements) -> bool:
    """Whether some target's loss rises with its own share, among the upper half of the shares that it was given."""
    from scipy.stats import spearmanr  # takes a second to import, which commands that choose no law need not wait for

    for target in set(measurements.targets) & set(measurements.languages):
        own_R, loss_R = measurements.p_RL[:, measurements.languages.index(target)], measurements.loss(target)
        seen_R = (own_R > 0) & np.isfinite(loss_R)
        upper_R = seen_R & (own_R >= np.median(own_R[seen_R])) if seen_R.any() else seen_R
        if upper_R.sum() >= LEAST_RISING and np.ptp(own_R[upper_R]) > 0 and np.ptp(loss_R[upper_R]) > 0:
            rank = spearmanr(own_R[upper_R], loss_R[upper_R], alternative="greater")
            if rank.pvalue < RISING:
                return True
    return False


def _chosen_by(beyond: Mapping[str, Holdout]) -> str | None:
    """A table over sizes is there to be extrapolated along them; None: cross-validation chooses."""
    return next((name for name in ("N", "D") if name in beyond), None)


def _only(holdout: Holdout, scores: Mapping[str, Any]) -> Holdout:
    return dataclasses.replace(holdout, scores=scores)


def processes_for(measured: Measurements) -> int:
    """One per core where there are runs enough to be worth it."""
    return (os.cpu_count() or 1) if len(measured) >= ENOUGH_TO_SHARE else 1


def measurements_in(runs: Path | None, mixtures: Path | None, losses: Path | None) -> Measurements:
    """The runs that a command was given: a study or wide table, or mixtures and losses in two tables.

    Raises:
        BadInput: neither was given, or a table is not one of runs.
    """
    return read_runs(runs, mixtures=mixtures, losses=losses)


def open_fit(path: Path) -> Fit:
    """The law in a ``fit.json`` (or in a study's ``fits/<law>.json``)."""
    data = read_json(path)
    if not isinstance(data, dict):
        raise BadInput(f"holds a {type(data).__name__}", where=path, expected="a fit.json")
    return Fit.from_json(data.get("fit", data), where=path)
