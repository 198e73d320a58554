"""What the stages found, as the plain data that the report shows."""

from __future__ import annotations

import math
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glotmix import __version__
from glotmix.artifact import fingerprint, read_json
from glotmix.corpus.census import Census
from glotmix.errors import BadInput
from glotmix.exporters.exporter import Realised
from glotmix.fit.fit import Fit
from glotmix.fit.holdout import Holdout
from glotmix.language import Language
from glotmix.measurements import Measurements
from glotmix.optimize.solve import Optimum
from glotmix.report.evidence import (
    About,
    Advice,
    Candidate,
    CensusRow,
    Cost,
    Estimate,
    Evidence,
    HeldOut,
    LawFit,
    RunRow,
    Trained,
)
from glotmix.study.closed_loop import ClosedLoop
from glotmix.transfer.matrix import TransferMatrix

if TYPE_CHECKING:
    from glotmix.study.study import Study


@dataclass(frozen=True)
class Findings:
    """Results of all stages of one study."""

    study: Study
    """Configuration and directory."""
    census: Census
    """The corpus in numbers."""
    measurements: Measurements
    """All complete runs."""
    transfer: TransferMatrix | None
    """Shapley values, when every coalition was run."""
    law: str
    """Law that the optimum was taken on."""
    fits: Mapping[str, Fit]
    """Every law, fitted to all runs."""
    crossed: Holdout
    """Cross-validation over the fitting runs, by which the law was chosen."""
    judged: Holdout | None
    """Errors on the held-out swarm, when there is one."""
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
    config = found.study.config
    return Evidence(
        title=config.name,
        description=config.description,
        about={tag: _about(tag) for tag in (*config.languages, *config.outside)},
        measurements=found.measurements,
        runs=_runs(found),
        census=_census(found),
        transfer={"Shapley values": found.transfer} if found.transfer is not None else {},
        held_out=_held_out(found),
        law=_law(found.fits[found.law]),
        advice=_advice(found),
        trained=_trained(found),
        noise=found.study.noise(found.measurements),
        cost=_cost(found),
        simulated_epochs=bool(config.proxy.simulate_epochs and config.target.tokens),
        warnings=_warnings(found),
        config=found.study.summary(),
        provenance=_provenance(found),
        exports={name: str(found.study.directory / "export" / name) for name in found.exports},
    )
