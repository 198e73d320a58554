"""Scaling laws: one file per paper, all behind :class:`glotmix.laws.law.Law`."""

from __future__ import annotations

from glotmix.errors import BadInput
from glotmix.laws.atlas import Atlas
from glotmix.laws.bimix import BiMix
from glotmix.laws.capacity import Capacity
from glotmix.laws.chinchilla import Chinchilla
from glotmix.laws.committee import Committee
from glotmix.laws.curse import Curse
from glotmix.laws.d_cpt import DCPT
from glotmix.laws.data_constrained import DataConstrained
from glotmix.laws.gaussian_process import GaussianProcess
from glotmix.laws.law import Law
from glotmix.laws.lightgbm import LightGBM
from glotmix.laws.log_linear import LogLinear
from glotmix.laws.mixing import Mixing
from glotmix.laws.null import Null
from glotmix.laws.own_ratio import OwnRatio, OwnRatioFloored
from glotmix.laws.residual import Corrected, Residual
from glotmix.laws.shapley_law import ShapleyLaw, ShapleyLawData, ShapleyLawFixed, ShapleyLawPrior
from glotmix.laws.shapley_law_joint import ShapleyLawJoint
from glotmix.laws.shukor import ShukorAdditive, ShukorJoint

__all__ = ["Law", "all_laws", "find_law", "residuals"]


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
        ShapleyLawJoint(),
        Chinchilla(),
        DataConstrained(),
        Atlas(),
        Mixing(),
        BiMix(),
        ShukorAdditive(),
        ShukorJoint(),
        Capacity(),
        DCPT(),
        Curse(),
    ]
    return {law.name: law for law in laws}


def residuals() -> dict[str, Residual]:
    """Black boxes that can learn what a law leaves over: ``LAW+NAME``; alone they correct the null law."""
    boxes: list[Residual] = [GaussianProcess(), LightGBM(), Committee()]
    return {box.name: box for box in boxes}


def find_law(name: str) -> Law:
    """The law of that name; ``shapley_law+gaussian_process`` is a law with its residuals learned.

    Raises:
        BadInput: there is none; the message lists the names.
    """
    laws, boxes = all_laws(), residuals()
    base, plus, box = name.partition("+")
    if not plus and base in boxes:
        return Corrected(laws["null"], boxes[base])
    if base in laws and (not plus or box in boxes):
        return Corrected(laws[base], boxes[box]) if plus else laws[base]
    raise BadInput(f"no law {name!r}", expected=" | ".join([*laws, *boxes, *[f"LAW+{box}" for box in boxes]]))
