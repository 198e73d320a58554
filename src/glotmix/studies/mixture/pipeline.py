"""The stages of a mixture study one after the other: from tokens to findings."""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from glotmix.artifact import read_json, reason_of_failure, write_json
from glotmix.corpus.census import Census
from glotmix.errors import BadInput, Waiting
from glotmix.estimate import WORDS
from glotmix.exporters import all_exporters
from glotmix.exporters.exporter import ExportRequest, Realised
from glotmix.exporters.exporter import export as write_export
from glotmix.fit.fit import Fit
from glotmix.measurements import Measurements
from glotmix.mixture.design import PlannedRun
from glotmix.mixture.schedule import Schedule
from glotmix.mixture.schedule_swarm import drawable_schedule
from glotmix.optimize.baselines import baselines_for
from glotmix.optimize.constraint import Constraints, constraints_from
from glotmix.optimize.last_phase import OF_LAST_PHASE, limits_after, minimise_last_phase, over_last_phase, read_before
from glotmix.optimize.objective import Objective, objective_from
from glotmix.optimize.optimum import Optimum
from glotmix.optimize.request import in_phases
from glotmix.optimize.scale import Scaling, along
from glotmix.optimize.schedules import SCHEDULES
from glotmix.optimize.solve import minimise
from glotmix.studies.mixture import closed_loop
from glotmix.studies.mixture.active import train_chosen, with_active
from glotmix.studies.mixture.closed_loop import ClosedLoop
from glotmix.studies.mixture.evidence import Findings
from glotmix.studies.mixture.first_phase import FirstPhase
from glotmix.studies.mixture.stages import WAITS, MixtureStudy
from glotmix.sweep.executors.external import FOLDER as HANDOFF
from glotmix.sweep.sweep import SweepSpec, is_complete, sets_to_stack
from glotmix.tokens.census import take_census
from glotmix.tokens.store import TokenStore


def findings_of(study: MixtureStudy, store: TokenStore, *, train: bool) -> Findings:
    """All stages after the corpus. Without ``train`` a missing run is an error, or left out where another's trainer
    trains it. Interrupted, the time that was spent is kept, so that it counts when the study goes on."""
    began = time.monotonic()
    try:
        return _findings(study, store, began, train=train)
    except BaseException:
        if train:
            _seconds(study, time.monotonic() - began)
        raise


def _findings(study: MixtureStudy, store: TokenStore, began: float, *, train: bool) -> Findings:
    say = study.narrator.say
    census = take_census_of(study, store)
    for note in census.notes() if train else ():
        say(f"  {note}")
    runs = study.plan(store)
    spec = study.sweep_spec(store, sets_to_stack(runs))
    if not train:
        runs = [*runs, *with_active(study)]
    lost = [] if train else [run.run for run in runs if not is_complete(run, spec)]
    if lost and not study.is_elsewhere:
        raise BadInput("not all of its runs are complete", where=study.directory, expected="a study that was run")
    failed = (
        study.train(runs, spec, "Training proxies", store) if train else {name: _reason(spec, name) for name in lost}
    )
    if train and study.config.design.active is not None:
        worked = _worked(study)
        runs, failed = train_chosen(study, store, runs, spec, failed, lambda: worked + time.monotonic() - began)
    measurements = study.measure(runs, spec, failed)
    study.note_base(store, measurements)
    transfer = study.transfer(measurements, store)
    between = study.between(measurements, transfer, store)
    judgement = study.laws(measurements, transfer)
    shown = judgement.held_out or judgement.crossed
    say(
        f"Law chosen by cross-validation: {judgement.law}; held-out error {100 * shown.mean(judgement.law):.2f} % "
        "over the languages in the mixture"
    )
    optimum = best_mixture(study, judgement.fits, judgement.law, store, measurements)
    loop = None
    if study.config.validation.seeds and (train or (study.directory / "closed_loop.json").is_file()):
        try:
            loop, measurements = close_loop(study, store, optimum, runs, failed, train=train) or (None, measurements)
        except Waiting:
            if train:
                raise
    exports = export_all(study, store, optimum)
    seconds = _seconds(study, time.monotonic() - began if train else 0.0)
    return Findings(study, store, census, measurements, transfer, between, judgement, optimum, loop, exports, seconds)


def _reason(spec: SweepSpec, run: str) -> str:
    """Why a run of another's trainer is not there: what was told when it failed, else that it has not come back."""
    return reason_of_failure(spec.directory / "runs" / run) or WAITS


def _seconds(study: MixtureStudy, now: float) -> float:
    """Wall-clock seconds over all calls that worked on the study."""
    total = now + _worked(study)
    write_json(study.directory / "timing.json", {"seconds": total})
    return total


def _worked(study: MixtureStudy) -> float:
    """Wall-clock seconds of earlier calls."""
    path = study.directory / "timing.json"
    return float(read_json(path)["seconds"]) if path.exists() else 0.0


def take_census_of(study: MixtureStudy, store: TokenStore | None = None) -> Census:
    """Count the corpus, and write ``census.json``."""
    store = store or study.tokens()
    census = take_census(store).at(study.target_tokens(), study.natural(store))
    write_json(study.directory / "census.json", census.to_json())
    return census


def best_mixture(
    study: MixtureStudy, fits: dict[str, Fit], name: str, store: TokenStore, measured: Measurements
) -> Optimum:
    """The optimum on the chosen law, with every baseline, the optima under the other laws among them."""
    unique, D = study.unique(store), study.target_tokens()
    chosen = fits[name]
    passes = study.passes(chosen, store)
    config = passes.limits
    if passes.words:
        study.narrator.say(f"  {passes.words}")
    constraints = constraints_from(config, chosen.languages, unique=unique, D=D)
    aim = objective_from(config, chosen.targets, chosen.languages, chosen.scored)
    others = {law: fitted for law, fitted in fits.items() if law not in (name, "null")}
    if (first := study.first_phase(store)) is not None:
        return _best_last_phase(study, first, chosen, others, aim, constraints, unique)
    baselines = baselines_for(
        chosen.languages,
        unique=unique,
        D=D,
        current=config.current,
        max_epochs=passes.sized,
        tau=study.config.validation.temperature,
        others=others,
        objective=aim,
        constraints=constraints,
        joining=study.config.joining,
    )
    # With a ladder the law knows N and D, and the optimum is that of the target; else it is that of the proxies.
    climbed = bool(study.config.design.ladder)
    optimum = minimise(
        chosen,
        aim,
        constraints,
        N=study.config.target.parameters if climbed else None,
        D=D if climbed else None,
        baselines=baselines,
        seed=study.config.fit.seed,
        measured=measured.p_RL,
    )
    if config.phases > 1:
        static, seed = dataclasses.replace(optimum, unique=unique), study.config.fit.seed
        optimum = in_phases(static, chosen, config, aim, constraints, seed)
        for warning in optimum.warnings:
            study.narrator.say(f"  {warning}")
    write_json(study.directory / "optimum.json", optimum.to_json())
    if climbed:
        write_scaling(study, chosen, aim, constraints)
    return optimum


def _best_last_phase(
    study: MixtureStudy,
    first: FirstPhase,
    chosen: Fit,
    others: dict[str, Fit],
    aim: Objective,
    constraints: Constraints,
    unique: dict[str, float],
) -> Optimum:
    """The optimum of the last phase on the chosen law, with every baseline."""
    before, begin = first.before, first.begin
    baselines = baselines_for(
        chosen.languages,
        unique=unique,
        current=study.config.optimize.current,
        tau=study.config.validation.temperature,
        others={law: over_last_phase(fitted, before, begin) for law, fitted in others.items()},
        objective=aim,
        constraints=limits_after(constraints, before.tokens_at(begin)),
    )
    assert chosen.measured is not None
    optimum = minimise_last_phase(
        chosen,
        aim,
        constraints,
        before,
        begin,
        baselines=baselines,
        rehearsal=study.config.optimize.rehearsal,
        seed=study.config.fit.seed,
        measured=(chosen.measured.p_RL - read_before(before, begin, chosen.languages)) / (1 - begin),
    )
    write_json(study.directory / "optimum.json", optimum.to_json())
    return optimum


def write_scaling(study: MixtureStudy, fitted: Fit, aim: Objective, constraints: Constraints) -> None:
    """The optimum at every size that was trained and at the target's, to ``scale.json``; extrapolation is told."""
    measured, seed = fitted.measured, study.config.fit.seed
    assert measured is not None
    trained = {(float(f"{N:.3g}"), float(f"{D:.3g}")) for N, D in zip(measured.N_R, measured.D_R, strict=True)}
    # Epochs are limited in the target run alone: smaller sizes are asked what they would do with its corpus.
    free = dataclasses.replace(constraints, max_epochs=None)
    climbed = along(fitted, aim, free, sorted(trained), measured=measured, seed=seed)
    if study.config.target.parameters:
        target = (study.config.target.parameters, study.target_tokens())
        climbed += along(fitted, aim, constraints, [target], measured=measured, seed=seed)
    write_json(study.directory / "scale.json", Scaling(climbed, None).to_json())
    for warning in climbed[-1].warnings:
        study.narrator.say(f"  {warning}")


def close_loop(
    study: MixtureStudy,
    store: TokenStore,
    optimum: Optimum,
    runs: list[PlannedRun],
    failed: dict[str, str],
    *,
    train: bool,
) -> tuple[ClosedLoop, Measurements] | None:
    """Train the optimum and the baselines that the study names, and compare what was measured.

    Without ``train`` None, and a word on it, where the optimum is another than the one that was trained.
    """
    config = study.config.validation
    known = {row.name: row.schedule or Schedule.constant(row.mixture) for row in optimum.baselines}
    first = study.first_phase(store)
    beside = [name for name in (SCHEDULES if first is None else OF_LAST_PHASE) if name in known]
    wanted = [*beside, *(name for name in config.baselines if name in known and name not in beside)]
    for name in config.baselines:
        if name not in known:
            study.narrator.say(
                f"  baseline {name} is left out of the closed loop: it is not defined under these limits"
            )
    proxy = study.config.proxy
    sequences = round(proxy.tokens / proxy.context)
    drawable = drawable_schedule if first is None else first.drawable
    known = {name: drawable(schedule, sequences) for name, schedule in known.items()}
    best = optimum.schedule or Schedule.constant(optimum.mixture)
    schedules = {"optimum": drawable(best, sequences)}
    for name in [*wanted, *(["current"] if "current" in known and "current" not in wanted else [])]:
        near = (other for other, one in schedules.items() if one.total_variation(known[name]) < closed_loop.SAME)
        twin = next(near, None)
        if twin is None:
            schedules[name] = known[name]
        else:
            study.narrator.say(f"  {name} is the same mixture as {twin} and is not trained again")
    tokens = round(proxy.tokens)
    places = (study.directory / "runs", study.directory / HANDOFF / "runs")
    before = {label: one for place in places for label, one in closed_loop.trained_before(place).items()}
    labels = closed_loop.labelled(schedules, before)
    schedules = {name: schedule for name, (_, schedule) in labels.items()}
    loop_runs = closed_loop.planned(dict(labels.values()), config.seeds, tokens, study.config.seed)
    if first is not None:
        loop_runs = [first.along(run, run.schedule, study.config.seed) for run in loop_runs]
    spec = study.sweep_spec(store, sets_to_stack(runs))
    if not train and not study.is_elsewhere and not all(is_complete(run, spec) for run in loop_runs):
        study.narrator.say("  These mixtures are not the ones that closed the loop: `glotmix run` trains them")
        return None
    write_json(study.directory / "closed_loop_plan.json", [run.to_json() for run in loop_runs])
    failed_loop = study.train(loop_runs, spec, "Closing the loop", store)
    measurements = study.measure([*runs, *loop_runs], spec, failed | failed_loop)
    aim = optimum.aim

    def value(loss_T: np.ndarray) -> float:
        return aim(dict(zip(measurements.targets, loss_T.tolist(), strict=True)))

    loop = closed_loop.compare(schedules, measurements, loop_runs, value)
    write_json(study.directory / "closed_loop.json", loop.to_json())
    for difference in loop.differences:
        gap = difference.estimate
        within = "" if gap.low is None else f" [{gap.low:+.4f}, {gap.high:+.4f}]"
        words = f"the optimum gains {gap.value:+.4f}{within}: {WORDS[difference.verdict]}"
        study.narrator.say(f"  Against {difference.baseline} {words}")
    return loop, measurements


def export_all(study: MixtureStudy, store: TokenStore, optimum: Optimum) -> dict[str, Realised]:
    """Every export that the study names; one that its trainer cannot be given is told, and the others are written."""
    exporters = all_exporters()
    realised = {}
    for name in study.config.export:
        if name not in exporters:
            raise BadInput(f"export: no exporter {name!r}", expected=" | ".join(exporters))
        totals = {language: store.totals(language, "train") for language in optimum.mixture.support}
        described = study.config.corpus.described
        told = {n: x for n in totals if n in described and (x := described[n].tokens_per_document) is not None}
        request = ExportRequest(
            schedule=optimum.schedule or Schedule.constant(optimum.mixture),
            tokens=study.target_tokens(),
            sequence_length=min(2048, study.config.proxy.context if study.config.target.tokens is None else 2048),
            batch=64,
            unique=study.unique(store),
            tokens_per_document={name: one["tokens"] / one["documents"] for name, one in totals.items()} | told,
        )
        try:
            realised[name] = write_export(exporters[name], request, study.directory / "export" / name)
        except BadInput as error:
            study.narrator.say(f"  not exported to {name}: {error}")
    return realised
