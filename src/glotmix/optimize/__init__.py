"""The best mixture on a fitted law, under limits, beside every baseline, with its uncertainty. NumPy and SciPy only."""

from glotmix.optimize.baselines import baselines_for
from glotmix.optimize.constraint import Constraints, Group, constraints_from
from glotmix.optimize.objective import Mean, Normalised, Objective, Penalty, Quantile, Regret, Worst, objective_from
from glotmix.optimize.optimum import Active, Baseline, Gain, Optimum
from glotmix.optimize.pareto import front
from glotmix.optimize.predictor import Predictor
from glotmix.optimize.reuse import reuse
from glotmix.optimize.scale import allocate, along
from glotmix.optimize.solve import minimise

__all__ = [
    "Active",
    "Baseline",
    "Constraints",
    "Gain",
    "Group",
    "Mean",
    "Normalised",
    "Objective",
    "Optimum",
    "Penalty",
    "Predictor",
    "Quantile",
    "Regret",
    "Worst",
    "allocate",
    "along",
    "baselines_for",
    "constraints_from",
    "front",
    "minimise",
    "objective_from",
    "reuse",
]
