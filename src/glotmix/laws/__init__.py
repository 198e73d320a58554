"""Scaling laws: one file per paper, all behind :class:`glotmix.laws.law.Law`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glotmix.errors import BadInput
from glotmix.registry import Registry, near

if TYPE_CHECKING:
    from glotmix.laws.law import Law
    from glotmix.laws.residual import Residual

LAWS = Registry(
    "law",
    {
        "null": "glotmix.laws.null:Null",
        "own_ratio": "glotmix.laws.own_ratio:OwnRatio",
        "own_ratio_floored": "glotmix.laws.own_ratio:OwnRatioFloored",
        "log_linear": "glotmix.laws.log_linear:LogLinear",
        "shapley_law": "glotmix.laws.shapley_law:ShapleyLaw",
        "shapley_law_prior": "glotmix.laws.shapley_law:ShapleyLawPrior",
        "shapley_law_fixed": "glotmix.laws.shapley_law:ShapleyLawFixed",
        "shapley_law_signed": "glotmix.laws.shapley_law:ShapleyLawSigned",
        "shapley_law_data": "glotmix.laws.shapley_law:ShapleyLawData",
        "shapley_law_joint": "glotmix.laws.shapley_law_joint:ShapleyLawJoint",
        "shapley_law_repeated": "glotmix.laws.repetition:ShapleyLawRepeated",
        "shapley_law_data_repeated": "glotmix.laws.repetition:ShapleyLawDataRepeated",
        "own_ratio_repeated": "glotmix.laws.repetition:OwnRatioRepeated",
        "shapley_law_overfit": "glotmix.laws.repetition:ShapleyLawOverfit",
        "chinchilla": "glotmix.laws.chinchilla:Chinchilla",
        "data_constrained": "glotmix.laws.data_constrained:DataConstrained",
        "atlas": "glotmix.laws.atlas:Atlas",
        "mixing": "glotmix.laws.mixing:Mixing",
        "bimix": "glotmix.laws.bimix:BiMix",
        "shukor_additive": "glotmix.laws.shukor:ShukorAdditive",
        "shukor_joint": "glotmix.laws.shukor:ShukorJoint",
        "capacity": "glotmix.laws.capacity:Capacity",
        "d_cpt": "glotmix.laws.d_cpt:DCPT",
        "curse": "glotmix.laws.curse:Curse",
    },
)
"""Name to the class, in the order in which ``glotmix laws`` lists them."""
RESIDUALS = Registry(
    "residual model",
    {
        "gaussian_process": "glotmix.laws.gaussian_process:GaussianProcess",
        "lightgbm": "glotmix.laws.lightgbm:LightGBM",
        "committee": "glotmix.laws.committee:Committee",
    },
)
"""Black boxes that can learn what a law leaves over: ``LAW+NAME``; alone they correct the null law."""

ORDER = "order"
"""``LAW+order`` is LAW with its shares weighted by when they are read (:mod:`glotmix.laws.order`)."""


def all_laws() -> dict[str, Law]:
    """Every law by name, in the order in which ``glotmix laws`` lists them."""
    return {name: LAWS.find(name)() for name in LAWS}


def residuals() -> dict[str, Residual]:
    """Every residual model by name."""
    return {name: RESIDUALS.find(name)() for name in RESIDUALS}


def check_law(name: str, *, where: object = None) -> str:
    """The name, if it is that of a law. ``shapley_law+order`` weighs shares by when they are read,
    ``shapley_law+gaussian_process`` learns the law's residuals, ``shapley_law+order+gaussian_process`` does both.

    Raises:
        BadInput: there is no such law; the message lists the names.
    """
    base, *more = name.split("+")
    boxes = more[1:] if more[:1] == [ORDER] else more
    if base in LAWS and len(boxes) <= 1 and all(one in RESIDUALS for one in boxes):
        return name
    if base in RESIDUALS and not more:
        return name
    expected = " | ".join([*LAWS, *RESIDUALS, *[f"LAW+{one}" for one in (ORDER, *RESIDUALS)]])
    raise BadInput(f"no law {name!r}{near(name, LAWS)}", where=where, expected=expected)


def with_order(name: str) -> str | None:
    """The name of the same law with its shares weighted by when they are read; None for one that has no shares of its
    own, or is so already."""
    base, *more = name.split("+")
    if base == "null" or base in RESIDUALS or ORDER in more:
        return None
    return "+".join([base, ORDER, *more])


def find_law(name: str) -> Law:
    """The law of that name.

    Raises:
        BadInput: there is none; the message lists the names.
    """
    from glotmix.laws.order import Ordered
    from glotmix.laws.residual import Corrected

    base, *more = check_law(name).split("+")
    if base in RESIDUALS:
        return Corrected(LAWS.find("null")(), RESIDUALS.find(base)())
    law: Law = LAWS.find(base)()
    for one in more:
        law = Ordered(law) if one == ORDER else Corrected(law, RESIDUALS.find(one)())
    return law
