"""Independent fits side by side: targets of one law, or laws and folds of a comparison."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

from glotmix.orphan import die_with_parent
from glotmix.progress import Advance

R = TypeVar("R")


def each(
    function: Callable[..., R],
    tasks: Sequence[tuple[Any, ...]],
    workers: int = 1,
    *,
    what: str = "Fitting",
    tell: Advance | None = None,
) -> list[R]:
    """``[function(*task) for task in tasks]``, in as many processes as there are workers; the results are the same.

    Processes are started afresh (a second or so each), so this pays from some seconds of work; a script that asks for
    several needs its ``if __name__ == "__main__"``.
    """
    if workers <= 1 or len(tasks) < 2:
        return _told((function(*task) for task in tasks), len(tasks), what, tell)
    context = multiprocessing.get_context("spawn")
    # A process whose parent was killed would else finish a fit of minutes that nobody waits for.
    end, parent = die_with_parent, (os.getpid(),)
    with ProcessPoolExecutor(min(workers, len(tasks)), context, initializer=end, initargs=parent) as pool:
        return _told(pool.map(function, *zip(*tasks, strict=True)), len(tasks), what, tell)


def _told(results: Iterable[R], total: int, what: str, tell: Advance | None) -> list[R]:
    """The results as they come, in order."""
    done: list[R] = []
    if tell is not None:
        tell(what, 0, total)
    for result in results:
        done.append(result)
        if tell is not None:
            tell(what, len(done), total)
    return done
