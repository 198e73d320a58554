"""Which runs are trained together: a function of the plan that later plans do not upset."""

from glotmix.mixture.design import PlannedRun
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.sweep.sweep import name_of, pack


def run(name, tokens=1000, seed=0):
    return PlannedRun(name, "coalition", Schedule.constant(Mixture({"a": 1.0})), tokens, seed)


def test_every_run_is_in_one_group_and_groups_are_even():
    plan = [run(f"r{i}") for i in range(9)]
    groups = pack(plan, 4)
    assert [len(group) for group in groups] == [3, 3, 3]
    assert [one for group in groups for one in group] == plan


def test_runs_of_other_length_or_seed_stand_apart():
    groups = pack([run("a"), run("b", tokens=500), run("c", seed=1), run("d")], 8)
    assert [[one.run for one in group] for group in groups] == [["a", "d"], ["b"], ["c"]]


def test_more_seeds_leave_the_earlier_groups_as_they_were():
    few = [run(f"m{m}-s{s}", seed=s) for m in range(5) for s in range(2)]
    more = [run(f"m{m}-s{s}", seed=s) for m in range(5) for s in range(6)]
    assert {name_of(group) for group in pack(few, 4)} <= {name_of(group) for group in pack(more, 4)}


def test_names_of_jobs_are_safe_and_tell_groups_apart():
    long = [run("x" * 300), run("y")]
    assert len(name_of(long)) < 100
    assert name_of(long) != name_of(long[:1])
