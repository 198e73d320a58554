"""From a study file to a report, and what it will cost before it starts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from glotmix.artifact import read_json, write_json, write_text
from glotmix.config import StudyConfig, check
from glotmix.corpus.census import Census, take_census
from glotmix.errors import BadInput
from glotmix.exporters import all_exporters
from glotmix.exporters.exporter import ExportRequest, Realised
from glotmix.exporters.exporter import export as write_export
from glotmix.fit.fit import Fit
from glotmix.fit.holdout import Holdout
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.optimize.baselines import baselines_for
from glotmix.optimize.constraint import constraints_from
from glotmix.optimize.objective import objective_from
from glotmix.optimize.solve import Optimum, minimise
from glotmix.report.page import write_report
from glotmix.study import closed_loop
from glotmix.study.closed_loop import ClosedLoop
from glotmix.study.evidence import Findings, evidence_of
from glotmix.study.narrator import Narrator
from glotmix.study.study import Study
from glotmix.sweep.lock import held
from glotmix.tokens.shards import TokenStore


def run_study(study: Study) -> Path:
    """Do every stage that is not done yet, and return the path of the report.

    Raises:
        BadInput: the study, its corpus or its directory are wrong.
        GlotmixError: no run of the study is complete, or the disk is full.
    """
    say = study.narrator.say
    with held(study.directory):
        began = time.monotonic()
        study.claim()
        store = study.tokens()
        census = take_census_of(study, store)
        runs = study.plan(store)
        spec = study.sweep_spec(store)
        failed = study.run(runs, spec, "Training proxies")
        measurements = study.measure(runs, spec, failed)
        transfer = study.transfer(measurements, store)
        name, fits, crossed, judged = study.laws(measurements, transfer)
        shown = judged or crossed
        say(f"Law chosen by cross-validation: {name}; held-out error {100 * shown.mean(name):.2f} %")
        optimum = best_mixture(study, fits, name, store)
        loop = None
        if study.config.validation.seeds:
            loop, failed_loop = close_loop(study, store, optimum, runs, failed)
            failed |= failed_loop
        exports = export_all(study, store, optimum.mixture)
        write_json(study.directory / "timing.json", {"seconds": _seconds(study, time.monotonic() - began)})
        findings = Findings(study, store, census, measurements, transfer, name, fits, crossed, judged, optimum, loop, exports)
        report = study.directory / "report.html"
        write_report(evidence_of(findings), report)
    return report


def _seconds(study: Study, now: float) -> float:
    """Wall-clock seconds over all calls that worked on the study."""
    path = study.directory / "timing.json"
    return now + (float(read_json(path)["seconds"]) if path.exists() else 0.0)


def take_census_of(study: Study, store: TokenStore | None = None) -> Census:
    """Count the corpus, and write ``census.json``."""
    store = store or study.tokens()
    census = take_census(
        store, natural=study.natural(store), target_tokens=study.target_tokens(), unique=study.unique(store)
    )
    write_json(study.directory / "census.json", census.to_json())
    return census


def best_mixture(study: Study, fits: dict[str, Fit], name: str, store: TokenStore) -> Optimum:
    """The optimum on the chosen law, with every baseline, the optima under the other laws among them."""
    config = study.config.optimize
    unique, D = study.unique(store), study.target_tokens()
    chosen = fits[name]
    constraints = constraints_from(config, chosen.languages, unique=unique, D=D)
    aim = objective_from(config, chosen.targets, chosen.languages)
    baselines = baselines_for(
        chosen.languages,
        unique=unique,
        D=D,
        current=config.current,
        max_epochs=config.max_epochs,
        tau=study.config.validation.temperature,
        others={law: fitted for law, fitted in fits.items() if law != name},
        objective=aim,
        constraints=constraints,
    )
    optimum = minimise(chosen, aim, constraints, baselines=baselines, seed=study.config.fit.seed)
    write_json(study.directory / "optimum.json", optimum.to_json())
    return optimum
