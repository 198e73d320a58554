"""How noisy the payoffs of a game are, and intervals of its values that hold all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
"""Probability with which all intervals of a matrix hold together."""
DRAWS = 10_000
"""Draws of the largest studentised error; its quantile is off by less than one percent."""
MOST_REPEATS = 200
"""Repeats up to which the estimates of the noise are drawn again together; more of them know it well enough."""
KINDS = ("absent", "present")
"""Whether a run was trained on the target: a loss of a language that no one was trained on is the noisier one."""


@dataclass(frozen=True)
class Noise:
    """Relative noise of a run, of every target by itself, where it was trained on and where not."""

    deviation_TK: np.ndarray
    """Standard deviation of the log of the loss between seeds, [T, absent | present]; NaN where nothing tells it."""
    freedom_TK: np.ndarray
    """Degrees of freedom of each; 0 where nothing was repeated."""
    correlation_TT: np.ndarray
    """Correlation of the noise of two targets in one run: one seed moves many targets together."""
    repeat_QTK: np.ndarray
    """Repeats, each an independent contrast of the runs of one coalition, and the noise of which targets and of which
    kind they tell, booleans."""

    @property
    def notes(self) -> dict[str, list[int]]:
        """Least and greatest degrees of freedom, for readers."""
        return {
            f"repeats with the target {kind}": sorted({int(column.min()), int(column.max())})
            for kind, column in zip(KINDS, self.freedom_TK.T, strict=True)
        }

    def estimated_again(
        self, t_T: np.ndarray, rng: np.random.Generator, with_correlation: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """What other seeds would have told of this noise: the variances of some targets in units of what they are,
        [B, T, 2], and (where asked, else as they are) their correlations, [B, T, T].

        One seed moves many targets, so their variances come out too large or too small together, and what is estimated
        of a sum over targets is less certain than as many independent estimates would be.
        """
        freedom_TK, T = np.maximum(self.freedom_TK[t_T], 1), len(t_T)
        chi_BTK = rng.chisquare(freedom_TK, (DRAWS, T, 2)) / freedom_TK
        correlation_TT = self.correlation_TT[np.ix_(t_T, t_T)]
        known_BTT = np.broadcast_to(correlation_TT, (DRAWS, T, T))
        repeat_QTK = self.repeat_QTK[:, t_T]
        Q = len(repeat_QTK)
        if not 0 < Q <= MOST_REPEATS:
            return chi_BTK, known_BTT
        # Repeats that tell the same are alike: sorted by that, the order of runs and languages changes no draw.
        repeat_QTK = repeat_QTK[np.lexsort(repeat_QTK.reshape(Q, -1).T)]
        root_TT = np.linalg.cholesky(correlation_TT + 1e-9 * np.eye(T))
        told_TK = repeat_QTK.sum(axis=0)
        variance, correlation, kind_QT = [], [], repeat_QTK[:, :, 1].astype(int)
        for chi_NTK in np.array_split(chi_BTK, max(1, DRAWS * Q * T // 2_000_000)):
            z_NQT = rng.standard_normal((len(chi_NTK), Q, T)) @ root_TT.T * repeat_QTK.any(axis=2)
            sum_TNK = (z_NQT**2).transpose(2, 0, 1) @ repeat_QTK.transpose(1, 0, 2).astype(float)
            square_NTK = sum_TNK.transpose(1, 0, 2) / np.maximum(told_TK, 1)
            variance.append(np.where(told_TK > 0, square_NTK, chi_NTK))
            if with_correlation:
                z_NQT /= np.sqrt(np.maximum(square_NTK, 1e-300))[:, np.arange(T), kind_QT]
                correlation.append(_shrunk(z_NQT.transpose(0, 2, 1) @ z_NQT, float(told_TK.sum(axis=1).max())))
        return np.concatenate(variance), np.concatenate(correlation) if with_correlation else known_BTT


def noise_of(loss_RT: np.ndarray, number_R: np.ndarray, present_RT: np.ndarray) -> Noise:
    """Noise from repeats of coalitions, pooled over the coalitions that hold a target, and over those that do not.

    A target without repeats of one kind takes the pooled variance that the other targets have of it, with the least of
    their degrees of freedom. Correlations are shrunk to zero by as much as so few repeats cannot tell them (Schäfer &
    Strimmer, A shrinkage approach to large-scale covariance matrix estimation, 2005).

    Args:
        loss_RT: losses; NaN where a run lacks a target.
        number_R: coalition of every run.
        present_RT: whether it was trained on the target.
    """
    log_RT, T = np.log(loss_RT), loss_RT.shape[1]
    away_RT, squares_TK, freedom_TK = np.zeros_like(log_RT), np.zeros((T, 2)), np.zeros((T, 2))
    repeats: list[np.ndarray] = []
    for number in np.unique(number_R):
        rows = np.flatnonzero(number_R == number)
        count_T = np.isfinite(log_RT[rows]).sum(axis=0)
        mean_T = np.where(np.isfinite(log_RT[rows]), log_RT[rows], 0).sum(axis=0) / np.maximum(count_T, 1)
        away_RT[rows] = np.nan_to_num(log_RT[rows] - mean_T)
        kind_T = present_RT[rows[0]].astype(int)
        squares_TK[np.arange(T), kind_T] += (away_RT[rows] ** 2).sum(axis=0)
        freedom_TK[np.arange(T), kind_T] += np.maximum(count_T - 1, 0)
        for q in range(int(count_T.max()) - 1):
            repeats.append((q < count_T - 1)[:, None] & (np.arange(2) == kind_T[:, None]))
    variance_TK = np.divide(squares_TK, freedom_TK, out=np.full((T, 2), np.nan), where=freedom_TK > 0)
    correlation_TT = _correlation(away_RT, np.sqrt(variance_TK), present_RT, float(freedom_TK.sum(axis=1).max()))
    for k in range(len(KINDS)):
        known_T = freedom_TK[:, k] > 0
        lacking_T = ~known_T & (freedom_TK[:, 1 - k] > 0)
        if known_T.any() and lacking_T.any():
            variance_TK[lacking_T, k] = squares_TK[known_T, k].sum() / freedom_TK[known_T, k].sum()
            freedom_TK[lacking_T, k] = freedom_TK[known_T, k].min()
    repeat_QTK = np.array(repeats, dtype=bool).reshape(-1, T, 2)
    return Noise(np.sqrt(variance_TK), freedom_TK, correlation_TT, repeat_QTK)


def _correlation(away_RT: np.ndarray, deviation_TK: np.ndarray, present_RT: np.ndarray, freedom: float) -> np.ndarray:
    """Of the standardised residuals, shrunk."""
    scale_RT = deviation_TK[np.arange(away_RT.shape[1]), present_RT.astype(int)]
    x_RT = np.divide(away_RT, scale_RT, out=np.zeros_like(away_RT), where=np.nan_to_num(scale_RT) > 0)
    return _shrunk(x_RT.T @ x_RT, freedom)


def _shrunk(product_TT: np.ndarray, freedom: float) -> np.ndarray:
    """Correlations [..., T, T] from products of residuals, drawn to zero by as much as ``freedom`` cannot tell them."""
    other_TT = ~np.eye(product_TT.shape[-1], dtype=bool)
    size_T = np.sqrt(np.diagonal(product_TT, axis1=-2, axis2=-1))
    both_TT = size_T[..., :, None] * size_T[..., None, :]
    found_TT = np.divide(product_TT, both_TT, out=np.zeros(product_TT.shape), where=both_TT > 0)
    squares = (found_TT[..., other_TT] ** 2).sum(axis=-1)
    vague = ((1 - found_TT[..., other_TT] ** 2) ** 2).sum(axis=-1) / max(freedom - 1, 1)
    kept = 1 - np.minimum(1.0, np.divide(vague, squares, out=np.ones_like(vague), where=squares > 0))
    return np.where(other_TT, kept[..., None, None] * found_TT, 1.0)


@dataclass(frozen=True)
class PayoffErrors:
    """Errors of the payoffs ``u_t(S) = L_t(∅) - L_t(S)`` of a complete game."""

    deviation_CT: np.ndarray
    """Standard deviation of every coalition's mean loss, [C, T]; row 0 (nobody) is 0, NaN where nothing tells it."""
    kind_CT: np.ndarray
    """0 where the coalition lacks the target, 1 where it holds it."""
    noise: Noise
    """Of one run."""
    empty_TC: np.ndarray | None = None
    """Weights with which ``L_t(∅)`` is a mean of coalitions' losses; None where it was given."""

    def half_widths(
        self, W_KC: np.ndarray, targets: Sequence[str], labels: Sequence[str], level: float = LEVEL
    ) -> np.ndarray:
        """Half-widths [T, K] of intervals of the values ``Σ_C W_kC u_t(C)`` that all hold with probability ``level``.

        The quantile of the largest studentised error over the whole matrix is drawn: normal errors with the correlation
        that the weights and the noise common to targets give them, each over its own estimate of the noise (chi-square
        with the degrees of freedom that tell it). NaN for targets whose noise is not known.

        Args:
            W_KC: weights of the payoffs by coalition number.
            targets: names [T]; with ``labels`` they set the order of drawing, so that no order of columns matters.
            labels: names of the values [K].
            level: probability.
        """
        half_TK = np.full((len(targets), len(labels)), np.nan)
        t_T, k_K = self._known(targets), np.argsort(np.array(labels, dtype=object))
        if not len(t_T):
            return half_TK
        A_TKC = self._errors(W_KC[k_K], t_T)
        part_TKP = self._parts(A_TKC, t_T)
        A_VC = A_TKC.reshape(-1, A_TKC.shape[2])
        shared_VV = np.repeat(np.repeat(self.noise.correlation_TT[np.ix_(t_T, t_T)], len(k_K), 0), len(k_K), 1)
        rng = np.random.default_rng(0)
        variance_BTP, _ = self.noise.estimated_again(t_T, rng)
        estimated_BV = _of_parts(part_TKP, variance_BTP)
        reach = largest_error((A_VC @ A_VC.T) * shared_VV, estimated_BV, level, rng)
        half_TK[np.ix_(t_T, k_K)] = reach * np.sqrt(part_TKP.sum(axis=2))
        return half_TK

    def half_widths_of_mean(
        self,
        W_KC: np.ndarray,
        targets: Sequence[str],
        labels: Sequence[str],
        among: Sequence[str],
        level: float = LEVEL,
    ) -> np.ndarray:
        """The same of the means of the values over the targets ``among``, [K]; NaN unless all their noise is known."""
        half_K, k_K = np.full(len(labels), np.nan), np.argsort(np.array(labels, dtype=object))
        t_T = np.array([t for t in self._known(targets) if targets[t] in among], dtype=int)
        if not len(t_T) or len(t_T) < len(among):
            return half_K
        A_TKC = self._errors(W_KC[k_K], t_T) / len(t_T)
        # Coalitions are runs of their own; the targets of one run share some of their noise.
        together_TKC = np.einsum("st,tkc->skc", self.noise.correlation_TT[np.ix_(t_T, t_T)], A_TKC)
        covariance_KK = np.einsum("skc,slc->kl", A_TKC, together_TKC)
        rng = np.random.default_rng(0)
        variance_BTP, correlation_BTT = self.noise.estimated_again(t_T, rng, with_correlation=True)
        # What each target's runs of either kind add, and how the variance of the mean would be estimated from them.
        kind_TC = self.kind_CT[:, t_T].T
        A_KVC = np.concatenate([A_TKC * np.equal(kind_TC, kind)[:, None] for kind in (0, 1)]).transpose(1, 0, 2)
        together_KVV = A_KVC @ A_KVC.transpose(0, 2, 1)
        size_BV = np.sqrt(variance_BTP.transpose(0, 2, 1).reshape(len(variance_BTP), -1))
        estimated = []
        for some in np.array_split(np.arange(len(size_BV)), max(1, size_BV.size * size_BV.shape[1] // 4_000_000)):
            pairs_NVV = size_BV[some, :, None] * size_BV[some, None, :] * np.tile(correlation_BTT[some], (1, 2, 2))
            estimated.append(pairs_NVV.reshape(len(some), -1) @ together_KVV.reshape(len(k_K), -1).T)
        estimated_BK = np.concatenate(estimated) / np.maximum(np.diag(covariance_KK), np.finfo(float).tiny)
        reach = largest_error(covariance_KK, estimated_BK, level, rng)
        half_K[k_K] = reach * np.sqrt(np.maximum(np.diag(covariance_KK), 0.0))
        return half_K

    def _known(self, targets: Sequence[str]) -> np.ndarray:
        """Targets whose noise is known, in the order of their names."""
        known_T = np.isfinite(self.deviation_CT).all(axis=0)
        return np.array([t for t in np.argsort(np.array(targets, dtype=object)) if known_T[t]], dtype=int)

    def _errors(self, W_KC: np.ndarray, t_T: np.ndarray) -> np.ndarray:
        """What one standard deviation of each coalition's mean loss does to the values of some targets, [T, K, C]."""
        M_TKC = np.repeat(-W_KC[None], len(t_T), axis=0)
        M_TKC[:, :, 0] = 0
        if self.empty_TC is not None:
            M_TKC += (-M_TKC.sum(axis=2))[:, :, None] * self.empty_TC[t_T][:, None]
        return np.asarray(M_TKC * self.deviation_CT[:, t_T].T[:, None])

    def _parts(self, A_TKC: np.ndarray, t_T: np.ndarray) -> np.ndarray:
        """Of each value's variance what comes from runs without the target, and with it, [T, K, 2]."""
        kind_TC = self.kind_CT[:, t_T].T
        return np.stack([(A_TKC**2 * np.equal(kind_TC, kind)[:, None]).sum(axis=2) for kind in (0, 1)], axis=2)


def largest_error(covariance_VV: np.ndarray, estimated_BV: np.ndarray, level: float, rng: np.random.Generator) -> float:
    """Quantile of ``max |error| / estimated standard deviation`` over all values.

    Args:
        covariance_VV: covariance of all values.
        estimated_BV: how their variances would have been estimated, in units of what they are, in ``DRAWS`` draws.
        level: probability.
        rng: draws the errors.
    """
    deviation_V = np.sqrt(np.maximum(np.diag(covariance_VV), 0.0))
    some_V = deviation_V > 0
    if not some_V.any():
        return 0.0
    scaled_VV = covariance_VV[np.ix_(some_V, some_V)] / np.outer(deviation_V[some_V], deviation_V[some_V])
    root_VV = np.linalg.cholesky(scaled_VV + 1e-9 * np.eye(len(scaled_VV)))
    error_BV = np.abs(rng.standard_normal((DRAWS, len(root_VV))) @ root_VV.T)
    estimated_BV = np.maximum(estimated_BV[:, some_V], 1e-12)
    return float(np.quantile((error_BV / np.sqrt(estimated_BV)).max(axis=1), level))


def largest_of_blocks(covariance_VV: np.ndarray, freedom_T: np.ndarray, level: float) -> float:
    """The same where the variances of each target's values, V = T·K, are known up to one factor that is estimated with
    some degrees of freedom."""
    rng = np.random.default_rng(0)
    estimated_BT = rng.chisquare(freedom_T, (DRAWS, len(freedom_T))) / freedom_T
    each = len(covariance_VV) // len(freedom_T)
    return largest_error(covariance_VV, np.repeat(estimated_BT, each, axis=1), level, rng)


def _of_parts(part_TKP: np.ndarray, variance_BTP: np.ndarray) -> np.ndarray:
    """Variances of values [B, T·K], in units of what they are, from those of the noise that they come from."""
    share_TKP = part_TKP / np.maximum(part_TKP.sum(axis=2, keepdims=True), np.finfo(float).tiny)
    return np.asarray(np.einsum("tkp,btp->btk", share_TKP, variance_BTP).reshape(len(variance_BTP), -1))
