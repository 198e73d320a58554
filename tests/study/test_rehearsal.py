"""Shape rehearsal: what every stage of every recipe would hold at its true shapes, and that the bytes are the real ones."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from glotmix.attribution import classifier, tracin
from glotmix.attribution.samples import Samples, classification_loss
from glotmix.attribution.tuning import Tuning
from glotmix.cli import app
from glotmix.config import read_yaml
from glotmix.errors import BadInput, Problems
from glotmix.footprint import Footprint
from glotmix.probe import alignment, gradient_variance
from glotmix.proxy import kernels, model
from glotmix.proxy.architecture import Architecture
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.model import Shape
from glotmix.proxy.stack import Stack, footprint
from glotmix.studies.start import open_study
from glotmix.study.rehearsal import rehearse
from tests.measured_bytes import peak

ROOT = Path(__file__).parents[2]
SCALES = [
    (path.stem, scale)
    for path in sorted((ROOT / "recipes").glob("*.yaml"))
    for scale in (read_yaml(path).get("scales") or {"": {}})
]
CANNOT: dict[tuple[str, str], list[str]] = {}
"""Stages that 80 GB have no room for, or that are refused; every other recipe and scale can run."""


def rehearsed(recipe, scale, *overrides, **options):
    opened = open_study(ROOT / "recipes" / f"{recipe}.yaml", scale=scale or None, overrides=list(overrides))
    return opened.rehearse(**options)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft's own
@pytest.mark.parametrize(("recipe", "scale"), SCALES, ids=lambda text: text or "-")
def test_every_recipe_at_every_scale_fits_a_device_or_says_what_does_not(recipe, scale):
    found = rehearsed(recipe, scale)
    assert [str(one.where) for one in found.problems()] == CANNOT.get((recipe, scale), [])
    assert all(one.bytes > 0 and one.flops > 0 for one in found.footprints)


def test_a_smaller_device_and_a_slower_one_are_told():
    opened = ["cloned-languages", "large"]
    whole = rehearsed(*opened)
    largest = max(one.bytes for one in whole.footprints)
    assert not whole.problems()
    assert rehearsed(*opened, device_gb=0.99 * largest / 1e9).problems()
    one, slow = whole.footprints[0], rehearsed(*opened, throughput=1e13)
    assert slow.hours(one) == pytest.approx(20 * whole.hours(one))


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft's own
def test_answers_take_the_time_of_reading_the_model_for_every_token():
    chat = rehearsed("post-training", "one_gpu").footprints[-1]
    assert "answers" in chat.stage
    assert chat.moved == 0  # likelihoods of given answers: all tokens at once
    found = rehearsed("post-training", "paper")
    one = next(one for one in found.footprints if one.stage == "answers of llama-8b: mathematics")
    assert one.devices == 8
    reading = one.moved / 2e12 / 8 / 3600
    assert found.hours(one) == pytest.approx(reading + one.flops / 2e14 / 8 / 3600)
    # Half a thousand tokens for each part of the questions, and the weights are read for all of them.
    assert reading > 500 * one.weights / 2e12 / 3600


def test_the_command_tells_all_stages_that_cannot_be(tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text(
        "name: Large\nlanguages: [eng, deu]\ndesign: {ladder: [1M, 900M], ladder_tokens: 1}\n"
        "corpus: {reader: hub, path: some/where}\nproxy: {width: 64, layers: 2, tokens: 1e4, batch: 512}\n"
    )
    refused = CliRunner().invoke(app, ["run", str(study), "--rehearse"])
    assert isinstance(refused.exception, BadInput)
    assert "less than a batch of 512" in str(refused.exception)
    recipe = str(ROOT / "recipes" / "cloned-languages.yaml")
    small = CliRunner().invoke(app, ["run", recipe, "--rehearse", "--json", "--memory", "0.001"])
    assert isinstance(small.exception, Problems)
    assert sum(not one["fits"] for one in json.loads(small.stdout)["stages"]) == len(small.exception.problems) > 3
    fine = CliRunner().invoke(app, ["run", recipe, "--rehearse"])
    assert fine.exit_code == 0, fine.output
    assert "alignment of main" in fine.stdout


def test_a_stage_that_is_refused_keeps_none_of_the_others_from_being_told():
    def refused():
        raise BadInput("no", where="a.b", expected="yes")

    found = rehearse(lambda: {"one": refused, "two": lambda: [Footprint("two", weights=2e9)], "three": refused}, 1.0)
    assert [str(one.where) for one in found.problems()] == ["a.b", "two"]
    assert [one.stage for one in found.footprints] == ["two"]


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """The operations and the chunks that a GPU gets."""
    monkeypatch.setattr(kernels, "uses_native", lambda *_: False)
    monkeypatch.setattr(kernels, "CHUNK_BYTES", 1 << 40)


PROXIES = {
    "wide": (Shape(256, 2, 4, 688, 1024, True, 64), 8, "float32"),
    "long": (Shape(64, 4, 4, 176, 512, False, 512), 8, "float32"),
    "many words": (Shape(64, 2, 2, 176, 16384, True, 128), 4, "float32"),
    "half": (Shape(128, 3, 4, 352, 512, False, 256), 8, "bfloat16"),
}


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("name", PROXIES)
def test_the_bytes_of_training_are_those_that_are_allocated(name, recompute, as_on_a_gpu):
    shape, batch, precision = PROXIES[name]
    training = ProxyConfig(
        width=shape.width, layers=shape.layers, heads=shape.heads, feed_forward=shape.feed_forward, tied=shape.tied,
        context=shape.context, batch=batch, precision=precision, recompute_activations=recompute,
    )  # fmt: skip
    planned = footprint("", shape, training, tokens=1)
    tokens = torch.zeros(1, batch, shape.context + 1, dtype=torch.long)
    with peak(tokens) as measured:
        stack = Stack(shape, [0], dtype={"float32": torch.float32}.get(precision, torch.bfloat16), recompute=recompute)
        stack.backward(tokens)
        stack.step(1, 1e-3, 0.1, 1.0)
    assert planned.bytes == pytest.approx(measured.most, rel=0.1)


def test_the_bytes_of_the_variance_probe_are_those_that_are_allocated(as_on_a_gpu):
    shape = Shape(64, 2, 2, 176, 2048, True, 32)
    parameters = model.init_parameters(shape, [0])
    generator = torch.Generator().manual_seed(0)
    batches = {
        name: [torch.randint(0, 2048, (4, 33), generator=generator) for _ in range(6)] for name in ("a", "b", "c")
    }
    planned = gradient_variance.footprint("", shape, 3, 24)
    with peak(*parameters.values()) as measured:
        gradient_variance.Moments.measure(gradient_variance.of_proxy(parameters, shape), batches, blocks=6)
    assert planned.bytes == pytest.approx(measured.most, rel=0.1)


@pytest.mark.parametrize(
    ("shape", "sentences"),
    [(Shape(64, 4, 4, 176, 512, False, 128), 32), (Shape(256, 2, 4, 688, 512, False, 32), 2)],
    ids=["states", "gradients"],
)
def test_the_bytes_of_the_alignment_probe_are_those_that_are_allocated(shape, sentences, as_on_a_gpu, monkeypatch):
    monkeypatch.setitem(alignment.TOKENS_AT_ONCE, True, alignment.TOKENS_AT_ONCE[False])
    parameters = model.init_parameters(shape, [0])
    text = np.random.default_rng(0).integers(0, 256, (sentences, shape.context + 1))
    planned = alignment.footprint("", shape, sentences, 1)
    with peak(*parameters.values()) as measured:
        alignment.align(parameters, shape, text, np.arange(256), np.arange(256) + 256)
    assert planned.bytes == pytest.approx(measured.most, rel=0.1)


SMALL = {
    "model_type": "xlm-roberta", "vocab_size": 3000, "hidden_size": 64, "intermediate_size": 256,
    "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 130, "type_vocab_size": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def classified():
    """An encoder with a classifier, its architecture, and samples of one length."""
    architecture = Architecture.of("small", SMALL, Path(), "classes", where="base")
    encoder = architecture.cut(3)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 3000, (48, 96), generator=generator)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.arange(48) % 2}
    return architecture, encoder, Samples(inputs, ("eng_Latn",) * 48, tuple(map(str, range(48))))


def test_an_architecture_knows_its_parameters(classified):
    architecture, encoder, _ = classified
    assert architecture.parameters == sum(p.numel() for p in encoder.parameters())
    tables = sum(m.weight.numel() for m in encoder.modules() if isinstance(m, torch.nn.Embedding))
    assert architecture.in_products == architecture.parameters - tables


def test_the_bytes_of_tuning_are_those_that_are_allocated(classified):
    architecture, encoder, samples = classified
    tuning = Tuning(epochs=1, batch=16, length=96)
    planned = classifier.footprint("", architecture, tuning, 48)
    with peak(*encoder.parameters()) as measured:
        classifier.tune(encoder, samples, tuning, 0)
    assert planned.bytes == pytest.approx(measured.most, rel=0.1)


def test_the_bytes_of_scores_are_those_that_are_allocated(classified):
    architecture, encoder, samples = classified
    planned = tracin.footprint("", architecture, length=96, tests=32, trained=48, checkpoints=1, batch=16)
    state = [tracin.Checkpoint("end", {name: tensor.clone() for name, tensor in encoder.state_dict().items()})]
    with peak(*encoder.parameters()) as measured:
        tracin.gradient_products(encoder, classification_loss, state, samples.take(list(range(32))), samples, batch=16)
    assert planned.bytes == pytest.approx(measured.most, rel=0.1)
