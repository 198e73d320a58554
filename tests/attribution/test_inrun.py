import dataclasses

import numpy as np
import pytest
import torch

from glotmix.attribution import inrun
from glotmix.attribution.inrun import InRunShapley, Target, targets_of
from glotmix.errors import BadInput
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.proxy import model
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.model import Shape
from glotmix.proxy.precision import dtype
from glotmix.proxy.run import StackRun
from glotmix.proxy.stack import Stack
from glotmix.proxy.train import train_stack

pytestmark = pytest.mark.usefixtures("both_precisions")
SHAPE = Shape(width=32, layers=2, heads=2, feed_forward=48, vocab=90, context=16)
TRAINING = ProxyConfig(width=32, layers=2, heads=2, context=16, batch=9, learning_rate=2e-3)
LANGUAGES = ("a", "a2", "c")
STEPS = 40


@dataclasses.dataclass
class Text:
    tokens: np.ndarray
    bytes: int


def text(language, rng, n):
    """Words of a and a2 are the same and follow each other alike; c has a vocabulary of its own."""
    walk = rng.integers(1, 4, n).cumsum() % 30
    return walk + (45 if language == "c" else 0)


HELD_OUT = {name: Text(text(name, np.random.default_rng(9), 100), 300) for name in ("a", "c")}


def languages_of(k, step):
    return [LANGUAGES[i % 3] for i in range(TRAINING.batch)]


def batch(k, step):
    rng = np.random.default_rng([k, step])
    return np.stack([text(name, rng, SHAPE.context + 1) for name in languages_of(k, step)])


def in_run(**options):
    targets = targets_of(HELD_OUT, SHAPE.context, 4)
    return InRunShapley(targets, LANGUAGES, languages_of, clip=TRAINING.clip, **options)


def held_out_loss(parameters, target):
    return float(model.loss(parameters, target.tokens_BS[None], SHAPE).detach()) * target.bits_per_nat


def losses_of(stack, k, targets):
    """Of run k's fp32 weights."""
    return [held_out_loss({n: p[k : k + 1] for n, p in stack.master.items()}, target) for target in targets]


def test_each_language_gives_what_a_step_along_its_gradient_alone_takes_off():
    observer = in_run()
    parameters = model.init_parameters(SHAPE, [3])
    tokens = torch.from_numpy(batch(0, 0))
    value_TL, loss_T = observer.contributions(parameters, SHAPE, tokens, languages_of(0, 0), 0.01)
    for t, target in enumerate(observer.targets.values()):
        assert loss_T[t] == pytest.approx(held_out_loss(parameters, target), rel=1e-5)
        for source, name in enumerate(LANGUAGES):
            leaves = {n: p.clone().requires_grad_() for n, p in parameters.items()}
            rows = tokens[[i for i, language in enumerate(languages_of(0, 0)) if language == name]]
            gradient = torch.autograd.grad(model.loss(leaves, rows[None], SHAPE).sum() / 3, list(leaves.values()))
            ends = []
            for sign in (-1, 1):  # central difference: what is left is of third order
                moved = {n: p + sign * 0.01 * g for (n, p), g in zip(parameters.items(), gradient, strict=True)}
                ends.append(held_out_loss(moved, target))
            assert value_TL[t, source] == pytest.approx((ends[1] - ends[0]) / 2, rel=0.01, abs=1e-6)


@pytest.mark.parametrize("clip", [1.0, 0.05])
def test_the_corrected_form_adds_up_to_what_an_adam_step_takes_off(clip, precision, monkeypatch):
    monkeypatch.setattr(inrun, "UNSETTLED", 0)  # the first update has no momentum
    stack = Stack(SHAPE, [3, 4], dtype=dtype(precision))
    tokens = torch.from_numpy(np.stack([batch(k, 0) for k in range(2)]))
    rate = 2e-5
    found = {}
    for corrected in (True, False):
        observer = InRunShapley(
            targets_of(HELD_OUT, SHAPE.context, 4),
            LANGUAGES,
            languages_of,
            clip=clip,
            preconditioned=corrected,
            every=1,
        )
        stack.gradient_KP.zero_()
        stack.backward(tokens)
        observer.on_batch(stack, 0, tokens, rate)
        found[corrected] = observer
    before = [losses_of(stack, k, found[True].targets.values()) for k in range(2)]
    stack.step(1, rate, 0.0, clip)
    for k in range(2):
        drop = np.array(before[k]) - losses_of(stack, k, found[True].targets.values())
        # A step in bf16 goes along a gradient with 8 bits, and its first is all sign: the drop itself is another one.
        within = {"float32": 0.03, "bfloat16": 0.1}[precision]
        np.testing.assert_allclose(found[True].matrices()[k].value_TL.sum(1), drop, rtol=within)
        # Without the correction the size means nothing: a tenth of the truth here.
        assert (found[False].matrices()[k].value_TL.sum(1) < 0.5 * drop).all()


def runs():
    schedule = Schedule.constant(Mixture(dict.fromkeys(LANGUAGES, 1 / 3)))
    return [StackRun(f"run{seed}", schedule, STEPS * TRAINING.batch * SHAPE.context, seed) for seed in (1, 2)]


def test_one_training_gives_a_matrix_in_which_a_clone_helps_like_the_language_itself():
    observer = in_run(every=4)
    watched = train_stack(runs(), batch, SHAPE, TRAINING, held_out=HELD_OUT, on_batch=observer.on_batch)
    alone = train_stack(runs(), batch, SHAPE, TRAINING, held_out=HELD_OUT)
    assert [r.losses for r in watched] == [r.losses for r in alone]  # looking changes no bit
    for matrix in observer.matrices():
        assert matrix.targets == ("a", "c")
        assert matrix["a", "a"] == pytest.approx(matrix["a", "a2"], rel=0.5)
        assert matrix["a", "c"] < 0.3 * matrix["a", "a2"]
        assert matrix["c", "c"] > 2 * matrix["c", "a"]
        # First order over whole trainings: of the right size, not exact.
        for target in matrix.targets:
            ratio = matrix.notes["predicted"][target] / matrix.notes["measured"][target]
            assert 0.5 < ratio < 2.5


def test_a_seldom_look_estimates_what_every_look_gives():
    values = []
    for every in (1, 5):
        observer = in_run(every=every)
        train_stack(runs(), batch, SHAPE, TRAINING, on_batch=observer.on_batch)
        assert observer.matrices()[0].notes["every"] == every
        values.append(np.stack([matrix.value_TL for matrix in observer.matrices()]))
    assert np.corrcoef(values[0].ravel(), values[1].ravel())[0, 1] > 0.95


def test_bad_input_is_named():
    with pytest.raises(BadInput, match="a has 10 held-out tokens"):
        targets_of({"a": Text(np.zeros(10, int), 10)}, 16, 2)
    with pytest.raises(BadInput, match="no update was measured"):
        in_run().matrices()
    with pytest.raises(BadInput, match="every = 0"):
        in_run(every=0)
    observer = InRunShapley({"a": Target(torch.zeros(1, 17, dtype=torch.long), 1.0)}, ["b"], languages_of, clip=1.0)
    with pytest.raises(BadInput, match="training sequences of a"):
        observer.contributions(
            model.init_parameters(SHAPE, [0]), SHAPE, torch.from_numpy(batch(0, 0)), languages_of(0, 0), 0.1
        )
