"""A run that goes on from a kept checkpoint is the run that was never interrupted, to the bit."""

import dataclasses

import numpy as np
import pytest
import torch

from glotmix.errors import BadInput, Corrupt, Stopped
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.part import WHOLE, Part, going_on
from glotmix.mixture.schedule import Schedule, Stage
from glotmix.proxy.checkpoint import OPTIMISER
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.loader import MixtureBatches
from glotmix.proxy.model import Shape
from glotmix.proxy.run import StackRun, step_at, steps_of
from glotmix.proxy.train import train_stack

torch.set_num_threads(1)
pytestmark = pytest.mark.usefixtures("both_precisions")
SHAPE = Shape(width=32, layers=1, heads=2, feed_forward=48, vocab=97, context=16)
TRAINING = ProxyConfig(width=32, layers=1, heads=2, context=16, batch=40, warmup=0.1, decay=0.4)
STEPS, AT = 60, 0.8
SAME = Schedule.constant(Mixture({"a": 0.7, "b": 0.3}))
CHANGED = Mixture({"a": 0.1, "b": 0.9})


@dataclasses.dataclass
class Text:
    tokens: np.ndarray
    bytes: int


class Store:
    def train(self, language):
        return np.random.default_rng(ord(language)).zipf(1.5, 16 * 1700 + 1) % 97


HELD_OUT = {name: Text(np.random.default_rng(i).zipf(1.5, 333) % 97, 1000) for i, name in enumerate("ab")}


def run(name, schedule=SAME, part=WHOLE, seed=3):
    return StackRun(name, schedule, STEPS * 640, seed, part=part)


def train(runs, training=None, **options):
    training = training or TRAINING
    batches = MixtureBatches(Store(), runs, training)
    return train_stack(runs, batches, SHAPE, training, held_out=HELD_OUT, **options)


def losses(result):
    return [row.value for row in result.losses if row.step == STEPS]


def first_phases(folder, seeds=(3,), training=None, **options):
    runs = [run(f"first-s{seed}", part=Part(end=AT), seed=seed) for seed in seeds]
    where = lambda name, step: folder / name / f"step-{step}"  # noqa: E731
    return train(runs, training, checkpoint=where, with_optimiser=True, **options), where


@pytest.mark.parametrize("draws", ["exact", "independent"])
def test_the_same_mixture_goes_on_to_the_bit_in_any_company(tmp_path, draws):
    training = TRAINING.model_copy(update={"draws": draws})
    (whole,) = train([run("whole")], training)
    (_, first), where = first_phases(tmp_path, (4, 3), training)
    assert [row.step for row in first.losses[:1]] == [step_at(AT, STEPS)]
    other = run("other", going_on(SAME, AT, CHANGED), Part(AT, 1.0, "first-s4", SAME), seed=4)
    gone_on = train([other, run("on", part=Part(AT, 1.0, "first-s3"))], training, going_on=where)[1]
    assert losses(gone_on) == losses(whole)
    assert (gone_on.D, gone_on.tokens) == (whole.D, whole.tokens)
    assert gone_on.C + first.C == whole.C


def test_without_its_optimiser_it_would_not(tmp_path):
    # What the last test tests: the same bits are not had by chance, nor from the weights alone.
    (whole,) = train([run("whole")])
    _, where = first_phases(tmp_path)
    from glotmix.proxy.stack import Stack

    kept = Stack.load_member

    def forgetful(self, k, master, first, second, updates):
        kept(self, k, master, {n: x * 0 for n, x in first.items()}, second, updates)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Stack, "load_member", forgetful)
        (gone_on,) = train([run("on", part=Part(AT, 1.0, "first-s3"))], going_on=where)
    assert losses(gone_on) != losses(whole)


def test_a_changed_mixture_reads_on_where_its_text_was_left():
    change = run("on", going_on(SAME, AT, CHANGED), Part(AT, 1.0, "first-s3", SAME))
    assert steps_of(change.tokens, TRAINING) == STEPS
    batches = MixtureBatches(Store(), [change, run("whole")], TRAINING)
    at = step_at(AT, STEPS)
    assert all((batches(0, step) == batches(1, step)).all() for step in range(at))
    read = np.concatenate([batches(0, step) for step in range(STEPS)])
    named = np.concatenate([batches.languages_of(0, step) for step in range(STEPS)])
    assert (named[at * 40 :] == "b").mean() == pytest.approx(0.9, abs=0.01)
    for language in "ab":  # 1,400 sequences of each at most, of 1,700 that there are: none is read twice
        rows = read[named == language]
        assert len(np.unique(rows, axis=0)) == len(rows)
    assert batches.tokens_by_language(0, STEPS) == {name: int((named == name).sum()) * 16 for name in "ab"}


def test_a_part_that_was_stopped_goes_on_to_the_bit(tmp_path):
    _, where = first_phases(tmp_path)
    change = run("on", going_on(SAME, AT, CHANGED), Part(AT, 1.0, "first-s3", SAME))
    (expected,) = train([change], going_on=where)
    asked = iter([False, False, True])
    with pytest.raises(Stopped):
        train([change], going_on=where, state=tmp_path / "state", stopping=lambda: next(asked))
    (found,) = train([change], going_on=where, state=tmp_path / "state")
    assert losses(found) == losses(expected)


def test_kept_checkpoints_of_a_whole_run_are_gone_on_from(tmp_path):
    training = TRAINING.model_copy(update={"evaluations": 5})
    where = lambda name, step: tmp_path / name / f"step-{step}"  # noqa: E731
    (whole,) = train([run("whole")], training, checkpoint=where, with_optimiser=True)
    for share in (0.2, 0.8):
        (gone_on,) = train([run("on", part=Part(share, 1.0, "whole"))], going_on=where)
        assert losses(gone_on) == losses(whole)


def test_what_is_no_checkpoint_to_go_on_from_is_refused(tmp_path):
    _, where = first_phases(tmp_path)
    on = run("on", part=Part(AT, 1.0, "first-s3"))
    place = where("first-s3", step_at(AT, STEPS))
    with pytest.raises(BadInput, match="a checkpoint to go on from"):
        train([on])
    with pytest.raises(BadInput, match="equal parts in a stack"):
        train([on, run("whole")], going_on=where)
    data = bytearray((place / OPTIMISER).read_bytes())
    data[-3] ^= 1
    (place / OPTIMISER).write_bytes(bytes(data))
    with pytest.raises(Corrupt, match="digest differs"):
        train([on], going_on=where)
    (place / OPTIMISER).unlink()
    with pytest.raises(BadInput, match=OPTIMISER):
        train([on], going_on=where)


def test_parts_are_kept_as_json():
    change = Part(0.8, 1.0, "first-s3", Schedule((Stage(0.0, CHANGED), Stage(0.5, SAME.stages[0].mixture))))
    for part in (change, Part(end=0.25), Part()):
        assert Part.from_json(part.to_json()) == part
    assert going_on(change.before, 0.8, CHANGED).lengths() == pytest.approx((0.5, 0.3, 0.2))
