"""The page's second row of sliders: schedules have the losses that the command line tells, to 1e-9, in a real browser."""

import dataclasses

import numpy as np
import pytest
from browser import complaints, open_page
from test_formulas_in_the_page import LANGUAGES, TARGETS, UNIQUE_L, fitted

from glotmix.fit.fit import Fit
from glotmix.laws.law import Inputs
from glotmix.laws.order import Ordered
from glotmix.mixture.balancing import uniform
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.phases import Course, Phases
from glotmix.mixture.schedule import Schedule
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.constraint import constraints_from
from glotmix.optimize.last_phase import minimise_last_phase
from glotmix.optimize.objective import objective_from
from glotmix.optimize.request import optimum_of
from glotmix.optimize.uncertainty import estimate
from glotmix.report.evidence import About, Evidence
from glotmix.report.explorer import law_data
from glotmix.report.fitted import law_fit
from glotmix.report.from_law import advice, order_of
from glotmix.report.page import page as page_of

COURSE = Course(np.array([0.5, 0.3, 0.2]), np.array([1.0, 1.0, 0.3]))


def ordered(name: str, varies: str, seed: int = 0, K: int = 3) -> Fit:
    """A fit of a law with order, whose runs had K phases."""
    rng = np.random.default_rng(seed)
    fit = fitted(name, varies, rng)
    law, fits = Ordered(fit.law), {}
    for target, at in fit.fits.items():
        problem = dataclasses.replace(at.problem, varies=at.problem.varies | {"order"})
        late = rng.normal(0, 3, 2 if problem.own is not None else 1)
        names = law.parameters(problem)
        around = np.hstack([at.bootstrap_BP, late + rng.normal(0, 0.5, (len(at.bootstrap_BP), len(late)))])
        fits[target] = dataclasses.replace(
            at, problem=problem, names=names, theta_P=np.append(at.theta_P, late), bootstrap_BP=around
        )
    course = COURSE if K == 3 else COURSE.cut([0.8])
    lengths, rates = (np.tile(x_K, (12, 1)) for x_K in (course.length_K, course.rate_K))
    phases = Phases(rng.dirichlet(np.ones(4), (12, K)), lengths, rates)
    measured = Inputs(phases.average_RL, np.full(12, fit.N), np.full(12, fit.D), None, phases)
    return dataclasses.replace(fit, law=law, fits=fits, measured=measured)


@pytest.mark.parametrize(
    ("name", "varies"),
    [
        ("null", ""),
        ("own_ratio_floored", "N"),
        ("log_linear", "D"),
        ("shapley_law", ""),
        ("shapley_law_joint", "ND"),
        ("shapley_law_data", "D"),
        ("shapley_law_repeated", "NDU"),
        ("shapley_law_overfit", "DU"),
    ],
)
def test_a_schedule_has_the_same_losses_in_the_page(browser, pages, name, varies):
    fit = ordered(name, varies)
    p_SKL = np.random.default_rng(1).dirichlet(np.ones(4), (5, 3))
    p_SKL[0] = p_SKL[0, 0]
    p_SKL[1, 2] = [1, 0, 0, 0]
    if browser.current_url != pages["small"].as_uri():
        open_page(browser, pages["small"])
    got = browser.execute_script(
        """const [data, course, all] = arguments, law = new Law(data);
        return all.map((phases) => {
          phases = phases.map((p) => Float64Array.from(p));
          const mean = phases[0].map((_, l) => phases.reduce((sum, p, k) => sum + course.lengths[k] * p[l], 0));
          const run = { ...course, phases }, loss = law.predict(mean, null, run), again = law.predictResamples(mean, null, run);
          const range = Array.from(loss, (value, t) => law.interval(t, again, value));
          return [Array.from(loss, String), range.map((r) => r.map(String)), Array.from(law.predict(mean), String)];
        });""",
        law_data(law_fit(dataclasses.replace(fit, form=None))),
        {"lengths": COURSE.length_K.tolist(), "rates": COURSE.rate_K.tolist()},
        p_SKL.tolist(),
    )
    fit = dataclasses.replace(fit, form=None)
    for p_KL, row in zip(p_SKL, got, strict=True):
        loss, ends, static = (np.array(part, dtype=float) for part in row)
        phases = COURSE.phases((COURSE.length_K[:, None] * p_KL).reshape(-1))
        mean_L = phases.average_RL[0]
        np.testing.assert_allclose(loss, fit.loss(mean_L, phases=phases), rtol=1e-9)
        np.testing.assert_allclose(static, fit.loss(mean_L), rtol=1e-9)
        drawn_BT = fit.bootstrap_losses(mean_L, phases=phases)
        told = [estimate(*pair) for pair in zip(fit.loss(mean_L, phases=phases), drawn_BT.T, strict=True)]
        np.testing.assert_allclose(ends, [(one.low, one.high) for one in told], rtol=1e-9)


def page_with(fit, optimum, config, unique, tmp_path):
    """A page whose recommendation is a schedule."""
    about = {tag: About(tag.upper()) for tag in TARGETS}
    given = advice("own_ratio_floored+order", optimum, config, D=3e8, unique=unique)
    evidence = Evidence("Order", about=about, law=law_fit(fit), advice=given, order=order_of(optimum, fit))
    page = tmp_path / "page.html"
    page.write_text(page_of(evidence), encoding="utf-8")
    return page


def shown(browser, fit, optimum):
    """The shares of every phase, [K, L], once what stands beside them is what Python says of them."""
    course = COURSE.cut([0.8])
    state = browser.execute_script("return document.querySelector('#phases').state")
    p_KL = np.array(state["phases"])
    np.testing.assert_allclose(p_KL.sum(axis=1), 1, atol=1e-9)
    phases = course.phases((course.length_K[:, None] * p_KL).reshape(-1))
    loss_T = fit.loss(phases.average_RL[0], phases=phases)
    np.testing.assert_allclose(state["loss"], loss_T, rtol=1e-9)
    np.testing.assert_allclose(state["objective"], optimum.aim(loss_T), rtol=1e-9)
    return p_KL


def share_told(browser, label, value):
    """Type a share in per cent."""
    script = (
        'const field = document.querySelector(`#phases input[aria-label="${arguments[0]} in per cent"]`);'
        "field.value = arguments[1]; field.dispatchEvent(new Event('change'));"
    )
    browser.execute_script(script, label, value)


def test_sliders_of_every_phase_move_the_losses(browser, tmp_path):
    fit = ordered("own_ratio_floored", "", K=2)
    config = OptimizeConfig(phases=2, max_epochs=None)
    unique = dict(zip(LANGUAGES, UNIQUE_L.tolist(), strict=True))
    optimum = optimum_of(fit, config, unique=unique, D=3e8)
    open_page(browser, page_with(fit, optimum, config, unique, tmp_path))
    start_KL = shown(browser, fit, optimum)
    np.testing.assert_allclose(
        start_KL, [[stage.mixture[one] for one in LANGUAGES] for stage in optimum.schedule.stages], atol=1e-9
    )
    share_told(browser, "Share of TUR in phase 2", 40)
    moved_KL = shown(browser, fit, optimum)
    assert moved_KL[1, LANGUAGES.index("tur")] == pytest.approx(0.4)
    np.testing.assert_array_equal(moved_KL[0], start_KL[0])
    browser.execute_script("document.querySelector('#phases button[data-schedule=static]').click()")
    static_KL = shown(browser, fit, optimum)
    np.testing.assert_array_equal(static_KL[0], static_KL[1])
    assert not complaints(browser)


def test_a_phase_that_is_behind_the_run_cannot_be_moved(browser, tmp_path):
    fit = ordered("own_ratio_floored", "", K=2)
    config = OptimizeConfig(max_epochs=None)
    unique = dict(zip(LANGUAGES, UNIQUE_L.tolist(), strict=True))
    before = Mixture.from_vector(LANGUAGES, [0.4, 0.3, 0.2, 0.1])
    optimum = minimise_last_phase(
        fit,
        objective_from(config, fit.targets, fit.languages),
        constraints_from(config, LANGUAGES, unique=unique, D=3e8),
        Schedule.constant(before),
        0.8,
        baselines={"uniform": uniform(LANGUAGES)},
    )
    open_page(browser, page_with(fit, optimum, config, unique, tmp_path))
    assert not complaints(browser)
    start_KL = shown(browser, fit, optimum)
    np.testing.assert_allclose(start_KL[0], before.vector(LANGUAGES), atol=1e-9)
    labels = browser.execute_script(
        "return Array.from(document.querySelectorAll('#phases input'), (one) => one.getAttribute('aria-label'));"
    )
    assert len(labels) == 2 * len(LANGUAGES)
    assert all("in phase 2" in one for one in labels)
    behind = browser.execute_script(
        "return Array.from(document.querySelectorAll('#phases tbody td.num:first-of-type'), (one) => one.textContent);"
    )
    assert behind[: len(LANGUAGES)] == ["40.0\u202f%", "30.0\u202f%", "20.0\u202f%", "10.0\u202f%"]
    share_told(browser, "Share of TUR in phase 2", 40)
    moved_KL = shown(browser, fit, optimum)
    assert moved_KL[1, LANGUAGES.index("tur")] == pytest.approx(0.4)
    np.testing.assert_array_equal(moved_KL[0], start_KL[0])
    score = browser.find_element("css selector", "#phases .score").text
    assert score.endswith("against continued")
    browser.execute_script("document.querySelector('#phases button[data-schedule=continued]').click()")
    np.testing.assert_allclose(shown(browser, fit, optimum), [before.vector(LANGUAGES)] * 2, atol=1e-9)
    assert not complaints(browser)
