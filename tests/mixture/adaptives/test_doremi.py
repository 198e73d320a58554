import numpy as np
import pytest

from glotmix.mixture.adaptives.adaptive import Observation
from glotmix.mixture.adaptives.doremi import DoReMi
from glotmix.mixture.balancing import uniform
from glotmix.mixture.mixture import Mixture


def test_updates_are_algorithm_one():
    rng = np.random.default_rng(0)
    method, alpha, history = DoReMi(uniform("abc")), np.full(3, 1 / 3), []
    for step in range(1, 30):
        excess = rng.uniform(0, 2, 3)
        method.update(Observation(step, excess=dict(zip("abc", excess, strict=True))))
        alpha = alpha * np.exp(1.0 * excess)
        alpha = (1 - 1e-3) * alpha / alpha.sum() + 1e-3 / 3
        history.append(alpha)
        np.testing.assert_allclose([method.weighting[x] for x in "abc"], alpha / (1 / 3), rtol=1e-12)
    np.testing.assert_allclose(method.result.vector("abc"), np.mean(history, axis=0), rtol=1e-12)


def test_weights_are_relative_to_what_is_sampled():
    method = DoReMi(Mixture({"a": 0.5, "b": 0.5}), sampled=Mixture({"a": 0.8, "b": 0.2}))
    assert method.mixture == Mixture({"a": 0.8, "b": 0.2})
    assert method.weighting["a"] == pytest.approx(0.5 / 0.8)
    assert method.weighting["b"] == pytest.approx(2.5)


def test_a_language_that_no_batch_held_keeps_its_excess():
    method = DoReMi(uniform("ab"), smoothing=0.0)
    method.update(Observation(1, excess={"a": 0.0, "b": 1.0}))
    method.update(Observation(2, excess={"a": 0.0}))
    assert method.weighting["b"] / method.weighting["a"] == pytest.approx(np.exp(2))


def test_huge_excess_does_not_overflow():
    method = DoReMi(uniform("ab"))
    method.update(Observation(1, excess={"a": 2000.0, "b": 0.0}))
    assert method.weighting["a"] == pytest.approx(2 * (0.999 + 0.0005))


def test_reference_and_proxy_runs_are_counted():
    assert DoReMi(uniform("ab")).cost.runs == 2
    assert DoReMi(uniform("ab")).cost.forward == 1
