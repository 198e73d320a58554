"""The explorer answers as the command line does: same value, same optimum, whatever was clicked before."""

import numpy as np
import pytest
from browser import open_page
from explored import LANGUAGES, STUDY, TARGETS, CommandLine, evidence_of, fit_of, page_state
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from glotmix.optimize.uncertainty import estimate, outlook

OBJECTIVES = {
    "mean": ("mean", "equal"),
    "weighted": ("mean", "study"),
    "normalised": ("normalised", "study"),
    "worst": ("worst", "study"),
    "regret": ("regret", "equal"),
    "quantile": ("quantile", "equal"),
}
"""As on the command line: the page's objective and whose weights."""


ROWS = "return [...document.querySelectorAll('.guess .v i')].map((e) => e.textContent)"
"""The intervals written beside the languages."""


@pytest.fixture(scope="module")
def explored(tmp_path_factory):
    from glotmix.report import write_report

    fit = fit_of()
    evidence = evidence_of(fit)
    return write_report(evidence, tmp_path_factory.mktemp("explored") / "report.html"), fit, evidence


@pytest.fixture
def opened(browser, explored):
    browser.get("about:blank")
    open_page(browser, explored[0])
    return browser


def choose(browser, selector, value):
    browser.execute_script(
        "const e = document.querySelector(arguments[0]); e.value = arguments[1]; e.dispatchEvent(new Event('change', {bubbles: true}));",
        selector,
        value,
    )
    return page_state(browser)


def click(browser, selector):
    browser.execute_script("document.querySelector(arguments[0]).click()", selector)
    return page_state(browser)


def typed(browser, label, value):
    """Type into the field with this label, and leave it; returns the state and what the field then shows."""
    field = browser.find_element(By.CSS_SELECTOR, f"input[type=number][aria-label='{label}']")
    browser.execute_script(
        "arguments[0].focus(); arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change', {bubbles: true}));",
        field,
        value,
    )
    return page_state(browser), field.get_attribute("value")


@pytest.mark.parametrize("name", OBJECTIVES)
def test_value_and_optimum_are_the_command_lines(opened, explored, name):
    """With unequal weights, under limits, from a start far from the optimum. The uniform mixture is the trivial answer."""
    line = CommandLine(explored[1])
    kind, whose = OBJECTIVES[name]
    choose(opened, "#x-weights", whose)
    state = choose(opened, "#x-objective", kind)
    assert state["objective"] == pytest.approx(line.value(state), rel=1e-6)
    state = click(opened, "[data-start=uniform]")
    uniform = state["objective"]
    assert uniform == pytest.approx(line.value(state), rel=1e-6)
    state = click(opened, "#x-solve")
    found, composite = line.optimum(state)
    assert state["objective"] == pytest.approx(line.value(state), rel=1e-6)
    best = float(composite.objective.value(explored[1].loss(found.p_L)))
    assert state["objective"] == pytest.approx(best, rel=2e-6)
    assert uniform > best * (1 + 1e-4)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_intervals_shown_are_the_command_lines(opened, explored, name):
    fit, line = explored[1], CommandLine(explored[1])
    kind, whose = OBJECTIVES[name]
    choose(opened, "#x-weights", whose)
    choose(opened, "#x-objective", kind)
    state = click(opened, "[data-start=uniform]")
    seen = outlook(line.composite(state), np.array(state["p"]))
    told = estimate(seen.value, seen.value_B)
    # Errors of form travel in 16 bits, and own bests, which relative objectives compare with, are solved to six digits.
    assert state["interval"] == pytest.approx([told.low, told.high], rel=1e-5, abs=1e-5)
    want = [(seen.predicted[target].low, seen.predicted[target].high) for target in fit.targets]
    np.testing.assert_allclose(state["intervals"], want, rtol=1e-5)
    opened.execute_script("document.querySelector('#x-guesses').scrollIntoView()")  # rows out of sight are not drawn
    written = [f"{low:.3f} to {high:.3f}" for low, high in want]
    WebDriverWait(opened, 20).until(lambda browser: browser.execute_script(ROWS) == written)
    line_below = opened.execute_script("return document.querySelector('.score').innerText")
    low, high = state["interval"]
    assert f"{low:.4f} to {high:.4f}" in line_below.replace("−", "-")


def test_equal_weights_are_not_the_studys(opened, explored):
    """The plain mean of the study's optimum is the mean over the languages trained on, whatever the study weighed."""
    loss = page_state(opened)["loss"]
    weighted = page_state(opened)["objective"]
    state = choose(opened, "#x-weights", "equal")
    assert state["objective"] == pytest.approx(np.mean(loss[:4]), rel=1e-12)
    assert weighted == pytest.approx(np.average(loss, weights=list(STUDY["weights"].values())), rel=1e-12)
    assert abs(weighted - state["objective"]) > 1e-3


def test_the_order_of_clicks_changes_nothing(opened, explored):
    choose(opened, "#x-objective", "worst")
    choose(opened, "#x-weights", "equal")
    typed(opened, "Floor of RUS in per cent", 20)
    one = click(opened, "[data-start=natural]")
    opened.get("about:blank")
    open_page(opened, explored[0])
    click(opened, "[data-start=natural]")
    typed(opened, "Floor of RUS in per cent", 20)
    choose(opened, "#x-weights", "equal")
    choose(opened, "#x-objective", "regret")
    other = choose(opened, "#x-objective", "worst")
    assert other["p"] == pytest.approx(one["p"], abs=1e-12)
    assert other["objective"] == pytest.approx(one["objective"], rel=1e-9)


def test_starting_from_a_mixture_keeps_limits_and_held_shares_and_says_so(opened):
    state = page_state(opened)
    held = state["p"][1]
    click(opened, ".dial[data-language=rus] button")
    typed(opened, "Floor of TUR in per cent", 15)
    state = click(opened, "[data-start=current]")  # 90 % spa (ceiling 80 %), 0 % jpn (floor 2 %), 5 % rus and tur
    assert state["p"][1] == pytest.approx(held, abs=1e-9)
    assert state["p"][0] <= 0.8 + 1e-9
    assert state["p"][2] >= 0.15 - 1e-9
    assert state["p"][3] >= 0.02 - 1e-9
    assert "nearest" in state["message"]


@pytest.mark.parametrize("value", ["130", "-5", "", "95"])
def test_a_number_that_cannot_be_does_not_stay_in_its_field(opened, value):
    """95 % is a share, but above the ceiling of 80 %."""
    state, shown = typed(opened, "Share of SPA in per cent", value)
    assert float(shown) == pytest.approx(100 * state["p"][0], abs=0.06)
    assert state["message"]
    assert 0.0 <= state["p"][0] <= 0.8 + 1e-9


def test_weights_of_ones_own(opened, explored):
    choose(opened, "#x-weights", "own")
    typed(opened, "Weight of SPA", 0)
    state, _ = typed(opened, "Weight of ITA", 1000)
    assert state["weights"][0] == 0
    assert state["objective"] == pytest.approx(CommandLine(explored[1]).value(state), rel=1e-9)
    for tag in ("RUS", "TUR", "JPN"):
        typed(opened, f"Weight of {tag}", 0)
    state, shown = typed(opened, "Weight of ITA", 0)
    assert (state["weights"][4], float(shown)) == (1000, 1000)
    assert "at least" in state["message"]


def test_the_address_brings_the_same_view_back(opened, explored):
    choose(opened, "#x-weights", "own")
    typed(opened, "Weight of ITA", 7)
    choose(opened, "#x-objective", "worst")
    typed(opened, "Floor of RUS in per cent", 12.5)
    click(opened, ".dial[data-language=tur] button")
    before, _ = typed(opened, "Share of SPA in per cent", 33)
    address = opened.execute_script("return glotmix.address()")
    opened.get("about:blank")
    opened.get(explored[0].as_uri() + address)
    after = page_state(opened)
    for key in ("p", "low", "high", "weights"):
        assert after[key] == pytest.approx(before[key], abs=1e-7)
    assert (after["kind"], after["objective"]) == ("worst", pytest.approx(before["objective"], rel=1e-6))
    opened.get("about:blank")
    opened.get(explored[0].as_uri() + "#explore&p=%E0%A4:1&aim=nonsense&low=spa:7")
    state = page_state(opened)
    assert sum(state["p"]) == pytest.approx(1)


def test_solving_leaves_the_page_free(opened):
    """The answer comes from a worker: while it is asked for, the page goes on drawing."""
    assert opened.execute_script(
        """document.querySelector('#x-solve').click();
        return document.querySelector('.explorer').getAttribute('aria-busy') === 'true' && document.querySelector('#x-working').textContent.startsWith('Solving');"""
    )
    page_state(opened)
    assert opened.execute_script("return document.querySelector('#x-working').textContent") == ""


def walk(browser, line, steps, seed):
    """A random walk over everything that can be clicked; after every step the page's value is the command line's."""
    rng, solved = np.random.default_rng(seed), 0
    for _ in range(steps):
        tag = str(rng.choice(LANGUAGES))
        name, action = tag.upper(), rng.integers(9)
        if action == 0:
            state = choose(
                browser, "#x-objective", str(rng.choice(["mean", "normalised", "worst", "regret", "quantile"]))
            )
        elif action == 1:
            state = choose(browser, "#x-weights", str(rng.choice(["equal", "study", "outside", "own"])))
        elif action == 2:
            state = click(browser, f"[data-start={rng.choice(['optimum', 'natural', 'uniform', 'current'])}]")
        elif action == 3:
            state, _ = typed(browser, f"Floor of {name} in per cent", float(rng.choice([0, 2, 10, 25, 60, -3])))
        elif action == 4:
            state, _ = typed(browser, f"Ceiling of {name} in per cent", float(rng.choice([100, 80, 40, 25, 5])))
        elif action == 5:
            state = click(browser, f".dial[data-language={tag}] button")
        elif action == 6:
            state, _ = typed(browser, f"Share of {name} in per cent", float(rng.choice([0, 1, 20, 50, 99, 140])))
        elif action == 7:
            choose(browser, "#x-weights", "own")
            state, _ = typed(browser, f"Weight of {rng.choice(TARGETS).upper()}", float(rng.choice([0, 1, 10, 500])))
        else:
            state = click(browser, "#x-solve")
            found, composite = line.optimum(state)
            want = composite.value(found.p_L)
            got = composite.value(np.array(state["p"]))
            assert got <= want + 3e-6 * max(abs(want), 1e-3), (state, want, got)
            solved += 1
        assert state["objective"] == pytest.approx(line.value(state), rel=3e-6, abs=1e-9), state
        assert sum(state["p"]) == pytest.approx(1, abs=1e-9)
        low, high, p = (np.array(state[key]) for key in ("low", "high", "p"))
        assert (p >= low - 1e-7).all(), state
        assert (p <= high + 1e-7).all(), state
    return solved


def test_sixty_random_actions_keep_page_and_command_line_together(opened, explored):
    assert walk(opened, CommandLine(explored[1]), 60, 1) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_two_hundred_random_actions_keep_page_and_command_line_together(opened, explored, seed):
    assert walk(opened, CommandLine(explored[1]), 200, seed) >= 8


@pytest.mark.parametrize("more", [{"groups": {"g": {"languages": ["spa", "rus"], "floor": 0.2, "ceiling": 0.35}}}, {"kl": 0.05, "near": "current", "current": {"spa": 0.2, "rus": 0.2, "tur": 0.3, "jpn": 0.3}}])  # fmt: skip
def test_limits_on_groups_and_penalties_count_in_the_page_too(browser, tmp_path, more):
    from glotmix.report import write_report

    fit, given = fit_of(3), {**STUDY, **more}
    open_page(browser, write_report(evidence_of(fit, given), tmp_path / "limited.html"))
    state = click(browser, "[data-start=uniform]")
    if "groups" in more:
        assert state["p"][0] + state["p"][1] <= 0.35 + 1e-8
    state = click(browser, "#x-solve")
    found, composite = CommandLine(fit, given).optimum(state)
    want = composite.value(found.p_L)
    assert composite.value(np.array(state["p"])) == pytest.approx(want, rel=2e-6)
    assert composite.constraints.violation(np.array(state["p"])) < 1e-8
