"""Where a study tells how far it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from glotmix.progress import Advance

LINE_EVERY = 60.0
"""Seconds between two lines on progress where there is no terminal to draw a bar on."""


@dataclass(frozen=True)
class Narrator:
    """Prints sentences and draws progress bars; on anything but a terminal a line now and then stands for a bar."""

    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))
    """Standard error, so that standard output stays for results."""

    def say(self, sentence: str) -> None:
        """One sentence per stage."""
        self.console.print(sentence, markup=False)

    @contextmanager
    def bar(self, label: str) -> Iterator[Advance]:
        """A bar for one stage, with the time left."""
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        if not (shown := self.console.is_terminal):  # there rich would leave an empty line for every bar
            self.say(label)
        said = time.monotonic()
        with Progress(*columns, console=self.console, transient=True, disable=not shown) as progress:
            task = progress.add_task(label, total=None)

            def advance(what: str, done: float, total: float | None) -> None:
                nonlocal said
                progress.update(task, description=what, completed=done, total=total)
                if not shown and time.monotonic() - said > LINE_EVERY:
                    said = time.monotonic()
                    self.say(f"  {what}" + (f": {done / total:.0%}" if total else ""))

            yield advance
