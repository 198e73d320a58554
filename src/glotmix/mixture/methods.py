"""Methods: every way of balancing languages under one name, with its numbers behind colons: ``temperature:5``.

A method turns a situation (sizes, budget, steps) into a :class:`Balance`: what is sampled over the run, how losses are
weighted, and what adapts. All but the adaptive ones are pure functions of the sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from glotmix.errors import BadInput
from glotmix.mixture import balancing, weighting
from glotmix.mixture import schedule as schedules
from glotmix.mixture.adaptives.plan import AdaptivePlan
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.mixture.weighting import Weighting


@dataclass(frozen=True)
class BalanceProblem:
    """What a method balances."""

    unique: Mapping[str, float]
    """Unique tokens U of each language."""
    D: float
    """Training tokens of a run."""
    steps: int
    """Optimiser steps of a run; intervals of adaptive methods are shares of it."""
    batch: int
    """Sequences per step."""
    high_resource: tuple[str, ...] = ()
    """Languages of Order Matters' first stage; those with at least the median size when empty."""

    @property
    def large(self) -> tuple[str, ...]:
        """High-resource languages, told or by the median."""
        if self.high_resource:
            return self.high_resource
        ordered = sorted(self.unique.values())
        return tuple(name for name, size in self.unique.items() if size >= ordered[len(ordered) // 2])


@dataclass(frozen=True)
class Balance:
    """How a run balances its languages."""

    schedule: Schedule
    """What is sampled over the run; only the start where a method adapts."""
    weighting: Weighting | None = None
    """Loss weights."""
    adaptive: AdaptivePlan | None = None
    """What changes mixture or weights while the run goes on."""
    target: bool = False
    """Whether the adaptive run is a proxy only, whose resulting mixture another run is then trained on (DoReMi)."""


@dataclass(frozen=True)
class Method:
    """One entry of :data:`METHODS`."""

    name: str
    """Name in commands and study files."""
    parameters: Mapping[str, float]
    """Its numbers, in the order they are written in, with their defaults; NaN for one that must be given."""
    formula: str
    """What it does, in a line."""
    source: str
    """Paper."""
    build: Callable[..., Balance]
    """``build(situation, *numbers)``."""


def _constant(mixture: Mixture) -> Balance:
    return Balance(Schedule.constant(mixture))


def _weighted(sampled: Mixture, weights: Weighting) -> Balance:
    return Balance(Schedule.constant(sampled), weights)


def _order_matters(s: BalanceProblem, tau: float, switch: float, *, restart: bool) -> Balance:
    joint = balancing.temperature(s.unique, tau)
    return Balance(schedules.order_matters(s.unique, s.large, joint, switch, restart))


def _adaptive(s: BalanceProblem, name: str, start: Mixture, **settings: float) -> Balance:
    return Balance(Schedule.constant(start), adaptive=AdaptivePlan(name, start, settings))


def _doremi(s: BalanceProblem, eta: float) -> Balance:
    start = balancing.uniform(s.unique)
    return Balance(Schedule.constant(start), adaptive=AdaptivePlan("doremi", start, {"eta": eta}), target=True)


def _odm(s: BalanceProblem, name: str) -> Balance:
    return _adaptive(s, name, balancing.proportional(s.unique), warmup=round(0.05 * s.steps))


def _ado(s: BalanceProblem) -> Balance:
    fit = max(4, s.steps // 20)
    return _adaptive(s, "ado", balancing.proportional(s.unique), first_fit=fit, ignored=fit // 2, every=fit)


def _pike(s: BalanceProblem, zeta1: float, zeta2: float) -> Balance:
    start, every = balancing.uniform(s.unique), max(1, s.steps // 50)
    return _adaptive(s, "pike", start, zeta1=zeta1, zeta2=zeta2, batch=s.batch, every=every)


MIXING = "arXiv 2410.04579"
METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "proportional",
            {},
            "p_l = U_l / ΣU",
            MIXING,
            lambda s: _constant(balancing.proportional(s.unique)),
        ),
        Method("uniform", {}, "p_l = 1 / L", MIXING, lambda s: _constant(balancing.uniform(s.unique))),
        Method(
            "temperature",
            {"τ": 5.0},
            "p_l ∝ U_l^(1/τ)",
            MIXING,
            lambda s, tau: _constant(balancing.temperature(s.unique, tau)),
        ),
        Method(
            "scalarization",
            {"τ": 5.0},
            "sampled in proportion, losses weighted by w_l = p(l;τ) / p(l;1)",
            MIXING,
            lambda s, tau: _weighted(balancing.proportional(s.unique), weighting.scalarization(s.unique, tau)),
        ),
        Method(
            "mixed",
            {"τ sampled": 2.0, "τ": 5.0},
            "sampled at the first τ, weighted the rest of the way to the second",
            "ours",
            lambda s, one, tau: _weighted(*weighting.mixed(s.unique, sample=one, target=tau)),
        ),
        Method(
            "unimax",
            {"epochs": 4.0},
            "as even as possible with no language above so many epochs",
            "arXiv 2304.09151",
            lambda s, epochs: _constant(balancing.unimax(s.unique, s.D, epochs)),
        ),
        Method(
            "cooldown",
            {"τ": 5.0, "end": 1.0, "switch": 0.5},
            "τ first, the end's τ after the switch",
            MIXING,
            lambda s, tau, end, switch: Balance(schedules.cooldown(s.unique, tau, end, switch)),
        ),
        Method(
            "cooldown_linear",
            {"τ": 5.0, "end": 1.0},
            "τ falls linearly over the run",
            MIXING,
            lambda s, tau, end: Balance(schedules.cooldown(s.unique, tau, end, decay="linear")),
        ),
        Method(
            "cooldown_geometric",
            {"τ": 5.0, "end": 1.0},
            "τ falls geometrically over the run",
            MIXING,
            lambda s, tau, end: Balance(schedules.cooldown(s.unique, tau, end, decay="geometric")),
        ),
        Method(
            "increasing",
            {"τ": 5.0, "start": 1.0, "switch": 0.5},
            "the start's τ first, τ after the switch",
            MIXING,
            lambda s, tau, start, switch: Balance(schedules.increasing(s.unique, tau, start, switch)),
        ),
        Method(
            "order_matters",
            {"τ": 5.0, "switch": 0.5},
            "high-resource languages alone, then all at τ; optimiser and learning rate restart",
            "arXiv 2312.06134",
            lambda s, tau, switch: _order_matters(s, tau, switch, restart=True),
        ),
        Method(
            "order_matters_plain",
            {"τ": 5.0, "switch": 0.5},
            "the same without the restart",
            "arXiv 2312.06134",
            lambda s, tau, switch: _order_matters(s, tau, switch, restart=False),
        ),
        Method(
            "doremi",
            {"η": 1.0},
            "reference, proxy weighted by excess loss, then a run on the proxy's mean weights",
            "arXiv 2305.10429",
            _doremi,
        ),
        Method("odm", {}, "bandit on e^loss, smoothed", "arXiv 2312.02406", lambda s: _odm(s, "odm")),
        Method("odm_exp3", {}, "bandit on loss, Exp3", "arXiv 2312.02406", lambda s: _odm(s, "odm_exp3")),
        Method("ado", {}, "scaling laws fitted while training", "arXiv 2410.11820", _ado),
        Method("pike", {"ζ1": math.nan, "ζ2": math.nan}, "large, quiet gradients", "arXiv 2502.06244", _pike),
        Method(
            "multidds_s",
            {},
            "gradients that lower development losses",
            "arXiv 2004.06748",
            lambda s: _adaptive(s, "multidds_s", balancing.proportional(s.unique), every=max(1, s.steps // 40)),
        ),
        Method(
            "gradvac",
            {"τ": 5.0},
            "gradients turned towards each other, sampled at τ",
            "arXiv 2010.05874",
            lambda s, tau: _adaptive(s, "gradvac", balancing.temperature(s.unique, tau)),
        ),
    )
}
"""Every method by name."""


def parse(text: str) -> tuple[Method, tuple[float, ...]]:
    """A method and its numbers from ``name:number:number``; those left out have their defaults.

    Raises:
        BadInput: no such method, too many numbers, one that is none, or one missing that has no default.
    """
    name, *given = text.strip().split(":")
    if name not in METHODS:
        raise BadInput(f"no method {name!r}", where="methods", expected=" | ".join(METHODS))
    method = METHODS[name]
    written = ":".join([name, *(f"<{parameter}>" for parameter in method.parameters)])
    if len(given) > len(method.parameters):
        raise BadInput(f"{text!r} has {len(given)} numbers", where="methods", expected=written)
    numbers = list(method.parameters.values())
    for place, value in enumerate(given):
        try:
            numbers[place] = float(value)
        except ValueError:
            raise BadInput(f"{text!r}: {value!r} is no number", where="methods", expected=written) from None
    if any(math.isnan(number) for number in numbers):
        raise BadInput(f"{text!r} lacks a number", where="methods", expected=written)
    return method, tuple(numbers)


def balance(text: str, situation: BalanceProblem) -> Balance:
    """What a method, written as :func:`parse` reads it, does in a situation.

    Raises:
        BadInput: as in :func:`parse`, or the method refuses its numbers.
        Infeasible: the method's limits cannot be met.
    """
    method, numbers = parse(text)
    return method.build(situation, *numbers)
