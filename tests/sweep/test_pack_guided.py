"""Runs with loss weights, restarts or adaptive methods are packed so that they can be trained, and plain ones as before."""

from pathlib import Path

from glotmix.mixture.adaptives.plan import AdaptivePlan
from glotmix.mixture.balancing import proportional, uniform
from glotmix.mixture.design import PlannedRun
from glotmix.mixture.schedule import Schedule, cooldown, order_matters
from glotmix.mixture.weighting import scalarization
from glotmix.proxy.config import ProxyConfig
from glotmix.sweep.sweep import SweepSpec, pack

SIZES = {"a": 100.0, "b": 10.0}
PLAIN = Schedule.constant(proportional(SIZES))


def run(name, schedule=PLAIN, seed=0, **more):
    return PlannedRun(name, "method", schedule, 1000, seed, **more)


def test_what_cannot_be_trained_together_is_apart():
    odm = AdaptivePlan("odm", uniform(SIZES))
    plan = [
        run("plain"),
        run("cooldown", cooldown(SIZES)),
        run("restart", order_matters(SIZES, ["a"])),
        run("weighted", weighting=scalarization(SIZES, 5)),
        run("odm", adaptive=odm),
        run("odm-again", adaptive=odm),
        run("other", seed=1),
    ]
    groups = [[one.run for one in group] for group in pack(plan, 8)]
    assert groups == [["plain", "cooldown"], ["restart"], ["weighted"], ["odm"], ["odm-again"], ["other"]]


def test_plain_runs_keep_their_names_files_and_fingerprints():
    spec = SweepSpec(Path(), Path(), "f", ProxyConfig(), {"a": 1}, ("a",), 1)
    assert set(run("plain").to_json()) == {"run", "role", "schedule", "tokens", "seed"}
    assert "watch" not in spec.made_from(run("plain"))


def test_planned_runs_go_through_json():
    plan = AdaptivePlan("doremi", uniform(SIZES), {"eta": 0.5}, reference="plain")
    for one in (run("p", keep=True), run("w", weighting=scalarization(SIZES, 5)), run("d", adaptive=plan)):
        assert PlannedRun.from_json(one.to_json()) == one
