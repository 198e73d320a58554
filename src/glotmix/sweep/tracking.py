"""Shows the runs of a sweep in an experiment tracker while it goes on: each run once, whatever dies in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from glotmix.artifact import read_json
from glotmix.errors import GlotmixError
from glotmix.mixture.design import PlannedRun
from glotmix.sweep.loggers.logger import Logger
from glotmix.sweep.sweep import RUN

LOOK_EVERY = 30.0
"""Seconds between two looks for runs that are new."""


class RunTracker:
    """Hands new runs to a logger. A tracker that fails is told once and left alone: it never stops a sweep."""

    def __init__(self, logger: Logger, directory: Path, plan: Sequence[PlannedRun], say: Callable[[str], None]):
        """
        Args:
            logger: where they are shown.
            directory: of the study; ``shown/<project>.txt`` in it remembers the runs that were.
            plan: the runs.
            say: told when the tracker fails.
        """
        self._logger, self._directory, self._say = logger, directory, say
        self._memory = directory / "shown" / f"{type(logger).__name__}.txt"
        known = set(self._memory.read_text(encoding="utf-8").split("\n")) if self._memory.is_file() else set()
        self._left = [run for run in plan if run.run not in known]
        self._last = float("-inf")

    def look(self, *, now: bool = False) -> None:
        """Show what is new, at most every ``LOOK_EVERY`` seconds unless asked for ``now``."""
        if not self._left or not (now or time.monotonic() - self._last > LOOK_EVERY):
            return
        self._last = time.monotonic()
        try:
            self._left = [run for run in self._left if not self._show(run)]
        except GlotmixError:
            raise
        except Exception as error:  # whatever a tracker, its network or its server raises
            self._say(f"  {type(self._logger).__name__} gave up, the study goes on: {type(error).__name__}: {error}")
            self._left = []

    def _show(self, run: PlannedRun) -> bool:
        path = self._directory / "runs" / run.run / RUN
        if not path.is_file():
            return False
        result = read_json(path)
        settings: dict[str, Any] = {"role": run.role, "seed": run.seed}
        settings |= {key: result[key] for key in ("N", "D", "status")}
        settings |= {f"p/{language}": share for language, share in run.schedule.average().items()}
        numbers: dict[int, dict[str, float]] = {}
        for loss in result["losses"]:
            numbers.setdefault(loss["step"], {})[f"{loss['metric']}/{loss['language']}"] = loss["value"]
        numbers.setdefault(max(numbers, default=0), {})["C"] = result["C"]
        self._logger.show(run.run, settings, numbers)
        self._memory.parent.mkdir(exist_ok=True)
        with open(self._memory, "a", encoding="utf-8") as file:
            file.write(f"{run.run}\n")
        return True
