"""Runs chosen one batch after another, until the question is settled or the budget is spent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glotmix.artifact import read_json, write_json
from glotmix.errors import BadInput
from glotmix.fit.active import Batch, Question, next_batch
from glotmix.fit.fit import Fit, fit
from glotmix.fit.holdout import cross_validate
from glotmix.fit.selection import choose
from glotmix.measurements import Measurements
from glotmix.mixture.balancing import uniform
from glotmix.mixture.config import ActiveConfig
from glotmix.mixture.design import SEEDS_PER_STUDY, PlannedRun, drawable
from glotmix.mixture.groups import MOST_PLAYERS
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.optimize.constraint import constraints_from
from glotmix.optimize.objective import objective_from
from glotmix.optimize.question import standing
from glotmix.optimize.solve import minimise
from glotmix.studies.mixture.stages import MixtureStudy
from glotmix.sweep.sweep import SweepSpec
from glotmix.tokens.store import TokenStore
from glotmix.transfer.game import members
from glotmix.transfer.shapley import weights

RESAMPLES = 80
"""Resampled fits by which batches are chosen."""
TOLERANCE = {"optimum": 0.001, "shapley": 0.1}
"""Settled below this unless the study says otherwise; see :class:`glotmix.mixture.config.ActiveConfig`."""
LEAST_REDUCTION = 0.01
"""A batch that is expected to narrow the interval by less than this share is not worth training."""
POOL = 400
"""Mixtures drawn as candidates, the coalitions and the rivals of the optimum not counted."""


@dataclass(frozen=True)
class ActiveState:
    """What the runs so far leave open."""

    law: str
    """The law that says so."""
    question: Question
    """What is to become certain."""
    unsure: float
    """The number that the tolerance is compared with."""
    words: str
    """The same in a sentence."""


def with_active(study: MixtureStudy) -> list[PlannedRun]:
    """Runs that earlier calls have chosen; none where there were none."""
    return [run for batch in _batches(study.directory / "active.json") for run in batch]


def stopped_because(study: MixtureStudy) -> str | None:
    """Why no further run was chosen; None for a design that was fixed beforehand."""
    path = study.directory / "active.json"
    stopped = read_json(path)["stopped"] if path.is_file() else None
    return None if stopped is None else str(stopped["reason"])


def train_chosen(
    study: MixtureStudy,
    store: TokenStore,
    runs: list[PlannedRun],
    spec: SweepSpec,
    failed: dict[str, str],
    seconds: Callable[[], float],
) -> tuple[list[PlannedRun], dict[str, str]]:
    """Choose a batch, train it, and again, until the question is settled or the budget is spent.

    ``active.json`` keeps every decision.

    Args:
        study: its ``design.active`` says what is asked, and the budget.
        store: the tokens.
        runs: the first design, trained already, at least so many runs as the law has parameters.
        spec: what all runs have in common.
        failed: runs of it that failed, with the reason.
        seconds: how long the study has worked so far.

    Returns:
        All runs, the chosen ones included, and the reasons of those that failed.
    """
    asked = study.config.design.active
    assert asked is not None
    path = study.directory / "active.json"
    rounds, stopped = _rounds(path), path.is_file() and read_json(path)["stopped"]
    for number, batch in enumerate(_batches(path)):  # of earlier calls; what is complete is not trained again
        runs, failed = [*runs, *batch], failed | study.run(batch, spec, f"Training batch {number + 1}")
    while not stopped:
        measured = study.measure(runs, spec, failed).with_role(
            "coalition", "anchor", "swarm", "schedule", "ladder", "active", "turn"
        )
        if study.config.design.swarm_roles == "held_out":
            measured = measured.with_role("coalition", "anchor", "schedule", "ladder", "active", "turn")
        fitted = _law(study, measured, store)
        state = _open(study, asked, fitted, store)
        left, spent = affordable(study, asked, runs, store.vocab_size, seconds())
        step = _step(study, asked, fitted, state, measured, left, spent, len(rounds))
        if isinstance(step, str):
            study.narrator.say(f"No further runs: {step}")
            stopped = {"reason": step, "unsure": state.unsure, "law": state.law}
            _write(study, path, runs, rounds, stopped)
            break
        batch = _planned(study, step, runs, len(rounds))
        rounds.append(_told(state, step, batch))
        runs = [*runs, *batch]
        _write(study, path, runs, rounds, None)
        shown = f"{step.before:.3g} to {step.after[-1]:.3g}"
        study.narrator.say(
            f"Batch {len(rounds)}: {state.words}; {len(batch)} runs are expected to narrow it from {shown}"
        )
        failed = failed | study.run(batch, spec, f"Training batch {len(rounds)}")
    _write(study, path, runs, rounds, stopped or None)
    return runs, failed


def _step(
    study: MixtureStudy,
    asked: ActiveConfig,
    fitted: Fit,
    state: ActiveState,
    measured: Measurements,
    left: int,
    spent: str,
    number: int,
) -> Batch | str:
    """The next batch, or the reason why there is none."""
    tolerance = asked.tolerance or TOLERANCE[asked.aim]
    if state.unsure <= tolerance:
        return f"settled: {state.words}, within the {tolerance:.2%} asked for"
    if left < 1:
        return f"{spent}; {state.words}"
    pool = candidates(study, state, np.random.default_rng([study.config.seed, 2, number]))
    own = measured.where(np.array([role != "ladder" for role in measured.role_R]))
    N, D = float(own.N_R.max()), float(study.config.proxy.tokens)
    batch = next_batch(fitted, state.question, pool, min(asked.batch, left), N=N, D=D)
    if batch.reduction < LEAST_REDUCTION:
        return f"another batch would narrow the interval by {batch.reduction:.2%} only; {state.words}"
    return batch


def affordable(
    study: MixtureStudy, asked: ActiveConfig, runs: list[PlannedRun], vocab: int, seconds: float
) -> tuple[int, str]:
    """How many further runs the budget allows, and the words for its end."""
    from glotmix.proxy import flops
    from glotmix.proxy.model import Shape

    proxy = study.config.proxy
    price = {size: flops.per_token(Shape.of(of, vocab), of.context) for size, of in {"": proxy, **study.sizes}.items()}
    limits = []
    if asked.runs is not None:
        limits.append((asked.runs - len(runs), f"the budget of {asked.runs} runs is spent"))
    if asked.flops is not None:
        used = sum(run.tokens * price[run.size] for run in runs)
        more = int((asked.flops - used) / (proxy.tokens * price[""]) + 1e-9)
        limits.append((more, f"the budget of {asked.flops:.3g} FLOPs is spent ({used:.3g} used)"))
    if asked.hours is not None:
        more = int((3600 * asked.hours - seconds) / max(seconds / len(runs), 1e-9)) if seconds else asked.batch
        limits.append((more, f"the budget of {asked.hours:g} hours is spent ({seconds / 3600:.2g} used)"))
    return min(limits)


def candidates(study: MixtureStudy, state: ActiveState, rng: np.random.Generator) -> np.ndarray:
    """Mixtures that could be trained next [C, L]: drawn evenly, near edges, around the rivals, and every coalition."""
    languages = study.config.languages
    L = len(languages)
    drawn = [rng.dirichlet(np.ones(L), POOL // 2), rng.dirichlet(np.full(L, 0.4), POOL // 4)]
    rival_CL = state.question.p_QL[rng.integers(len(state.question.p_QL), size=POOL // 4)]
    near = 0.7 * rival_CL + 0.3 * rng.dirichlet(np.ones(L), POOL // 4)
    inside = members(L)[1:] if L <= MOST_PLAYERS else np.eye(L)
    sequences = round(study.config.proxy.tokens / study.config.proxy.context)
    pool = np.vstack([*drawn, near, inside / inside.sum(axis=1, keepdims=True)])
    return np.stack([drawable(Mixture.from_vector(languages, p_L), sequences).vector(tuple(languages)) for p_L in pool])


def shapley_question(fitted: Fit, base: Mapping[str, float]) -> Question:
    """The Shapley values of every source for every target, as the law has them.

    Args:
        fitted: a law with resampled fits.
        base: mixture of the full coalition; a coalition has its members' shares, divided by their sum.

    Raises:
        BadInput: too many languages to write out all coalitions.
    """
    languages, L, T = fitted.languages, len(fitted.languages), len(fitted.targets)
    if L > MOST_PLAYERS:
        raise BadInput(f"Shapley values of {L} languages", expected=f"at most {MOST_PLAYERS}, or aim: optimum")
    inside_CL = members(L)[1:]
    share_CL = inside_CL * np.array([base[language] for language in languages])
    weight_KTQ = np.zeros((T, L, T, len(inside_CL)))
    # The payoff is the fall of the loss, so a loss counts with the sign turned; the empty coalition is known.
    weight_KTQ[np.arange(T), :, np.arange(T)] = -weights(L)[:, 1:]
    shape = (T * L, T, len(inside_CL))
    return Question(share_CL / share_CL.sum(axis=1, keepdims=True), weight_KTQ.reshape(shape), "the Shapley values")


def _law(study: MixtureStudy, measured: Measurements, store: TokenStore) -> Fit:
    """The law that the study would choose from the runs so far, fitted with resamples."""
    config = study.config.fit
    transfer = None if study.config.design.coalitions == "none" else study.transfer(measured, store)
    name = config.choose
    if name == "auto":
        laws = [law for law in config.laws if law != "null"]
        if not laws:
            raise BadInput("fit.laws names no law but null", where="design.active", expected="a law of mixtures")
        name = laws[0]
        if len(laws) > 1:
            name = choose(cross_validate(laws, measured, folds=config.folds, seed=config.seed, transfer=transfer))
    return fit(name, measured, transfer=transfer, bootstrap=RESAMPLES, seed=config.seed)


def _open(study: MixtureStudy, asked: ActiveConfig, fitted: Fit, store: TokenStore) -> ActiveState:
    """What is asked, and how far it is settled."""
    config = study.config
    climbed = bool(config.design.ladder)
    D = study.target_tokens()
    if asked.aim == "shapley":
        base = uniform(config.languages) if config.design.base == "uniform" else study.natural(store)
        question = shapley_question(fitted, base)
        width = next_batch(fitted, question, question.p_QL[:1], 1).before
        value_K = np.einsum("ktq,qt->k", question.weight_KTQ, fitted.predict(question.p_QL).value_RT)
        unsure = width / float(np.sqrt(np.mean(value_K**2)))
        words = f"the Shapley values are known to ±{width:.3g}, {unsure:.0%} of their size"
        return ActiveState(fitted.law.name, question, unsure, words)
    allowed = study.passes(fitted, store).limits
    limits = constraints_from(allowed, fitted.languages, unique=study.unique(store), D=D)
    aim = objective_from(config.optimize, fitted.targets, fitted.languages, fitted.scored)
    N = config.target.parameters if climbed else None
    at = D if climbed else None
    found = minimise(fitted, aim, limits, N=N, D=at, resamples=0, seed=config.fit.seed)
    here = standing(fitted, aim, limits, found.mixture, N=N, D=at, seed=config.fit.seed)
    unsure = here.most / abs(here.value)
    words = f"another mixture could be better by {here.most:.3g} at most (95 %), {unsure:.2%} of the objective"
    return ActiveState(fitted.law.name, here.question, unsure, words)


def _planned(study: MixtureStudy, batch: Batch, runs: list[PlannedRun], number: int) -> list[PlannedRun]:
    """The batch as runs; a mixture that was trained before gets another seed."""
    config, languages = study.config, study.config.languages
    planned: list[PlannedRun] = []
    for index, p_L in enumerate(batch.p_BL):
        schedule = Schedule.constant(Mixture.from_vector(languages, p_L))
        tokens = round(config.proxy.tokens)
        before = [run for run in (*runs, *planned) if run.schedule == schedule and run.tokens == tokens]
        equal = np.abs(p_L - (p_L > 0) / (p_L > 0).sum()).max() < 1e-9
        coalition = equal and config.design.coalitions == "sampled" and config.design.base == "uniform"
        seed = max((run.seed + 1 for run in before), default=SEEDS_PER_STUDY * config.seed)
        name = f"active-{number:02}-{index:02}-s{seed - SEEDS_PER_STUDY * config.seed}"
        planned.append(PlannedRun(name, "coalition" if coalition else "active", schedule, tokens, seed))
    return planned


def _rounds(path: Path) -> list[dict[str, Any]]:
    return list(read_json(path)["rounds"]) if path.is_file() else []


def _batches(path: Path) -> list[list[PlannedRun]]:
    return [[PlannedRun.from_json(run) for run in one["runs"]] for one in _rounds(path)]


def _told(state: ActiveState, batch: Batch, chosen: list[PlannedRun]) -> dict[str, Any]:
    return {
        "law": state.law,
        "asked": state.question.words,
        "unsure": state.unsure,
        "words": state.words,
        "width": batch.before,
        "expected": list(batch.after),
        "runs": [run.to_json() for run in chosen],
    }


def _write(
    study: MixtureStudy,
    path: Path,
    runs: list[PlannedRun],
    rounds: list[dict[str, Any]],
    stopped: dict[str, Any] | None,
) -> None:
    write_json(study.directory / "plan.json", [run.to_json() for run in runs])
    write_json(path, {"rounds": rounds, "stopped": stopped})
