"""What can be known to be wrong with a mixture study before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from glotmix.corpus.census import Census
from glotmix.errors import BadInput
from glotmix.laws import with_order
from glotmix.mixture.mixture import Mixture
from glotmix.optimize.baselines import NEW_ONLY
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.constraint import constraints_from
from glotmix.optimize.last_phase import limits_after
from glotmix.optimize.objective import objective_from
from glotmix.optimize.passes import least_passes
from glotmix.optimize.schedules import SCHEDULES
from glotmix.registry import near
from glotmix.studies.mixture.base import base_proxy, problems_of_base
from glotmix.studies.mixture.config import StudyConfig
from glotmix.studies.mixture.first_phase import FirstPhase, first_phase_if_sound, problems_of_first_phase
from glotmix.studies.mixture.plan import plan
from glotmix.studies.mixture.stages import MixtureStudy
from glotmix.study.config import told_unique
from glotmix.study.directory import StudyDirectory
from glotmix.study.preflight import noting, problems_of_proxies
from glotmix.sweep.executors import EXECUTORS
from glotmix.sweep.executors.executor import open_executor
from glotmix.wording import listed, rounded_down, rounded_up

BASELINES = ("natural", "uniform", "temperature", "unimax", "current", NEW_ONLY)
"""Mixtures that every study can be compared with; those of other laws are called after them."""


def problems(config: StudyConfig, base: Path) -> list[BadInput]:
    """What is wrong with the file, whatever the corpus holds."""
    found: list[BadInput] = []
    with noting(found, "proxy.base"):
        found += problems_of_base(config, base)
    uniform = Mixture.normalised(dict.fromkeys(config.languages, 1.0))
    with noting(found, "study"):
        sizes = MixtureStudy.of(config, StudyDirectory(Path("unused"))).sizes
        plan(config, uniform, {size: proxy.tokens for size, proxy in sizes.items()})
        made = [base_proxy(config)] if config.makes_its_base else []
        for proxy in (*sizes.values(), *made):
            found += problems_of_proxies(proxy, config.sweep)
    found += problems_of_first_phase(config, base)
    if config.design.ladder and config.starts_from_a_model:
        message = "a model that proxies start from has one size"
        found.append(BadInput(message, where="design.ladder", expected="none, with a base"))
    ordered = [one for one in map(with_order, config.fit.laws) if one] if config.design.schedules else []
    laws = list(dict.fromkeys([*config.fit.laws, *ordered]))
    found += _unknown("fit.choose", [config.fit.choose], ["auto", *laws])
    found += _unknown("validation.baselines", config.validation.baselines, [*BASELINES, *SCHEDULES, *laws])
    found += _without_schedules(config)
    with noting(found, "optimize"):
        targets = (*config.languages, *config.outside, *config.scored)
        objective_from(config.optimize, targets, config.languages, config.scores)
    with noting(found, "optimize"):
        limits = config.optimize.model_copy(update={"max_epochs": None})
        constraints_from(limits, config.languages)
    if config.scored and not EXECUTORS.find(config.sweep.executor).elsewhere:
        expected = "sweep.executor: external, or the benchmark's gold answers as text (path, prompt_field)"
        message = f"{listed(list(config.scored))}: glotmix's own engine measures bits per byte and no scores"
        found.append(BadInput(message, where="targets", expected=expected))
    return found + _without_a_trainer(config)


def problems_with(config: StudyConfig, census: Census, base: Path) -> list[BadInput]:
    """What is wrong with the file and with what its corpus holds."""
    unique = {row.language: row.unique_tokens for row in census.rows if row.language in config.languages}
    proxies = problems_of_proxies(config.proxy, config.sweep)
    first = first_phase_if_sound(config, base, unique)
    return [*problems(config, base), *proxies, *problems_of_tokens(config, unique, first)]


def problems_of_tokens(
    config: StudyConfig, unique: Mapping[str, int], first: FirstPhase | None = None
) -> list[BadInput]:
    """What is wrong where languages have so many training tokens.

    Args:
        config: the study.
        unique: language to training tokens.
        first: what is behind the runs, where a last phase is sought and that can be told.
    """
    found: list[BadInput] = []
    told = told_unique(config)
    there = {language: float(told.get(language, unique.get(language, 0))) for language in config.languages}
    if not all(there.values()):
        return found  # said already, and nothing more can be
    D = config.target.tokens or config.proxy.tokens
    try:
        limits = constraints_from(config.optimize, config.languages, unique=there, D=D)
    except BadInput as error:
        found.append(_with_a_way_out(error, config.optimize, config.languages, there, D))
    else:
        if first is not None:
            with noting(found, "optimize"):
                limits_after(limits, first.before.tokens_at(first.begin))
    if config.design.passes is not None:
        with noting(found, "design.passes"):
            plan(config, Mixture.normalised(there), unique=there, first=first)
    if config.target.tokens and config.proxy.simulate_epochs:
        found += _too_small_a_part(config, unique, there)
    return found


def _with_a_way_out(
    error: BadInput, limits: OptimizeConfig, languages: list[str], there: Mapping[str, float], D: float
) -> BadInput:
    """The same error with the budgets and epochs at which some mixture meets all limits, if that can be."""
    most = limits.max_epochs
    if most is None or isinstance(most, str) or (least := least_passes(limits, languages, there, D)) is None:
        return error  # said of the file already
    fewer, epochs = rounded_down(D * most / least), rounded_up(least)
    expected = f"target.tokens: {fewer:g} or less, or max_epochs: {epochs:g} or more, or auto"
    return BadInput(error.message, where="optimize", expected=expected)


def _too_small_a_part(config: StudyConfig, unique: Mapping[str, int], there: Mapping[str, float]) -> list[BadInput]:
    """Simulated epoching cuts a language down to the part that a proxy repeats as often as the target run would."""
    proxy, target = config.proxy, config.target.tokens
    assert target is not None
    cut = {name: tokens * min(1.0, proxy.tokens / target) for name, tokens in there.items()}
    least = proxy.context + 1
    short = {name: min(cut[name], unique[name]) for name in config.languages if min(cut[name], unique[name]) < least}
    if not short or any(unique[name] < least for name in short):  # the latter is said already
        return []
    needed = max(least * target / there[name] for name in short)
    listed = ", ".join(f"{name} {tokens:,.0f}" for name, tokens in short.items())
    return [
        BadInput(
            f"a proxy of {proxy.tokens:g} tokens would repeat its text as often as the target run of {target:g}, which "
            f"leaves it less than one sequence of {proxy.context}: {listed} tokens",
            where="proxy.tokens",
            expected=f"proxy.tokens: {rounded_up(needed):g} or more, target.tokens: "
            f"{rounded_down(proxy.tokens * target / needed):g} or less, or proxy.simulate_epochs: false",
        )
    ]


def _unknown(where: str, names: list[str], known: list[str]) -> list[BadInput]:
    return [
        BadInput(f"{name!r} is not known{near(name, known)}", where=where, expected=" | ".join(known))
        for name in names
        if name not in known
    ]


def _without_schedules(config: StudyConfig) -> list[BadInput]:
    """What is wrong with a study that asks for a schedule, or whose learning rate no other trainer is told."""
    found = []
    if config.optimize.phases > 1 and not config.design.schedules:
        untold, expected = "several phases, and no run's mixture changes", "design.schedules: 24, or some other number"
        found.append(BadInput(untold, where="optimize.phases", expected=expected))
    if config.proxy.decay is not None and config.sweep.executor == "external":
        found.append(BadInput("a line, and your trainer is told a cosine", where="proxy.decay", expected="no decay"))
    return found


def _without_a_trainer(config: StudyConfig) -> list[BadInput]:
    """What is wrong with a study that somebody else's trainer trains."""
    found: list[BadInput] = []
    if config.sweep.executor == "external":
        with noting(found, "sweep"):
            open_executor(config.sweep)
    return found
