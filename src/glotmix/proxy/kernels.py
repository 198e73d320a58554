"""The operations a proxy spends its time in, written for small models: few passes over memory, own backwards.

What each replaces and what it gained is in docs/engine.md.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK_BYTES = 2 << 20
"""Logits held at a time: they are written, turned into their gradient and used up while still in the cache."""
SMALLEST_PROBABILITY = 1e-38
"""A token less probable than fp32 can tell counts 87.5 nats rather than infinitely many."""


def embed(embedding_KVD: Tensor, tokens_KN: Tensor) -> Tensor:
    """Rows of each model's own embedding, [K, N, D]."""
    K, V, D = embedding_KVD.shape
    if K == 1:
        return torch.nn.functional.embedding(tokens_KN, embedding_KVD[0])
    offset = torch.arange(K, device=tokens_KN.device).unsqueeze(1) * V
    return torch.nn.functional.embedding(tokens_KN + offset, embedding_KVD.reshape(K * V, D))


def rms_norm(x: Tensor, epsilon: float) -> Tensor:
    """x / √(mean(x²) + ε) over the last dimension, without gain."""
    return torch.nn.functional.rms_norm(x, x.shape[-1:], eps=epsilon)


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) · up for the two halves of the last dimension (Shazeer 2020, arXiv 2002.05202)."""
    gate, up = gate_up.chunk(2, -1)
    return torch.nn.functional.silu(gate) * up


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions on [..., T, H, W], the two halves of a head as real and imaginary part (Llama's convention)."""
    a, b = x.chunk(2, -1)
    cos, sin = cos.to(x.dtype).unsqueeze(-2), sin.to(x.dtype).unsqueeze(-2)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def attention(qkv: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Causal attention of [K, B, T, 3, H, W] with rotary positions, to [K, B, T, H·W]."""
    K, B, T, _, H, W = qkv.shape
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
        K, N, _ = h_KND.shape
        grad_h, grad_matrix = torch.empty_like(h_KND), torch.zeros_like(matrix_KVD)
        loss_KN = torch.empty(K, N, dtype=torch.float32, device=h_KND.device)
        for part in _chunks(h_KND, matrix_KVD):
            h, target = h_KND[:, part], targets_KN[:, part].unsqueeze(-1)
            p = torch.softmax(torch.bmm(h, matrix_KVD.transpose(1, 2)).float(), -1)
            loss_KN[:, part] = p.gather(-1, target).squeeze(-1)
            p.scatter_add_(-1, target, torch.full_like(target, -1, dtype=p.dtype))  # d loss / d logits = p - 1{target}
            p = p.to(h.dtype)
            grad_h[:, part] = torch.bmm(p, matrix_KVD)
            grad_matrix.baddbmm_(p.transpose(1, 2), h)
        ctx.save_for_backward(grad_h, grad_matrix)
        return loss_KN.clamp_(min=SMALLEST_PROBABILITY).log_().neg_().mean(1)

    @staticmethod
    def backward(ctx: Any, grad_K: Tensor) -> tuple[Tensor, Tensor, None]:
        grad_h, grad_matrix = ctx.saved_tensors
        scale = (grad_K / grad_h.shape[1]).view(-1, 1, 1).to(grad_h.dtype)
        return grad_h.mul_(scale), grad_matrix.mul_(scale), None


def cross_entropy(h_KND: Tensor, matrix_KVD: Tensor, targets_KN: Tensor) -> Tensor:
    """Mean over N of -log softmax(h Wᵀ)[target] in nats, [K]."""
    return _CrossEntropy.apply(h_KND, matrix_KVD, targets_KN)


def token_cross_entropy(h_KND: Tensor, matrix_KVD: Tensor, targets_KN: Tensor) -> Tensor:
    """-log softmax(h Wᵀ)[target] in nats for every position, [K, N]; no gradient."""
    loss_KN = torch.empty(targets_KN.shape, dtype=torch.float32, device=h_KND.device)
    for part in _chunks(h_KND, matrix_KVD):
        logits = torch.bmm(h_KND[:, part], matrix_KVD.transpose(1, 2)).float()
        target = targets_KN[:, part].unsqueeze(-1)
        loss_KN[:, part] = torch.logsumexp(logits, -1) - logits.gather(-1, target).squeeze(-1)
    return loss_KN


def _chunks(h_KND: Tensor, matrix_KVD: Tensor) -> list[slice]:
    K, V, _ = matrix_KVD.shape
    size = max(16, CHUNK_BYTES // (4 * K * V)) if h_KND.device.type == "cpu" else 4096
    return [slice(i, i + size) for i in range(0, h_KND.shape[1], size)]
