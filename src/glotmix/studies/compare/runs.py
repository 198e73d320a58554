"""Trial: balancing methods trained at equal tokens with the same seeds, each with what it needs beforehand."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from glotmix.artifact import read_json, write_json
from glotmix.errors import GlotmixError, Infeasible
from glotmix.estimate import Estimate
from glotmix.mixture import balancing
from glotmix.mixture.design import SEEDS_PER_STUDY, PlannedRun, drawable
from glotmix.mixture.methods import Balance, BalanceProblem, balance
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.mixture.weighting import Weighting, variance_factor
from glotmix.studies.compare.findings import Side
from glotmix.study.training import Training
from glotmix.sweep.sweep import RUN, SweepSpec
from glotmix.tokens.store import TokenStore

REFERENCE = "proportional"
"""Method whose runs are DoReMi's reference models (as in its authors' code), and whose weights are kept for probing."""


@dataclass(frozen=True)
class MethodOutcome:
    """What became of one method with one seed."""

    method: str
    """The method as it was written: ``temperature:5``."""
    seed: int
    """Number of the seed, from 0."""
    record: Mapping[str, Any]
    """The run's ``run.json``."""
    flops: float
    """FLOPs of the run and of those that it needs beforehand."""
    schedule: Schedule
    """What was sampled; only the start where a method adapts."""


@dataclass(frozen=True)
class Results:
    """Outcomes of a trial."""

    situation: BalanceProblem
    """Sizes, budget and steps."""
    methods: tuple[str, ...]
    """Methods in order; the first is the baseline."""
    balances: Mapping[str, Balance]
    """Method to what it does."""
    outcomes: tuple[MethodOutcome, ...]
    """Complete runs."""
    lost: Mapping[str, str]
    """Run to the reason why it is not complete."""


def check_epochs(method: str, problem: BalanceProblem, max_epochs: float | None) -> None:
    """Hold a method's schedule to a cap on epochs.

    Raises:
        Infeasible: naming method, language and the point of the run at which it passes the cap.
        BadInput: the method cannot be had here.
    """
    chosen = balance(method, problem)
    if max_epochs is None or chosen.adaptive is not None:
        return
    try:
        chosen.schedule.check_epochs(problem.D, problem.unique, max_epochs)
    except Infeasible as error:
        raise Infeasible(f"{method}: {error.message}", where="methods", expected=error.expected) from None


@dataclass(frozen=True)
class MethodRuns:
    """Methods on one token store."""

    study: Training
    """Proxies, sweep, and the directory of the results."""
    store: TokenStore
    """The corpus."""
    situation: BalanceProblem
    """Sizes, budget and steps."""
    methods: tuple[str, ...]
    """Methods as :func:`glotmix.mixture.methods.parse` reads them."""
    seeds: int
    """Proxies of each."""
    probed: bool = True
    """Whether :meth:`side` will be asked, which needs a reference run."""
    keep: bool = False
    """Whether the last weights of every run are kept, for its translations."""

    @cached_property
    def balances(self) -> dict[str, Balance]:
        """Method to what it does here."""
        return {text: balance(text, self.situation) for text in self.methods}

    def check(self, max_epochs: float | None) -> None:
        """Hold every schedule to a cap on epochs, and tell weights that overflow.

        Raises:
            Infeasible: naming method, language and the point of the run at which it passes the cap.
        """
        for text, chosen in self.balances.items():
            check_epochs(text, self.situation, max_epochs)
            if chosen.weighting is not None:
                for found in chosen.weighting.overflowing(chosen.schedule.stages[0].mixture):
                    self.study.narrator.say(
                        f"  {text} weighs {found.language} {found.weight:.3g} times: {found.sampled:.2%} of the "
                        f"sequences cause {found.second_moment_share:.0%} of the gradient's second moment (all "
                        "languages' gradients taken as alike)"
                    )

    def train(self) -> Results:
        """Train what is missing: methods and references, then proxies that need a reference, then their targets."""
        seeds = range(self.seeds)
        chosen = [text for text in self.methods if self.balances[text].target]
        reference = [REFERENCE] if chosen or self.probed else []
        plain = dict.fromkeys([*(text for text in self.methods if text not in chosen), *reference])
        first = [self._run(text, seed) for text in plain for seed in seeds]
        self._plan(first)
        failed = self._train(first, "Training the methods")
        proxies = [self._run(text, seed, "-proxy") for text in chosen for seed in seeds]
        self._plan([*first, *proxies])
        failed |= self._train(proxies, "Training proxies for a mixture")
        known = [(text, seed) for text in chosen for seed in seeds if self._record(f"{_name(text, seed)}-proxy")]
        targets = [self._target(text, seed) for text, seed in known]
        self._plan([*first, *proxies, *targets])
        failed |= self._train(targets, "Training on the mixtures found")
        runs = {run.run: run for run in (*first, *proxies, *targets)}
        self.study.measure(list(runs.values()), self._spec, failed)
        return Results(self.situation, self.methods, self.balances, self._outcomes(runs), self._lost(runs, failed))

    def side(self, sequences: int, tau: float) -> Side | None:
        """Whether sampling or weighting is the quieter on these corpora, by the gradients of the proportional run.

        Args:
            sequences: training sequences of each language; 0 measures nothing.
            tau: temperature that both forms stand for.
        """
        run = _name(REFERENCE, 0)
        if not sequences or not self._record(run):
            return None
        from torch import from_numpy

        from glotmix.probe.gradient_variance import BLOCKS, TOGETHER, Measured, Moments, of_proxy
        from glotmix.proxy.checkpoint import load_checkpoint
        from glotmix.proxy.loader import MixtureBatches
        from glotmix.proxy.run import StackRun

        unique, proxy = self.situation.unique, self.study.config.proxy
        device = self.study.device()
        shape, stored = load_checkpoint(
            self.study.directory / "runs" / run / "checkpoints" / f"step-{self.situation.steps}"
        )
        reader = StackRun(run, Schedule.constant(balancing.proportional(unique)), round(self.situation.D), 0)
        batches = MixtureBatches(self.store, [reader], proxy, self._spec.available)
        counts = {name: min(sequences, there) for name, there in self._spec.available.items()}
        blocks = min(BLOCKS, *counts.values())
        if blocks < 3:
            return None
        parts = {
            name: np.array_split(batches.first_sequences(name, count).astype(np.int64), max(blocks, count // TOGETHER))
            for name, count in counts.items()
        }
        parameters = {name: tensor.to(device) for name, tensor in stored.items()}
        tokens = {name: [from_numpy(part).to(device) for part in some] for name, some in parts.items()}
        moments = Moments.measure(of_proxy(parameters, shape, batches.targets), tokens, blocks=blocks)
        natural, target = balancing.proportional(unique), balancing.temperature(unique, tau)
        weights = Weighting.between(natural, target)

        def told(measured: Measured) -> Estimate:
            return Estimate(measured.value, measured.low, measured.high)

        G = {name: told(moments.G(name)) for name in unique}
        return Side(
            tau,
            G,
            variance_factor(natural, target),
            told(moments.second_moment_ratio(natural, target)),
            told(moments.variance_ratio(natural, target)),
            weights.to_json(),
            weights.second_moment_shares(natural, {name: one.value for name, one in G.items()}),
        )

    @cached_property
    def _spec(self) -> SweepSpec:
        context = self.study.config.proxy.context
        available = {language: int(tokens) // context for language, tokens in self.situation.unique.items()}
        spec = self.study.sweep_spec(self.store, [len(self.methods)] * self.seeds)
        return dataclasses.replace(spec, available=available, watch=True)

    def _plan(self, runs: list[PlannedRun]) -> None:
        """Note what is planned so far, before it is trained: `glotmix status` counts it."""
        write_json(
            self.study.directory / "plan.json", [run.to_json() for run in {run.run: run for run in runs}.values()]
        )

    def _train(self, runs: list[PlannedRun], label: str) -> dict[str, str]:
        return self.study.run(runs, self._spec, label) if runs else {}

    def _run(self, text: str, seed: int, suffix: str = "") -> PlannedRun:
        """One method with one seed; the same seeds for all, so that their differences are paired."""
        chosen = self.balances[text] if text in self.balances else balance(text, self.situation)
        adaptive = chosen.adaptive
        if adaptive is not None and chosen.target:
            adaptive = dataclasses.replace(adaptive, reference=_name(REFERENCE, seed))
        return PlannedRun(
            _name(text, seed) + suffix,
            "method",
            chosen.schedule,
            round(self.situation.D),
            SEEDS_PER_STUDY * self.study.config.seed + seed,
            weighting=chosen.weighting,
            adaptive=adaptive,
            keep=self.keep or text == REFERENCE,
        )

    def _target(self, text: str, seed: int) -> PlannedRun:
        """A run on the mixture that a method's proxy ended with."""
        found = Mixture(self._record(f"{_name(text, seed)}-proxy")["guided"]["result"])
        mixture = drawable(found, self.situation.steps * self.situation.batch)
        run = dataclasses.replace(self._run(text, seed), adaptive=None)
        return dataclasses.replace(run, schedule=Schedule.constant(mixture))

    def _record(self, run: str) -> dict[str, Any]:
        """What a run measured; empty if it is not complete."""
        path = self.study.directory / "runs" / run / RUN
        found: dict[str, Any] = read_json(path) if path.is_file() else {}
        return found if found.get("status") == "complete" else {}

    def _outcomes(self, runs: Mapping[str, PlannedRun]) -> tuple[MethodOutcome, ...]:
        outcomes = []
        for text in self.methods:
            for seed in range(self.seeds):
                name = _name(text, seed)
                if not (record := self._record(name)):
                    continue
                before = (f"{name}-proxy", _name(REFERENCE, seed)) if self.balances[text].target else ()
                flops = float(record["C"]) + sum(float(self._record(run)["C"]) for run in before)
                outcomes.append(MethodOutcome(text, seed, record, flops, runs[name].schedule))
        if not outcomes:
            raise GlotmixError(f"no run of {self.study.directory} is complete; the logs are in its jobs folder")
        return tuple(outcomes)

    def _lost(self, runs: Mapping[str, PlannedRun], failed: Mapping[str, str]) -> dict[str, str]:
        lost = dict(failed)
        for name in runs:
            path = self.study.directory / "runs" / name / RUN
            if path.is_file() and (found := read_json(path))["status"] != "complete":
                lost[name] = found["reason"]
        return lost


def _name(text: str, seed: int) -> str:
    return f"{text.replace(':', '-')}-s{seed}"
