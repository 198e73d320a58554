"""What a fitted law answers: the best mixture at one size, along sizes, for a compute budget, with languages added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from glotmix.config import checked, merged, parse_override
from glotmix.errors import BadInput
from glotmix.fit.extrapolation import beyond, ignored
from glotmix.fit.fit import Fit
from glotmix.language import find_name, same_language
from glotmix.measurements import Named, write_csv
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.planning import Design
from glotmix.mixture.schedule import mixture_in
from glotmix.optimize.baselines import baselines_for
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.constraint import Constraints, constraints_from
from glotmix.optimize.objective import Objective, objective_from
from glotmix.optimize.optimum import Optimum
from glotmix.optimize.reuse import Reuse, minimise_kept, reuse, reuse_runs
from glotmix.optimize.schedules import FREE, course_for, knows_order, minimise_schedule
from glotmix.optimize.solve import minimise

ROUNDED = 5e-3
"""How far a current mixture that a user writes may sum from one; it is divided by its sum."""


def asked(given: Mapping[str, Any], overrides: Sequence[str] = (), *, where: str = "--set") -> OptimizeConfig:
    """Objective and limits as a study's section ``optimize`` has them, from options and ``field=value`` overrides.

    Args:
        given: fields to values.
        overrides: further ones, as text.
        where: what messages call the place.

    Raises:
        BadInput: a field that the section does not have, or a value that it does not take.
    """
    data = dict(given)
    for override in overrides:
        data = merged(data, parse_override(override))
    return checked(OptimizeConfig, data, where=where)


def optimum_of(
    fitted: Fit,
    config: OptimizeConfig,
    *,
    unique: Mapping[str, float] | None = None,
    D: float | None = None,
    N: float | None = None,
    keep: Reuse | None = None,
) -> Optimum:
    """The optimum of a fitted law.

    Args:
        fitted: the law.
        config: objective and limits.
        unique: unique tokens of each group; default those of the table that was fitted to.
        D: training tokens of the target run.
        N: its parameters.
        keep: languages that hold their relative shares.

    Raises:
        BadInput: a limit in epochs without unique tokens and D, or whatever else is wrong with the question.
    """
    if keep is not None and config.phases > 1:
        raise BadInput(f"{config.phases} phases, and relative shares that are kept", expected="one of the two")
    aim, limits, known = _question(fitted, config, unique, D)
    fitted = fitted.with_unique(known)
    warnings = (*beyond(fitted.measured, N, D), *ignored(fitted, N, D))
    if keep is not None:
        return replace(minimise_kept(keep, fitted, aim, limits, N=N, D=D), warnings=warnings)
    current, most = named(config, fitted).current, config.max_epochs
    sized = None if isinstance(most, str) else most
    baselines = baselines_for(fitted.languages, unique=known, D=D, current=current, max_epochs=sized)
    measured = None if fitted.measured is None else fitted.measured.p_RL
    found = minimise(fitted, aim, limits, N=N, D=D, baselines=baselines, measured=measured)
    found = replace(found, warnings=warnings, unique=known)
    return found if config.phases == 1 else in_phases(found, fitted, config, aim, limits)


def in_phases(
    static: Optimum, fitted: Fit, config: OptimizeConfig, aim: Objective, limits: Constraints, seed: int = 0
) -> Optimum:
    """The best schedule of ``config.phases`` phases, or the best single mixture with a warning where the law is blind
    to order.

    Raises:
        BadInput: no run's mixture changed, or none has as many phases and no boundaries are given.
    """
    free = config.boundaries == "free"
    told = None if config.boundaries is None or free else list(map(float, config.boundaries))
    course = course_for(fitted.measured, config.phases, told)
    if not knows_order(fitted):
        blind = f"the law {fitted.law.name} is blind to order: on it no schedule is better than the best single mixture"
        return replace(static, warnings=(*static.warnings, blind))
    courses = [course.cut([end]) for end in FREE] if free else [course]
    return minimise_schedule(fitted, aim, limits, static, courses, rehearsal=config.rehearsal, seed=seed)


def kept_of(mixture: Path, languages: Sequence[str], affected: Sequence[str]) -> Reuse:
    """The mixture reuse of a file: languages that it does not hold are new, and the others keep their relative shares.

    Raises:
        BadInput: nothing is new and nothing affected, or a schedule of several stages.
    """
    return kept_in(mixture_in(mixture), languages, affected, where=mixture)


def kept_in(earlier: Mixture, languages: Sequence[str], affected: Sequence[str], *, where: object) -> Reuse:
    """The same of a mixture that is at hand; ``where`` is what messages call it."""
    earlier = Mixture({_law_name(name, languages): share for name, share in earlier.items()}, where=where)
    affected = [find_name(name, languages, where="--affected") for name in affected]
    new = [language for language in languages if language not in earlier]
    if missing := [language for language in earlier if language not in languages]:
        raise BadInput(f"{', '.join(missing)} is not in the law", where=where, expected=", ".join(languages))
    if not new and not affected:
        raise BadInput("no language is new and none affected", where=where, expected="one whose share is to be found")
    return reuse(earlier, new, affected=affected)


def _law_name(name: str, languages: Sequence[str]) -> str:
    """The law's name of a language of a mixture; the mixture's own where the law does not know it."""
    alike = [language for language in languages if same_language(language, name)]
    return alike[0] if len(alike) == 1 else name


def reuse_design(mixture: Path, new: Sequence[str], affected: Sequence[str], runs: int, seed: int, out: Path) -> None:
    """Write mixtures to train, ``run`` and ``p/<language>``, in which the unaffected languages keep their ratios."""
    small = reuse(mixture_in(mixture), new, affected=affected)
    designed = Design(reuse_runs(small, runs, np.random.default_rng(seed)))
    write_csv(designed.to_polars().select("run", "^p/.*$"), out)


def named(config: OptimizeConfig, fitted: Named) -> OptimizeConfig:
    """The section under the names of the law: "et" where the table says "est_Latn", in whatever case.

    A current mixture in percent is one as well.

    Raises:
        BadInput: a name of no group, with the nearest one.
    """

    def groups(where: str, given: Mapping[str, float]) -> dict[str, float]:
        return {find_name(name, fitted.languages, where=where): value for name, value in given.items()}

    weights = {
        find_name(name, fitted.targets, where="weights", what="target"): value for name, value in config.weights.items()
    }
    sums = {
        name: {**group, "languages": [find_name(str(one), fitted.languages, where=name) for one in group["languages"]]}
        if isinstance(group.get("languages"), list | tuple)
        else group
        for name, group in config.groups.items()
    }
    current = groups("current", config.current)
    if abs(sum(current.values()) - 100) < 1:
        current = {name: share / 100 for name, share in current.items()}
    if current and abs(sum(current.values()) - 1) <= ROUNDED:
        current = {name: share / sum(current.values()) for name, share in current.items()}
    return config.model_copy(
        update={
            "weights": weights,
            "floors": groups("floors", config.floors),
            "ceilings": groups("ceilings", config.ceilings),
            "groups": sums,
            "current": current,
        }
    )


def _question(
    fitted: Fit, config: OptimizeConfig, unique: Mapping[str, float] | None, D: float | None
) -> tuple[Objective, Constraints, Mapping[str, float]]:
    """Objective, limits, and the unique tokens that are known."""
    config = named(config, fitted)
    known = {} if fitted.unique_L is None else dict(zip(fitted.languages, fitted.unique_L.tolist(), strict=True))
    known |= {find_name(name, fitted.languages, where="--unique"): tokens for name, tokens in (unique or {}).items()}
    if config.max_epochs not in (None, "auto") and (not known or D is None):
        raise BadInput("max_epochs without unique and tokens", expected="unique tokens per group and D of the run")
    limits = constraints_from(config, fitted.languages, unique=known, D=D)
    return objective_from(config, fitted.targets, fitted.languages, fitted.scored), limits, known
