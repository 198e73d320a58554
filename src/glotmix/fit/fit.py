"""Fit: a law fitted to every target, ready for the optimiser and the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from scipy.stats import t as student

from glotmix.errors import BadInput
from glotmix.fit.bootstrap import resample
from glotmix.fit.identify import unclear
from glotmix.fit.parallel import each
from glotmix.fit.solve import equations, solve
from glotmix.fit.weights import weights_from_repeats
from glotmix.laws import find_law
from glotmix.laws.law import Inputs, Law, Problem
from glotmix.laws.residual import Corrected, Learned
from glotmix.measurements import Measurements
from glotmix.mixture.mixture import Mixture, share_columns
from glotmix.notebook import Shown
from glotmix.progress import Advance
from glotmix.transfer.matrix import TransferMatrix

Weighting = np.ndarray | Literal["repeats"] | None
"""Relative precision of each run: an array [R] or [R, T]; "repeats": what repeated mixtures tell of the noise; None:
all alike."""
OUTSIDE = "not applicable: the law needs the target's own share, and the target is not in the mixture"


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
    """The objective that the fit minimised (half the robust sum of squares of log residuals, scaled)."""
    runs: int
    """Runs that were fitted to."""
    scale: float
    """Standard deviation of the log residuals, corrected for the number of parameters: the relative error of a run."""
    agreeing: float
    """Share of the starts that ended at the same optimum; low values warn of a rugged objective."""
    bootstrap_BP: np.ndarray
    """Parameters refitted to resampled residuals; [0, P] without a bootstrap."""
    freedom: float = np.inf
    """Degrees of freedom of ``scale``: runs minus parameters in use (priors make these fewer than the parameters)."""
    unclear: tuple[str, ...] = ()
    """What the runs do not tell of the parameters, in words."""
    learned: Learned | None = None
    """What a black box learned of the residuals, for laws of the form LAW+BOX."""

    @property
    def usable(self) -> bool:
        """Whether there are parameters to predict with."""
        return len(self.theta_P) > 0 and bool(np.isfinite(self.theta_P).all())

    def to_polars(self) -> pl.DataFrame:
        """One row per parameter: ``parameter``, ``value``, ``low`` and ``high`` (2.5 and 97.5 % of the resamples, null
        without them)."""
        low_P = high_P = np.full(len(self.theta_P), np.nan)
        if len(self.bootstrap_BP):
            low_P, high_P = np.percentile(self.bootstrap_BP, [2.5, 97.5], axis=0)
        columns = {"parameter": self.names, "value": self.theta_P, "low": low_P, "high": high_P}
        return pl.DataFrame(columns, schema_overrides={"parameter": pl.String}).fill_nan(None)


@dataclass(frozen=True, repr=False)
class Prediction(Shown):
    """Losses of R mixtures on T targets."""

    targets: tuple[str, ...]
    """Column names."""
    value_RT: np.ndarray
    """Predicted losses; NaN where the law says nothing of a target."""
    low_RT: np.ndarray
    """Lower ends of 95 % intervals for the loss that a new run would measure; NaN without a bootstrap."""
    high_RT: np.ndarray
    """Upper ends."""
    mixtures: tuple[Mixture, ...] = ()
    """What was asked, one per row; empty where only the numbers were wanted."""
    beyond: tuple[str, ...] = ()
    """How far each row lies beyond the runs, in words, "" within them; empty where only the numbers were wanted."""

    def to_polars(self) -> pl.DataFrame:
        """One row per mixture, in the order in which they were asked: ``p/<group>`` (its shares, where they are kept),
        ``beyond`` (how far it lies beyond the runs, where one does), ``loss/<target>``, and ``loss/<target>/low`` and
        ``loss/<target>/high`` (95 % interval); unknown is null."""
        told = {"beyond": self.beyond} if any(self.beyond) else {}
        numbers = {
            f"loss/{target}{end}": x_RT[:, t]
            for t, target in enumerate(self.targets)
            for end, x_RT in (("", self.value_RT), ("/low", self.low_RT), ("/high", self.high_RT))
        }
        return pl.DataFrame({**share_columns(self.mixtures), **told, **numbers}).fill_nan(None)


@dataclass(frozen=True, repr=False)
class Fit(Shown):
    """A law fitted to all targets."""

    law: Law
    """The family."""
    languages: tuple[str, ...]
    """Languages trained on, [L]: the order of vectors of shares."""
    targets: tuple[str, ...]
    """Languages evaluated, [T]: the order of losses."""
    fits: Mapping[str, TargetFit]
    """One fit per target."""
    N: float
    """Parameters that a prediction assumes unless told: the largest fitted to (NaN if unknown)."""
    D: float
    """Training tokens that a prediction assumes unless told: the most fitted to (NaN if unknown)."""
    unique_L: np.ndarray | None = None
    """Unique tokens per language that a prediction assumes unless told: the most of any run, or None if unknown."""
    measured: Inputs | None = None
    """Mixtures, N and D of the runs fitted to, so that an answer beyond them can be told; None in files without."""

    def predict(
        self,
        mixtures: Mixture | Iterable[Mapping[str, float]] | np.ndarray,
        N: float | np.ndarray | None = None,
        D: float | np.ndarray | None = None,
        unique: np.ndarray | None = None,
    ) -> Prediction:
        """Losses with 95 % intervals (parameters resampled, noise of a run added).

        Args:
            mixtures: one mixture, several, or an array [R, L] in the order of ``languages``.
            N: model size, one number or one per mixture; default the largest that was fitted to.
            D: training tokens, likewise.
            unique: unique tokens [L] or [R, L]; default ``unique_L``.
        """
        inputs = self._inputs(self._shares(mixtures), N, D, unique)
        shape = (len(inputs.p_RL), len(self.targets))
        value_RT, low_RT, high_RT = (np.full(shape, np.nan) for _ in range(3))
        for t, target in enumerate(self.targets):
            at = self.fits[target]
            if not at.usable:
                continue
            value_RT[:, t] = self._value(at, at.theta_P, inputs)
            if len(at.bootstrap_BP):
                low_RT[:, t], high_RT[:, t] = self._interval(at, inputs, value_RT[:, t])
        return Prediction(self.targets, value_RT, low_RT, high_RT)

    def loss(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        """Losses [T] of one mixture; NaN where the law says nothing of a target."""
        inputs = self._inputs(np.asarray(p_L, dtype=float)[None], N, D)
        every = map(self.fits.__getitem__, self.targets)
        return np.array([self._value(at, at.theta_P, inputs)[0] if at.usable else np.nan for at in every])

    def gradient(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        """dL_t/dp_l with the shares taken as independent, [T, L]."""
        inputs = self._inputs(np.asarray(p_L, dtype=float)[None], N, D)
        every = map(self.fits.__getitem__, self.targets)
        nothing = np.full(len(self.languages), np.nan)
        return np.stack([self._gradient(at, inputs) if at.usable else nothing for at in every])

    def bootstrap_losses(self, p_L: np.ndarray, N: float | None = None, D: float | None = None) -> np.ndarray:
        """Losses [B, T] under every resampled set of parameters: the uncertainty of the law without run noise."""
        return self.resampled(np.asarray(p_L, dtype=float)[None], N, D)[:, 0]

    def resampled(
        self,
        mixtures: Mixture | Iterable[Mapping[str, float]] | np.ndarray,
        N: float | np.ndarray | None = None,
        D: float | np.ndarray | None = None,
    ) -> np.ndarray:
        """Losses [B, R, T] under every resampled set of parameters; arguments as those of :meth:`predict`."""
        inputs = self._inputs(self._shares(mixtures), N, D)
        B = max((len(at.bootstrap_BP) for at in self.fits.values()), default=0)
        loss_BRT = np.full((B, len(inputs.p_RL), len(self.targets)), np.nan)
        for t, target in enumerate(self.targets):
            at = self.fits[target]
            for b, theta_P in enumerate(at.bootstrap_BP):
                loss_BRT[b, :, t] = self._value(at, theta_P, inputs)
        return loss_BRT

    def to_json(self) -> dict[str, Any]:
        """Everything by name; the report evaluates the formula from it."""
        return {
            "law": self.law.name,
            "formula": self.law.formula,
            "languages": list(self.languages),
            "targets": list(self.targets),
            "N": _or_none(self.N),
            "D": _or_none(self.D),
            "unique": None if self.unique_L is None else self.unique_L.tolist(),
            "measured": None if self.measured is None else _inputs_to_json(self.measured),
            "transfer": None if self.transfer is None else self.transfer.to_json(),
            "fits": {
                target: {
                    "status": at.status,
                    "varies": sorted(at.problem.varies),
                    "theta": {n: _or_none(v) for n, v in zip(at.names, at.theta_P, strict=True)},
                    "cost": _or_none(at.cost),
                    "runs": at.runs,
                    "scale": _or_none(at.scale),
                    "freedom": _or_none(at.freedom),
                    "agreeing": at.agreeing,
                    "unclear": list(at.unclear),
                    "bootstrap": at.bootstrap_BP.tolist(),
                    "learned": None if at.learned is None else at.learned.to_json(),
                }
                for target, at in self.fits.items()
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: object = None) -> Fit:
        """Read what :meth:`to_json` wrote.

        Raises:
            BadInput: a key is missing or the law is unknown.
        """
        try:
            law = find_law(data["law"])
            languages = tuple(data["languages"])
            transfer = None if data["transfer"] is None else TransferMatrix.from_json(data["transfer"])
            fits = {}
            for target, at in data["fits"].items():
                names = tuple(at["theta"])
                theta_P = np.array([_or_nan(v) for v in at["theta"].values()], dtype=float)
                fits[target] = TargetFit(
                    Problem(target, languages, transfer, frozenset(at["varies"])),
                    names,
                    theta_P,
                    at["status"],
                    _or_nan(at["cost"]),
                    at["runs"],
                    _or_nan(at["scale"]),
                    at["agreeing"],
                    np.array(at["bootstrap"], dtype=float).reshape(len(at["bootstrap"]), len(names)),
                    _or_nan(at["freedom"]),
                    tuple(at.get("unclear", ())),
                    law.residual.from_json(at["learned"]) if isinstance(law, Corrected) and at["learned"] else None,
                )
            unique_L = None if data["unique"] is None else np.array(data["unique"], dtype=float)
            measured = None if data.get("measured") is None else _inputs_from_json(data["measured"])
            N, D = _or_nan(data["N"]), _or_nan(data["D"])
            return cls(law, languages, tuple(data["targets"]), fits, N, D, unique_L, measured)
        except (KeyError, TypeError, AttributeError) as error:
            raise BadInput(
                f"no fitted law: {error!r} missing or malformed", where=where, expected="a fit.json"
            ) from None

    @property
    def transfer(self) -> TransferMatrix | None:
        """Transfer values that the law was given."""
        return next((at.problem.transfer for at in self.fits.values()), None)

    def to_polars(self) -> pl.DataFrame:
        """One row per target and parameter: ``target``, ``status`` (of the target's fit), ``runs`` (fitted to),
        ``error`` (relative error of a run), ``parameter``, ``value``, ``low`` and ``high`` (95 % of the resamples)."""
        parts = [
            at.to_polars().select(
                pl.lit(target).alias("target"),
                pl.lit(at.status).alias("status"),
                pl.lit(at.runs).alias("runs"),
                pl.lit(float(at.scale)).alias("error"),
                pl.all(),
            )
            for target, at in self.fits.items()
        ]
        return pl.concat(parts)

    def _shares(self, mixtures: Mixture | Iterable[Mapping[str, float]] | np.ndarray) -> np.ndarray:
        if isinstance(mixtures, np.ndarray):
            p_RL = np.atleast_2d(mixtures).astype(float)
        else:
            several = [mixtures] if isinstance(mixtures, Mapping) else list(mixtures)
            p_RL = np.stack([Mixture(one).over(self.languages).vector(self.languages) for one in several])
        if p_RL.shape[1] != len(self.languages):
            raise BadInput(f"{p_RL.shape[1]} shares", expected=f"{len(self.languages)}: {', '.join(self.languages)}")
        return p_RL

    def _inputs(
        self,
        p_RL: np.ndarray,
        N: float | np.ndarray | None,
        D: float | np.ndarray | None,
        unique: np.ndarray | None = None,
    ) -> Inputs:
        R = len(p_RL)
        N_R = np.broadcast_to(np.asarray(self.N if N is None else N, dtype=float), (R,))
        D_R = np.broadcast_to(np.asarray(self.D if D is None else D, dtype=float), (R,))
        known = self.unique_L if unique is None else unique
        return Inputs(p_RL, N_R, D_R, None if known is None else np.broadcast_to(known, p_RL.shape))

    def _value(self, at: TargetFit, theta_P: np.ndarray, inputs: Inputs) -> np.ndarray:
        loss_R = self.law.predict(at.problem, theta_P, inputs)
        return loss_R if at.learned is None else loss_R * np.exp(at.learned.predict(inputs))

    def _gradient(self, at: TargetFit, inputs: Inputs) -> np.ndarray:
        by_p_RL = self.law.gradient(at.problem, at.theta_P, inputs)
        if at.learned is not None:
            factor_R = np.exp(at.learned.predict(inputs))
            loss_R = self.law.predict(at.problem, at.theta_P, inputs)
            by_p_RL = factor_R[:, None] * (by_p_RL + loss_R[:, None] * at.learned.gradient(inputs))
        return np.asarray(by_p_RL[0])

    def _interval(self, at: TargetFit, inputs: Inputs, value_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        loss_BR = np.stack([self._value(at, theta_P, inputs) for theta_P in at.bootstrap_BP])
        variance_R = np.var(np.log(loss_BR), axis=0) + at.scale**2
        if at.learned is not None:
            variance_R = variance_R + at.learned.deviation(inputs) ** 2
        reach_R = float(student.ppf(0.975, at.freedom)) * np.sqrt(variance_R)
        return value_R * np.exp(-reach_R), value_R * np.exp(reach_R)


def fit(
    law: Law | str,
    measurements: Measurements,
    *,
    targets: Iterable[str] | None = None,
    transfer: TransferMatrix | None = None,
    starts: int = 8,
    bootstrap: int = 0,
    seed: int = 0,
    weights: Weighting = None,
    workers: int = 1,
    tell: Advance | None = None,
) -> Fit:
    """Fit a law to every target by robust least squares on the log of the loss.

    Args:
        law: a law or its name.
        measurements: the runs.
        targets: which targets; default all.
        transfer: values for laws that use them (``needs`` holds "transfer").
        starts: starting points per target.
        bootstrap: resampled fits per target, for intervals.
        seed: of starts and resamples; the same seed gives the same numbers.
        weights: relative precision of each run, [R] or for each target of ``measurements`` [R, T]; "repeats" for those
            of :func:`~glotmix.fit.weights.weights_from_repeats`; default equal.
        workers: processes that share the targets.
        tell: told how many targets are fitted.

    Raises:
        BadInput: fewer runs than parameters, an unknown target, or something that the law needs is not known.
    """
    law = find_law(law) if isinstance(law, str) else law
    chosen = measurements.targets if targets is None else tuple(targets)
    if unknown := [target for target in chosen if target not in measurements.targets]:
        raise BadInput(f"no losses of {', '.join(unknown)}", expected=f"one of {', '.join(measurements.targets)}")
    varies = varying(measurements)
    _check_needs(law, measurements, transfer)
    weight_RT = np.ones(measurements.loss_RT.shape)
    if isinstance(weights, str):
        weights = weights_from_repeats(measurements)
    if weights is not None:
        weight_RT = weight_RT * np.asarray(weights, dtype=float).reshape(len(measurements), -1)
    tasks = [
        (
            law,
            Problem(target, measurements.languages, transfer, varies),
            measurements,
            weight_RT[:, measurements.targets.index(target)],
            starts,
            bootstrap,
            np.random.default_rng((seed, measurements.targets.index(target))),
        )
        for target in chosen
    ]
    done = each(_fit_target, tasks, workers, what=f"Fitting {law.name}", tell=tell)
    fits = dict(zip(chosen, done, strict=True))
    unique_L = None if measurements.unique_RL is None else measurements.unique_RL.max(axis=0)
    N, D = _largest(measurements.N_R), _largest(measurements.D_R)
    measured = Inputs(measurements.p_RL, measurements.N_R, measurements.D_R)
    return Fit(law, measurements.languages, chosen, fits, N, D, unique_L, measured)


def varying(measurements: Measurements) -> frozenset[str]:
    """Which of "N" and "D" take values that differ by more than one percent; "unique" where these tokens are known."""

    def varied(x_R: np.ndarray) -> bool:
        return bool(np.isfinite(x_R).all() and x_R.max() > 1.01 * x_R.min())

    names = {name for name, x_R in (("N", measurements.N_R), ("D", measurements.D_R)) if varied(x_R)}
    return frozenset(names | ({"unique"} if measurements.unique_RL is not None else set()))


def _fit_target(
    law: Law,
    problem: Problem,
    measurements: Measurements,
    weight_R: np.ndarray,
    starts: int,
    bootstrap: int,
    rng: np.random.Generator,
) -> TargetFit:
    if "own" in law.needs and problem.own is None:
        return TargetFit(problem, (), np.full(1, np.nan)[:0], OUTSIDE, np.nan, 0, np.nan, 0.0, np.zeros((0, 0)))
    everything = inputs_of(measurements)
    loss_R = measurements.loss(problem.target)
    keep_R = law.usable(problem, everything) & np.isfinite(loss_R) & (weight_R > 0)
    inputs, loss_R, weight_R = everything.where(keep_R), loss_R[keep_R], weight_R[keep_R]
    names = law.parameters(problem)
    needed = least_runs(law, problem)
    if len(loss_R) < needed:
        raise BadInput(
            f"law {law.name}, target {problem.target}: {len(loss_R)} usable runs for {len(names)} parameters",
            expected=f"at least {needed} runs, or a law with fewer parameters",
        )
    start_SP = law.starts(problem, inputs, loss_R, starts, rng)
    found = solve(law, problem, inputs, loss_R, weight_R, start_SP)
    freedom = float(max(len(loss_R) - found.leverage_R.sum(), 1.0))
    scale = float(np.sqrt((weight_R * found.residual_R**2).sum() / freedom))
    if bootstrap and np.isfinite(found.cost):
        theta_BP = resample(law, problem, inputs, weight_R, found, bootstrap, rng)
    else:
        theta_BP = np.zeros((0, len(names)))
    wanted = equations(law, problem, inputs, loss_R, weight_R)
    vague = unclear(law, problem, wanted, found, scale) if np.isfinite(found.cost) else ()
    learned = None
    if isinstance(law, Corrected) and np.isfinite(found.cost):
        learned = law.residual.learn(inputs, found.residual_R, weight_R, int(rng.integers(2**31)))
        left_R = found.residual_R - learned.predict(inputs)
        scale = float(np.sqrt((weight_R * left_R**2).sum() / freedom))
    return TargetFit(
        problem,
        names,
        found.theta_P,
        found.status,
        found.cost,
        len(loss_R),
        scale,
        found.agreeing,
        theta_BP,
        freedom,
        vague,
        learned,
    )


def least_runs(law: Law, problem: Problem) -> int:
    """Runs that a fit needs: one per parameter that no prior speaks of, and two at least."""
    low_P, high_P = law.bounds(problem)
    middle_P = np.clip(np.ones(len(low_P)), low_P, high_P)
    known = law.prior(problem, middle_P)
    return max(2, len(low_P) - (0 if known is None else int(np.any(known[1] != 0, axis=0).sum())))


def inputs_of(measurements: Measurements) -> Inputs:
    """What a law predicts from."""
    return Inputs(measurements.p_RL, measurements.N_R, measurements.D_R, measurements.unique_RL)


def _check_needs(law: Law, measurements: Measurements, transfer: TransferMatrix | None) -> None:
    if "transfer" in law.needs and transfer is None:
        raise BadInput(f"law {law.name} needs transfer values", expected="a complete coalition table (see shapley)")
    for name, x_R in (("N", measurements.N_R), ("D", measurements.D_R)):
        if name in law.needs and not np.isfinite(x_R).all():
            raise BadInput(f"law {law.name} needs {name} of every run", expected=f"a column {name} without gaps")
    if "unique" in law.needs and measurements.unique_RL is None:
        raise BadInput(f"law {law.name} needs the unique tokens of every language", expected="columns unique/<group>")


def _largest(x_R: np.ndarray) -> float:
    return float(x_R.max()) if len(x_R) and np.isfinite(x_R).all() else float("nan")


def _inputs_to_json(inputs: Inputs) -> dict[str, Any]:
    N, D = ([_or_none(x) for x in x_R] for x_R in (inputs.N_R, inputs.D_R))
    return {"p": inputs.p_RL.tolist(), "N": N, "D": D}


def _inputs_from_json(data: Mapping[str, Any]) -> Inputs:
    N_R, D_R = (np.array([_or_nan(x) for x in data[name]], dtype=float) for name in ("N", "D"))
    return Inputs(np.array(data["p"], dtype=float), N_R, D_R)


def _or_none(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None


def _or_nan(x: float | None) -> float:
    return float("nan") if x is None else float(x)
