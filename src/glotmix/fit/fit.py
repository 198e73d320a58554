"""Fit: a law fitted to every target, ready for the optimiser and the report."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import polars as pl

from glotmix.errors import BadInput
from glotmix.estimate import student
from glotmix.fit.at_once import AtOnce, at_once
from glotmix.fit.file import EXPECTED, WrittenFit, runs_of, target_fit
from glotmix.fit.form import OF_A_BOX, Form, correlation_root, form_of
from glotmix.fit.lean import lean_of
from glotmix.fit.splits import evidence_of
from glotmix.fit.stage import NO_LOSS, second_stage
from glotmix.fit.target import OUTSIDE, Fitted, TargetFit, Task, inputs_of, least_runs, no_fit
from glotmix.fit.together import Together, fit_apart, fit_together
from glotmix.fit.weights import weights_from_repeats
from glotmix.laws import find_law
from glotmix.laws.law import Inputs, Law, Problem
from glotmix.laws.residual import Corrected
from glotmix.measurements import Measurements
from glotmix.mixture.mixture import Mixture, share_columns
from glotmix.mixture.phases import Phases
from glotmix.notebook import Shown
from glotmix.progress import Advance, Stages
from glotmix.scored import Scored, all_from_json, all_to_json
from glotmix.transfer.matrix import TransferMatrix
from glotmix.wording import listed
from glotmix.written import as_written, made_of, numbers

LOOKED_AT = 12
"""Targets at most in which the error of a law's form is looked for; all share what they tell."""
__all__ = ["OUTSIDE", "Fit", "Prediction", "TargetFit", "fit", "inputs_of", "least_runs", "varying"]

Weighting = np.ndarray | Literal["repeats"] | None
"""Relative precision of each run: an array [R] or [R, T]; "repeats": what repeated mixtures tell of the noise; None:
all alike."""


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
    scored: Mapping[str, Scored] = field(default_factory=dict)
    """Targets that are scores: their values are errors here, and scores in tables."""

    def to_polars(self) -> pl.DataFrame:
        """One row per mixture, in the order in which they were asked: ``p/<group>`` (its shares, where they are kept),
        ``beyond`` (how far it lies beyond the runs, where one does), ``loss/<target>``, and ``loss/<target>/low`` and
        ``loss/<target>/high`` (95 % interval), of scores ``score/<target>`` (``error/<target>`` where lower is better)
        likewise; unknown is null."""
        told = {"beyond": self.beyond} if any(self.beyond) else {}
        numbers: dict[str, np.ndarray] = {}
        for t, target in enumerate(self.targets):
            kind, value_R, low_R, high_R = "loss", self.value_RT[:, t], self.low_RT[:, t], self.high_RT[:, t]
            if (score := self.scored.get(target)) is not None:
                kind, value_R = score.column, score.turned(value_R)
                low_R, high_R = score.ends(low_R, high_R)
            numbers |= {f"{kind}/{target}": value_R, f"{kind}/{target}/low": low_R, f"{kind}/{target}/high": high_R}
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
    form: Form | None = None
    """What the resamples add for the error of the law's form; None without a bootstrap."""

    def predict(
        self,
        mixtures: Mixture | Iterable[Mapping[str, float]] | np.ndarray,
        N: float | np.ndarray | None = None,
        D: float | np.ndarray | None = None,
        unique: np.ndarray | None = None,
        phases: Phases | None = None,
    ) -> Prediction:
        """Losses with 95 % intervals (parameters resampled, noise of a run added).

        Args:
            mixtures: one mixture, several, or an array [R, L] in the order of ``languages``.
            N: model size, one number or one per mixture; default the largest that was fitted to.
            D: training tokens, likewise.
            unique: unique tokens [L] or [R, L]; default ``unique_L``, also where one is NaN.
            phases: the mixtures by phase, of which ``mixtures`` are the averages; default the same from start to end.
        """
        inputs = self._inputs(self._shares(mixtures), N, D, unique, phases)
        shape = (len(inputs.p_RL), len(self.targets))
        value_RT, low_RT, high_RT = (np.full(shape, np.nan) for _ in range(3))
        for t, target in enumerate(self.targets):
            at = self.fits[target]
            if not at.usable:
                continue
            value_R = at.predict(self.law, at.theta_P, inputs)
            value_RT[:, t] = at.shown(value_R)
            if len(at.bootstrap_BP):
                low_RT[:, t], high_RT[:, t] = self._interval(at, inputs, value_R)
        return Prediction(self.targets, value_RT, low_RT, high_RT, scored=self.scored)

    def loss(
        self, p_L: np.ndarray, N: float | None = None, D: float | None = None, phases: Phases | None = None
    ) -> np.ndarray:
        """Losses [T] of one mixture (of ``phases`` with one row); NaN where the law says nothing of a target."""
        inputs = self._inputs(np.asarray(p_L, dtype=float)[None], N, D, phases=phases)
        if phases is None and self._at_once:
            loss_T = np.full(len(self.targets), np.nan)
            for part in self._at_once:
                loss_T[part.place_T] = part.loss(inputs)
            return loss_T
        every = map(self.fits.__getitem__, self.targets)
        return np.array([self._value(at, at.theta_P, inputs)[0] if at.usable else np.nan for at in every])

    def gradient(
        self, p_L: np.ndarray, N: float | None = None, D: float | None = None, phases: Phases | None = None
    ) -> np.ndarray:
        """dL_t/dp_l with the shares taken as independent, [T, L]; with ``phases`` (one row) by the tokens of each phase
        and language as shares of the run's, [T, K, L]."""
        inputs = self._inputs(np.asarray(p_L, dtype=float)[None], N, D, phases=phases)
        if phases is None and self._at_once:
            by_p_TL = np.full((len(self.targets), len(self.languages)), np.nan)
            for part in self._at_once:
                by_p_TL[part.place_T] = part.gradient(inputs)
            return by_p_TL
        every = map(self.fits.__getitem__, self.targets)
        nothing = np.full(len(self.languages) if phases is None else phases.p_RKL.shape[1:], np.nan)
        return np.stack([at.gradient(self.law, inputs) if at.usable else nothing for at in every])

    def bootstrap_losses(
        self, p_L: np.ndarray, N: float | None = None, D: float | None = None, phases: Phases | None = None
    ) -> np.ndarray:
        """Losses [B, T] under every resample: the uncertainty of the law and of its form, without run noise."""
        return self.resampled(np.asarray(p_L, dtype=float)[None], N, D, phases)[:, 0]

    def resampled(
        self,
        mixtures: Mixture | Iterable[Mapping[str, float]] | np.ndarray,
        N: float | np.ndarray | None = None,
        D: float | np.ndarray | None = None,
        phases: Phases | None = None,
    ) -> np.ndarray:
        """Losses [B, R, T] under every resample, jointly for all targets; arguments as those of :meth:`predict`."""
        inputs = self._inputs(self._shares(mixtures), N, D, phases=phases)
        B = max((len(at.bootstrap_BP) for at in self.fits.values()), default=0)
        loss_BRT = np.full((B, len(inputs.p_RL), len(self.targets)), np.nan)
        for t, target in enumerate(self.targets):
            at = self.fits[target]
            if len(at.bootstrap_BP):
                loss_BRT[: len(at.bootstrap_BP), :, t] = at.resampled(self.law, inputs)
        if self.form is not None:
            drawn_BRT = self.form.draw(inputs.p_RL, B)
            for t, target in enumerate(self.targets):
                if (at := self.fits[target]).learned is not None:
                    drawn_BRT[:, :, t] *= at.further * at.learned.deviation(inputs)
            loss_BRT = np.asarray(loss_BRT * np.exp(drawn_BRT))
        for t, target in enumerate(self.targets):
            loss_BRT[:, :, t] = self.fits[target].shown(loss_BRT[:, :, t])
        return loss_BRT

    @property
    def scored(self) -> dict[str, Scored]:
        """Targets that are scores, and what these mean."""
        return {target: at.scored for target, at in self.fits.items() if at.scored is not None}

    @property
    def boxed(self) -> bool:
        """Whether a black box is part of the law."""
        return any(at.learned is not None for at in self.fits.values())

    def with_unique(self, unique: Mapping[str, float]) -> Fit:
        """The same fit asked about other corpora: unique tokens by language, those not named as they were."""
        if not set(self.languages) <= set(unique) and self.unique_L is None:
            return self
        before_L = np.full(len(self.languages), np.nan) if self.unique_L is None else self.unique_L
        told = zip(self.languages, before_L, strict=True)
        return replace(self, unique_L=np.array([float(unique.get(name, x)) for name, x in told]))

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
            "measured": None if self.measured is None else self.measured.to_json(),
            "transfer": None if self.transfer is None else self.transfer.to_json(),
            "form": None if self.form is None else self.form.to_json(),
            **all_to_json(self.scored),
            "fits": {
                target: {
                    "status": at.status,
                    "varies": sorted(at.problem.varies),
                    "shift": dict(at.problem.shift),
                    "theta": {n: _or_none(v) for n, v in zip(at.names, at.theta_P, strict=True)},
                    "cost": _or_none(at.cost),
                    "runs": at.runs,
                    "scale": _or_none(at.scale),
                    "freedom": _or_none(at.freedom),
                    "agreeing": at.agreeing,
                    "unclear": list(at.unclear),
                    "bootstrap": at.bootstrap_BP.tolist(),
                    "learned": None if at.learned is None else at.learned.to_json(),
                    "power": at.power,
                    "middle": at.middle,
                    "used": _or_none(at.used),
                    "widening": at.widening,
                    **({} if at.through is None else {"through": at.through}),
                }
                for target, at in self.fits.items()
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: object = None) -> Fit:
        """Read what :meth:`to_json` wrote.

        Raises:
            BadInput: a key is missing or of another type, the law is unknown, or parts do not fit together.
        """
        shape = as_written(WrittenFit, data, where=where, expected=EXPECTED)
        with made_of(where, EXPECTED):
            law = find_law(shape.law)
            transfer = None if shape.transfer is None else TransferMatrix.from_json(shape.transfer)
            languages = tuple(shape.languages)
            if set(shape.fits) != set(shape.targets):
                raise BadInput(f"fits of {listed(list(shape.fits))}", expected=f"of {listed(shape.targets)}")
            at = shape.fits
            scored = all_from_json(shape.scored)
            fits = {one: target_fit(law, one, languages, transfer, at[one], scored.get(one)) for one in shape.targets}
            measured = None if shape.measured is None else runs_of(shape.measured, len(languages))
            unique_L = None if shape.unique is None else np.array(shape.unique).reshape(len(languages))
            form = None if shape.form is None else Form.from_json(shape.form.model_dump(), len(shape.targets))
            N, D = numbers((shape.N, shape.D))
            found = cls(law, languages, tuple(shape.targets), fits, N, D, unique_L, measured, form)
            with np.errstate(all="ignore"):  # what cannot be asked for one mixture can be asked for none
                found.predict(np.full((1, len(languages)), 1 / len(languages)))
            return found

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

    @cached_property
    def _at_once(self) -> tuple[AtOnce, ...]:
        """The targets in as few evaluations as they need; empty where each has to be asked by itself."""
        return at_once(self.law, [self.fits[target] for target in self.targets])

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
        phases: Phases | None = None,
    ) -> Inputs:
        R = len(p_RL)
        N_R = np.broadcast_to(np.asarray(self.N if N is None else N, dtype=float), (R,))
        D_R = np.broadcast_to(np.asarray(self.D if D is None else D, dtype=float), (R,))
        known = self.unique_L if unique is None else unique
        if known is not None and self.unique_L is not None:
            known = np.where(np.isnan(known), self.unique_L, known)
        return Inputs(p_RL, N_R, D_R, None if known is None else np.broadcast_to(known, p_RL.shape), phases)

    def _value(self, at: TargetFit, theta_P: np.ndarray, inputs: Inputs) -> np.ndarray:
        return at.shown(at.predict(self.law, theta_P, inputs))

    def _interval(self, at: TargetFit, inputs: Inputs, value_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        low_R, high_R = np.full(len(value_R), np.nan), np.full(len(value_R), np.nan)
        some_R = np.isfinite(value_R)  # infinite where a law has no answer: there is no interval of that
        inputs, value_R = inputs.where(some_R), value_R[some_R]
        loss_BR = at.resampled(self.law, inputs)
        if at.scored is not None:
            reach_R = self._reach_of_score(at, inputs, loss_BR, value_R)
            error_R = at.shown(value_R)  # a run may fall below chance, and no score beyond 0 or 1
            low_R[some_R], high_R[some_R] = np.maximum(error_R - reach_R, 0), np.minimum(error_R + reach_R, 1)
            return low_R, high_R
        log_R = np.log(value_R)
        variance_R = np.mean((np.log(loss_BR) - log_R) ** 2, axis=0) + at.noise.deviation(log_R) ** 2
        if at.learned is not None:
            variance_R = variance_R + (at.further * at.learned.deviation(inputs)) ** 2
        reach_R = student(at.freedom) * at.widening * np.sqrt(variance_R)
        low_R[some_R], high_R[some_R] = value_R * np.exp(-reach_R), value_R * np.exp(reach_R)
        return low_R, high_R

    def _reach_of_score(self, at: TargetFit, inputs: Inputs, loss_BR: np.ndarray, value_R: np.ndarray) -> np.ndarray:
        """Half the interval of a score, in the score itself, whose noise is even: at chance the logit has no end."""
        error_R = at.shown(value_R)
        variance_R = np.mean((at.shown(loss_BR) - error_R) ** 2, axis=0) + at.deviation(error_R) ** 2
        if at.learned is not None:
            variance_R = variance_R + (at.by_log(value_R) * at.further * at.learned.deviation(inputs)) ** 2
        return np.asarray(student(at.freedom) * at.widening * np.sqrt(variance_R))


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
    near: Fit | None = None,
    together: bool = True,
    staged: Collection[str] = (),
    workers: int = 1,
    tell: Advance | None = None,
) -> Fit:
    """Fit a law to every target by robust least squares on the log of the loss, in units of the noise it finds.

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
        near: the same law fitted to these or nearly the same runs; its parameters are the one starting point. Its noise
            and the means of its priors hold if the runs are others.
        together: whether the targets tell one another where the means of the law's priors lie
            (:mod:`glotmix.fit.pooling`); False for some of the targets at a time.
        staged: scores that are fitted through the loss that tells them best (:mod:`glotmix.fit.stage`), not by the law
            itself.
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
    group_R = evidence_of(measurements)
    before = {} if near is None else {target: near.fits[target] for target in chosen if target in near.fits}
    problems = [Problem(target, measurements.languages, transfer, varies) for target in chosen]
    task = Task(starts, bootstrap, seed, group_R)
    stages = Stages(tell, {"fits": 4.0, "lean": 1.0} if bootstrap and not isinstance(law, Corrected) else {"fits": 1.0})
    how = Together(measurements, weight_RT, task, LOOKED_AT, workers, stages.stage("fits"))
    same = near is not None and _same_runs(near.measured, measurements)
    done = _of_every_kind(law, problems, how, before, same, together, staged)
    wide = [one.fit.widening for one in done if one.fit.usable]
    typical = float(np.median(wide)) if wide else 1.0
    fits = {
        target: replace(one.fit, widening=_widening(one.fit, typical)) if wide else one.fit
        for target, one in zip(chosen, done, strict=True)
    }
    unique_L = None if measurements.unique_RL is None else measurements.unique_RL.max(axis=0)
    N, D = _largest(measurements.N_R), _largest(measurements.D_R)
    measured = replace(inputs_of(measurements), unique_RL=None)
    form = None
    residual_RT = np.stack([one.residual_R for one in done], axis=1)
    # Held-out errors, where they are larger than what the law expects, are errors of its form as well.
    wide_T = np.array([max(at.widening, 1.0) for at in fits.values()])
    if isinstance(law, Corrected) and bootstrap:
        form = Form(seed, OF_A_BOX, wide_T[:, None] * correlation_root(residual_RT, group_R))
    elif any(one.told is not None for one in done):
        scale_T = wide_T * np.array([at.scale if at.usable else 0.0 for at in fits.values()])
        score_T = np.array([at.scored is not None for at in fits.values()])
        form = form_of([one.told for one in done], scale_T, residual_RT, group_R, seed, score_T)
    found = Fit(law, measurements.languages, chosen, fits, N, D, unique_L, measured, form)
    if form is None:
        return found
    if not isinstance(law, Corrected):
        middle = found._inputs(measurements.p_RL.mean(axis=0, keepdims=True), None, None)
        lean_T = lean_of(law, list(fits.values()), replace(how, tell=stages.stage("lean")), middle)
        form = replace(form, lean_T=lean_T)
    return replace(found, form=_of_stages(form, fits))


def _of_every_kind(
    law: Law,
    problems: list[Problem],
    how: Together,
    before: Mapping[str, TargetFit],
    same: bool,
    together: bool,
    staged: Collection[str],
) -> list[Fitted]:
    """Every target's fit. Losses tell one another where the means of priors lie, and so do scores, whose losses
    are others; a score that goes through a loss stands on that loss's fit."""
    scored, found = how.measurements.scored, dict[str, Fitted]()
    kinds = {one.target: (one.target in scored) + (one.target in scored and one.target in staged) for one in problems}
    for kind in (0, 1):
        alike = [one for one in problems if kinds[one.target] == kind]
        if not alike:
            continue
        shift = next((before[one.target].problem.shift for one in alike if one.target in before), {})
        alike = [replace(one, shift=shift) for one in alike]
        made = (fit_together if together else fit_apart)(law, alike, how, before, same)
        found |= {one.target: each for one, each in zip(alike, made, strict=True)}
    losses = {target: one for target, one in found.items() if kinds[target] == 0}
    for problem in problems:
        if kinds[problem.target] < 2:
            continue
        weight_R = how.weight_RT[:, how.measurements.targets.index(problem.target)]
        told = (how.task.group_R, how.task.bootstrap, how.task.seed)
        through = second_stage(law, problem.target, losses, how.measurements, weight_R, *told)
        found[problem.target] = no_fit(problem, NO_LOSS, len(how.measurements)) if through is None else through
    return [found[one.target] for one in problems]


def _widening(at: TargetFit, typical: float) -> float:
    """A target's own held-out errors are few: half of what they say, and half of what those of all targets do. That the
    questions of a score are as noisy as their number makes them is known, whatever they happened to be."""
    found = float(np.sqrt(at.widening * typical))
    return max(found, 1.0) if at.scored is not None and at.scored.questions is not None else found


def _of_stages(form: Form, fits: Mapping[str, TargetFit]) -> Form:
    """The same, a score that goes through a loss being off as that loss is."""
    names, factor_TT, lean_T = list(fits), form.factor_TT.copy(), form.lean_T.copy()
    for t, at in enumerate(fits.values()):
        if at.through is not None and at.through in fits:
            further, loss = 1.0 if at.learned is not None else at.further, names.index(at.through)
            factor_TT[t] = further * form.factor_TT[loss]
            if len(lean_T):
                lean_T[t] = further * form.lean_T[loss]
    return replace(form, factor_TT=factor_TT, lean_T=lean_T)


def varying(measurements: Measurements) -> frozenset[str]:
    """Which of "N" and "D" take values that differ by more than one percent; "unique" where passes are known: D and the
    unique tokens of every language; "order" where mixtures change within runs."""

    def varied(x_R: np.ndarray) -> bool:
        return bool(np.isfinite(x_R).all() and x_R.max() > 1.01 * x_R.min())

    names = {name for name, x_R in (("N", measurements.N_R), ("D", measurements.D_R)) if varied(x_R)}
    unique_RL = measurements.unique_RL
    passes = unique_RL is not None and np.isfinite(measurements.D_R).all() and bool((unique_RL > 0).all())
    order = {"order"} if measurements.changes_R.any() else set()
    return frozenset(names | ({"unique"} if passes else set()) | order)


def _same_runs(before: Inputs | None, measurements: Measurements) -> bool:
    if before is None:
        return False
    told, now = before.to_json(), replace(inputs_of(measurements), unique_RL=None).to_json()
    return told == now


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


def _or_none(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None
