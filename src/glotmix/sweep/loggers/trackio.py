"""trackio: on this machine (``trackio show``), or wherever its own settings say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glotmix.errors import MissingExtra
from glotmix.sweep.loggers.logger import Logger, Numbers


class TrackioLogger(Logger):
    """Runs of a trackio project."""

    def __init__(self, project: str):
        super().__init__(project)
        try:
            import trackio
        except ImportError:
            raise MissingExtra("trackio", "trackio") from None
        self._trackio = trackio

    def show(self, run: str, settings: Mapping[str, Any], numbers: Numbers) -> None:
        """See :class:`Logger`."""
        self._trackio.init(project=self.project, name=run, config=dict(settings))
        for step, values in numbers.items():
            self._trackio.log(dict(values), step=step)
        self._trackio.finish()
