"""The shape of a ``fit.json``, and what its parts become."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from glotmix.errors import BadInput
from glotmix.fit.stage import STAGE
from glotmix.fit.target import TargetFit
from glotmix.laws.law import Inputs, Law, Problem
from glotmix.laws.residual import Corrected
from glotmix.mixture.phases import Phases
from glotmix.scored import Scored
from glotmix.transfer.matrix import TransferMatrix
from glotmix.wording import listed
from glotmix.written import Names, Written, numbers

EXPECTED = "a fit.json, as `glotmix fit` writes it"
"""What a file should have been that is none."""


class WrittenTarget(Written):
    """What a ``fit.json`` holds of one target."""

    status: str
    varies: list[str]
    shift: dict[str, float] = Field(default_factory=dict)
    theta: dict[str, float | None]
    cost: float | None
    runs: int
    scale: float | None
    freedom: float | None
    agreeing: float
    bootstrap: list[list[float]]
    unclear: list[str] = Field(default_factory=list)
    learned: dict[str, Any] | None = None
    power: float = 0.0
    middle: float = 0.0
    used: float | None = None
    widening: float = 1.0
    through: str | None = None


class WrittenPhases(Written):
    """Their mixtures by phase, where these changed."""

    p: list[list[list[float]]]
    length: list[list[float]]
    rate: list[list[float]]


class WrittenRuns(Written):
    """The runs that a law was fitted to."""

    p: list[list[float]]
    N: list[float | None]
    D: list[float | None]
    phases: WrittenPhases | None = None


class WrittenForm(Written):
    """The error of a law's form."""

    seed: int = Field(ge=0)
    length: float = Field(gt=0)
    factor: list[list[float]]
    lean: list[float] = Field(default_factory=list)


class WrittenFit(Written):
    """A ``fit.json``."""

    law: str
    languages: Names
    targets: Names
    fits: dict[str, WrittenTarget]
    transfer: dict[str, Any] | None
    unique: list[float] | None
    N: float | None
    D: float | None
    measured: WrittenRuns | None = None
    form: WrittenForm | None = None
    scored: dict[str, dict[str, Any]] | None = None


def runs_of(written: WrittenRuns, languages: int) -> Inputs:
    """The runs that a law was fitted to, in arrays.

    Raises:
        ValueError: rows of another length than there are languages or phases.
    """
    N_R, D_R = (np.array(numbers(values)) for values in (written.N, written.D))
    p_RL, phases = np.array(written.p, dtype=float).reshape(len(N_R), languages), None
    if written.phases is not None:
        length_RK = np.array(written.phases.length, dtype=float).reshape(len(N_R), -1)
        p_RKL = np.array(written.phases.p, dtype=float).reshape(*length_RK.shape, languages)
        phases = Phases(p_RKL, length_RK, np.array(written.phases.rate, dtype=float).reshape(length_RK.shape))
    return Inputs(p_RL, N_R, D_R.reshape(len(N_R)), None, phases)


def target_fit(
    law: Law,
    target: str,
    languages: tuple[str, ...],
    transfer: TransferMatrix | None,
    at: WrittenTarget,
    scored: Scored | None = None,
) -> TargetFit:
    """One target's fit.

    Raises:
        BadInput: parameters that are not the law's.
    """
    problem, names = Problem(at.through or target, languages, transfer, frozenset(at.varies), at.shift), tuple(at.theta)
    if names and "own" in law.needs and problem.own is None:
        raise BadInput(f"{target} is none of the languages", expected=f"no fit of {law.name} for it")
    further = STAGE if at.through is not None else ()
    if names and names != (wanted := (*law.parameters(problem), *further)):
        raise BadInput(f"parameters {listed(names)} of {target}", expected=listed(wanted))
    theta_P = np.array(numbers(at.theta.values()))
    bootstrap_BP = np.array(at.bootstrap, dtype=float).reshape(len(at.bootstrap), len(names))
    learned = law.residual.from_json(at.learned) if isinstance(law, Corrected) and at.learned else None
    cost, scale, freedom, used = numbers((at.cost, at.scale, at.freedom, at.used))
    return TargetFit(
        problem,
        names,
        theta_P,
        at.status,
        cost,
        at.runs,
        scale,
        at.agreeing,
        bootstrap_BP,
        freedom,
        tuple(at.unclear),
        learned,
        at.power,
        at.middle,
        used,
        at.widening,
        scored,
        at.through,
    )
