"""Whole numbers that follow real quotas: largest remainder between bounds."""

from __future__ import annotations

import numpy as np


def apportion(quota_NL: np.ndarray, total_N: np.ndarray, low_NL: np.ndarray, high_NL: np.ndarray) -> np.ndarray:
    """Integers in ``[low, high]`` that sum to ``total`` in every row, as near to ``quota`` as largest remainder gets.

    Each quota is rounded down (and into its bounds); what is missing goes one by one to the largest remainder that has
    room, which minimises ``Σ (integer - quota)²``. Where quotas sum to the total and the bounds do not bind, this is
    Hamilton's method and every integer is within one of its quota. Ties go to the earlier column.

    Args:
        quota_NL: real quotas, not negative. Rows are independent problems, columns are languages.
        total_N: integers with ``Σ low ≤ total ≤ Σ high`` in each row.
        low_NL: integer lower bounds.
        high_NL: integer upper bounds.
    """
    count_NL = np.clip(np.floor(quota_NL).astype(np.int64), low_NL, high_NL)
    missing_N = total_N - count_NL.sum(axis=1)
    while missing_N.any():  # once as a rule; again only where bounds bind
        sign_N1 = np.sign(missing_N)[:, None]
        has_room_NL = np.where(sign_N1 > 0, count_NL < high_NL, count_NL > low_NL)
        urgency_NL = np.where(has_room_NL, sign_N1 * (quota_NL - count_NL), -np.inf)
        rank_NL = (-urgency_NL).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
        # All whose turn comes before the most urgent one's second turn are served in one go.
        in_turn_NL = urgency_NL > urgency_NL.max(axis=1, keepdims=True) - 1
        step_NL = (rank_NL < np.abs(missing_N)[:, None]) & has_room_NL & in_turn_NL
        count_NL += sign_N1 * step_NL
        missing_N = total_N - count_NL.sum(axis=1)
    return np.asarray(count_NL)
