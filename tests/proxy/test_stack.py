import dataclasses

import numpy as np
import pytest
import torch

from glotmix.errors import BadInput, Stopped
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.proxy import stack as stack_module
from glotmix.proxy.checkpoint import load_checkpoint
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.evaluate import Evaluation
from glotmix.proxy.model import Shape
from glotmix.proxy.precision import dtype
from glotmix.proxy.run import StackRun
from glotmix.proxy.stack import Stack
from glotmix.proxy.train import train_stack

torch.set_num_threads(1)
pytestmark = pytest.mark.usefixtures("both_precisions")
SHAPE = Shape(width=32, layers=2, heads=2, feed_forward=48, vocab=97, context=16)
TRAINING = ProxyConfig(width=32, layers=2, heads=2, context=16, batch=4, evaluations=2)
SCHEDULE = Schedule.constant(Mixture({"a": 1.0}))


@dataclasses.dataclass
class Text:
    tokens: np.ndarray
    bytes: int


HELD_OUT = {name: Text(np.random.default_rng(i).zipf(1.5, 333) % 97, 1000) for i, name in enumerate("ab")}


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
        # To the bit, so what a study finds does not depend on how its runs were packed.
        assert dataclasses.replace(result, seconds=0) == dataclasses.replace(alone, seconds=0)


def test_the_members_differ_by_more_than_stacking_does():
    one, two = train([1, 2])
    assert np.abs(values(one) / values(two) - 1).max() > 1e-4  # stacking: no difference at all


def test_a_batch_in_parts_has_the_gradient_of_the_batch_at_once(monkeypatch, precision):
    tokens = torch.randint(0, 97, (2, 7, 17), generator=torch.Generator().manual_seed(0))
    found = []
    for at_once in (10_000, 3 * 16):  # parts of 3, 3 and 1 sequences
        monkeypatch.setattr(stack_module, "TOKENS_AT_ONCE", {True: at_once, False: at_once})
        stack = Stack(SHAPE, [1, 2], dtype=dtype(precision))
        found.append((stack.backward(tokens), stack.gradient_KP))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-6, atol=0)
    # The last part left out: about 0.3. A bf16 number has 8 bits, and each part's gradients are rounded to it once.
    most = {"float32": 1e-5, "bfloat16": 2**-8}[precision]
    assert (found[0][1] - found[1][1]).norm() / found[0][1].norm() < most


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
    (result,) = train_stack(runs, Drawn(runs), SHAPE, training, on_step=lambda done, steps, loss: seen.append(done))
    assert result.status == "diverged"
    assert len(seen) < 12


def test_what_is_written_into_the_master_weights_before_the_first_step_is_trained_on():
    runs, seen = [run(1)], {}

    def other(stack):
        stack.master_KP.copy_(Stack(SHAPE, [2]).master_KP)

    def look(name):
        return lambda done, steps, loss: seen.setdefault(name, float(loss[0]))

    train_stack(runs, Drawn(runs), SHAPE, TRAINING, on_start=other, on_step=look("written"))
    two = [dataclasses.replace(runs[0], seed=2)]
    train_stack(two, Drawn(runs), SHAPE, TRAINING, on_step=look("drawn"))
    assert seen["written"] == seen["drawn"]


class Killed(Exception):
    pass


@pytest.mark.parametrize("killed_after", [1, 6, 11])
def test_a_run_that_was_killed_goes_on_to_the_bits_of_the_uninterrupted_one(tmp_path, killed_after):
    state = tmp_path / "stack.safetensors"

    def kill(done, steps, loss):
        if done == killed_after + 1:
            raise Killed

    with pytest.raises(Killed):
        train([1, 2], state=state, state_every=0, on_step=kill)
    assert state.is_file()
    done = []
    resumed = train([1, 2], state=state, state_every=1e9, on_step=lambda step, steps, loss: done.append(step))
    assert done[0] == killed_after + 1
    assert not state.exists()
    for one, other in zip(train([1, 2]), resumed, strict=True):
        assert dataclasses.replace(one, seconds=0) == dataclasses.replace(other, seconds=0)


def test_the_state_of_other_runs_is_not_gone_on_from(tmp_path):
    state = tmp_path / "stack.safetensors"

    def kill(done, steps, loss):
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        train([1, 2], state=state, state_every=0, on_step=kill)
    done = []
    train([1, 3], state=state, on_step=lambda step, steps, loss: done.append(step))
    assert done[0] == 1


def test_the_state_of_a_run_in_another_precision_is_refused_by_name(tmp_path, precision):
    state = tmp_path / "stack.safetensors"

    def kill(done, steps, loss):
        raise Killed

    with pytest.raises(Killed):
        train([1], state=state, state_every=0, on_step=lambda *_: state.is_file() and kill(*_))
    other = "bfloat16" if precision == "float32" else "float32"
    training = TRAINING.model_copy(update={"precision": other})
    runs = [run(1)]
    with pytest.raises(BadInput, match=f"saved by a run in {precision}, this one is in {other}"):
        train_stack(runs, Drawn(runs), SHAPE, training, held_out=HELD_OUT, state=state)
    assert state.is_file()


def test_checkpoints_are_kept_where_and_when_they_are_asked_for(tmp_path):
    asked = []

    def where(run, step):
        asked.append((run, step))
        return tmp_path / run if step == 12 else None

    runs = [run(1), run(2)]
    result = train_stack(runs, Drawn(runs), SHAPE, TRAINING, held_out=HELD_OUT, checkpoint=where)
    assert asked == [("run1", 6), ("run2", 6), ("run1", 12), ("run2", 12)]
    shape, parameters = load_checkpoint(tmp_path / "run2")
    nats = Evaluation(HELD_OUT, 16, end_of_document=0).losses(parameters, shape)
    np.testing.assert_allclose(nats[0, 0], values(result[1])[-4], rtol=1e-6)


def test_a_run_ends_near_the_one_in_float32_and_says_what_it_was_in(precision):
    runs = [run(seed, steps=20) for seed in (1, 2, 3)]
    final = {}
    for name in ("float32", "bfloat16"):
        training = TRAINING.model_copy(update={"precision": name})
        results = train_stack(runs, Drawn(runs), SHAPE, training, held_out=HELD_OUT)
        final[name] = np.array([[row.value for row in r.losses[-4:]] for r in results])
        assert {result.precision for result in results} == {name}
    start = np.log(97)  # nats of knowing nothing; training takes off a tenth and more
    assert np.abs(final["bfloat16"] / final["float32"] - 1).max() < 0.01
    assert (final["float32"][:, 0] < 0.9 * start).all()


def test_runs_with_different_numbers_of_steps_are_bad_input():
    with pytest.raises(BadInput, match="12 and 13 steps"):
        train_stack([run(1), run(2, steps=13)], lambda k, s: np.zeros((4, 17)), SHAPE, TRAINING)


@pytest.mark.parametrize("asked_after", [1, 6, 11])
def test_a_run_that_is_asked_to_stop_saves_its_state_and_goes_on_to_the_same_bits(tmp_path, asked_after):
    """However long ago a state was saved: what Ctrl-C loses is the step that it comes in."""
    state, done = tmp_path / "stack.safetensors", []
    with pytest.raises(Stopped, match=f"stopped after {asked_after} of"):
        train(
            [1, 2],
            state=state,
            state_every=1e9,
            stopping=lambda: len(done) >= asked_after,
            on_step=lambda *step: done.append(step),
        )
    assert len(done) == asked_after
    resumed = train([1, 2], state=state, state_every=1e9, on_step=lambda *step: done.append(step))
    assert done[asked_after][0] == asked_after + 1
    for one, other in zip(train([1, 2]), resumed, strict=True):
        assert dataclasses.replace(one, seconds=0) == dataclasses.replace(other, seconds=0)
