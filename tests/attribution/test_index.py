import numpy as np
import pytest
import torch

from glotmix.attribution import index
from glotmix.attribution.gradients import PerSampleGradients
from glotmix.attribution.index import Projection, build_index, open_index
from glotmix.attribution.samples import classification_loss
from glotmix.attribution.tracin import Checkpoint, gradient_products
from glotmix.errors import BadInput, Corrupt
from tests.attribution.conftest import classified


def checkpoints(model, n=2):
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rng = torch.Generator().manual_seed(0)
    moved = {
        n: t + 0.02 * torch.randn(t.shape, generator=rng) if t.is_floating_point() else t for n, t in state.items()
    }
    return [Checkpoint("epoch-1", state, 0.1), Checkpoint("epoch-2", moved, 0.05)][:n]


def test_projections_wider_than_every_matrix_are_exact(classifier, tmp_path):
    test, train = classified(5, 1), classified(8, 2)
    kept = checkpoints(classifier)
    made = build_index(tmp_path / "index", classifier, classification_loss, kept, train, dimensions=700, batch=3)
    found = made.products(classifier, classification_loss, kept, test, batch=2)
    true = gradient_products(classifier, classification_loss, kept, test, train)
    np.testing.assert_allclose(found.dot_EQN, true.dot_EQN, atol=1e-4 * np.abs(true.dot_EQN).max())
    np.testing.assert_allclose(found.scores("cosine"), true.scores("cosine"), atol=1e-4)
    assert found.learning_rates == (0.1, 0.05)
    assert made.error.rms < 1e-5
    assert made.error.overlap == 1.0


def test_projected_products_are_unbiased(classifier):
    ((_, batch),) = classified(6, 1).batches(6)
    gradients = PerSampleGradients(classifier, classification_loss)(batch)
    dense = torch.cat([gradient.dense() for gradient in gradients.values()], 1)
    true = dense @ dense.T
    ratios = []
    for seed in range(40):
        rows = Projection(8, seed)(gradients)
        ratios.append(float(((rows @ rows.T) * true).sum() / (true * true).sum()))
    assert abs(np.mean(ratios) - 1) < 3 * np.std(ratios) / np.sqrt(40)
    assert np.std(ratios) < 0.6  # so that a factor of two would be seen


def test_the_error_that_is_told_is_the_error_on_test_samples(classifier, tmp_path):
    test, train = classified(12, 1), classified(24, 2)
    kept = checkpoints(classifier, 1)
    true = gradient_products(classifier, classification_loss, kept, test, train).scores("cosine")[0]
    found, told = [], []
    for seed in range(4):
        made = build_index(
            tmp_path / str(seed), classifier, classification_loss, kept, train, dimensions=6, seed=seed, probes=12
        )
        found.append(made.products(classifier, classification_loss, kept, test).scores("cosine")[0] - true)
        told.append(made.error.rms)
    assert np.mean(told) == pytest.approx(np.sqrt(np.mean(np.square(found))), rel=0.4)


def test_wider_projections_have_less_error(classifier, tmp_path):
    train, kept = classified(24, 2), checkpoints(classifier, 1)
    errors = [
        build_index(tmp_path / str(k), classifier, classification_loss, kept, train, dimensions=k).error.rms
        for k in (3, 12, 48)
    ]
    assert errors[0] > 1.5 * errors[1] > 2.25 * errors[2]


def test_processes_side_by_side_make_the_same_index(classifier, tmp_path):
    train, kept = classified(11, 2), checkpoints(classifier)
    alone, both = (
        build_index(tmp_path / str(n), classifier, classification_loss, kept, train, dimensions=5, batch=2, processes=n)
        for n in (1, 2)
    )
    for e in range(2):
        assert (alone.rows(e) == both.rows(e)).all()
    assert alone.error == both.error
    assert sorted(p.name for p in both.directory.iterdir()) == sorted(p.name for p in alone.directory.iterdir())


def test_the_error_is_measured_on_some_samples_of_many(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(index, "COMPARED", 9)
    train, kept = classified(40, 2), checkpoints(classifier, 1)
    made = build_index(tmp_path / "index", classifier, classification_loss, kept, train, dimensions=6, probes=7)
    assert 7 * 8 <= made.error.pairs <= 7 * 9
    whole = gradient_products(classifier, classification_loss, kept, train, train).scores("cosine")[0]
    off = made.products(classifier, classification_loss, kept, train).scores("cosine")[0] - whole
    off = off[~np.eye(40, dtype=bool)]
    assert made.error.rms == pytest.approx(np.sqrt(np.mean(off**2)), rel=0.5)


def test_a_projection_is_the_same_for_the_same_seed_only(classifier):
    ((_, batch),) = classified(3, 1).batches(3)
    gradients = PerSampleGradients(classifier, classification_loss)(batch)
    one, same, other = (Projection(4, seed)(gradients) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_broken_index_is_named(classifier, tmp_path):
    kept = checkpoints(classifier, 1)
    build_index(tmp_path / "index", classifier, classification_loss, kept, classified(8, 2), dimensions=3)
    opened = open_index(tmp_path / "index", verify=True)
    with pytest.raises(BadInput, match="checkpoints epoch-2"):
        opened.products(classifier, classification_loss, checkpoints(classifier)[1:], classified(2, 1))
    path = tmp_path / "index" / "gradients-0.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    with pytest.raises(Corrupt, match=r"gradients-0\.bin: \d+ bytes, was written with"):
        open_index(tmp_path / "index")
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(Corrupt, match="checksum differs"):
        open_index(tmp_path / "index", verify=True)
    path.write_bytes(whole)
    (tmp_path / "index" / "norms.safetensors").write_bytes(
        b"x" * (tmp_path / "index" / "norms.safetensors").stat().st_size
    )
    with pytest.raises(Corrupt, match="make the index again"):
        open_index(tmp_path / "index")
    with pytest.raises(BadInput, match=r"no artifact\.json"):
        open_index(tmp_path)
    with pytest.raises(BadInput, match="dimensions = 0"):
        build_index(tmp_path / "none", classifier, classification_loss, kept, classified(8, 2), dimensions=0)
    assert not (tmp_path / "none").exists()
