"""What the stages found, as the plain data that the report shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from glotmix.artifact import fingerprint, read_json
from glotmix.corpus.census import Census
from glotmix.exporters.exporter import Realised
from glotmix.measurements import Measurements
from glotmix.optimize.constraint import constraints_from
from glotmix.optimize.optimum import Optimum
from glotmix.optimize.turning import turning_of
from glotmix.report.evidence import (
    INSIDE,
    About,
    Advice,
    BaseModel,
    CorpusRow,
    Evidence,
    Front,
    Interactions,
    RunRow,
    Spending,
    Trained,
)
from glotmix.report.fitted import law_fit
from glotmix.report.from_law import about, advice, flips_of, front_of, held_out_of, order_of, versions
from glotmix.studies.mixture.active import stopped_because
from glotmix.studies.mixture.base import NOTE
from glotmix.studies.mixture.closed_loop import ClosedLoop
from glotmix.studies.mixture.config import REPLAY, StudyConfig
from glotmix.studies.mixture.first_phase import NOTE as FIRST_PHASE
from glotmix.studies.mixture.stages import WAITS, Judgement, MixtureStudy
from glotmix.study.directory import planned_compute
from glotmix.study.precision import described
from glotmix.tokens.store import TokenStore
from glotmix.transfer.game import game_from
from glotmix.transfer.interactions import mean_interactions
from glotmix.transfer.matrix import TransferMatrix

TEXTS = {
    "embedded": "text that glotmix makes itself",
    "manpages": "manual pages",
    "plain": "plain text",
    "jsonl": "your documents",
    "parquet": "your documents",
    "hub": "a data set of the Hugging Face hub",
}
"""Reader of the corpus to what its text is, in words."""


@dataclass(frozen=True)
class Findings:
    """Results of all stages of one study."""

    study: MixtureStudy
    """Configuration and directory."""
    store: TokenStore
    """The tokens."""
    census: Census
    """The corpus in numbers."""
    measurements: Measurements
    """All complete runs, those of the closed loop among them."""
    transfer: TransferMatrix | None
    """Shapley values, or Owen values where groups play."""
    between: TransferMatrix | None
    """Shapley values of groups for groups, where these are the players."""
    judgement: Judgement
    """The laws and what they are worth."""
    optimum: Optimum
    """The optimum and its baselines."""
    loop: ClosedLoop | None
    """What the closed loop measured."""
    exports: Mapping[str, Realised]
    """Exporter to what it realised."""
    seconds: float
    """Wall-clock seconds of all calls."""


def evidence_of(found: Findings) -> Evidence:
    """Everything that the report shows."""
    study, config = found.study, found.study.config
    return Evidence(
        title=config.name,
        description=config.description,
        about={name: about_source(config, name) for name in (*config.languages, *config.outside, *config.scored)},
        measurements=found.measurements,
        runs=_runs(found),
        census=_census(found),
        transfer=_transfer(found),
        interactions=_interactions(found),
        front=_front(found),
        held_out=held_out_of(found.judgement.held_out or found.judgement.crossed),
        held_out_by="mixtures kept apart" if found.judgement.held_out else "cross-validation over mixtures",
        text=TEXTS.get(config.corpus.reader, config.corpus.reader),
        target=(config.target.parameters, config.target.tokens),
        law=law_fit(found.judgement.fits[found.judgement.law]),
        advice=_advice(found),
        turning=turning_of(
            found.judgement.fits[found.judgement.law], found.optimum.mixture.vector(tuple(config.languages))
        ),
        order=order_of(found.optimum, found.judgement.fits[found.judgement.law]),
        trained=_trained(found),
        base=_base(found),
        noise=study.noise(found.measurements),
        cost=_cost(found),
        simulated_epochs=None if config.target.tokens is None else bool(config.proxy.simulate_epochs),
        warnings=_warnings(found),
        config=config.model_dump(mode="json"),
        provenance=versions()
        | {
            "corpus and tokens": found.store.fingerprint,
            "configuration": fingerprint(found.study.config.model_dump(mode="json")),
            "precision": described(found.study.directory),
        },
        scored=found.measurements.scored,
        exports={name: str(study.directory / "export" / name) for name in found.exports},
    )


def about_source(config: StudyConfig, name: str) -> About:
    """What the page calls a source, and what it groups it by."""
    if (score := config.scored.get(name)) is not None:
        return about(name, score.language or "", score.group or "")
    described = config.corpus.described.get(name)
    return about(name, config.corpus.tag(name), (described and described.group) or "")


def _runs(found: Findings) -> tuple[RunRow, ...]:
    table = pl.read_parquet(found.study.directory / "measurements" / "runs.parquet")
    rows = []
    for row in table.iter_rows(named=True):
        path = found.study.directory / "jobs" / "timings" / f"{row['run']}.json"
        times = read_json(path) if path.is_file() else {}
        took = (times.get(name) for name in ("seconds", "began", "ended"))
        rows.append(RunRow(row["run"], row["role"], row["status"], row["seed"], row["N"], row["D"], *took))
    return tuple(rows)


def _transfer(found: Findings) -> dict[str, TransferMatrix]:
    """Lens to matrix: with groups as players theirs first, then what is inside."""
    if found.between is None:
        return {} if found.transfer is None else {"Shapley values": found.transfer}
    inside = {} if found.transfer is None else {INSIDE: found.transfer}
    return {"Shapley values between groups": found.between, **inside}


def _interactions(found: Findings) -> Interactions | None:
    """Of the coalition game, where every coalition was run."""
    study, config = found.study, found.study.config
    if config.design.coalitions != "all" or len(config.languages) < 2 or config.groups is not None:
        return None
    if found.transfer is None or not found.transfer.method.startswith("exact"):
        return None
    game = game_from(found.measurements.with_role("coalition", "anchor"), study.empty_loss(found.store))
    mean = mean_interactions(game, [target for target in game.targets if target in game.players])
    half_LL = None if mean.high_TL is None else mean.high_TL - mean.value_TL
    return Interactions(game.players, mean.value_TL, mean.unit, half_LL)


def _front(found: Findings) -> Front | None:
    study, fitted = found.study, found.judgement.fits[found.judgement.law]
    D = study.target_tokens()
    limits = study.passes(fitted, found.store).limits
    constraints = constraints_from(limits, fitted.languages, unique=study.unique(found.store), D=D)
    climbed = bool(study.config.design.ladder)
    N = study.config.target.parameters if climbed else None
    return front_of(
        fitted,
        found.optimum,
        constraints,
        lambda name: about_source(found.study.config, name).name,
        N,
        D if climbed else None,
    )


def _census(found: Findings) -> tuple[CorpusRow, ...]:
    epochs = found.optimum.epochs
    return tuple(
        CorpusRow(
            language=row.language,
            documents=row.documents,
            bytes=row.bytes,
            unique_tokens=row.unique_tokens,
            fertility=row.fertility,
            bytes_per_token=row.bytes_per_token,
            byte_premium=row.byte_premium,
            tokens_per_byte=row.tokens_per_byte,
            parity=row.parity,
            unknown_tokens=row.unknown_tokens or None,
            lost_text=row.lost_text or None,
            epochs=epochs.get(row.language),
        )
        for row in found.census.rows
    )


def _advice(found: Findings) -> Advice:
    store, study = found.store, found.study
    fitted, unique, D = found.judgement.fits[found.judgement.law], study.unique(store), study.target_tokens()
    config = study.passes(fitted, store).limits
    given = advice(found.judgement.law, found.optimum, config, D=D, unique=unique)
    limits = constraints_from(config, fitted.languages, unique=unique, D=D)
    flips = () if found.optimum.schedule is not None else flips_of(fitted, found.optimum, limits)
    return replace(given, flips=flips, least_gain=study.config.validation.least_gain)


def _trained(found: Findings) -> tuple[Trained, ...]:
    if found.loop is None:
        return ()
    predicted = {b.name: (b.predicted, b.objective) for b in found.optimum.baselines}
    tested = {d.baseline: d.estimate for d in found.loop.differences}
    predicted["optimum"] = (found.optimum.predicted, found.optimum.objective)
    return tuple(
        Trained(
            name=name,
            measured=losses,
            predicted=predicted[name][0],
            objective=predicted[name][1],
            objectives=found.loop.objective[name],
            differences=found.loop.by_target.get(name, {}),
            difference=tested.get(name),
        )
        for name, losses in found.loop.measured.items()
    )


def _base(found: Findings) -> BaseModel | None:
    """The model that proxies went on from, where its losses are known."""
    if not found.measurements.before:
        return None
    note, config = read_json(found.study.directory / NOTE), found.study.config
    name = "made by this study" if config.proxy.base is None else config.proxy.base
    old = (*note["languages"], *(name for name in found.measurements.targets if name == REPLAY))
    return BaseModel(found.measurements.before, old, note["tokens"], note["N"], name)


def _cost(found: Findings) -> Spending:
    table = pl.read_parquet(found.study.directory / "measurements" / "runs.parquet")
    counts = table.group_by("status").len().sort("status")
    target, tokens, flops = found.study.config.target, float(table["D"].sum()), float(table["C"].sum())
    if found.study.config.first_phase is not None:  # of its runs the last phase, and the first ones once for all
        whole = flops / (1 - read_json(found.study.directory / FIRST_PHASE)["begin"])
        flops = sum(planned_compute(found.study.directory).values())
        tokens *= flops / whole
    return Spending(
        runs=dict(counts.iter_rows()),
        tokens=tokens,
        flops=flops,
        seconds=found.seconds,
        target_flops=6 * target.parameters * target.tokens if target.parameters and target.tokens else None,
    )


def _warnings(found: Findings) -> tuple[str, ...]:
    warnings = list(found.census.notes())
    warnings += [f"Law {law} could not be fitted: {why}" for law, why in found.judgement.crossed.problems.items()]
    warnings += found.judgement.staging.words(found.judgement.fits[found.judgement.law].fits)
    for target, fitted in found.judgement.fits[found.judgement.law].fits.items():
        if fitted.usable and fitted.status != "converged":
            warnings.append(f"The fit of {found.judgement.law} for {target}: {fitted.status}")
        if vague := [sentence for sentence in fitted.unclear if "prior" not in sentence]:
            warnings.append(f"The fit of {found.judgement.law} for {target}: {'; '.join(vague)}")
    table = pl.read_parquet(found.study.directory / "measurements" / "runs.parquet")
    if missing := table.filter(pl.col("reason") == WAITS).height:
        warnings.append(f"Preliminary: {missing} of {table.height} runs still wait for your trainer")
    climb = found.study.directory / "scale.json"
    if found.study.config.design.ladder and climb.is_file():
        warnings.extend(read_json(climb)["sizes"][-1]["warnings"])
    if words := found.study.passes(found.judgement.fits[found.judgement.law], found.store).words:
        warnings.append(words)
    if (why := stopped_because(found.study)) and not why.startswith("settled"):
        warnings.append(f"Further runs were chosen until {why}")
    return tuple(warnings)
