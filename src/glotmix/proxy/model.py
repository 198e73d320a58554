"""A compact Llama-style decoder whose parameters carry a leading stack dimension K.

RMSNorm, rotary positions, SwiGLU, no biases (Touvron et al. 2023, arXiv 2302.13971). Functions instead of modules: a
model is a dict of tensors, each ``[K, ...]``, so that K proxies run as one batched program; K = 1 is the plain case.
Matrices are stored ``[K, in, out]``; queries, keys and values are one matrix, gate and up another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from glotmix.errors import BadInput
from glotmix.proxy import kernels
from glotmix.proxy.config import ProxyConfig

Parameters = Mapping[str, Tensor]

ROPE_BASE = 10_000.0
NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class Shape:
    """What decides the size of a proxy; proxies of one shape can be stacked."""

    width: int
    """Model width d."""
    layers: int
    """Transformer blocks."""
    heads: int
    """Attention heads."""
    feed_forward: int
    """Inner width of the SwiGLU layer."""
    vocab: int
    """Vocabulary V."""
    tied: bool = True
    """Whether the output matrix is the input embedding."""
    context: int = 128
    """Longest sequence T."""
    kv_heads: int | None = None
    """Heads of keys and values, each shared by as many heads of queries (Ainslie et al. 2023); None for one each."""
    head_size: int | None = None
    """Width of an attention head, where it is not the width by the heads."""
    rope_base: float = ROPE_BASE
    """Base of the rotary frequencies."""
    rope_scaling: tuple[float, float, float, float] | None = None
    """Llama 3.1's stretching of low frequencies: factor, low and high frequency factor, original context."""
    epsilon: float = NORM_EPSILON
    """ε of the norms."""
    biases: bool = False
    """Whether queries, keys and values have biases (Qwen 2)."""
    head_norms: bool = False
    """Whether queries and keys are normalised head by head (Qwen 3)."""

    def __post_init__(self) -> None:
        if self.rope_scaling is not None:
            object.__setattr__(self, "rope_scaling", tuple(self.rope_scaling))  # a list, where it was JSON
        if self.head_size is None and self.width % (2 * self.heads):
            raise BadInput(f"width {self.width} is no multiple of twice the heads ({self.heads})")
        if self.head_width % 2 or self.heads % self.groups:
            raise BadInput(f"{self.heads} heads of {self.head_width} over {self.groups} heads of keys and values")

    @classmethod
    def of(cls, proxy: ProxyConfig, vocab: int) -> Shape:
        """The shape that a study's ``proxy`` section asks for; the SwiGLU width defaults to 8/3 d, up to 16s."""
        feed_forward = proxy.feed_forward or 16 * math.ceil(proxy.width * 8 / 3 / 16)
        own: dict[str, Any] = {} if proxy.architecture is None else proxy.architecture.model_dump()
        rows = own.pop("vocabulary", None) or vocab
        if rows < vocab:
            raise BadInput(
                f"the tokenizer has {vocab} ids, the model that proxies start from {rows}",
                where="tokens.tokenizer",
                expected="the tokenizer of that model",
            )
        return cls(proxy.width, proxy.layers, proxy.heads, feed_forward, rows, proxy.tied, proxy.context, **own)

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.head_size or self.width // self.heads

    @property
    def groups(self) -> int:
        """Heads of keys and values."""
        return self.kv_heads or self.heads

    @property
    def query_width(self) -> int:
        """Width of all queries of a token together."""
        return self.heads * self.head_width

    @property
    def qkv_width(self) -> int:
        """Width of its queries, keys and values together."""
        return (self.heads + 2 * self.groups) * self.head_width

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Name to shape (without K) of every parameter: matrices first, then the vectors of the norms."""
        d, f = self.width, self.feed_forward
        matrices: dict[str, tuple[int, ...]] = {"embedding": (self.vocab, d)}
        vectors: dict[str, tuple[int, ...]] = {}
        for i in range(self.layers):
            matrices |= {
                f"layers.{i}.qkv": (d, self.qkv_width),
                f"layers.{i}.out": (self.query_width, d),
                f"layers.{i}.gate_up": (d, 2 * f),
                f"layers.{i}.down": (f, d),
            }
            vectors |= {f"layers.{i}.attention_norm": (d,), f"layers.{i}.feed_forward_norm": (d,)}
            if self.biases:
                vectors[f"layers.{i}.qkv_bias"] = (self.qkv_width,)
            if self.head_norms:
                vectors |= {f"layers.{i}.{name}_norm": (self.head_width,) for name in ("query", "key")}
        if not self.tied:
            matrices["head"] = (self.vocab, d)
        return matrices | vectors | {"norm": (d,)}

    @property
    def is_plain(self) -> bool:
        """Whether queries, keys and values have as many heads each, and nothing between product and attention."""
        return self.groups == self.heads and not self.biases and not self.head_norms

    def tables(self, T: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """:func:`rotary` of its heads."""
        return rotary(T, self.head_width, device, base=self.rope_base, scaling=self.rope_scaling)

    @property
    def parameters(self) -> int:
        """All parameters of one model."""
        return sum(math.prod(size) for size in self.tensors().values())

    @property
    def N(self) -> int:  # noqa: N802 — the papers' symbol
        """Parameters without the embedding (and without the output matrix)."""
        embeddings = self.vocab * self.width * (1 if self.tied else 2)
        return self.parameters - embeddings


def init_parameters(shape: Shape, seeds_K: Sequence[int]) -> dict[str, Tensor]:
    """Initial parameters, model k drawn from ``seeds_K[k]`` alone, so a stack starts as its members would apart.

    Normal with standard deviation √(2 / 5d) (Nguyen & Salazar 2019), the projections back into the residual stream
    2 / (layers √d) (Wang & Komatsuzaki, GPT-J), the embedding 0.02; norms are ones.
    """
    deviation = math.sqrt(2 / (5 * shape.width))
    into_residual = min(deviation, 2 / (shape.layers * math.sqrt(shape.width)))
    deviations = {"embedding": 0.02, "head": 0.02, "out": into_residual, "down": into_residual}
    parameters = {name: torch.empty(len(seeds_K), *size) for name, size in shape.tensors().items()}
    for k, seed in enumerate(seeds_K):
        generator = torch.Generator().manual_seed(seed)
        for name, tensor in parameters.items():
            if name.endswith(("norm", "bias")):
                tensor[k].fill_(1.0 if name.endswith("norm") else 0.0)
            else:
                tensor[k].normal_(0, deviations.get(name.rpartition(".")[2], deviation), generator=generator)
    return parameters


def rotary(
    T: int,
    head_width: int,
    device: torch.device | str = "cpu",
    *,
    base: float = ROPE_BASE,
    scaling: tuple[float, float, float, float] | None = None,
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of rotary positions, each [T, head_width / 2], in fp32.

    With ``scaling`` low frequencies are divided by a factor, high ones kept, and those between blended (Llama 3.1).
    """
    frequency = base ** (-torch.arange(0, head_width, 2, device=device, dtype=torch.float64) / head_width)
    if scaling is not None:
        factor, low, high, context = scaling
        turns = context * frequency / (2 * math.pi)  # of a frequency over the original context
        kept = ((turns - low) / (high - low)).clamp(0, 1)
        frequency = kept * frequency + (1 - kept) * frequency / factor
    angle = torch.outer(torch.arange(T, device=device, dtype=torch.float64), frequency)
    return angle.cos().float(), angle.sin().float()


def block(
    parameters: Parameters, i: int, x_KND: Tensor, batch: int, tables: tuple[Tensor, Tensor], shape: Shape
) -> Tensor:
    """Residual stream behind transformer block i, [K, B·T, D]."""
    K, layer = x_KND.shape[0], f"layers.{i}."
    h_KND = kernels.rms_norm(x_KND, shape.epsilon)
    qkv = torch.bmm(h_KND, scaled(parameters, layer + "qkv", layer + "attention_norm"))
    if shape.is_plain:
        qkv = qkv.view(K, batch, -1, 3, shape.heads, shape.head_width)
    else:
        qkv = _heads(parameters, layer, qkv, batch, shape)
    a_KND = kernels.attention(qkv, *tables).view(K, -1, shape.query_width)
    x_KND = torch.baddbmm(x_KND, a_KND, parameters[layer + "out"])
    h_KND = kernels.rms_norm(x_KND, shape.epsilon)
    gate_up = torch.bmm(h_KND, scaled(parameters, layer + "gate_up", layer + "feed_forward_norm"))
    return torch.baddbmm(x_KND, kernels.swiglu(gate_up), parameters[layer + "down"])


def _heads(parameters: Parameters, layer: str, qkv: Tensor, batch: int, shape: Shape) -> Tensor:
    """Queries, keys and values [K, B, T, 3, H, W] of models whose keys are shared, or that have biases or norms."""
    K, H, G, W = qkv.shape[0], shape.heads, shape.groups, shape.head_width
    if shape.biases:
        qkv = qkv + parameters[layer + "qkv_bias"].unsqueeze(1)
    q, k, v = qkv.view(K, batch, -1, H + 2 * G, W).split([H, G, G], -2)
    if shape.head_norms:
        gains = (parameters[f"{layer}{name}_norm"].view(K, 1, 1, 1, W) for name in ("query", "key"))
        q, k = (kernels.rms_norm(x.contiguous(), shape.epsilon) * gain for x, gain in zip((q, k), gains, strict=True))
    k, v = (x.repeat_interleave(H // G, -2) for x in (k, v))
    return torch.stack([q, k, v], 3)


def hidden(parameters: Parameters, tokens_KBT: Tensor, shape: Shape, recompute: bool = False) -> Tensor:
    """Final hidden states after the last norm, [K, B·T, D].

    With ``recompute`` a block keeps its input only and is computed again in the backward pass.
    """
    K, B, T = tokens_KBT.shape
    tables = shape.tables(T, tokens_KBT.device)
    x_KND = kernels.embed(parameters["embedding"], tokens_KBT.reshape(K, B * T))
    for i in range(shape.layers):
        if recompute:
            x_KND = checkpoint(block, parameters, i, x_KND, B, tables, shape, use_reentrant=False)
        else:
            x_KND = block(parameters, i, x_KND, B, tables, shape)
    return kernels.rms_norm(x_KND, shape.epsilon) * parameters["norm"].unsqueeze(1)


def scaled(parameters: Parameters, matrix: str, norm: str) -> Tensor:
    """The matrix behind a norm with the norm's gain folded in: (h ∘ g) W = h (diag(g) W).

    The matrix is far smaller than the activations, so this saves a pass over them forward and two backward.
    """
    return parameters[matrix] * parameters[norm].unsqueeze(-1)


def output_matrix(parameters: Parameters) -> Tensor:
    """[K, V, D]: the embedding when tied."""
    return parameters.get("head", parameters["embedding"])


def logits(parameters: Parameters, tokens_KBT: Tensor, shape: Shape) -> Tensor:
    """Next-token logits, [K, B, T, V]."""
    K, B, T = tokens_KBT.shape
    h_KND = hidden(parameters, tokens_KBT, shape)
    return torch.bmm(h_KND, output_matrix(parameters).transpose(1, 2)).view(K, B, T, shape.vocab)


def token_losses(parameters: Parameters, tokens_KBS: Tensor, shape: Shape) -> Tensor:
    """Cross-entropy of every next token in nats, [K, B, T], for sequences of S = T + 1 tokens; no gradient."""
    K, B, S = tokens_KBS.shape
    h_KND = hidden(parameters, tokens_KBS[..., :-1], shape)
    targets_KN = tokens_KBS[..., 1:].reshape(K, -1)
    return kernels.token_cross_entropy(h_KND, output_matrix(parameters), targets_KN).view(K, B, S - 1)


def loss(parameters: Parameters, tokens_KBS: Tensor, shape: Shape, recompute: bool = False) -> Tensor:
    """Mean cross-entropy in nats per token of each model, [K], for sequences of S = T + 1 tokens."""
    h_KND = hidden(parameters, tokens_KBS[..., :-1], shape, recompute)
    targets_KN = tokens_KBS[..., 1:].reshape(tokens_KBS.shape[0], -1)
    return kernels.cross_entropy(h_KND, output_matrix(parameters), targets_KN)


def weighted_loss(
    parameters: Parameters, tokens_KBS: Tensor, weight: Tensor, shape: Shape, recompute: bool = False
) -> tuple[Tensor, Tensor]:
    """Mean over tokens of the loss times its weight, [K], and every token's own loss, [K, B, T].

    Weights are those of sequences, [K, B], or of tokens, [K, B, T]. Only the first result has a gradient. All weights
    one give :func:`loss`.
    """
    K, B, S = tokens_KBS.shape
    h_KND = hidden(parameters, tokens_KBS[..., :-1], shape, recompute)
    targets_KN = tokens_KBS[..., 1:].reshape(K, -1)
    weight_KN = weight.repeat_interleave(S - 1, dim=1) if weight.dim() == 2 else weight.reshape(K, -1)
    weighted_K, loss_KN = kernels.weighted_cross_entropy(h_KND, output_matrix(parameters), targets_KN, weight_KN)
    return weighted_K, loss_KN.view(K, B, S - 1)
