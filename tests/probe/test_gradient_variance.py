"""Moments of gradients are unbiased, their intervals cover, and the general formula is what batches really do."""

import math

import numpy as np
import pytest
import torch

from glotmix.errors import BadInput
from glotmix.mixture.balancing import proportional, temperature
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.weighting import Weighting, variance_factor
from glotmix.probe.gradient_variance import (
    BLOCKS,
    Moments,
    Sums,
    drawn_ratio,
    drawn_variance,
    jackknifed,
    of_model,
    of_proxy,
)
from glotmix.proxy import model
from glotmix.proxy.checkpoint import save_checkpoint
from glotmix.proxy.model import Shape, init_parameters
from glotmix.proxy.stack import Stack

torch.set_num_threads(1)
SHAPE = Shape(width=32, layers=1, heads=2, feed_forward=48, vocab=50, context=12)
NATURAL, TARGET = Mixture({"high": 0.9, "low": 0.1}), Mixture({"high": 0.7, "low": 0.3})


def planted(rng, count, P=40, deviation=(2.0, 1.0), means=((1.0, 0.0), (0.5, 0.5))):
    """Gradients of two languages with known mean and covariance, as batches for ``lambda g: ...``."""
    found = {}
    for name, sigma, (a, b) in zip(("high", "low"), deviation, means, strict=True):
        gradient_NP = rng.normal(0, sigma / math.sqrt(P), (count, P))
        gradient_NP[:, 0] += a
        gradient_NP[:, 1] += b
        found[name] = [torch.from_numpy(part) for part in np.array_split(gradient_NP, max(BLOCKS, count // 4))]
    return found


def taken(gradient_BP):
    return gradient_BP.sum(0), gradient_BP.square().sum(1)


def truth(sampled, weights, deviation=(2.0, 1.0), means=((1.0, 0.0), (0.5, 0.5))):
    q_L, w_L = sampled.vector(["high", "low"]), np.array([weights[n] for n in ("high", "low")])
    G_L = np.array([s**2 + a**2 + b**2 for s, (a, b) in zip(deviation, means, strict=True)])
    mean = (q_L * w_L) @ np.array(means)
    return float(q_L * w_L**2 @ G_L - mean @ mean)


def test_moments_and_variances_are_unbiased():
    rng = np.random.default_rng(0)
    weights = Weighting.between(NATURAL, TARGET)
    found = [Moments.measure(taken, planted(rng, 24)) for _ in range(400)]
    products = np.array([moments.product_RLL[0] for moments in found])
    expected = np.array([[1.0, 0.5], [0.5, 0.5]])
    error = products.std(0) / math.sqrt(len(found))
    # Squared means of 24 sequences would be too high by 4 / 24 = 0.17 for the first language.
    assert (np.abs(products.mean(0) - expected) < 4 * error).all()
    assert 4 * error[0, 0] < 0.1
    variances = np.array([moments.variance(NATURAL, weights).value for moments in found])
    assert abs(variances.mean() - truth(NATURAL, weights)) < 4 * variances.std() / math.sqrt(len(found))


def test_intervals_of_the_ratio_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(1)
    weights, ones = Weighting.between(NATURAL, TARGET), dict.fromkeys(NATURAL, 1.0)
    expected = truth(NATURAL, weights) / truth(TARGET, ones)
    found = [Moments.measure(taken, planted(rng, 64)).variance_ratio(NATURAL, TARGET) for _ in range(300)]
    covered = np.mean([one.holds(expected) for one in found])
    assert 0.91 < covered <= 0.99  # intervals twice too narrow cover 0.67


def test_two_readings_give_what_all_gradients_together_give():
    rng = np.random.default_rng(2)
    batches = planted(rng, 40)
    found = Moments.measure(taken, batches)
    kept = {name: torch.cat(parts).numpy() for name, parts in batches.items()}
    block = {
        name: np.concatenate([np.full(len(part), place % BLOCKS) for place, part in enumerate(parts)])
        for name, parts in batches.items()
    }
    for r in range(1 + BLOCKS):
        left = {name: rows[block[name] != r - 1] for name, rows in kept.items()}
        for i, (name, one) in enumerate(left.items()):
            assert found.G_RL[r, i] == pytest.approx((one**2).sum(1).mean(), rel=1e-12)
            for j, (other_name, other) in enumerate(left.items()):
                pairs = one @ other.T
                total, count = pairs.sum(), pairs.size
                if name == other_name:
                    total, count = total - np.trace(pairs), count - len(pairs)
                assert found.product_RLL[r, i, j] == pytest.approx(total / count, rel=1e-10, abs=1e-12)


def test_equal_second_moments_give_the_published_factor_and_large_ones_of_the_large_language_turn_the_sign():
    sizes = {"high": 0.9, "low": 0.1}
    natural, target = proportional(sizes), temperature(sizes, 5)

    def moments(G_high):
        G_RL = np.tile([G_high, 1.0], (3, 1))
        return Moments(("high", "low"), G_RL, np.zeros((3, 2, 2)))

    assert moments(1.0).second_moment_ratio(natural, target).value == pytest.approx(variance_factor(natural, target))
    turning = 27 / 7  # from 90/10 to 70/30, docs/methods/upsample-or-upweight.md
    for G, sign in ((0.95 * turning, 1), (1.05 * turning, -1)):
        assert np.sign(moments(G).excess(NATURAL, TARGET).value) == sign
        assert np.sign(moments(G).variance_ratio(NATURAL, TARGET).value - 1) == sign


def test_batches_that_are_drawn_have_the_variance_of_the_formula():
    rng = np.random.default_rng(2)
    pool = {name: torch.cat(parts) for name, parts in planted(rng, 400).items()}
    weights = Weighting.between(NATURAL, TARGET)
    exact = {}
    sums = {"sampling": Sums(), "weighting": Sums()}
    for form, (mixture, weight) in {
        "sampling": (TARGET, dict.fromkeys(TARGET, 1.0)),
        "weighting": (NATURAL, weights),
    }.items():
        # The pool itself is the population: its exact variance for single draws, by enumeration.
        second = sum(mixture[n] * weight[n] ** 2 * float(pool[n].square().sum(1).mean()) for n in mixture)
        mean = sum(mixture[n] * weight[n] * pool[n].mean(0) for n in mixture)
        exact[form] = (second - float(mean @ mean)) / 4
        for draw in range(1600):
            names = rng.choice(["high", "low"], size=4, p=list(mixture.values()))
            rows = [weight[n] * pool[n][rng.integers(400)] for n in names]
            gradient = torch.stack(rows).mean(0)
            sums[form].add(draw % BLOCKS, gradient, gradient.square().sum().reshape(1))
        assert drawn_variance(sums[form]).holds(exact[form])
    ratio = drawn_ratio(sums["weighting"], sums["sampling"])
    assert ratio.holds(exact["weighting"] / exact["sampling"])
    assert ratio.high / ratio.low < 1.5


@pytest.fixture(scope="module")
def proxy():
    """A proxy trained for a moment on two languages, and sequences of both."""
    rng = np.random.default_rng(3)
    tokens = {
        "high": torch.from_numpy(rng.zipf(1.4, (80, 13)) % 50),
        "low": torch.from_numpy((rng.zipf(1.4, (80, 13)) + 25) % 50),
    }
    stack = Stack(SHAPE, [0])
    for step in range(40):
        rows = rng.integers(80, size=8)
        stack.backward(torch.cat([tokens["high"][rows[:6]], tokens["low"][rows[6:]]]).unsqueeze(0))
        stack.step(step + 1, 1e-2, 0.0, 1.0)
    return stack, tokens


def test_norms_by_factors_through_transformers_are_those_of_autograd_one_by_one(proxy, tmp_path):
    transformers = pytest.importorskip("transformers")
    from glotmix.attribution.samples import next_token_loss

    stack, tokens = proxy
    parameters = {name: tensor.detach() for name, tensor in stack.parameters.items()}
    save_checkpoint(tmp_path, parameters, SHAPE)
    llama = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    batch = tokens["high"][:5]
    total, squares = of_proxy(parameters, SHAPE)(batch)
    other_total, other_squares = of_model(llama, next_token_loss)({"input_ids": batch})
    singles = []
    for row in batch:
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in parameters.items()}
        found = torch.autograd.grad(model.loss(leaves, row[None, None], SHAPE).sum(), list(leaves.values()))
        singles.append(torch.cat([one.flatten() for one in found]))
    expected = torch.stack(singles)
    assert squares.numpy() == pytest.approx(expected.double().square().sum(1).numpy(), rel=1e-5)
    assert other_squares.numpy() == pytest.approx(squares.numpy(), rel=1e-4)
    assert float((total - expected.sum(0)).norm() / expected.sum(0).norm()) < 1e-5
    # The other model lays its parameters out differently; the norm of the sum does not depend on it.
    assert float(other_total.norm()) == pytest.approx(float(total.norm()), rel=1e-4)


def test_a_trainers_batches_have_the_ratio_that_other_sequences_predict(proxy):
    stack, tokens = proxy
    parameters = {name: tensor.detach() for name, tensor in stack.parameters.items()}
    halves = {name: (rows[:40].split(2), rows[40:]) for name, rows in tokens.items()}
    moments = Moments.measure(of_proxy(parameters, SHAPE), {n: h[0] for n, h in halves.items()})
    formula = moments.variance_ratio(NATURAL, TARGET)
    rng, drawn = np.random.default_rng(4), []
    for mixture, weights in ((NATURAL, Weighting.between(NATURAL, TARGET)), (TARGET, dict.fromkeys(TARGET, 1.0))):
        sums = Sums()
        for place in range(480):
            names = rng.choice(["high", "low"], size=4, p=list(mixture.values()))
            rows = torch.stack([halves[n][1][rng.integers(40)] for n in names])
            stack.gradient_KP.zero_()
            stack.backward_weighted(rows.unsqueeze(0), torch.tensor([[weights[n] for n in names]]).float())
            gradient = stack.gradient_KP[0]
            sums.add(place % BLOCKS, gradient, gradient.double().square().sum().reshape(1))
        drawn.append(sums)
    measured = drawn_ratio(*drawn)
    assert measured.low <= formula.high
    assert formula.low <= measured.high
    assert measured.high / measured.low < 2


def test_moments_go_through_json(proxy):
    stack, tokens = proxy
    parameters = {name: tensor.detach() for name, tensor in stack.parameters.items()}
    moments = Moments.measure(of_proxy(parameters, SHAPE), {n: rows[:32].split(2) for n, rows in tokens.items()})
    again = Moments.from_json(moments.to_json())
    assert again.variance_ratio(NATURAL, TARGET) == moments.variance_ratio(NATURAL, TARGET)
    assert again.variance(NATURAL, batch=4).value == pytest.approx(moments.variance(NATURAL).value / 4)
    assert moments.G("high").low < moments.G("high").value < moments.G("high").high


def test_too_little_to_measure_is_named():
    parameters = init_parameters(SHAPE, [0])
    rows = torch.zeros(4, 13, dtype=torch.long)
    with pytest.raises(BadInput, match="2 batches of high"):
        Moments.measure(of_proxy(parameters, SHAPE), {"high": rows.split(2)})
    with pytest.raises(BadInput, match="no gradients of low"):
        Moments(("high",), np.ones((3, 1)), np.zeros((3, 1, 1))).variance(NATURAL)
    assert math.isnan(jackknifed(np.array([1.0])).low)
