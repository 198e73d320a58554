"""How often a language may be read: what is said, what the law judges, or an assumption that is told."""

from __future__ import annotations

import pytest

from glotmix.errors import BadInput, Infeasible
from glotmix.fit import fit
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.constraint import constraints_from
from glotmix.optimize.passes import ASSUMED, least_passes, passes_for
from tests.laws.test_repetition import LANGUAGES, UNIQUE_L, D, mixtures, planted, table

UNIQUE = dict(zip(LANGUAGES, UNIQUE_L.tolist(), strict=True))


def runs(rows: int | None = None):
    p_RL = mixtures(1)[:rows]
    return table(p_RL, planted(p_RL))


def test_a_law_that_knows_repetition_and_has_seen_it_judges_for_itself() -> None:
    told = passes_for(OptimizeConfig(), fit("shapley_law_repeated", runs(), starts=1), LANGUAGES, unique=UNIQUE, D=D)
    assert told.limits.max_epochs is None
    assert "shapley_law_repeated" in told.words


def test_another_law_stays_below_an_assumption_that_is_told() -> None:
    knows_nothing = fit("shapley_law", runs(), starts=1)
    told = passes_for(OptimizeConfig(), knows_nothing, LANGUAGES, unique=UNIQUE, D=D)
    assert told.limits.max_epochs == told.sized == ASSUMED
    assert "assumption" in told.words
    constraints_from(told.limits, LANGUAGES, unique=UNIQUE, D=D)


def test_a_law_that_has_seen_no_repetition_stays_below_it_too() -> None:
    fresh = table(mixtures(1), planted(mixtures(1)))
    fresh.unique_RL[:] = D
    told = passes_for(OptimizeConfig(), fit("shapley_law_repeated", fresh, starts=1), LANGUAGES, unique=UNIQUE, D=D)
    assert told.limits.max_epochs == ASSUMED


def test_where_the_assumption_leaves_no_mixture_the_fewest_passes_that_do_take_its_place() -> None:
    with pytest.raises(BadInput):
        constraints_from(OptimizeConfig(max_epochs=ASSUMED), LANGUAGES, unique=UNIQUE, D=10 * D)
    told = passes_for(OptimizeConfig(), None, LANGUAGES, unique=UNIQUE, D=10 * D)
    assert told.limits.max_epochs == pytest.approx(10 * D / UNIQUE_L.sum(), rel=0.1)
    constraints_from(told.limits, LANGUAGES, unique=UNIQUE, D=10 * D)
    assert "leave no mixture" in told.words


def test_what_the_study_says_is_kept() -> None:
    for said in (7.0, None):
        told = passes_for(OptimizeConfig(max_epochs=said), None, LANGUAGES, unique=UNIQUE, D=D)
        assert told.limits.max_epochs == said
        assert told.words == ""
    with pytest.raises(ValueError, match="max_epochs"):
        OptimizeConfig(max_epochs=0)


def test_the_fewest_passes_hold_to_floors_too() -> None:
    floors = OptimizeConfig(floors={"ces": 0.2})
    assert least_passes(floors, LANGUAGES, UNIQUE, D) == pytest.approx(0.2 * D / UNIQUE["ces"], rel=1e-3)
    assert least_passes(OptimizeConfig(floors={"ces": 0.6, "nld": 0.6}), LANGUAGES, UNIQUE, D) is None
    small = {"small": {"languages": ["nld", "ces"], "floor": 0.5}}
    for config in (floors, OptimizeConfig(), OptimizeConfig(groups=small, ceilings={LANGUAGES[0]: 0.3})):
        least = least_passes(config, LANGUAGES, UNIQUE, D)
        constraints_from(config.model_copy(update={"max_epochs": least}), LANGUAGES, unique=UNIQUE, D=D)
        with pytest.raises(Infeasible):
            fewer = config.model_copy(update={"max_epochs": least * 0.999})
            constraints_from(fewer, LANGUAGES, unique=UNIQUE, D=D)


@pytest.mark.parametrize(
    ("tokens", "limits", "expected"),
    [
        ((1e12, 1e8, 1e3), {"floors": {"c": 0.01}}, 1e7),
        ((1e12, 1e3, 1e3), {"ceilings": {"a": 1 - 1e-4}}, 5e5),
        ((1e12, 1e3, 1e3), {"ceilings": {"a": 1 - 1e-7}}, 500),
    ],
)
def test_a_language_of_a_billionth_of_all_tokens_is_not_lost(tokens, limits, expected):
    unique, tokens_of_run = dict(zip("abc", tokens, strict=True)), 1e12 if "floors" in limits else 1e13
    least = least_passes(OptimizeConfig(**limits), list("abc"), unique, tokens_of_run)
    assert least == pytest.approx(expected, rel=0.05)
    config = OptimizeConfig(**limits, max_epochs=least)
    constraints_from(config, list("abc"), unique=unique, D=tokens_of_run)
