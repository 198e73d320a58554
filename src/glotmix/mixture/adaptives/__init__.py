"""Adaptive baselines: mixtures or loss weights that follow what training observes. Update rules only, no torch."""

from __future__ import annotations

from glotmix.registry import Registry

ADAPTIVES = Registry(
    "adaptive method",
    {
        "doremi": "glotmix.mixture.adaptives.doremi:DoReMi",
        "odm": "glotmix.mixture.adaptives.odm:OdmSmoothed",
        "odm_exp3": "glotmix.mixture.adaptives.odm:OdmExp3",
        "ado": "glotmix.mixture.adaptives.ado:Ado",
        "pike": "glotmix.mixture.adaptives.pike:Pike",
        "multidds_s": "glotmix.mixture.adaptives.multidds:MultiDdsS",
        "gradvac": "glotmix.mixture.adaptives.gradvac:GradVac",
    },
)
"""Name in commands and plans to the class."""
