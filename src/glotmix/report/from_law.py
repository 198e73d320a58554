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
from glotmix.mixture.phases import Course
from glotmix.mixture.schedule import Schedule
from glotmix.optimize.composite import Composite
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.constraint import Constraints, groups_from
from glotmix.optimize.last_phase import CONTINUED
from glotmix.optimize.objective import Mean, Objective, Worst
from glotmix.optimize.optimum import Optimum
from glotmix.optimize.pareto import front
from glotmix.optimize.schedules import STATIC, course_for
from glotmix.optimize.search import search, starting_points, with_own_bests
from glotmix.optimize.uncertainty import estimate
from glotmix.report.evidence import About, Advice, Candidate, Flip, Front, HeldOutPredictions, Order
from glotmix.report.frames.units import OBJECTIVES
from glotmix.version import __version__


def about(name: str, tag: str | None = None, group: str = "") -> About:
    """Name, family and script of a language, or of a source.

    Args:
        name: tag, or name of a source.
        tag: of the source's language, "" for none; default: the name is one.
        group: of the source.
    """
    if tag == "":
        return About(name, group=group, kind="source")
    language = Language.resolve(tag or name)
    if name == language.tag:
        return About(language.name, language.family, language.script, group=group)
    return About(name, language.family, language.script, language.name, group, "source")


def order_of(optimum: Optimum, fitted: Fit | None = None) -> Order | None:
    """When each language is read in the recommended run; None for a single mixture.

    Args:
        optimum: the recommended run.
        fitted: the law that it was taken on, which knows the learning rate and what it says of early and late text.
    """
    if optimum.schedule is None:
        return None
    lengths, languages = optimum.schedule.lengths(), tuple(optimum.mixture)
    course = Course(np.array(lengths), np.ones(len(lengths)))
    if fitted is not None:
        course = course_for(fitted.measured, len(lengths), course.ends)
    told = {row.name: row.schedule or Schedule.constant(row.mixture) for row in optimum.baselines}
    schedules = {
        name: tuple(stage.mixture for stage in course.schedule(course.of_schedule(one, languages), languages).stages)
        for name, one in ({"optimum": optimum.schedule} | told).items()
    }
    late = {}
    for target, at in ({} if fitted is None else fitted.fits).items():
        found = {row["parameter"]: Estimate(row["value"], row["low"], row["high"]) for row in at.to_polars().to_dicts()}
        late[target] = (found.get("late"), found.get("late_others"))
    beside = CONTINUED if CONTINUED in optimum.gains else STATIC
    gain = optimum.gains[beside]
    over = Estimate(gain.value, gain.low, gain.high)
    return Order(lengths, tuple(course.rate_K.tolist()), schedules, over, late, beside)


def front_of(
    fitted: Fit,
    optimum: Optimum,
    constraints: Constraints,
    name_of: Callable[[str], str],
    N: float | None = None,
    D: float | None = None,
) -> Front | None:
    """What the stated objective costs in terms of one that it leaves out.

    That is the mean over every language trained on alike, where the objective is another; else the languages outside;
    else the largest one. None where the law says nothing of one of them, or there is nothing left out, and for a
    schedule: a front is one of single mixtures.
    """
    if optimum.schedule is not None:
        return None
    aim = replace(optimum.aim, penalty=None)
    named = _left_out(aim, fitted, optimum, name_of)
    if named is None:
        return None
    second = Mean(fitted.targets, named[1], scored=aim.scored)
    known = {"optimum": optimum.mixture} | {baseline.name: baseline.mixture for baseline in optimum.baselines}
    try:
        if aim.peak:
            ends = [Composite(fitted, one, constraints, N, D) for one in (aim, second)]
            best_L = search(ends[1], starting_points(ends[1], 2, np.random.default_rng(0))).p_L
            pair = (optimum.mixture.vector(fitted.languages), best_L)
            points = [(ends[0].value(p), ends[1].value(p), Mixture.from_vector(fitted.languages, p)) for p in pair]
        else:
            found = front(fitted, aim, second, constraints, N=N, D=D, points=9, starts=2)
            points = [(point.first, point.second, point.mixture) for point in found]
    except GlotmixError:
        return None
    values = {}
    for name, mixture in known.items():
        p_L = mixture.vector(fitted.languages)
        loss_T, loss_BT = fitted.loss(p_L, N, D), fitted.bootstrap_losses(p_L, N, D)
        one, two = (estimate(float(of.value(loss_T)), of.value(loss_BT)) for of in (aim, second))
        values[name] = (one, two)
    of_errors = tuple(all(one.targets[t] in aim.scored for t in one.members) for one in (aim, second))
    named_aim = OBJECTIVES["weighted" if isinstance(aim, Mean) and len(set(aim.weights.values())) > 1 else aim.name]
    if of_errors[0]:
        named_aim = named_aim.replace("loss", "error")
    points_told = tuple((a, b, dict(p)) for a, b, p in points)
    return Front(named_aim, named[0], points_told, values, named[1], (of_errors[0], of_errors[1]))


def _left_out(
    aim: Objective, fitted: Fit, optimum: Optimum, name_of: Callable[[str], str]
) -> tuple[str, dict[str, float]] | None:
    """Whom the objective does not serve as the others: a name in words, and weights."""
    inside = dict.fromkeys([target for target in fitted.targets if target in fitted.languages], 1.0)
    inside = {target: weight for target, weight in inside.items() if target not in fitted.scored}
    scores = dict.fromkeys([target for target in fitted.targets if target in fitted.scored], 1.0)
    outside = dict.fromkeys([t for t in fitted.targets if t not in fitted.languages and t not in scores], 1.0)
    counting = {target: weight for target, weight in aim.weights.items() if weight > 0}
    if scores and not set(scores) & set(counting):
        return "mean error of the scores", scores
    if len(inside) > 1 and not (isinstance(aim, Mean) and _alike(counting, inside)):
        return "mean loss with every language alike", inside
    if outside and not _alike(counting, outside):
        return "mean loss of the languages outside", outside
    natural = next((b.mixture for b in optimum.baselines if b.name in ("natural", "current")), None)
    if natural is None or len(inside) < 2:
        return None
    largest = max(inside, key=lambda target: natural.get(target, 0.0))
    return f"loss of {name_of(largest)}", {largest: 1.0}


def flips_of(fitted: Fit, optimum: Optimum, constraints: Constraints) -> tuple[Flip, ...]:
    """The optimum under the study's own aim, equal weights, the worst-off language and the languages outside alone.

    What is asked for already is not asked again; an aim that the law cannot answer is left out.
    """
    scored = fitted.scored
    losses = [target for target in fitted.targets if target not in scored]
    inside = {target: 1.0 for target in losses if target in fitted.languages}
    outside = {target: 1.0 for target in losses if target not in fitted.languages}
    aims: list[tuple[str, Objective]] = []
    if inside:
        aims.append(("every language alike", Mean(fitted.targets, inside)))
        aims.append(("the worst-off language", Worst(fitted.targets, inside)))
    if outside:
        aims.append(("only languages outside", Mean(fitted.targets, outside)))
    if scored:
        aims.append(("every score alike", Mean(fitted.targets, dict.fromkeys(scored, 1.0), scored=scored)))
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
    most = config.max_epochs
    if most is not None and not isinstance(most, str) and D is not None:
        for language, tokens in unique.items():
            ceilings[language] = min(ceilings.get(language, 1.0), most * tokens / D)

    groups = groups_from(config, tuple(optimum.mixture), unique)
    most_of = {
        name: group.ceiling
        if group.max_epochs is None or D is None
        else min(group.ceiling, group.max_epochs * sum(unique[one] for one in group.languages) / D)
        for name, group in groups.items()
    }

    def candidate(
        name: str, mixture: Mixture, objective: Any, predicted: Mapping[str, Any], broken: tuple[str, ...] = ()
    ) -> Candidate:
        losses = dict(predicted)
        epochs = mixture.epochs(D, unique) if D is not None and unique else {}
        return Candidate(name, dict(mixture), objective, losses, epochs, broken)

    return Advice(
        law=law,
        objective=config.objective,
        optimum=candidate("optimum", optimum.mixture, optimum.objective, optimum.predicted),
        baselines=tuple(candidate(b.name, b.mixture, b.objective, b.predicted, b.broken) for b in optimum.baselines),
        weights=dict(optimum.aim.weights),
        reference=dict(optimum.aim.best),
        gains={name: Estimate(gain.value, gain.low, gain.high) for name, gain in optimum.gains.items()},
        active=tuple(active.words for active in optimum.active),
        floors=dict(config.floors),
        ceilings=ceilings,
        groups={name: (group.languages, group.floor, most_of[name]) for name, group in groups.items()},
        kept=tuple(name for name, group in groups.items() if group.within is not None),
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
