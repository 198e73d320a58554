"""The hand-written operations are torch's own, to rounding, forward and backward."""

import pytest
import torch

from glotmix.proxy import kernels, native
from glotmix.proxy.model import rotary

torch.set_num_threads(1)
NATIVE = native.library() is not None


KINDS = pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])


def both(function, *inputs, kind=torch.float32):
    """Values and gradients (for a random upstream gradient) of the fast form for tensors of ``kind``, and of the plain
    form for the same numbers in fp32."""
    results = []
    for fast in (True, False):
        leaves = [x.to(kind).to(kind if fast else torch.float32).clone().requires_grad_() for x in inputs]
        if fast:
            y = function(*leaves)
        else:
            with kernels.plain():
                y = function(*leaves)
        g = torch.randn(y.shape, generator=torch.Generator().manual_seed(5)).to(kind).to(y.dtype)
        results.append([t.float() for t in (y.detach(), *torch.autograd.grad(y, leaves, g))])
    return zip(*results, strict=True)


def close(fast, plain, kind, rtol, atol):
    """To fp32's rounding; in bf16, whose numbers have 8 bits, to that of what is read, kept and written, as a whole."""
    if kind == torch.float32:
        torch.testing.assert_close(fast, plain, rtol=rtol, atol=atol)
    else:
        assert (fast - plain).norm() < 2**-7 * plain.norm()
        torch.testing.assert_close(fast, plain, rtol=2**-5, atol=2**-6 * float(plain.abs().max()))


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.skipif(not NATIVE, reason="no C compiler on this machine")
def test_the_fast_form_is_the_one_that_is_used():
    assert kernels.uses_native(draw(8, 64), 64)
    assert kernels.uses_native(draw(8, 64).to(torch.bfloat16), 64)
    assert not kernels.uses_native(draw(8, 64).double(), 64)
    assert not kernels.uses_native(draw(8, 20), 20)
    with kernels.plain():
        assert not kernels.uses_native(draw(8, 64), 64)


@KINDS
def test_the_gradients_of_a_frequent_word_are_summed_in_full(kind):
    table = torch.zeros(2, 5, 8, dtype=kind, requires_grad=True)
    rows = torch.full((2, 4096), 3)
    rows[1, 0] = 4
    (found,) = torch.autograd.grad(kernels.embed(table, rows), table, torch.ones(2, 4096, 8, dtype=kind))
    assert found.dtype == kind
    assert found[0, 3].tolist() == [4096.0] * 8  # summed in bf16: 512
    assert found[1, 4].tolist() == [1.0] * 8
    assert not found[:, :3].any()


@KINDS
@pytest.mark.parametrize("width", [8, 40, 64])
def test_rms_norm(width, kind):
    for fast, plain in both(lambda x: kernels.rms_norm(x, 1e-5), draw(2, 37, width) * 3, kind=kind):
        close(fast, plain, kind, rtol=1e-5, atol=1e-5)


@KINDS
def test_swiglu_from_saturated_to_saturated(kind):
    x = torch.cat([draw(1, 50, 32) * 3, torch.full((1, 1, 32), 95.0), torch.full((1, 1, 32), -95.0)], 1)
    for fast, plain in both(kernels.swiglu, x, kind=kind):
        close(fast, plain, kind, rtol=1e-5, atol=1e-6)


@KINDS
@pytest.mark.parametrize(("T", "W"), [(1, 8), (5, 8), (16, 16), (33, 24), (128, 16), (70, 64)])
def test_attention(T, W, kind):
    cos, sin = rotary(T, W)
    for fast, plain in both(lambda qkv: kernels.attention(qkv, cos, sin), draw(2, 2, T, 3, 3, W) * 1.5, kind=kind):
        close(fast, plain, kind, rtol=1e-4, atol=2e-5)


@KINDS
@pytest.mark.parametrize("vocab", [97, 2048])
def test_cross_entropy_over_several_chunks_and_a_rest(vocab, kind, monkeypatch):
    monkeypatch.setattr(kernels, "CHUNK_BYTES", 64 * 4 * vocab)
    targets = torch.randint(0, vocab, (2, 150), generator=torch.Generator().manual_seed(1))
    inputs = draw(2, 150, 16), draw(2, vocab, 16)
    for fast, plain in both(lambda h, m: kernels.cross_entropy(h, m, targets), *inputs, kind=kind):
        close(fast, plain, kind, rtol=1e-5, atol=1e-6)


@KINDS
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_visible_in_its_own_model_only(value, kind):
    h, matrix = draw(2, 20, 16).to(kind), draw(2, 97, 16).to(kind)
    h[1, 3, 2] = value
    loss = kernels.cross_entropy(h, matrix, torch.zeros(2, 20, dtype=torch.long))
    assert loss[0].isfinite()
    assert not loss[1].isfinite()
    x = draw(1, 2, 8, 3, 1, 16).to(kind)
    x[0, 1, 2, 0, 0, 5] = value
    out = kernels.attention(x, *rotary(8, 16))
    assert out[0, 0].isfinite().all()
    assert not out[0, 1, 2:].isfinite().all()


@pytest.mark.skipif(not NATIVE, reason="no C compiler on this machine")
def test_without_a_compiler_plain_torch_does_the_work(monkeypatch, tmp_path):
    native.library.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CC", "no-such-compiler")
    try:
        assert native.library() is None
        assert kernels.swiglu(draw(2, 16)).shape == (2, 8)
    finally:
        native.library.cache_clear()


@pytest.mark.skipif(not NATIVE, reason="no C compiler on this machine")
def test_a_compiler_that_fails_is_no_failure(monkeypatch, tmp_path):
    native.library.cache_clear()
    monkeypatch.setenv("CC", "false")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    try:
        assert native.library() is None
        assert not list(tmp_path.rglob("*.so"))
    finally:
        native.library.cache_clear()
