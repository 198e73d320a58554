import numpy as np
import pytest
from scipy.optimize import check_grad, minimize

from glotmix.errors import BadInput
from glotmix.mixture.adaptives.adaptive import Observation
from glotmix.mixture.adaptives.ado import Ado, _objective, fit_power_law
from glotmix.mixture.mixture import Mixture

PRIOR = Mixture({"a": 0.6, "b": 0.3, "c": 0.1})
LAWS = {"a": (2.5, 0.6, 0.3), "b": (3.0, 0.7, 0.25), "c": (1.5, 1.0, 0.5)}


def loss(name, n):
    a, e, alpha = LAWS[name]
    return float(np.exp(e) + np.exp(a) / n**alpha)


def test_the_fit_recovers_planted_laws():
    n = np.arange(500, 20_000, 100.0)
    for name, planted in LAWS.items():
        a, e, alpha = fit_power_law(n, np.array([loss(name, x) for x in n]))
        predicted = np.exp(e) + np.exp(a) / n**alpha
        truth = np.array([loss(name, x) for x in n])
        assert np.abs(predicted / truth - 1).max() < 1e-3  # the mean of the losses: 0.1 to 0.3
        assert alpha == pytest.approx(planted[2], rel=0.15)


def test_the_objectives_gradient_is_its_derivative():
    n, y = np.log(np.arange(500, 5000, 100.0)), np.log(np.linspace(4, 3, 45))
    for law in ([2.0, 0.7, 0.3], [7.0, 0.2, 0.9], [1.0, 0.9, 0.3]):
        error = check_grad(lambda x: _objective(x, n, y)[0], lambda x: _objective(x, n, y)[1], law)
        assert error < 1e-4


def test_the_fit_is_as_good_as_from_a_grid_of_optimised_starts():
    rng = np.random.default_rng(0)
    n = np.arange(500, 20_000, 400.0)
    y = np.array([loss("b", x) for x in n]) * np.exp(rng.normal(0, 0.01, len(n)))
    best = min(
        minimize(_objective, (a, e, alpha), (np.log(n), np.log(y)), jac=True, method="L-BFGS-B").fun
        for a in range(-2, 6, 3)
        for e in np.arange(-2, 2, 1.0)
        for alpha in np.arange(0, 0.8, 0.2)
    )
    found = _objective(fit_power_law(n, y), np.log(n), np.log(y))[0]
    assert found + 1e-3 <= (best + 1e-3) * 1.01  # the penalty on α is -0.001 within its range


def test_before_the_first_fit_the_prior_is_sampled_and_after_it_the_published_mixture():
    """From the fitted laws on, p, p̄ and h recomputed by hand, step by step."""
    rng = np.random.default_rng(0)
    method = Ado(PRIOR, first_fit=120, ignored=20, every=50)
    h, mean, n = PRIOR.vector("abc"), PRIOR.vector("abc"), 0
    for step in range(1, 201):
        counts = rng.multinomial(64, PRIOR.vector("abc"))
        n += counts.sum()
        method.update(
            Observation(
                step,
                loss={name: loss(name, n) for name, count in zip("abc", counts, strict=True) if count},
                sequences=dict(zip("abc", map(int, counts), strict=True)),
            )
        )
        h = 0.9 * h + 0.1 * counts / counts.sum()
        if step < 120:
            assert method.mixture.total_variation(PRIOR) < 1e-12
            continue
        law = np.array(method.state()["law"])
        current = np.exp(law[:, 1]) + np.exp(law[:, 0]) / n ** law[:, 2]
        slope = np.maximum(law[:, 2], 0.05) * (current - np.exp(law[:, 1])) / n
        rho = slope * PRIOR.vector("abc") * np.sqrt(h)
        rho = np.maximum(rho / rho.sum(), 0.01)
        rho /= rho.sum()
        p = 0.9 * mean + 0.1 * rho
        mean = (1 - 1 / (step + 1)) * mean + rho / (step + 1)
        np.testing.assert_allclose(method.mixture.vector("abc"), p / p.sum(), rtol=1e-9)


def test_a_language_missing_from_a_batch_keeps_its_last_loss():
    method = Ado(PRIOR)
    method.update(Observation(1, loss={"a": 4.0, "b": 2.0}, sequences={"a": 3, "b": 1}))
    method.update(Observation(2, loss={"c": 5.0}, sequences={"c": 4}))
    assert method.state()["losses"] == [[4.0, 2.0, 3.0], [4.0, 2.0, 5.0]]


def test_bad_settings_and_empty_batches_are_named():
    with pytest.raises(BadInput, match="expected ignored < first_fit"):
        Ado(PRIOR, first_fit=10, ignored=10)
    with pytest.raises(BadInput, match="no sequences at step 1"):
        Ado(PRIOR).update(Observation(1, loss={"a": 1.0}))
    with pytest.raises(BadInput, match="no losses at the first step"):
        Ado(PRIOR).update(Observation(1, sequences={"a": 1}))
