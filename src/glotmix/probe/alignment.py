"""Alignment: how far a model treats two languages as one, in its hidden states, its gradients and its embeddings.

Source: "The Role of Language Imbalance in Cross-lingual Generalisation" (arXiv 2404.07982) and its released code: the
same text is read in both languages; compared are the residual stream behind every block, position by position, and the
gradients of the two losses, tensor by tensor. **Departures.** Hidden cosines are given mean-centred too: a common mean
makes the raw ones high where nothing is shared (0.8 at 50/50, where gradients agree by 0.07). Queries, keys and values
are one matrix of a proxy and are split, as are gate and up; a proxy has no biases. Matching of real parallel text is
optimal assignment (:func:`scipy.optimize.linear_sum_assignment`), the paper's maximum-weight matching.

Shape letters: B sentences, T positions, D width; a pair's two sides are read by the same weights (K = 1).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from glotmix.errors import BadInput
from glotmix.proxy import kernels, model
from glotmix.proxy.model import Parameters, Shape

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
def hidden_states(parameters: Parameters, tokens_BT: Tensor, shape: Shape) -> list[np.ndarray]:
    """Residual stream behind every block, before the final norm: layers × [B, T, D]."""
    B, T = tokens_BT.shape
    tables = model.rotary(T, shape.head_width, tokens_BT.device)
    x_KND = kernels.embed(parameters["embedding"], tokens_BT.reshape(1, B * T))
    states = []
    for i in range(shape.layers):
        x_KND = model.block(parameters, i, x_KND, B, tables, shape)
        states.append(x_KND.view(B, T, -1).double().cpu().numpy())
    return states


def hidden_alignment(states: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> HiddenAlignment:
    """Alignment of clones: position t of a sentence is matched with position t of its clone.

    Args:
        states: of the text in one language, layers × [B, T, D].
        others: of the same text in the other.
    """
    raw, centred, retrieval = [], [], []
    for x_BTD, y_BTD in zip(states, others, strict=True):
        raw.append(float(_cosine(x_BTD, y_BTD).mean()))
        x_BTD, y_BTD = x_BTD - x_BTD.mean((0, 1)), y_BTD - y_BTD.mean((0, 1))
        centred.append(float(_cosine(x_BTD, y_BTD).mean()))
        retrieval.append(retrieved(x_BTD.mean(1), y_BTD.mean(1)))
    return HiddenAlignment(tuple(raw), tuple(centred), tuple(retrieval), 1 / len(states[0]))


def matched_alignment(
    pairs: Iterable[tuple[Sequence[np.ndarray], Sequence[np.ndarray]]],
) -> HiddenAlignment:
    """Alignment of real parallel sentences, whose positions have no known match.

    In every pair positions are matched so that the cosines, averaged over layers, add up to the most (one to one); then
    the cosines of the matched positions are averaged. A matching finds the largest among many, so even unrelated states
    score above zero: compare with pairs that are no translations.

    Args:
        pairs: of sentences, each side layers × [T, D]; the sides may differ in T.
    """
    pairs = [([np.asarray(x) for x in one], [np.asarray(y) for y in other]) for one, other in pairs]
    layers = len(pairs[0][0])
    mean_x = [np.concatenate([one[i] for one, _ in pairs]).mean(0) for i in range(layers)]
    mean_y = [np.concatenate([other[i] for _, other in pairs]).mean(0) for i in range(layers)]
    raw_PL, centred_PL = np.zeros((len(pairs), layers)), np.zeros((len(pairs), layers))
    for p, (one, other) in enumerate(pairs):
        raw_LTS = np.stack([_cosines(x, y) for x, y in zip(one, other, strict=True)])
        centred_LTS = np.stack([_cosines(one[i] - mean_x[i], other[i] - mean_y[i]) for i in range(layers)])
        for cosine_LTS, into in ((raw_LTS, raw_PL), (centred_LTS, centred_PL)):
            rows, columns = linear_sum_assignment(-cosine_LTS.mean(0))
            into[p] = cosine_LTS[:, rows, columns].mean(1)
    retrieval = [
        retrieved(
            np.stack([one[i].mean(0) - mean_x[i] for one, _ in pairs]),
            np.stack([other[i].mean(0) - mean_y[i] for _, other in pairs]),
        )
        for i in range(layers)
    ]
    return HiddenAlignment(tuple(raw_PL.mean(0)), tuple(centred_PL.mean(0)), tuple(retrieval), 1 / len(pairs))


def retrieved(x_BD: np.ndarray, y_BD: np.ndarray) -> float:
    """Share of sentences whose nearest neighbour by cosine is their translation, both ways."""
    cosine_BB = _cosines(x_BD, y_BD)
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
            total[name] = total.get(name, 0.0) + float(_cosine(g[name], h[name]))
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
    rows = embedding_VD.detach().double().cpu().numpy()
    cosine = _cosines(rows[one], rows[other])
    return EmbeddingAlignment(float(np.diagonal(cosine).mean()), float(cosine.mean()))


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
    apart = seen[np.asarray(map_V)[seen] != np.asarray(other_map_V)[seen]]
    ids = np.asarray(map_V)[apart], np.asarray(other_map_V)[apart]
    with _few_threads(parameters):
        states = hidden_states(parameters, one_BS[:, :-1], shape), hidden_states(parameters, other_BS[:, :-1], shape)
        return Alignment(
            hidden_alignment(*states),
            gradient_alignment(parameters, one_BS, other_BS, shape),
            embedding_alignment(parameters["embedding"][0], *ids),
            embedding_alignment(model.output_matrix(parameters)[0], *ids),
        )


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
        states = [[[h[0] for h in hidden_states(parameters, side, shape)] for side in pair] for pair in sides]
        found = [gradient_alignment(parameters, one, other, shape) for one, other in sides]
    by_tensor = {name: float(np.mean([one.by_tensor[name] for one in found])) for name in found[0].by_tensor}
    gradient = GradientAlignment(float(np.mean([one.mean for one in found])), by_tensor)
    return Alignment(matched_alignment([(one, other) for one, other in states]), gradient)


def _gradients(leaves: Parameters, tokens_S: Tensor, shape: Shape) -> dict[str, np.ndarray]:
    """Flat gradient of every tensor of the blocks, fused matrices split."""
    blocks = {name: tensor for name, tensor in leaves.items() if name.startswith("layers.")}
    loss_K = model.loss(leaves, tokens_S.view(1, 1, -1), shape)
    found: dict[str, np.ndarray] = {}
    for name, gradient in zip(blocks, torch.autograd.grad(loss_K.sum(), list(blocks.values())), strict=True):
        layer, _, tensor = name.rpartition(".")
        parts = {"qkv": ("q", "k", "v"), "gate_up": ("gate", "up")}.get(tensor, (tensor,))
        for part, piece in zip(parts, gradient[0].chunk(len(parts), -1), strict=True):
            found[f"{layer}.{part}"] = piece.double().flatten().cpu().numpy()
    return found


def _cosine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Along the last axis; zero where one is zero."""
    norms = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    return np.asarray((x * y).sum(-1) / np.maximum(norms, EPSILON))


def _cosines(x_ND: np.ndarray, y_MD: np.ndarray) -> np.ndarray:
    """Of every row of one with every row of the other, [N, M]."""
    x, y = (a / np.maximum(np.linalg.norm(a, axis=-1, keepdims=True), EPSILON) for a in (x_ND, y_MD))
    return np.asarray(x @ y.T)
