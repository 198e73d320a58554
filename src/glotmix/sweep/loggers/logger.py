"""The interface to an experiment tracker: here is a run that is complete, show it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

Numbers = Mapping[int, Mapping[str, float]]
"""Step to name to value: ``bpb/<language>`` and ``nats/<language>``, and ``C`` at the last step."""


class Logger(ABC):
    """Shows the runs of a sweep. Every proxy becomes a run of the tracker under its own name."""

    def __init__(self, project: str):
        """
        Args:
            project: what the tracker files the runs under.
        """
        self.project = project

    @abstractmethod
    def show(self, run: str, settings: Mapping[str, Any], numbers: Numbers) -> None:
        """Show one run that is complete or diverged; called once per run.

        Args:
            run: its name.
            settings: role, seed, N, D, status, and the mixture as ``p/<language>``.
            numbers: its losses.
        """
