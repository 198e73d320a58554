import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.mixture.adaptives.adaptive import Observation
from glotmix.mixture.adaptives.gradvac import GradVac
from glotmix.mixture.balancing import uniform


def gram(g):
    return {a: {b: float(g[i] @ g[j]) for j, b in enumerate("abcd"[: len(g)])} for i, a in enumerate("abcd"[: len(g)])}


def published(g, usual, beta, rng):
    """Algorithm 1 on the gradient vectors themselves."""
    altered = g.copy()
    for i in range(len(g)):
        for j in rng.permutation(len(g)).tolist():
            if i == j:
                continue
            phi = altered[i] @ g[j] / np.linalg.norm(altered[i]) / np.linalg.norm(g[j])
            if phi < usual[i, j]:
                top = np.linalg.norm(altered[i]) * (
                    usual[i, j] * np.sqrt(1 - phi**2) - phi * np.sqrt(1 - usual[i, j] ** 2)
                )
                altered[i] = altered[i] + top / (np.linalg.norm(g[j]) * np.sqrt(1 - usual[i, j] ** 2)) * g[j]
            usual[i, j] = (1 - beta) * usual[i, j] + beta * phi
    return altered.sum(axis=0)


def test_weights_from_the_gram_matrix_give_the_published_sum_of_gradients():
    """Gradients in 50 dimensions with a common part, so that usual cosines are positive; no method would score Σ g."""
    rng, method, usual = np.random.default_rng(0), GradVac(uniform("abcd"), seed=7, beta=0.1), np.zeros((4, 4))
    moved = 0.0
    for step in range(60):
        g = rng.normal(size=(4, 50)) * np.array([[1.0], [2.0], [0.5], [1.0]]) + 0.4 * rng.normal(size=50)
        method.update(Observation(step + 1, gram=gram(g)))
        expected = published(g, usual, 0.1, np.random.default_rng([7, step]))
        got = sum(method.weighting[x] * row for x, row in zip("abcd", g, strict=True))
        np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-10)
        moved = max(moved, np.abs(expected - g.sum(axis=0)).max())
    assert moved > 0.1
    assert min(method.weighting.values()) >= 1


def test_one_alteration_makes_the_cosine_the_usual_one():
    method = GradVac(uniform("ab"), seed=0, beta=1.0)
    method.update(Observation(1, gram=gram(np.array([[1.0, 0.0], [0.6, 0.8]]))))  # usual cosine becomes 0.6
    g = np.array([[1.0, 0.0], [0.0, 3.0]])
    method.update(Observation(2, gram=gram(g)))
    # Each of the two turns towards the other: 1 + ‖g_j‖ / ‖g_i‖ · 0.6 / 0.8.
    assert method.weighting["a"] == pytest.approx(1 + 3 * 0.75)
    assert method.weighting["b"] == pytest.approx(1 + 0.25)
    altered = g[0] + 0.25 * g[1]
    assert altered @ g[1] / np.linalg.norm(altered) / 3 == pytest.approx(0.6)


def test_a_language_without_gradient_is_left_alone():
    method = GradVac(uniform("abc"), seed=0)
    method.update(Observation(1, gram={"a": {"a": 1.0, "b": 0.0}, "b": {"a": 0.0, "b": 0.0}}))
    assert dict(method.weighting) == {"a": 1.0, "b": 1.0, "c": 1.0}


def test_beta_is_checked():
    with pytest.raises(BadInput, match="beta = 0"):
        GradVac(uniform("ab"), seed=0, beta=0)
