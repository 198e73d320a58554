"""The explorer's law is Python's law: same losses, intervals and slopes to 1e-9, in a real browser."""

import numpy as np
import pytest
from browser import open_page

from glotmix.fit.fit import Fit, TargetFit
from glotmix.laws import find_law
from glotmix.laws.law import Problem
from glotmix.optimize.uncertainty import estimate
from glotmix.report.explorer import law_data
from glotmix.report.fitted import FORMS, law_fit
from glotmix.transfer.matrix import TransferMatrix

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
    return Fit(law, LANGUAGES, targets, fits, 2.5e6, 3.0e8, UNIQUE_L)


def mixtures(rng):
    p = rng.dirichlet(np.ones(4), 6)
    p[0] = [1, 0, 0, 0]
    p[1] = [0.5, 0.5, 0, 0]
    p[2] = [0.5, 0.5 - 2e-10, 1e-10, 1e-10]
    return p


@pytest.mark.parametrize("varies", ["", "N", "D", "ND", "U", "NU", "NDU"])
@pytest.mark.parametrize("name", sorted(FORMS))
def test_every_law_gives_the_same_numbers_in_the_page(browser, pages, name, varies):
    rng = np.random.default_rng(sorted(FORMS).index(name) + 10 * len(varies))
    fit = fitted(name, varies, rng)
    if browser.current_url != pages["small"].as_uri():
        open_page(browser, pages["small"])
    p = mixtures(rng)
    if not fit.law.finite_at_zero:
        p = p[(p > 0).all(axis=1)]
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
    want = fit.predict(p)
    for r in range(len(p)):
        loss, ends, slopes = (np.array(part, dtype=float) for part in got[r])
        np.testing.assert_allclose(loss, want.value_RT[r], rtol=1e-9)
        told = [estimate(loss[t], drawn_B) for t, drawn_B in enumerate(fit.bootstrap_losses(p[r]).T)]
        np.testing.assert_allclose(ends, [(one.low, one.high) for one in told], rtol=1e-9)
        np.testing.assert_allclose(slopes, fit.gradient(p[r]), rtol=1e-7, atol=1e-12)
