"""The operations a proxy spends its time in, written for small models: few passes over memory, own backwards.

Each exists twice: in torch's operations (any device and precision, differentiable any number of times, open to
``torch.func``), and for fp32 and bf16 on one CPU core through ``native.c``. Tests hold the two together; what each
gained is in docs/engine.md.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from glotmix.proxy import native

CHUNK_BYTES = 1 << 20
"""Logits held at a time on a CPU: written, turned into their gradient and used up while still in the cache."""
CHUNK_ROWS = 4096
"""The same on a GPU, in positions."""

_local = threading.local()


@contextmanager
def plain() -> Iterator[None]:
    """Inside, everything is plain torch: for ``torch.func``, second derivatives and hooks on single operations."""
    before = getattr(_local, "plain", False)
    _local.plain = True
    try:
        yield
    finally:
        _local.plain = before


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread inside, and as many as before afterwards: steps of small models are shorter than waiting for a second
    one (benchmarks/threads.py)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _is_plain() -> bool:
    return getattr(_local, "plain", False)


def uses_native(x: Tensor, width: int = native.LANES) -> bool:
    """Whether ``native.c`` takes this tensor: fp32 or bf16, on the CPU, one thread, rows of whole vectors."""
    return (
        x.dtype in native.TYPES
        and x.device.type == "cpu"
        and width % native.LANES == 0
        and torch.get_num_threads() == 1
        and not _is_plain()
        and native.library() is not None
    )


class _Embed(torch.autograd.Function):
    """Rows of a table in bf16 whose gradients are summed in fp32: in bf16 a sum stops growing at 256 equal terms."""

    @staticmethod
    def forward(ctx: Any, table_RD: Tensor, rows_KN: Tensor) -> Tensor:
        ctx.save_for_backward(rows_KN)
        ctx.shape, ctx.dtype = table_RD.shape, table_RD.dtype
        return table_RD[rows_KN]

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        (rows_KN,) = ctx.saved_tensors
        total_RD = torch.zeros(ctx.shape, device=dy.device)
        total_RD.index_add_(0, rows_KN.flatten(), dy.float().flatten(0, 1))
        return total_RD.to(ctx.dtype), None


def embed(embedding_KVD: Tensor, tokens_KN: Tensor) -> Tensor:
    """Rows of each model's own embedding, [K, N, D]."""
    K, V, D = embedding_KVD.shape
    if embedding_KVD.dtype == torch.bfloat16 and embedding_KVD.device.type != "cuda" and not _is_plain():
        offset = torch.arange(K, device=tokens_KN.device).unsqueeze(1) * V  # (torch's own on a GPU sums in fp32)
        output: Tensor = _Embed.apply(embedding_KVD.reshape(K * V, D), tokens_KN + offset)
        return output
    if K == 1:
        return torch.nn.functional.embedding(tokens_KN, embedding_KVD[0])
    offset = torch.arange(K, device=tokens_KN.device).unsqueeze(1) * V
    return torch.nn.functional.embedding(tokens_KN + offset, embedding_KVD.reshape(K * V, D))


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, epsilon: float) -> Tensor:
        width = x.shape[-1]
        y, scale = torch.empty_like(x), x.new_empty(x.shape[:-1], dtype=torch.float32)
        native.call("rms_forward", x, y, scale, scale.numel(), width, epsilon, width=width)
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        y, scale = ctx.saved_tensors
        dx = torch.empty_like(y)
        width = y.shape[-1]
        native.call("rms_backward", dy.contiguous(), y, scale, dx, scale.numel(), width, width=width)
        return dx, None


def rms_norm(x: Tensor, epsilon: float) -> Tensor:
    """x / √(mean(x²) + ε) over the last dimension, without gain (Zhang & Sennrich 2019, arXiv 1910.07467)."""
    if uses_native(x, x.shape[-1]) and x.is_contiguous():
        output: Tensor = _RMSNorm.apply(x, epsilon)
        return output
    return torch.nn.functional.rms_norm(x, x.shape[-1:], eps=epsilon)


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        width = gate_up.shape[-1] // 2
        y = gate_up.new_empty(*gate_up.shape[:-1], width)
        native.call("swiglu_forward", gate_up, y, y.numel() // width, width, width=width)
        ctx.save_for_backward(gate_up)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (gate_up,) = ctx.saved_tensors
        width = gate_up.shape[-1] // 2
        dx = torch.empty_like(gate_up)
        native.call("swiglu_backward", dy.contiguous(), gate_up, dx, dy.numel() // width, width, width=width)
        return dx


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) · up for the two halves of the last dimension (Shazeer 2020, arXiv 2002.05202)."""
    if uses_native(gate_up, gate_up.shape[-1] // 2) and gate_up.is_contiguous():
        output: Tensor = _SwiGLU.apply(gate_up)
        return output
    gate, up = gate_up.chunk(2, -1)
    return torch.nn.functional.silu(gate) * up


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions on [..., T, H, W], the two halves of a head as real and imaginary part (Llama's convention)."""
    a, b = x.chunk(2, -1)
    cos, sin = cos.to(x.dtype).unsqueeze(-2), sin.to(x.dtype).unsqueeze(-2)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        K, B, T, _, H, W = qkv.shape
        out, lse = qkv.new_empty(K, B, T, H * W), qkv.new_empty(K * B * H, T, dtype=torch.float32)
        native.call("attention_forward", qkv, cos, sin, out, lse, _work(T, W), K * B, T, H, W, width=W)
        ctx.save_for_backward(qkv, cos, sin, out, lse)
        return out

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor, None, None]:
        qkv, cos, sin, out, lse = ctx.saved_tensors
        K, B, T, _, H, W = qkv.shape
        dqkv = torch.empty_like(qkv)
        arguments = (dout.contiguous(), out, qkv, cos, sin, lse, dqkv, _work(T, W))
        native.call("attention_backward", *arguments, K * B, T, H, W, width=W)
        return dqkv, None, None


def _work(T: int, W: int) -> Tensor:
    """Room for one head in ``native.c``: nine matrices [S, W]; for eight queries two blocks of scores, one of sums."""
    S = -(-T // 16) * 16
    return torch.empty(9 * S * W + 16 * S + 8 * W)


def attention(qkv: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Causal attention of [K, B, T, 3, H, W] with rotary positions, to [K, B, T, H·W]."""
    K, B, T, _, H, W = qkv.shape
    if uses_native(qkv, W) and qkv.is_contiguous():
        output: Tensor = _Attention.apply(qkv, cos, sin)
        return output
    q, k, v = qkv.reshape(K * B, T, 3, H, W).unbind(2)
    q, k = rotate(q, cos, sin), rotate(k, cos, sin)
    mixed = torch.nn.functional.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True
    )
    return mixed.transpose(1, 2).reshape(K, B, T, H * W)


class _CrossEntropy(torch.autograd.Function):
    """Loss and its gradient in one go, chunk by chunk; the logits of all positions never exist at once."""

    @staticmethod
    def forward(ctx: Any, h_KND: Tensor, matrix_KVD: Tensor, targets_KN: Tensor) -> Tensor:
        loss_KN, *gradients = _with_gradient(h_KND, matrix_KVD, targets_KN)
        ctx.save_for_backward(*gradients)
        return loss_KN.mean(1)

    @staticmethod
    def backward(ctx: Any, grad_K: Tensor) -> tuple[Tensor, Tensor, None]:
        grad_h, grad_KDV = ctx.saved_tensors
        scale = (grad_K / grad_h.shape[1]).view(-1, 1, 1)
        return grad_h * scale.to(grad_h.dtype), (grad_KDV * scale).transpose(1, 2).to(grad_h.dtype), None


class _WeightedCrossEntropy(torch.autograd.Function):
    """The same with a weight for every position; beside it the loss of every position, which is only for looking."""

    @staticmethod
    def forward(
        ctx: Any, h_KND: Tensor, matrix_KVD: Tensor, targets_KN: Tensor, weight_KN: Tensor
    ) -> tuple[Tensor, Tensor]:
        loss_KN, *gradients = _with_gradient(h_KND, matrix_KVD, targets_KN, weight_KN)
        ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(loss_KN)
        return (loss_KN * weight_KN).mean(1), loss_KN

    @staticmethod
    def backward(ctx: Any, grad_K: Tensor, _: Tensor) -> tuple[Tensor, Tensor, None, None]:
        return *_CrossEntropy.backward(ctx, grad_K), None


def _with_gradient(
    h_KND: Tensor, matrix_KVD: Tensor, targets_KN: Tensor, weight_KN: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses [K, N], and the gradients of their (weighted) sum by h and, transposed, by the matrix."""
    K, V, D = matrix_KVD.shape
    grad_h = torch.empty_like(h_KND)
    grad_KDV = torch.zeros(K, D, V, device=h_KND.device)  # transposed: the faster product; fp32: a sum of chunks
    loss_KN = torch.empty(targets_KN.shape, device=h_KND.device)
    for models, rows, logits in _chunks(h_KND, matrix_KVD):
        h, matrix = h_KND[models, rows], matrix_KVD[models]
        torch.bmm(h, matrix.transpose(1, 2), out=logits)
        loss_KN[models, rows], p = _softmax_gradient(logits, targets_KN[models, rows])
        if weight_KN is not None:
            p *= weight_KN[models, rows].unsqueeze(-1)
        grad_h[models, rows] = torch.bmm(p, matrix)
        if p.dtype == torch.float32:
            grad_KDV[models].baddbmm_(h.transpose(1, 2), p)
        else:
            grad_KDV[models] += torch.bmm(h.transpose(1, 2), p)
    return loss_KN, grad_h, grad_KDV


def _softmax_gradient(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Losses, and p - 1{target} in the precision of the logits (in their place where it can be)."""
    if uses_native(logits):
        loss, row = (logits.new_empty(size, dtype=torch.float32) for size in (target.shape, logits.shape[-1:]))
        vocab = logits.shape[-1]
        native.call("cross_entropy", logits, target.contiguous(), loss, row, target.numel(), vocab, width=vocab)
        return loss, logits
    full, index = logits.float(), target.unsqueeze(-1)
    chosen = full.gather(-1, index).squeeze(-1)
    loss = torch.logsumexp(full, -1) - chosen
    p = torch.softmax(full, -1)
    p.scatter_add_(-1, index, torch.full_like(p[..., :1], -1))
    return loss, p.to(logits.dtype)


def cross_entropy(h_KND: Tensor, matrix_KVD: Tensor, targets_KN: Tensor) -> Tensor:
    """Mean over N of -log softmax(h Wᵀ)[target] in nats, [K]."""
    if _is_plain():
        return token_cross_entropy(h_KND, matrix_KVD, targets_KN).mean(1)
    output: Tensor = _CrossEntropy.apply(h_KND, matrix_KVD, targets_KN)
    return output


def weighted_cross_entropy(
    h_KND: Tensor, matrix_KVD: Tensor, targets_KN: Tensor, weight_KN: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean over N of weight · loss, [K], and the losses themselves, [K, N] (without gradient)."""
    if _is_plain():
        loss_KN = token_cross_entropy(h_KND, matrix_KVD, targets_KN)
        return (loss_KN * weight_KN).mean(1), loss_KN.detach()
    weighted_K, loss_KN = _WeightedCrossEntropy.apply(h_KND, matrix_KVD, targets_KN, weight_KN)
    return weighted_K, loss_KN


def token_cross_entropy(h_KND: Tensor, matrix_KVD: Tensor, targets_KN: Tensor) -> Tensor:
    """-log softmax(h Wᵀ)[target] in nats for every position, [K, N]. Differentiable only inside :func:`plain`."""
    if _is_plain():
        logits = torch.bmm(h_KND, matrix_KVD.transpose(1, 2)).float()
        return torch.logsumexp(logits, -1) - logits.gather(-1, targets_KN.unsqueeze(-1)).squeeze(-1)
    loss_KN = torch.empty(targets_KN.shape, device=h_KND.device)
    with torch.no_grad():
        for models, rows, logits in _chunks(h_KND, matrix_KVD):
            torch.bmm(h_KND[models, rows], matrix_KVD[models].transpose(1, 2), out=logits)
            loss_KN[models, rows], _ = _softmax_gradient(logits, targets_KN[models, rows])
    return loss_KN


def _chunks(h_KND: Tensor, matrix_KVD: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Models, rows and a buffer for the logits of each chunk.

    A CPU's cache holds one model's logits of a few rows; a GPU wants all models at once.
    """
    K, V, _ = matrix_KVD.shape
    N = h_KND.shape[1]
    on_cpu = h_KND.device.type == "cpu"
    size = min(N, max(64, CHUNK_BYTES // (4 * V)) if on_cpu else max(1, CHUNK_ROWS // K))
    together = 1 if on_cpu else K
    buffer = h_KND.new_empty(together, size, V)
    for k in range(0, K, together):
        for start in range(0, N, size):
            rows = min(size, N - start)
            logits = buffer if rows == size else h_KND.new_empty(together, rows, V)
            yield slice(k, k + together), slice(start, start + rows), logits
