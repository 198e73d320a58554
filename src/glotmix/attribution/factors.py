"""Per-sample gradients of one parameter, kept as the factors that backpropagation makes them from.

A linear layer's gradient for one sample is ``Σ_t δ_t ⊗ a_t`` (inputs a, gradients of the outputs δ, positions t); an
embedding's is a row δ_t for every token. So products of gradients need no gradient to exist: ``⟨g, g'⟩ =
Σ_t Σ_s (a_t·a'_s)(δ_t·δ'_s)``, the ghost form (Goodfellow 2015, arXiv 1510.01799; Wang et al. 2024, arXiv 2406.11011).
Where positions are many and matrices small, building the gradients of a batch is cheaper; both forms are exact.

Shape letters here: B samples of a batch, Q test samples (queries), T positions, I and O a matrix's columns and rows
(its inputs and outputs), U rows of an embedding that the queries use, G groups of samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

BLOCK = 1 << 14
"""Entries of a gradient multiplied at once: so few that a batch's block stays in the processor's cache. Blocks are
summed in fp64: one fp32 product over millions of aligned entries is off by 1e-4 and more, over a block by 1e-6."""
LONGEST = 4 * BLOCK
"""Entries at once in small batches, whose blocks fit the cache all the same."""
CACHED = 64 * BLOCK
"""Entries of all samples' blocks together that stay in the cache."""


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

    def blocks(self, workspace: Workspace | None = None) -> Iterator[tuple[slice, Tensor]]:
        """Which columns of the flattened gradients, and these columns [B, ...] in fp32, a block at a time.

        With a ``workspace`` a block lies there and is gone with the next one.
        """
        rows, columns = self.size
        if any(isinstance(factor, Whole) for factor in self.factors):
            whole_BP = total([_whole(factor, self.size) for factor in self.factors])
            for start in range(0, rows * columns, BLOCK):
                yield slice(start, start + BLOCK), whole_BP[:, start : start + BLOCK]
            return
        step = max(1, min(LONGEST, max(BLOCK, CACHED // self.samples)) // columns)
        for start in range(0, rows, step):
            stop = min(rows, start + step)
            place = slice(start * columns, stop * columns)
            if workspace is not None and len(self.factors) == 1 and isinstance(self.factors[0], Outer):
                yield place, _outer(self.factors[0], start, stop, workspace)
            else:
                yield place, total([_block(factor, start, stop) for factor in self.factors])

    def dense(self) -> Tensor:
        """All gradients, flattened: [B, O·I]."""
        return total([_whole(factor, self.size) for factor in self.factors])

    def square_norms(self) -> Tensor:
        """``‖g‖²`` of every sample, [B] in fp64."""
        if self.only_rows:
            return Entries.of(joined(self.factors), self.size[0]).square_norms(self.samples)
        if self._ghost_norms_are_cheaper:
            return ghost_norms(self.factors[0])
        return total([squares(block) for _, block in self.blocks()])

    @property
    def _ghost_norms_are_cheaper(self) -> bool:
        (rows, columns), one = self.size, len(self.factors) == 1 and isinstance(self.factors[0], Outer)
        return one and self.positions * (rows + columns) < rows * columns


class Workspace:
    """Memory that blocks are built in one after the other: fresh memory costs a page fault every 4 KiB."""

    def __init__(self) -> None:
        self._flat = torch.empty(0)

    def take(self, like: Tensor, *size: int) -> Tensor:
        """Uninitialised memory of a size, on the device of ``like``."""
        count = math.prod(size)
        if self._flat.numel() < count or self._flat.device != like.device:
            self._flat = torch.empty(count, device=like.device)
        return self._flat[:count].view(size)


def total(tensors: Sequence[Tensor]) -> Tensor:
    """Their sum; one alone is not touched (a pass over memory saved)."""
    first, *others = tensors
    return sum(others, start=first)


def summed(values: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """Sums over dimensions, short enough for fp32, as fp64."""
    return values.sum(dim, dtype=torch.float32).double()


def _whole(factor: Factor, size: tuple[int, int]) -> Tensor:
    return factor.value_BI.float() if isinstance(factor, Whole) else _block(factor, 0, size[0])


def _outer(factor: Outer, start: int, stop: int, workspace: Workspace) -> Tensor:
    left_BOT = factor.left_BTO[:, :, start:stop].transpose(1, 2).float()
    right_BTI = factor.right_BTI.float()
    out = workspace.take(left_BOT, len(left_BOT), stop - start, right_BTI.shape[2])
    return torch.bmm(left_BOT, right_BTI, out=out).flatten(1)


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


def joined(factors: Sequence[Factor]) -> Rows:
    """Lookups of one table as one lookup of all their rows."""
    rows = [factor for factor in factors if isinstance(factor, Rows)]
    if len(rows) == 1:
        return rows[0]
    return Rows(torch.cat([f.row_BT for f in rows], 1), torch.cat([f.value_BTI for f in rows], 1))


@dataclass(frozen=True)
class Entries:
    """The rows of a table's gradients that are not zero, K of them, by sample and row."""

    sample_K: Tensor
    """Which sample."""
    row_K: Tensor
    """Which row; no sample has a row twice."""
    value_KI: Tensor
    """The gradient of the row, in fp32."""

    @classmethod
    def of(cls, rows: Rows, height: int) -> Entries:
        """Repeated rows added up: work and memory by positions, not by the table's ``height``."""
        sample, position = (rows.row_BT >= 0).nonzero(as_tuple=True)
        key_K, place = torch.unique(sample * height + rows.row_BT[sample, position], return_inverse=True)
        value_KI = torch.zeros(len(key_K), rows.value_BTI.shape[-1], device=rows.value_BTI.device)
        value_KI.index_add_(0, place, rows.value_BTI[sample, position].float())
        return cls(key_K // height, key_K % height, value_KI)

    def square_norms(self, samples: int) -> Tensor:
        """``‖g‖²`` of every sample, [B] in fp64."""
        total_B = torch.zeros(samples, dtype=torch.float64, device=self.value_KI.device)
        return total_B.index_add_(0, self.sample_K, squares(self.value_KI))


def by_group(factor: Factor, size: tuple[int, int], group_B: Tensor, groups: int) -> Tensor:
    """A batch's gradients added up by group, [groups, O·I] in fp32; no gradient of a sample is built."""
    if isinstance(factor, Whole):
        sum_GP = torch.zeros(groups, factor.value_BI.shape[1], device=group_B.device)
        return sum_GP.index_add_(0, group_B, factor.value_BI.float())
    if isinstance(factor, Rows):
        there = factor.row_BT >= 0
        sum_GP = torch.zeros(groups * size[0], size[1], device=group_B.device)
        place_BT = factor.row_BT + size[0] * group_B[:, None]
        return sum_GP.index_add_(0, place_BT[there], factor.value_BTI[there].float()).view(groups, -1)
    sum_GP = torch.zeros(groups, size[0] * size[1], device=group_B.device)
    for g in torch.unique(group_B).tolist():
        mine = group_B == g
        left_NO, right_NI = (side[mine].flatten(0, 1).float() for side in (factor.left_BTO, factor.right_BTI))
        torch.mm(left_NO.T, right_NI, out=sum_GP[g].view(size))
    return sum_GP


def block_products(matrix_NP: Tensor, vector_P: Tensor) -> Tensor:
    """``matrix @ vector``, [N] in fp64, in blocks whose fp32 products are exact enough."""
    both = zip(matrix_NP.split(BLOCK, 1), vector_P.split(BLOCK), strict=True)
    return total([(rows @ part).double() for rows, part in both])


def squares(value_BP: Tensor) -> Tensor:
    """Square norms of the rows of a matrix, [B] in fp64, in one pass over it."""
    norm_B: Tensor = torch.linalg.vector_norm(value_BP, dim=1)
    return norm_B.double().square()


def gathered(parts: Sequence[Gradient]) -> Gradient:
    """Gradients of several batches as those of one; shorter samples get positions without a gradient."""
    if len(parts) == 1:
        return parts[0]
    sides = zip(*(part.factors for part in parts), strict=True)
    return Gradient(parts[0].size, tuple(_stacked(factors) for factors in sides))


def _stacked(factors: Sequence[Factor]) -> Factor:
    first = factors[0]
    if isinstance(first, Whole):
        return Whole(torch.cat([f.value_BI for f in factors if isinstance(f, Whole)]))
    if isinstance(first, Rows):
        rows = [f for f in factors if isinstance(f, Rows)]
        return Rows(_padded([f.row_BT for f in rows], -1), _padded([f.value_BTI for f in rows], 0))
    outer = [f for f in factors if isinstance(f, Outer)]
    return Outer(_padded([f.left_BTO for f in outer], 0), _padded([f.right_BTI for f in outer], 0))


def _padded(tensors: Sequence[Tensor], value: float) -> Tensor:
    longest = max(tensor.shape[1] for tensor in tensors)
    room = [longest - tensor.shape[1] for tensor in tensors]
    return torch.cat(
        [
            pad(tensor, (*[0, 0] * (tensor.ndim - 2), 0, more), value=value) if more else tensor
            for tensor, more in zip(tensors, room, strict=True)
        ]
    )


def ghost_norms(factor: Factor) -> Tensor:
    """``Σ_t Σ_s (right_t·right_s)(left_t·left_s)`` of every sample with itself, [B] in fp64."""
    assert isinstance(factor, Outer)
    left, right = factor.left_BTO.float(), factor.right_BTI.float()
    pairs = torch.bmm(left, left.transpose(1, 2)) * torch.bmm(right, right.transpose(1, 2))
    return summed(pairs, (1, 2)).clamp_(min=0)
