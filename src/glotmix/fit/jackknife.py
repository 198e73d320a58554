"""Jackknife+: intervals that assume nothing of the noise, and nothing of the law."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from glotmix.errors import BadInput
from glotmix.fit.fit import Fit, Prediction, fit
from glotmix.fit.parallel import each
from glotmix.fit.several import STARTS
from glotmix.fit.splits import fold_of, mixtures_of
from glotmix.laws import find_law
from glotmix.laws.law import Law
from glotmix.measurements import Measurements
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.phases import Phases
from glotmix.transfer.matrix import TransferMatrix


@dataclass(frozen=True)
class Jackknife:
    """A law fitted to all runs, and again without each part of them."""

    whole: Fit
    """Fitted to everything; its values are the predictions."""
    without: tuple[Fit, ...]
    """Fitted to everything but one part, in the order of the parts."""
    part_R: np.ndarray
    """Which part each run is in."""
    residual_RT: np.ndarray
    """``|ln L - ln L̂|`` of each run under the fit that has not seen its part, for a score that of the error
    itself; NaN where either is not finite."""

    def predict(
        self,
        mixtures: Mixture | Iterable[Mapping[str, float]] | np.ndarray,
        N: float | np.ndarray | None = None,
        D: float | np.ndarray | None = None,
        unique: np.ndarray | None = None,
        phases: Phases | None = None,
        coverage: float = 0.95,
    ) -> Prediction:
        """Losses with intervals for what a new run would measure.

        ``[q⁻_r {ln L̂_-r(p) - res_r}, q⁺_r {ln L̂_-r(p) + res_r}]`` with the ``⌊α(R+1)⌋``-th smallest and the
        ``⌈(1-α)(R+1)⌉``-th smallest of R runs, α = 1 - coverage; L̂_-r is fitted without the part that holds run r.
        Source: Barber et al., Predictive inference with the jackknife+ (2021), eq. 1.3 and, for parts of several runs,
        CV+ (eq. 1.7); here on the log of the loss. New runs must be drawn as the runs were: at a corner of the simplex
        that no run was near, the promise does not hold.

        Raises:
            BadInput: fewer runs than the coverage needs (19 for 95 %).
        """
        asked = (mixtures, N, D, unique, phases)
        whole = self.whole.predict(*asked)
        told = [one.predict(*asked).value_RT for one in self.without]
        log_PRT = np.stack([_logs(self.whole, value_RT) for value_RT in told])
        low_RT, high_RT = np.full_like(whole.value_RT, np.nan), np.full_like(whole.value_RT, np.nan)
        for t, target in enumerate(self.whole.targets):
            known_R = np.flatnonzero(np.isfinite(self.residual_RT[:, t]))
            if not self.whole.fits[target].usable:
                continue
            rank = int(np.floor((1 - coverage) * (len(known_R) + 1) + 1e-9))
            if rank < 1:
                least = int(np.ceil(1 / (1 - coverage) - 1 - 1e-9))
                raise BadInput(f"{len(known_R)} runs of {target}", where="jackknife", expected=f"at least {least}")
            at_QR = log_PRT[self.part_R[known_R], :, t].T
            residual_R = self.residual_RT[known_R, t]
            low_RT[:, t] = np.sort(at_QR - residual_R, axis=1)[:, rank - 1]
            high_RT[:, t] = np.sort(at_QR + residual_R, axis=1)[:, -rank]
            if self.whole.fits[target].scored is None:
                low_RT[:, t], high_RT[:, t] = np.exp(low_RT[:, t]), np.exp(high_RT[:, t])
            else:
                low_RT[:, t], high_RT[:, t] = np.maximum(low_RT[:, t], 0), np.minimum(high_RT[:, t], 1)
        return Prediction(whole.targets, whole.value_RT, low_RT, high_RT, scored=whole.scored)


def jackknife(
    law: Law | str,
    measurements: Measurements,
    *,
    parts: int | None = None,
    targets: Iterable[str] | None = None,
    transfer: TransferMatrix | None = None,
    starts: int = STARTS,
    seed: int = 0,
    workers: int = 1,
) -> Jackknife:
    """Fit without each mixture in turn (jackknife+), or without each of ``parts`` groups of mixtures (CV+).

    Args:
        law: a law or its name.
        measurements: the runs; all runs of a mixture are left out together.
        parts: how many groups; default one per mixture.
        targets: which targets; default all.
        transfer: values for laws that use them.
        starts: starting points of the fit to all runs, from which the others start.
        seed: of starts and groups.
        workers: processes that share the fits.
    """
    law = find_law(law) if isinstance(law, str) else law
    chosen = measurements.targets if targets is None else tuple(targets)
    part_R = mixtures_of(measurements) if parts is None else fold_of(measurements, parts, seed)
    keep = [part_R != part for part in range(int(part_R.max()) + 1)]
    whole = fit(law, measurements, targets=chosen, transfer=transfer, starts=starts, seed=seed)
    tasks = [(law, measurements.where(keep_R), chosen, transfer, whole) for keep_R in keep]
    without = each(_fit, tasks, workers)
    columns = [measurements.targets.index(target) for target in chosen]
    residual_RT = np.full((len(measurements), len(chosen)), np.nan)
    for part, one in enumerate(without):
        out = measurements.where(part_R == part)
        with np.errstate(invalid="ignore", divide="ignore"):
            told = one.predict(out.p_RL, out.N_R, out.D_R, out.unique_RL, out.phases)
            ratio = _logs(whole, out.loss_RT[:, columns]) - _logs(whole, told.value_RT)
        residual_RT[part_R == part] = np.where(np.isfinite(ratio), np.abs(ratio), np.nan)
    return Jackknife(whole, tuple(without), part_R, residual_RT)


def _logs(fitted: Fit, loss_RT: np.ndarray) -> np.ndarray:
    """Logarithms of losses; errors of scores as they are, whose noise is even."""
    log_RT = np.log(loss_RT)
    for t, target in enumerate(fitted.targets):
        if fitted.fits[target].scored is not None:
            log_RT[:, t] = loss_RT[:, t]
    return np.asarray(log_RT)


def _fit(law: Law, runs: Measurements, targets: tuple[str, ...], transfer: TransferMatrix | None, whole: Fit) -> Fit:
    return fit(law, runs, targets=targets, transfer=transfer, near=whole)
