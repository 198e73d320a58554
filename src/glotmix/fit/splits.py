"""Splits: which runs are fitted to and which are held out. All runs of one mixture stay on one side."""

from __future__ import annotations

import numpy as np

from glotmix.errors import BadInput
from glotmix.measurements import Measurements

Split = tuple[Measurements, Measurements]
"""Runs fitted to, runs held out."""
LEAST_SIZES = 3
"""Sizes in a table from which the largest can be held out: two say nothing of how the step between them goes on."""
LEAST_EVIDENCE = 4
"""Mixtures from which a table is taken to tell of mixtures."""
SIZE_FOLDS = 3
"""Parts of the mixtures that are held out in turn together with a size."""
CORNERS, LEAST_MIXTURES = 0.2, 10
"""Share of the mixtures that count as the corners of the simplex, and mixtures from which they can be held out."""


def mixtures_of(measurements: Measurements) -> np.ndarray:
    """Number of the mixture of each run [R]; runs with the same shares (to 1e-6), in every phase, share a number."""
    return groups_of(measurements.composition)


def groups_of(composition_RX: np.ndarray) -> np.ndarray:
    """Number of each run's :attr:`~glotmix.measurements.runs.Measurements.composition`, to 1e-6, [R]."""
    return _group(np.round(composition_RX, 6))


def evidence_of(measurements: Measurements) -> np.ndarray:
    """Number of the piece of evidence about mixtures that each run belongs to [R]: its mixture, seeds and checkpoints
    together.

    Where fewer than ``LEAST_EVIDENCE`` mixtures were run the table is not about mixtures, and each run is one.
    """
    group_R = mixtures_of(measurements)
    return group_R if group_R.max(initial=0) + 1 >= LEAST_EVIDENCE else np.arange(len(group_R))


def repeats_of(measurements: Measurements) -> np.ndarray:
    """Number of the mixture, N and D of each run [R]: runs that share it differ by noise alone."""
    sizes = np.nan_to_num(measurements.N_R), np.nan_to_num(measurements.D_R)
    return _group(np.column_stack([mixtures_of(measurements), *sizes]))


def fold_of(measurements: Measurements, folds: int, seed: int) -> np.ndarray:
    """Fold of each run [R], drawn by mixture."""
    group_R = mixtures_of(measurements)
    groups = int(group_R.max()) + 1
    if folds < 2 or groups < 2:
        raise BadInput(f"{folds} folds over {groups} mixtures", expected="at least 2 of each")
    order = np.random.default_rng(seed).permutation(groups)
    fold_G = np.empty(groups, dtype=int)
    fold_G[order] = np.arange(groups) % min(folds, groups)
    return np.asarray(fold_G[group_R])


def by_size(measurements: Measurements, x_R: np.ndarray, seed: int = 0) -> list[Split]:
    """The largest size (of N or D, [R]) from all smaller ones; from four sizes on the one before it too.

    One step up is predicted at a time, and two of them where that is possible, since a single step is easily predicted
    well by chance. Mixtures are held out together with the size, in ``SIZE_FOLDS`` folds: else a law could learn every
    mixture at a small size, and would be judged on nothing but the step. Nothing where fewer than ``LEAST_SIZES`` sizes
    were run.
    """
    sizes = _sizes(x_R)
    if len(sizes) < LEAST_SIZES:
        return []
    group_R = mixtures_of(measurements)
    folds = SIZE_FOLDS if int(group_R.max()) + 1 >= LEAST_MIXTURES else 1
    fold_R = fold_of(measurements, folds, seed) if folds > 1 else np.zeros(len(group_R), dtype=int)
    splits = []
    for k in [-1] if len(sizes) == LEAST_SIZES else [-2, -1]:
        below_R, there_R = x_R < 0.99 * sizes[k], _near(x_R, sizes[k])
        for fold in range(folds):
            apart_R = fold_R == fold
            fitted_R = below_R & ~apart_R if folds > 1 else below_R
            if fitted_R.any() and (there_R & apart_R).any():
                splits.append((measurements.where(fitted_R), measurements.where(there_R & apart_R)))
    return splits


def corners(measurements: Measurements) -> Split | None:
    """The fifth of the mixtures in which one language has most, from the others; None with few mixtures."""
    group_R, largest_R = mixtures_of(measurements), measurements.p_RL.max(axis=1)
    _, first_G = np.unique(group_R, return_index=True)
    if len(first_G) < LEAST_MIXTURES:
        return None
    order_G = np.argsort(-largest_R[first_G], kind="stable")
    corner_R = np.isin(group_R, group_R[first_G[order_G[: round(CORNERS * len(first_G))]]])
    return measurements.where(~corner_R), measurements.where(corner_R)


def _group(rows: np.ndarray) -> np.ndarray:
    _, group_R = np.unique(rows, axis=0, return_inverse=True)
    return np.asarray(group_R).reshape(-1)


def _sizes(x_R: np.ndarray) -> list[float]:
    """Values that differ by more than one percent, ascending; none where some are not known."""
    sizes: list[float] = []
    for x in np.sort(x_R) if np.isfinite(x_R).all() else []:
        if not sizes or x > 1.01 * sizes[-1]:
            sizes.append(float(x))
    return sizes


def _near(x_R: np.ndarray, size: float) -> np.ndarray:
    return (x_R > 0.99 * size) & (x_R <= 1.011 * size)
