import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from glotmix.errors import BadInput, Infeasible
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.constraint import Constraints, Group, constraints_from


@st.composite
def problems(draw):
    """Limits that at least one mixture meets, overlapping groups among them, and a point to project."""
    L = draw(st.integers(2, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    inside = rng.dirichlet(np.full(L, 0.5))
    languages = tuple(f"l{i}" for i in range(L))
    floors = {name: p * rng.uniform() for name, p in zip(languages, inside, strict=True) if rng.random() < 0.5}
    ceilings = {
        name: p + (1 - p) * rng.uniform() for name, p in zip(languages, inside, strict=True) if rng.random() < 0.5
    }
    groups = {}
    for g in range(draw(st.integers(0, 3))):
        members = tuple(name for name in languages if rng.random() < 0.5)
        held = sum(p for name, p in zip(languages, inside, strict=True) if name in members)
        if members:
            tight = rng.random() < 0.3  # floor and ceiling equal: an equality in disguise
            high = held if tight else held + (1 - held) * rng.uniform()
            groups[f"g{g}"] = Group(members, held * rng.uniform(), min(high, 1.0))
    return Constraints(languages, floors, ceilings, groups=groups), rng


def no_better(constraints, slope_L, p_L):
    """First-order optimality over a polytope: no allowed point lies down the slope."""
    return slope_L @ p_L - linprog(slope_L, **constraints.linear_program()).fun


@given(problems())
def test_the_projection_is_allowed_to_1e9_and_no_allowed_point_is_nearer(problem):
    constraints, rng = problem
    x_L = rng.normal(0, 1, len(constraints.languages))
    p_L = constraints.project(x_L)
    assert constraints.violation(p_L) < 1e-9
    assert no_better(constraints, p_L - x_L, p_L) < 1e-7


@given(problems())
def test_the_proportional_projection_minimises_the_kl_divergence(problem):
    constraints, rng = problem
    weight_L = rng.dirichlet(np.full(len(constraints.languages), 0.3)) + 1e-9
    p_L = constraints.project_kl(weight_L)
    assert constraints.violation(p_L) < 1e-9
    assert no_better(constraints, np.log(np.maximum(p_L, 1e-300) / weight_L), p_L) < 1e-6


def test_an_allowed_point_is_its_own_projection():
    constraints = Constraints(tuple("abc"), floors={"a": 0.1}, ceilings={"b": 0.5})
    p_L = np.array([0.2, 0.3, 0.5])
    np.testing.assert_allclose(constraints.project(p_L), p_L, atol=1e-15)
    np.testing.assert_allclose(constraints.project_kl(p_L), p_L, atol=1e-15)


def test_the_epochs_limit_is_a_ceiling_of_unique_tokens_times_epochs_over_tokens():
    limits = constraints_from(OptimizeConfig(max_epochs=4), ("a", "b"), unique={"a": 1e6, "b": 9e6}, D=2e7)
    np.testing.assert_allclose(limits.ceiling_L, [0.2, 1.0])
    assert limits.broken({"a": 0.3, "b": 0.7}) == (
        "ceiling 0.2 of a, which is 4 passes over its 1.00\u202fmillion unique tokens in 20.0\u202fmillion (max_epochs)",
    )


def test_floors_that_add_up_to_more_than_one_are_named_and_no_others():
    with pytest.raises(Infeasible) as error:
        Constraints(tuple("abcd"), floors={"a": 0.6, "b": 0.5, "c": 0.02}, ceilings={"d": 0.9})
    assert "floor 0.6 of a; floor 0.5 of b" in str(error.value).replace(
        "floor 0.5 of b; floor 0.6 of a", "floor 0.6 of a; floor 0.5 of b"
    )
    assert "1.1" in str(error.value)
    assert " c" not in str(error.value)
    assert " d" not in str(error.value)


def test_too_few_unique_tokens_for_the_epochs_limit_tell_how_many_tokens_would_fit():
    with pytest.raises(Infeasible, match=r"at most D = 8e\+06 tokens would fit, or max_epochs = 5"):
        Constraints(tuple("ab"), max_epochs=4, unique={"a": 1e6, "b": 1e6}, D=1e7)


def test_a_group_floor_that_its_members_ceilings_cannot_fill_is_explained():
    with pytest.raises(Infeasible) as error:
        Constraints(tuple("abc"), ceilings={"a": 0.1, "b": 0.1, "c": 0.95}, groups={"g": Group(("a", "b"), floor=0.3)})
    for part in ("floor 0.3 of group g", "ceiling 0.1 of a", "ceiling 0.1 of b"):
        assert part in str(error.value)
    assert "of c" not in str(error.value)


def test_a_floor_above_a_ceiling_names_the_two():
    with pytest.raises(Infeasible, match=r"floor 0.5 of a.*ceiling 0.4 of a|ceiling 0.4 of a.*floor 0.5 of a"):
        Constraints(tuple("ab"), floors={"a": 0.5}, ceilings={"a": 0.4})


def test_the_set_that_is_named_is_the_smallest_though_others_could_not_be_cut_either():
    """Four floors of 0.3 ask for 1.2, and none of the four can be left out; a group that is given too little needs two
    limits. Deletion from the loosest on keeps the four."""
    languages = ("a", "b", "c", "d", "e")
    floors = dict.fromkeys("abcd", 0.3)
    with pytest.raises(Infeasible) as told:
        Constraints(languages, floors, groups={"west": Group(("a", "e"), ceiling=0.25)})
    words = str(told.value)
    assert "floor 0.3 of a" in words
    assert "ceiling 0.25 of group west" in words
    assert words.count("floor") == 1
    many = tuple(f"l{i}" for i in range(60))
    with pytest.raises(Infeasible) as told:
        Constraints(many, {name: 0.01 + 0.0005 * i for i, name in enumerate(many)})
    # The largest floors, 0.0395 downwards: 32 of them first add up to more than 1.
    assert str(told.value).count("floor") == 32


def test_limits_that_touch_by_rounding_are_feasible():
    third = dict.fromkeys("abc", 1 / 3)
    constraints = Constraints(tuple("abc"), floors=third, ceilings=third)
    np.testing.assert_allclose(constraints.project(np.array([9.0, -3, 0])), 1 / 3, atol=1e-12)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"floors": {"x": 0.1}}, "floors: x is not in the mixture"),
        ({"floors": {"a": 1.2}}, "a = 1.2"),
        ({"max_epochs": 4.0}, "D = None"),
        ({"max_epochs": 4.0, "D": 1e6, "unique": {"a": 1e6}}, "unique tokens of b"),
        ({"groups": {"g": Group(("a",), floor=1.5)}}, "groups.g"),
    ],
)
def test_bad_limits_name_the_field_and_the_value(given, told):
    with pytest.raises(BadInput) as error:
        Constraints(("a", "b"), **given)
    assert told in str(error.value)


def test_a_group_in_a_study_file_with_an_unknown_key_is_an_error():
    config = OptimizeConfig(max_epochs=None, groups={"g": {"languages": ["a"], "minimum": 0.1}})
    with pytest.raises(BadInput, match="unknown key minimum"):
        constraints_from(config, ("a", "b"))


class TestKept:
    """Groups whose members keep their relative shares, or whose sum is kept, or that have epochs of their own."""

    LANGUAGES = tuple("abcdef")

    def kept(self, **more):
        groups = {
            "x": Group(("a", "b"), within={"a": 0.75, "b": 0.25}),
            "y": Group(("c", "d", "e"), 0.1, 0.6, within={"c": 0.2, "d": 0.0, "e": 0.8}),
            **more.pop("groups", {}),
        }
        return Constraints(self.LANGUAGES, groups=groups, **more)

    @pytest.mark.parametrize("seed", range(8))
    def test_both_projections_land_inside_and_are_the_nearest(self, seed):
        rng = np.random.default_rng(seed)
        limits = self.kept(floors={"a": 0.1, "f": 0.05}, ceilings={"e": 0.3, "b": 0.2})
        weight_L = rng.dirichlet(np.ones(6))
        found_L = limits.project_kl(weight_L)
        assert limits.violation(found_L) < 1e-9
        assert limits.violation(limits.project(weight_L)) < 1e-9
        assert found_L[1] == pytest.approx(found_L[0] / 3)
        assert found_L[3] == 0

        def distance(p_L):
            some = p_L > 0
            return float((p_L[some] * np.log(p_L[some] / weight_L[some])).sum())

        for _ in range(50):  # no other allowed mixture is nearer
            other_L = limits.project_kl(rng.dirichlet(np.ones(6)))
            assert distance(found_L) <= distance(other_L) + 1e-9

    def test_a_linear_aim_ends_where_the_linear_program_does(self):
        from scipy.optimize import linprog

        rng, limits = np.random.default_rng(3), self.kept(floors={"f": 0.05}, ceilings={"e": 0.3})
        for _ in range(6):
            cost_L = rng.normal(size=6)
            found = linprog(cost_L, **limits.linear_program())
            p_L = limits.project_kl(np.ones(6))
            for _ in range(100):  # multiplicative steps alone
                p_L = limits.project_kl(np.maximum(p_L, 1e-12) * np.exp(-20.0 * cost_L))
            assert cost_L @ p_L == pytest.approx(found.fun, abs=2e-3)  # KL(end, start) / 2000 at most

    def test_a_floor_that_the_kept_shares_cannot_give_is_refused(self):
        with pytest.raises(Infeasible, match=r"floor 0\.3 of b"):
            self.kept(floors={"b": 0.3}, groups={"z": Group(("f",), floor=0.2)})
        with pytest.raises(Infeasible):
            self.kept(floors={"d": 0.01})

    @pytest.mark.parametrize(
        ("within", "match"),
        [({"a": 0.5, "b": 0.4}, "relative shares"), ({"a": 1.5, "b": -0.5}, "relative"), ({"f": 1.0}, "relative")],
    )
    def test_what_is_no_relative_share_is_refused(self, within, match):
        with pytest.raises(BadInput, match=match):
            Constraints(self.LANGUAGES, groups={"x": Group(("a", "b"), within=within)})

    def test_a_group_that_holds_a_part_of_a_kept_one_is_refused(self):
        with pytest.raises(BadInput, match="holds b of it"):
            self.kept(groups={"z": Group(("b", "f"), ceiling=0.5)})
        assert (
            self.kept(groups={"z": Group(("a", "b", "f"), ceiling=0.5)}).project_kl(np.ones(6))[[0, 1, 5]].sum() < 0.51
        )

    def test_what_is_broken_is_told_in_words(self):
        even = dict.fromkeys(self.LANGUAGES, 1 / 6)
        assert any("shares inside x" in words for words in self.kept().broken(even))

    def test_epochs_of_a_group_count_its_tokens_together(self):
        unique = dict(zip(self.LANGUAGES, (10.0, 30.0, 5.0, 5.0, 5.0, 5.0), strict=True))
        limits = Constraints(
            self.LANGUAGES, unique=unique, D=100.0, groups={"g": Group(("a", "c"), max_epochs=2.0), "h": Group(("b",))}
        )
        assert limits.high_G.tolist() == [0.3, 1.0]
        assert limits.project_kl(np.array([5.0, 1, 5, 1, 1, 1]))[[0, 2]].sum() == pytest.approx(0.3)
        with pytest.raises(BadInput, match="training tokens D"):
            Constraints(self.LANGUAGES, unique=unique, groups={"g": Group(("a", "c"), max_epochs=2.0)})
        with pytest.raises(BadInput, match="unique tokens of c"):
            Constraints(self.LANGUAGES, unique={"a": 1.0}, D=1.0, groups={"g": Group(("a", "c"), max_epochs=2.0)})

    def test_a_configuration_keeps_what_the_mixture_in_use_or_the_natural_one_has(self):
        unique = dict(zip(self.LANGUAGES, (10.0, 30.0, 5.0, 5.0, 25.0, 25.0), strict=True))
        config = OptimizeConfig(
            max_epochs=None,
            groups={
                "x": {"languages": ["a", "b"], "keep": "within"},
                "y": {"languages": ["c", "d"], "keep": "between", "max_epochs": 5},
            },
        )
        limits = constraints_from(config, self.LANGUAGES, unique=unique, D=100.0)
        assert limits.groups["x"].within == {"a": 0.25, "b": 0.75}
        assert (limits.groups["y"].floor, limits.groups["y"].ceiling) == (0.1, 0.1)
        current = {"a": 0.3, "b": 0.1, "c": 0.2, "d": 0.2, "e": 0.1, "f": 0.1}
        limits = constraints_from(
            config.model_copy(update={"current": current}), self.LANGUAGES, unique=unique, D=100.0
        )
        assert limits.groups["x"].within == pytest.approx({"a": 0.75, "b": 0.25})
        assert limits.groups["y"].ceiling == pytest.approx(0.4)
        p_L = limits.project_kl(np.ones(6))
        assert p_L[[2, 3]].sum() == pytest.approx(0.4)
