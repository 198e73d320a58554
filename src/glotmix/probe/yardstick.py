"""The yardstick: what a lens on transfer says of two clones, in one unit, beside what is true of them.

Clones are equals, so the truth is known: exchanging their names changes nothing. Every lens is brought to one question:
what is a token of the other language worth, in tokens of one's own? ``r_t = (V[t, o] / p_o) / (V[t, t] / p_t)`` for a
lens with values V over shares p (game, in-run scores, shares among the top samples); ``r_t = (p̃_t - p_t) / p_o`` for
the law's effective share. The same question put to token equivalents, ``r_t = (MLTE_t - seen_t) / seen_o``, is answered
by losses alone: what the lens should have said. No source: the comparison is ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glotmix.errors import BadInput
from glotmix.transfer.matrix import TransferMatrix


@dataclass(frozen=True)
class Exchange:
    """Worth of a token of the other language, in tokens of one's own."""

    to_first: float
    """Of a token of the second language, to the first."""
    to_second: float
    """Of a token of the first language, to the second."""

    @property
    def asymmetry(self) -> float:
        """``log2(to_second / to_first)``: 0 where a lens takes the two for equals.

        NaN where either is not positive, or beyond what was measured.
        """
        if not (0 < self.to_first < math.inf and 0 < self.to_second < math.inf):
            return math.nan
        return math.log2(self.to_second / self.to_first)


def of_values(matrix: TransferMatrix, shares: Mapping[str, float]) -> Exchange:
    """The exchange rates that a matrix of transfer implies.

    Args:
        matrix: two targets that are the two sources, in one order.
        shares: of the training tokens.

    Raises:
        BadInput: not two languages, or one without a share.
    """
    one, two = _two(matrix.sources)
    if any(not shares.get(name, 0.0) > 0 for name in (one, two)):
        raise BadInput(f"shares {dict(shares)}", expected=f"shares above 0 of {one} and {two}")

    def worth(target: str, other: str) -> float:
        own = matrix[target, target] / shares[target]
        return (matrix[target, other] / shares[other]) / own if own else math.nan

    return Exchange(worth(one, two), worth(two, one))


def of_equivalents(efficiency: Sequence[float], shares: Sequence[float]) -> Exchange:
    """What losses say: ``r_t = (MLTE_t - seen_t) / seen_o = (TEff_t - 1) p_t / p_o``.

    Args:
        efficiency: token efficiency of the first and the second language.
        shares: theirs of the training tokens.
    """
    (e1, e2), (p1, p2) = efficiency, shares
    return Exchange((e1 - 1) * p1 / p2, (e2 - 1) * p2 / p1)


def of_effective_shares(weights: Sequence[float], nus: Sequence[float], shares: Sequence[float]) -> Exchange:
    """What ShapleyLaw says: ``p̃_t = (p_t^ν + (w p_o)^ν)^(1/ν)``, the tokens alone that the mixture is worth.

    Args:
        weights: w of the second language for the first, and of the first for the second.
        nus: ν of both targets.
        shares: of both languages.
    """
    found = []
    for t in (0, 1):
        own, other = shares[t], shares[1 - t]
        effective = (own ** nus[t] + (weights[t] * other) ** nus[t]) ** (1 / nus[t])
        found.append((effective - own) / other)
    return Exchange(*found)


def game_of_two(
    empty: float, alone: Sequence[float], unseen: Sequence[float], together: Sequence[float], names: Sequence[str]
) -> TransferMatrix:
    """Exact Shapley values of two players, in the unit of the losses.

    ``φ_s→t = ½ [u_t({s}) - u_t(∅)] + ½ [u_t({1,2}) - u_t({o})]`` with u_t(S) = L_t(∅) - L_t(S).

    Args:
        empty: L(∅), the same for both.
        alone: L_t of a model trained on t alone.
        unseen: L_t of a model trained on the other language alone.
        together: L_t of the mixture.
        names: of the two languages.
    """
    value_TL = np.zeros((2, 2))
    for t in (0, 1):
        own, foreign, both = empty - alone[t], empty - unseen[t], empty - together[t]
        value_TL[t, t] = (own + both - foreign) / 2
        value_TL[t, 1 - t] = (foreign + both - own) / 2
    return TransferMatrix(tuple(names), tuple(names), value_TL, unit="nats", method="exact Shapley")


def _two(names: Sequence[str]) -> tuple[str, str]:
    if len(names) != 2:
        raise BadInput(f"{len(names)} languages", where="yardstick", expected="two")
    return names[0], names[1]
