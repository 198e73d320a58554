"""Held-out errors of several laws, and which of them is chosen by these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import spearmanr

from glotmix.errors import BadInput
from glotmix.laws import find_law
from glotmix.laws.null import Null
from glotmix.laws.residual import Corrected
from glotmix.notebook import Brief, Shown

MOST_UNCONVERGED = 0.1
"""Share of a law's fits that may end without having converged before it is passed over."""


LEAST_INSIDE = 8
"""Held-out mixtures of all languages from which they decide alone which law is chosen."""


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
        return cls(scores, targets, languages, noise, data["split"], data["problems"], None, used, unconverged)

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
        told = [f"{law}: {problem}" for law, problem in self.problems.items()]
        told += [f"{law}: {100 * share:.0f} % of its fits did not converge" for law, share in self.unconverged.items()]
        if told:
            table.caption = "\n".join(told)
        return table


def choose(holdout: Holdout) -> str:
    """The law with the least mean held-out error over the targets in the mixture, or a simpler kind of law whose error
    is within one standard error of it (Breiman et al. 1984, section 3.4.3).

    The null law is simpler than any other, and a law simpler than one whose residuals a black box learns; between laws
    of one kind the least error decides, since their priors hold already what the runs do not tell, and an optimum on a
    law that leaves transfer out pays for every help that it overlooks. The standard error is that of the difference
    between the two laws, over mixtures. An optimum lies where nearly every language has a share, so mixtures of all of
    them decide alone where ``LEAST_INSIDE`` were held out: at single languages and small coalitions a law may fail that
    is right inside, and the mean of all runs look good. Only laws that predicted every held-out run compete (one that
    is infinite where a language is absent was judged on the easier runs), and a law of which more than
    ``MOST_UNCONVERGED`` of the fits did not converge only if there is no other.
    """
    most = {t: max((of[t].runs for of in holdout.scores.values() if t in of), default=0) for t in holdout.targets}
    complete = [law for law, of in holdout.scores.items() if all(s.runs == most[t] for t, s in of.items())]
    finite = [law for law in complete if np.isfinite(holdout.mean(law))]
    if not finite:
        raise BadInput("no law predicts every target of the mixture", expected="at least the null law")
    finite = [law for law in finite if holdout.unconverged.get(law, 0.0) <= MOST_UNCONVERGED] or finite
    if holdout.predictions is None:
        return min(finite, key=holdout.mean)
    error_GL = _errors(holdout, finite)
    mean_L = error_GL.mean(axis=0)
    ahead_GL = error_GL - error_GL[:, [int(mean_L.argmin())]]
    spread_L = ahead_GL.std(axis=0, ddof=1) / np.sqrt(len(ahead_GL)) if len(ahead_GL) > 1 else np.zeros(len(finite))
    near = [k for k in range(len(finite)) if mean_L[k] - mean_L.min() <= spread_L[k]]
    return finite[min(near, key=lambda k: (_kind(finite[k]), mean_L[k]))]


def _kind(name: str) -> int:
    """0 for the null law, 2 for one with a black box, 1 for all others."""
    law = find_law(name)
    return 2 if isinstance(law, Corrected) else int(not isinstance(law, Null))


def _errors(holdout: Holdout, laws: list[str]) -> np.ndarray:
    """Relative error of the held-out mixtures under every law, mean over its runs and the targets inside, [G, laws]."""
    told = holdout.predictions
    assert told is not None
    inside = [t for t, target in enumerate(holdout.targets) if target in holdout.languages]
    columns = inside or list(range(len(holdout.targets)))
    enough = len(np.unique(told.group_R[told.inside_R])) >= LEAST_INSIDE
    keep_R = told.inside_R if enough else np.ones(len(told.runs), dtype=bool)
    off = [np.abs(told.predicted[law][keep_R][:, columns] / told.measured_RT[keep_R][:, columns] - 1) for law in laws]
    known_LR = np.stack([np.isfinite(one).sum(axis=1) for one in off])
    off_LR = np.stack([np.where(np.isfinite(one), one, 0.0).sum(axis=1) for one in off]) / np.maximum(known_LR, 1)
    _, group_R = np.unique(told.group_R[keep_R], return_inverse=True)
    runs_G = np.bincount(group_R)
    return np.stack([np.bincount(group_R, off_R) / runs_G for off_R in off_LR], axis=1)


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
