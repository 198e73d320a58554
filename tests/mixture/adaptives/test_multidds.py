import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.mixture.adaptives.adaptive import Observation
from glotmix.mixture.adaptives.multidds import MultiDdsS
from glotmix.mixture.mixture import Mixture

START = Mixture({"a": 0.6, "b": 0.3, "c": 0.1})


def cosines(rng):
    return {x: {y: float(rng.uniform(-1, 1)) for y in "abcd"} for x in "abc"}  # four development languages


def test_updates_are_the_policy_gradient_by_automatic_differentiation():
    """Against torch: Adam on -Σ R log softmax(ψ), 200 steps of 1e-4 per update, moments kept."""
    torch = pytest.importorskip("torch")
    rng, method = np.random.default_rng(0), MultiDdsS(START)
    psi = torch.tensor(np.log(START.vector("abc")), requires_grad=True)
    adam = torch.optim.Adam([psi], lr=1e-4)
    for step in (1000, 2000, 3000):
        cosine = cosines(rng)
        method.update(Observation(step, cosine=cosine))
        reward = torch.tensor([np.mean(list(cosine[x].values())) for x in "abc"])
        for _ in range(200):
            adam.zero_grad()
            (-(reward * torch.log_softmax(psi, dim=0)).sum()).backward()
            adam.step()
        np.testing.assert_allclose(method.mixture.vector("abc"), torch.softmax(psi, 0).detach().numpy(), rtol=1e-9)


def test_alignment_with_the_development_sets_is_rewarded():
    method = MultiDdsS(START, inner_steps=2000, learning_rate=1e-2)
    method.update(Observation(1000, cosine={"a": {"d": 0.1}, "b": {"d": 0.1}, "c": {"d": 0.8}}))
    np.testing.assert_allclose(method.mixture.vector("abc"), [0.1, 0.1, 0.8], atol=1e-3)  # p ∝ R is the fixed point


def test_two_gradients_per_language_are_counted_every_thousand_steps():
    cost = MultiDdsS(START).cost
    assert (cost.forward, cost.backward, cost.every) == (6, 6, 1000)


def test_a_share_of_zero_has_no_logit():
    with pytest.raises(BadInput, match="starts with share 0"):
        MultiDdsS(Mixture({"a": 1.0, "b": 0.0}))
