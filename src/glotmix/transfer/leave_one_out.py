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
    without_L = everybody - (1 << np.arange(n))
    value_TL = (game.payoff_CT[everybody] - game.payoff_CT[without_L]).T
    low_TL = high_TL = None
    if game.variance_CT is not None:
        spread_TL = game.quantile * np.sqrt(game.variance_CT[everybody] + game.variance_CT[without_L]).T
        low_TL, high_TL = value_TL - spread_TL, value_TL + spread_TL
    notes = dict(game.notes or {})
    return TransferMatrix(game.targets, game.players, value_TL, low_TL, high_TL, "bpb", "leave one out", notes)
