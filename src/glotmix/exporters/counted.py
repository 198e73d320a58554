"""Trainers that are told how many rows of each language to take: counts instead of draws, so that nothing is left to
chance, and what packing leaves of the rows."""

from __future__ import annotations

import numpy as np

from glotmix.exporters.request import ExportRequest, Phase
from glotmix.exporters.rules import largest_remainder


def counted_rows(request: ExportRequest, phase: Phase, length_L: np.ndarray | None = None) -> np.ndarray:
    """Rows of each language that hold the tokens of a phase, at least one of each with a share, [L].

    Args:
        request: what was asked for.
        phase: one of its phases.
        length_L: tokens that are trained on per row; measured tokens per document unless given.
    """
    p_L = request.vector(phase)
    length_L = request.lengths() if length_L is None else length_L
    rows_L = p_L * phase.steps * request.batch * request.sequence_length / length_L
    counted_L = largest_remainder(rows_L, max(1, round(float(rows_L.sum()))))
    return np.where(p_L > 0, np.maximum(counted_L, 1), 0)


def fill(request: ExportRequest, phase: Phase, token_L: np.ndarray) -> np.ndarray:
    """Tokens trained on in a phase from a data set with ``token_L`` tokens that is read in random order, [L].

    A trainer that stops at a step reads a little less than the data set, or begins it again: the same share of each
    language in expectation.
    """
    return np.asarray(token_L * (phase.steps * request.batch * request.sequence_length / token_L.sum()))
