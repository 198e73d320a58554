"""What a mixture study will take, told before it is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glotmix.mixture.design import SEEDS_PER_STUDY, PlannedRun
from glotmix.mixture.mixture import Mixture
from glotmix.optimize.last_phase import OF_LAST_PHASE
from glotmix.optimize.schedules import SCHEDULES
from glotmix.proxy.config import ProxyConfig
from glotmix.studies.mixture.active import affordable
from glotmix.studies.mixture.base import base_proxy
from glotmix.studies.mixture.closed_loop import FIRST_SEED
from glotmix.studies.mixture.config import StudyConfig
from glotmix.studies.mixture.first_phase import first_phase_of, is_kept
from glotmix.studies.mixture.plan import plan, unique_as_told
from glotmix.studies.mixture.stages import MixtureStudy
from glotmix.study import cost
from glotmix.study.kind import Price, Stage
from glotmix.sweep.sweep import sets_to_stack
from glotmix.wording import counted, listed

if TYPE_CHECKING:
    from glotmix.proxy.model import Shape
    from glotmix.proxy.pack import Packing

FITTING = 0.004
"""Processor seconds for each run, target and law: fitting, folds, resamples, the optimum."""


@dataclass(frozen=True)
class Planned:
    """What a study would train, counted; nothing is measured."""

    runs: list[PlannedRun]
    """Runs of the design and of its ladder."""
    loop: int
    """Runs that close the loop."""
    firsts: int
    """First phases that are trained for both, where a last phase is sought."""
    begin: float
    """Share of a run that these have; 0 where there are none."""
    shape: Shape
    """Shape of the study's own proxy."""
    per_token: float
    """FLOPs of one training token of it."""
    flops_of_design: float
    """FLOPs of ``runs``."""
    flops_of_loop: float
    """FLOPs of the runs that close the loop."""
    flops_of_firsts: float
    """FLOPs of first phases."""

    @property
    def flops(self) -> float:
        """FLOPs of all of them."""
        return self.flops_of_design + self.flops_of_loop + self.flops_of_firsts


def closing_runs(config: StudyConfig) -> int:
    """Runs that close the loop: the optimum and every baseline, with all seeds."""
    beside = {*config.validation.baselines, *(SCHEDULES if config.optimize.phases > 1 else ())}
    beside |= set() if config.first_phase is None else set(OF_LAST_PHASE)
    beside |= {"current"} if config.optimize.current else set()
    return config.validation.seeds * (1 + len(beside))


def first_phases(config: StudyConfig, base: Path, runs: Sequence[PlannedRun]) -> tuple[int, float]:
    """First phases that are still to be trained for a design and its closed loop, one for each seed, and the share of a
    run that they have."""
    first = first_phase_of(config, base, Mixture.normalised(dict.fromkeys(config.languages, 1.0)))
    if first is None:
        return 0, 0.0
    seeds = {run.seed for run in runs}
    seeds |= {SEEDS_PER_STUDY * config.seed + FIRST_SEED + seed for seed in range(config.validation.seeds)}
    kept = [first.kept.get(seed) for seed in seeds]
    missing = [not is_kept(one, config.proxy, first.begin, config.proxy.tokens) for one in kept]
    return sum(missing), first.begin


def planned(study: MixtureStudy) -> Planned:
    """Count what a study would train; runs that are chosen on the way are left out, as budgets bound them."""
    from glotmix.proxy import flops
    from glotmix.proxy.model import Shape

    config, context = study.config, study.config.proxy.context
    vocab, _ = cost.vocabulary(config.tokens, study.base)
    unique = unique_as_told(config)
    natural = Mixture.normalised(unique or dict.fromkeys(config.languages, 1.0))
    runs = plan(config, natural, {size: proxy.tokens for size, proxy in study.sizes.items()}, unique)
    loop = closing_runs(config)
    shapes = {size: Shape.of(proxy, vocab) for size, proxy in {**study.sizes, "": config.proxy}.items()}
    per_token = {size: flops.per_token(shape, context) for size, shape in shapes.items()}
    design = float(sum(run.trained * per_token[run.size] for run in runs))
    firsts, begin = first_phases(config, study.base, runs)
    one = config.proxy.tokens * per_token[""]
    return Planned(
        runs, loop, firsts, begin, shapes[""], per_token[""], design, loop * (1 - begin) * one, firsts * begin * one
    )


def price(study: MixtureStudy) -> Price:
    """Count what a study would train; nothing is written and no corpus is read.

    Amounts: ``runs`` of the design (those of the ladder, as many chosen ones as the budget allows, and all that may go
    beyond its passes), ``closed_loop_runs``, training ``tokens`` and ``flops`` of all of them, ``N`` (without
    embedding) and ``parameters`` (with it) of a proxy, ``seconds`` on this machine with so many ``workers`` side by
    side, by a measurement of a few steps, and ``target_flops`` (6 N D of the target run, where the study tells its
    size).
    """
    config, design, found = study.config, study.config.design, planned(study)
    shape, proxy, runs = found.shape, config.proxy, found.runs
    packing = None
    if not study.is_elsewhere:  # of another's trainer nothing is known
        device, stack, processes = study.device(), config.sweep.stack, study.processes_here()
        packing = cost.packing(shape, proxy, sets_to_stack(runs), device=device, stack=stack, processes=processes)
    more = 0
    if design.active is not None:
        begun = 0.0 if packing is None else found.flops_of_design / (packing.tokens_per_second * found.per_token)
        more = max(affordable(study, design.active, runs, shape.vocab, begun)[0], 0)
    # Of every language at most: which ones are scarce is known with the corpus, or where the file tells all tokens.
    if design.passes is not None and unique_as_told(config) is None:
        more += design.beyond * len(config.languages)
    once = (1 - found.begin) * proxy.tokens
    tokens = float(sum(run.trained for run in runs)) + (found.loop + more) * once
    tokens += found.firsts * found.begin * proxy.tokens
    compute = found.flops + more * once * found.per_token
    target = config.target
    target_flops = 6 * target.parameters * target.tokens if target.parameters and target.tokens else None
    loop = found.loop
    made = base_proxy(config) if config.makes_its_base else None
    if made is not None:
        tokens, compute = tokens + made.tokens, compute + made.tokens * found.per_token
    lines = {} if not config.starts_from_a_model else {"proxies start from": _start(config, made)}
    if config.first_phase is not None:
        what = f"{found.begin:.0%} of a run, trained once for each of {counted(found.firsts, 'seed')}"
        lines["first phase"] = (
            what if found.firsts else f"{found.begin:.0%} of a run, kept by {config.first_phase.study}"
        )
    lines |= {
        "proxies": f"{len(runs) + more} of the design, {loop} to close the loop",
        "size of one": f"{shape.N:,} parameters without embedding, {shape.parameters:,} with it",
        "training tokens": f"{tokens:,.0f}",
        "training compute": f"{compute:.3g} FLOP",
        **cost.vocabulary(config.tokens, study.base)[1],
    }
    if target_flops:
        lines["share of the target run"] = f"{100 * compute / target_flops:.2g} %"
    amounts: dict[str, float | None] = {
        "runs": len(runs) + more,
        "closed_loop_runs": loop,
        "tokens": tokens,
        "N": shape.N,
        "parameters": shape.parameters,
        "flops": compute,
        "target_flops": target_flops,
    }
    if packing is None:
        lines["trained by"] = f"your trainer ({config.sweep.trainer}), from the files in handoff/"
        return Price(lines, amounts | {"seconds": None, "workers": study.processes_here()})
    evaluated = cost.held_out_tokens(config, study.base)
    # Larger proxies are nearer to the peak than this one, so the time of a ladder is rather less than told.
    others = found.flops_of_loop + found.flops_of_firsts
    equal = (compute - others) / found.per_token - (made.tokens if made is not None else 0)
    laws = len(config.fit.laws) * (2 if config.design.schedules else 1)  # once more with order
    fits = laws * (len(config.languages) + len(config.outside)) * len(runs)
    stages = [
        cost.reading(config, study.base),
        *([] if made is None else [cost.sweep("training the base", packing, tokens=made.tokens, runs=1, evaluated=0)]),
        *([_firsts(found, packing, proxy.tokens)] if found.firsts else []),
        cost.sweep("training proxies", packing, tokens=equal, runs=len(runs) + more, evaluated=evaluated),
        Stage("laws, optimum and page", FITTING * fits),
    ]
    if loop:
        closing = cost.sweep("closing the loop", packing, tokens=loop * once, runs=loop, evaluated=evaluated)
        stages.append(closing)
    return Price.timed(lines, amounts, stages)


def _firsts(found: Planned, packing: Packing, tokens: float) -> Stage:
    all_tokens = found.firsts * found.begin * tokens
    return cost.sweep("training the first phase", packing, tokens=all_tokens, runs=found.firsts, evaluated=0)


def _start(config: StudyConfig, made: ProxyConfig | None) -> str:
    """What proxies go on from, in words."""
    told = config.base
    tokens = "" if told is None or told.tokens is None else f"{told.tokens:,.0f} tokens"
    read = "" if told is None else f" of {tokens or 'text'} in {listed(told.languages, most=8)}"
    return f"a base{read}, trained first" if made is not None else f"{config.proxy.base}{read and ', a model'}{read}"
