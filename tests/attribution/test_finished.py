"""Finished runs as they lie on disk: a trainer's checkpoints, a proxy, adapters; each opened or refused by name."""

import json
import shutil

import numpy as np
import pytest

from glotmix.attribution.finished import open_run
from glotmix.attribution.samples import classification_loss, next_token_loss
from glotmix.attribution.tracin import gradient_products
from glotmix.errors import BadInput
from tests.attribution.conftest import classified, xlmr


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A directory as transformers' trainer leaves it."""
    folder = tmp_path_factory.mktemp("trained")
    for step, rate in ((100, 2e-5), (20, 4e-5)):
        directory = folder / f"checkpoint-{step}"
        xlmr(layers=1, width=32, seed=step).save_pretrained(directory)
        state = {"log_history": [{"learning_rate": 1.0}, {"loss": 0.1}, {"learning_rate": rate}]}
        (directory / "trainer_state.json").write_text(json.dumps(state))
    return folder


def test_a_trainers_checkpoints_are_opened_in_order_with_their_learning_rates(trained):
    run = open_run(trained)
    assert [c.name for c in run.checkpoints] == ["checkpoint-20", "checkpoint-100"]
    assert [c.learning_rate for c in run.checkpoints] == [4e-5, 2e-5]
    assert run.loss is classification_loss
    assert run.classes == ("LABEL_0", "LABEL_1")
    assert run.context == 32
    products = gradient_products(run.model, run.loss, run.checkpoints, classified(2, 1), classified(3, 2))
    assert not np.allclose(products.dot_EQN[0], products.dot_EQN[1])
    assert products.scores("dot", "learning_rate") == pytest.approx(products.dot_EQN * [[[4e-5]], [[2e-5]]])


def test_a_single_model_is_its_own_checkpoint_and_some_can_be_chosen(trained):
    one = open_run(trained / "checkpoint-20")
    assert [c.name for c in one.checkpoints] == ["checkpoint-20"]
    assert [c.name for c in open_run(trained, ["checkpoint-100"]).checkpoints] == ["checkpoint-100"]
    with pytest.raises(BadInput, match="no checkpoint step-3"):
        open_run(trained, ["step-3"])


def test_weights_saved_in_bf16_are_asked_in_fp32(tmp_path):
    import torch

    model = xlmr(layers=1, width=32, seed=3)
    model.to(torch.bfloat16).save_pretrained(tmp_path / "half")
    model.float().save_pretrained(tmp_path / "whole")  # the same numbers
    products = []
    for name in ("half", "whole"):
        run = open_run(tmp_path / name)
        assert {parameter.dtype for parameter in run.model.parameters()} == {torch.float32}
        products.append(gradient_products(run.model, run.loss, run.checkpoints, classified(2, 1), classified(3, 2)))
    assert np.array_equal(products[0].dot_EQN, products[1].dot_EQN)
    with pytest.raises(BadInput, match=r"is in bfloat16 \(expected float32, as model.float\(\) gives\)"):
        gradient_products(model.bfloat16(), run.loss, run.checkpoints, classified(2, 1), classified(3, 2))


def test_a_kept_proxy_is_opened_as_a_language_model(tmp_path):
    from glotmix.proxy.checkpoint import save_checkpoint
    from glotmix.proxy.model import Shape, init_parameters

    shape = Shape(width=32, layers=1, heads=2, feed_forward=48, vocab=90, context=16)
    for step in (50, 200, 1000):
        save_checkpoint(tmp_path / "checkpoints" / f"step-{step}", init_parameters(shape, [step]), shape)
    run = open_run(tmp_path)
    assert [c.name for c in run.checkpoints] == ["step-50", "step-200", "step-1000"]
    assert (run.loss, run.classes, run.context) == (next_token_loss, None, 16)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*Could not find a config file:UserWarning")
def test_adapters_are_opened_with_their_checkpoints(tmp_path):
    peft = pytest.importorskip("peft")
    import torch

    xlmr(layers=1, width=32).save_pretrained(tmp_path / "base")
    for epoch in (1, 2):
        base = type(xlmr()).from_pretrained(tmp_path / "base")
        config = peft.LoraConfig(r=2, target_modules=["query"], task_type="SEQ_CLS")
        model = peft.get_peft_model(base, config)
        model.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.constant_(parameter, 0.1 * epoch)
        model.save_pretrained(tmp_path / "tuned" / f"epoch-{epoch}")
    run = open_run(tmp_path / "tuned")
    products = gradient_products(run.model, run.loss, run.checkpoints, classified(2, 1), classified(3, 2))
    assert products.checkpoints == ("epoch-1", "epoch-2")
    assert all("lora" in name or "classifier" in name for name in products.parameters)
    assert not np.allclose(products.dot_EQN[0], products.dot_EQN[1])
    shutil.rmtree(tmp_path / "base")
    with pytest.raises(BadInput, match="base_model_name_or_path"):
        open_run(tmp_path / "tuned")


def test_what_is_no_run_is_named(tmp_path, trained):
    with pytest.raises(BadInput, match="no such directory"):
        open_run(tmp_path / "none")
    with pytest.raises(BadInput, match="no checkpoints in it"):
        open_run(tmp_path)
    other = tmp_path / "mixed"
    shutil.copytree(trained, other)
    xlmr(layers=2, width=32).save_pretrained(other / "checkpoint-20")
    run = open_run(other)
    with pytest.raises(BadInput, match=r"checkpoint checkpoint-20: 0 weights are missing \(\), 16 unknown"):
        gradient_products(run.model, run.loss, run.checkpoints, classified(2, 1), classified(3, 2))
    config = json.loads((trained / "checkpoint-20" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["XLMRobertaForMaskedLM"]}))
    with pytest.raises(BadInput, match="XLMRobertaForMaskedLM"):
        open_run(tmp_path)
