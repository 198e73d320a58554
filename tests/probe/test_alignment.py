import weakref

import numpy as np
import pytest
import torch

from glotmix.errors import BadInput
from glotmix.probe import alignment
from glotmix.probe.alignment import (
    align,
    embedding_alignment,
    gradient_alignment,
    hidden_alignment,
    hidden_states,
    matched_alignment,
    retrieved,
)
from glotmix.proxy import model
from glotmix.proxy.model import Shape

V = 20
SHAPE = Shape(16, 2, 2, 32, 2 * V, tied=False, context=12)
EN1, EN2 = np.arange(V), np.arange(V) + V


@pytest.fixture
def parameters():
    return model.init_parameters(SHAPE, [0])


@pytest.fixture
def sentences():
    return np.random.default_rng(0).integers(0, V, (6, 13))


def one_language(parameters):
    """The same model with clones that share their embeddings: it cannot tell the two apart."""
    tied = {name: tensor.clone() for name, tensor in parameters.items()}
    for name in ("embedding", "head"):
        tied[name][:, V:] = tied[name][:, :V]
    return tied


def test_a_model_that_cannot_tell_clones_apart_is_aligned_entirely(parameters, sentences):
    found = align(one_language(parameters), SHAPE, sentences, EN1, EN2)
    for cosines in (found.hidden.raw, found.hidden.centred, found.hidden.retrieval):
        assert cosines == pytest.approx([1.0, 1.0])
    assert found.gradient.mean == pytest.approx(1.0)
    assert found.embedding.pairs == pytest.approx(1.0)
    assert found.embedding.all < 0.2


def test_a_model_that_has_not_been_trained_is_not_aligned_except_by_its_common_mean(parameters, sentences):
    apart = align(parameters, SHAPE, sentences, EN1, EN2)
    assert abs(apart.gradient.mean) < 0.25
    assert max(map(abs, apart.hidden.centred)) < 0.25
    assert abs(apart.embedding.pairs) < 0.25
    # With a mean that all states share, the raw cosine is high, and only the raw one.
    shifted = parameters | {"embedding": parameters["embedding"] + 0.5}
    common = align(shifted, SHAPE, sentences, EN1, EN2).hidden
    assert common.raw[0] > 0.7
    assert max(map(abs, common.centred)) < 0.35
    assert common.chance == pytest.approx(1 / 6)


def test_hidden_states_are_the_models_own(parameters, sentences):
    tokens = torch.from_numpy(sentences[:, :-1])
    states = list(hidden_states(parameters, tokens, SHAPE))
    final = model.kernels.rms_norm(states[-1].float(), model.NORM_EPSILON)
    expected = model.hidden(parameters, tokens.unsqueeze(0), SHAPE).view(6, 12, 16)
    torch.testing.assert_close(final * parameters["norm"][0], expected, rtol=1e-4, atol=1e-5)


def test_gradient_cosines_are_those_of_autograd_by_tensor_with_fused_matrices_split(parameters, sentences):
    one, other = (torch.from_numpy(m[sentences[:1]]) for m in (EN1, EN2))
    found = gradient_alignment(parameters, one, other, SHAPE).by_tensor
    assert len(found) == 2 * 9

    def gradient(tokens):
        leaf = parameters["layers.1.qkv"].clone().requires_grad_()
        loss = model.loss(parameters | {"layers.1.qkv": leaf}, tokens.unsqueeze(0), SHAPE)
        return torch.autograd.grad(loss.sum(), leaf)[0][0, :, 32:].flatten()  # the values: the last third

    expected = torch.cosine_similarity(gradient(one), gradient(other), dim=0)
    assert found["layers.1.v"] == pytest.approx(float(expected), abs=1e-5)


def test_a_mean_over_sentences_is_that_of_each(parameters, sentences):
    one, other = (torch.from_numpy(m[sentences]) for m in (EN1, EN2))
    each = [gradient_alignment(parameters, one[i : i + 1], other[i : i + 1], SHAPE).mean for i in range(6)]
    assert gradient_alignment(parameters, one, other, SHAPE).mean == pytest.approx(np.mean(each))


def kept(*batches):
    """Batches as a probe reads them, from the two sides of each, layers × [B, T, D]."""
    as_tensors = [
        [[torch.from_numpy(np.ascontiguousarray(layer)) for layer in side] for side in sides] for sides in batches
    ]
    return lambda: (zip(one, other, strict=True) for one, other in as_tensors)


def sentence_pairs(pairs):
    return kept(*[([layer[None] for layer in one], [layer[None] for layer in other]) for one, other in pairs])


def whole(x, y):
    """Raw and centred cosine and retrieval of one layer, with all states at hand."""

    def cosine(a, b):
        return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)

    a, b = x - x.mean((0, 1)), y - y.mean((0, 1))
    return cosine(x, y).mean(), cosine(a, b).mean(), retrieved(a.mean(1), b.mean(1))


def test_sums_over_batches_are_what_all_states_together_say():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, 3, 7, 5, 4)) + 1.0
    y += 0.7 * x
    parts = [(x[:, rows], y[:, rows]) for rows in (slice(0, 3), slice(3, 5), slice(5, 7))]
    found = hidden_alignment(kept(*parts))
    expected = np.array([whole(*layer) for layer in zip(x, y, strict=True)])
    np.testing.assert_allclose(np.column_stack([found.raw, found.centred, found.retrieval]), expected, rtol=1e-13)
    assert found.chance == 1 / 7


def test_what_a_probe_holds_does_not_grow_with_the_sentences(parameters, monkeypatch):
    monkeypatch.setattr(alignment, "TOKENS_AT_ONCE", {True: 24, False: 24})
    read, alive, most = alignment.hidden_states, weakref.WeakSet(), []

    def watched(*args):
        for state in read(*args):
            alive.add(state)
            most.append(sum(one.numel() for one in alive))
            yield state

    monkeypatch.setattr(alignment, "hidden_states", watched)
    peaks = []
    for count in (4, 40):
        text = np.random.default_rng(0).integers(0, V, (count, 13))
        align(parameters, SHAPE, text, EN1, EN2)
        peaks.append(max(most))
        most.clear()
    assert peaks[0] == peaks[1] <= 4 * 24 * SHAPE.width


def test_matching_finds_a_hidden_order_of_positions():
    rng = np.random.default_rng(1)
    pairs = []
    for _ in range(5):
        x = [rng.normal(size=(9, 8)) for _ in range(2)]
        order = rng.permutation(9)
        pairs.append((x, [layer[order] + 0.01 * rng.normal(size=(9, 8)) for layer in x]))
    found = matched_alignment(sentence_pairs(pairs))
    assert min(found.raw) > 0.99
    assert min(found.centred) > 0.99
    assert found.retrieval == (1.0, 1.0)
    # A matching picks the largest cosines, so sentences that are no translations score above zero, but not near one.
    strangers = matched_alignment(sentence_pairs([(pairs[i][0], pairs[(i + 1) % 5][1]) for i in range(5)]))
    assert 0.1 < strangers.raw[0] < 0.7


def test_pairs_may_differ_in_length():
    rng = np.random.default_rng(2)
    x, y = [rng.normal(size=(7, 4))], [rng.normal(size=(4, 4))]
    assert -1 <= matched_alignment(sentence_pairs([(x, y), (y, x)])).raw[0] <= 1


def test_retrieval_counts_nearest_neighbours_both_ways():
    x = np.eye(4)
    assert retrieved(x, x) == 1.0
    assert retrieved(x, x[[1, 0, 2, 3]]) == 0.5
    assert retrieved(x, np.roll(x, 1, 0)) == 0.0


def test_positions_of_clones_are_matched_one_to_one():
    x = np.random.default_rng(3).normal(size=(2, 5, 4))
    assert hidden_alignment(kept(([x], [x[:, ::-1]]))).raw[0] < 0.9
    assert hidden_alignment(kept(([x], [2 * x]))).raw[0] == pytest.approx(1.0)


def test_embeddings_of_pairs_stand_beside_those_of_all_pairs():
    rows = torch.cat([torch.eye(4), torch.eye(4)]) + 1.0
    found = embedding_alignment(rows, np.arange(4), np.arange(4) + 4)
    assert found.pairs == pytest.approx(1.0)
    assert found.all == pytest.approx((4 * 1 + 12 * 6 / 7) / 16)  # (1, 1, 1, 2)·(1, 1, 2, 1) / 7 = 6 / 7
    nothing = embedding_alignment(rows, np.arange(0), np.arange(0))
    assert (nothing.pairs, nothing.all) == (1.0, 1.0)


def test_no_sentences_or_too_long_ones_are_bad_input(parameters):
    for shape in ((0, 13), (2, 14)):
        with pytest.raises(BadInput, match="sentences of shape"):
            align(parameters, SHAPE, np.zeros(shape, int), EN1, EN2)


def test_small_models_are_read_with_one_thread_and_the_caller_keeps_its_own(parameters, sentences, monkeypatch):
    seen = []
    read = alignment.hidden_states
    monkeypatch.setattr(
        alignment, "hidden_states", lambda *args: (seen.append(torch.get_num_threads()), read(*args))[1]
    )
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        align(parameters, SHAPE, sentences, EN1, EN2)
        assert torch.get_num_threads() == 2
        monkeypatch.setattr(alignment, "SMALL", 0)
        align(parameters, SHAPE, sentences, EN1, EN2)
    finally:
        torch.set_num_threads(before)
    assert seen == [1] * 4 + [2] * 4  # both languages, twice
