"""Held-out error: what a law is worth on mixtures that it has not seen, beside the null model and the noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from scipy.stats import spearmanr

from glotmix.errors import BadInput
from glotmix.fit.fit import fit
from glotmix.fit.parallel import each
from glotmix.fit.splits import Split, by_size, corners, fold_of, repeats_of
from glotmix.laws import find_law
from glotmix.laws.law import Law
from glotmix.measurements import Measurements
from glotmix.notebook import Brief, Shown
from glotmix.progress import Advance
from glotmix.transfer.matrix import TransferMatrix

Transfer = TransferMatrix | Callable[[Measurements], TransferMatrix] | None
"""Transfer values, or how to get them from the runs of a fold (so that nothing leaks from the runs held out)."""


Repeats = Literal["repeats"] | None
"""Whether runs are weighed by what repeated mixtures tell of the noise (see :func:`~glotmix.fit.fit.fit`)."""
STARTS = 4
"""Starting points of a fit to one fold: there are many folds, and nearly always all starts end alike."""


@dataclass(frozen=True)
class Score:
    """How one law predicts one target on unseen runs."""

    error: float
    """Mean of ``|L̂ - L| / L``."""
    mae: float
    """Mean of ``|L̂ - L|``, in the unit of the loss."""
    spearman: float
    """Rank correlation of prediction and measurement; NaN where the predictions are all equal."""
    runs: int
    """Held-out runs that the law could predict (finite)."""


@dataclass(frozen=True, repr=False)
class Predictions(Brief):
    """What the scores were computed from."""

    runs: tuple[str, ...]
    """Held-out runs, [R]; one that was held out twice stands in two rows."""
    measured_RT: np.ndarray
    """Their losses."""
    predicted: Mapping[str, np.ndarray]
    """Law to what it predicted for them, [R, T]; NaN or infinite where it says nothing."""


@dataclass(frozen=True, repr=False)
class Holdout(Shown):
    """Held-out scores of several laws."""

    scores: Mapping[str, Mapping[str, Score]]
    """Law to target to score; a target of which a law says nothing is absent."""
    targets: tuple[str, ...]
    """Targets scored."""
    languages: tuple[str, ...]
    """Languages in the mixture."""
    noise: Mapping[str, float]
    """Target to relative standard deviation between runs of one mixture; NaN where nothing was repeated."""
    split: str
    """How the runs were held out."""
    problems: Mapping[str, str]
    """Law to the reason why it could not be fitted."""
    predictions: Predictions | None = None
    """Run by run, for figures; not stored with the scores."""

    def mean(self, law: str, targets: Iterable[str] | None = None, what: str = "error") -> float:
        """Mean of a score over targets (default: those in the mixture); NaN when the law lacks one of them."""
        chosen = [t for t in self.targets if t in self.languages] or self.targets if targets is None else targets
        of = self.scores.get(law, {})
        return float(np.mean([getattr(of[t], what) if t in of else np.nan for t in chosen]))

    def to_json(self) -> dict[str, Any]:
        """Plain values; NaN becomes null."""
        return {
            "split": self.split,
            "languages": list(self.languages),
            "targets": list(self.targets),
            "noise": {t: _or_none(x) for t, x in self.noise.items()},
            "problems": dict(self.problems),
            "scores": {
                law: {
                    t: {
                        "error": _or_none(s.error),
                        "mae": _or_none(s.mae),
                        "spearman": _or_none(s.spearman),
                        "runs": s.runs,
                    }
                    for t, s in of.items()
                }
                for law, of in self.scores.items()
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Holdout:
        """Read what :meth:`to_json` wrote."""
        scores = {
            law: {
                t: Score(_or_nan(s["error"]), _or_nan(s["mae"]), _or_nan(s["spearman"]), s["runs"])
                for t, s in of.items()
            }
            for law, of in data["scores"].items()
        }
        noise = {t: _or_nan(x) for t, x in data["noise"].items()}
        languages, targets = tuple(data["languages"]), tuple(data["targets"])
        return cls(scores, targets, languages, noise, data["split"], data["problems"])

    def to_polars(self) -> pl.DataFrame:
        """One row per law and target: ``law``, ``target``, ``error`` (mean relative error), ``mae`` (mean absolute
        error, in the unit of the loss), ``spearman`` (rank correlation), ``runs`` (held-out runs that the law could
        predict), and ``noise`` (relative standard deviation between runs of one mixture)."""
        rows = [
            {"law": law, "target": target, **asdict(score), "noise": self.noise[target]}
            for law, of in self.scores.items()
            for target, score in of.items()
        ]
        return pl.DataFrame(rows, infer_schema_length=None).fill_nan(None)

    def table(self) -> Any:
        """A rich table: targets as rows, laws as columns, relative error in percent; mean, MAE and Spearman below.

        The last column is the noise: how much runs of one mixture differ. No law can be expected to do better.
        """
        from rich.table import Table

        table = Table(title=f"held-out relative error, % ({self.split})", title_justify="left")
        table.add_column("target")
        for law in self.scores:
            table.add_column(law, justify="right")
        noisy = any(np.isfinite(x) for x in self.noise.values())
        if noisy:
            table.add_column("noise", justify="right")
        for target in self.targets:
            cells = [f"{100 * of[target].error:.2f}" if target in of else "–" for of in self.scores.values()]
            outside = "" if target in self.languages else " (outside)"
            table.add_row(target + outside, *cells, *([f"{100 * self.noise[target]:.2f}"] if noisy else []))
        table.add_section()
        for label, what, form in (("mean, %", "error", ".2f"), ("MAE", "mae", ".4f"), ("Spearman", "spearman", ".3f")):
            factor = 100 if what == "error" else 1
            means = [factor * self.mean(law, what=what) for law in self.scores]
            table.add_row(label, *["–" if np.isnan(mean) else format(mean, form) for mean in means])
        if self.problems:
            table.caption = "\n".join(f"{law}: {problem}" for law, problem in self.problems.items())
        return table


def cross_validate(
    laws: Iterable[Law | str],
    measurements: Measurements,
    folds: int = 5,
    seed: int = 0,
    *,
    targets: Iterable[str] | None = None,
    transfer: Transfer = None,
    starts: int = STARTS,
    weights: Repeats = None,
    workers: int = 1,
    tell: Advance | None = None,
) -> Holdout:
    """K-fold cross-validation by mixture: all runs of one mixture stand in the same fold.

    ``folds`` of at least the number of mixtures is leave-one-mixture-out.
    """
    fold_R = fold_of(measurements, folds, seed)
    parts = [(measurements.where(fold_R != k), measurements.where(fold_R == k)) for k in range(fold_R.max() + 1)]
    how = _How(_chosen(targets, measurements), transfer, starts, seed, weights, workers)
    return _score(laws, parts, measurements, how, f"{fold_R.max() + 1} folds by mixture", tell)


def judge(
    laws: Iterable[Law | str],
    fit_on: Measurements,
    held_out: Measurements,
    *,
    targets: Iterable[str] | None = None,
    transfer: Transfer = None,
    starts: int = STARTS,
    seed: int = 0,
    weights: Repeats = None,
    workers: int = 1,
    tell: Advance | None = None,
) -> Holdout:
    """Fit to some runs, score on others.

    Raises:
        BadInput: the two have other languages or other targets.
    """
    for what, ours, theirs in (
        ("languages", fit_on.languages, held_out.languages),
        ("targets", fit_on.targets, held_out.targets),
    ):
        if ours != theirs:
            raise BadInput(f"the runs held out have the {what} {', '.join(theirs)}", expected=", ".join(ours))
    how = _How(_chosen(targets, held_out), transfer, starts, seed, weights, workers)
    split = f"{len(fit_on)} runs fitted, {len(held_out)} held out"
    return _score(laws, [(fit_on, held_out)], held_out, how, split, tell)


def extrapolate(
    laws: Iterable[Law | str],
    measurements: Measurements,
    seed: int = 0,
    *,
    targets: Iterable[str] | None = None,
    transfer: Transfer = None,
    starts: int = STARTS,
    weights: Repeats = None,
    workers: int = 1,
    tell: Advance | None = None,
) -> dict[str, Holdout]:
    """Fit to the tame runs, score on those beyond: "N" and "D" the largest of them, "corners" those of the simplex.

    What the table cannot show is left out; see :func:`~glotmix.fit.splits.by_size` and
    :func:`~glotmix.fit.splits.corners`.
    """
    how = _How(_chosen(targets, measurements), transfer, starts, seed, weights, workers)
    laws, found = list(laws), {}
    for name, x_R in (("N", measurements.N_R), ("D", measurements.D_R)):
        if parts := by_size(measurements, x_R):
            what = f"each of the {len(parts)} largest {name} from those below it"
            found[name] = _score(laws, parts, measurements, how, what, tell)
    if (split := corners(measurements)) is not None:
        what = f"{len(split[1])} runs in the corners of the simplex from the {len(split[0])} others"
        found["corners"] = _score(laws, [split], split[1], how, what, tell)
    return found


def choose(holdout: Holdout) -> str:
    """The law with the least mean held-out error over the targets in the mixture.

    Only laws that predicted every held-out run compete: one that is infinite where a language is absent was judged on
    the easier runs.
    """
    most = {t: max((of[t].runs for of in holdout.scores.values() if t in of), default=0) for t in holdout.targets}
    complete = [law for law, of in holdout.scores.items() if all(s.runs == most[t] for t, s in of.items())]
    means = {law: holdout.mean(law) for law in complete}
    finite = {law: mean for law, mean in means.items() if np.isfinite(mean)}
    if not finite:
        raise BadInput("no law predicts every target of the mixture", expected="at least the null law")
    return min(finite, key=lambda law: finite[law])


def noise_floor(measurements: Measurements) -> dict[str, float]:
    """Relative standard deviation between runs of the same mixture, N and D, pooled, per target."""
    group_R = repeats_of(measurements)
    noise = {}
    for t, target in enumerate(measurements.targets):
        squares, freedom = 0.0, 0
        for group in np.unique(group_R):
            log = np.log(measurements.loss_RT[group_R == group, t])
            log = log[np.isfinite(log)]
            if len(log) > 1:
                squares, freedom = squares + float(((log - log.mean()) ** 2).sum()), freedom + len(log) - 1
        noise[target] = float(np.sqrt(squares / freedom)) if freedom else float("nan")
    return noise


@dataclass(frozen=True)
class _How:
    """How every law is fitted to every part."""

    targets: tuple[str, ...]
    transfer: Transfer
    starts: int
    seed: int
    weights: Repeats
    workers: int


def _chosen(targets: Iterable[str] | None, measurements: Measurements) -> tuple[str, ...]:
    return measurements.targets if targets is None else tuple(targets)


def _score(
    laws: Iterable[Law | str], parts: list[Split], noisy: Measurements, how: _How, split: str, tell: Advance | None
) -> Holdout:
    """Fit every law to every part, and score what it predicts for the runs held out; ``noisy`` tells the noise."""
    scores: dict[str, dict[str, Score]] = {}
    problems: dict[str, str] = {}
    predicted: dict[str, np.ndarray] = {}
    families = [find_law(law) if isinstance(law, str) else law for law in laws]
    tasks = [(law, train, test, how, _values(law, train, how.transfer)) for law in families for train, test in parts]
    every = each(_predicted, tasks, how.workers, what=f"Judging laws: {split}", tell=tell)
    columns = [noisy.targets.index(target) for target in how.targets]
    measured_RT = np.concatenate([test.loss_RT[:, columns] for _, test in parts])
    for place, law in enumerate(families):
        values = every[place * len(parts) : (place + 1) * len(parts)]
        if wrong := next((value for value in values if isinstance(value, str)), None):
            problems[law.name] = wrong
            continue
        predicted[law.name] = predicted_RT = np.concatenate(values)
        scores[law.name] = {
            target: one
            for t, target in enumerate(how.targets)
            if (one := score(predicted_RT[:, t], measured_RT[:, t])) is not None
        }
    noise = noise_floor(noisy)
    if len(parts) == 1:  # a split: the runs fitted to may hold the repeats
        fitted = noise_floor(parts[0][0])
        noise = {t: x if np.isfinite(x) else fitted.get(t, float("nan")) for t, x in noise.items()}
    runs = tuple(run for _, test in parts for run in test.runs)
    return Holdout(
        scores,
        how.targets,
        noisy.languages,
        {t: noise[t] for t in how.targets},
        split,
        problems,
        Predictions(runs, measured_RT, predicted),
    )


def _values(law: Law, train: Measurements, transfer: Transfer) -> TransferMatrix | BadInput | None:
    """Transfer values from the runs of a fold, for a law that needs them; or why there are none."""
    if not callable(transfer):
        return transfer
    try:
        return transfer(train) if "transfer" in law.needs else None
    except BadInput as error:
        return error


def _predicted(
    law: Law, train: Measurements, test: Measurements, how: _How, transfer: TransferMatrix | BadInput | None
) -> np.ndarray | str:
    """Predicted losses of the runs held out, or why the law could not be fitted."""
    if isinstance(transfer, BadInput):
        return str(transfer)
    try:
        fitted = fit(
            law, train, targets=how.targets, transfer=transfer, starts=how.starts, seed=how.seed, weights=how.weights
        )
    except BadInput as error:
        return str(error)
    return fitted.predict(test.p_RL, test.N_R, test.D_R, test.unique_RL).value_RT


def score(predicted_R: np.ndarray, measured_R: np.ndarray) -> Score | None:
    """Errors over the runs where both are finite; None when there is none."""
    keep_R = np.isfinite(predicted_R) & np.isfinite(measured_R)
    if not keep_R.any():
        return None
    predicted_R, measured_R = predicted_R[keep_R], measured_R[keep_R]
    off_R = np.abs(predicted_R - measured_R)
    ranked = len(off_R) > 2 and np.ptp(predicted_R) > 0 and np.ptp(measured_R) > 0
    rank = float(spearmanr(predicted_R, measured_R).statistic) if ranked else float("nan")
    return Score(float((off_R / measured_R).mean()), float(off_R.mean()), rank, len(off_R))


def _or_none(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None


def _or_nan(x: float | None) -> float:
    return float("nan") if x is None else float(x)
