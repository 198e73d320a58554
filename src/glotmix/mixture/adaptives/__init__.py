"""Adaptive baselines: mixtures or loss weights that follow what training observes. Update rules only, no torch."""

from glotmix.mixture.adaptives.adaptive import Adaptive, Cost, Observation
from glotmix.mixture.adaptives.ado import Ado
from glotmix.mixture.adaptives.doremi import DoReMi
from glotmix.mixture.adaptives.gradvac import GradVac
from glotmix.mixture.adaptives.multidds import MultiDdsS
from glotmix.mixture.adaptives.odm import OdmExp3, OdmSmoothed
from glotmix.mixture.adaptives.pike import Pike

ADAPTIVES: dict[str, type[Adaptive]] = {
    method.name: method for method in (DoReMi, OdmSmoothed, OdmExp3, Ado, Pike, MultiDdsS, GradVac)
}
"""Every adaptive method by the name it has in commands."""

__all__ = ["ADAPTIVES", "Adaptive", "Cost", "Observation"]
