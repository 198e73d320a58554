import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.objective import Mean, Normalised, Objective, Penalty, Quantile, Regret, Worst, objective_from
from tests.optimize.planted import equal

TARGETS = ("a", "b", "c", "d")
LOSS = np.array([1.0, 2.0, 4.0, 9.0])
BEST = {"a": 0.5, "b": 2.0, "c": 1.0, "d": 1.0}
MEMBERS = {"a": 1.0, "b": 1.0, "c": 2.0}


@pytest.mark.parametrize(
    ("objective", "value"),
    [
        (Mean(TARGETS, MEMBERS), (1 + 2 + 8) / 4),
        (Normalised(TARGETS, MEMBERS, BEST), (2 + 1 + 8) / 4),
        (Worst(TARGETS, MEMBERS, BEST), 8.0),
        (Regret(TARGETS, MEMBERS, BEST), 6.0),
        (Quantile(TARGETS, MEMBERS, BEST, q=0.5), 2.0),
        (Quantile(TARGETS, MEMBERS, BEST, q=1.0), 4.0),
    ],
)
def test_values_are_those_of_the_definition_and_survive_json(objective, value):
    assert objective(LOSS) == pytest.approx(value)
    np.testing.assert_allclose(objective.value(np.stack([LOSS, 2 * LOSS]))[0], value)
    again = Objective.from_json(objective.to_json(), TARGETS)
    assert again(dict(zip(TARGETS, LOSS, strict=True))) == pytest.approx(value)


def test_a_loss_that_does_not_count_may_be_unknown():
    assert Mean(TARGETS, {"a": 1.0})(np.array([3.0, np.nan, np.nan, np.nan])) == 3


def test_targets_outside_the_mixture_count_only_when_asked():
    assert objective_from(OptimizeConfig(), TARGETS, ("a", "b")).members.tolist() == [0, 1]
    assert objective_from(OptimizeConfig(weights={"d": 2.0}), TARGETS, ("a", "b")).members.tolist() == [0, 1, 3]
    only = objective_from(OptimizeConfig(objective="weighted", weights={"d": 2.0}), TARGETS, ("a", "b"))
    assert only.members.tolist() == [3]


def test_a_weight_of_no_target_is_an_error():
    with pytest.raises(BadInput, match="weight of x"):
        objective_from(OptimizeConfig(weights={"x": 1.0}), TARGETS, TARGETS)


@pytest.mark.parametrize("kind", ["kl", "l1"])
def test_a_penalty_is_zero_at_its_reference_and_its_gradient_is_exact(kind):
    penalty = Penalty(0.3, kind=kind)
    reference_L, p_L = np.array([0.2, 0.3, 0.5]), np.array([0.4, 0.35, 0.25])
    assert penalty.evaluate(reference_L, reference_L)[0] == pytest.approx(0, abs=1e-12)
    numeric = [
        (penalty.evaluate(p_L + h, reference_L)[0] - penalty.evaluate(p_L - h, reference_L)[0]) / 2e-6
        for h in 1e-6 * np.eye(3)
    ]
    np.testing.assert_allclose(penalty.evaluate(p_L, reference_L)[1], numeric, rtol=1e-6)
    if kind == "l1":
        assert penalty.evaluate(p_L, reference_L)[0] == pytest.approx(0.3 * 0.5, rel=1e-3)
    else:
        assert penalty.evaluate(p_L, reference_L)[0] == pytest.approx(0.3 * (p_L * np.log(p_L / reference_L)).sum())


def test_equal_weights_are_the_mean():
    assert Mean(TARGETS, equal(TARGETS))(LOSS) == LOSS.mean()


def test_a_study_names_its_objective_its_quantile_and_what_it_holds_on_to():
    found = objective_from(OptimizeConfig(objective="quantile", quantile=0.5), TARGETS, TARGETS)
    assert isinstance(found, Quantile)
    assert found.q == 0.5
    current = dict(zip(TARGETS, (0.5, 0.3, 0.2), strict=False))
    held = objective_from(OptimizeConfig(objective="regret", l1=0.1, near="current", current=current), TARGETS, TARGETS)
    assert isinstance(held, Regret)
    assert held.penalty == Penalty(0.1, current, "l1")
    with pytest.raises(ValueError, match="one of them"):
        OptimizeConfig(kl=0.1, l1=0.1)
    with pytest.raises(ValueError, match="no current mixture"):
        OptimizeConfig(kl=0.1, near="current")
