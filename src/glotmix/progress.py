"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Advance = Callable[[str, float, float | None], None]
"""Receives what is being done, how much is done, and the total (None when unknown)."""


class Stages:
    """One bar for work in several stages, so that the time left is that of all of them from the first second on."""

    def __init__(self, tell: Advance | None, sizes: Mapping[str, float]):
        """``sizes``: stage to its share of the work, in any unit."""
        self.tell, self.sizes, self.done = tell, dict(sizes), 0.0
        if tell is not None:
            tell(next(iter(sizes)), 0.0, sum(sizes.values()))

    def stage(self, name: str) -> Advance | None:
        """What the work of one stage tells how far it is; the stages before it are complete."""
        if self.tell is None:
            return None
        before, size, total = self.done, self.sizes[name], sum(self.sizes.values())
        self.done += size
        tell = self.tell

        def advance(what: str, done: float, whole: float | None) -> None:
            tell(what, before + (size * done / whole if whole else 0.0), total)

        return advance
