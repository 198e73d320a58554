import math

import numpy as np
import pytest

from glotmix.mixture.adaptives.adaptive import Observation
from glotmix.mixture.adaptives.odm import OdmExp3, OdmSmoothed
from glotmix.mixture.balancing import uniform

K = 3


def exploration(t):
    return min(1 / K, math.sqrt(math.log(K) / (K * t)))


def test_the_smoothed_form_is_the_authors_group_update():
    rng, method = np.random.default_rng(0), OdmSmoothed(uniform("abc"))
    reward, epsilon = np.zeros(K), 1 / K
    for step in range(1, 200):
        loss = rng.uniform(1, 4, K)
        method.update(Observation(step, loss=dict(zip("abc", loss, strict=True))))
        before, epsilon = epsilon, exploration(step)
        reward = 0.9 * reward + 0.1 * np.exp(loss)
        weights = (1 - K * epsilon) / (reward * before).sum() * reward * before + epsilon
        np.testing.assert_allclose(method.mixture.vector("abc"), weights / weights.sum(), rtol=1e-9)
    assert method.mixture["a"] != pytest.approx(1 / 3, abs=1e-3)


def test_the_exp3_form_is_the_authors_update_for_one_language_at_a_time():
    rng, method = np.random.default_rng(1), OdmExp3(uniform("abc"))
    reward, p, epsilon = np.zeros(K), np.full(K, 1 / K), 1 / K
    for step in range(1, 200):
        i, loss = int(rng.integers(K)), float(rng.uniform(1, 4))
        method.update(Observation(step, loss={"abc"[i]: loss}))
        reward[i] += loss / 10 / p[i]
        before, epsilon = epsilon, exploration(step)
        weights = np.exp(before * reward) * (1 - K * epsilon) / np.exp(before * reward).sum() + epsilon
        p = weights / weights.sum()
        np.testing.assert_allclose(method.mixture.vector("abc"), p, rtol=1e-9)


def test_several_languages_in_a_batch_are_rewarded_at_the_same_probabilities():
    method = OdmExp3(uniform("ab"))
    method.update(Observation(50, loss={"a": 2.0, "b": 2.0}))
    assert method.mixture["a"] == pytest.approx(0.5)


@pytest.mark.parametrize("form", [OdmSmoothed, OdmExp3])
def test_high_loss_is_sampled_more_and_none_falls_below_exploration(form):
    method = form(uniform("abc"))
    for step in range(1, 500):
        method.update(Observation(step, loss={"a": 4.0, "b": 2.0, "c": 1.0}))
        assert min(method.mixture.values()) >= exploration(step) * (1 - 1e-9)
    assert method.mixture["a"] > 0.5  # uniform: 0.33


def test_warm_up_learns_nothing():
    method = OdmSmoothed(uniform("ab"), warmup=10)
    method.update(Observation(10, loss={"a": 9.0, "b": 1.0}))
    assert method.mixture == uniform("ab")
    method.update(Observation(11, loss={"a": 9.0, "b": 1.0}))
    assert method.mixture["a"] > 0.6
