"""Held-out error: what a law is worth on mixtures that it has not seen, beside the null model and the noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from glotmix.errors import BadInput
from glotmix.fit.fit import fit
from glotmix.fit.parallel import each
from glotmix.laws import find_law
from glotmix.laws.law import Law
from glotmix.measurements import Measurements
from glotmix.notebook import rich_html
from glotmix.transfer.matrix import TransferMatrix

Transfer = TransferMatrix | Callable[[Measurements], TransferMatrix] | None
"""Transfer values, or how to get them from the runs of a fold (so that nothing leaks from the runs held out)."""


STARTS = 4
"""Starting points of a fit to one fold: there are many folds, and nearly always all starts end alike."""
LEAST_SIZES = 3
"""Sizes in a table from which the largest can be held out."""


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


@dataclass(frozen=True)
class Predictions:
    """What the scores were computed from."""

    runs: tuple[str, ...]
    """Held-out runs, [R]; one that was held out twice stands in two rows."""
    measured_RT: np.ndarray
    """Their losses."""
    predicted: Mapping[str, np.ndarray]
    """Law to what it predicted for them, [R, T]; NaN or infinite where it says nothing."""


@dataclass(frozen=True)
class Holdout:
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

    def _repr_html_(self) -> str:
        """For notebooks."""
        return rich_html(self.table())

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
    workers: int = 1,
) -> Holdout:
    """K-fold cross-validation by mixture: all runs of one mixture stand in the same fold.

    ``folds`` of at least the number of mixtures is leave-one-mixture-out.
    """
    fold_R = fold_of(measurements, folds, seed)
    parts = [(measurements.where(fold_R != k), measurements.where(fold_R == k)) for k in range(fold_R.max() + 1)]
    return _score(
        laws, parts, measurements, targets, transfer, starts, seed, f"{fold_R.max() + 1} folds by mixture", workers
    )


def judge(
    laws: Iterable[Law | str],
    fit_on: Measurements,
    held_out: Measurements,
    *,
    targets: Iterable[str] | None = None,
    transfer: Transfer = None,
    starts: int = STARTS,
    seed: int = 0,
    workers: int = 1,
) -> Holdout:
    """Fit to some runs, score on others (other mixtures, larger N, corners of the simplex)."""
    if fit_on.languages != held_out.languages:
        raise BadInput("the runs held out have other languages", expected=", ".join(fit_on.languages))
    split = f"{len(fit_on)} runs fitted, {len(held_out)} held out"
    return _score(laws, [(fit_on, held_out)], held_out, targets, transfer, starts, seed, split, workers)


def extrapolate(
    laws: Iterable[Law | str],
    measurements: Measurements,
    seed: int = 0,
    *,
    targets: Iterable[str] | None = None,
    transfer: Transfer = None,
    starts: int = STARTS,
    workers: int = 1,
) -> Holdout | None:
    """Fit to the smaller runs, score on larger ones: what a table over sizes is made for.

    One step up is predicted at a time: the largest N from all smaller ones, and where there are four sizes the one
    before it too, since a single step is easily predicted well by chance. Sizes are those of D where all runs have one
    N. None where fewer than ``LEAST_SIZES`` sizes were run: two say nothing of how the step between them goes on.
    """
    for name, x_R in (("N", measurements.N_R), ("D", measurements.D_R)):
        sizes = _sizes(x_R)
        if len(sizes) < 2:
            continue
        if len(sizes) < LEAST_SIZES:
            return None
        steps = [-1] if len(sizes) == LEAST_SIZES else [-2, -1]
        parts = [(measurements.where(x_R < 0.99 * sizes[k]), measurements.where(_near(x_R, sizes[k]))) for k in steps]
        held_out = measurements.where(x_R > 0.99 * sizes[steps[0]])
        split = f"each of the {len(steps)} largest {name} from those below it"
        return _score(laws, parts, held_out, targets, transfer, starts, seed, split, workers)
    return None


def _sizes(x_R: np.ndarray) -> list[float]:
    """Values that differ by more than one percent, ascending; none where some are not known."""
    sizes: list[float] = []
    for x in np.sort(x_R) if np.isfinite(x_R).all() else []:
        if not sizes or x > 1.01 * sizes[-1]:
            sizes.append(float(x))
    return sizes


def _near(x_R: np.ndarray, size: float) -> np.ndarray:
    return (x_R > 0.99 * size) & (x_R <= 1.011 * size)


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


def mixtures_of(measurements: Measurements) -> np.ndarray:
    """Number of the mixture of each run [R]; runs with the same shares (to 1e-6) share a number."""
    _, group_R = np.unique(np.round(measurements.p_RL, 6), axis=0, return_inverse=True)
    return np.asarray(group_R).reshape(-1)


def fold_of(measurements: Measurements, folds: int, seed: int) -> np.ndarray:
    """Fold of each run [R], drawn by mixture."""
    group_R = mixtures_of(measurements)
    groups = int(group_R.max()) + 1
    if folds < 2 or groups < 2:
        raise BadInput(f"{folds} folds over {groups} mixtures", expected="at least 2 of each")
    order = np.random.default_rng(seed).permutation(groups)
    fold_G = np.empty(groups, dtype=int)
    fold_G[order] = np.arange(groups) % min(folds, groups)
    return fold_G[group_R]


def noise_floor(measurements: Measurements) -> dict[str, float]:
    """Relative standard deviation between runs of the same mixture, N and D, pooled, per target."""
    key_R = np.column_stack(
        [mixtures_of(measurements), np.nan_to_num(measurements.N_R), np.nan_to_num(measurements.D_R)]
    )
    _, group_R = np.unique(key_R, axis=0, return_inverse=True)
    group_R = np.asarray(group_R).reshape(-1)
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


def _score(
    laws: Iterable[Law | str],
    parts: list[tuple[Measurements, Measurements]],
    everything: Measurements,
    targets: Iterable[str] | None,
    transfer: Transfer,
    starts: int,
    seed: int,
    split: str,
    workers: int,
) -> Holdout:
    chosen = everything.targets if targets is None else tuple(targets)
    scores: dict[str, dict[str, Score]] = {}
    problems: dict[str, str] = {}
    predicted: dict[str, np.ndarray] = {}
    families = [find_law(law) if isinstance(law, str) else law for law in laws]
    tasks = [
        (law, train, test, chosen, _values(law, train, transfer), starts, seed)
        for law in families
        for train, test in parts
    ]
    every = each(_predicted, tasks, workers)
    for place, law in enumerate(families):
        pairs = every[place * len(parts) : (place + 1) * len(parts)]
        if wrong := next((pair for pair in pairs if isinstance(pair, str)), None):
            problems[law.name] = wrong
            continue
        predicted[law.name] = predicted_RT = np.concatenate([pair[0] for pair in pairs])
        measured_RT = np.concatenate([pair[1] for pair in pairs])
        scores[law.name] = {
            target: one
            for t, target in enumerate(chosen)
            if (one := score(predicted_RT[:, t], measured_RT[:, t])) is not None
        }
    fitted = parts[0][0] if len(parts) == 1 else everything
    noise = noise_floor(everything)
    if len(parts) == 1:  # a split: the runs fitted to may hold the repeats
        noise = {t: x if np.isfinite(x) else noise_floor(fitted).get(t, float("nan")) for t, x in noise.items()}
    columns = [everything.targets.index(target) for target in chosen]
    predictions = Predictions(
        tuple(run for _, test in parts for run in test.runs),
        np.concatenate([test.loss_RT[:, columns] for _, test in parts]),
        predicted,
    )
    noise = {t: noise[t] for t in chosen}
    return Holdout(scores, chosen, everything.languages, noise, split, problems, predictions)


def _values(law: Law, train: Measurements, transfer: Transfer) -> TransferMatrix | BadInput | None:
    """Transfer values from the runs of a fold, for a law that needs them; or why there are none."""
    if not callable(transfer):
        return transfer
    try:
        return transfer(train) if "transfer" in law.needs else None
    except BadInput as error:
        return error


def _predicted(
    law: Law,
    train: Measurements,
    test: Measurements,
    targets: tuple[str, ...],
    transfer: TransferMatrix | BadInput | None,
    starts: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray] | str:
    """Predicted and measured losses of the runs held out, or why the law could not be fitted."""
    if isinstance(transfer, BadInput):
        return str(transfer)
    try:
        fitted = fit(law, train, targets=targets, transfer=transfer, starts=starts, seed=seed)
    except BadInput as error:
        return str(error)
    columns = [test.targets.index(target) for target in targets]
    return fitted.predict(test.p_RL, test.N_R, test.D_R, test.unique_RL).value_RT, test.loss_RT[:, columns]


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
