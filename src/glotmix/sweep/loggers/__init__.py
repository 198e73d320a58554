"""Experiment trackers that a sweep's runs are shown in. One per file; none is needed, none is asked for its opinion."""

from __future__ import annotations

from importlib import import_module

from glotmix.sweep.loggers.logger import Logger as Logger

LOGGERS = {"trackio": "TrackioLogger", "wandb": "WandbLogger", "mlflow": "MlflowLogger"}
"""Name in the configuration (and of the module, and of the package that must be installed) → class."""


def open_logger(name: str, project: str) -> Logger:
    """The logger that a study names.

    Raises:
        MissingExtra: its package is not installed.
    """
    module = import_module(f"glotmix.sweep.loggers.{name}")
    return getattr(module, LOGGERS[name])(project)
