"""What a fitted law answers: the best mixture at one size, along sizes, for a compute budget, with languages added."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glotmix.artifact import read_json
from glotmix.config import OptimizeConfig, checked, merged, parse_override
from glotmix.errors import BadInput
from glotmix.fit.fit import Fit
from glotmix.measurements import write_csv
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.optimize.baselines import baselines_for
from glotmix.optimize.constraint import Constraints, constraints_from
from glotmix.optimize.objective import Objective, objective_from
from glotmix.optimize.optimum import Optimum
from glotmix.optimize.reuse import Reuse, minimise_kept, reuse
from glotmix.optimize.scale import FLOPS, Allocation, Scaled, allocate, along
from glotmix.optimize.solve import minimise


def asked(given: Mapping[str, Any], overrides: Sequence[str] = ()) -> OptimizeConfig:
    """Objective and limits as a study's section ``optimize`` has them, from options and ``field=value`` overrides.

    Raises:
        BadInput: a field that the section does not have, or a value that it does not take.
    """
    data = dict(given)
    for override in overrides:
        data = merged(data, parse_override(override))
    return checked(OptimizeConfig, data, where="--set")


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
    aim, limits, known = _question(fitted, config, unique, D)
    if keep is not None:
        return minimise_kept(keep, fitted, aim, limits, N=N, D=D)
    baselines = baselines_for(fitted.languages, unique=known, D=D, current=config.current, max_epochs=config.max_epochs)
    measured = None if fitted.measured is None else fitted.measured.p_RL
    return minimise(fitted, aim, limits, N=N, D=D, baselines=baselines, measured=measured)


@dataclass(frozen=True)
class Climb:
    """The optimum at several sizes, and the best way to spend a budget."""

    sizes: tuple[Scaled, ...]
    """The optimum at each size asked for."""
    best: Allocation | None
    """The compute-optimal size, tokens and mixture; None where no budget was given."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        best = self.best
        return {
            "sizes": [{"optimum": one.optimum.to_json(), "warnings": list(one.warnings)} for one in self.sizes],
            "best": None
            if best is None
            else {
                "N": best.N.to_json(),
                "D": best.D.to_json(),
                "optimum": best.optimum.to_json(),
                "warnings": list(best.warnings),
            },
        }


def climb_of(
    fitted: Fit,
    config: OptimizeConfig,
    *,
    unique: Mapping[str, float] | None = None,
    sizes: Sequence[tuple[float, float]] = (),
    C: float | None = None,
) -> Climb:
    """The optimum at every ``(N, D)``, and the compute-optimal ``(N, D, p)`` of a budget of C FLOPs.

    The best N is sought between the least that was measured and one token per parameter.

    Raises:
        BadInput: neither sizes nor a budget, a budget for a law that knows no N, or whatever :func:`optimum_of` raises.
    """
    if not sizes and C is None:
        raise BadInput("no size and no budget", expected="--at N:D, --compute C, or both")
    aim, limits, _ = _question(fitted, config, unique, max([D for _, D in sizes], default=1.0))
    climbed = along(fitted, aim, limits, sizes, measured=fitted.measured)
    best = None
    if C is not None:
        known_R = np.array([]) if fitted.measured is None else fitted.measured.N_R[np.isfinite(fitted.measured.N_R)]
        largest = math.sqrt(C / FLOPS)
        smallest = float(known_R.min()) if len(known_R) else largest / 1e4
        best = allocate(
            fitted, aim, limits, C, smallest=min(smallest, largest / 10), largest=largest, measured=fitted.measured
        )
    return Climb(climbed, best)


def kept_of(mixture: Path, languages: Sequence[str], affected: Sequence[str]) -> Reuse:
    """The mixture reuse of a file: languages that it does not hold are new, and the others keep their relative shares.

    Raises:
        BadInput: nothing is new and nothing affected, or a schedule of several stages.
    """
    earlier = mixture_in(mixture)
    new = [language for language in languages if language not in earlier]
    if missing := [language for language in earlier if language not in languages]:
        raise BadInput(f"{', '.join(missing)} is not in the law", where=mixture, expected=", ".join(languages))
    if not new and not affected:
        raise BadInput("no language is new and none affected", where=mixture, expected="one whose share is to be found")
    return reuse(earlier, new, affected=affected)


def reuse_design(mixture: Path, new: Sequence[str], affected: Sequence[str], runs: int, seed: int, out: Path) -> None:
    """Write mixtures to train, ``run`` and ``p/<language>``, in which the unaffected languages keep their ratios."""
    import polars as pl

    small = reuse(mixture_in(mixture), new, affected=affected)
    designed = small.design(runs, np.random.default_rng(seed))
    columns = {f"p/{language}": [one[language] for one in designed] for language in designed[0]}
    write_csv(pl.DataFrame({"run": [f"reuse-{index:03}" for index in range(runs)], **columns}), out)


def schedule_in(path: Path) -> Schedule:
    """The mixture or schedule in a JSON file: an optimum, ``{"mixture": …}``, a list of stages, or plain shares."""
    data = read_json(path)
    if isinstance(data, dict):
        data = data.get("schedule", data.get("mixture", data))
    try:
        return Schedule.from_json(data, where=path)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadInput("holds no mixture", where=path, expected="shares by language, or a list of stages") from None


def mixture_in(path: Path) -> Mixture:
    """The one mixture in a JSON file."""
    schedule = schedule_in(path)
    if len(schedule.stages) != 1:
        raise BadInput(f"holds {len(schedule.stages)} stages", where=path, expected="one mixture")
    return schedule.average()


def _question(
    fitted: Fit, config: OptimizeConfig, unique: Mapping[str, float] | None, D: float | None
) -> tuple[Objective, Constraints, Mapping[str, float]]:
    """Objective, limits, and the unique tokens that are known."""
    known = dict(unique or {})
    if not known and fitted.unique_L is not None:
        known = dict(zip(fitted.languages, fitted.unique_L.tolist(), strict=True))
    if config.max_epochs is not None and (not known or D is None):
        raise BadInput("--max-epochs without --unique and --tokens", expected="unique tokens per group and D")
    limits = constraints_from(config, fitted.languages, unique=known, D=D)
    return objective_from(config, fitted.targets, fitted.languages), limits, known
