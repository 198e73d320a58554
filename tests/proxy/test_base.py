"""Proxies that go on from a trained model: its logits before any training, its losses, and resuming."""

import dataclasses
from functools import cache

import numpy as np
import pytest
import torch

from glotmix.errors import BadInput, Stopped
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.proxy import flops, model
from glotmix.proxy.checkpoint import load_checkpoint, save_checkpoint
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.evaluate import Evaluation
from glotmix.proxy.model import Shape, init_parameters
from glotmix.proxy.run import StackRun
from glotmix.proxy.train import train_stack

transformers = pytest.importorskip("transformers")
torch.set_num_threads(1)
SMALL = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "initializer_range": 0.1,
}
STRETCHED = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
KINDS = {
    "llama": ("Llama", {}),
    "tied": ("Llama", {"tie_word_embeddings": True}),
    "shared keys": ("Llama", {"num_key_value_heads": 2, "rms_norm_eps": 1e-6}),
    "stretched": ("Llama", {"num_key_value_heads": 1, "rope_parameters": STRETCHED}),
    "wide heads": ("Llama", {"head_dim": 24}),
    "mistral": ("Mistral", {"num_key_value_heads": 2}),
    "qwen2": ("Qwen2", {"num_key_value_heads": 2}),
    "qwen3": ("Qwen3", {"num_key_value_heads": 2, "head_dim": 24}),
}


@cache
def theirs(kind):
    """A small model that transformers made, with vectors that are none of their starting values."""
    name, changes = KINDS[kind]
    torch.manual_seed(1)
    config = getattr(transformers, f"{name}Config")(**SMALL | changes)
    made = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def tokens(T=48):
    return torch.randint(0, 97, (3, T), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", KINDS)
def test_logits_before_training_are_those_of_transformers(kind, tmp_path):
    theirs(kind).save_pretrained(tmp_path)
    shape, parameters = load_checkpoint(tmp_path)
    with torch.no_grad():
        reference = theirs(kind)(tokens()).logits
        ours = model.logits(parameters, tokens().unsqueeze(0), shape)[0]
    assert reference.std() > 0.5  # logits of a constant model would agree to within this
    torch.testing.assert_close(ours, reference, atol=1e-5, rtol=0)
    # What is kept of it is opened by transformers as the same model.
    save_checkpoint(tmp_path / "again", parameters, shape)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "again", attn_implementation="eager")
    with torch.no_grad():
        torch.testing.assert_close(again(tokens()).logits, reference, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["stretched", "qwen2", "qwen3"])
def test_gradients_are_those_of_transformers(kind, tmp_path):
    theirs(kind).save_pretrained(tmp_path)
    shape, parameters = load_checkpoint(tmp_path)
    leaves = {name: tensor.requires_grad_() for name, tensor in parameters.items()}
    model.loss(leaves, tokens().unsqueeze(0), shape).sum().backward()
    made = theirs(kind)
    made.zero_grad()
    logits = made(tokens()[:, :-1]).logits
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens()[:, 1:].flatten()).backward()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(parameter.grad)
    made.save_pretrained(tmp_path / "gradients")
    theirs.cache_clear()
    _, expected = load_checkpoint(tmp_path / "gradients")
    for name, leaf in leaves.items():
        assert (leaf.grad - expected[name]).norm() / expected[name].norm() < 1e-4, name  # a wrong gradient: about 1


def test_weights_in_several_files_and_in_bf16_are_read(tmp_path):
    made = theirs("shared keys")
    made.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    _, parameters = load_checkpoint(tmp_path)
    torch.testing.assert_close(parameters["embedding"][0], made.get_input_embeddings().weight.detach(), atol=0, rtol=0)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../elsewhere.safetensors"}}')
    with pytest.raises(BadInput, match="names no files beside it"):
        load_checkpoint(tmp_path)
    rounded = transformers.LlamaForCausalLM(made.config).to(torch.bfloat16)
    rounded.save_pretrained(tmp_path / "rounded")
    _, parameters = load_checkpoint(tmp_path / "rounded")
    assert parameters["embedding"].dtype == torch.float32


def test_a_window_is_the_longest_context(tmp_path):
    config = transformers.MistralConfig(**SMALL | {"num_key_value_heads": 2, "sliding_window": 24})
    transformers.MistralForCausalLM(config).save_pretrained(tmp_path)
    assert load_checkpoint(tmp_path)[0].context == 24


def test_parameters_and_products_are_counted_as_they_are():
    shape = Shape(32, 2, 4, 48, 97, context=16, kv_heads=2, head_size=24, biases=True, head_norms=True)
    a_block = 32 * (4 + 2 * 2) * 24 + 4 * 24 * 32 + 3 * 32 * 48 + 2 * 32 + (4 + 2 * 2) * 24 + 2 * 24
    assert 2 * a_block + 32 == shape.N
    parts = flops.forward_per_token(shape, 16)
    assert parts["attention"] == 2 * 2 * (32 * 8 * 24 + 4 * 24 * 32)
    assert parts["scores"] == 2 * 2 * 16 * 4 * 24


class Text:
    def __init__(self, seed):
        self.tokens, self.bytes = np.random.default_rng(seed).zipf(1.5, 333) % 97, 1000


HELD_OUT = {"a": Text(0), "b": Text(1)}
SHAPE = Shape(width=32, layers=2, heads=2, feed_forward=48, vocab=97, context=16)
TRAINING = ProxyConfig(width=32, layers=2, heads=2, context=16, batch=4, evaluations=2)
BASE, OTHER = init_parameters(SHAPE, [7]), init_parameters(SHAPE, [8])


def train(seeds, base=BASE, **options):
    schedule = Schedule.constant(Mixture({"a": 1.0}))
    runs = [StackRun(f"run{seed}", schedule, 12 * 64, seed) for seed in seeds]

    def drawn(k, step):
        return np.random.default_rng([runs[k].seed, step]).zipf(1.5, (4, 17)) % 97

    found = train_stack(runs, drawn, SHAPE, TRAINING, held_out=HELD_OUT, base=base, **options)
    return [dataclasses.replace(one, seconds=0) for one in found]


def test_losses_before_the_first_step_are_those_of_the_base():
    one, two = train([1, 2])
    expected = Evaluation(HELD_OUT, 16, end_of_document=0).losses(BASE, SHAPE)[0]
    for result in (one, two):
        rows = [row for row in result.losses if row.metric == "nats"]
        assert [row.step for row in rows] == [0, 0, 6, 6, 12, 12]
        assert [row.value for row in rows[:2]] == expected.tolist()
        assert rows[0].tokens == 0
    assert one.losses[:4] == two.losses[:4]
    assert one.losses[-1] != two.losses[-1]  # seeds differ in what is read
    assert train([1]) == [one]  # in any company
    assert min(row.step for row in train([1], base=None)[0].losses) == 6


def test_it_resumes_to_the_same_bytes_and_never_from_another_base(tmp_path):
    state = tmp_path / "state.safetensors"

    def stop(step, steps, loss_K):
        if step == 5:
            raise Stopped("now")

    whole = train([1, 2])
    with pytest.raises(Stopped):
        train([1, 2], state=state, state_every=0, on_step=stop)
    kept, done = state.read_bytes(), []
    assert train([1, 2], state=state, state_every=1e9, on_step=lambda step, *_: done.append(step)) == whole
    assert done[0] == 5  # the update that was interrupted is made again
    state.write_bytes(kept)
    assert train([1, 2], base=OTHER, state=state, state_every=1e9) == train([1, 2], base=OTHER)


def test_a_base_that_is_not_finite_is_refused():
    broken = BASE | {"norm": torch.full_like(BASE["norm"], float("nan"))}
    with pytest.raises(BadInput, match="not finite"):
        train([1], base=broken)
