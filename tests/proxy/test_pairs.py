"""Pairs: rows of a sentence and its translation, of which the translation alone is learnt, measured and said."""

import numpy as np
import pytest
import torch

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.mixture.weighting import Weighting
from glotmix.probe.gradient_variance import of_proxy
from glotmix.proxy import model
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.controller import MixtureController
from glotmix.proxy.evaluate import Evaluation
from glotmix.proxy.evaluation_texts import EvaluationTexts
from glotmix.proxy.greedy import continued
from glotmix.proxy.loader import MixtureBatches
from glotmix.proxy.model import Shape, init_parameters
from glotmix.proxy.pairs import PairRows, learnt
from glotmix.proxy.run import StackRun
from glotmix.proxy.stack import Stack
from glotmix.proxy.train import train_stack
from glotmix.tokens.build import build_store
from glotmix.tokens.config import TokensConfig

torch.set_num_threads(1)
T, B = 64, 4
NAMES = ("eng-spa", "eng-rus")
MIXTURE = Mixture({"eng-spa": 0.7, "eng-rus": 0.3})


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    sources = {n: {"language": tag, "translates": "en"} for n, tag in zip(NAMES, ("es", "ru"), strict=True)}
    corpus = CorpusConfig(reader="embedded", bytes_per_language=30_000, sources=sources)
    tokens = TokensConfig(vocab_size=500, held_out_tokens=1500, sample_bytes=20_000)
    return build_store(folder / "tokens", open_reader(corpus, NAMES, folder), NAMES, tokens, 0.2)


@pytest.fixture
def training():
    return ProxyConfig(width=32, layers=1, heads=2, context=T, batch=B, evaluations=1, learning_rate=2e-2)


def run(name="a", **more):
    return StackRun(name, Schedule.constant(MIXTURE), 60 * B * T, 3, **more)


def shape_of(store, training):
    return Shape.of(training, store.vocab_size)


def test_a_row_is_a_source_its_translation_and_nothing_else(store):
    tokenizer, end = store.tokenizer(), store.end_of_document
    rows = PairRows(store, "eng-spa", T)
    lengths = store.documents("eng-spa", "train")["length"].to_numpy()
    assert (len(rows), rows.left_out) == ((lengths <= T).sum(), (lengths > T).sum())
    assert 0 < rows.left_out < len(rows)
    read = rows.read(np.arange(len(rows)))
    assert read.shape == (len(rows), T + 1)
    for row, counts in zip(read[:50], learnt(read, end)[:50], strict=True):
        zero, first, second = np.flatnonzero(row == end)[:3]
        assert zero == 0
        assert tokenizer.decode(row[1:first]).startswith("es ")
        assert np.flatnonzero(counts).tolist() == list(range(first, second))
        assert (row[second:] == end).all()


def test_the_loss_of_a_pair_is_that_of_its_target_and_the_source_counts_for_nothing(store, training):
    batches = MixtureBatches(store, [run()], training)
    shape, tokens_BS = shape_of(store, training), torch.from_numpy(batches(0, 0).astype(np.int64))
    parameters = init_parameters(shape, [0])
    nats_BT = model.token_losses(parameters, tokens_BS.unsqueeze(0), shape)[0]
    by_hand = (nats_BT * learnt(tokens_BS, store.end_of_document)).sum(1) / batches.targets.mean
    weights = batches.targets.weights(tokens_BS.unsqueeze(0))
    loss_K, _ = model.weighted_loss(parameters, tokens_BS.unsqueeze(0), weights, shape)
    assert float(loss_K) == pytest.approx(float(by_hand.mean()), rel=1e-5)
    total, squares = of_proxy(parameters, shape, batches.targets)(tokens_BS)
    singles = []
    for row, counts in zip(tokens_BS, weights[0], strict=True):
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in parameters.items()}
        logits = model.logits(leaves, row[None, None, :-1], shape)[0, 0]
        some = torch.nn.functional.cross_entropy(logits, row[1:], reduction="none")[counts > 0].sum()
        found = torch.autograd.grad(some / batches.targets.mean, list(leaves.values()))
        singles.append(torch.cat([one.flatten() for one in found]))
    expected = torch.stack(singles)
    assert float((total - expected.sum(0)).norm() / expected.sum(0).norm()) < 1e-4
    assert squares.numpy() == pytest.approx(expected.double().square().sum(1).numpy(), rel=1e-4)


def test_the_trainers_gradient_is_the_weighted_sum_of_the_pairs_own(store, training):
    weighting = Weighting({"eng-spa": 0.5, "eng-rus": 3.0})
    runs = [run(weighting=weighting)]
    batches = MixtureBatches(store, runs, training)
    shape = shape_of(store, training)
    stack = Stack(shape, [3])
    guide = MixtureController(runs, batches, shape, training)
    tokens_KBS = torch.from_numpy(batches(0, 0).astype(np.int64)).unsqueeze(0)
    guide.backward(stack, 0, tokens_KBS)
    expected = torch.zeros_like(stack.gradient_KP)
    for row, language in zip(tokens_KBS[0], batches.languages_of(0, 0), strict=True):
        other = Stack(shape, [3])
        other.backward_weighted(row[None, None], batches.targets.weights(row[None, None]))
        expected += weighting[language] * other.gradient_KP / B
    assert float((stack.gradient_KP - expected).norm() / expected.norm()) < 1e-5


def test_held_out_loss_is_of_targets_alone_given_their_sources(store, training):
    batches = MixtureBatches(store, [run()], training)
    texts = EvaluationTexts.of({name: store.held_out(name) for name in NAMES}, batches, T)
    shape = shape_of(store, training)
    parameters = init_parameters(shape, [1])
    evaluation = Evaluation(texts.held_out, T, end_of_document=store.end_of_document)
    nats_L = evaluation.losses(parameters, shape)[0]
    text, end = texts.held_out["eng-spa"], store.end_of_document
    sides = [np.split(np.asarray(side), text.starts[1:]) for side in (text.tokens, text.scored)]
    total = count = 0
    for pair, scored in zip(*sides, strict=True):
        cut = int(np.flatnonzero(pair == end)[0]) + 1
        assert scored.tolist() == [False] * cut + [True] * (len(pair) - cut)
        # Of a pair that is longer than a window, the beginning of the source is not seen.
        row = torch.tensor([[[end, *pair.tolist()][-T - 1 :]]])
        nats_T = model.token_losses(parameters, row, shape)[0, 0]
        total += float(nats_T[-int(scored.sum()) :].sum())
        count += int(scored.sum())
    assert max(len(scored) - int(scored.argmax()) for scored in sides[1]) < T
    assert nats_L[0] == pytest.approx(total / count, rel=1e-4)
    trained = Evaluation(texts.trained_on, T, end_of_document=store.end_of_document)
    rows = torch.from_numpy(
        batches.first_sequences("eng-rus", len(texts.trained_on["eng-rus"].starts)).astype(np.int64)
    )
    counts = learnt(rows, store.end_of_document)
    by_hand = (model.token_losses(parameters, rows[None], shape)[0] * counts).sum() / counts.sum()
    assert trained.losses(parameters, shape)[0][1] == pytest.approx(float(by_hand), rel=1e-4)
    assert texts.development["eng-rus"].shape[1] == T + 1


def test_what_a_run_learns_comes_back_word_for_word_and_no_source_does(store, training, tmp_path):
    """A proxy that reads few pairs over and over says their targets, and would not if it learnt to go on from sources."""
    runs = [StackRun("few", Schedule.constant(Mixture({"eng-spa": 1.0})), 400 * B * T, 0)]
    batches = MixtureBatches(store, runs, training, {"eng-spa": 6})
    shape, kept = shape_of(store, training), tmp_path / "kept"
    guide = MixtureController(runs, batches, shape, training)
    train_stack(
        runs, batches, shape, training, guide=guide, end_of_document=store.end_of_document, checkpoint=lambda *_: kept
    )
    from glotmix.proxy.checkpoint import load_checkpoint

    _, parameters = load_checkpoint(kept)
    rows, end = batches.first_sequences("eng-spa", 6), store.end_of_document
    cuts = [np.flatnonzero(row == end)[1:3] for row in rows]
    prompts = [row[: first + 1].tolist() for row, (first, _) in zip(rows, cuts, strict=True)]
    said = continued(parameters, shape, prompts, end)
    targets = [row[first + 1 : second].tolist() for row, (first, second) in zip(rows, cuts, strict=True)]
    assert said == targets
    assert continued(parameters, shape, prompts[:1], end) == targets[:1]  # alone as in company
    # one token at a time, by the plain model
    ids = list(prompts[2])
    while (chosen := int(model.logits(parameters, torch.tensor([[ids]]), shape)[0, 0, -1].argmax())) != end:
        ids.append(chosen)
    assert ids[len(prompts[2]) :] == said[2]
    assert continued(parameters, shape, [list(range(1, T + 1))], end) == [[]]  # no room for a word
