"""Error of a law's form: what of its residuals belongs to the mixture, and not to the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from glotmix.notebook import Brief

SHARES = np.linspace(0, 0.95, 20)
"""Shares of the residual variance that may be the form's, [S]."""
LENGTHS = (0.3, 0.6)
"""Length scales of the form's error, in Hellinger distance of mixtures (√2 from one corner to another)."""
OF_A_BOX = 0.15
"""Length scale of what a black box that has learned the form leaves of it: hardly longer than runs lie apart, so that
what is off at one mixture tells little of what is off at another."""
PRIOR = (1 - SHARES) ** 3
"""Weight of each share beforehand: laws that were chosen are seldom all wrong (mean 0.2)."""
MOST_RUNS, WAVES = 120, 48
"""Runs that the evidence looks at, and waves that a draw is made of."""


@dataclass(frozen=True, repr=False)
class Form(Brief):
    """Random functions of the mixture, smooth on a length scale, one per resample and target.

    ``δ_bt(p) = √(2/F) Σ_f A_bft cos(ω_f · √p + φ_f)`` is a Gaussian process with a squared exponential kernel (random
    features of Rahimi & Recht 2007); a resample's losses are the law's times ``exp(δ)``. What belongs to the mixture
    cannot be told from the noise of a run unless mixtures are repeated or lie near one another, so its share is
    averaged over what the residuals allow.
    """

    seed: int
    """Of the waves and amplitudes."""
    length: float
    """Length scale in Hellinger distance."""
    factor_TT: np.ndarray
    """Square root of the covariance of the targets' errors of form, in units of ln L; for a law with a black box of
    their correlation, the box then tells how large they are at a mixture."""
    lean_T: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """How far the targets lean to one side together, in units of ln L (:mod:`glotmix.fit.lean`): every resample moves
    all of them by it times one normal number. It does not change with the mixture, so it is the last wave, without a
    turn. Empty where there is none."""

    def draw(self, p_RL: np.ndarray, B: int) -> np.ndarray:
        """δ of R mixtures under B resamples, [B, R, T]."""
        turn_LF, phase_F = self.waves(p_RL.shape[1])
        wave_RF = np.sqrt(2 / len(phase_F)) * np.cos(np.sqrt(np.maximum(p_RL, 0)) @ turn_LF + phase_F)
        return np.asarray(wave_RF @ self.amplitudes(B))

    def waves(self, L: int) -> tuple[np.ndarray, np.ndarray]:
        """Turns ω [L, F] and phases φ [F]."""
        rng = np.random.default_rng((self.seed, L))
        turn_LF, phase_F = rng.standard_normal((L, WAVES)) / self.length, rng.uniform(0, 2 * np.pi, WAVES)
        still = min(len(self.lean_T), 1)
        return np.hstack([turn_LF, np.zeros((L, still))]), np.append(phase_F, np.zeros(still))

    def amplitudes(self, B: int) -> np.ndarray:
        """A of B resamples, [B, F, T]."""
        T = len(self.factor_TT)
        rng = np.random.default_rng((self.seed, 1))
        drawn_BFT = rng.standard_normal((B, WAVES, T)) @ self.factor_TT.T
        if not len(self.lean_T):
            return np.asarray(drawn_BFT)
        # All waves are divided by the root of their number, that of the lean as well.
        lean_B1T = np.sqrt((WAVES + 1) / 2) * rng.standard_normal((B, 1, 1)) * self.lean_T
        return np.hstack([np.sqrt((WAVES + 1) / WAVES) * drawn_BFT, lean_B1T])

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        written = {"seed": self.seed, "length": self.length, "factor": self.factor_TT.tolist()}
        return written | ({"lean": self.lean_T.tolist()} if len(self.lean_T) else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any], targets: int) -> Form:
        """Read what :meth:`to_json` wrote of so many targets."""
        factor_TT = np.array(data["factor"], dtype=float).reshape(targets, targets)
        lean = data.get("lean", [])
        lean_T = np.array(lean, dtype=float).reshape(targets if lean else 0)
        return cls(int(data["seed"]), float(data["length"]), factor_TT, lean_T)


def evidence(error_R: np.ndarray, rows_RP: np.ndarray, prior_PP: np.ndarray, p_RL: np.ndarray, seed: int) -> np.ndarray:
    """Log likelihood [len(LENGTHS), S] of every share of the form in the residuals of one target.

    With ``e = J(θ - θ̂) + √s δ + √(1-s) ε``, δ a process with unit variance over the mixtures and ε white, the
    parameters are integrated out under the prior (restricted likelihood, Patterson & Thompson 1971), the total variance
    is the best one.

    Args:
        error_R: residuals in standard deviations of the noise, each times the root of its robust weight.
        rows_RP: derivatives, likewise.
        prior_PP: curvature of the prior.
        p_RL: mixtures.
        seed: of the runs that are looked at where there are many; the same for all targets.
    """
    if len(error_R) > MOST_RUNS:
        some = np.sort(np.random.default_rng(seed).permutation(len(error_R))[:MOST_RUNS])
        error_R, rows_RP, p_RL = error_R[some], rows_RP[some], p_RL[some]
    normal_PP = rows_RP.T @ rows_RP + prior_PP
    size_P = np.sqrt(np.maximum(np.diag(normal_PP), 1e-30))
    inverse_PP = np.linalg.pinv(normal_PP / np.outer(size_P, size_P), rcond=1e-10, hermitian=True)
    scaled_RP = rows_RP / size_P
    kept_K, axis_RK = np.linalg.eigh(np.eye(len(error_R)) - scaled_RP @ inverse_PP @ scaled_RP.T)
    axis_RK, kept_K = axis_RK[:, kept_K > 0.02], kept_K[kept_K > 0.02]
    y_K = axis_RK.T @ error_R
    root_RL = np.sqrt(np.maximum(p_RL, 0))
    square_RR = np.maximum((root_RL**2).sum(1)[:, None] + (root_RL**2).sum(1) - 2 * root_RL @ root_RL.T, 0)
    told = np.empty((len(LENGTHS), len(SHARES)))
    for i, length in enumerate(LENGTHS):
        form_KK = axis_RK.T @ np.exp(-0.5 * square_RR / length**2) @ axis_RK
        for j, share in enumerate(SHARES):
            covariance_KK = np.diag(1 / kept_K - share) + share * form_KK
            factor_KK = np.linalg.cholesky(covariance_KK + 1e-9 * np.eye(len(y_K)))
            white_K = np.linalg.solve(factor_KK, y_K)
            told[i, j] = -np.log(np.diag(factor_KK)).sum() - 0.5 * len(y_K) * np.log(
                max(float(white_K @ white_K), 1e-30)
            )
    return told


def form_of(
    told_T: Sequence[np.ndarray | None],
    scale_T: np.ndarray,
    error_RT: np.ndarray,
    group_R: np.ndarray,
    seed: int,
    score_T: np.ndarray | None = None,
) -> Form | None:
    """The error of form of a law's targets, from the evidence of each and their residuals (NaN where there is none).

    All targets share one length, and losses one share and scores another, averaged over the evidence: most of what a
    law leaves over of a score is the noise of its questions.

    Args:
        told_T: evidence of each target; None where none was looked for.
        scale_T: noise of a run.
        error_RT: residuals.
        group_R: number of the mixture of each run.
        seed: of the draws.
        score_T: which targets are scores; default none.
    """
    seen = [one for one in told_T if one is not None]
    if not seen:
        return None
    score_T = np.zeros(len(told_T), dtype=bool) if score_T is None else score_T

    def averaged(told: Sequence[np.ndarray]) -> np.ndarray:
        whole = np.sum(np.stack(told), axis=0)
        weight = np.exp(whole - whole.max()) * PRIOR
        return np.asarray(weight / weight.sum())

    share_T = np.zeros(len(told_T))
    for kind_T in (score_T, ~score_T):
        of_kind = [one for one, same in zip(told_T, kind_T, strict=True) if same and one is not None]
        if kind_T.any():
            share_T[kind_T] = float((averaged(of_kind or seen) @ SHARES).sum())
    length = float(averaged(seen).sum(axis=1) @ np.array(LENGTHS))
    root_TT = correlation_root(error_RT, group_R)
    return Form(seed, length, (np.sqrt(share_T) * scale_T)[:, None] * root_TT)


def correlation_root(error_RT: np.ndarray, group_R: np.ndarray) -> np.ndarray:
    """Square root [T, T] of the correlation of the targets' residuals, mixture by mixture, drawn towards none where
    there are few mixtures; NaN where a run was not fitted to."""
    T, groups = error_RT.shape[1], int(group_R.max()) + 1
    known_RT = np.where(np.isfinite(error_RT), error_RT, 0.0)
    standard_RT = known_RT / np.maximum(np.median(np.abs(known_RT), axis=0) / 0.6745, 1e-30)
    mean_GT = np.zeros((groups, T))
    np.add.at(mean_GT, group_R, np.clip(standard_RT, -3, 3))
    norm_T = np.sqrt((mean_GT**2).sum(axis=0))
    together_TT = (mean_GT.T @ mean_GT) / np.maximum(np.outer(norm_T, norm_T), 1e-30)
    shrunk = T / (T + groups)
    together_TT = (1 - shrunk) * together_TT + shrunk * np.eye(T)
    np.fill_diagonal(together_TT, 1.0)
    value_T, axis_TT = np.linalg.eigh(together_TT)
    return np.asarray(axis_TT * np.sqrt(np.maximum(value_T, 0)))
