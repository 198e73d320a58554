"""A study whose fit and optimum are glotmix's own, so that the page's answers can be held against the command line's."""

import json

import numpy as np
from browser import frame

from glotmix.fit.fit import Fit, TargetFit
from glotmix.fit.form import Form
from glotmix.laws import find_law
from glotmix.laws.law import Problem
from glotmix.mixture.mixture import Mixture
from glotmix.optimize.composite import Composite
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.constraint import constraints_from
from glotmix.optimize.objective import objective_from
from glotmix.optimize.search import search, starting_points, with_own_bests
from glotmix.optimize.solve import minimise
from glotmix.report.evidence import About, Evidence
from glotmix.report.fitted import law_fit
from glotmix.report.from_law import advice

LANGUAGES = ("spa", "rus", "tur", "jpn")
TARGETS = (*LANGUAGES, "ita")
STUDY = {
    "objective": "weighted",
    "weights": {"spa": 485.0, "rus": 150.0, "tur": 80.0, "jpn": 125.0, "ita": 65.0},
    "max_epochs": None,
    "ceilings": {"spa": 0.8},
    "floors": {"jpn": 0.02},
}
"""Weights that are far from equal, as numbers of speakers are."""
START = {"E": 1.4, "c": 0.15, "γ": 0.03, "κ": 0.6, "ν": 0.55, "A": 0.2, "B": 0.3, "α": 0.3, "β": 0.35}


def fit_of(seed=0, varies=()):
    """A ShapleyLaw for four languages and one outside."""
    law, rng, fits = find_law("shapley_law"), np.random.default_rng(seed), {}
    for target in TARGETS:
        problem = Problem(target, LANGUAGES, None, frozenset(varies))
        names = law.parameters(problem)
        low, high = law.bounds(problem)
        centre = np.array([START.get(n, 0.1) for n in names]) * np.exp(rng.normal(0, 0.4, len(names)))
        around = centre * np.exp(rng.normal(0, 0.02, (13, len(names))))
        around[0] = centre
        theta = np.clip(around, low + 1e-9, np.minimum(high, 1e3))
        fits[target] = TargetFit(problem, names, theta[0], "converged", 0.0, 40, 0.004, 1.0, theta[1:])
    form = Form(seed, 0.5, 0.01 * rng.normal(size=(len(TARGETS), len(TARGETS))))
    return Fit(law, LANGUAGES, TARGETS, fits, 2.5e6, 3.0e8, form=form)


def evidence_of(fit, given=STUDY):
    """What the report shows of it."""
    config = OptimizeConfig(**given)
    aim, limits = objective_from(config, fit.targets, fit.languages), constraints_from(config, fit.languages)
    others = {
        "natural": Mixture({"spa": 0.1, "rus": 0.5, "tur": 0.3, "jpn": 0.1}),
        "uniform": Mixture(dict.fromkeys(LANGUAGES, 0.25)),
        "current": Mixture({"spa": 0.9, "rus": 0.05, "tur": 0.05, "jpn": 0.0}),
    }
    optimum = minimise(fit, aim, limits, baselines=others, starts=4, resamples=4)
    about = {tag: About(tag.upper()) for tag in TARGETS}
    return Evidence(
        "Explored", about=about, law=law_fit(fit), advice=advice("shapley_law", optimum, config, D=None, unique={})
    )


def page_state(browser):
    """What the explorer shows, once nothing is being solved."""
    frame(browser)
    return browser.execute_script(
        "const s = glotmix.state(), a = glotmix.problem(); return {p: Array.from(s.p), loss: Array.from(s.loss), objective: s.objective,"
        " message: s.message, interval: s.interval, intervals: s.intervals(), kind: a.kind, weights: a.weights, q: a.q, low: Array.from(a.limits.low), high: Array.from(a.limits.high), N: a.N, D: a.D};"
    )


class CommandLine:
    """The command line's answers to what the page is asked; own bests are kept per limits and size."""

    def __init__(self, fit, given=STUDY):
        self.fit, self.given, self.known = fit, given, {}

    def composite(self, state):
        """The same problem, as ``glotmix optimize`` builds it: a held share is a floor and a ceiling."""
        fit, low, high = self.fit, np.array(state["low"]), np.array(state["high"])
        named = lambda values: dict(zip(fit.languages, map(float, values), strict=True))  # noqa: E731
        kind = "weighted" if state["kind"] == "mean" else state["kind"]
        weights = dict(zip(fit.targets, state["weights"], strict=True))
        config = OptimizeConfig(
            **{
                **self.given,
                "objective": kind,
                "weights": weights,
                "floors": named(low),
                "ceilings": named(np.maximum(high, low)),
            }
        )
        aim, limits = objective_from(config, fit.targets, fit.languages), constraints_from(config, fit.languages)
        composite = Composite(fit, aim, limits, state["N"], state["D"])
        if not aim.relative:
            return composite
        key = json.dumps([state["low"], state["high"], [w > 0 for w in state["weights"]], state["N"], state["D"]])
        if key not in self.known:
            self.known[key] = with_own_bests(composite, np.random.default_rng(0)).objective.best
        return Composite(fit, aim.with_best(self.known[key]), limits, state["N"], state["D"])

    def value(self, state):
        """The objective of the mixture in the page."""
        composite = self.composite(state)
        return float(composite.objective.value(self.fit.loss(np.array(state["p"]), state["N"], state["D"])))

    def optimum(self, state):
        """The least value within the limits, penalty included."""
        composite = self.composite(state)
        return search(composite, starting_points(composite, 4, np.random.default_rng(0))), composite
