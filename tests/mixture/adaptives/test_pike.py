import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.mixture.adaptives.adaptive import Observation
from glotmix.mixture.adaptives.pike import Pike
from glotmix.mixture.balancing import uniform


def test_updates_are_algorithm_one():
    rng, w = np.random.default_rng(0), np.full(3, 1 / 3)
    method = Pike(uniform("abc"), zeta1=0.3, zeta2=0.7, batch=16, every=5)
    for step in range(5, 100, 5):
        norm, variance = rng.uniform(0, 2, 3), rng.uniform(0, 40, 3)
        method.update(
            Observation(
                step,
                square_norm=dict(zip("abc", norm, strict=True)),
                variance=dict(zip("abc", variance, strict=True)),
            )
        )
        w = w * np.exp(0.3 * norm - 0.7 / (2 * 16) * variance)
        w /= w.sum()
        np.testing.assert_allclose(method.mixture.vector("abc"), w, rtol=1e-10)


def test_large_gradients_attract_and_noise_repels():
    method = Pike(uniform("ab"), zeta1=1.0, zeta2=1.0, batch=1, every=1)
    method.update(Observation(1, square_norm={"a": 1.0, "b": 0.0}, variance={"a": 0.0, "b": 0.0}))
    assert method.mixture["a"] == pytest.approx(np.e / (1 + np.e))
    method.update(Observation(2, square_norm={"a": 0.0, "b": 0.0}, variance={"a": 2.0, "b": 0.0}))
    assert method.mixture["a"] == pytest.approx(0.5)


def test_constants_are_checked():
    with pytest.raises(BadInput, match="b = 0"):
        Pike(uniform("ab"), zeta1=1.0, zeta2=1.0, batch=0, every=1)
