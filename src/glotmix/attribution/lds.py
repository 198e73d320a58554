"""Linear datamodeling score: do influence scores predict what retraining on subsets really does?

Park et al. 2023 (arXiv 2303.14186), §3: draw subsets of the training data, train on each, and correlate (Spearman) the
outputs with the sums of the subset's scores. 1 is a perfect counterfactual predictor, 0 knows nothing. TracIn's values
are low (0.1 to 0.2 on fine-tuned transformers), so they belong beside its scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from glotmix.errors import BadInput
from glotmix.estimate import over_repeats


@dataclass(frozen=True)
class LinearDatamodelingScore:
    """How well scores predict retraining."""

    value: float
    """Mean over test samples of the rank correlation over subsets."""
    low: float
    """Lower end of the 95 % interval over test samples (of the same subsets), Student's, not beyond -1; NaN for one."""
    high: float
    """Its upper end."""
    correlation_Q: np.ndarray
    """Rank correlation of every test sample."""
    subsets: int
    """Number of retrainings behind it."""


def draw_subsets(samples: int, subsets: int, rng: np.random.Generator, *, fraction: float = 0.5) -> np.ndarray:
    """Random subsets as masks, [subsets, samples], each of ``fraction`` of the samples."""
    size = round(fraction * samples)
    if not 0 < size < samples or subsets < 2:
        raise BadInput(
            f"{subsets} subsets of {size} out of {samples} samples", expected="2 or more, none empty or full"
        )
    return rng.permuted(np.tile(np.arange(samples) < size, (subsets, 1)), axis=1)


def linear_datamodeling_score(
    value_QN: np.ndarray, subset_RN: np.ndarray, output_RQ: np.ndarray
) -> LinearDatamodelingScore:
    """``mean_q spearman_r(Σ_{n ∈ S_r} value_qn, output_rq)``.

    Args:
        value_QN: influence scores; positive helps.
        subset_RN: masks of the subsets, :func:`draw_subsets`.
        output_RQ: what models trained on the subsets say of the test samples, higher is better (minus the loss, or the
            margin of the right class; averaged over seeds where training is noisy).

    Raises:
        BadInput: shapes that do not fit, or outputs that are the same for all subsets.
    """
    (Q, N), R = value_QN.shape, len(subset_RN)
    if subset_RN.shape != (R, N) or output_RQ.shape != (R, Q):
        found = f"subsets {subset_RN.shape} and outputs {output_RQ.shape}"
        raise BadInput(found, expected=f"[R, {N}] and [R, {Q}] for scores {value_QN.shape}")
    predicted_RQ = subset_RN.astype(float) @ value_QN.T
    for name, values_RQ in (("outputs", output_RQ), ("summed scores", predicted_RQ)):
        if (same := np.ptp(values_RQ, axis=0) == 0).any():
            raise BadInput(f"{name} of test sample {int(np.argmax(same))} are the same for every subset")
    ranks = (stats.rankdata(values, axis=0) for values in (predicted_RQ, output_RQ))
    a, b = ((r - r.mean(0)) / r.std(0) for r in ranks)
    correlation_Q = (a * b).mean(0)
    mean = over_repeats(correlation_Q, within=(-1.0, 1.0))
    low, high = (np.nan if end is None else end for end in (mean.low, mean.high))
    return LinearDatamodelingScore(mean.value, low, high, correlation_Q, R)
