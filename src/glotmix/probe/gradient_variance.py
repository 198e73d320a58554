"""Gradient variance: what sampling, weighting and anything between do to the noise of a stochastic gradient.

A single-sequence gradient drawn by sampling language l with probability ``q_l`` and weighting its loss by ``w_l`` has

    E g = Σ q_l w_l μ_l        E‖g‖² = Σ q_l w_l² G_l        tr Cov g = Σ q_l w_l² G_l - ‖Σ q_l w_l μ_l‖²

with the languages' mean gradients ``μ_l`` and second moments ``G_l = E‖g_l‖²``. All forms of one target mixture
``p_l = q_l w_l`` share the mean, so weighting is noisier than sampling the target by ``Σ p_l (w_l - 1) G_l``.
Li et al. ("Upsample or Upweight?", arXiv 2410.04579, Theorem 2) prove that this is never negative; their proof takes
one ``‖∇L‖²`` out of the sum, that is, equal ``G_l``. Only then are the second moments in the ratio
``F = Σ p_l² / q_l = 1 + χ²``. In general the sign turns where the languages that are weighted down have much the larger
gradients. So the ``G_l`` are measured here, without bias: from per-sequence square norms (by their factors, "ghost"
norms, for any model) and from inner products of *different* sequences' gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from glotmix.attribution.gradients import Loss, PerSampleGradients
from glotmix.errors import BadInput
from glotmix.estimate import student
from glotmix.footprint import Footprint
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.weighting import Weighting
from glotmix.proxy import flops, held, kernels
from glotmix.proxy import model as proxies
from glotmix.proxy.model import Parameters, Shape
from glotmix.proxy.pairs import Targets

BLOCKS = 16
"""Parts of the sequences that the jackknife leaves out in turn."""

COLUMNS = 1 << 18
"""Entries of the gradients that are multiplied at once, in fp64."""
TOGETHER = 4
"""Sequences that go through side by side, each in a copy of the model."""

Gradients = Callable[[Any], tuple[Tensor, Tensor]]
"""A batch to the sum of its sequences' gradients, [P], and their square norms, [B]."""


@dataclass(frozen=True)
class Measured:
    """A number with its 95 % interval."""

    value: float
    """The estimate."""
    low: float
    """Lower end; NaN where nothing was repeated."""
    high: float
    """Upper end."""

    def holds(self, value: float) -> bool:
        """Whether a value lies in the interval."""
        return self.low <= value <= self.high


def of_model(model: nn.Module, loss: Loss) -> Gradients:
    """Gradients of any torch model, its sequences' norms from the factors of the backward pass.

    Args:
        loss: losses of a batch's samples, [B] (:func:`glotmix.attribution.samples.next_token_loss`).
    """
    gradients = PerSampleGradients(model, loss)

    def of(batch: Any) -> tuple[Tensor, Tensor]:
        found = gradients(batch)
        square_B = sum((gradient.square_norms() for gradient in found.values()), start=torch.zeros(()))
        total = [block.sum(0) for gradient in found.values() for _, block in gradient.blocks()]
        return torch.cat(total), square_B

    return of


def of_proxy(parameters: Parameters, shape: Shape, targets: Targets | None = None) -> Gradients:
    """Gradients of a proxy (K = 1): each sequence in a copy of its own, as one stack.

    Takes token ids [B, T + 1]; the loss is the mean over a sequence's tokens, or that of a pair.
    """

    def of(tokens_BS: Tensor) -> tuple[Tensor, Tensor]:
        B = len(tokens_BS)
        copies = {
            name: tensor.detach().expand(B, *tensor.shape[1:]).contiguous().requires_grad_()
            for name, tensor in parameters.items()
        }
        tokens_BKS = tokens_BS.unsqueeze(1)
        if targets is None:
            loss_B = proxies.loss(copies, tokens_BKS, shape)
        else:
            loss_B, _ = proxies.weighted_loss(copies, tokens_BKS, targets.weights(tokens_BKS), shape)
        found = torch.autograd.grad(loss_B.sum(), list(copies.values()))
        gradient_BP = torch.cat([gradient.flatten(1).float() for gradient in found], 1)
        return gradient_BP.sum(0), gradient_BP.double().square().sum(1)

    return of


class _Sum:
    """Sum of gradients."""

    def __init__(self) -> None:
        self._sum_P: Tensor | None = None

    def add(self, gradients: Gradients, batches: Sequence[Any]) -> tuple[float, int]:
        """Add those of batches; their summed square norms, and how many they are."""
        square, count = 0.0, 0
        for batch in batches:
            sum_P, square_N = gradients(batch)
            self._sum_P = sum_P.detach().clone() if self._sum_P is None else self._sum_P.add_(sum_P.detach())
            square, count = square + float(square_N.sum()), count + square_N.numel()
        return square, count

    @property
    def vector(self) -> Tensor:
        """The sum, [P]."""
        assert self._sum_P is not None
        return self._sum_P


class Sums:
    """Sums of drawn gradients in blocks, for the jackknife of their variance."""

    def __init__(self, blocks: int = BLOCKS):
        self.square_B, self.count_B = np.zeros(blocks), np.zeros(blocks)
        self._sums: list[Tensor | None] = [None] * blocks

    def add(self, block: int, sum_P: Tensor, square_N: Tensor) -> None:
        """Add N gradients, as their sum and their square norms, to a block."""
        mine = self._sums[block]
        self._sums[block] = sum_P.detach().clone() if mine is None else mine.add_(sum_P.detach())
        self.square_B[block] += float(square_N.sum())
        self.count_B[block] += square_N.numel()

    def vectors(self) -> list[Tensor]:
        """The blocks' sums, [P] each."""
        filled = next((one for one in self._sums if one is not None), None)
        if filled is None:
            raise BadInput("no gradients were added")
        return [torch.zeros_like(filled) if one is None else one for one in self._sums]


@dataclass(frozen=True)
class Moments:
    """First and second moments of the languages' single-sequence gradients, with their jackknife replicates.

    Row 0 is from all sequences, row 1 + b from all but block b.
    """

    languages: tuple[str, ...]
    """Languages."""
    G_RL: np.ndarray
    """``E‖g_l‖²``, [1 + blocks, L]."""
    product_RLL: np.ndarray
    """``⟨μ_l, μ_m⟩``, from pairs of different sequences and so without bias, [1 + blocks, L, L]."""

    @classmethod
    def measure(cls, gradients: Gradients, batches: Mapping[str, Sequence[Any]], *, blocks: int = BLOCKS) -> Moments:
        """Moments from batches of each language's sequences.

        Every gradient is computed twice, and kept are two vectors of the model's size for every language: the blocks of
        four languages, in the vocabulary of mT5, would be 71 GB.

        Args:
            gradients: :func:`of_proxy` or :func:`of_model`.
            batches: language to batches; dealt to the blocks in turn, so at least as many as blocks.

        Raises:
            BadInput: fewer batches than blocks.
        """
        for language, given in batches.items():
            if len(given) < blocks:
                raise BadInput(f"{len(given)} batches of {language}", expected=f"at least {blocks}, one for each block")
        L, dealt = len(batches), [[given[b::blocks] for b in range(blocks)] for given in batches.values()]
        square_LB, count_LB = np.zeros((L, blocks)), np.zeros((L, blocks))
        totals: list[Tensor] = []
        for place, parts in enumerate(dealt):
            whole = _Sum()
            for b, part in enumerate(parts):
                square_LB[place, b], count_LB[place, b] = whole.add(gradients, part)
            totals.append(whole.vector)
        # Without block b: (S_l - s_lb)(S_m - s_mb), for which a block's sums are made again, one block at a time.
        whole_RLL = np.empty((1 + blocks, L, L))
        whole_RLL[0] = _products(totals, totals)
        for b in range(blocks):
            some = [_Sum() for _ in dealt]
            for one, parts in zip(some, dealt, strict=True):
                one.add(gradients, parts[b])
            vectors = [one.vector for one in some]
            cross_LL = _products(vectors, totals)
            whole_RLL[1 + b] = whole_RLL[0] - cross_LL - cross_LL.T + _products(vectors, vectors)
        keep_RB = np.vstack([np.ones(blocks), 1 - np.eye(blocks)])
        square_RL, count_RL = keep_RB @ square_LB.T, keep_RB @ count_LB.T
        own = np.eye(L)
        whole_RLL -= own * square_RL[:, :, None]
        pairs_RLL = count_RL[:, :, None] * count_RL[:, None, :] - own * count_RL[:, :, None]
        return cls(tuple(batches), square_RL / count_RL, whole_RLL / pairs_RLL)

    def G(self, language: str) -> Measured:  # noqa: N802 — the papers' symbol
        """Second moment of a language's single-sequence gradients."""
        return jackknifed(self.G_RL[:, self.languages.index(language)])

    def variance(self, sampled: Mixture, weights: Mapping[str, float] | None = None, batch: int = 1) -> Measured:
        """``tr Cov`` of the mean gradient of ``batch`` sequences drawn from ``sampled``, each weighted."""
        return jackknifed(self._variance(sampled, weights) / batch)

    def variance_ratio(self, sampled: Mixture, target: Mixture) -> Measured:
        """Variance of weighting ``sampled`` up to ``target`` over that of sampling ``target``.

        Below 1 weighting is the quieter. The same for every batch size of independent sequences.
        """
        weights = Weighting.between(sampled, target)
        return jackknifed(self._variance(sampled, weights) / self._variance(target, None), log=True)

    def second_moment_ratio(self, sampled: Mixture, target: Mixture) -> Measured:
        """``E‖g‖²`` of weighting over that of sampling: ``Σ p_l w_l G_l / Σ p_l G_l``; F where all G are equal."""
        weights = Weighting.between(sampled, target)
        above_R, below_R = self._second(sampled, weights), self._second(target, None)
        return jackknifed(above_R / below_R, log=True)

    def excess(self, sampled: Mixture, target: Mixture) -> Measured:
        """``Σ p_l (w_l - 1) G_l``: above zero sampling is the quieter form, below zero weighting is."""
        weights = Weighting.between(sampled, target)
        return jackknifed(self._second(sampled, weights) - self._second(target, None))

    def to_json(self) -> dict[str, Any]:
        """A plain dict; everything can be computed again from it."""
        return {
            "languages": list(self.languages),
            "G": self.G_RL.tolist(),
            "products": self.product_RLL.tolist(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Moments:
        """Read what :meth:`to_json` wrote."""
        return cls(tuple(value["languages"]), np.array(value["G"]), np.array(value["products"]))

    def _second(self, sampled: Mixture, weights: Mapping[str, float] | None) -> np.ndarray:
        q_L, w_L = self._vectors(sampled, weights)
        return np.asarray(self.G_RL @ (q_L * w_L**2))

    def _variance(self, sampled: Mixture, weights: Mapping[str, float] | None) -> np.ndarray:
        q_L, w_L = self._vectors(sampled, weights)
        p_L = q_L * w_L
        return np.asarray(self._second(sampled, weights) - np.einsum("l,rlm,m->r", p_L, self.product_RLL, p_L))

    def _vectors(self, sampled: Mixture, weights: Mapping[str, float] | None) -> tuple[np.ndarray, np.ndarray]:
        if unknown := [name for name in sampled.support if name not in self.languages]:
            raise BadInput(f"no gradients of {', '.join(unknown)}", expected=f"among {', '.join(self.languages)}")
        w_L = [1.0 if weights is None else weights[name] for name in self.languages]
        return sampled.vector(self.languages), np.array(w_L)


def drawn_variance(sums: Sums) -> Measured:
    """Unbiased ``tr Cov`` of gradients that were drawn as a trainer draws them, added one (batch) at a time."""
    return jackknifed(_variance_of(sums))


def drawn_ratio(one: Sums, other: Sums) -> Measured:
    """Variance of one set of drawn gradients over that of another, drawn independently of it."""
    logs = [_log_spread(_variance_of(sums)) for sums in (one, other)]
    value, freedom = logs[0][0] - logs[1][0], min(len(one.count_B), len(other.count_B)) - 1
    half = student(freedom) * math.hypot(logs[0][1], logs[1][1])
    return Measured(math.exp(value), math.exp(value - half), math.exp(value + half))


def jackknifed(value_R: np.ndarray, *, log: bool = False) -> Measured:
    """The first of the values, with a t interval from the others, each without one block; ratios on the logarithm."""
    if log:
        value, error = _log_spread(value_R)
    else:
        value, error = float(value_R[0]), _error(value_R)
    half = student(len(value_R) - 2) * error if len(value_R) > 2 else math.nan
    low, high = value - half, value + half
    return Measured(math.exp(value), math.exp(low), math.exp(high)) if log else Measured(value, low, high)


def _log_spread(value_R: np.ndarray) -> tuple[float, float]:
    if (value_R <= 0).any():
        return (math.log(value_R[0]) if value_R[0] > 0 else math.nan), math.nan
    return float(np.log(value_R[0])), _error(np.log(value_R))


def _error(value_R: np.ndarray) -> float:
    """Standard error by the jackknife (Tukey 1958)."""
    without_B = value_R[1:]
    B = len(without_B)
    return math.sqrt((B - 1) / B * float(((without_B - without_B.mean()) ** 2).sum())) if B > 1 else math.nan


def _variance_of(sums: Sums) -> np.ndarray:
    """``(Σ‖g‖² - ‖Σg‖² / n) / (n - 1)`` of all draws, and without each block."""
    vectors = sums.vectors()
    gram_BB = _products(vectors, vectors)
    keep_RB = np.vstack([np.ones(len(gram_BB)), 1 - np.eye(len(gram_BB))])
    n_R, square_R = keep_RB @ sums.count_B, keep_RB @ sums.square_B
    return np.asarray((square_R - np.einsum("rb,bc,rc->r", keep_RB, gram_BB, keep_RB) / n_R) / (n_R - 1))


def _products(one: Sequence[Tensor], other: Sequence[Tensor]) -> np.ndarray:
    """Inner products of vectors [P], in fp64 by blocks of their entries."""
    total = torch.zeros(len(one), len(other), dtype=torch.float64, device=one[0].device)
    for start in range(0, len(one[0]), COLUMNS):
        rows, columns = (
            torch.stack([vector[start : start + COLUMNS].double() for vector in side]) for side in (one, other)
        )
        total += rows @ columns.T
    found: np.ndarray = total.cpu().numpy()
    return found


def footprint(stage: str, shape: Shape, languages: int, sequences: int) -> Footprint:
    """What :class:`Moments` of a proxy's gradients hold, and compute: of every language two sums, its own and that of
    the block that is left out.

    Args:
        stage: what it is called.
        shape: of the proxy; sequences are as long as its context.
        languages: that are told apart.
        sequences: of each.
    """
    P, together = shape.parameters, min(TOGETHER, sequences)
    return Footprint(
        stage,
        weights=4 * P * (1 + together),
        gradients=4 * P * together * 2 + 8 * P * together,  # by tensor, in a row, and in fp64
        activations=together * held.of_proxy(shape, 1, shape.context),
        logits=3 * 4 * min(together * shape.context, kernels.CHUNK_ROWS) * shape.vocab,
        kept=4 * P * (2 * languages - 1),  # the last sum begins with a gradient
        flops=2 * languages * sequences * shape.context * flops.per_token(shape, shape.context),
        smaller="probe.sequences: 0, or a smaller vocabulary or proxy",
    )
