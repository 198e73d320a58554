import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from glotmix.attribution.lds import draw_subsets, linear_datamodeling_score
from glotmix.errors import BadInput

RIDGE, CLASSES = 1e-2, 10


def digits():
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))[:700]
    x = np.concatenate([x[order] / 16, np.ones((700, 1))], 1)
    return x[:600], y[order[:600]], x[600:], y[order[600:]]


def fit(x, y, start):
    """Softmax regression to its optimum: ridge + mean cross-entropy."""
    target = np.eye(CLASSES)[y]

    def objective(w):
        W = w.reshape(CLASSES, -1)
        log_p = log_softmax(x @ W.T, 1)
        gradient = (np.exp(log_p) - target).T @ x / len(x) + RIDGE * W
        return -(log_p * target).sum() / len(x) + RIDGE / 2 * w @ w, gradient.ravel()

    return minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 300, "gtol": 1e-7}).x


def gradients(x, y, w):
    """Gradient of each sample's loss, [N, P]."""
    p = softmax(x @ w.reshape(CLASSES, -1).T, 1) - np.eye(CLASSES)[y]
    return np.einsum("nc,nd->ncd", p, x).reshape(len(x), -1)


def hessian(x, w):
    p = softmax(x @ w.reshape(CLASSES, -1).T, 1)
    blocks = np.einsum("nc,ck->nck", p, np.eye(CLASSES)) - np.einsum("nc,nk->nck", p, p)
    H = np.einsum("nck,nd,ne->cdke", blocks, x, x, optimize=True) / len(x)
    return H.reshape(w.size, w.size) + RIDGE * np.eye(w.size)


@pytest.fixture(scope="module")
def task():
    x, y, x_test, y_test = digits()
    w = fit(x, y, np.zeros(CLASSES * x.shape[1]))
    subsets = draw_subsets(len(x), 60, np.random.default_rng(1))
    outputs = []
    for mask in subsets:
        W = fit(x[mask], y[mask], w).reshape(CLASSES, -1)
        outputs.append(log_softmax(x_test @ W.T, 1)[np.arange(len(y_test)), y_test])
    g_test, g_train = gradients(x_test, y_test, w), gradients(x, y, w)
    return g_test, g_train, hessian(x, w), subsets, np.array(outputs)


def test_exact_influence_predicts_retraining_and_random_scores_do_not(task):
    g_test, g_train, H, subsets, outputs = task
    exact = linear_datamodeling_score(g_test @ np.linalg.solve(H, g_train.T), subsets, outputs)
    assert exact.value > 0.98
    assert exact.low < exact.value < exact.high
    noise = np.random.default_rng(2).standard_normal((len(g_test), len(g_train)))
    assert abs(linear_datamodeling_score(noise, subsets, outputs).value) < 0.03


def test_tracin_predicts_retraining_worse_than_influence_and_better_than_nothing(task):
    g_test, g_train, _, subsets, outputs = task
    dot = linear_datamodeling_score(g_test @ g_train.T, subsets, outputs).value
    unit_test, unit_train = (g / np.linalg.norm(g, axis=1, keepdims=True) for g in (g_test, g_train))
    cosine = linear_datamodeling_score(unit_test @ unit_train.T, subsets, outputs).value
    assert 0.3 < cosine < 0.9
    assert 0.3 < dot < 0.9


def test_the_metric_is_that_of_dattri(task):
    metric = pytest.importorskip("dattri.metric")
    torch = pytest.importorskip("torch")
    g_test, g_train, _, subsets, outputs = task
    value_QN = g_test @ g_train.T
    ours = linear_datamodeling_score(value_QN, subsets, outputs).correlation_Q
    indices = torch.from_numpy(np.stack([np.flatnonzero(mask) for mask in subsets]))
    theirs = metric.lds(torch.from_numpy(value_QN.T), (torch.from_numpy(outputs), indices))[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_subsets_have_one_size_and_bad_shapes_are_named():
    subsets = draw_subsets(30, 8, np.random.default_rng(0))
    assert (subsets.sum(1) == 15).all()
    assert (subsets.any(0)).all()
    with pytest.raises(BadInput, match="none empty or full"):
        draw_subsets(30, 8, np.random.default_rng(0), fraction=1.0)
    with pytest.raises(BadInput, match=r"\(9, 30\)"):
        linear_datamodeling_score(np.zeros((2, 30)), np.zeros((9, 30)), np.zeros((8, 2)))
    with pytest.raises(BadInput, match="outputs of test sample 0 are the same"):
        linear_datamodeling_score(np.ones((2, 30)), subsets, np.zeros((8, 2)))
