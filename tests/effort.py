"""Work counted instead of timed, and waiting without a stopwatch: the same on any machine, busy or idle."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

V = TypeVar("V")

PATIENCE = 600.0
"""Seconds after which something that should happen counts as never happening; no more than a net against hanging."""


@dataclass
class Effort:
    """What was done inside :func:`counted`."""

    calls: int = 0
    """Calls of functions, Python's and those written in C that Python calls."""
    opened: int = 0
    """Files opened by Python (not those that a library opens by itself)."""


@contextmanager
def counted() -> Iterator[Effort]:
    """Count what this thread does inside the ``with``.

    A count grows with the work as time does, so that something quadratic where it should be linear shows at once; what
    one call into C spends in there it does not see.
    """
    effort = Effort()

    def note(frame, event, called):
        if event == "call":
            effort.calls += 1
        elif event == "c_call":
            effort.calls += 1
            effort.opened += called.__name__ == "open"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield effort
    finally:
        sys.setprofile(before)


def eventually(check: Callable[[], V], seconds: float = PATIENCE) -> V:
    """Wait until ``check`` gives something true, and return that."""
    end = time.monotonic() + seconds
    while not (value := check()):
        if time.monotonic() > end:
            raise AssertionError(f"did not come true in {seconds:g} seconds")
        time.sleep(0.05)
    return value
