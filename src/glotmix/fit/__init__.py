"""From measurements to fitted laws with honest errors."""

from glotmix.fit.fit import Fit, Prediction, TargetFit, fit
from glotmix.fit.holdout import Holdout, choose, cross_validate, judge

__all__ = ["Fit", "Holdout", "Prediction", "TargetFit", "choose", "cross_validate", "fit", "judge"]
