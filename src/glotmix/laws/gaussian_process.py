"""Gaussian process on the shares: a smooth part and one of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.optimize import minimize

from glotmix.errors import BadInput
from glotmix.laws.law import Inputs
from glotmix.laws.residual import Learned, Residual, Slack

POWER, UNIT = 0.3, 3.0
"""Shares enter as 3 p^0.3: from none to a thousandth is about as far as from 3 to 10 %, and none is within reach."""
TINY = 1e-5
"""Where the slope of the power is infinite, that at a share of this size is given."""
LENGTH_PRIOR = (2.0, 1.0)
"""Median of a length scale, in units of what enters, and standard deviation of its log."""
NOISE_PRIOR = (0.5, 1.0)
"""Median of the noise in units of the residuals' root mean square, and standard deviation of its log: a process that
goes through every run, as it may through a few dozen, takes their noise for knowledge."""
PAIRS_PRIOR = (0.3, 1.0)
"""The same of what quadratic forms of the shares do at equal shares: pairs that help or hurt only together are the most
ordinary thing that laws of effective shares leave over, and a smooth kernel needs many runs to see products."""
KNEE, STEADY = 2.0, 3
"""Left-out residuals beyond so many robust standard deviations count less (as in a law's fit), and rounds of that."""

HALVINGS = 6
"""How often a step of the law's parameters is halved that makes runs less likely: laws are curved."""


@dataclass(frozen=True)
class GaussianProcess(Residual):
    """Zero mean, a Matérn-5/2 kernel with one length scale per share plus ``(L p·q)²``, white noise.

    The second kernel holds every quadratic form of the shares, the canonical polynomial of mixture experiments (Scheffé
    1958, eq. 2.5). Hyperparameters by penalised evidence. Runs that went wrong do not rule: what each leaves over when
    it is left out says how much it counts. Source: Rasmussen & Williams, Gaussian Processes for Machine Learning
    (2006), eqs. 2.25–2.26, 4.17, 4.19, 5.8–5.9, 5.12.
    """

    name: ClassVar[str] = "gaussian_process"
    iterations: int = 60
    """Most steps of the search for hyperparameters."""
    few: int = 200
    """Up to so many runs hyperparameters are sought again where some were known of nearly the same runs: they would
    hold more of a run held out than its noise lets anyone know."""
    most: int = 1000
    """Runs that the search looks at, drawn at random where there are more (its time grows with their cube); the process
    is then conditioned on all runs. On RegMix's 512 runs a search on 256 of them cost a twentieth in held-out error."""

    def learn(
        self,
        inputs: Inputs,
        residual_R: np.ndarray,
        weight_R: np.ndarray,
        seed: int,
        known: Learned | None = None,
        slack: Slack | None = None,
    ) -> Learned:
        x_RK = _features(inputs)
        unit = float(np.sqrt(np.mean(residual_R**2))) or 1.0
        y_R = residual_R / unit
        K, L = x_RK.shape[1], inputs.p_RL.shape[1]
        if isinstance(known, TrainedProcess) and len(y_R) > self.few:
            # The same lengths and noise, in the units of these residuals: of so many runs a fold would tell the same.
            shift = np.log(known.unit / unit) * np.concatenate([[1.0], np.zeros(K), [1.0, 1.0]])
            return _steady(_unconditioned(x_RK, L, y_R, known.hyper + shift, unit), weight_R, slack)
        seen = np.random.default_rng(seed).permutation(len(y_R))[: self.most]
        start = np.concatenate(
            [[np.log(0.7)], np.full(K, np.log(LENGTH_PRIOR[0])), np.log([PAIRS_PRIOR[0], NOISE_PRIOR[0]])]
        )
        bounds = [(-5.0, 3.0)] + [(-2.0, 6.0)] * K + [(-7.0, 3.0), (-7.0, 2.0)]
        first, second = np.triu_indices(len(seen), 1)
        square_KM = (x_RK[seen[first]] - x_RK[seen[second]]).T ** 2
        p_RL = _shares(x_RK[seen, :L])
        given_RR = _given(slack, unit, seen)
        spread_R = 1 / (weight_R * _counts(y_R))[seen]
        found = minimize(
            _evidence,
            start,
            (np.ascontiguousarray(square_KM), _pairs(p_RL, p_RL), given_RR, y_R[seen], spread_R),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": self.iterations},
        )
        return _steady(_unconditioned(x_RK, L, y_R, found.x, unit), weight_R, slack)

    def from_json(self, data: Mapping[str, Any]) -> Learned:
        if data["power"] != POWER or "shares" not in data:
            raise BadInput(
                "its Gaussian process is one of an earlier version",
                expected="a fit of today: `glotmix fit` the runs again",
            )
        shares = int(data["shares"])
        arrays = {key: np.array(data[key], dtype=float) for key in ("x", "y", "spread", "hyper")}
        blank = _unconditioned(arrays["x"], shares, arrays["y"], arrays["hyper"], float(data["unit"]))
        return _conditioned(blank, arrays["spread"], blank.among_runs())


@dataclass(frozen=True)
class TrainedProcess(Learned):
    """A process conditioned on the residuals of one target."""

    x_RK: np.ndarray
    """Features of the runs it has seen: powers of the L shares first."""
    shares: int
    """L."""
    y_R: np.ndarray
    """Their residuals, in units of ``unit``."""
    spread_R: np.ndarray
    """Relative noise variance of each run (one over its weight)."""
    hyper: np.ndarray
    """ln of amplitude, of every length, of what pairs do, of the noise; in units of ``unit``."""
    unit: float
    """Root mean square of the residuals."""
    factor: tuple[np.ndarray, bool]
    """Cholesky factor of the kernel matrix with noise."""
    alpha_R: np.ndarray
    """Kernel matrix⁻¹ y."""
    step_P: np.ndarray | None = None
    """Steps of the law's parameters that go with it."""

    def predict(self, inputs: Inputs) -> np.ndarray:
        return np.asarray(self.unit * self.kernel(inputs) @ self.alpha_R)

    def gradient(self, inputs: Inputs) -> np.ndarray:
        x_QK, L = _features(inputs), self.shares
        slope_QR = _matern(self._square(x_QK), np.exp(2 * self.hyper[0]))[1]
        difference_QRK = (x_QK[:, None, :] - self.x_RK[None]) / self.lengths**2
        by_x_QK = -np.einsum("qr,qrk,r->qk", slope_QR, difference_QRK, self.alpha_R)
        by_p_QL = by_x_QK[:, :L] * _steps(inputs.p_RL)
        by_p_QL += 2 * L**2 * self.pairs * ((inputs.p_RL @ self.p_RL.T) * self.alpha_R) @ self.p_RL
        return np.asarray(self.unit * by_p_QL)

    def deviation(self, inputs: Inputs) -> np.ndarray:
        kernel_QR = self.kernel(inputs)
        explained_Q = (kernel_QR * cho_solve(self.factor, kernel_QR.T).T).sum(axis=1)
        return np.asarray(self.unit * np.sqrt(np.maximum(self.variance(inputs) - explained_Q, 0)))

    def variance(self, inputs: Inputs) -> np.ndarray:
        """Of mixtures of which no run tells anything, in units of ``unit``², [Q]."""
        return np.asarray(np.exp(2 * self.hyper[0]) + self.pairs * self._equal(_features(inputs)))

    @property
    def noise(self) -> float:
        return self.unit * float(np.exp(self.hyper[-1]))

    @cached_property
    def p_RL(self) -> np.ndarray:  # noqa: N802
        """Shares of the runs it has seen."""
        return _shares(self.x_RK[:, : self.shares])

    @property
    def lengths(self) -> np.ndarray:
        """Length of every feature."""
        return np.asarray(np.exp(self.hyper[1:-2]))

    @property
    def pairs(self) -> float:
        """Variance of what quadratic forms do at equal shares, in units of ``unit``²."""
        return float(np.exp(2 * self.hyper[-2]))

    @property
    def used(self) -> float:
        kernel_RR = self.among_runs()
        return float((kernel_RR * cho_solve(self.factor, np.eye(len(self.x_RK)))).sum())

    def to_json(self) -> dict[str, Any]:
        return {
            "power": POWER,
            "shares": self.shares,
            "x": self.x_RK.tolist(),
            "y": self.y_R.tolist(),
            "spread": self.spread_R.tolist(),
            "hyper": self.hyper.tolist(),
            "unit": self.unit,
        }

    def kernel(self, inputs: Inputs) -> np.ndarray:
        """Covariance of mixtures with the runs it has seen, in units of ``unit``², [Q, R]."""
        return self._kernel(_features(inputs))

    def among_runs(self) -> np.ndarray:
        """Covariance of the runs it has seen, without noise, [R, R]."""
        return self._kernel(self.x_RK)

    def _kernel(self, x_QK: np.ndarray) -> np.ndarray:
        smooth_QR = _matern(self._square(x_QK), np.exp(2 * self.hyper[0]))[0]
        return np.asarray(smooth_QR + self.pairs * _pairs(_shares(x_QK[:, : self.shares]), self.p_RL))

    def _square(self, x_QK: np.ndarray) -> np.ndarray:
        """Squared distances from the runs, in lengths."""
        a_QK, b_RK = x_QK / self.lengths, self.x_RK / self.lengths
        square_QR = (a_QK**2).sum(1)[:, None] + (b_RK**2).sum(1)[None] - 2 * a_QK @ b_RK.T
        return np.asarray(np.maximum(square_QR, 0))

    def _equal(self, x_QK: np.ndarray) -> np.ndarray:
        """The kernel of quadratic forms of mixtures with themselves."""
        return np.asarray((self.shares * (_shares(x_QK[:, : self.shares]) ** 2).sum(axis=1)) ** 2)


@dataclass(frozen=True)
class Processes:
    """The processes of several targets, asked for one mixture at a time: one product of matrices serves them all.

    Distances are written out from the differences of features, so that runs that some target lacks count nothing for
    it; all that runs tell of pairs is one quadratic form a target.
    """

    x_RK: np.ndarray
    """Features of all runs that any of them has seen."""
    precision_TK: np.ndarray
    """One over the square of every length."""
    amplitude_T: np.ndarray
    """Variance of each process's smooth part, in units of its ``unit``²."""
    alpha_TR: np.ndarray
    """Kernel matrix⁻¹ y, times ``unit``."""
    form_TLL: np.ndarray
    """Quadratic form of the shares, ``L² pairs Σ_r alpha_r q_r q_rᵀ``."""

    @classmethod
    def of(cls, learned: Sequence[TrainedProcess]) -> Processes:
        """Put them together."""
        x_RK, T, L = learned[0].x_RK, len(learned), learned[0].shares
        precision_TK = np.array([one.lengths**-2 for one in learned])
        amplitude_T = np.array([np.exp(2 * one.hyper[0]) for one in learned])
        if all(np.array_equal(one.x_RK, x_RK) for one in learned):
            alpha_TR = np.array([one.unit * one.alpha_R for one in learned])
        else:
            x_RK, place_N = np.unique(np.vstack([one.x_RK for one in learned]), axis=0, return_inverse=True)
            alpha_TR, target_N = np.zeros((T, len(x_RK))), np.repeat(np.arange(T), [len(one.x_RK) for one in learned])
            alpha_N = np.concatenate([one.unit * one.alpha_R for one in learned])
            np.add.at(alpha_TR, (target_N, place_N.reshape(-1)), alpha_N)
        q_RL, scale_T = _shares(x_RK[:, :L]), L**2 * np.array([one.pairs for one in learned])
        form_TLL = np.stack(
            [scale * (q_RL.T * alpha_R) @ q_RL for scale, alpha_R in zip(scale_T, alpha_TR, strict=True)]
        )
        return cls(x_RK, precision_TK, amplitude_T, alpha_TR, form_TLL)

    def predict(self, inputs: Inputs) -> np.ndarray:
        """What each expects of one mixture, [T]."""
        p_L, smooth_TR = inputs.p_RL[0], self._smooth(self._difference(inputs))[0]
        return np.asarray((smooth_TR * self.alpha_TR).sum(axis=1) + self.form_TLL @ p_L @ p_L)

    def with_gradient(self, inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
        """The same, and its derivatives by the shares, [T, L]."""
        difference_RK, p_L = self._difference(inputs), inputs.p_RL[0]
        smooth_TR, slope_TR = self._smooth(difference_RK)
        by_x_TK = -(slope_TR * self.alpha_TR) @ difference_RK * self.precision_TK
        by_p_TL = self.form_TLL @ p_L
        expected_T = (smooth_TR * self.alpha_TR).sum(axis=1) + by_p_TL @ p_L
        return expected_T, by_x_TK[:, : len(p_L)] * _steps(inputs.p_RL) + 2 * by_p_TL

    def _difference(self, inputs: Inputs) -> np.ndarray:
        return np.asarray(_features(inputs)[0] - self.x_RK)

    def _smooth(self, difference_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _matern(self.precision_TK @ (difference_RK**2).T, self.amplitude_T[:, None])


def _steps(p_RL: np.ndarray) -> np.ndarray:
    """Derivative of the power of every share, [R, L]."""
    return np.asarray(UNIT * POWER * np.maximum(p_RL, TINY) ** (POWER - 1))


def _features(inputs: Inputs) -> np.ndarray:
    """A power of every share, and ln N, ln D where they are known."""
    columns = [UNIT * np.maximum(inputs.p_RL, 0.0) ** POWER]
    columns += [np.log(x_R)[:, None] for x_R in (inputs.N_R, inputs.D_R) if np.isfinite(x_R).all()]
    return np.hstack(columns)


def _shares(x_QL: np.ndarray) -> np.ndarray:
    """The shares that features were made of: taken back from them, so that a file needs to hold one of the two."""
    return np.asarray((x_QL / UNIT) ** (1 / POWER))


def _pairs(p_QL: np.ndarray, p_RL: np.ndarray) -> np.ndarray:
    """The kernel of quadratic forms, ``(L p·q)²``: 1 at equal shares."""
    return np.asarray((p_QL.shape[1] * p_QL @ p_RL.T) ** 2)


def _matern(square_QR: np.ndarray, amplitude: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matérn 5/2 of squared scaled distances, and minus twice its derivative by them."""
    r_QR = np.sqrt(5 * square_QR)
    decay_QR = amplitude * np.exp(-r_QR)
    return decay_QR * (1 + r_QR + r_QR**2 / 3), decay_QR * (5 / 3) * (1 + r_QR)


def _evidence(
    hyper: np.ndarray,
    square_KM: np.ndarray,
    pair_RR: np.ndarray,
    given_RR: np.ndarray | float,
    y_R: np.ndarray,
    spread_R: np.ndarray,
) -> tuple[float, np.ndarray]:
    """Minus the log evidence and the log prior, with the gradient; M pairs of runs, each once.

    ``pair_RR`` is the kernel of quadratic forms at variance 1, ``given_RR`` what has no hyperparameters.
    """
    precision_K = np.exp(-2 * hyper[1:-2])
    amplitude, forms, noise = np.exp(2 * hyper[[0, -2, -1]])
    kernel_M, slope_M = _matern(precision_K @ square_KM, amplitude)
    R = len(y_R)
    pairs = np.triu_indices(R, 1)
    covariance_RR = np.diag(amplitude + forms * np.diag(pair_RR) + noise * spread_R + 1e-9)
    covariance_RR[pairs] = kernel_M + forms * pair_RR[pairs]
    covariance_RR += given_RR
    factor_RR, wrong = dpotrf(covariance_RR, lower=0)
    if wrong:
        return 1e10, np.zeros(len(hyper))
    alpha_R = cho_solve((factor_RR, False), y_R)
    inverse_RR, _ = dpotri(factor_RR, lower=0)  # its upper half
    median, spread = LENGTH_PRIOR
    away_K = (hyper[1:-2] - np.log(median)) / spread
    (pairs_median, pairs_spread), (noise_median, noise_spread) = PAIRS_PRIOR, NOISE_PRIOR
    off = (hyper[-2:] - np.log([pairs_median, noise_median])) / (pairs_spread, noise_spread)
    value = 0.5 * y_R @ alpha_R + np.log(np.diag(factor_RR)).sum() + 0.5 * (away_K**2).sum() + 0.5 * (off**2).sum()
    inner_M = alpha_R[pairs[0]] * alpha_R[pairs[1]] - inverse_RR[pairs]
    inner_R = alpha_R**2 - np.diag(inverse_RR)
    by_amplitude = -(2 * inner_M @ kernel_M + amplitude * inner_R.sum())
    by_length_K = -(square_KM @ (inner_M * slope_M)) * precision_K + away_K / spread
    by_pairs = -forms * (2 * inner_M @ pair_RR[pairs] + inner_R @ np.diag(pair_RR)) + off[0] / pairs_spread
    by_noise = -(inner_R * noise * spread_R).sum() + off[1] / noise_spread
    return float(value), np.concatenate([[by_amplitude], by_length_K, [by_pairs, by_noise]])


def _unconditioned(x_RK: np.ndarray, shares: int, y_R: np.ndarray, hyper: np.ndarray, unit: float) -> TrainedProcess:
    """The process of these runs before it has seen what they left over."""
    return TrainedProcess(x_RK, shares, y_R, np.ones(len(y_R)), hyper, unit, (np.eye(0), True), y_R)


def _conditioned(process: TrainedProcess, spread_R: np.ndarray, kernel_RR: np.ndarray) -> TrainedProcess:
    """The process conditioned on its runs, of such noise; ``kernel_RR`` is their covariance without it."""
    noisy_RR = kernel_RR.copy()
    noisy_RR.flat[:: len(spread_R) + 1] += np.exp(2 * process.hyper[-1]) * spread_R + 1e-9
    factor = cho_factor(noisy_RR, lower=True, overwrite_a=True)
    alpha_R = cho_solve(factor, process.y_R)
    return replace(process, spread_R=spread_R, factor=factor, alpha_R=alpha_R)


def _given(slack: Slack | None, unit: float, some: np.ndarray | slice = slice(None)) -> np.ndarray | float:
    """Covariance of what the law's parameters do to the residuals, [R, R], in units of ``unit``²."""
    if slack is None:
        return 0.0
    rows_RP = slack.rows_RP[some] / unit
    return np.asarray(rows_RP @ rows_RP.T)


def _steady(process: TrainedProcess, weight_R: np.ndarray, slack: Slack | None = None) -> TrainedProcess:
    """The process conditioned on runs that count by how well the others tell them; where the law may give way, on what
    is left once it has."""
    kernel_RR = process.among_runs()
    with_law_RR = kernel_RR + _given(slack, process.unit)
    found = _conditioned(process, 1 / weight_R, with_law_RR)
    for _ in range(STEADY):
        precision_R = dpotri(found.factor[0], lower=1)[0].diagonal()
        spread_R = 1 / (weight_R * _counts(found.alpha_R / np.sqrt(precision_R)))
        found = _conditioned(process, spread_R, with_law_RR)
    if slack is None:
        return found
    step_P = slack.rows_RP.T @ found.alpha_R / process.unit
    alone = _conditioned(process, found.spread_R, kernel_RR)
    before = 0.5 * float(alone.y_R @ alone.alpha_R)
    for _ in range(HALVINGS):
        y_R = slack.residual_of(step_P) / process.unit
        alpha_R = cho_solve(alone.factor, y_R)
        if 0.5 * float(y_R @ alpha_R + step_P @ step_P) <= before:
            return replace(alone, y_R=y_R, alpha_R=alpha_R, step_P=step_P)
        step_P = step_P / 2
    return replace(alone, step_P=np.zeros(len(step_P)))


def _counts(residual_R: np.ndarray) -> np.ndarray:
    """How much runs count by the size of their residuals: 1, less beyond ``KNEE`` robust standard deviations."""
    middle = max(float(np.median(np.abs(residual_R))) / 0.6745, 1e-30)
    return np.asarray(1 / np.sqrt(1 + (residual_R / (KNEE * middle)) ** 2))
