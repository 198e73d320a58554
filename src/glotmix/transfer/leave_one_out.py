"""Leave one out: what the full mixture loses without a language."""

from __future__ import annotations

import numpy as np

from glotmix.transfer.game import Game
from glotmix.transfer.matrix import TransferMatrix


def leave_one_out(game: Game) -> TransferMatrix:
    """``u(P) - u(P∖l)``: the rise of the loss when l is left out of all languages P, [targets, sources].

    Needs n + 1 runs instead of 2^n - 1, but a language that a close relative can stand in for looks useless.
    """
    n = len(game.players)
    everybody = 2**n - 1
    W_LC = np.zeros((n, 2**n))
    W_LC[:, everybody] = 1
    W_LC[np.arange(n), everybody - (1 << np.arange(n))] -= 1
    return game.values(W_LC, "leave one out")
