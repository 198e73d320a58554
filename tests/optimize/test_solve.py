import io
import json

import numpy as np
import pytest
from scipy.optimize import brentq

from glotmix.errors import BadInput
from glotmix.fit import fit
from glotmix.measurements import Measurements
from glotmix.mixture.mixture import Mixture
from glotmix.optimize import (
    Constraints,
    Group,
    Mean,
    Normalised,
    Optimum,
    Penalty,
    Quantile,
    Regret,
    Worst,
    minimise,
)
from glotmix.optimize.certificate import certify
from glotmix.optimize.composite import Composite
from glotmix.optimize.search import certified, search
from tests.optimize.planted import LogLinear, OwnRatio, equal, log_linear, names, own_ratio


def grid(step=0.005):
    """All mixtures of three languages on a lattice."""
    n = round(1 / step)
    return np.array([(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)]) / n


@pytest.mark.parametrize("L", [2, 5, 40])
def test_he_et_al_mixture_is_the_closed_form(L):
    """KKT: p_i = (w_i c_i γ_i / μ)^(1 / (1 + γ_i)), one μ for all. Uniform shares miss it by up to 0.4 at L = 2."""
    law = own_ratio(L, seed=L)
    weights = dict(zip(law.targets, np.random.default_rng(1).uniform(0.5, 2, L), strict=True))
    scale_L = np.array([weights[t] for t in law.targets]) * law.c_L * law.gamma_L

    def shares(log_mu):
        return (scale_L / np.exp(log_mu)) ** (1 / (1 + law.gamma_L))

    expected_L = shares(brentq(lambda x: shares(x).sum() - 1, -20, 20, xtol=1e-14))
    found = minimise(law, Mean(law.targets, weights), Constraints(law.languages))
    assert found.status == "converged"
    np.testing.assert_allclose(found.mixture.vector(law.languages), expected_L, atol=2e-5)


def test_he_et_al_normalised_mixture_does_not_depend_on_the_size_of_the_losses():
    law = own_ratio(4, seed=2)
    bigger = OwnRatio(law.languages, law.c_L * np.array([1.0, 5.0, 0.2, 3.0]), law.gamma_L)
    limits = Constraints(law.languages)
    one, two = (minimise(x, Normalised(x.targets, equal(x.targets)), limits).mixture for x in (law, bigger))
    np.testing.assert_allclose(one.vector(law.languages), two.vector(law.languages), atol=1e-4)


@pytest.mark.parametrize("kind", [Mean, Worst])
@pytest.mark.parametrize("factor", [1e-3, 1e-2, 0.1])
def test_a_share_of_a_billionth_that_is_too_small_is_no_fault(kind, factor):
    """A divergence's slope has no end at zero: what no loss shows must not make an optimum one that may be none."""
    law = log_linear(4, seed=4)
    penalty = Penalty(0.05, dict(zip(law.languages, [0.5, 0.3, 0.2 - 1e-9, 1e-9], strict=True)))
    composite = Composite(
        law, kind(law.targets, equal(law.targets), best=equal(law.targets), penalty=penalty), Constraints(law.languages)
    )
    best_L = search(composite, [np.full(4, 0.25)]).p_L
    assert best_L[3] < 1e-6
    moved_L = best_L * np.array([1, 1, 1, factor])
    moved_L /= moved_L.sum()
    assert certify(composite, moved_L).gap > 1e-4
    assert composite.value(moved_L) < composite.value(best_L) + 1e-6
    p_L, value, certificate = certified(composite, moved_L)
    assert certificate.gap < 1e-6
    assert value == pytest.approx(composite.value(best_L), abs=1e-6)
    np.testing.assert_allclose(p_L, best_L, atol=1e-6)


@pytest.mark.parametrize("kind", [Mean, Worst])
def test_an_optimum_of_a_law_with_a_process_is_one_although_slopes_at_zero_have_no_end(kind):
    """Two of five languages have no share to speak of at the optimum. By the slopes there "another mixture may be better
    by" many times the objective; none of thousands around it is, and none with a language left out or brought in."""
    rng = np.random.default_rng(3)
    p_RL = rng.dirichlet(np.full(5, 0.6), 90)
    wave_R = 0.04 * np.sin(4 * np.sqrt(p_RL[:, 3])) + 0.03 * np.cos(5 * np.sqrt(p_RL[:, 4]))
    loss_RT = 2 * (p_RL[:, :3] + 0.02 * p_RL.sum(axis=1)[:, None]) ** -0.1 * np.exp(wave_R)[:, None]
    loss_RT *= np.exp(rng.normal(0, 0.003, loss_RT.shape))
    unknown, runs = np.full(90, np.nan), tuple(f"r{r}" for r in range(90))
    table = Measurements(runs, names(5), names(5)[:3], p_RL, loss_RT, unknown, unknown, np.zeros(90, int), ("",) * 90)
    law = fit("shapley_law+gaussian_process", table, starts=2)
    aim = kind(law.targets, equal(law.targets), best=equal(law.targets))
    found = minimise(law, aim, Constraints(law.languages))
    assert found.status == "converged"
    composite = Composite(law, aim, Constraints(law.languages))
    best_L = found.mixture.vector(law.languages)
    assert best_L.min() < 0.01
    step_C = np.repeat([0.001, 0.01, 0.1, 1.0], 1000)[:, None]
    around_CL = (1 - step_C) * best_L + step_C * rng.dirichlet(np.full(5, 0.3), 4000)
    swapped_CL = [best_L + share * (np.eye(5)[a] - np.eye(5)[b]) for a in range(5) for b in range(5) for share in (best_L[b], 0.5 * best_L[b])]  # fmt: skip
    best = composite.value(best_L)
    assert min(composite.value(p_L) for p_L in [*around_CL, *swapped_CL]) > best - 1e-6 * best


@pytest.mark.parametrize("kind", [Mean, Normalised, Worst, Regret, Quantile])
def test_no_mixture_on_a_fine_grid_of_three_languages_is_better(kind):
    law = log_linear(3, seed=4)
    limits = Constraints(law.languages, floors={"l00": 0.05}, ceilings={"l01": 0.3})
    found = minimise(law, kind(law.targets, equal(law.targets)), limits)
    assert found.status == "converged"
    allowed = [p_L for p_L in grid() if limits.violation(p_L) < 1e-9]
    best = min(float(found.aim.value(law.loss(p_L))) for p_L in allowed)
    uniform = float(found.aim.value(law.loss(limits.project_kl(np.ones(3)))))
    assert found.objective.value <= best + 1e-9  # the even mixture is above it by more than 1e-3
    assert uniform > best + 1e-3


@pytest.mark.parametrize(("L", "grouped"), [(8, False), (30, True), (100, False)])
def test_the_gap_to_clarabel_is_below_1e6(L, grouped):
    """The even mixture is above the optimum by more than 0.01 on each of these."""
    cp = pytest.importorskip("cvxpy")
    law = log_linear(L, seed=L)
    natural_L = np.random.default_rng(L).dirichlet(np.full(L, 2.0))
    groups = {f"g{g}": Group(law.languages[g * L // 3 : (g + 1) * L // 3], 0.1, 0.36) for g in range(3 * grouped)}
    ceilings = dict.fromkeys(law.languages, max(0.04, 2 / L))
    limits = Constraints(law.languages, floors={"l01": 0.01}, ceilings=ceilings, groups=groups)
    penalty = Penalty(0.05, dict(zip(law.languages, natural_L, strict=True)))
    aim = Mean(law.targets, equal(law.targets), penalty=penalty)
    found = minimise(law, aim, limits, starts=2)
    x = cp.Variable(L)
    held = [cp.sum(x) == 1, x >= limits.floor_L, x <= limits.ceiling_L]
    if grouped:
        held += [limits.rows_GL @ x >= limits.low_G, limits.rows_GL @ x <= limits.high_G]
    cost = cp.sum(law.c_T + cp.exp(law.A_TL @ x)) / L + 0.05 * cp.sum(cp.rel_entr(x, natural_L))
    problem = cp.Problem(cp.Minimize(cost), held)
    problem.solve(solver="CLARABEL")
    assert problem.status == "optimal"
    p_L = found.mixture.vector(law.languages)
    composite = Composite(law, aim, limits)
    assert composite.value(p_L) - problem.value < 1e-6
    assert composite.value(limits.project_kl(np.ones(L))) - problem.value > 0.01
    assert limits.violation(p_L) < 1e-9
    assert found.status == "converged"


@pytest.mark.parametrize("kind", ["mean", "worst"])
def test_with_kept_shares_the_optimum_is_clarabels_and_all_baselines_are_judged_as_they_are(kind):
    """Two groups keep their inner shares, a third has epochs of its own; a penalty holds on to another mixture."""
    cp = pytest.importorskip("cvxpy")
    law, rng = log_linear(12, seed=5), np.random.default_rng(5)
    within = {name: rng.dirichlet(np.ones(4)) for name in ("x", "y")}
    members = {"x": law.languages[:4], "y": law.languages[4:8], "z": law.languages[8:11]}
    kept = {
        n: Group(members[n], 0.05, 0.7, within=dict(zip(members[n], r_L, strict=True))) for n, r_L in within.items()
    }
    unique = dict.fromkeys(law.languages, 1e6)
    groups = {**kept, "z": Group(members["z"], max_epochs=2.0)}
    limits = Constraints(law.languages, {"l01": 0.01}, {"l05": 0.1}, unique=unique, D=3e7, groups=groups)
    natural_L = rng.dirichlet(np.full(12, 2.0))
    penalty = Penalty(0.05, dict(zip(law.languages, natural_L, strict=True)))
    weights = equal(law.targets)
    best = {} if kind == "mean" else dict(zip(law.targets, np.linspace(0.6, 1.4, len(law.targets)), strict=True))
    aim = (Mean if kind == "mean" else Worst)(law.targets, weights, best, penalty)
    found = minimise(
        law, aim, limits, starts=3, baselines={"uniform": Mixture.normalised(dict.fromkeys(law.languages, 1))}
    )
    x = cp.Variable(12)
    held = [cp.sum(x) == 1, x >= limits.floor_L, x <= limits.ceiling_L, cp.sum(x[8:11]) <= 0.2]
    for start, r_L in ((0, within["x"]), (4, within["y"])):
        held += [x[start : start + 4] == r_L * cp.sum(x[start : start + 4])]
        held += [cp.sum(x[start : start + 4]) >= 0.05, cp.sum(x[start : start + 4]) <= 0.7]
    losses = law.c_T + cp.exp(law.A_TL @ x)
    if kind == "mean":
        value = cp.sum(losses) / len(law.targets)
    else:
        value = cp.max(cp.multiply(losses, 1 / np.array(list(best.values()))))
    problem = cp.Problem(cp.Minimize(value + 0.05 * cp.sum(cp.rel_entr(x, natural_L))), held)
    problem.solve(solver="CLARABEL")
    assert problem.status == "optimal"
    p_L = found.mixture.vector(law.languages)
    assert limits.violation(p_L) < 1e-8
    assert Composite(law, aim, limits).value(p_L) - problem.value < 2e-6
    assert found.status == "converged"
    (uniform,) = found.baselines
    assert dict(uniform.mixture) == pytest.approx(dict.fromkeys(law.languages, 1 / 12))
    assert any("shares inside x" in words for words in uniform.broken)


def test_the_worst_language_is_as_good_as_clarabel_makes_it():
    cp = pytest.importorskip("cvxpy")
    law = log_linear(10, seed=7)
    best = dict(zip(law.targets, np.linspace(0.6, 1.4, 10), strict=True))
    found = minimise(law, Worst(law.targets, equal(law.targets), best), Constraints(law.languages))
    x = cp.Variable(10, nonneg=True)
    cost = cp.max(cp.multiply(law.c_T + cp.exp(law.A_TL @ x), 1 / np.array(list(best.values()))))
    problem = cp.Problem(cp.Minimize(cost), [cp.sum(x) == 1])
    problem.solve(solver="CLARABEL")
    assert problem.status == "optimal"
    assert found.objective.value - problem.value < 1e-6


def test_renaming_and_reordering_languages_changes_only_the_names():
    law = log_linear(5, seed=3)
    order = [3, 0, 4, 1, 2]
    mixed = LogLinear(
        tuple(law.languages[i] for i in order),
        tuple(law.targets[i] for i in order),
        law.A_TL[np.ix_(order, order)],
        law.c_T[order],
    )
    found = [minimise(x, Mean(x.targets, equal(x.targets)), Constraints(x.languages)).mixture for x in (law, mixed)]
    assert found[0].total_variation(found[1]) < 1e-5


def test_the_optimum_is_never_predicted_worse_than_an_allowed_baseline():
    law = log_linear(6, seed=5)
    rng = np.random.default_rng(0)
    baselines = {f"b{i}": Mixture.from_vector(law.languages, rng.dirichlet(np.full(6, 0.3))) for i in range(5)}
    found = minimise(law, Mean(law.targets, equal(law.targets)), Constraints(law.languages), baselines=baselines)
    assert all(gain.value >= 0 for gain in found.gains.values())


def test_multipliers_are_the_change_of_the_optimum_when_a_limit_gives_way():
    law = log_linear(4, seed=8)
    aim = Mean(law.targets, equal(law.targets))

    def at(floor):
        return minimise(law, aim, Constraints(law.languages, floors={"l00": floor}))

    numeric = (at(0.6 + 1e-4).objective.value - at(0.6 - 1e-4).objective.value) / 2e-4
    active = at(0.6).active
    assert [one.limit for one in active] == ["floor 0.6 of l00"]
    assert active[0].multiplier == pytest.approx(numeric, rel=1e-3)
    assert numeric > 0.01  # the limit does cost something
    assert "one percentage point less would lower the objective" in active[0].words


@pytest.mark.parametrize("bound", ["ceiling", "epochs"])
def test_a_price_at_a_bound_is_what_one_point_really_brings(bound):
    """A share of 1e-6 has a slope of hundreds per unit, a whole point brings what the second optimum says."""
    law = own_ratio(4, seed=2)
    aim = Mean(law.targets, equal(law.targets))

    def under(share):
        if bound == "ceiling":
            limits = Constraints(law.languages, ceilings={"l01": share})
        else:
            unique = dict.fromkeys(law.languages, 1e9) | {"l01": share * 1e6}
            limits = Constraints(law.languages, max_epochs=1, unique=unique, D=1e6)
        return minimise(law, aim, limits)

    found = under(1e-6)
    really = found.objective.value - under(1e-6 + 0.01).objective.value
    (active,) = found.active
    assert active.change == pytest.approx(really, rel=1e-3)
    assert active.multiplier * 0.01 > 20 * really  # what was printed before
    assert f"by {really:.2g} ({100 * really / found.objective.value:.2g} %)" in active.words
    more = found.prices["l01"]["l01"]
    assert more == pytest.approx(
        (1e-6 + 0.01 * (1 - 1e-6)) ** -law.gamma_L[1] / (1e-6) ** -law.gamma_L[1] - 1, rel=1e-3
    )
    assert more > -1


def test_a_floor_of_less_than_a_point_is_priced_as_a_whole():
    law = log_linear(4, seed=8)
    aim = Mean(law.targets, equal(law.targets))
    free = minimise(law, aim, Constraints(law.languages))
    last = min(free.mixture, key=lambda language: free.mixture[language])
    found = minimise(law, aim, Constraints(law.languages, floors={last: free.mixture[last] + 0.005}))
    (active,) = found.active
    assert active.change == pytest.approx(found.objective.value - free.objective.value, rel=0.02)
    assert "percentage point" in active.words


def test_prices_are_the_change_of_each_loss_for_one_more_percentage_point():
    law = log_linear(4, seed=9)
    found = minimise(law, Mean(law.targets, equal(law.targets)), Constraints(law.languages))
    p_L = found.mixture.vector(law.languages)
    step_L = (np.eye(4)[2] - p_L) / (1 - p_L[2])
    numeric = law.loss(p_L + 0.01 * step_L) / law.loss(p_L) - 1
    np.testing.assert_allclose([found.prices["l02"][t] for t in law.targets], numeric, rtol=1e-9)
    dearest = law.targets[int(np.argmax(numeric))]
    words = f"One more percentage point of l02 costs {dearest} {100 * numeric.max():.2g} % and gives l02 "
    assert any(sentence.startswith(words) for sentence in found.price_words())


def test_a_gain_is_paired_so_common_uncertainty_cancels():
    """All resamples shift every loss together: each value is uncertain by ± 20 %, the gain by ± 20 % of itself only."""
    law = own_ratio(3, seed=1)
    shift_B = np.exp(0.1 * np.random.default_rng(0).normal(size=(200, 1)))
    law = OwnRatio(law.languages, law.c_L, law.gamma_L, law.c_L * shift_B)
    baseline = {"skewed": Mixture(dict(zip(law.languages, (0.8, 0.1, 0.1), strict=True)))}
    found = minimise(
        law, Mean(law.targets, equal(law.targets)), Constraints(law.languages), baselines=baseline, resamples=4
    )
    gain = found.gains["skewed"]
    assert gain.certain
    assert gain.high - gain.low < 0.6 * gain.value
    assert found.objective.high - found.objective.low > gain.value


def test_the_winners_curse_is_seen_and_taken_off():
    """Fits of a known law, each shaken; the honest value is nearer to the truth on average than the claimed one."""
    truth = log_linear(6, seed=11)
    rng = np.random.default_rng(0)
    aim, limits = Mean(truth.targets, equal(truth.targets)), Constraints(truth.languages)
    claimed, honest = [], []
    for _ in range(6):
        A_TL = truth.A_TL + 0.3 * rng.normal(size=truth.A_TL.shape)
        fitted = LogLinear(truth.languages, truth.targets, A_TL, truth.c_T, A_TL + 0.3 * rng.normal(size=(12, 6, 6)))
        found = minimise(fitted, aim, limits, starts=2, resamples=12)
        real = float(aim.value(truth.loss(found.mixture.vector(truth.languages))))
        claimed.append(real - found.objective.value)
        honest.append(real - found.honest)
    assert np.mean(claimed) > 0.01  # the optimum looks better than it is
    assert abs(np.mean(honest)) < abs(np.mean(claimed))


def test_shares_may_move_within_the_noise_and_the_optimum_lies_in_their_range():
    law = log_linear(4, seed=6, noise=0.2, B=30)
    limits = Constraints(law.languages, ceilings={"l01": 0.3})
    found = minimise(law, Mean(law.targets, equal(law.targets)), limits, resamples=12)
    for language, (low, high) in found.spread.items():
        assert low - 1e-9 <= found.mixture[language] <= high + 1e-9
        assert high - low > 1e-3
    exact = log_linear(4, seed=6, noise=1e-6, B=10)
    narrow = minimise(exact, Mean(law.targets, equal(law.targets)), limits, resamples=6).spread
    assert max(high - low for low, high in narrow.values()) < 1e-2


def test_a_share_beyond_all_measured_mixtures_is_called_extrapolation():
    law = log_linear(3, seed=4)
    aim, limits = Mean(law.targets, equal(law.targets)), Constraints(law.languages)
    inside = minimise(law, aim, limits, measured=np.eye(3)).nearest
    outside = minimise(
        law, aim, limits, measured=np.array([[0.9, 0.05, 0.05], [0.8, 0.2, 0.0], [0.85, 0.0, 0.15]])
    ).nearest
    assert not inside.extrapolates
    assert outside.extrapolates
    assert 0 < outside.distance < 1


def test_an_optimum_reads_back_from_json_as_it_was_and_prints():
    law = own_ratio(3, seed=1, noise=0.02, B=10)
    baselines = {
        "uniform": Mixture.normalised(equal(law.languages)),
        "without": Mixture.from_vector(law.languages, (0.5, 0.5, 0)),
    }
    limits = Constraints(law.languages, floors={"l02": 0.05}, max_epochs=4, unique=equal(law.languages), D=6.0)
    found = minimise(
        law, Worst(law.targets, equal(law.targets)), limits, baselines=baselines, measured=np.eye(3), resamples=4
    )
    text = json.dumps(found.to_json(), allow_nan=False)
    assert Optimum.from_json(json.loads(text)).to_json() == found.to_json()
    assert found.baselines[1].broken == ("floor 0.05 of l02",)
    assert found.baselines[1].objective.value == np.inf
    assert found.epochs == pytest.approx({name: share * 6 for name, share in found.mixture.items()})
    from rich.console import Console

    console = Console(width=160, record=True, file=io.StringIO())
    console.print(found.table())
    assert "uniform" in console.export_text()


def test_a_law_that_says_nothing_of_a_counting_target_is_an_error():
    law = LogLinear(names(2), names(2), np.full((2, 2), np.nan), np.ones(2))
    with pytest.raises(BadInput, match="predicts nothing for l00, l01"):
        minimise(law, Mean(law.targets, equal(law.targets)), Constraints(law.languages))


def test_a_law_that_is_infinite_everywhere_allowed_is_an_error():
    law = own_ratio(3, seed=1)
    with pytest.raises(BadInput, match="loss of l00 is infinite"):
        minimise(law, Mean(law.targets, equal(law.targets)), Constraints(law.languages, ceilings={"l00": 0.0}))


def test_the_same_seed_gives_the_same_optimum():
    law = log_linear(5, seed=1, noise=0.1, B=8)
    runs = [
        minimise(law, Mean(law.targets, equal(law.targets)), Constraints(law.languages), seed=3, resamples=4)
        for _ in range(2)
    ]
    assert runs[0].to_json() == runs[1].to_json()
