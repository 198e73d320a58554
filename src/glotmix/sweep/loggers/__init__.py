"""Experiment trackers that a sweep's runs are shown in. One per file; none is needed, none is asked for its opinion."""

from __future__ import annotations

from glotmix.registry import Registry

LOGGERS = Registry(
    "logger",
    {
        "trackio": "glotmix.sweep.loggers.trackio:TrackioLogger",
        "wandb": "glotmix.sweep.loggers.wandb:WandbLogger",
        "mlflow": "glotmix.sweep.loggers.mlflow:MlflowLogger",
    },
)
"""Name in the configuration to the class, made with a project's name; each needs the package of its own name."""
