"""Bilingual transfer score."""

from __future__ import annotations

import numpy as np
import pytest

from glotmix.errors import BadInput
from glotmix.transfer.bilingual import bilingual_transfer_score

TOKENS = np.geomspace(1e6, 1e9, 200)


def loss(target_tokens: np.ndarray) -> np.ndarray:
    return 2 + 50 * target_tokens**-0.2


@pytest.mark.parametrize(("worth", "score"), [(0.0, 0.0), (1.0, 1.0), (0.5, 2 / 3)])
def test_a_source_token_worth_w_target_tokens_scores_two_minus_two_over_one_plus_w(worth: float, score: float) -> None:
    """In a 50/50 model of 2d tokens the target gets d (1 + w), so it needs 2d/(1+w): score 2 - 2/(1+w)."""
    found = bilingual_transfer_score(TOKENS, loss(TOKENS), TOKENS, loss(TOKENS / 2 * (1 + worth)), 1e8)
    assert found == pytest.approx(score, abs=2e-3)


def test_a_loss_never_reached_is_refused() -> None:
    with pytest.raises(BadInput, match="bilingual curve"):
        bilingual_transfer_score(TOKENS, loss(TOKENS), TOKENS, loss(TOKENS) + 5, 1e8)
