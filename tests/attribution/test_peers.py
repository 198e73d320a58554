"""The same scores from three independent libraries, on a random XLM-R; each is skipped where it is not installed."""

import functools
import warnings

import numpy as np
import pytest
import torch

from glotmix.attribution.samples import Samples, classification_loss
from glotmix.attribution.tracin import Checkpoint, gradient_products
from tests.attribution.conftest import classified, xlmr

AGREE = 1e-4  # the least that 512 random directions differ by is tens of times more (test_tracin)
TEST, TRAIN = 5, 9


def error(found, true):
    return np.abs(np.asarray(found) - true).max() / np.abs(true).max()


def data():
    """Without padding: masks that peers' vmap can take are a matter of their own."""
    samples = [classified(n, seed) for n, seed in ((TEST, 1), (TRAIN, 2))]
    for s in samples:
        s.inputs["input_ids"].clamp_(min=2)
        s.inputs["attention_mask"].fill_(1)
    return [Samples({k: s.inputs[k] for k in ("input_ids", "labels")}, s.languages) for s in samples]


@functools.cache
def ours(parameters="all"):
    model = xlmr()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    test, train = data()
    return gradient_products(
        model, classification_loss, [Checkpoint("only", state, 1.0)], test, train, parameters=parameters
    )


class Logits(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = xlmr().eval()

    def forward(self, ids):
        return self.inner(input_ids=ids).logits


def datasets():
    return [torch.utils.data.TensorDataset(s.inputs["input_ids"], s.inputs["labels"]) for s in data()]


def test_captum_has_the_same_dot_products(tmp_path):
    influence = pytest.importorskip("captum.influence")
    test, train = datasets()
    path = tmp_path / "only.pt"
    path.touch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = influence.TracInCP(
            Logits(),
            train,
            [str(path)],
            lambda model, path: 1.0,
            loss_fn=torch.nn.CrossEntropyLoss(reduction="none"),
            batch_size=3,
        )
        found = peer.influence(test[:])
    assert error(found.detach(), ours().dot_EQN[0]) < AGREE


def test_kronfluence_has_the_same_products_of_linear_layers(tmp_path):
    pytest.importorskip("einconv")
    analyzer = pytest.importorskip("kronfluence.analyzer")
    task = pytest.importorskip("kronfluence.task")
    arguments = pytest.importorskip("kronfluence.arguments")

    class Classification(task.Task):
        def compute_train_loss(self, batch, model, sample=False):
            return torch.nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="sum")

        def compute_measurement(self, batch, model):
            return self.compute_train_loss(batch, model)

    test, train = datasets()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = analyzer.prepare_model(Logits(), Classification())
        peer = analyzer.Analyzer("a", model, Classification(), cpu=True, output_dir=str(tmp_path), disable_tqdm=True)
        factors = arguments.FactorArguments(strategy="identity")
        peer.fit_all_factors("f", train, per_device_batch_size=9, factor_args=factors)
        peer.compute_pairwise_scores(
            "s", "f", test, train, per_device_query_batch_size=5, per_device_train_batch_size=9
        )
        scores = peer.load_pairwise_scores("s")
    assert error(scores["all_modules"], ours("linear").dot_EQN[0]) < AGREE


def test_dattri_has_the_same_cosines_with_its_projection_off():
    tracin = pytest.importorskip("dattri.algorithm.tracin")
    tasks = pytest.importorskip("dattri.task")
    model = Logits()
    position = torch.arange(2, 22)[None]
    mask = torch.zeros(1, 1, 20, 20)
    kinds = torch.zeros(1, 20, dtype=torch.long)

    def loss(parameters, sample):
        ids, label = sample
        options = {"attention_mask": mask, "position_ids": position, "token_type_ids": kinds}
        named = {name.removeprefix("inner."): tensor for name, tensor in parameters.items()}
        out = torch.func.functional_call(model.inner, named, (ids.reshape(1, -1),), options)
        return torch.nn.functional.cross_entropy(out.logits, label.reshape(1))

    test, train = datasets()
    loaders = [torch.utils.data.DataLoader(d, batch_size=5) for d in (train, test)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task = tasks.AttributionTask(loss_func=loss, model=model, checkpoints=[model.state_dict()])
        peer = tracin.TracInAttributor(task=task, weight_list=torch.ones(1), normalized_grad=True, device="cpu")
        peer.projector_kwargs = None  # None given to the constructor would still mean 512 random directions
        with torch.no_grad():
            found = peer.attribute(*loaders)
    assert error(found.T, ours().scores("cosine")[0]) < AGREE
