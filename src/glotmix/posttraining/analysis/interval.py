"""Interval: how sure a mean over test items and seeds is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from glotmix.errors import BadInput
from glotmix.estimate import student
from glotmix.posttraining.analysis.noise import Floor


@dataclass(frozen=True)
class ScoreMean:
    """A mean with its 95 % interval."""

    value: float
    """The mean."""
    low: float
    """Lower end; minus infinity where nothing was repeated."""
    high: float
    """Upper end."""


def mean_interval(value_SI: Sequence[np.ndarray], *, parallel: bool, noise: Floor | None = None) -> ScoreMean:
    """Mean over languages of scores by seed and item, for new seeds and new items.

    Half-width: ``√( (t_ν s_seed/√S)² + (1.96 s_item)² )``, with s_seed the deviation between seeds and s_item the error
    of the mean over items, seeds averaged. Noise of single answers is in both parts, so it errs on the wide side.
    s_seed is this cell's own (ν = S − 1) or, better, pooled over all cells of a task. Parallel items are one draw for
    all languages; others are drawn for each. With one seed and nothing pooled the first part cannot be known and is
    left out: the interval is then for new items alone.

    Args:
        value_SI: scores of each language, [S, I].
        parallel: whether item i is a translation of item i in the other languages.
        noise: deviation between seeds of this very mean, pooled over cells.

    Raises:
        BadInput: no scores, or parallel items of different number.
    """
    if not value_SI or any(value.size == 0 for value in value_SI):
        raise BadInput("no scores", where="interval")
    if parallel:
        if len({value.shape for value in value_SI}) > 1:
            raise BadInput("languages with different numbers of items", where="interval", expected="parallel items")
        items = _error(np.mean(value_SI, 0).mean(0))
    else:
        items = float(np.sqrt(sum(_error(value.mean(0)) ** 2 for value in value_SI))) / len(value_SI)
    seeds_S = np.mean([value.mean(1) for value in value_SI], 0)
    value, S = float(seeds_S.mean()), len(seeds_S)
    if noise is None and S > 1:
        noise = Floor(float(seeds_S.std(ddof=1)), S - 1)
    seed = 0.0 if noise is None else student(noise.degrees) * noise.deviation / np.sqrt(S)
    half = float(np.hypot(seed, float(stats.norm.ppf(0.975)) * items))
    return ScoreMean(value, value - half, value + half)


def _error(value_I: np.ndarray) -> float:
    return float(value_I.std(ddof=1) / np.sqrt(len(value_I))) if len(value_I) > 1 else 0.0
