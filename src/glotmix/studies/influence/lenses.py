"""Lenses on transfer that a finished study offers: its game, the weights of its law, and in-run Shapley of its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from glotmix.artifact import read_json
from glotmix.errors import BadInput
from glotmix.estimate import half_width
from glotmix.fit.choice import open_fit
from glotmix.mixture.design import PlannedRun
from glotmix.studies.influence.findings import Lenses
from glotmix.study.narrator import Narrator
from glotmix.study.training import reopened
from glotmix.tokens.opening import open_store
from glotmix.transfer.agreement import agreements, partings
from glotmix.transfer.matrix import TransferMatrix

LAW = "shapley_law"
"""Law whose weights are a lens."""


def game_values(directory: Path) -> TransferMatrix | None:
    """Shapley values of a study's coalitions; None where it has played no game."""
    path = directory / "transfer.json"
    return TransferMatrix.from_json(read_json(path)) if path.is_file() else None


def law_weights(directory: Path) -> TransferMatrix | None:
    """``w``: tokens of the target that a token of the source replaces, 1 for itself; None without such a law."""
    path = directory / "fits" / f"{LAW}.json"
    if not path.is_file():
        return None
    fit = open_fit(path)
    theta = {at.problem.target: dict(zip(at.names, at.theta_P.tolist(), strict=True)) for at in fit.fits.values()}
    value = [[theta[target].get(f"w/{source}", 1.0) for source in fit.languages] for target in theta]
    return TransferMatrix(tuple(theta), tuple(fit.languages), np.array(value), unit="1", method=f"weights of {LAW}")


def in_run_values(
    directory: Path,
    runs: Sequence[str],
    narrator: Narrator,
    *,
    windows: int = 4,
    every: int = 10,
    preconditioned: bool = True,
) -> list[TransferMatrix]:
    """In-run Shapley of a study's runs: each is trained again, on the same tokens in the same order, and watched.

    Args:
        directory: of the study.
        runs: names of its runs; all of one size and length.
        narrator: where progress goes.
        windows: held-out windows of each target.
        every: updates between two looks.
        preconditioned: the form for Adam.

    Raises:
        BadInput: no such run, or one whose mixture or loss weights change by a method while it goes on.
    """
    from glotmix.attribution.inrun import InRunShapley, targets_of
    from glotmix.proxy.loader import MixtureBatches
    from glotmix.proxy.model import Shape
    from glotmix.proxy.run import StackRun
    from glotmix.proxy.train import train_stack

    study, store = reopened(directory), open_store(directory / "tokens")
    config = study.config
    known = {row["run"]: PlannedRun.from_json(row) for row in read_json(directory / "plan.json")}
    if missing := [name for name in runs if name not in known]:
        raise BadInput(f"no run {missing[0]}", where=directory / "plan.json")
    chosen = [known[name] for name in runs]
    for run in chosen:
        if run.weighting is not None or run.adaptive is not None:
            raise BadInput(f"{run.run} has loss weights or an adaptive method", expected="a run of a plain schedule")
    proxy = study.in_precision(study.sizes[chosen[0].size] if chosen[0].size else config.proxy)
    planned = [StackRun.of(run) for run in chosen]
    batches = MixtureBatches(store, planned, proxy, study.available(store, proxy))
    held_out = {name: store.held_out(name) for name in (*config.languages, *config.outside)}
    observer = InRunShapley(
        targets_of(held_out, proxy.context, windows),
        config.languages,
        batches.languages_of,
        clip=proxy.clip,
        every=every,
        preconditioned=preconditioned,
    )
    with narrator.bar("In-run Shapley") as advance:
        train_stack(
            planned,
            batches,
            Shape.of(proxy, store.vocab_size),
            proxy,
            end_of_document=store.end_of_document,
            on_batch=observer.on_batch,
            on_step=lambda done, total, _: advance("In-run Shapley", done, total),
        )
    return observer.matrices()


def side_by_side(lenses: Mapping[str, Sequence[TransferMatrix]], seed: int = 0) -> Lenses:
    """Rank correlations of lenses and the pairs they part on; each lens is shown as the mean of its repeats.

    Raises:
        BadInput: as :func:`glotmix.transfer.agreement.agreements`.
    """
    return Lenses(
        {name: _mean(matrices) for name, matrices in lenses.items()},
        tuple(agreements(lenses, np.random.default_rng(seed))),
        tuple(partings(lenses)),
    )


def _mean(matrices: Sequence[TransferMatrix]) -> TransferMatrix:
    """The one matrix as it is; of several their mean, with Student's interval over them."""
    first = matrices[0]
    if len(matrices) == 1:
        return first
    value_RTL = np.stack([matrix.value_TL for matrix in matrices])
    mean = value_RTL.mean(0)
    half = half_width(value_RTL)
    notes = {"repeats": len(matrices)}
    return TransferMatrix(first.targets, first.sources, mean, mean - half, mean + half, first.unit, first.method, notes)
