"""Kinds of studies, a folder each: its configuration, what it trains, what it finds, and its page."""

from glotmix.registry import Registry

KINDS = Registry(
    "kind",
    {
        "mixture": "glotmix.studies.mixture.kind:MixtureKind",
        "compare": "glotmix.studies.compare.kind:CompareKind",
        "clones": "glotmix.studies.clones.kind:ClonesKind",
        "influence": "glotmix.studies.influence.kind:InfluenceKind",
        "posttraining": "glotmix.studies.posttraining.kind:PosttrainingKind",
    },
)
"""Name in a study file to its kind; imported when asked for, as some need torch."""
