"""Several laws fitted alike: to all runs, or to a part of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from glotmix.errors import BadInput
from glotmix.fit.fit import Fit, fit
from glotmix.fit.parallel import each
from glotmix.laws import find_law
from glotmix.laws.law import Law
from glotmix.laws.residual import Corrected
from glotmix.measurements import Measurements
from glotmix.progress import Advance, Stages
from glotmix.transfer.matrix import TransferMatrix

Transfer = TransferMatrix | Callable[[Measurements], TransferMatrix] | None
"""Transfer values, or how to get them from the runs of a fold (so that nothing leaks from the runs held out)."""


Repeats = Literal["repeats"] | None
"""Whether runs are weighed by what repeated mixtures tell of the noise (see :func:`~glotmix.fit.fit.fit`)."""
PIECE = 6
"""Targets of a law that one process fits at a time."""
STARTS = 4
"""Starting points of a fit that laws are judged by: nearly always all of them end alike."""


@dataclass(frozen=True)
class How:
    """How every law is fitted to every part."""

    targets: tuple[str, ...]
    """Which targets."""
    transfer: Transfer
    """Values for laws that use them, or how to get them."""
    starts: int
    """Starting points where nothing is known."""
    seed: int
    """Of the starts."""
    weights: Repeats
    """How runs are weighed."""
    workers: int
    """Processes."""
    staged: tuple[str, ...] = ()
    """Scores that go through a loss."""


def chosen_of(targets: Iterable[str] | None, measurements: Measurements) -> tuple[str, ...]:
    """The targets asked for, all where none are."""
    return measurements.targets if targets is None else tuple(targets)


def fit_all(
    laws: Iterable[Law | str],
    measurements: Measurements,
    *,
    targets: Iterable[str] | None = None,
    transfer: Transfer = None,
    starts: int = STARTS,
    seed: int = 0,
    weights: Repeats = None,
    workers: int = 1,
    tell: Advance | None = None,
) -> dict[str, Fit]:
    """Several laws fitted to all runs, by name, without intervals; those that cannot be fitted are left out."""
    how = How(chosen_of(targets, measurements), transfer, starts, seed, weights, workers)
    families = [find_law(law) if isinstance(law, str) else law for law in laws]
    boxed = [law for law in families if isinstance(law, Corrected)]
    plain = [law for law in families if law not in boxed]
    stages = Stages(tell, {"laws": float(len(plain) or 1), "boxes": float(len(boxed) or 1)})
    found = _fit_each(plain, measurements, how, {}, stages.stage("laws"))
    # A law with a black box is the law, fitted already, and the box.
    bases = {law.name: found[law.law.name] for law in boxed if law.law.name in found}
    found |= _fit_each(boxed, measurements, how, bases, stages.stage("boxes"))
    return {law.name: found[law.name] for law in families if law.name in found}


def _fit_each(
    laws: Sequence[Law], measurements: Measurements, how: How, near: Mapping[str, Fit], tell: Advance | None
) -> dict[str, Fit]:
    """Every law, ``PIECE`` targets at a time."""
    pieces = [how.targets[k : k + PIECE] for k in range(0, len(how.targets), PIECE)]
    value = {law.name: values_of(law, measurements, how.transfer) for law in laws}
    tasks = [
        (law, measurements, replace(how, targets=piece), value[law.name], near.get(law.name), False)
        for law in laws
        for piece in pieces
    ]
    stages = Stages(tell, {"apart": 3.0, "together": 1.0})
    every = each(_whole, tasks, how.workers, what="Fitting laws", tell=stages.stage("apart"))
    found: dict[str, Fit] = {}
    for k, law in enumerate(laws):
        parts = [one for one in every[k * len(pieces) : (k + 1) * len(pieces)] if one is not None]
        if len(parts) == len(pieces):
            fits = {target: at for part in parts for target, at in part.fits.items()}
            found[law.name] = replace(parts[0], targets=how.targets, fits=fits)
    if near:  # the means of priors are those of the laws that were started from
        return found
    # Where these lie is told by all targets.
    whole = [(one.law, measurements, how, value[law], one, True) for law, one in found.items()]
    joint = each(_whole, whole, how.workers, what="Fitting laws", tell=stages.stage("together"))
    return {one.law.name: one for one in joint if one is not None}


def values_of(law: Law, train: Measurements, transfer: Transfer) -> TransferMatrix | BadInput | None:
    """Transfer values from the runs of a fold, for a law that needs them; or why there are none."""
    if not callable(transfer):
        return transfer
    try:
        return transfer(train) if "transfer" in law.needs else None
    except BadInput as error:
        return error


def _whole(
    law: Law,
    runs: Measurements,
    how: How,
    transfer: TransferMatrix | BadInput | None,
    near: Fit | None,
    together: bool,
) -> Fit | None:
    """The law fitted to all runs; None where it cannot be, which every fold will tell."""
    if isinstance(transfer, BadInput):
        return None
    try:
        return fitted(law, runs, how, transfer, near, together)
    except BadInput:
        return None


def fitted(
    law: Law, runs: Measurements, how: How, transfer: TransferMatrix | None, near: Fit | None, together: bool = True
) -> Fit:
    """One law fitted to runs."""
    return fit(
        law,
        runs,
        targets=how.targets,
        transfer=transfer,
        starts=how.starts,
        seed=how.seed,
        weights=how.weights,
        near=near,
        together=together,
        staged=how.staged,
    )
