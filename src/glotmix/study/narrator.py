"""Where a study tells how far it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from glotmix.progress import Advance


@dataclass(frozen=True)
class Narrator:
    """Prints sentences and draws progress bars; on anything but a terminal the bars are left out."""

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
        shown = self.console.is_terminal  # elsewhere rich would leave an empty line for every bar
        with Progress(*columns, console=self.console, transient=True, disable=not shown) as progress:
            task = progress.add_task(label, total=None)

            def advance(what: str, done: float, total: float | None) -> None:
                progress.update(task, description=what, completed=done, total=total)

            yield advance
