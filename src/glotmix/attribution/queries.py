"""Test samples' gradients, ready to be multiplied with any number of training batches.

Shape letters as in :mod:`glotmix.attribution.factors`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from glotmix.attribution.factors import (
    BLOCK,
    Entries,
    Factor,
    Gradient,
    Outer,
    Rows,
    Whole,
    Workspace,
    joined,
    squares,
    summed,
    total,
)

PAIRS = 1 << 22
"""Pairs of positions in the ghost form held at once."""


class Queries(ABC):
    """The test samples' gradients of some parameters, ready to be multiplied with any number of training batches."""

    square_norm_Q: Tensor
    """``‖g_q‖²`` over these parameters, in fp64."""

    @abstractmethod
    def products(self, training: Mapping[str, Gradient]) -> tuple[Tensor, Tensor]:
        """``⟨g_q, g_b⟩`` [Q, B] and ``‖g_b‖²`` [B] of a training batch over these parameters, in fp64."""


def queries_of(gradients: Mapping[str, Gradient]) -> list[Queries]:
    """The test samples' gradients in the cheapest form for each parameter, chosen once.

    By the multiplications that a training sample will cost: gradients that exist, O·I for each query and T·O·I to
    build; ghost products, T²(O + I) for each query. A table that is only looked up keeps the rows that queries use.
    Vectors (norms, biases) are multiplied all at once.
    """
    found: list[Queries] = []
    workspace = Workspace()
    small = {name: g for name, g in gradients.items() if all(isinstance(f, Whole) for f in g.factors)}
    if small:
        found.append(TogetherQueries(small))
    for name, gradient in gradients.items():
        if name in small:
            continue
        if gradient.only_rows:
            found.append(TableQueries(name, gradient))
        elif ghost_is_cheaper(gradient):
            found.append(GhostQueries(name, gradient))
        else:
            found.append(DenseQueries(name, gradient, workspace))
    return found


def ghost_is_cheaper(gradient: Gradient) -> bool:
    """Whether products of factors need fewer multiplications than gradients that are built."""
    if any(isinstance(factor, Whole) for factor in gradient.factors):
        return False
    (rows, columns), T = gradient.size, gradient.positions
    dense = rows * columns * (1 + T / gradient.samples)
    return T * T * (rows + columns) * len(gradient.factors) ** 2 < dense


class DenseQueries(Queries):
    """Gradients of one matrix that exist."""

    def __init__(self, name: str, gradient: Gradient, workspace: Workspace):
        self.name, self.dense_QP, self.workspace = name, gradient.dense(), workspace
        self.square_norm_Q = _block_squares(self.dense_QP)

    def products(self, training: Mapping[str, Gradient]) -> tuple[Tensor, Tensor]:
        Q, gradient = len(self.dense_QP), training[self.name]
        B, device = gradient.samples, self.dense_QP.device
        dot_QB = torch.zeros(Q, B, dtype=torch.float64, device=device)
        square_B = torch.zeros(B, dtype=torch.float64, device=device)
        for columns, block_BP in gradient.blocks(self.workspace):
            dot_QB += self.dense_QP[:, columns] @ block_BP.T
            square_B += squares(block_BP)
        return dot_QB, square_B


class TogetherQueries(Queries):
    """Gradients of small parameters, side by side: one product for all of them."""

    def __init__(self, gradients: Mapping[str, Gradient]):
        self.names = tuple(gradients)
        self.dense_QP = self._together(gradients)
        self.square_norm_Q = _block_squares(self.dense_QP)

    def _together(self, gradients: Mapping[str, Gradient]) -> Tensor:
        return torch.cat([gradients[name].dense() for name in self.names], 1)

    def products(self, training: Mapping[str, Gradient]) -> tuple[Tensor, Tensor]:
        value_BP = self._together(training)
        both = zip(self.dense_QP.split(BLOCK, 1), value_BP.split(BLOCK, 1), strict=True)
        dot_QB = total([(q @ b.T).double() for q, b in both])
        return dot_QB, _block_squares(value_BP)


class GhostQueries(Queries):
    """Factors of one matrix, multiplied without any gradient."""

    def __init__(self, name: str, gradient: Gradient):
        self.name, self.factors = name, gradient.factors
        self.square_norm_Q = gradient.square_norms()

    def products(self, training: Mapping[str, Gradient]) -> tuple[Tensor, Tensor]:
        gradient = training[self.name]
        dot_QB = total([_ghost(mine, other) for mine in self.factors for other in gradient.factors])
        return dot_QB, gradient.square_norms()


class TableQueries(Queries):
    """Rows of a table that is only looked up: those that many queries use as a matrix, the others joined row by row."""

    COMMON = 8
    """A row is common that one query in so many uses; that bounds the matrix by the positions of these."""

    def __init__(self, name: str, gradient: Gradient):
        self.name, self.size, self.Q = name, gradient.size, gradient.samples
        entries = Entries.of(joined(gradient.factors), self.size[0])
        self.square_norm_Q = entries.square_norms(self.Q)
        used_U, count_U = torch.unique(entries.row_K, return_counts=True)
        self.common_C = used_U[count_U >= max(2, self.Q / self.COMMON)]
        self.dense_QP = self._matrix(entries, self.Q)
        rare = _place(self.common_C, entries.row_K) < 0
        order = torch.argsort(entries.row_K[rare], stable=True)
        self.rare = Entries(*(t[rare][order] for t in (entries.sample_K, entries.row_K, entries.value_KI)))

    def _matrix(self, entries: Entries, samples: int) -> Tensor:
        """Gradients of the common rows, [samples, C·I]."""
        table = torch.zeros(samples, len(self.common_C), self.size[1], device=entries.value_KI.device)
        place = _place(self.common_C, entries.row_K)
        there = place >= 0
        table[entries.sample_K[there], place[there]] = entries.value_KI[there]
        return table.flatten(1)

    def products(self, training: Mapping[str, Gradient]) -> tuple[Tensor, Tensor]:
        gradient = training[self.name]
        B = gradient.samples
        entries = Entries.of(joined(gradient.factors), self.size[0])
        dot_QB = torch.zeros(self.Q, B, dtype=torch.float64, device=self.dense_QP.device)
        if self.dense_QP.shape[1]:
            matrix_BP = self._matrix(entries, B)
            for q, b in zip(self.dense_QP.split(BLOCK, 1), matrix_BP.split(BLOCK, 1), strict=True):
                dot_QB += q @ b.T
        self._join(entries, dot_QB)
        return dot_QB, entries.square_norms(B)

    def _join(self, entries: Entries, dot_QB: Tensor) -> None:
        """Adds the products of the rare rows: every pair of a training and a query entry of the same row."""
        first_K = torch.searchsorted(self.rare.row_K, entries.row_K)
        count_K = torch.searchsorted(self.rare.row_K, entries.row_K, right=True) - first_K
        B, most = dot_QB.shape[1], max(1, PAIRS // self.size[1])
        end_K = count_K.cumsum(0)
        start, pairs = 0, int(end_K[-1]) if len(end_K) else 0
        done = 0
        while done < pairs:
            stop = max(start + 1, int(torch.searchsorted(end_K, done + most, right=True)))
            some = slice(start, stop)
            mine = torch.repeat_interleave(torch.arange(start, stop, device=end_K.device), count_K[some])
            offset = torch.arange(len(mine), device=end_K.device) - (end_K[mine] - count_K[mine] - done)
            theirs = first_K[mine] + offset
            value = torch.linalg.vecdot(entries.value_KI[mine], self.rare.value_KI[theirs]).double()
            dot_QB.view(-1).index_add_(0, self.rare.sample_K[theirs] * B + entries.sample_K[mine], value)
            start, done = stop, int(end_K[stop - 1])


def _place(sorted_C: Tensor, row_K: Tensor) -> Tensor:
    """Place of every row among sorted ones, -1 where it is not there."""
    if not len(sorted_C):
        return torch.full_like(row_K, -1)
    place = torch.searchsorted(sorted_C, row_K).clamp_(max=len(sorted_C) - 1)
    return torch.where(sorted_C[place] == row_K, place, -1)


def _block_squares(value_BP: Tensor) -> Tensor:
    return total([squares(block) for block in value_BP.split(BLOCK, 1)])


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
        parts.append(summed(pairs.view(-1, T, B, S), (1, 3)))
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
