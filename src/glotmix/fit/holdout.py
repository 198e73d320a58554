"""Held-out error: what a law is worth on mixtures that it has not seen, beside the null model and the noise."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from glotmix.errors import BadInput
from glotmix.fit.fit import Fit
from glotmix.fit.noise import noise_floor
from glotmix.fit.parallel import each
from glotmix.fit.score import Score, score
from glotmix.fit.several import STARTS, How, Repeats, Transfer, chosen_of, fit_all, fitted, values_of
from glotmix.fit.splits import Split, by_size, corners, fold_of, groups_of
from glotmix.laws import find_law
from glotmix.laws.law import Law
from glotmix.measurements import Measurements
from glotmix.notebook import Brief, Shown
from glotmix.progress import Advance
from glotmix.tables import by_group
from glotmix.transfer.matrix import TransferMatrix

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, repr=False)
class Predictions(Brief):
    """What the scores were computed from."""

    runs: tuple[str, ...]
    """Held-out runs, [R]; one that was held out twice stands in two rows."""
    group_R: np.ndarray
    """Number of the mixture of each."""
    inside_R: np.ndarray
    """Whether it trained on every language."""
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
    """Run by run, for figures and the choice; not stored with the scores."""
    used: Mapping[str, float] = field(default_factory=dict)
    """Law to the number of parameters that its fits made use of, mean over targets: how simple it is."""
    unconverged: Mapping[str, float] = field(default_factory=dict)
    """Law to the share of its fits that did not converge, where there are any."""
    of_scores: tuple[str, ...] = ()
    """Targets that are scores: their losses are errors, one minus the score."""

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
            "used": {law: _or_none(x) for law, x in self.used.items()},
            "unconverged": dict(self.unconverged),
            **({"errors_of_scores": list(self.of_scores)} if self.of_scores else {}),
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
        used = {law: _or_nan(x) for law, x in data.get("used", {}).items()}
        unconverged = data.get("unconverged", {})
        of_scores = tuple(data.get("errors_of_scores", ()))
        return cls(
            scores, targets, languages, noise, data["split"], data["problems"], None, used, unconverged, of_scores
        )

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

    def table(self) -> RenderableType:
        """For 80 characters: targets as rows, laws as columns, relative error in percent; mean, MAE, Spearman below.

        The last column is the noise: how much runs of one mixture differ. No law can be expected to do better.
        """
        from rich.console import Group

        beside = dict.fromkeys(self.scores, " (1 - score)")
        rows = [t + beside.get(t, "" if t in self.languages else " (outside)") for t in self.targets]
        columns = []
        for law, of in self.scores.items():
            cells = [f"{100 * of[target].error:.2f}" if target in of else "–" for target in self.targets]
            for what, factor, form in (("error", 100, ".2f"), ("mae", 1, ".4f"), ("spearman", 1, ".3f")):
                mean = factor * self.mean(law, what=what)
                cells.append("–" if np.isnan(mean) else format(mean, form))
            columns.append((law, cells))
        if any(np.isfinite(x) for x in self.noise.values()):
            columns.append(("noise", [*[f"{100 * self.noise[target]:.2f}" for target in self.targets], "", "", ""]))
        title = f"held-out relative error, % ({self.split})"
        told = [f"{law}: {problem}" for law, problem in self.problems.items()]
        told += [f"{law}: {100 * share:.0f} % of its fits did not converge" for law, share in self.unconverged.items()]
        return Group(*by_group(title, [*rows, "mean, %", "MAE", "Spearman"], columns, sections=[len(rows)]), *told)


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
    near: Mapping[str, Fit] | None = None,
    judged_R: np.ndarray | None = None,
    staged: Collection[str] = (),
    workers: int = 1,
    tell: Advance | None = None,
) -> Holdout:
    """K-fold cross-validation by mixture: all runs of one mixture stand in the same fold.

    ``folds`` of at least the number of mixtures is leave-one-mixture-out. The fit of a fold starts from that to all
    runs (``near``, by law; made here where it is not given) and takes over its noise.

    Args:
        laws: laws or their names.
        measurements: the runs.
        folds: parts of the mixtures.
        seed: of the folds and starts.
        targets: which targets; default all.
        transfer: values for laws that use them, or how to get them from the runs of a fold.
        starts: starting points of a fit to all runs.
        weights: see :func:`~glotmix.fit.fit.fit`.
        near: fits to all runs.
        judged_R: mask of the runs that are scored when they are held out; default all. The others only help to fit.
        staged: scores that go through a loss (:mod:`glotmix.fit.stage`).
        workers: processes.
        tell: told how many fits are made.
    """
    fold_R = fold_of(measurements, folds, seed)
    judged_R = np.ones(len(measurements), dtype=bool) if judged_R is None else judged_R
    parts = [
        (measurements.where(fold_R != k), measurements.where((fold_R == k) & judged_R))
        for k in range(fold_R.max() + 1)
        if ((fold_R == k) & judged_R).any()
    ]
    chosen, families = (
        chosen_of(targets, measurements),
        [find_law(law) if isinstance(law, str) else law for law in laws],
    )
    how = How(chosen, transfer, starts, seed, weights, workers, tuple(staged))
    if near is None:
        near = fit_all(
            families, measurements, targets=chosen, transfer=transfer, starts=starts, seed=seed, weights=weights
        )
    return _score(families, parts, measurements, how, f"{len(parts)} folds by mixture", tell, near)


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
    near: Mapping[str, Fit] | None = None,
    staged: Collection[str] = (),
    workers: int = 1,
    tell: Advance | None = None,
) -> Holdout:
    """Fit to some runs, score on others; ``near`` holds fits, by law, from which to start, ``staged`` are scores that
    go through a loss.

    Raises:
        BadInput: the two have other languages or other targets.
    """
    for what, ours, theirs in (
        ("languages", fit_on.languages, held_out.languages),
        ("targets", fit_on.targets, held_out.targets),
    ):
        if ours != theirs:
            raise BadInput(f"the runs held out have the {what} {', '.join(theirs)}", expected=", ".join(ours))
    how = How(chosen_of(targets, held_out), transfer, starts, seed, weights, workers, tuple(staged))
    split = f"{len(fit_on)} runs fitted, {len(held_out)} held out"
    return _score(laws, [(fit_on, held_out)], held_out, how, split, tell, near)


def extrapolate(
    laws: Iterable[Law | str],
    measurements: Measurements,
    seed: int = 0,
    *,
    targets: Iterable[str] | None = None,
    transfer: Transfer = None,
    starts: int = STARTS,
    weights: Repeats = None,
    near: Mapping[str, Fit] | None = None,
    workers: int = 1,
    tell: Advance | None = None,
) -> dict[str, Holdout]:
    """Fit to the tame runs, score on those beyond: "N" and "D" the largest of them, "corners" those of the simplex.

    What the table cannot show is left out, and sizes are predicted from fits that start from nothing: what a table
    hardly tells of sizes would else be known from ``near``, which starts the others. See
    :func:`~glotmix.fit.splits.by_size` and :func:`~glotmix.fit.splits.corners`.
    """
    how = How(chosen_of(targets, measurements), transfer, starts, seed, weights, workers)
    laws, found = list(laws), {}
    for name, x_R in (("N", measurements.N_R), ("D", measurements.D_R)):
        if parts := by_size(measurements, x_R, seed):
            what = f"the largest {name} from those below, mixtures held out too"
            found[name] = _score(laws, parts, measurements, how, what, tell)
    if (split := corners(measurements)) is not None:
        what = f"{len(split[1])} runs in the corners of the simplex from the {len(split[0])} others"
        found["corners"] = _score(laws, [split], split[1], how, what, tell, near)
    return found


def _score(
    laws: Iterable[Law | str],
    parts: list[Split],
    noisy: Measurements,
    how: How,
    split: str,
    tell: Advance | None,
    near: Mapping[str, Fit] | None = None,
) -> Holdout:
    """Fit every law to every part, and score what it predicts for the runs held out; ``noisy`` tells the noise."""
    scores: dict[str, dict[str, Score]] = {}
    problems: dict[str, str] = {}
    predicted: dict[str, np.ndarray] = {}
    families = [find_law(law) if isinstance(law, str) else law for law in laws]
    near = near or {}
    used: dict[str, float] = {}
    unconverged: dict[str, float] = {}
    tasks = [
        (law, train, test, how, values_of(law, train, how.transfer), near.get(law.name))
        for law in families
        for train, test in parts
    ]
    every = each(_predicted, tasks, how.workers, what=f"Judging laws: {split}", tell=tell)
    columns = [noisy.targets.index(target) for target in how.targets]
    measured_RT = np.concatenate([test.loss_RT[:, columns] for _, test in parts])
    for place, law in enumerate(families):
        values = every[place * len(parts) : (place + 1) * len(parts)]
        if wrong := next((value for value in values if isinstance(value, str)), None):
            problems[law.name] = wrong
            continue
        made = [value for value in values if not isinstance(value, str)]
        predicted[law.name] = predicted_RT = np.concatenate([one.value_RT for one in made])
        used[law.name] = float(np.mean([one.used for one in made]))
        if any(lost := [one.unconverged for one in made]):
            unconverged[law.name] = float(np.mean(lost))
        scores[law.name] = {
            target: one
            for t, target in enumerate(how.targets)
            if (one := score(predicted_RT[:, t], measured_RT[:, t])) is not None
        }
    if len(how.targets) < len(noisy.targets):
        split += f"; {len(how.targets)} of {len(noisy.targets)} targets"
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
        Predictions(runs, *_mixtures([test for _, test in parts]), measured_RT, predicted),
        used,
        unconverged,
        tuple(target for target in how.targets if target in noisy.scored),
    )


@dataclass(frozen=True)
class _Made:
    """What one law said of the runs held out of one part."""

    value_RT: np.ndarray
    used: float
    unconverged: float


def _predicted(
    law: Law,
    train: Measurements,
    test: Measurements,
    how: How,
    transfer: TransferMatrix | BadInput | None,
    near: Fit | None,
) -> _Made | str:
    """Predicted losses of the runs held out, or why the law could not be fitted."""
    if isinstance(transfer, BadInput):
        return str(transfer)
    try:
        made = fitted(law, train, how, transfer, near)
    except BadInput as error:
        return str(error)
    value_RT = made.predict(test.p_RL, test.N_R, test.D_R, test.unique_RL, test.phases).value_RT
    usable = [at for at in made.fits.values() if at.usable]
    used = float(np.mean([at.used for at in usable])) if usable else float("nan")
    lost = float(np.mean([at.status != "converged" for at in usable])) if usable else 0.0
    return _Made(value_RT, used, lost)


def _mixtures(parts: list[Measurements]) -> tuple[np.ndarray, np.ndarray]:
    """Number of the mixture of every run of several tables, and whether it trained on every language, each [R]."""
    everywhere_R = np.concatenate([(part.p_RL > 0).all(axis=1) for part in parts])
    return groups_of(np.concatenate([part.composition for part in parts])), everywhere_R


def _or_none(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None


def _or_nan(x: float | None) -> float:
    return float("nan") if x is None else float(x)
