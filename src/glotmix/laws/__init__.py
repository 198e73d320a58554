"""Scaling laws: one file per paper, all behind :class:`glotmix.laws.law.Law`."""

from __future__ import annotations

from glotmix.errors import BadInput
from glotmix.laws.law import Law
from glotmix.laws.log_linear import LogLinear
from glotmix.laws.null import Null
from glotmix.laws.own_ratio import OwnRatio, OwnRatioFloored
from glotmix.laws.shapley_law import ShapleyLaw, ShapleyLawData, ShapleyLawFixed, ShapleyLawPrior

__all__ = ["Law", "all_laws", "find_law"]


def all_laws() -> dict[str, Law]:
    """Every law by name, in the order in which ``glotmix laws`` lists them."""
    laws: list[Law] = [
        Null(),
        OwnRatio(),
        OwnRatioFloored(),
        LogLinear(),
        ShapleyLaw(),
        ShapleyLawPrior(),
        ShapleyLawFixed(),
        ShapleyLawData(),
    ]
    return {law.name: law for law in laws}


def find_law(name: str) -> Law:
    """The law of that name.

    Raises:
        BadInput: there is none; the message lists the names.
    """
    laws = all_laws()
    if name not in laws:
        raise BadInput(f"no law {name!r}", expected=" | ".join(laws))
    return laws[name]
