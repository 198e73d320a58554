import dataclasses

import numpy as np
import pytest
import torch

from glotmix.config import ProxyConfig
from glotmix.errors import BadInput
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.proxy.model import Shape
from glotmix.proxy.train import StackRun, train_stack

torch.set_num_threads(1)
SHAPE = Shape(width=32, layers=2, heads=2, feed_forward=48, vocab=97, context=16)
TRAINING = ProxyConfig(width=32, layers=2, heads=2, context=16, batch=4, evaluations=2)
SCHEDULE = Schedule.constant(Mixture({"a": 1.0}))


@dataclasses.dataclass
class Text:
    tokens: np.ndarray
    bytes: int


HELD_OUT = {name: Text(np.random.default_rng(i).integers(0, 40, 333), 1000) for i, name in enumerate("ab")}


def run(seed, steps=12):
    return StackRun(f"run{seed}", SCHEDULE, steps * 64, seed)


class Drawn:
    """Batches that depend on the run's seed and the step, so a run reads the same alone and in a stack."""

    def __init__(self, runs, poison=None):
        self.runs, self.poison = runs, poison

    def __call__(self, k, step):
        return np.random.default_rng([self.runs[k].seed, step]).zipf(1.5, (4, 17)) % 97


def train(seeds, **options):
    runs = [run(seed) for seed in seeds]
    return train_stack(runs, Drawn(runs), SHAPE, TRAINING, held_out=HELD_OUT, **options)


def values(result):
    return np.array([row.value for row in result.losses])


def test_a_stacked_run_has_the_losses_of_the_same_run_alone():
    stacked = train([1, 2, 3])
    for seed, result in zip([1, 2, 3], stacked, strict=True):
        (alone,) = train([seed])
        np.testing.assert_allclose(values(result), values(alone), rtol=2e-6)
        assert dataclasses.replace(result, losses=(), seconds=0) == dataclasses.replace(alone, losses=(), seconds=0)


def test_the_members_differ_by_more_than_stacking_does():
    one, two = train([1, 2])
    assert np.abs(values(one) / values(two) - 1).max() > 1e-4  # stacking's rounding above: 2e-6


def test_training_lowers_the_loss():
    (result,) = train([5])
    nats = [row for row in result.losses if row.metric == "nats" and row.language == "a"]
    assert [row.step for row in nats] == [6, 12]
    assert nats[1].value < nats[0].value < np.log(97) + 0.2


def test_same_seed_same_bits():
    assert (values(train([7])[0]) == values(train([7])[0])).all()


def test_a_diverging_member_is_marked_and_the_others_get_the_bits_they_would_have_had():
    seeds = [1, 2, 3]
    healthy = train(seeds)

    def poisoned(stack):
        stack.master_KP[1, 100] = float("inf")

    runs = [run(seed) for seed in seeds]
    result = train_stack(runs, Drawn(runs), SHAPE, TRAINING, held_out=HELD_OUT, on_start=poisoned)
    assert [r.status for r in result] == ["complete", "diverged", "complete"]
    assert "step 0" in result[1].reason
    assert result[1].D == 0
    assert not result[1].losses
    for k in (0, 2):
        assert (values(result[k]) == values(healthy[k])).all()


def test_a_stack_whose_members_all_diverged_stops_at_once():
    runs = [run(1)]
    seen = []
    training = TRAINING.model_copy(update={"learning_rate": 1e30})
    (result,) = train_stack(runs, Drawn(runs), SHAPE, training, on_step=lambda done, steps: seen.append(done))
    assert result.status == "diverged"
    assert len(seen) < 12


def test_runs_with_different_numbers_of_steps_are_bad_input():
    with pytest.raises(BadInput, match="12 and 13 steps"):
        train_stack([run(1), run(2, steps=13)], lambda k, s: np.zeros((4, 17)), SHAPE, TRAINING)
