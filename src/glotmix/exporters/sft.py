"""Trainers whose batches count conversations: how many of each language, in how many steps, cut at which length."""

from __future__ import annotations

import itertools

import numpy as np

from glotmix.exporters.request import ExportRequest
from glotmix.exporters.rules import largest_remainder


def conversations(request: ExportRequest) -> list[np.ndarray]:
    """Conversations of each language in each phase, whole batches of them, [P][L].

    Token shares after what a trainer cuts off at the sequence length: ``q_l ∝ p_l / kept_l``.
    """
    kept_L = request.kept_lengths()
    counts = []
    for phase in request.phases:
        row_L = request.vector(phase) / kept_L
        tokens = phase.steps * request.batch * request.sequence_length
        steps = max(1, round(tokens * float(row_L.sum()) / request.batch))
        counts.append(largest_remainder(row_L, steps * request.batch))
    return counts


def steps_of_conversations(request: ExportRequest) -> list[int]:
    """Steps done after each phase."""
    return list(itertools.accumulate(int(count_L.sum()) // request.batch for count_L in conversations(request)))


def truncation_remark(request: ExportRequest) -> tuple[str, ...]:
    """What is cut off, or that nobody can know."""
    unmeasured = [name for name in request.languages if not len(request.document_lengths.get(name, ()))]
    if unmeasured:
        return (
            f"what is beyond {request.sequence_length} tokens of a conversation is cut off, and how much that is was "
            f"not measured for {len(unmeasured)} of {len(request.languages)} languages (--measure DATA does)",
        )
    lost_L = 1 - request.kept_lengths() / request.lengths()
    worst = int(np.argmax(lost_L))
    if lost_L[worst] < 0.001:
        return ()
    return (
        f"{100 * lost_L[worst]:.2g} % of {request.languages[worst]} is beyond {request.sequence_length} tokens and "
        "cut off, which the numbers of conversations make up for",
    )
