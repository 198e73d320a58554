"""Loss → score: a law's loss of one target carries the score of another, as a second stage.

``a + b L`` stands for the score (:mod:`glotmix.scored`), where L is the loss, of all that were measured, that tells
it best. Two numbers are fitted to what the runs measured of both; in a prediction L is what the law says. Source: CAMEL
has such a second law, from validation losses to benchmark scores (Li et al., arXiv 2603.08022); this form, a sigmoid
between chance and one, is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from glotmix.fit.bootstrap import LEAST_LEFT, multipliers
from glotmix.fit.noise import Noise, robust_square
from glotmix.fit.solve import SOFT_L1
from glotmix.fit.target import Fitted, inputs_of
from glotmix.laws.law import Law
from glotmix.measurements import Measurements
from glotmix.scored import LEAST, SLOPE, Scored

STAGE = ("stage/from", "stage/by")
"""Names of a and b, behind the parameters of the loss's law."""
ROUNDS, SETTLED = 20, 1e-8
NO_LOSS = "no loss that the law predicts tells this score"
"""Status of a score that has no second stage."""
LEAST_RUNS = 6
"""Runs with both numbers from which a line is drawn through them."""


@dataclass(frozen=True)
class Line:
    """``a + b L`` through the losses that stand for a score."""

    theta: np.ndarray
    """a and b, [2]; b is never below 0: a score that falls as its loss falls is not carried by it."""
    shift_GP: np.ndarray
    """How they move when mixture g comes in."""
    left: float
    """Root mean square of the leave-one-out residuals, in units of the binomial's own."""


def line_through(
    scored: Scored, x_R: np.ndarray, error_R: np.ndarray, weight_R: np.ndarray, group_R: np.ndarray
) -> Line:
    """The robust line through the responses of a score (:meth:`~glotmix.scored.Scored.response`)."""
    rows_RP = np.column_stack([np.ones_like(x_R), x_R])
    log_R = scored.log_odds(scored.inside(error_R))
    theta_P, robust_R = np.zeros(2), np.ones(len(x_R))
    for turn in range(ROUNDS):
        sure_R = weight_R * robust_R / scored.spread(log_R if turn == 0 else rows_RP @ theta_P) ** 2
        normal_PP = rows_RP.T @ (sure_R[:, None] * rows_RP)
        before_P, theta_P = theta_P, np.linalg.lstsq(normal_PP, rows_RP.T @ (sure_R * log_R), rcond=None)[0]
        if theta_P[1] < 0:
            theta_P = np.array([float(np.average(log_R, weights=sure_R)), 0.0])
        if np.abs(theta_P - before_P).max() < SETTLED:
            break
        fitted_R = rows_RP @ theta_P
        log_R = scored.response(error_R, fitted_R)
        standard_R = (log_R - fitted_R) / scored.spread(fitted_R)
        robust_R = SOFT_L1.weight(standard_R / max(np.sqrt(robust_square(standard_R)), 1e-9))
    fitted_R = rows_RP @ theta_P
    inverse_PP = np.linalg.pinv(normal_PP)
    kept_R = np.maximum(1 - sure_R * np.einsum("rp,pq,rq->r", rows_RP, inverse_PP, rows_RP), LEAST_LEFT)
    alone_R = (log_R - fitted_R) / kept_R
    shift_GP = np.zeros((int(group_R.max()) + 1, 2))
    np.add.at(shift_GP, group_R, (sure_R * alone_R)[:, None] * (rows_RP @ inverse_PP))
    left = float(np.sqrt(robust_square(alone_R / scored.spread(fitted_R))))
    return Line(theta_P / SLOPE + np.array([1.0, 0.0]), shift_GP / SLOPE, left)


def second_stage(
    law: Law,
    target: str,
    losses: Mapping[str, Fitted],
    measurements: Measurements,
    weight_R: np.ndarray,
    group_R: np.ndarray,
    bootstrap: int,
    seed: int,
) -> Fitted | None:
    """The score of a target through the loss that tells it best; None where no loss that the law predicts does.

    Args:
        law: the family that the losses were fitted by.
        target: the score.
        losses: fits of losses, by target.
        measurements: the runs.
        weight_R: relative precision of each run.
        group_R: number of the mixture of each.
        bootstrap: resamples; they are those of the loss's law, and the line is drawn by the same weights of mixtures.
        seed: of the resamples.
    """
    scored, error_R = measurements.scored[target], measurements.loss(target)
    lines: dict[str, tuple[Line, np.ndarray]] = {}
    for name, one in losses.items():
        loss_R = measurements.loss(name)
        keep_R = np.isfinite(error_R) & np.isfinite(loss_R) & (weight_R > 0)
        if one.fit.usable and keep_R.sum() >= LEAST_RUNS and np.ptp(loss_R[keep_R]) > 0:
            told = (loss_R[keep_R], error_R[keep_R], weight_R[keep_R], group_R[keep_R])
            lines[name] = (line_through(scored, *told), keep_R)
    lines = {name: one for name, one in lines.items() if one[0].theta[1] > 0}
    if not lines:
        return None
    name = min(lines, key=lambda name: lines[name][0].left)
    (line, keep_R), loss = lines[name], losses[name].fit
    inputs = inputs_of(measurements).where(keep_R)
    fitted_R = np.log(np.maximum(line.theta[0] + line.theta[1] * loss.predict(law, loss.theta_P, inputs), LEAST))
    away_R = np.log(scored.response_loss(error_R[keep_R], fitted_R)) - fitted_R
    middle, freedom = float(fitted_R.mean()), len(away_R) / max(len(away_R) - 2, 1)
    even_R = away_R / Noise(1.0, 0.0, middle, scored).relative(fitted_R)
    square = max(robust_square(even_R) * freedom, scored.least_square(middle))
    drawn_BP = np.zeros((0, len(loss.names) + 2))
    if len(loss.bootstrap_BP):
        groups = int(group_R.max()) + 1
        shift_GP = np.zeros((groups, 2))
        shift_GP[: len(line.shift_GP)] = line.shift_GP
        stage_BP = line.theta + multipliers(groups, bootstrap, seed) @ shift_GP
        stage_BP[:, 1] = np.maximum(stage_BP[:, 1], 0.0)
        drawn_BP = np.hstack([loss.bootstrap_BP, stage_BP])
    at = replace(
        loss,
        names=(*loss.names, *STAGE),
        theta_P=np.append(loss.theta_P, line.theta),
        bootstrap_BP=drawn_BP,
        runs=int(keep_R.sum()),
        scale=float(np.sqrt(square)),
        power=0.0,
        middle=middle,
        scored=scored,
        through=name,
    )
    residual_R = np.full(len(measurements), np.nan)
    residual_R[keep_R] = away_R
    return Fitted(at, residual_R, None)
