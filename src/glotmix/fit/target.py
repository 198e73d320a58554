"""One law fitted to the losses of one target."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from glotmix.errors import BadInput
from glotmix.estimate import student
from glotmix.fit.beside import beside
from glotmix.fit.bootstrap import LeftOut, leave_out, multipliers, prior_draws, resample
from glotmix.fit.form import evidence
from glotmix.fit.identify import unclear
from glotmix.fit.noise import Noise, noise_in, robust_square, sound
from glotmix.fit.pooling import Leaning, leaning, members
from glotmix.fit.solve import ROBUST_SCALE, ROUGH, SOFT_L1, Equations, Solution, equations, inner, solve
from glotmix.laws.law import Inputs, Law, Problem
from glotmix.laws.residual import Corrected, Learned
from glotmix.measurements import Measurements
from glotmix.notebook import Shown
from glotmix.scored import LEAST, Scored

OUTSIDE = "not applicable: the law needs the target's own share, and the target is not in the mixture"
ROUNDS, SETTLED = 8, 0.02
"""How often the noise is estimated and the law fitted again, at most, and the change of ln scale that ends it."""


MOST_AT_ONCE = 30_000
"""Shares up to which a law is asked for all resamples in one evaluation: of more the arrays leave the cache."""
NEAR_TOLERANCE = 1e-5
"""Relative fall of the cost below which the step of a refit to a part of the runs is small."""
HELD_OUT_PARTS = 10
"""Parts of the mixtures that are left out in turn to see whether the intervals are as wide as held-out errors are."""


@dataclass(frozen=True, repr=False)
class TargetFit(Shown):
    """A law fitted to the losses of one target."""

    problem: Problem
    """What the law knew beforehand."""
    names: tuple[str, ...]
    """Names of the parameters, [P]."""
    theta_P: np.ndarray
    """Fitted parameters; NaN where the status says that there is none."""
    status: str
    """"converged", or the problem in words."""
    cost: float
    """The objective that the fit minimised: half the robust sum of squares in standard deviations, and the prior."""
    runs: int
    """Runs that were fitted to."""
    scale: float
    """Relative error of a run (standard deviation of ln L), at the mean loss where it changes with the loss."""
    agreeing: float
    """Share of the starts that ended at the same optimum; low values warn of a rugged objective."""
    bootstrap_BP: np.ndarray
    """Resampled parameters; [0, P] without a bootstrap."""
    freedom: float = np.inf
    """Degrees of freedom of an interval: runs less the parameters in use, of which repeats tell the noise; at most the
    mixtures less one, whose held-out errors set its width, and at least half of these."""
    unclear: tuple[str, ...] = ()
    """What the runs do not tell of the parameters, in words."""
    learned: Learned | None = None
    """What a black box learned of the residuals, for laws of the form LAW+BOX."""
    power: float = 0.0
    """How the noise grows with the loss (see :class:`~glotmix.fit.noise.Noise`)."""
    middle: float = 0.0
    """ln of the loss at which it is ``scale``."""
    used: float = np.nan
    """Parameters in use: a prior makes them fewer than there are (the sum of the leverages)."""
    widening: float = 1.0
    """Held-out errors in units of what the law itself expects them to be; intervals of new runs are that much wider."""
    scored: Scored | None = None
    """What the target is where it is a score: what the law predicts is then the loss that stands for it."""
    through: str | None = None
    """The target whose loss carries the score (:mod:`glotmix.fit.stage`): the law's parameters are those of that loss,
    and the last two lead on from it."""

    @property
    def usable(self) -> bool:
        """Whether there are parameters to predict with."""
        return len(self.theta_P) > 0 and bool(np.isfinite(self.theta_P).all())

    @property
    def noise(self) -> Noise:
        """The noise of a run."""
        return Noise(self.scale, self.power, self.middle, self.scored)

    def predict(self, law: Law, theta_P: np.ndarray, inputs: Inputs) -> np.ndarray:
        """What the law (``theta``: these or resampled parameters) says of runs [R], with what a black box learned:
        losses, or of a score the loss that stands for it."""
        return self._with(law, theta_P, inputs, self._box(inputs))

    def resampled(self, law: Law, inputs: Inputs) -> np.ndarray:
        """:meth:`predict` under every resample, [B, R]."""
        box, (B, R) = self._box(inputs), (len(self.bootstrap_BP), len(inputs.p_RL))  # resamples are of the law alone
        if not law.each_its_own or self.through is not None or B * inputs.p_RL.size > MOST_AT_ONCE:
            return np.stack([self._with(law, theta_P, inputs, box) for theta_P in self.bootstrap_BP])
        every = inputs.where(np.tile(np.arange(R), B))
        return law.predict(self.problem, np.repeat(self.bootstrap_BP, R, axis=0), every).reshape(B, R) * box

    def _box(self, inputs: Inputs) -> np.ndarray | float:
        """By what a black box multiplies the law's losses."""
        return 1.0 if self.learned is None else np.exp(self.learned.predict(inputs))

    def _with(self, law: Law, theta_P: np.ndarray, inputs: Inputs, box: np.ndarray | float) -> np.ndarray:
        loss_R = law.predict(self.problem, theta_P if self.through is None else theta_P[:-2], inputs) * box
        return loss_R if self.through is None else np.maximum(theta_P[-2] + theta_P[-1] * loss_R, LEAST)

    @property
    def further(self) -> float:
        """What a relative change of what the law says does to :meth:`predict`, relatively, where the runs are."""
        return 1.0 if self.through is None else max(1 - float(self.theta_P[-2]) / float(np.exp(self.middle)), 0.0)

    def gradient(self, law: Law, inputs: Inputs) -> np.ndarray:
        """d of what is shown by the shares, of one mixture: [L], or [K, L] where ``inputs`` has phases."""
        theta_P = self.theta_P if self.through is None else self.theta_P[:-2]
        by_p_L = law.gradient(self.problem, theta_P, inputs)[0]
        if inputs.phases is not None:
            by_p_L = by_p_L * law.density(self.problem, theta_P, inputs.phases)[0]
        loss = law.predict(self.problem, theta_P, inputs)[0]
        if self.learned is not None:
            by_p_L = np.exp(self.learned.predict(inputs)[0]) * (by_p_L + loss * self.learned.gradient(inputs)[0])
        if self.scored is None:
            return np.asarray(by_p_L)
        stands = self.predict(law, self.theta_P, inputs)[0]
        by = 1.0 if self.through is None else self.theta_P[-1] * (stands > LEAST)
        return np.asarray(by_p_L * by * self.scored.by_loss(self.scored.error_of(stands)))

    def deviation(self, loss_R: np.ndarray) -> np.ndarray:
        """Standard deviation of a run, [R], where the law expects such losses, or errors of a score."""
        if self.scored is None:
            return np.asarray(self.scale * loss_R)
        stands_R = self.scored.loss_for(loss_R)
        return np.asarray(self.noise.deviation(np.log(stands_R)) * self.by_log(stands_R))

    def by_log(self, stands_R: np.ndarray) -> np.ndarray:
        """Change of a score's error with the log of the loss that stands for it, [R]."""
        assert self.scored is not None
        return np.asarray(stands_R * self.scored.by_loss(self.scored.error_of(stands_R)))

    def shown(self, predicted: np.ndarray) -> np.ndarray:
        """Losses, from what :meth:`predict` says: the same, or the error of a score."""
        return predicted if self.scored is None else self.scored.error_of(predicted)

    def to_polars(self) -> pl.DataFrame:
        """One row per parameter: ``parameter``, ``value``, ``low`` and ``high`` (2.5 and 97.5 % of the resamples, null
        without them)."""
        low_P = high_P = np.full(len(self.theta_P), np.nan)
        if len(self.bootstrap_BP):
            low_P, high_P = np.percentile(self.bootstrap_BP, [2.5, 97.5], axis=0)
        columns = {"parameter": self.names, "value": self.theta_P, "low": low_P, "high": high_P}
        return pl.DataFrame(columns, schema_overrides={"parameter": pl.String}).fill_nan(None)


@dataclass(frozen=True)
class Task:
    """How a target is fitted."""

    starts: int
    """Starting points."""
    bootstrap: int
    """Resamples."""
    seed: int
    """Of starts and resamples."""
    group_R: np.ndarray
    """Number of the mixture of each run."""
    form: bool = False
    """Whether to look for an error of the law's form."""
    near: TargetFit | None = None
    """A fit to nearly the same runs: it is started from, and its noise is taken over."""
    same: bool = False
    """Whether it was fitted to these very runs: then it is a start, and the noise is estimated from it."""
    kinds: tuple[str, ...] = ()
    """Kinds of parameters of whose priors all targets share the mean."""
    common_BA: np.ndarray | None = None
    """How these means come out under every resample; None asks what the fit says of them, and for nothing else."""


@dataclass(frozen=True)
class Fitted:
    """A fitted target and what the fit of all targets needs to know of it."""

    fit: TargetFit
    """The fit."""
    residual_R: np.ndarray
    """ln L - ln L̂ of every run of the table; NaN where it was not fitted to."""
    told: np.ndarray | None
    """Evidence of an error of form; None where it was not looked for."""
    said: Leaning | None = None
    """What it says of the means that targets share; None where it was not asked."""


def fit_target(law: Law, problem: Problem, measurements: Measurements, weight_R: np.ndarray, task: Task) -> Fitted:
    """Fit a law to one target; see :func:`~glotmix.fit.fit.fit`."""
    nothing_R = np.full(len(measurements), np.nan)
    if "own" in law.needs and problem.own is None:
        return no_fit(problem, OUTSIDE, len(measurements))
    everything = inputs_of(measurements)
    loss_R, scored = measurements.loss(problem.target), measurements.scored.get(problem.target)
    keep_R = law.usable(problem, everything) & np.isfinite(loss_R) & (weight_R > 0)
    names, needed = law.parameters(problem), least_runs(law, problem)
    if keep_R.sum() < needed:
        raise BadInput(
            f"law {law.name}, target {problem.target}: {keep_R.sum()} usable runs for {len(names)} parameters",
            expected=f"at least {needed} runs, or a law with fewer parameters",
        )
    rng = np.random.default_rng((task.seed, measurements.targets.index(problem.target)))
    inputs, loss_R, weight_R = everything.where(keep_R), loss_R[keep_R], weight_R[keep_R]
    found, noise, wanted = _settled(law, problem, inputs, loss_R, scored, weight_R, task, rng)
    log_R = wanted.log_loss_R
    group_R = np.unique(task.group_R[keep_R], return_inverse=True)[1]
    theta_BP, told, widening, said = np.zeros((0, len(names))), None, 1.0, None
    groups, asked = int(task.group_R.max()) + 1, bool(task.kinds) and task.common_BA is None
    vague: tuple[str, ...] = ()
    box = law.residual if isinstance(law, Corrected) and np.isfinite(found.cost) else None
    learned, residual_R, theta_P, around = None, found.residual_R, found.theta_P, wanted
    if box is not None:
        known = None if task.near is None else task.near.learned
        sure_R = weight_R if scored is None else weight_R / noise.relative(log_R - found.residual_R) ** 2
        both = beside(box, wanted, found.theta_P, sure_R, int(rng.integers(2**31)), known)
        theta_P, learned = both.theta_P, both.learned
        told_R = learned.predict(inputs)
        residual_R = both.residual_R - told_R
        left_over = float(np.sqrt(robust_square(np.sqrt(weight_R) * residual_R)))
        noise = Noise(learned.noise if np.isfinite(learned.noise) else left_over, 0.0, noise.middle, scored)
        # With the box the law fits what the box leaves, in the noise that is left.
        around = replace(wanted, log_loss_R=wanted.log_loss_R - told_R, root_R=np.sqrt(sure_R) / noise.scale)
    if np.isfinite(found.cost) and (task.near is None or task.same) and not asked:
        vague = unclear(law, problem, wanted, found)
    if np.isfinite(found.cost) and asked:
        left = leave_out(wanted, found.theta_P, task.group_R[keep_R], groups)
        residual_M, rows_MP = wanted(inner(found.theta_P, wanted.log_P))
        priors = slice(len(loss_R), None)
        said = leaning(left, rows_MP[priors], residual_M[priors], members(law.prior_kinds(problem), task.kinds))
    elif np.isfinite(found.cost) and task.bootstrap:
        left = leave_out(around, theta_P, task.group_R[keep_R], groups)
        place = measurements.targets.index(problem.target)
        known_BK = prior_draws(task.bootstrap, len(left.prior_KP), task.seed, place)
        if task.common_BA is not None:
            known_BK = known_BK + task.common_BA @ members(law.prior_kinds(problem), task.kinds).T
        theta_BP = resample(around, theta_P, left, multipliers(groups, task.bootstrap, task.seed), known_BK)
        spread_R = _spread(around, theta_P, left)
        variance_R = spread_R + noise.deviation(log_R - residual_R) ** 2
        held_R, box_R = _held_out(wanted, found, group_R, needed, learned, weight_R, task.seed)
        held_R, variance_R = np.where(np.isfinite(held_R), held_R, left.residual_R), variance_R + box_R**2
        widening = _widening(held_R / np.sqrt(variance_R), group_R)
        told = _told(wanted, found, inputs, task.seed) if task.form and box is None else None
    at = TargetFit(
        problem,
        names,
        theta_P,
        found.status,
        found.cost,
        len(loss_R),
        noise.scale,
        found.agreeing,
        theta_BP,
        max(min(len(loss_R) - float(found.leverage_R.sum()), float(group_R.max())), float(group_R.max()) / 2, 1.0),
        vague,
        learned,
        noise.power,
        noise.middle,
        float(found.leverage_R.sum()) + (0.0 if learned is None else learned.used),
        widening,
        scored,
    )
    nothing_R[keep_R] = residual_R
    return Fitted(at, nothing_R, told, said)


def no_fit(problem: Problem, status: str, runs: int) -> Fitted:
    """A target of which a law says nothing, and why."""
    at = TargetFit(problem, (), np.full(0, np.nan), status, np.nan, 0, np.nan, 0.0, np.zeros((0, 0)))
    return Fitted(at, np.full(runs, np.nan), None)


def least_runs(law: Law, problem: Problem) -> int:
    """Runs that a fit needs: one per parameter that no prior speaks of, and two at least."""
    low_P, high_P = law.bounds(problem)
    middle_P = np.clip(np.ones(len(low_P)), low_P, high_P)
    known = law.prior(problem, middle_P)
    return max(2, len(low_P) - (0 if known is None else int(np.any(known[1] != 0, axis=0).sum())))


def inputs_of(measurements: Measurements) -> Inputs:
    """What a law predicts from."""
    return Inputs(measurements.p_RL, measurements.N_R, measurements.D_R, measurements.unique_RL, measurements.phases)


def _settled(
    law: Law,
    problem: Problem,
    inputs: Inputs,
    measured_R: np.ndarray,
    scored: Scored | None,
    weight_R: np.ndarray,
    task: Task,
    rng: np.random.Generator,
) -> tuple[Solution, Noise, Equations]:
    """Fit, estimate the noise, fit again in its units, until both agree: neither priors nor runs rule unduly.

    Of a score every round fits the response to the last fit (:meth:`~glotmix.scored.Scored.response`).
    """
    loss_R = measured_R if scored is None else scored.loss_for(measured_R)

    def taken_R(log_fitted_R: np.ndarray) -> np.ndarray:  # noqa: N802
        """What is fitted, seen from a fit."""
        return measured_R if scored is None else scored.response_loss(measured_R, log_fitted_R)

    near = task.near if task.near is not None and task.near.usable else None
    if near is not None and len(near.theta_P) != len(law.parameters(problem)):
        near = None
    if near is None:
        start_SP = law.starts(problem, inputs, loss_R, task.starts, rng)
        noise, rounds = Noise(ROBUST_SCALE), ROUNDS
    else:
        start_SP, noise, rounds = near.theta_P[None], near.noise, ROUNDS if task.same else 0
    log_fitted_R = np.log(loss_R)
    even_R = weight_R
    if near is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            log_fitted_R = np.log(law.predict(problem, near.theta_P, inputs))
        loss_R = taken_R(log_fitted_R)
        if near.learned is not None:  # its noise is what the black box leaves over, not what the law does
            even = Noise(1.0, 0.0, noise.middle, scored).relative(log_fitted_R)
            left = float(np.sqrt(robust_square((np.log(loss_R) - log_fitted_R) / even)))
            noise = Noise(left, 0.0, noise.middle, scored)
        even_R = weight_R / noise.relative(log_fitted_R) ** 2
    # A fit that was started from its like ends where it should to a hundredth of its own uncertainty.
    tolerance = ROUGH if rounds else NEAR_TOLERANCE
    found = solve(law, problem, inputs, loss_R, even_R, start_SP, tolerance=tolerance, scale=noise.scale)
    agreeing = near.agreeing if near is not None and task.same else found.agreeing
    for k in range(rounds):
        if not np.isfinite(found.cost):
            break
        log_fitted_R = np.log(loss_R) - found.residual_R
        before, noise = noise, noise_in(found, weight_R, log_fitted_R, scored)
        if k and abs(np.log(noise.scale / before.scale)) < SETTLED and noise.power == before.power:
            break
        loss_R = taken_R(log_fitted_R)
        even_R = weight_R / noise.relative(log_fitted_R) ** 2
        again = solve(law, problem, inputs, loss_R, even_R, found.theta_P[None], scale=noise.scale)
        found = Solution(again.theta_P, again.cost, again.status, again.residual_R, again.leverage_R, agreeing)
    return found, noise, equations(law, problem, inputs, loss_R, even_R, noise.scale)


def _spread(wanted: Equations, theta_P: np.ndarray, left: LeftOut) -> np.ndarray:
    """Variance of ln L̂ at the runs under fits without them, [R], to first order."""
    _, rows_MP = wanted(inner(theta_P, wanted.log_P))
    moved_RK = rows_MP[: len(left.residual_R)] @ np.vstack([left.without_GP, left.prior_KP]).T
    return np.asarray((moved_RK**2).sum(axis=1) / wanted.root_R**2)


def _held_out(
    wanted: Equations,
    found: Solution,
    group_R: np.ndarray,
    needed: int,
    learned: Learned | None,
    weight_R: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """ln L - ln L̂ of every run [R] under the law fitted again without its part of the mixtures, NaN where it cannot be;
    and how far a black box that has not seen the run expects to be off [R].

    The refits start from the fit and keep its noise.
    """
    groups = int(group_R.max()) + 1
    fold_G = np.empty(groups, dtype=int)
    fold_G[np.random.default_rng(seed).permutation(groups)] = np.arange(groups) % HELD_OUT_PARTS
    held_R, box_R = np.full(len(group_R), np.nan), np.zeros(len(group_R))
    law, problem = wanted.law, wanted.problem
    for part in range(min(HELD_OUT_PARTS, groups)):
        out_R = fold_G[group_R] == part
        if (~out_R).sum() < max(needed, 2):
            continue
        inputs, loss_R = wanted.inputs.where(~out_R), np.exp(wanted.log_loss_R[~out_R])
        even_R = (wanted.root_R[~out_R] / wanted.root_R.max()) ** 2
        unit = 1 / float(wanted.root_R.max())
        again = solve(law, problem, inputs, loss_R, even_R, found.theta_P[None], 60, NEAR_TOLERANCE, unit)
        if not np.isfinite(again.cost):
            continue
        there, theta_P = wanted.inputs.where(out_R), again.theta_P
        if learned is not None and isinstance(law, Corrected):
            both = beside(law.residual, wanted.where(~out_R), theta_P, weight_R[~out_R], seed, learned)
            theta_P, held_R[out_R] = both.theta_P, -both.learned.predict(there)
            box_R[out_R] = both.learned.deviation(there)
        else:
            held_R[out_R] = 0.0
        with np.errstate(invalid="ignore", divide="ignore"):
            held_R[out_R] += wanted.log_loss_R[out_R] - np.log(law.predict(problem, theta_P, there))
    return held_R, box_R


def _widening(standard_R: np.ndarray, group_R: np.ndarray) -> float:
    """Size of the held-out errors in units of what is expected of them, each mixture counting once.

    Their root mean square and, where there are mixtures enough to see it, what their 95 % quantile is in units of that
    of a t distribution, half and half: the first is steady, the second right whatever the tails. Runs that went wrong
    are left out.
    """
    keep_R = sound(standard_R)
    runs_G = np.bincount(group_R, keep_R)
    square_G = np.bincount(group_R, np.where(keep_R, standard_R, 0.0) ** 2)[runs_G > 0] / runs_G[runs_G > 0]
    even = float(np.sqrt(square_G.mean()))
    groups = len(square_G)
    rank = np.ceil(0.95 * (groups + 1)) / groups
    if rank > 1:
        return even
    size_R, share_R = np.abs(standard_R[keep_R]), 1 / runs_G[group_R[keep_R]]
    order_R = np.argsort(size_R)
    place = int(np.searchsorted(np.cumsum(share_R[order_R]), rank * groups - 1e-9))
    tail = float(size_R[order_R][min(place, len(order_R) - 1)])
    return 0.5 * even + 0.5 * tail / student(groups - 1)


def _told(wanted: Equations, found: Solution, inputs: Inputs, seed: int) -> np.ndarray:
    residual_M, rows_MP = wanted(inner(found.theta_P, wanted.log_P))
    R = len(inputs.p_RL)
    root_R = np.sqrt(SOFT_L1.weight(residual_M[:R]))
    prior_PP = rows_MP[R:].T @ rows_MP[R:]
    return evidence(-root_R * residual_M[:R], root_R[:, None] * rows_MP[:R], prior_PP, inputs.p_RL, seed)
