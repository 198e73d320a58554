"""What a fitted law and its optimum say, as the plain data that the page shows."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from glotmix.errors import GlotmixError
from glotmix.estimate import Estimate
from glotmix.fit.fit import Fit
from glotmix.fit.holdout import Holdout
from glotmix.language import Language
from glotmix.mixture.mixture import Mixture
from glotmix.optimize.composite import Composite
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.constraint import Constraints
from glotmix.optimize.objective import Mean, Objective, Worst
from glotmix.optimize.optimum import Optimum
from glotmix.optimize.pareto import front
from glotmix.optimize.search import search, starting_points, with_own_bests
from glotmix.report.evidence import About, Advice, Candidate, Flip, Front, HeldOutPredictions
from glotmix.version import __version__


def about(tag: str) -> About:
    """Name, family and script of a language."""
    language = Language.resolve(tag)
    return About(language.name, language.family, language.tag.rpartition("_")[2])


def front_of(
    fitted: Fit,
    optimum: Optimum,
    constraints: Constraints,
    name_of: Callable[[str], str],
    N: float | None = None,
    D: float | None = None,
) -> Front | None:
    """What languages outside the mixture cost those inside; without any, what the largest one costs the others.

    None where the law says nothing of one of them, or there is only one language.
    """
    inside = [target for target in fitted.targets if target in fitted.languages]
    outside = [target for target in fitted.targets if target not in fitted.languages]
    natural = next((b.mixture for b in optimum.baselines if b.name in ("natural", "current")), None)
    if outside:
        names = ("mean loss inside the mixture", "mean loss of the languages outside")
        weights = (dict.fromkeys(inside, 1.0), dict.fromkeys(outside, 1.0))
    elif natural is not None and len(inside) > 1:
        largest = max(inside, key=lambda target: natural.get(target, 0.0))
        names = ("mean loss of the others", f"loss of {name_of(largest)}")
        weights = (dict.fromkeys([t for t in inside if t != largest], 1.0), {largest: 1.0})
    else:
        return None
    first, second = (Mean(fitted.targets, weight) for weight in weights)
    known = {"optimum": optimum.mixture} | {baseline.name: baseline.mixture for baseline in optimum.baselines}
    try:
        points = front(fitted, first, second, constraints, N=N, D=D, points=9, starts=2)
    except GlotmixError:
        return None
    values = {}
    for name, mixture in known.items():
        losses = fitted.loss(mixture.vector(fitted.languages), N, D)
        values[name] = (float(first.value(losses)), float(second.value(losses)))
    return Front(*names, tuple((point.first, point.second, dict(point.mixture)) for point in points), values)


def flips_of(fitted: Fit, optimum: Optimum, constraints: Constraints) -> tuple[Flip, ...]:
    """The optimum under the study's own aim, equal weights, the worst-off language and the languages outside alone.

    What is asked for already is not asked again; an aim that the law cannot answer is left out.
    """
    inside = {target: 1.0 for target in fitted.targets if target in fitted.languages}
    outside = {target: 1.0 for target in fitted.targets if target not in fitted.languages}
    aims: list[tuple[str, Objective]] = [
        ("every language alike", Mean(fitted.targets, inside)),
        ("the worst-off language", Worst(fitted.targets, inside)),
    ]
    if outside:
        aims.append(("only languages outside", Mean(fitted.targets, outside)))
    weights = {target: weight for target, weight in optimum.aim.weights.items() if weight > 0}
    name = "the study's weights" if len(set(weights.values())) > 1 else "the study's aim"
    found = [Flip(name, dict(optimum.mixture))]
    for name, aim in aims:
        if isinstance(aim, type(optimum.aim)) and _alike(weights, aim.weights):
            found[0] = Flip(name, found[0].mixture)
            continue
        try:
            composite = Composite(fitted, replace(aim, penalty=optimum.aim.penalty), constraints, optimum.N, optimum.D)
            composite.check()
            rng = np.random.default_rng(0)
            composite = with_own_bests(composite, rng)
            p_L = search(composite, starting_points(composite, 4, rng)).p_L
        except GlotmixError:
            continue
        found.append(Flip(name, dict(Mixture.from_vector(fitted.languages, p_L))))
    return tuple(found)


def _alike(weights: Mapping[str, float], others: Mapping[str, float]) -> bool:
    return set(weights) == set(others) and len(set(weights.values())) == 1


def held_out_of(holdout: Holdout | None) -> tuple[HeldOutPredictions, ...]:
    """Every law's predictions of runs that it was not fitted to; nothing where none were held out."""
    if holdout is None or holdout.predictions is None:
        return ()
    made = holdout.predictions
    return tuple(
        HeldOutPredictions(law, target, made.runs, predicted_RT[:, t], made.measured_RT[:, t])
        for law, predicted_RT in made.predicted.items()
        for t, target in enumerate(holdout.targets)
        if np.isfinite(predicted_RT[:, t]).any()
    )


def _penalty(optimum: Optimum, unique: Mapping[str, float]) -> tuple[str, float, Mapping[str, float]] | None:
    penalty = optimum.aim.penalty
    if penalty is None:
        return None
    return penalty.kind, penalty.weight, dict(penalty.reference or Mixture.normalised(unique))


def advice(
    law: str, optimum: Optimum, config: OptimizeConfig, *, D: float | None, unique: Mapping[str, float]
) -> Advice:
    """The optimum beside every baseline.

    Args:
        law: name of the law that it was taken on.
        optimum: the optimum.
        config: its limits and objective.
        D: training tokens of the target run, if known.
        unique: unique tokens of each language; empty where they are not known.
    """
    ceilings = dict(config.ceilings)
    if config.max_epochs is not None and D is not None:
        for language, tokens in unique.items():
            ceilings[language] = min(ceilings.get(language, 1.0), config.max_epochs * tokens / D)

    def candidate(name: str, mixture: Mixture, objective: Any, predicted: Mapping[str, Any]) -> Candidate:
        losses = dict(predicted)
        epochs = mixture.epochs(D, unique) if D is not None and unique else {}
        return Candidate(name, dict(mixture), objective, losses, epochs)

    return Advice(
        law=law,
        objective=config.objective,
        optimum=candidate("optimum", optimum.mixture, optimum.objective, optimum.predicted),
        baselines=tuple(candidate(b.name, b.mixture, b.objective, b.predicted) for b in optimum.baselines),
        weights=dict(optimum.aim.weights),
        reference=dict(optimum.aim.best),
        gains={name: Estimate(gain.value, gain.low, gain.high) for name, gain in optimum.gains.items()},
        active=tuple(active.words for active in optimum.active),
        floors=dict(config.floors),
        ceilings=ceilings,
        groups={
            name: (tuple(group["languages"]), float(group.get("floor", 0.0)), float(group.get("ceiling", 1.0)))
            for name, group in config.groups.items()
        },
        quantile=config.quantile,
        penalty=_penalty(optimum, unique),
        status=optimum.status,
        honest=optimum.honest,
        spread=optimum.spread or {},
        extrapolates=optimum.nearest.extrapolates if optimum.nearest else None,
    )


def versions() -> dict[str, str]:
    """What made the page."""
    return {
        "glotmix": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
    }
