"""Alignment: how far a model treats two languages as one, in its hidden states, its gradients and its embeddings.

Source: "The Role of Language Imbalance in Cross-lingual Generalisation" (arXiv 2404.07982) and its released code: the
same text is read in both languages; compared are the residual stream behind every block, position by position, and the
gradients of the two losses, tensor by tensor. **Departures.** Hidden cosines are given mean-centred too: a common mean
makes the raw ones high where nothing is shared (0.8 at 50/50, where gradients agree by 0.07). Queries, keys and values
are one matrix of a proxy and are split, as are gate and up; a proxy has no biases. Matching of real parallel text is
optimal assignment (:func:`scipy.optimize.linear_sum_assignment`), the paper's maximum-weight matching.

States are read batch by batch and layer by layer on the device of the weights, and only sums are kept: what a probe
holds does not grow with the sentences.

Shape letters: B sentences, T positions, D width; a pair's two sides are read by the same weights (K = 1).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from glotmix.errors import BadInput
from glotmix.footprint import Footprint
from glotmix.proxy import flops, held, kernels, model
from glotmix.proxy.model import Parameters, Shape
from glotmix.proxy.stack import TOKENS_AT_ONCE

Sides = Iterable[tuple[Tensor, Tensor]]
"""Layer after layer the states of a batch of text and of the same in the other language, each [B, T, D] in fp64."""
Batches = Callable[[], Iterable[Sides]]
"""Reads all batches from the first on, each time that it is asked."""

EPSILON = 1e-12
SMALL = 20_000_000
"""Parameters below which a model is read with one thread."""


@dataclass(frozen=True)
class HiddenAlignment:
    """Cosines of hidden states of the same text in two languages, behind every block."""

    raw: tuple[float, ...]
    """Mean cosine of matched positions, as published."""
    centred: tuple[float, ...]
    """The same after each language's own mean state is taken off; zero for unrelated states."""
    retrieval: tuple[float, ...]
    """How often a sentence's nearest neighbour in the other language (centred mean state) is its own translation."""
    chance: float
    """Retrieval of a model that knows nothing: 1 / sentences."""


@dataclass(frozen=True)
class GradientAlignment:
    """Cosines of the gradients of the two losses on the same text."""

    mean: float
    """Unweighted mean over the tensors of the blocks (no embeddings), as published."""
    by_tensor: dict[str, float]
    """Tensor ("layers.0.v") to its cosine, a mean over sentences."""


@dataclass(frozen=True)
class EmbeddingAlignment:
    """Cosines of the embeddings of ids that are clones of each other."""

    pairs: float
    """Mean over clone pairs."""
    all: float
    """Mean over all pairs of one id of either language: what the common mean alone gives."""


@dataclass(frozen=True)
class Alignment:
    """What one checkpoint shows."""

    hidden: HiddenAlignment
    """By layer."""
    gradient: GradientAlignment
    """By tensor."""
    embedding: EmbeddingAlignment | None = None
    """Input embeddings; None for real languages, whose ids have no known partners."""
    output: EmbeddingAlignment | None = None
    """Rows of the output matrix; the same as the input's where they are tied."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        told: dict[str, Any] = dataclasses.asdict(self)
        return told


def _few_threads(parameters: Parameters) -> AbstractContextManager[None]:
    small = sum(tensor.numel() for tensor in parameters.values()) < SMALL
    return kernels.one_thread() if small else nullcontext()


@torch.no_grad()
def hidden_states(parameters: Parameters, tokens_BT: Tensor, shape: Shape) -> Iterator[Tensor]:
    """Residual stream behind every block, before the final norm: layer after layer, [B, T, D] in fp64."""
    B, T = tokens_BT.shape
    tables = shape.tables(T, tokens_BT.device)
    x_KND = kernels.embed(parameters["embedding"], tokens_BT.reshape(1, B * T))
    for i in range(shape.layers):
        x_KND = model.block(parameters, i, x_KND, B, tables, shape)
        yield x_KND.view(B, T, -1).double()


def hidden_alignment(batches: Batches) -> HiddenAlignment:
    """Alignment of clones: position t of a sentence is matched with position t of its clone.

    The text is read twice, since a mean must be known before it can be taken off; what is kept between batches are sums
    and one mean state of every sentence.
    """
    means = _means(batches)
    total_2L, positions = np.zeros((2, len(means))), 0
    for sides in batches():
        for i, (x_BTD, y_BTD) in enumerate(sides):
            pairs = ((x_BTD, y_BTD), (x_BTD - means[i].x_D, y_BTD - means[i].y_D))
            total_2L[:, i] += [float(_cosine(x, y).sum()) for x, y in pairs]
        positions += x_BTD.shape[0] * x_BTD.shape[1]
    raw_L, centred_L = total_2L / positions
    return _hidden(raw_L, centred_L, means)


def matched_alignment(batches: Batches) -> HiddenAlignment:
    """Alignment of real parallel sentences, whose positions have no known match; a batch is one pair.

    In every pair positions are matched so that the cosines, averaged over layers, add up to the most (one to one); then
    the cosines of the matched positions are averaged. A matching finds the largest among many, so even unrelated states
    score above zero: compare with pairs that are no translations.
    """
    means = _means(batches)
    total_2L, count = np.zeros((2, len(means))), 0
    for sides in batches():
        found: tuple[list[Tensor], list[Tensor]] = ([], [])
        for mean, (x_BTD, y_BTD) in zip(means, sides, strict=True):
            found[0].append(_cosines(x_BTD[0], y_BTD[0]))
            found[1].append(_cosines(x_BTD[0] - mean.x_D, y_BTD[0] - mean.y_D))
        for k, cosines in enumerate(found):
            cosine_LTS = torch.stack(cosines).cpu().numpy()
            rows, columns = linear_sum_assignment(-cosine_LTS.mean(0))
            total_2L[k] += cosine_LTS[:, rows, columns].mean(1)
        count += 1
    raw_L, centred_L = total_2L / count
    return _hidden(raw_L, centred_L, means)


@dataclass
class _Means:
    """What a first reading tells of one layer; x is one side, y the other."""

    x_D: Tensor
    """Mean state over all positions."""
    y_D: Tensor
    x_BD: list[Tensor]
    """Mean state of every sentence."""
    y_BD: list[Tensor]


def _means(batches: Batches) -> list[_Means]:
    means: list[_Means] = []
    positions = [0, 0]
    for sides in batches():
        for i, (x_BTD, y_BTD) in enumerate(sides):
            if i == len(means):
                means.append(_Means(torch.zeros_like(x_BTD[0, 0]), torch.zeros_like(y_BTD[0, 0]), [], []))
            means[i].x_D += x_BTD.sum((0, 1))
            means[i].y_D += y_BTD.sum((0, 1))
            means[i].x_BD.append(x_BTD.mean(1))
            means[i].y_BD.append(y_BTD.mean(1))
        positions = [n + z.shape[0] * z.shape[1] for n, z in zip(positions, (x_BTD, y_BTD), strict=True)]
    for mean in means:
        mean.x_D /= positions[0]
        mean.y_D /= positions[1]
    return means


def _hidden(raw_L: np.ndarray, centred_L: np.ndarray, means: Sequence[_Means]) -> HiddenAlignment:
    sentences = [(torch.cat(one.x_BD) - one.x_D, torch.cat(one.y_BD) - one.y_D) for one in means]
    retrieval = tuple(retrieved(x_BD.cpu().numpy(), y_BD.cpu().numpy()) for x_BD, y_BD in sentences)
    return HiddenAlignment(tuple(raw_L.tolist()), tuple(centred_L.tolist()), retrieval, 1 / len(sentences[0][0]))


def retrieved(x_BD: np.ndarray, y_BD: np.ndarray) -> float:
    """Share of sentences whose nearest neighbour by cosine is their translation, both ways."""
    cosine_BB = _cosines(torch.from_numpy(x_BD), torch.from_numpy(y_BD)).numpy()
    own = np.arange(len(cosine_BB))
    return float(((cosine_BB.argmax(1) == own).mean() + (cosine_BB.argmax(0) == own).mean()) / 2)


def gradient_alignment(parameters: Parameters, tokens_BS: Tensor, others_BS: Tensor, shape: Shape) -> GradientAlignment:
    """Cosine of the gradients of a sentence in one language and in the other, a mean over sentences.

    Args:
        parameters: K = 1.
        tokens_BS: sentences of T + 1 tokens.
        others_BS: the same sentences in the other language.
    """
    leaves = {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}
    total: dict[str, float] = {}
    for one_S, other_S in zip(tokens_BS, others_BS, strict=True):
        g, h = (_gradients(leaves, side, shape) for side in (one_S, other_S))
        for name in g:
            total[name] = total.get(name, 0.0) + float(_cosine(*(one[name].double().flatten() for one in (g, h))))
    by_tensor = {name: value / len(tokens_BS) for name, value in total.items()}
    return GradientAlignment(float(np.mean(list(by_tensor.values()))), by_tensor)


def embedding_alignment(embedding_VD: Tensor, one: np.ndarray, other: np.ndarray) -> EmbeddingAlignment:
    """Cosine of the embeddings of ids and their clones, beside that of all pairs.

    Args:
        embedding_VD: rows are ids.
        one: ids of one language that are not shared.
        other: their clones.
    """
    if not len(one):
        return EmbeddingAlignment(1.0, 1.0)
    rows_VD = embedding_VD.detach()
    places = (torch.from_numpy(ids.astype(np.int64)).to(rows_VD.device) for ids in (one, other))
    x_VD, y_VD = (_units(rows_VD[ids].double()) for ids in places)
    # The mean cosine of all pairs is the product of the mean directions.
    return EmbeddingAlignment(float((x_VD * y_VD).sum(-1).mean()), float(x_VD.mean(0) @ y_VD.mean(0)))


def align(
    parameters: Parameters, shape: Shape, tokens_BS: np.ndarray, map_V: np.ndarray, other_map_V: np.ndarray
) -> Alignment:
    """Everything about two clones at one checkpoint.

    Args:
        parameters: K = 1.
        shape: of the proxy.
        tokens_BS: sentences of T + 1 ids of the text.
        map_V: from the text's ids to those of one clone.
        other_map_V: to those of the other.

    Raises:
        BadInput: sentences longer than the context, or none.
    """
    if not len(tokens_BS) or tokens_BS.shape[1] > shape.context + 1:
        raise BadInput(f"sentences of shape {tokens_BS.shape}", expected=f"some, of at most {shape.context + 1} ids")
    device = parameters["embedding"].device
    maps = np.asarray(map_V), np.asarray(other_map_V)
    one_BS, other_BS = (torch.from_numpy(m[tokens_BS].astype(np.int64)).to(device) for m in maps)
    seen = np.unique(tokens_BS)
    apart = seen[maps[0][seen] != maps[1][seen]]
    ids = maps[0][apart], maps[1][apart]
    together = max(1, TOKENS_AT_ONCE[device.type == "cpu"] // one_BS.shape[1])

    def batches() -> Iterator[Sides]:
        for sides in zip(one_BS[:, :-1].split(together), other_BS[:, :-1].split(together), strict=True):
            yield _read(parameters, sides, shape)

    with _few_threads(parameters):
        return Alignment(
            hidden_alignment(batches),
            gradient_alignment(parameters, one_BS, other_BS, shape),
            embedding_alignment(parameters["embedding"][0], *ids),
            embedding_alignment(model.output_matrix(parameters)[0], *ids),
        )


def _read(parameters: Parameters, sides: Sequence[Tensor], shape: Shape) -> Sides:
    one, other = (hidden_states(parameters, tokens_BT, shape) for tokens_BT in sides)
    return zip(one, other, strict=True)


def align_pairs(parameters: Parameters, shape: Shape, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Alignment:
    """Everything about two real languages at one checkpoint, from texts and their translations.

    Args:
        parameters: K = 1.
        shape: of the proxy.
        pairs: ids of a text and of its translation, each at most a context long.

    Raises:
        BadInput: no pairs.
    """
    if not pairs:
        raise BadInput("no text with its translation", where="probe", expected="documents that share their id")
    device = parameters["embedding"].device
    sides = [[torch.from_numpy(np.asarray(side).astype(np.int64))[None].to(device) for side in pair] for pair in pairs]
    with _few_threads(parameters):
        hidden = matched_alignment(lambda: (_read(parameters, pair, shape) for pair in sides))
        found = [gradient_alignment(parameters, one, other, shape) for one, other in sides]
    by_tensor = {name: float(np.mean([one.by_tensor[name] for one in found])) for name in found[0].by_tensor}
    gradient = GradientAlignment(float(np.mean([one.mean for one in found])), by_tensor)
    return Alignment(hidden, gradient)


def _gradients(leaves: Parameters, tokens_S: Tensor, shape: Shape) -> dict[str, Tensor]:
    """Gradient of every tensor of the blocks, fused matrices split."""
    blocks = {name: tensor for name, tensor in leaves.items() if name.startswith("layers.")}
    loss_K = model.loss(leaves, tokens_S.view(1, 1, -1), shape)
    found: dict[str, Tensor] = {}
    for name, gradient in zip(blocks, torch.autograd.grad(loss_K.sum(), list(blocks.values())), strict=True):
        layer, _, tensor = name.rpartition(".")
        parts = {"qkv": ("q", "k", "v"), "gate_up": ("gate", "up")}.get(tensor, (tensor,))
        for part, piece in zip(parts, gradient[0].chunk(len(parts), -1), strict=True):
            found[f"{layer}.{part}"] = piece
    return found


def _cosine(x: Tensor, y: Tensor) -> Tensor:
    """Along the last axis; zero where one is zero."""
    norms = torch.linalg.vector_norm(x, dim=-1) * torch.linalg.vector_norm(y, dim=-1)
    cosine: Tensor = (x * y).sum(-1) / norms.clamp_min(EPSILON)
    return cosine


def _cosines(x_ND: Tensor, y_MD: Tensor) -> Tensor:
    """Of every row of one with every row of the other, [N, M]."""
    return _units(x_ND) @ _units(y_MD).T


def _units(x_ND: Tensor) -> Tensor:
    """Rows of length 1; zero stays zero."""
    length: Tensor = torch.linalg.vector_norm(x_ND, dim=-1, keepdim=True)
    return x_ND / length.clamp_min(EPSILON)


def footprint(stage: str, shape: Shape, sentences: int, checkpoints: int) -> Footprint:
    """What :func:`align` holds on a GPU at one checkpoint, and computes at all of them.

    Args:
        stage: what it is called.
        shape: of the proxy; sentences are as long as its context.
        sentences: of either side.
        checkpoints: that are read.
    """
    together = min(sentences, max(1, TOKENS_AT_ONCE[False] // shape.context))
    N, width, weights = together * shape.context, shape.width, 4 * shape.parameters
    forward = sum(flops.forward_per_token(shape, shape.context).values())
    tokens = sentences * shape.context
    computed = checkpoints * tokens * 2 * (2 * forward + flops.per_token(shape, shape.context))
    means = 2 * 8 * shape.layers * sentences * width
    smaller = "fewer probe.sentences"
    states = Footprint(
        stage,
        weights=weights,
        activations=4 * N * (4 * shape.feed_forward + 9 * width),  # one block of one side, the other's last state
        kept=5 * 8 * N * width + means,  # a layer's two sides in fp64, both centred, and the next one's first
        flops=computed,
        smaller=smaller,
    )
    gradients = Footprint(
        stage,
        weights=weights,
        gradients=2 * weights + 2 * 8 * width * 2 * shape.feed_forward,  # both sides', the largest tensor in fp64
        activations=held.of_proxy(shape, 1, shape.context),
        logits=3 * 4 * min(shape.context, kernels.CHUNK_ROWS) * shape.vocab,
        kept=means,
        flops=computed,
        smaller=smaller,
    )
    return max(states, gradients, key=lambda one: one.bytes)
