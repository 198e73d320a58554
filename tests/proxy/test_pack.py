import json

import pytest

from glotmix.proxy import pack
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.model import Shape
from glotmix.proxy.pack import Packing, choose

SHAPE = Shape(width=32, layers=1, heads=2, feed_forward=48, vocab=97, context=16)
TRAINING = ProxyConfig(width=32, layers=1, heads=2, context=16, batch=2)


@pytest.mark.parametrize(
    ("speeds", "expected"),
    [
        ({1: 100.0, 2: 104.0, 4: 104.9, 8: 90.0}, 1),  # no gain worth it
        ({1: 100.0, 2: 120.0, 4: 150.0, 8: 151.0}, 4),
        ({1: 100.0, 2: 100.0, 4: 100.0, 8: 130.0}, 8),
    ],
)
def test_the_smallest_stack_near_the_best_speed_is_chosen(monkeypatch, speeds, expected):
    monkeypatch.setattr(pack, "_measure", lambda *_: speeds)
    packing = choose(SHAPE, TRAINING, runs=100, processes=2)
    assert (packing.stack, packing.processes) == (expected, 2)
    assert packing.tokens_per_second == 2 * speeds[expected]
    assert f"2 processes × {expected} stacked" in packing.explanation


@pytest.mark.parametrize(
    ("runs", "tokens", "expected"),
    [
        (27, 2e5, 8),  # 27 starts are as long as 27 runs; 8 are four jobs, two for each process
        (10, 2e5, 5),  # one job for each process; 4 would be three jobs, and 8 is more than a process's half
        (27, 1e8, 1),  # a start is nothing beside a run, and 27 jobs are shared more evenly than 14 are
    ],
)
def test_few_jobs_are_started_for_runs_as_short_as_a_start(monkeypatch, runs, tokens, expected):
    monkeypatch.setattr(pack, "_measure", lambda *a: dict.fromkeys(a[2], 1e5))
    assert choose(SHAPE, TRAINING.model_copy(update={"tokens": tokens}), runs=runs, processes=2).stack == expected


@pytest.mark.parametrize(
    ("sets", "speeds", "tokens", "expected"),
    [
        ([4, 4, 4], {1: 1e5, 2: 1e5, 4: 1e5}, 5e5, 2),  # three jobs of four leave a process idle for a round
        ([3], {1: 1e5, 2: 8.5e4}, 6e6, 1),  # of two and one, the two take longer than a second round of one
        ([1] * 12, {1: 1e5}, 1e5, 1),  # seeds stay apart
    ],
)
def test_jobs_are_reckoned_as_they_will_be_made(monkeypatch, sets, speeds, tokens, expected):
    asked = []
    monkeypatch.setattr(pack, "_measure", lambda *a: asked.append(a[2]) or {K: speeds[K] for K in a[2]})
    assert choose(SHAPE, TRAINING.model_copy(update={"tokens": tokens}), sets, processes=2).stack == expected
    assert asked == [list(speeds)]


def test_no_stack_is_so_large_that_a_process_stays_idle(monkeypatch):
    asked = []
    monkeypatch.setattr(pack, "_measure", lambda *a: asked.append(a[2]) or {K: 10.0**K for K in a[2]})
    assert choose(SHAPE, TRAINING, runs=5, processes=2).stack == 3
    assert asked == [[1, 2, 3]]
    assert choose(SHAPE, TRAINING, runs=1, processes=2).processes == 1


def test_the_users_dial_overrides_and_a_real_measurement_has_a_speed():
    packing = choose(SHAPE, TRAINING, runs=9, stack=3, processes=1, seconds=0.1)
    assert packing.stack == 3
    assert list(packing.measured) == [3]
    assert packing.tokens_per_second > 0
    assert "as asked for" in packing.explanation


def test_a_stored_choice_is_the_same_choice():
    packing = Packing(4, 2, 1234.5, {1: 500.0, 4: 617.25}, "because")
    assert Packing.from_json(json.loads(json.dumps(packing.to_json()))) == packing


def test_large_proxies_are_measured_in_company():
    shape = Shape(width=64, layers=1, heads=2, feed_forward=64, vocab=8000, context=16)
    training = ProxyConfig(width=64, layers=1, heads=2, context=16, batch=2)
    assert shape.parameters > pack.LARGE
    packing = pack.choose(shape, training, 4, processes=2, seconds=0.2)
    assert set(packing.measured) == {1, 2}
    assert packing.tokens_per_second == pytest.approx(2 * packing.measured[packing.stack])
