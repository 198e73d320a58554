from types import SimpleNamespace

import numpy as np
import pytest
import torch

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.errors import BadInput
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.proxy import model
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.evaluate import Evaluation
from glotmix.proxy.loader import MixtureBatches
from glotmix.proxy.model import Shape
from glotmix.proxy.run import StackRun
from glotmix.proxy.train import train_stack
from glotmix.tokens.build import build_store
from glotmix.tokens.clone import ClonesConfig, clone_maps, clone_store, shared_mass
from glotmix.tokens.config import TokensConfig
from glotmix.tokens.opening import open_store

TRAINING = ProxyConfig(width=16, layers=1, heads=1, context=16, batch=4, precision="float32")
COUNTS = np.array([0, 5, 9, 1, 0, 30, 2, 8, 4, 7])
END = 3


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    reader = open_reader(CorpusConfig(bytes_per_language=60_000), ["fra_Latn", "spa_Latn"], folder)
    tokens = TokensConfig(vocab_size=300, sample_bytes=20_000, held_out_tokens=2000)
    return build_store(folder / "tokens", reader, ["fra_Latn", "spa_Latn"], tokens, held_out=0.1)


def batches(store, shares, tokens=16 * 4 * 40):
    run = StackRun("r", Schedule.constant(Mixture.normalised(shares)), tokens, 5)
    return MixtureBatches(store, [run], TRAINING), run


def test_clones_without_anchors_have_the_ids_x_plus_i_v():
    maps_nV, size = clone_maps(ClonesConfig(n=3), COUNTS, END)
    assert size == 30
    np.testing.assert_array_equal(maps_nV, np.arange(10) + 10 * np.arange(3)[:, None])


def test_the_end_of_a_document_is_cloned_unless_shared():
    assert clone_maps(ClonesConfig(), COUNTS, END)[0][1, END] != END
    maps_nV, size = clone_maps(ClonesConfig(share_end=True), COUNTS, END)
    assert maps_nV[1, END] == END
    assert size == 19


@pytest.mark.parametrize("anchors", [0.25, 0.5, 1.0])
def test_anchors_are_that_share_of_the_ids_of_the_text_and_the_rest_are_new(anchors):
    maps_nV, size = clone_maps(ClonesConfig(n=3, anchors=anchors), COUNTS, END)
    same_V = (maps_nV == maps_nV[0]).all(0)
    assert same_V[COUNTS > 0].sum() == anchors * 8
    cloned = [set(maps_nV[i, ~same_V].tolist()) for i in range(3)]
    assert len(set.union(*cloned)) == 3 * len(cloned[0])
    assert size == len(np.unique(maps_nV))


def test_anchors_by_frequency_are_the_most_frequent_ids_and_random_ones_differ_with_the_seed():
    by_frequency = clone_maps(ClonesConfig(anchors=0.25, anchors_by="frequency"), COUNTS, END)[0]
    assert set(np.flatnonzero(by_frequency[0] == by_frequency[1])) == {2, 5}
    chosen = {
        tuple(np.flatnonzero(np.equal(*clone_maps(ClonesConfig(anchors=0.25, seed=seed), COUNTS, END)[0])).tolist())
        for seed in range(8)
    }
    assert len(chosen) > 3


@pytest.mark.parametrize("permuted", [0.0, 0.3, 1.0])
def test_relatives_write_with_the_same_ids_and_mean_something_else_by_that_share_of_them(permuted):
    maps_nV, size = clone_maps(ClonesConfig(n=3, anchors=1.0, permuted=permuted), COUNTS, END)
    assert size == 10
    for map_V in maps_nV[1:]:
        np.testing.assert_array_equal(np.sort(map_V), np.arange(10))
        assert (map_V != np.arange(10)).sum() == round(permuted * 7)  # the end of a document keeps its meaning
    if permuted:
        assert (maps_nV[1] != maps_nV[2]).any()


def test_a_clone_has_the_texts_tokens_documents_and_bytes_in_its_own_ids(base, tmp_path):
    store = clone_store(tmp_path / "c", base, "fra_Latn", ClonesConfig())
    V = base.vocab_size
    assert store.languages == ("fra_Latn.1", "fra_Latn.2")
    assert store.vocab_size == 2 * V
    np.testing.assert_array_equal(store.train("fra_Latn.1")[:], base.train("fra_Latn"))
    np.testing.assert_array_equal(np.asarray(store.train("fra_Latn.2")), base.train("fra_Latn").astype(int) + V)
    held = store.held_out("fra_Latn.2")
    np.testing.assert_array_equal(held.tokens, base.held_out("fra_Latn").tokens.astype(int) + V)
    assert held.bytes == base.held_out("fra_Latn").bytes
    assert held.end_of_document == V + base.end_of_document
    assert store.unique_tokens("fra_Latn.2") == base.unique_tokens("fra_Latn")
    assert store.documents("fra_Latn.2", "train").equals(base.documents("fra_Latn", "train"))
    np.testing.assert_array_equal(store.in_text("fra_Latn.2", held.tokens), base.held_out("fra_Latn").tokens)
    # Twice the ids are one bit a token more for the model that knows nothing, and the same for both.
    more = store.uniform_bits_per_byte("fra_Latn.1") - base.uniform_bits_per_byte("fra_Latn")
    assert more == pytest.approx(len(held.tokens) / held.bytes)
    assert store.unigram_bits_per_byte("fra_Latn.1") == pytest.approx(store.unigram_bits_per_byte("fra_Latn.2"))


def test_nothing_is_copied_and_any_process_opens_it_like_another_store(base, tmp_path):
    made = clone_store(tmp_path / "c", base, "fra_Latn", ClonesConfig(anchors=0.5))
    # The tables of two clones, 8 bytes an id, and two small files of JSON.
    size = sum(path.stat().st_size for path in made.directory.iterdir())
    assert size < 16 * base.vocab_size + 4000 < base.train("fra_Latn").nbytes
    opened = open_store(tmp_path / "c")
    assert opened.fingerprint == made.fingerprint
    np.testing.assert_array_equal(opened.train("fra_Latn.2")[:50], made.train("fra_Latn.2")[:50])
    with pytest.raises(BadInput, match="made by another configuration"):
        clone_store(tmp_path / "c", base, "fra_Latn", ClonesConfig(anchors=0.25))
    with pytest.raises(BadInput, match=r"no tokens of fra_Latn\.3"):
        opened.train("fra_Latn.3")


def test_every_sequence_of_a_batch_is_in_one_language_and_the_language_is_drawn_per_sequence(base, tmp_path):
    store = clone_store(tmp_path / "c", base, "fra_Latn", ClonesConfig())
    source, _ = batches(store, {"fra_Latn.1": 0.5, "fra_Latn.2": 0.5})
    mixed = 0
    for step in range(40):
        rows = source(0, step) // base.vocab_size
        assert (rows == rows[:, :1]).all()
        assert [f"fra_Latn.{row[0] + 1}" for row in rows] == source.languages_of(0, step)
        mixed += 0 < rows[:, 0].mean() < 1
    assert mixed > 25  # of batches of four, 7 in 8 expected; none if the language were drawn per batch


def test_no_text_leaks_into_the_other_language_unless_parallel_text_is_asked_for(base, tmp_path):
    def overlap(config, name):
        store = clone_store(tmp_path / name, base, "fra_Latn", config)
        source, _ = batches(store, {"fra_Latn.1": 0.5, "fra_Latn.2": 0.5})
        rows = np.concatenate([source(0, step) for step in range(40)])
        texts = [{store.in_text(f"fra_Latn.{i}", row).tobytes() for row in rows if row[0] // base.vocab_size == i - 1}
                 for i in (1, 2)]  # fmt: skip
        return len(texts[0] & texts[1])

    assert overlap(ClonesConfig(), "never") == 0
    assert overlap(ClonesConfig(parallel=1.0), "always") == 80


@pytest.mark.parametrize("first", [0.5, 0.9])
def test_all_anchors_is_training_on_the_text_itself_bit_for_bit(base, tmp_path, first):
    clones = clone_store(tmp_path / "c", base, "fra_Latn", ClonesConfig(anchors=1.0))
    shape = Shape.of(TRAINING, base.vocab_size)
    weights = []
    for store, shares in ((base, {"fra_Latn": 1.0}), (clones, {"fra_Latn.1": first, "fra_Latn.2": 1 - first})):
        source, run = batches(store, shares)
        kept = []

        def look(stack, step, tokens, rate, kept=kept):
            kept.append((tokens.clone(), stack.master_KP.clone()))

        train_stack([run], source, shape, TRAINING, on_batch=look)
        weights.append(kept)
    assert len(weights[0]) == 40
    for (tokens, weight), (others, other) in zip(*weights, strict=True):
        assert torch.equal(tokens, others)
        assert torch.equal(weight, other)


def test_a_model_with_permuted_embeddings_gives_clones_the_same_losses(base, tmp_path):
    store = clone_store(tmp_path / "c", base, "fra_Latn", ClonesConfig())
    shape = Shape(16, 2, 1, 32, store.vocab_size, tied=False, context=16)
    parameters = model.init_parameters(shape, [1])
    order = torch.arange(store.vocab_size).roll(base.vocab_size)
    swapped = parameters | {name: parameters[name][:, order] for name in ("embedding", "head")}
    held = {name: store.held_out(name) for name in store.languages}
    evaluation = Evaluation(held, 16, end_of_document=store.end_of_document)
    losses, exchanged = evaluation.losses(parameters, shape)[0], evaluation.losses(swapped, shape)[0]
    np.testing.assert_array_equal(evaluation.tokens_L[0], evaluation.tokens_L[1])
    # The softmax adds up the ids in another order, so the last bits of fp32 may differ.
    np.testing.assert_allclose(exchanged, losses[::-1], rtol=1e-6)
    assert abs(losses[0] - losses[1]) > 1e-4  # different languages to a model that is not permuted


def test_real_languages_can_have_ids_of_their_own_or_keep_common_ones(base, tmp_path):
    pair = ["fra_Latn", "spa_Latn"]
    apart = clone_store(tmp_path / "apart", base, pair, ClonesConfig())
    merged = clone_store(tmp_path / "merged", base, pair, ClonesConfig(anchors=1.0))
    assert apart.languages == merged.languages == tuple(pair)
    assert apart.text is None  # each reads its own text
    assert (apart.vocab_size, merged.vocab_size) == (600, 300)
    np.testing.assert_array_equal(merged.train("spa_Latn")[:], base.train("spa_Latn"))
    np.testing.assert_array_equal(apart.train("spa_Latn")[:], base.train("spa_Latn").astype(int) + 300)
    assert (shared_mass(apart, "spa_Latn"), shared_mass(merged, "spa_Latn")) == (0.0, 1.0)


def test_shared_mass_is_the_share_of_tokens_that_are_written_alike(base, tmp_path):
    store = clone_store(tmp_path / "c", base, "fra_Latn", ClonesConfig(anchors=0.3, anchors_by="frequency"))
    tokens = np.asarray(store.train("fra_Latn.1"))
    assert shared_mass(store, "fra_Latn.2") == pytest.approx((tokens == store.train("fra_Latn.2")).mean())
    assert shared_mass(store, "fra_Latn.2") > 0.5  # frequent ids are more of the text than of the vocabulary


def test_an_adaptive_method_would_leak_text_and_is_refused(base, tmp_path):
    store = clone_store(tmp_path / "c", base, "fra_Latn", ClonesConfig())
    adaptive = SimpleNamespace(languages=store.languages)
    run = StackRun(
        "r", Schedule.constant(Mixture.normalised(dict.fromkeys(store.languages, 1.0))), 640, 0, None, adaptive
    )
    with pytest.raises(BadInput, match="an adaptive method on clones of fra_Latn"):
        MixtureBatches(store, [run], TRAINING)
