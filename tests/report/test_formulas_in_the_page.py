"""The explorer's law is Python's law: same losses, intervals and slopes to 1e-9, in a real browser."""

import dataclasses

import numpy as np
import pytest
from browser import open_page

from glotmix.fit.fit import Fit, TargetFit
from glotmix.fit.form import Form
from glotmix.fit.stage import STAGE
from glotmix.laws import find_law
from glotmix.laws.gaussian_process import GaussianProcess
from glotmix.laws.law import Inputs, Problem
from glotmix.laws.residual import Corrected
from glotmix.optimize.uncertainty import estimate, possible
from glotmix.report.explorer import law_data
from glotmix.report.fitted import FORMS, law_fit
from glotmix.scored import Scored
from glotmix.transfer.matrix import TransferMatrix

ROUNDED = 1e-5
"""What rounding moves an interval by, as a part of the loss: 48 waves, each off by half of a 32767th of four
deviations of 0.05."""
LANGUAGES = ("spa", "rus", "tur", "jpn")
TARGETS = (*LANGUAGES, "ita")
UNIQUE_L = np.array([4e8, 6e7, 2e7, 5e6])


def fitted(name, varies, rng):
    """A fit with drawn parameters, inside the law's bounds."""
    law = find_law(name)
    phi = rng.normal(0.3, 0.4, (len(TARGETS), len(LANGUAGES)))
    transfer = TransferMatrix(TARGETS, LANGUAGES, phi)
    targets = LANGUAGES if "own" in law.needs else TARGETS
    fits = {}
    for target in targets:
        problem = Problem(target, LANGUAGES, transfer, frozenset("unique" if one == "U" else one for one in varies))
        names = law.parameters(problem)
        low, high = law.bounds(problem)
        start = {
            "E": 1.4,
            "c": 0.15,
            "γ": 0.03,
            "κ": 0.6,
            "ν": 0.55,
            "ε": 0.01,
            "A": 0.2,
            "B": 0.3,
            "α": 0.3,
            "β": 0.35,
            "b": 0.4,
            "R": 8.0,
            "T": 6.0,
            "a": 3.0,
            "g": 0.2,
            "n": 0.5,
        }
        centre = np.array([start.get(n, rng.normal(-1, 1) if n.startswith("a/") else 0.1) for n in names])
        around = centre * np.exp(rng.normal(0, 0.2, (31, len(names))))
        theta = np.clip(around, low + 1e-9, np.minimum(high, 1e3))
        fits[target] = TargetFit(problem, names, theta[0], "converged", 0.0, 40, 0.004, 1.0, theta[1:])
    factor_TT, lean_T = 0.02 * rng.normal(size=(len(targets), len(targets))), 0.01 * rng.normal(size=len(targets))
    form = Form(3, 0.5, factor_TT, lean_T)
    return Fit(law, LANGUAGES, targets, fits, 2.5e6, 3.0e8, UNIQUE_L, form=form)


def corrected(base, varies, runs, rng):
    """The same with a process that has learned of some runs."""
    fit = fitted(base, varies, rng)
    p_RL = rng.dirichlet(np.ones(4), runs)
    N_R, D_R = (rng.choice([x, x / 4], runs) if letter in varies else np.full(runs, np.nan) for letter, x in (("N", fit.N), ("D", fit.D)))  # fmt: skip
    inputs, box, fits = Inputs(p_RL, N_R, D_R), GaussianProcess(iterations=2), {}
    for target, at in fit.fits.items():
        wave = 0.02 * np.sin(5 * p_RL @ rng.normal(size=4)) + rng.normal(0, 0.004, runs)
        fits[target] = dataclasses.replace(at, learned=box.learn(inputs, wave, np.ones(runs), 0))
    N, D = (fit.N if "N" in varies else np.nan), (fit.D if "D" in varies else np.nan)
    assert fit.form is not None
    form = dataclasses.replace(fit.form, lean_T=np.zeros(0))  # a box is taken not to lean
    return dataclasses.replace(fit, law=Corrected(fit.law, box), fits=fits, N=N, D=D, form=form)


def with_scores(fit, rng):
    """The same with two targets that are scores: one by the law itself, and one through the loss of Spanish."""
    own = dataclasses.replace(fit.fits["rus"], scored=Scored(chance=0.25, questions=500))
    loss = fit.fits["spa"]
    stage = np.array([0.2, 0.55]) + rng.normal(0, 0.02, (len(loss.bootstrap_BP), 2))
    through = dataclasses.replace(
        loss,
        names=(*loss.names, *STAGE),
        theta_P=np.append(loss.theta_P, [0.2, 0.55]),
        middle=-0.05,
        bootstrap_BP=np.hstack([loss.bootstrap_BP, stage]),
        scored=Scored(),
        through="spa",
    )
    return dataclasses.replace(fit, fits={**fit.fits, "rus": own, "tur": through})


def mixtures(rng):
    p = rng.dirichlet(np.ones(4), 6)
    p[0] = [1, 0, 0, 0]
    p[1] = [0.5, 0.5, 0, 0]
    p[2] = [0.5, 0.5 - 2e-10, 1e-10, 1e-10]
    return p


def in_the_page(browser, page, fit, p):
    """Losses, intervals and slopes of mixtures, as the page's law has them."""
    if browser.current_url != page.as_uri():
        open_page(browser, page)
    got = browser.execute_script(
        """const [data, ps] = arguments, law = new Law(data);
        return ps.map((p) => {
          p = Float64Array.from(p);
          const loss = law.predict(p), resampled = law.predictResamples(p);
          const range = Array.from(loss, (value, t) => law.interval(t, resampled, value));
          law.take(p);
          const slopes = law.targets.map((_, t) => { const g = new Float64Array(law.L); law.addGradient(t, 1, g); return Array.from(g, String); });
          return [Array.from(loss, String), range.map((r) => r.map(String)), slopes];
        });""",
        law_data(law_fit(fit)),
        p.tolist(),
    )
    return [[np.array(part, dtype=float) for part in row] for row in got]


def ends_of(fit, p_L):
    """The intervals that the command line tells."""
    pairs = zip(fit.targets, fit.loss(p_L), fit.bootstrap_losses(p_L).T, strict=True)
    told = [possible(estimate(*pair), fit.scored.get(target)) for target, *pair in pairs]
    return np.array([(one.low, one.high) for one in told])


def check(browser, page, fit, p):
    """The same numbers to nine digits; errors of form are rounded to 16 bits on their way, which bounds the rest."""
    for drawn in (None, fit.form):
        asked = dataclasses.replace(fit, form=drawn)
        for p_L, (loss, ends, slopes) in zip(p, in_the_page(browser, page, asked, p), strict=True):
            np.testing.assert_allclose(loss, fit.loss(p_L), rtol=1e-9)
            want, rounded = ends_of(asked, p_L), 0.0 if drawn is None else ROUNDED
            assert np.all(np.abs(ends - want) <= 1e-9 * np.abs(want) + rounded * loss[:, None])
            np.testing.assert_allclose(slopes, fit.gradient(p_L), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("varies", ["", "N", "D", "ND", "U", "NU", "NDU"])
@pytest.mark.parametrize("name", sorted(FORMS))
def test_every_law_gives_the_same_numbers_in_the_page(browser, pages, name, varies):
    rng = np.random.default_rng(sorted(FORMS).index(name) + 10 * len(varies))
    fit, p = fitted(name, varies, rng), mixtures(rng)
    check(browser, pages["small"], fit, p if fit.law.finite_at_zero else p[(p > 0).all(axis=1)])


@pytest.mark.parametrize(
    ("name", "varies"),
    [
        *[(name, varies) for name in ("null", "log_linear", "shapley_law") for varies in ("", "ND")],
        ("shapley_law_overfit", "NDU"),
        ("own_ratio_repeated", "NDU"),
    ],
)
def test_a_process_on_a_law_gives_the_same_numbers_in_the_page(browser, pages, name, varies):
    rng = np.random.default_rng(len(name) + len(varies))
    fit = corrected(name, varies, 40, rng)
    assert not any(one.error for one in law_fit(fit).processes)
    check(browser, pages["small"], fit, mixtures(rng))


@pytest.mark.parametrize(
    ("name", "varies", "boxed"),
    [
        ("null", "", False),
        ("own_ratio_floored", "ND", False),
        ("log_linear", "", True),
        ("shapley_law", "ND", False),
        ("shapley_law", "", True),
        ("shapley_law_repeated", "NDU", False),
        ("shapley_law_overfit", "NDU", False),
    ],
)
def test_scores_are_the_same_numbers_in_the_page(browser, pages, name, varies, boxed):
    rng = np.random.default_rng(len(name) + 3 * len(varies))
    fit = with_scores(corrected(name, varies, 40, rng) if boxed else fitted(name, varies, rng), rng)
    loss_T = fit.loss(np.full(4, 0.25))
    assert 0 < loss_T[1] < 0.75
    assert 0 < loss_T[2] < 1
    check(browser, pages["small"], fit, mixtures(rng))


def test_of_many_runs_the_losses_are_exact_and_the_error_of_the_intervals_is_told(browser, pages):
    rng = np.random.default_rng(5)
    fit = corrected("log_linear", "", 600, rng)
    packed = law_fit(fit)
    told = max(one.error for one in packed.processes)
    assert 0 < told < 0.005
    assert f"off by at most {100 * told:.2g} % of a loss" in law_data(packed)["thinned"]
    p = mixtures(rng)
    for p_L, (loss, ends, slopes) in zip(p, in_the_page(browser, pages["small"], fit, p), strict=True):
        np.testing.assert_allclose(loss, fit.loss(p_L), rtol=1e-9)
        np.testing.assert_allclose(slopes, fit.gradient(p_L), rtol=1e-7, atol=1e-12)
        # Nearly all draws lie within four deviations.
        assert np.all(np.abs(ends - ends_of(fit, p_L)) <= (4 * told + ROUNDED) * loss[:, None])
