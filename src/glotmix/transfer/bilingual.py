"""Bilingual transfer score (ATLAS)."""

from __future__ import annotations

import numpy as np

from glotmix.errors import BadInput


def bilingual_transfer_score(
    mono_tokens: np.ndarray,
    mono_loss: np.ndarray,
    pair_tokens: np.ndarray,
    pair_loss: np.ndarray,
    d_mono: float,
) -> float:
    """``BTS = -(σ(L(d_mono)) - 2 d_mono) / d_mono`` from two learning curves on the target.

    σ(ℓ) is the total number of tokens that a 50/50 model of source and target needs to reach loss ℓ on the target. 0:
    the source neither helps nor hurts; above 0 it helps; below 0 it interferes. Source: ATLAS (arXiv 2510.22037),
    section 4. Curves are interpolated linearly in ln tokens after the losses are made monotone (running minimum).

    Args:
        mono_tokens: training tokens along the curve of the monolingual model, ascending.
        mono_loss: its losses there.
        pair_tokens: total training tokens along the curve of the bilingual model, ascending.
        pair_loss: its losses there.
        d_mono: tokens at which the monolingual loss is taken.

    Raises:
        BadInput: ``d_mono`` outside the monolingual curve, or the bilingual model never gets there.
    """
    if not mono_tokens[0] <= d_mono <= mono_tokens[-1]:
        raise BadInput(f"d_mono is {d_mono:g}", expected=f"between {mono_tokens[0]:g} and {mono_tokens[-1]:g}")
    best_mono, best_pair = np.minimum.accumulate(mono_loss), np.minimum.accumulate(pair_loss)
    reached = float(np.interp(np.log(d_mono), np.log(mono_tokens), best_mono))
    if not best_pair[-1] <= reached <= best_pair[0]:
        raise BadInput(
            f"the bilingual curve runs from {best_pair[0]:g} to {best_pair[-1]:g}", expected=f"one through {reached:g}"
        )
    tokens = float(np.exp(np.interp(-reached, -best_pair, np.log(pair_tokens))))
    return -(tokens - 2 * d_mono) / d_mono
