"""Adaptive baselines: mixtures or loss weights that follow what training observes. Update rules only, no torch."""

from glotmix.mixture.adaptives.adaptive import Adaptive, Cost, Observation
from glotmix.mixture.adaptives.plan import ADAPTIVES, AdaptivePlan

__all__ = ["ADAPTIVES", "Adaptive", "AdaptivePlan", "Cost", "Observation"]
