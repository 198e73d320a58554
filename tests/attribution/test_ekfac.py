"""EK-FAC by kronfluence: our samples, our sign, and a better prediction of retraining than TracIn."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from glotmix.attribution.lds import draw_subsets, linear_datamodeling_score
from glotmix.attribution.samples import Samples, classification_loss
from glotmix.attribution.tracin import Checkpoint, gradient_products
from glotmix.errors import BadInput
from tests.attribution.conftest import classified

kronfluence = pytest.importorskip("kronfluence")
ekfac = pytest.importorskip("glotmix.attribution.ekfac")


class Output:
    def __init__(self, logits):
        self.logits = logits


class Softmax(nn.Module):
    """Softmax regression with the outside of a transformers classifier."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(12, 3)

    def forward(self, input_ids):
        return Output(self.linear(input_ids))


def data(n, seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    x = 1.2 * np.random.default_rng(5).standard_normal((3, 12))[y] * np.r_[np.ones(6), np.zeros(6)]
    # Directions of very different scale: what the curvature knows and TracIn does not.
    x = (x + rng.standard_normal((n, 12))) * np.r_[np.full(6, 1.0), np.full(3, 4.0), np.full(3, 0.2)]
    inputs = {"input_ids": torch.from_numpy(x).float(), "labels": torch.from_numpy(y)}
    return Samples(inputs, ("a",) * n, labels=tuple(y.tolist()))


def fit(samples):
    torch.manual_seed(0)
    model = Softmax()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=100)

    def closure():
        optimizer.zero_grad()
        loss = cross_entropy(model(samples.inputs["input_ids"]).logits, samples.inputs["labels"])
        loss = loss + 5e-3 * sum(p.square().sum() for p in model.parameters())
        loss.backward()
        return loss

    optimizer.step(closure)
    return model


@pytest.fixture(scope="module")
def task():
    train, test = data(240, 1), data(30, 2)
    subsets = draw_subsets(len(train), 60, np.random.default_rng(3))
    outputs = []
    for mask in subsets:
        model = fit(train.take(np.flatnonzero(mask).tolist()))
        with torch.no_grad():
            outputs.append(-classification_loss(model, test.inputs).numpy())
    return train, test, fit(train), subsets, np.array(outputs)


def test_ekfac_predicts_retraining_better_than_tracin_and_with_our_sign(task):
    train, test, model, subsets, outputs = task
    found = ekfac.ekfac_scores(model, classification_loss, test, train)
    curved = linear_datamodeling_score(found.value_QN, subsets, outputs)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    products = gradient_products(model, classification_loss, [Checkpoint("last", state)], test, train)
    plain = linear_datamodeling_score(products.dot_EQN[0], subsets, outputs)
    assert curved.value > plain.value + 0.05
    assert curved.value > 0.7  # random scores: within 0.05 of zero
    assert found.method["curvature"] == "ekfac"
    assert found.train.languages == train.languages


def test_without_curvature_it_is_tracin_of_linear_layers(classifier):
    test, train = classified(3, 1), classified(5, 2)
    for samples in (test, train):  # padding is another matter: kronfluence masks what has no gradient
        samples.inputs["attention_mask"].fill_(1)
        samples.inputs["input_ids"].clamp_(min=2)
    found = ekfac.ekfac_scores(classifier, classification_loss, test, train, strategy="identity").value_QN
    state = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    products = gradient_products(
        classifier, classification_loss, [Checkpoint("last", state)], test, train, parameters="linear"
    )
    np.testing.assert_allclose(found, products.dot_EQN[0], atol=1e-4 * np.abs(products.dot_EQN).max())


def test_bad_input_is_named(classifier):
    samples = classified(3, 1)
    with pytest.raises(BadInput, match="a loss of your own"):
        ekfac.ekfac_scores(classifier, lambda m, b: m(b), samples, samples)
    with pytest.raises(BadInput, match="strategy = 'magic'"):
        ekfac.ekfac_scores(classifier, classification_loss, samples, samples, strategy="magic")
