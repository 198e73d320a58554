"""Trainers that are told how many rows of each language to take: counts instead of draws, so that nothing is left to
chance, and what packing leaves of the rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glotmix.exporters.realised import OFF
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


def chance(request: ExportRequest, count_L: np.ndarray, *, again: bool = False) -> np.ndarray:
    """Standard deviation of a language's tokens, relative, by which of its rows are taken, [L].

    Rows are whole passes and a part of one, whose ``r`` of ``R`` rows have a sum of variance ``s² r (1 − r/R)``, or,
    with ``again``, one pass and then rows with replacement. Zero where lengths were not measured.
    """
    sd_L = np.zeros(len(request.languages))
    for i, name in enumerate(request.languages):
        lengths = np.asarray(request.document_lengths.get(name, ()), dtype=float)
        count, rows = int(count_L[i]), request.rows(name)
        if len(lengths) < 2 or not count:
            continue
        part = count % rows
        draws = float(count - rows) if again and count > rows else part * (1 - part / rows)
        sd_L[i] = lengths.std() / lengths.mean() * np.sqrt(draws) / count
    return sd_L


def chance_remark(request: ExportRequest, count_PL: Sequence[np.ndarray], *, again: bool = False) -> tuple[str, ...]:
    """Said where chance moves a share by more than 1 %: no count of rows can be exact about tokens."""
    sd_PL = np.array([chance(request, count_L, again=again) for count_L in count_PL])
    stage, worst = np.unravel_index(int(sd_PL.argmax()), sd_PL.shape)
    if 2 * sd_PL[stage, worst] <= OFF:
        return ()
    return (
        f"rows are whole documents, and which of them are taken moves shares by chance: {request.languages[worst]} by "
        f"up to {200 * sd_PL[stage, worst]:.2g} % in stage {stage} (two standard deviations)",
    )
