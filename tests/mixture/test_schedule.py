import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glotmix.errors import BadInput, Infeasible
from glotmix.mixture.balancing import proportional, temperature, uniform
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule, Stage, cooldown, increasing, order_matters, swap, towards

SIZES = {"eng": 900.0, "swh": 100.0}


@st.composite
def schedules(draw):
    starts = [0.0, *sorted(draw(st.sets(st.floats(0.01, 0.99), max_size=4)))]
    weights = st.fixed_dictionaries({name: st.floats(0, 1) for name in "abc"}).filter(lambda w: sum(w.values()) > 0.1)
    return Schedule(tuple(Stage(start, Mixture.normalised(draw(weights))) for start in starts))


def test_cooldown_is_one_switch_from_five_to_one_at_half():
    schedule = cooldown(SIZES)
    assert [stage.start for stage in schedule.stages] == [0.0, 0.5]
    assert schedule.at(0.49) == temperature(SIZES, 5)
    assert schedule.at(0.5) == proportional(SIZES)
    assert not any(stage.restart for stage in schedule.stages)


def test_increasing_is_cooldown_the_other_way_round_with_the_same_average():
    up, down = increasing(SIZES), cooldown(SIZES)
    assert up.at(0) == down.at(1)
    assert up.at(1) == down.at(0)
    assert up.average().total_variation(down.average()) < 1e-15


@pytest.mark.parametrize(("decay", "middle"), [("linear", 3.0), ("geometric", math.sqrt(5))])
def test_dense_decays_fall_steadily_around_the_switch(decay, middle):
    schedule = cooldown(SIZES, decay=decay)
    shares = [stage.mixture["swh"] for stage in schedule.stages]
    assert all(a > b for a, b in itertools.pairwise(shares))
    between = (schedule.at(0.499)["swh"] + schedule.at(0.501)["swh"]) / 2
    assert between == pytest.approx(temperature(SIZES, middle)["swh"], rel=0.01)
    early = cooldown(SIZES, switch=0.25, decay=decay)
    assert early.at(0.5) == proportional(SIZES) != early.at(0.49)


def test_order_matters_trains_on_high_resource_languages_alone_and_restarts():
    schedule = order_matters(SIZES, ["eng"], switch=0.7)
    first, then = schedule.stages
    assert first.mixture == Mixture({"eng": 1.0, "swh": 0.0})
    assert then.mixture == temperature(SIZES, 5)
    assert then.restart
    assert then.start == 0.7
    assert not order_matters(SIZES, ["eng"], uniform(SIZES), restart=False).stages[1].restart


def test_swap_exchanges_two_shares_and_averages_to_balance():
    schedule = swap(Mixture({"a": 0.8, "b": 0.1, "c": 0.1}), "a", "b")
    assert schedule.at(1) == Mixture({"a": 0.1, "b": 0.8, "c": 0.1})
    assert schedule.average().total_variation({"a": 0.45, "b": 0.45, "c": 0.1}) < 1e-15


@given(schedules(), st.floats(0, 1))
@settings(max_examples=30)
def test_epochs_at_is_the_integral_of_the_shares(schedule, progress):
    unique = {"a": 10.0, "b": 200.0, "c": 3000.0}
    steps = 200
    seen = np.zeros(3)
    for step in range(steps):
        seen += schedule.at(progress * (step + 0.5) / steps).vector("abc") * progress / steps
    got = schedule.epochs_at(progress, 500.0, unique)
    for name, value in zip("abc", seen, strict=True):
        assert got.get(name, 0.0) * unique[name] == pytest.approx(value * 500, abs=500 * 5 / steps)
    assert sum(schedule.tokens_at(progress).values()) == pytest.approx(progress)


@given(schedules())
@settings(max_examples=50)
def test_epochs_at_the_end_are_those_of_the_average(schedule):
    unique = dict.fromkeys("abc", 7.0)
    assert schedule.epochs_at(1.0, 100, unique) == pytest.approx(schedule.epochs(100, unique))


@given(schedules())
@settings(max_examples=50)
def test_json_round_trip(schedule):
    restarting = Schedule((*schedule.stages[:-1], Stage(schedule.stages[-1].start, schedule.stages[-1].mixture, True)))
    for one in (schedule, restarting):
        again = Schedule.from_json(one.to_json())
        assert [stage.restart for stage in again.stages] == [stage.restart for stage in one.stages]
        assert all(a.mixture.total_variation(b.mixture) < 1e-15 for a, b in zip(again.stages, one.stages, strict=True))


def test_a_schedule_that_repeats_too_much_says_who_and_where():
    # τ = 5 gives swh 0.392: 1,000 tokens at 0.392 pass 2 epochs of 100 at 0.51; in the second half swh has 0.1.
    schedule = Schedule((Stage(0, Mixture({"eng": 0.6, "swh": 0.4})), Stage(0.75, Mixture({"eng": 0.9, "swh": 0.1}))))
    schedule.check_epochs(1000, SIZES, 3.25)
    with pytest.raises(
        Infeasible, match=r"swh passes 2 epochs at progress 0\.5000 \(500 of 1000 tokens\) and ends at 3\.25"
    ):
        schedule.check_epochs(1000, SIZES, 2)
    with pytest.raises(Infeasible, match=r"swh passes 3\.1 epochs at progress 0\.8500"):
        schedule.check_epochs(1000, SIZES, 3.1)


def test_the_break_point_is_where_epochs_reach_the_cap():
    schedule = cooldown({"a": 1000.0, "b": 30.0, "c": 5.0}, decay="linear")
    with pytest.raises(Infeasible) as caught:
        schedule.check_epochs(500, {"a": 1000.0, "b": 30.0, "c": 5.0}, 1.5)
    progress = float(str(caught.value).split("progress ")[1].split()[0])
    assert schedule.epochs_at(progress, 500, {"a": 1000.0, "b": 30.0, "c": 5.0})["c"] == pytest.approx(1.5, rel=1e-3)
    assert "b later" in str(caught.value)


def test_stages_towards_an_optimum_keep_its_tokens():
    optimum, first = Mixture({"a": 0.7, "b": 0.2, "c": 0.1}), uniform("abc")
    schedule = towards(optimum, first, 0.25, D=100, unique=dict.fromkeys("abc", 50.0), max_epochs=2)
    assert schedule.average().total_variation(optimum) < 1e-12
    assert schedule.at(0) == first


def test_stages_towards_an_optimum_refuse_too_much_too_early_and_too_many_epochs():
    optimum, unique = Mixture({"a": 0.8, "b": 0.2}), {"a": 50.0, "b": 5.0}
    with pytest.raises(Infeasible, match=r"b has all of its tokens at progress 0\.4000, before the switch at 0\.5"):
        towards(optimum, uniform("ab"), 0.5, D=100, unique=unique, max_epochs=9)
    with pytest.raises(Infeasible, match=r"b passes 3 epochs at progress 0\.6"):
        towards(optimum, uniform("ab"), 0.2, D=100, unique=unique, max_epochs=3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cooldown(SIZES, switch=1.0), "switch = 1.0"),
        (lambda: cooldown(SIZES, decay="steep"), "decay 'steep'"),
        (lambda: cooldown(SIZES, switch=0.6, decay="linear"), "dense decay around 0.6"),
        (lambda: order_matters(SIZES, ["fin"]), "high-resource language fin has no size"),
        (lambda: Schedule((Stage(0.1, uniform("ab")),)), "first stage to start at 0"),
        (lambda: Schedule((Stage(0, uniform("ab")), Stage(0, uniform("ab")))), "increasing numbers"),
        (lambda: Schedule((Stage(0, uniform("ab")), Stage(0.5, uniform("abc")))), "different languages"),
        (lambda: Schedule.from_json([{"mixture": {"a": 1.0}}]), "not a schedule"),
    ],
)
def test_bad_schedules_are_named(call, message):
    with pytest.raises(BadInput, match=message):
        call()
