"""From measurements to fitted laws with honest errors."""

from glotmix.fit.active import Batch, Question, next_batch
from glotmix.fit.fit import Fit, Prediction, TargetFit, fit
from glotmix.fit.holdout import Holdout, cross_validate, extrapolate, judge
from glotmix.fit.jackknife import Jackknife, jackknife
from glotmix.fit.selection import choose

__all__ = [
    "Batch",
    "Fit",
    "Holdout",
    "Jackknife",
    "Prediction",
    "Question",
    "TargetFit",
    "choose",
    "cross_validate",
    "extrapolate",
    "fit",
    "jackknife",
    "judge",
    "next_batch",
]
