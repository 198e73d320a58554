"""Weights & Biases: its own settings say where to (``WANDB_MODE=offline`` keeps everything on this machine)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glotmix.errors import MissingExtra
from glotmix.sweep.loggers.logger import Logger, Numbers


class WandbLogger(Logger):
    """Runs of a wandb project."""

    def __init__(self, project: str):
        super().__init__(project)
        try:
            import wandb
        except ImportError:
            raise MissingExtra("wandb", "wandb") from None
        self._wandb = wandb

    def show(self, run: str, settings: Mapping[str, Any], numbers: Numbers) -> None:
        """See :class:`Logger`."""
        shown = self._wandb.init(project=self.project, name=run, config=dict(settings))
        for step, values in numbers.items():
            shown.log(dict(values), step=step)
        shown.finish()
