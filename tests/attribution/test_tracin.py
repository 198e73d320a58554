import numpy as np
import pytest
import torch
from torch import nn

from glotmix.attribution import tracin
from glotmix.attribution.gradients import PerSampleGradients, chosen_parameters, held_whole
from glotmix.attribution.parts import device_of, free_bytes, placed
from glotmix.attribution.samples import Samples, classification_loss, next_token_loss
from glotmix.attribution.tracin import Checkpoint, gradient_products, queries_at_once
from glotmix.errors import BadInput
from tests.attribution.conftest import autograd_gradients, classified, xlmr

EXACT = 1e-5  # relative to the largest score; two wrong-by-design variants below miss it by three digits and more


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def moved(model, seed):
    torch.manual_seed(seed)
    return {n: t + 0.02 * torch.randn_like(t) if t.is_floating_point() else t for n, t in state(model).items()}


def error(found, true):
    return np.abs(found - true).max() / np.abs(true).max()


def truth(model, loss, test, train, names):
    g, h = (autograd_gradients(model, loss, samples, names) for samples in (test, train))
    return g @ h.T, np.linalg.norm(g, axis=1), np.linalg.norm(h, axis=1)


def compare(model, loss, test, train, parameters="all", **options):
    products = gradient_products(
        model, loss, [Checkpoint("only", state(model))], test, train, parameters=parameters, batch=5, **options
    )
    dot, g, h = truth(model, loss, test, train, products.parameters)
    assert error(products.dot_EQN[0], dot) < EXACT
    assert error(products.scores("cosine")[0], dot / g[:, None] / h) < EXACT
    assert error(products.test_norm_EQ[0], g) < EXACT
    assert error(products.train_norm_EN[0], h) < EXACT
    return products


@pytest.mark.parametrize("parameters", ["all", "linear", "embeddings", ["*layer.1.*", "classifier*"]], ids=str)
def test_scores_of_an_encoder_equal_a_plain_autograd_loop(classifier, parameters):
    products = compare(classifier, classification_loss, classified(7, 1), classified(13, 2), parameters)
    norms = [name for name in products.parameters if "LayerNorm" in name]
    assert bool(norms) == (parameters not in ("linear", "embeddings"))


def test_positions_that_no_loss_depends_on_cost_nothing(classifier):
    """A classifier reads its last layer at one position; that scores stay exact is held by the test above."""
    ((_, inputs),) = classified(6, 1).batches(6)
    found = PerSampleGradients(classifier, classification_loss)(inputs)
    assert found["roberta.encoder.layer.1.output.dense.weight"].positions == 1
    longest = int(inputs["attention_mask"].sum(1).max())
    assert found["roberta.encoder.layer.0.output.dense.weight"].positions == longest


def llama(tied, tmp_path):
    from transformers import LlamaForCausalLM

    from glotmix.proxy.checkpoint import save_checkpoint
    from glotmix.proxy.model import Shape, init_parameters

    shape = Shape(width=48, layers=2, heads=2, feed_forward=64, vocab=300, tied=tied, context=24)
    parameters = init_parameters(shape, [3])
    for tensor in parameters.values():
        tensor.add_(0.05 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1)))
    save_checkpoint(tmp_path, parameters, shape)
    return LlamaForCausalLM.from_pretrained(tmp_path)


def texts(n, seed, vocab=300, T=16):
    ids = torch.from_numpy(np.random.default_rng(seed).zipf(1.3, (n, T)) % vocab)
    return Samples({"input_ids": ids}, tuple("ab"[i % 2] for i in range(n)))


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_scores_of_a_proxy_equal_a_plain_autograd_loop(tied, tmp_path):
    model = llama(tied, tmp_path)
    compare(model, next_token_loss, texts(5, 1), texts(9, 2))


def test_a_tied_matrix_has_both_gradients_and_their_cross_terms(tmp_path):
    model = llama(True, tmp_path)
    products = compare(model, next_token_loss, texts(3, 1, T=3), texts(4, 2, T=3), ["model.embed_tokens.weight"])
    assert len(products.parameters) == 1


def test_a_table_that_multiplies_its_rows_and_is_the_head_as_well_is_exact():
    """Gemma's: rows times the root of the width, softcapped logits, norms with weights from zero."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = Gemma2ForCausalLM(
        Gemma2Config(**sizes, vocab_size=120, num_key_value_heads=1, head_dim=16, attn_implementation="eager")
    )
    assert model.lm_head.weight is model.model.embed_tokens.weight
    compare(model, next_token_loss, texts(4, 1, vocab=120), texts(7, 2, vocab=120))


class Crooked(nn.Embedding):
    def forward(self, ids):
        return torch.tanh(super().forward(ids))


def test_a_table_that_does_more_than_multiply_is_named():
    model = nn.Sequential(Crooked(9, 4), nn.Flatten(), nn.Linear(12, 2))
    samples = Samples({"ids": torch.randint(0, 9, (4, 3))}, tuple("abab"))
    with pytest.raises(BadInput, match="Crooked does more than to look rows up"):
        compare(model, lambda model, batch: model(batch["ids"]).square().sum(1), samples, samples)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks transformers the old way
def test_adapters_are_scored_alone(classifier):
    peft = pytest.importorskip("peft")
    model = peft.get_peft_model(xlmr(), peft.LoraConfig(r=4, target_modules=["query", "value"], task_type="SEQ_CLS"))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(0))
    products = compare(model, classification_loss, classified(4, 1), classified(6, 2))
    assert all("lora" in name or "classifier" in name for name in products.parameters)


class Wide(nn.Module):
    """Big matrices on few positions: the ghost form is the cheaper one everywhere."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.up, self.out = nn.Embedding(400, 200), nn.Linear(200, 300), nn.Linear(300, 400, bias=False)
        self.back = nn.Linear(400, 200)
        self.back.weight = nn.Parameter(self.embed.weight.detach().T.clone())
        self.head = nn.Linear(200, 400, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        h = self.embed(ids)
        return self.head(self.back(self.out(torch.tanh(self.up(h)))) + h)


def wide_loss(model, batch):
    ids = batch["ids"]
    return nn.functional.cross_entropy(model(ids[:, :-1]).transpose(1, 2), ids[:, 1:], reduction="none").sum(1)


def test_the_ghost_form_is_exact_for_matrices_lookups_and_both_at_once():
    from glotmix.attribution.queries import GhostQueries, queries_of

    model = Wide()
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, 5, (12, 4)))
    test, train = Samples({"ids": ids[:5]}, ("a",) * 5), Samples({"ids": ids[5:]}, ("a",) * 7)
    gradients = PerSampleGradients(model, wide_loss)({"ids": ids})
    ghosts = {queries.name for queries in queries_of(gradients) if isinstance(queries, GhostQueries)}
    assert {"embed.weight", "up.weight", "out.weight", "back.weight"} <= ghosts
    compare(model, wide_loss, test, train)


def test_little_memory_for_queries_changes_no_score(classifier):
    test, train = classified(7, 1), classified(6, 2)
    matrices = held_whole(classifier, chosen_parameters(classifier))
    size = sum(p.numel() for p in matrices.values())
    told: list[tuple[int, int]] = []
    options = {"query_bytes": 3 * 4 * size, "on_progress": lambda done, of: told.append((done, of))}
    compare(classifier, classification_loss, test, train, **options)
    assert told[-1] == (3 * len(train), 3 * len(train))  # seven test samples, three at once


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_tables_that_are_only_looked_up_take_no_memory_for_queries(tied, tmp_path):
    model = llama(tied, tmp_path)
    embedding = next(name for name, _ in model.named_parameters() if "embed" in name)
    assert (embedding in held_whole(model, chosen_parameters(model))) == tied


def test_test_gradients_take_half_of_the_memory_that_is_free(classifier, monkeypatch):
    size = sum(p.numel() for p in held_whole(classifier, chosen_parameters(classifier)).values())
    monkeypatch.setattr(tracin, "free_bytes", lambda device: 10 * 4 * size)
    assert queries_at_once(classifier, "all", 100) == 5
    assert queries_at_once(classifier, "all", 100, processes=2) == 2
    assert queries_at_once(classifier, "all", 4) == 4
    assert queries_at_once(classifier, "all", 100, query_bytes=1) == 1
    assert free_bytes(torch.device("cpu")) > 1 << 20


def test_a_device_that_is_not_here_is_named(classifier):
    assert device_of(placed(classifier, "cpu")).type == "cpu"
    with pytest.raises(BadInput, match="device = 'tpu'"):
        placed(classifier, "tpu")
    if not torch.cuda.is_available():
        assert device_of(placed(classifier, "auto")).type == "cpu"
        with pytest.raises(BadInput, match="no GPU that torch sees"):
            placed(classifier, "cuda")


def test_checkpoints_are_weighted_and_the_model_keeps_its_weights(classifier):
    test, train = classified(4, 1), classified(5, 2)
    states = [moved(classifier, seed) for seed in (1, 2)]
    before = state(classifier)
    checkpoints = [Checkpoint(f"step {i}", s, rate) for i, (s, rate) in enumerate(zip(states, (0.1, 0.3), strict=True))]
    products = gradient_products(classifier, classification_loss, checkpoints, test, train)
    assert all(torch.equal(tensor, before[name]) for name, tensor in classifier.state_dict().items())
    each = []
    for s in states:
        model = xlmr()
        model.load_state_dict(s)
        each.append(truth(model, classification_loss, test, train, products.parameters))
    (a, ga, ha), (b, gb, hb) = each
    assert error(products.scores("dot", "learning_rate").sum(0), 0.1 * a + 0.3 * b) < EXACT
    assert error(products.scores("cosine", "uniform").sum(0), a / ga[:, None] / ha + b / gb[:, None] / hb) < EXACT
    assert error(products.scores("cosine", "last").sum(0), b / gb[:, None] / hb) < EXACT
    assert error(products.self_influence("learning_rate"), 0.1 * ha**2 + 0.3 * hb**2) < EXACT


def test_wrong_variants_fail_the_comparison(classifier):
    test, train = classified(6, 1), classified(8, 2)
    names = [name for name, _ in classifier.named_parameters()]
    g, h = (autograd_gradients(classifier, classification_loss, s, names) for s in (test, train))
    true = g @ h.T
    rng = np.random.default_rng(0)
    projection = rng.standard_normal((g.shape[1], 512)) / np.sqrt(512)
    assert error((g @ projection) @ (h @ projection).T, true) > 1e-3  # 512 random directions
    # Activations and gradients summed over positions before the outer product: right for one position only.
    a, delta = rng.standard_normal((2, 6, 4, 20)), rng.standard_normal((2, 6, 4, 10))
    outer = np.einsum("sbti,sbto->sboi", a, delta).reshape(2, 6, -1)
    summed = np.einsum("sbi,sbo->sboi", a.sum(2), delta.sum(2)).reshape(2, 6, -1)
    assert error(summed[0] @ summed[1].T, outer[0] @ outer[1].T) > 1e-1


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (lambda s: {k: v for k, v in s.items() if "classifier" not in k}, "4 weights are missing"),
        (lambda s: s | {"extra": torch.zeros(1)}, "1 unknown"),
        (lambda s: s | {"classifier.out_proj.bias": torch.zeros(9)}, r"\(9,\)"),
    ],
)
def test_a_checkpoint_of_another_model_is_bad_input(classifier, weights, message):
    checkpoint = Checkpoint("epoch 3", weights(state(classifier)))
    with pytest.raises(BadInput, match=message) as caught:
        gradient_products(classifier, classification_loss, [checkpoint], classified(2, 1), classified(2, 2))
    assert "epoch 3" in str(caught.value)


def test_missing_learning_rates_and_long_samples_are_bad_input(classifier):
    checkpoint = Checkpoint("epoch 1", state(classifier))
    products = gradient_products(classifier, classification_loss, [checkpoint], classified(2, 1), classified(2, 2))
    with pytest.raises(BadInput, match="epoch 1: no learning rate"):
        products.scores("dot", "learning_rate")
    long = classified(3, 1, longest=40)
    long.inputs["attention_mask"][1] = 1
    with pytest.raises(BadInput, match="sample 1 has 40 tokens"):
        gradient_products(classifier, classification_loss, [checkpoint], long, classified(2, 2))
    with pytest.raises(BadInput, match="no samples of c"):
        classified(3, 1).of("c")


class Bypassed(nn.Module):
    """Uses a layer's weight without calling the layer."""

    def __init__(self):
        super().__init__()
        self.seen, self.unseen = nn.Linear(4, 4), nn.Linear(4, 1)

    def forward(self, x):
        return nn.functional.linear(self.seen(x), self.unseen.weight).squeeze(-1)


def test_a_gradient_that_hooks_do_not_see_is_a_named_error_not_a_wrong_score():
    model, data = Bypassed(), Samples({"x": torch.randn(3, 4)}, ("a",) * 3)
    checkpoint = Checkpoint("now", state(model))
    with pytest.raises(BadInput, match=r"parameter unseen\.weight"):
        gradient_products(model, lambda m, b: m(b["x"]), [checkpoint], data, data)
    with pytest.raises(BadInput, match="one per sample"):
        gradient_products(model, lambda m, b: m(b["x"]).mean(), [checkpoint], data, data)
    gradient_products(model, lambda m, b: m(b["x"]), [checkpoint], data, data, parameters=["seen.*"])


def large_loss(model, batch):
    return 1e6 * classification_loss(model, batch)


def test_a_gradient_that_is_rounding_error_is_no_misread_module(classifier):
    """Softmax does not see a bias of the keys, so what autograd leaves there differs from what hooks see there."""
    test, train = classified(3, 5), classified(4, 6)
    found = gradient_products(classifier, large_loss, [Checkpoint("a", state(classifier))], test, train, batch=2)
    small = gradient_products(classifier, classification_loss, [Checkpoint("a", state(classifier))], test, train)
    assert error(found.dot_EQN / 1e12, small.dot_EQN) < 1e-5


@pytest.mark.slow
def test_processes_side_by_side_give_the_same_scores(classifier):
    test, train = classified(4, 1), classified(11, 2)
    kept = [Checkpoint("one", state(classifier)), Checkpoint("two", moved(classifier, 1))]
    told = []
    alone = gradient_products(classifier, classification_loss, kept, test, train, batch=2)
    both = gradient_products(
        classifier, classification_loss, kept, test, train, batch=2, processes=2,
        on_progress=lambda *at: told.append(at),
    )  # fmt: skip
    np.testing.assert_allclose(both.dot_EQN, alone.dot_EQN, rtol=1e-5, atol=1e-6 * np.abs(alone.dot_EQN).max())
    np.testing.assert_allclose(both.train_norm_EN, alone.train_norm_EN, rtol=1e-5)
    assert told == [(6, 11), (11, 11)]
    for name, tensor in classifier.state_dict().items():  # the model itself was not touched
        assert torch.equal(tensor, kept[0].weights[name])


def test_a_loss_that_cannot_be_sent_to_processes_is_named(classifier):
    samples = classified(3, 1)
    checkpoint = Checkpoint("only", state(classifier))
    with pytest.raises(BadInput, match="cannot be sent to other processes"):
        gradient_products(
            classifier, lambda m, b: classification_loss(m, b), [checkpoint], samples, samples, processes=2
        )


def test_tables_with_common_and_rare_rows_and_samples_of_many_lengths_are_exact(classifier):
    """Rows that most test samples share go another way than those of a few; both in one table here."""
    test, train = classified(20, 1, vocab=40), classified(9, 2, vocab=400)
    test.inputs["input_ids"][:, 0] = 7
    train.inputs["input_ids"][:, 2] = 7
    from glotmix.attribution.queries import TableQueries, queries_of

    ((_, batch),) = test.batches(20)
    kinds = queries_of(PerSampleGradients(classifier, classification_loss)(batch))
    (words,) = (q for q in kinds if isinstance(q, TableQueries) and "word_embeddings" in q.name)
    assert 0 < len(words.common_C) < 40
    assert len(words.rare.row_K) > 0
    compare(classifier, classification_loss, test, train, "embeddings")
