"""Per-sample gradients of one parameter, kept as the factors that backpropagation makes them from.

A linear layer's gradient for one sample is ``Σ_t δ_t ⊗ a_t`` (inputs a, gradients of the outputs δ, positions t); an
embedding's is a row δ_t for every token. So products of gradients need no gradient to exist: ``⟨g, g'⟩ =
Σ_t Σ_s (a_t·a'_s)(δ_t·δ'_s)``, the ghost form (Goodfellow 2015, arXiv 1510.01799; Wang et al. 2024, arXiv 2406.11011).
Where positions are many and matrices small, building the gradients of a batch is cheaper; both forms are exact.

Shape letters here: B samples of a batch, Q test samples (queries), T positions, I and O a matrix's columns and rows
(its inputs and outputs), U rows of an embedding that the queries use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 1 << 16
"""Entries of a gradient multiplied at once. Sums of blocks are kept in fp64: one fp32 product over millions of
aligned entries is off by 1e-4 and more, one over a block by 1e-7."""
PAIRS = 1 << 22
"""Pairs of positions in the ghost form held at once."""


@dataclass(frozen=True)
class Outer:
    """``Σ_t left_t ⊗ right_t``, a matrix [O, I] per sample."""

    left_BTO: Tensor
    """Gradients of a linear layer's outputs."""
    right_BTI: Tensor
    """Its inputs."""


@dataclass(frozen=True)
class Rows:
    """``Σ_t e(row_t) ⊗ value_t``: rows of a table [O, I]; a row that occurs twice gets both values."""

    row_BT: Tensor
    """Row indices; a negative one stands for no row (padding)."""
    value_BTI: Tensor
    """Gradients of the looked-up rows."""


@dataclass(frozen=True)
class Whole:
    """The gradient itself, for parameters that are small: norms, biases."""

    value_BI: Tensor
    """One flattened gradient per sample."""


Factor = Outer | Rows | Whole


@dataclass(frozen=True)
class Gradient:
    """A batch of per-sample gradients of one parameter: the sum of its factors.

    A parameter used twice (a tied embedding, a shared layer) has several factors, so their cross terms are counted.
    """

    size: tuple[int, int]
    """Rows and columns (O, I) of the parameter; a vector is one row."""
    factors: tuple[Factor, ...]
    """What is summed."""

    @property
    def samples(self) -> int:
        """B."""
        first = self.factors[0]
        return len(
            first.left_BTO
            if isinstance(first, Outer)
            else first.value_BTI
            if isinstance(first, Rows)
            else first.value_BI
        )

    @property
    def positions(self) -> int:
        """T, the most positions of any factor."""
        return max(
            1 if isinstance(f, Whole) else (f.left_BTO if isinstance(f, Outer) else f.value_BTI).shape[1]
            for f in self.factors
        )

    @property
    def only_rows(self) -> bool:
        """Whether this is an embedding used as nothing else."""
        return all(isinstance(factor, Rows) for factor in self.factors)

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Which columns of the flattened gradients, and these columns [B, ...] in fp32, a block at a time."""
        rows, columns = self.size
        if any(isinstance(factor, Whole) for factor in self.factors):
            whole_BP = sum(_whole(factor, self.size) for factor in self.factors)
            assert isinstance(whole_BP, Tensor)
            for start in range(0, rows * columns, BLOCK):
                yield slice(start, start + BLOCK), whole_BP[:, start : start + BLOCK]
            return
        step = max(1, BLOCK // columns)
        for start in range(0, rows, step):
            stop = min(rows, start + step)
            block = sum(_block(factor, start, stop) for factor in self.factors)
            assert isinstance(block, Tensor)
            yield slice(start * columns, stop * columns), block

    def dense(self) -> Tensor:
        """All gradients, flattened: [B, O·I]."""
        return torch.cat([block for _, block in self.blocks()], 1)

    def square_norms(self) -> Tensor:
        """``‖g‖²`` of every sample, [B] in fp64."""
        if self.only_rows:
            return _row_norms(_joined(self.factors))
        return sum((_sum(block.square(), 1) for _, block in self.blocks()), start=torch.zeros((), dtype=torch.float64))


def _sum(values: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    return values.sum(dim, dtype=torch.float32).double()


def _whole(factor: Factor, size: tuple[int, int]) -> Tensor:
    return factor.value_BI.float() if isinstance(factor, Whole) else _block(factor, 0, size[0])


def _block(factor: Factor, start: int, stop: int) -> Tensor:
    """Rows start to stop of a factor's matrices, flattened, [B, (stop - start)·I]."""
    if isinstance(factor, Outer):
        left_BOT = factor.left_BTO[:, :, start:stop].transpose(1, 2).float()
        return torch.bmm(left_BOT, factor.right_BTI.float()).flatten(1)
    assert isinstance(factor, Rows)
    B, _, columns = factor.value_BTI.shape
    inside = (factor.row_BT >= start) & (factor.row_BT < stop)
    sample, position = inside.nonzero(as_tuple=True)
    table = torch.zeros(B * (stop - start), columns, device=factor.value_BTI.device)
    place = sample * (stop - start) + factor.row_BT[sample, position] - start
    table.index_add_(0, place, factor.value_BTI[sample, position].float())
    return table.view(B, -1)


def _joined(factors: Sequence[Factor]) -> Rows:
    """Lookups of one table as one lookup of all their rows."""
    rows = [factor for factor in factors if isinstance(factor, Rows)]
    return Rows(torch.cat([f.row_BT for f in rows], 1), torch.cat([f.value_BTI for f in rows], 1))


def _row_norms(rows: Rows) -> Tensor:
    """Square norms with repeated rows added up first; work and memory by positions, not by the table's rows."""
    B, _, columns = rows.value_BTI.shape
    sample, position = (rows.row_BT >= 0).nonzero(as_tuple=True)
    height = int(rows.row_BT.max()) + 1 if rows.row_BT.numel() else 1
    key, place = torch.unique(sample * max(1, height) + rows.row_BT[sample, position], return_inverse=True)
    summed = torch.zeros(len(key), columns, device=rows.value_BTI.device)
    summed.index_add_(0, place, rows.value_BTI[sample, position].float())
    total = torch.zeros(B, dtype=torch.float64, device=summed.device)
    return total.index_add_(0, key // max(1, height), _sum(summed.square(), 1))


class Queries:
    """The test samples' gradients of one parameter, ready to be multiplied with any number of training batches.

    The form is chosen once, by the multiplications a training sample will cost: gradients that exist, O·I for each
    query and T·O·I to build; ghost products, T²(O + I) for each query. An embedding keeps the rows that queries use.
    """

    def __init__(self, gradient: Gradient):
        self.size, self.samples = gradient.size, gradient.samples
        self.square_norm_Q = gradient.square_norms()
        self.used_U: Tensor | None = None
        self.factors: tuple[Factor, ...] = ()
        self.dense_QP: Tensor | None = None
        if gradient.only_rows:
            rows = _joined(gradient.factors)
            self.used_U = torch.unique(rows.row_BT[rows.row_BT >= 0])
            gradient = Gradient((len(self.used_U), self.size[1]), (self._renumbered(rows),))
        if self._ghost_is_cheaper(gradient):
            self.factors = gradient.factors
        else:
            self.dense_QP = gradient.dense()

    @staticmethod
    def _ghost_is_cheaper(gradient: Gradient) -> bool:
        if any(isinstance(factor, Whole) for factor in gradient.factors):
            return False
        (rows, columns), T = gradient.size, gradient.positions
        build = 0 if gradient.only_rows else T * rows * columns / gradient.samples
        ghost = T * T * (columns if gradient.only_rows else rows + columns) * len(gradient.factors) ** 2
        return ghost < rows * columns + build

    def _renumbered(self, rows: Rows) -> Rows:
        """Rows numbered among those that queries use; all others are none."""
        assert self.used_U is not None
        if not len(self.used_U):
            return Rows(torch.full_like(rows.row_BT, -1), rows.value_BTI)
        place = torch.searchsorted(self.used_U, rows.row_BT).clamp_(max=len(self.used_U) - 1)
        return Rows(torch.where(self.used_U[place] == rows.row_BT, place, -1), rows.value_BTI)

    def products(self, training: Gradient) -> tuple[Tensor, Tensor]:
        """``⟨g_q, g_b⟩`` [Q, B] and ``‖g_b‖²`` [B] of a training batch, in fp64."""
        zeros = torch.zeros(self.samples, training.samples, dtype=torch.float64, device=self.square_norm_Q.device)
        square_B = None
        if self.used_U is not None:
            square_B = training.square_norms()
            training = Gradient((len(self.used_U), self.size[1]), (self._renumbered(_joined(training.factors)),))
        if self.dense_QP is None:
            for mine in self.factors:
                for other in training.factors:
                    zeros += _ghost(mine, other)
            return zeros, training.square_norms() if square_B is None else square_B
        norms = torch.zeros(training.samples, dtype=torch.float64, device=zeros.device)
        for columns, block_BP in training.blocks():
            zeros += (self.dense_QP[:, columns] @ block_BP.T).double()
            if square_B is None:
                norms += _sum(block_BP.square(), 1)
        return zeros, norms if square_B is None else square_B


def _ghost(one: Factor, other: Factor) -> Tensor:
    """``Σ_t Σ_s (right_t·right'_s)(left_t·left'_s)`` for all pairs of samples, [Q, B] in fp64."""
    right_one, right_other = _right(one), _right(other)
    Q, T, _ = right_one.shape
    B, S, _ = right_other.shape
    at_once = max(1, PAIRS // max(1, T * B * S))
    parts = []
    for start in range(0, Q, at_once):
        some = slice(start, start + at_once)
        pairs = right_one[some].float().flatten(0, 1) @ right_other.float().flatten(0, 1).T
        pairs *= _left_products(one, other, some)
        parts.append(_sum(pairs.view(-1, T, B, S), (1, 3)))
    return torch.cat(parts)


def _right(factor: Factor) -> Tensor:
    assert not isinstance(factor, Whole)
    return factor.right_BTI if isinstance(factor, Outer) else factor.value_BTI


def _left_products(one: Factor, other: Factor, some: slice) -> Tensor:
    """``left_t · left'_s`` [(q t), (b s)], where a lookup's left side is a unit vector."""
    if isinstance(one, Outer) and isinstance(other, Outer):
        return one.left_BTO[some].float().flatten(0, 1) @ other.left_BTO.float().flatten(0, 1).T
    if isinstance(one, Rows) and isinstance(other, Rows):
        mine, theirs = one.row_BT[some].flatten(), other.row_BT.flatten()
        return ((mine[:, None] == theirs[None, :]) & (mine >= 0)[:, None]).float()
    if isinstance(one, Rows) and isinstance(other, Outer):
        return _picked(other.left_BTO.flatten(0, 1), one.row_BT[some].flatten()).T
    assert isinstance(one, Outer)
    assert isinstance(other, Rows)
    return _picked(one.left_BTO[some].flatten(0, 1), other.row_BT.flatten())


def _picked(left_NO: Tensor, rows: Tensor) -> Tensor:
    return left_NO.float()[:, rows.clamp(min=0)] * (rows >= 0)
