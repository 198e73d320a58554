import dataclasses

import numpy as np
import pytest
import torch

from glotmix.errors import BadInput, Corrupt
from glotmix.proxy import model
from glotmix.proxy.checkpoint import load_checkpoint, save_checkpoint, to_llama_state_dict
from glotmix.proxy.model import Shape, init_parameters
from glotmix.proxy.stack import Stack

torch.set_num_threads(1)
SHAPE = Shape(width=32, layers=2, heads=2, feed_forward=48, vocab=97, context=24)


def tokens(K=1, B=3, S=25, seed=0):
    return torch.randint(0, 97, (K, B, S), generator=torch.Generator().manual_seed(seed))


def wide_start(shape, K=1):
    """Weights six times the usual scale, so that a mistake anywhere moves the logits by far more than rounding."""
    parameters = init_parameters(shape, range(K))
    generator = torch.Generator().manual_seed(9)
    return {
        name: tensor * (1 + torch.rand(tensor.shape, generator=generator)) if name.endswith("norm") else tensor * 6
        for name, tensor in parameters.items()
    }


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def llama(request, tmp_path):
    """A checkpoint of ours opened by transformers, beside ours."""
    transformers = pytest.importorskip("transformers")
    shape = dataclasses.replace(SHAPE, tied=request.param)
    parameters = wide_start(shape)
    save_checkpoint(tmp_path, parameters, shape, end_of_document=0)
    theirs = transformers.LlamaForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    return shape, parameters, theirs


def test_transformers_opens_a_checkpoint_and_gives_the_same_logits(llama):
    shape, parameters, theirs = llama
    with torch.no_grad():
        ours = model.logits(parameters, tokens(), shape)[0]
        reference = theirs(tokens()[0]).logits
    assert reference.std() > 1  # logits of a constant model would agree to within this
    torch.testing.assert_close(ours, reference, atol=1e-4, rtol=0)


def test_one_step_is_the_step_of_transformers_llama_with_torch_adamw(llama):
    shape, parameters, theirs = llama
    stack = Stack(shape, [0])
    stack.set(parameters)
    decay = [p for p in theirs.parameters() if p.ndim > 1]
    rest = [p for p in theirs.parameters() if p.ndim == 1]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
    before = {name: tensor.clone() for name, tensor in theirs.state_dict().items()}
    for step in range(2):
        batch = tokens(seed=step)
        ours = stack.backward(batch)
        norm = stack.step(step + 1, 1e-3, 0.1, 1.0)
        logits = theirs(batch[0, :, :-1]).logits
        reference = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[0, :, 1:].flatten())
        adamw.zero_grad()
        reference.backward()
        reference_norm = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        adamw.step()
        torch.testing.assert_close(ours[0], reference.detach(), rtol=1e-5, atol=0)
        torch.testing.assert_close(norm[0], reference_norm, rtol=1e-4, atol=0)
        assert reference_norm > 1  # so the gradient was clipped
    # Adam divides by the gradient's size, so one gradient at rounding level can differ by a whole update.
    reference_state = theirs.state_dict()
    for name, after in to_llama_state_dict(stack.parameters, shape).items():
        expected = reference_state[name] - before[name]
        assert (after - before[name] - expected).norm() / expected.norm() < 1e-2, name  # no update at all: 1


def test_no_position_sees_what_comes_after_it():
    parameters = {name: tensor.clone() for name, tensor in wide_start(SHAPE).items()}
    embedding = parameters["embedding"].requires_grad_()
    row = torch.randperm(97, generator=torch.Generator().manual_seed(1))[:24].view(1, 1, 24)
    logits = model.logits(parameters | {"head": embedding.detach()}, row, SHAPE)
    for t in (0, 7, 22):
        (gradient,) = torch.autograd.grad(logits[0, 0, t].sum(), embedding, retain_graph=True)
        by_position = gradient[0, row[0, 0]].abs().sum(-1)
        assert (by_position[: t + 1] > 0).all()
        assert (by_position[t + 1 :] == 0).all()


def test_the_gradient_is_that_of_plain_autograd():
    parameters = {name: tensor.double().requires_grad_() for name, tensor in wide_start(SHAPE, K=2).items()}
    batch = tokens(K=2)
    logits = model.logits(parameters, batch[..., :-1], SHAPE)
    reference = -logits.log_softmax(-1).gather(-1, batch[..., 1:].unsqueeze(-1)).mean((1, 2, 3))
    expected = torch.autograd.grad(reference.sum(), list(parameters.values()))
    single = {name: tensor.detach().float().requires_grad_() for name, tensor in parameters.items()}
    loss = model.loss(single, batch, SHAPE)
    found = torch.autograd.grad(loss.sum(), list(single.values()))
    torch.testing.assert_close(loss.double(), reference, rtol=1e-6, atol=0)
    for name, a, b in zip(parameters, found, expected, strict=True):
        assert (a - b).norm() / b.norm() < 1e-4, name  # fp32 against fp64; a wrong gradient: about 1


def test_token_losses_are_the_cross_entropy_of_the_logits():
    parameters = wide_start(SHAPE, K=2)
    batch = tokens(K=2)
    with torch.no_grad():
        losses = model.token_losses(parameters, batch, SHAPE)
        logits = model.logits(parameters, batch[..., :-1], SHAPE)
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 2), batch[..., 1:].flatten(), reduction="none")
    torch.testing.assert_close(losses.flatten(), expected, rtol=1e-5, atol=1e-5)


def test_initial_weights_depend_on_the_members_own_seed_only():
    one, two = init_parameters(SHAPE, [5]), init_parameters(SHAPE, [4, 5])
    assert all((one[name][0] == two[name][1]).all() for name in one)
    assert not (two["embedding"][0] == two["embedding"][1]).any()


def test_the_parameters_are_counted_as_they_are():
    parameters = init_parameters(SHAPE, [0])
    assert SHAPE.parameters == sum(tensor.numel() for tensor in parameters.values())
    assert SHAPE.parameters - 97 * 32 == SHAPE.N
    untied = dataclasses.replace(SHAPE, tied=False)
    assert untied.N == SHAPE.N
    assert untied.parameters == SHAPE.parameters + 97 * 32


@pytest.mark.parametrize("tied", [True, False])
def test_a_checkpoint_gives_back_the_same_bits(tmp_path, tied):
    shape = dataclasses.replace(SHAPE, tied=tied)
    parameters = init_parameters(shape, [1, 2])
    save_checkpoint(tmp_path, parameters, shape, k=1)
    found_shape, found = load_checkpoint(tmp_path)
    assert found_shape == shape
    assert all((found[name][0] == parameters[name][1]).all() for name in parameters)


def test_a_checkpoint_that_is_missing_truncated_or_of_another_kind_says_so(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        load_checkpoint(tmp_path)
    save_checkpoint(tmp_path, init_parameters(SHAPE, [1]), SHAPE)
    config = (tmp_path / "config.json").read_text()
    for told, other, error, words in (
        ('"num_key_value_heads": 2', '"num_key_value_heads": 1', Corrupt, r"layers\.0\.qkv is \(32, 96\), \(32, 64\)"),
        ('"model_type": "llama"', '"model_type": "gpt_neox"', BadInput, "model_type = 'gpt_neox'"),
        ('"hidden_act": "silu"', '"hidden_act": "gelu"', BadInput, "hidden_act = 'gelu'"),
        ('"mlp_bias": false', '"mlp_bias": true', BadInput, "mlp_bias = True"),
        ('"attention_bias": false', '"attention_bias": true', BadInput, "attention_bias = True"),
        ('"rope_theta": 10000.0', '"rope_theta": 10000.0, "rope_scaling": {"rope_type": "yarn"}', BadInput, "'yarn'"),
        ('"rms_norm_eps": 1e-05', '"rms_norm_eps": 0', BadInput, "rms_norm_eps = 0"),
    ):
        assert told in config
        (tmp_path / "config.json").write_text(config.replace(told, other))
        with pytest.raises(error, match=words):
            load_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text(config)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:-10])
    with pytest.raises(Corrupt, match=r"model\.safetensors"):
        load_checkpoint(tmp_path)


def test_heads_that_do_not_divide_the_width_are_bad_input():
    with pytest.raises(BadInput, match="width 32"):
        dataclasses.replace(SHAPE, heads=3)


def test_the_initial_loss_is_near_that_of_knowing_nothing():
    (loss,) = model.loss(init_parameters(SHAPE, [0]), tokens(), SHAPE).tolist()
    assert abs(loss - np.log(97)) < 0.1
