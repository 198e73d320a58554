"""Pareto front, scale-up, reuse, baselines, hedging."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest

from glotmix.errors import BadInput, Infeasible
from glotmix.fit.extrapolation import beyond
from glotmix.measurements import Measurements
from glotmix.mixture.mixture import Mixture
from glotmix.optimize import Constraints, Mean, Worst, allocate, along, baselines_for, front, minimise, reuse
from glotmix.optimize.predictor import Hedged, Resample, resampled
from tests.optimize.planted import equal, log_linear, names, own_ratio


@dataclass(frozen=True)
class Chinchilla:
    """Own-ratio losses that fall with N and D: the optimal N is the textbook's, whatever the mixture."""

    languages: tuple = ("a", "b")
    targets: tuple = ("a", "b")

    def factor(self, N, D):
        return 0.5 + 400 * N**-0.34 + 410 * D**-0.28

    def loss(self, p_L, N=None, D=None):
        with np.errstate(divide="ignore"):
            return self.factor(N, D) * np.asarray(p_L) ** -0.2

    def gradient(self, p_L, N=None, D=None):
        return np.diag(-0.2 * self.factor(N, D) * np.asarray(p_L) ** -1.2)

    def bootstrap_losses(self, p_L, N=None, D=None):
        return np.empty((0, 2))


def test_the_front_ends_at_both_optima_and_no_point_beats_another():
    law = log_linear(4, seed=2)
    limits = Constraints(law.languages)
    first, second = (Mean(law.targets, {target: 1.0}) for target in law.targets[:2])
    found = front(law, first, second, limits, points=6)
    assert found[0].first == pytest.approx(minimise(law, first, limits).objective.value, rel=1e-6)
    assert found[-1].second == pytest.approx(minimise(law, second, limits).objective.value, rel=1e-6)
    assert all(a.first <= b.first + 1e-9 and a.second >= b.second - 1e-9 for a, b in itertools.pairwise(found))
    with pytest.raises(BadInput, match="worst"):
        front(law, first, Worst(law.targets, equal(law.targets)), limits)


def test_compute_optimal_size_is_the_closed_form():
    """C = 6 N D: N* = G (C/6)^(β/(α+β)), G = (αA/(βB))^(1/(α+β)); the edges of the range are 30 times off."""
    C = 1e20
    exact = (0.34 * 400 / (0.28 * 410)) ** (1 / 0.62) * (C / 6) ** (0.28 / 0.62)
    found = allocate(
        Chinchilla(), Mean(("a", "b"), equal("ab")), Constraints(("a", "b")), C, smallest=exact / 30, largest=exact * 30
    )
    assert pytest.approx(exact, rel=0.02) == found.N.value
    assert pytest.approx(C / 6 / found.N.value) == found.D.value
    assert found.N.low is None
    assert found.optimum.mixture["a"] == pytest.approx(0.5, abs=1e-3)
    assert found.warnings == ()


def test_the_best_size_has_the_interval_of_resampled_fits():
    """Coefficients A that scatter by 20 % move the textbook's N by 20 % / (α + β) = 32 %."""
    A_B = 400 * np.exp(np.random.default_rng(0).normal(0, 0.2, 60))

    class Shaken(Chinchilla):
        def bootstrap_losses(self, p_L, N=None, D=None):
            factor_B = 0.5 + A_B * N**-0.34 + 410 * D**-0.28
            with np.errstate(divide="ignore"):
                return factor_B[:, None] * np.asarray(p_L) ** -0.2

    C = 1e20
    exact_B = (0.34 * A_B / (0.28 * 410)) ** (1 / 0.62) * (C / 6) ** (0.28 / 0.62)
    middle = float(np.median(exact_B))
    found = allocate(
        Shaken(), Mean(("a", "b"), equal("ab")), Constraints(("a", "b")), C, smallest=middle / 30, largest=middle * 30
    )
    assert [found.N.low, found.N.high] == pytest.approx(np.percentile(exact_B, [2.5, 97.5]), rel=0.05)
    assert [found.D.low, found.D.high] == pytest.approx([C / 6 / found.N.high, C / 6 / found.N.low])


def test_the_optimum_follows_d_through_the_epochs_limit_and_warns_beyond_the_runs():
    limits = Constraints(("a", "b"), max_epochs=4, unique={"a": 1e6, "b": 9e6}, D=1e6)
    runs = Measurements(
        ("r",),
        ("a", "b"),
        ("a", "b"),
        np.array([[0.5, 0.5]]),
        np.ones((1, 2)),
        np.array([1e6]),
        np.array([1e6]),
        np.zeros(1, int),
        ("",),
    )
    small, large = along(Chinchilla(), Mean(("a", "b"), equal("ab")), limits, [(1e6, 1e6), (1e7, 2e7)], measured=runs)
    assert small.optimum.mixture["a"] == pytest.approx(0.5, abs=1e-3)
    assert large.optimum.mixture["a"] == pytest.approx(0.2, abs=1e-6)
    assert any("N = 1e+07 lies far outside" in warning for warning in large.warnings)
    assert beyond(None, 1e6, 1e6) == ()


def test_a_budget_that_small_models_cannot_fill_is_spent_on_larger_ones():
    """The best N is the textbook's; at the smallest sizes of the range D would repeat the texts beyond the limit."""
    C, aim = 1e20, Mean(("a", "b"), equal("ab"))
    exact = (0.34 * 400 / (0.28 * 410)) ** (1 / 0.62) * (C / 6) ** (0.28 / 0.62)
    tokens = C / 6 / exact
    for reach, best in ((3, exact), (0.5, 2 * exact)):  # texts for three times, and for half of the best D
        limits = Constraints(("a", "b"), max_epochs=4, unique=dict.fromkeys("ab", reach * tokens / 8), D=1.0)
        found = allocate(Chinchilla(), aim, limits, C, smallest=exact / 30, largest=exact * 30)
        assert found.N.value == pytest.approx(best, rel=0.02)
        assert max(found.optimum.epochs.values()) <= 4 + 1e-6
        assert any("no mixture meets the limits" in warning for warning in found.warnings)
    with pytest.raises(Infeasible):
        allocate(
            Chinchilla(), aim, replace(limits, unique=dict.fromkeys("ab", 1.0)), C, smallest=exact, largest=2 * exact
        )


def test_reuse_keeps_the_ratios_of_unaffected_languages():
    old = Mixture({"a": 0.5, "b": 0.3, "c": 0.2})
    small = reuse(old, ["d"], affected=["c"])
    assert small.languages == ("kept", "c", "d")
    full = small.expand({"kept": 0.4, "c": 0.25, "d": 0.35})
    assert full["a"] / full["b"] == pytest.approx(5 / 3)
    assert full == Mixture({"a": 0.25, "b": 0.15, "c": 0.25, "d": 0.35})
    assert small.shrink(full)["kept"] == pytest.approx(0.4)
    limits = small.limits(Constraints(("a", "b", "c", "d"), ceilings={"a": 0.25}, floors={"b": 0.03, "d": 0.1}))
    assert limits.ceilings["kept"] == pytest.approx(0.4)
    assert limits.floors == pytest.approx({"kept": 0.08, "c": 0.0, "d": 0.1})
    with pytest.raises(BadInput, match="a is in the earlier mixture"):
        reuse(old, ["a"])


def test_baselines_are_those_that_can_be_formed():
    unique = {"a": 3e6, "b": 1e6}
    found = baselines_for(("a", "b"), unique=unique, D=8e6, max_epochs=4, current={"a": 1.0})
    assert list(found) == ["natural", "uniform", "temperature", "unimax", "current"]
    assert found["natural"]["a"] == pytest.approx(0.75)
    assert found["unimax"]["b"] == pytest.approx(0.5)
    assert list(baselines_for(("a", "b"))) == ["uniform"]


def test_the_optimum_of_another_law_is_a_baseline():
    law, other = log_linear(3, seed=1), own_ratio(3, seed=1)
    aim, limits = Mean(law.targets, equal(law.targets)), Constraints(law.languages)
    found = baselines_for(law.languages, others={"own_ratio": other}, objective=aim, constraints=limits)
    assert found["own_ratio"].total_variation(minimise(other, aim, limits).mixture) < 1e-4


def test_a_resample_differentiates_itself_and_hedging_is_mean_plus_deviation():
    law = log_linear(4, seed=1, noise=0.3, B=5)
    p_L = np.array([0.1, 0.2, 0.3, 0.4])
    one = resampled(law, 2)
    assert isinstance(one, Resample)
    exact_TL = np.exp(law.A_BTL[2] @ p_L)[:, None] * law.A_BTL[2]
    np.testing.assert_allclose(one.gradient(p_L), exact_TL, rtol=1e-6, atol=1e-8)
    hedge = Hedged(tuple(resampled(law, b) for b in range(5)), 0.7)
    loss_BT = law.bootstrap_losses(p_L)
    np.testing.assert_allclose(hedge.loss(p_L), loss_BT.mean(0) + 0.7 * loss_BT.std(0))
    numeric = np.stack([(hedge.loss(p_L + h) - hedge.loss(p_L - h)) / 2e-5 for h in 1e-5 * np.eye(4)], axis=1)
    np.testing.assert_allclose(hedge.gradient(p_L), numeric, rtol=1e-4, atol=1e-6)


def test_a_cautious_choice_avoids_what_the_law_does_not_know():
    """Two languages alike on average; the law knows one of them much less."""
    rng = np.random.default_rng(0)
    base = log_linear(2, seed=1)
    A_TL = np.array([[-1.0, -1.0], [-1.0, -1.0]])
    shaken = np.repeat(A_TL[None], 40, 0)
    shaken[:, :, 1] += 0.8 * rng.normal(size=(40, 1))
    law = type(base)(names(2), names(2), A_TL, np.ones(2), shaken)
    found = minimise(law, Mean(law.targets, equal(law.targets)), Constraints(law.languages), caution=1.0, resamples=40)
    assert found.mixture["l00"] > 0.7  # as fitted, every mixture is equally good
