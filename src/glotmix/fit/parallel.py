"""Independent fits side by side: targets of one law, or laws and folds of a comparison."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from glotmix.orphan import ONE_THREAD, die_with_parent
from glotmix.progress import Advance

R = TypeVar("R")


_POOL: ContextVar[ProcessPoolExecutor | None] = ContextVar("pool", default=None)


@contextmanager
def processes(workers: int) -> Iterator[None]:
    """One pool of processes for every :func:`each` inside: they are started once."""
    if workers <= 1 or _POOL.get() is not None:
        yield
        return
    with _started(workers) as pool:
        token = _POOL.set(pool)
        try:
            yield
        finally:
            _POOL.reset(token)


def each(
    function: Callable[..., R],
    tasks: Sequence[tuple[Any, ...]],
    workers: int = 1,
    *,
    what: str = "Fitting",
    tell: Advance | None = None,
) -> list[R]:
    """``[function(*task) for task in tasks]``, in as many processes as there are workers; the results are the same.

    Here and there linear algebra has one thread: with several it sums in another order.
    Processes are started afresh (a second or so each), so this pays from some seconds of work; a script that asks for
    several needs its ``if __name__ == "__main__"``.
    """
    if workers <= 1 or len(tasks) < 2:
        with threadpool_limits(1, user_api="blas"):
            return _told((function(*task) for task in tasks), len(tasks), what, tell)
    if (pool := _POOL.get()) is not None:
        return _told(pool.map(function, *zip(*tasks, strict=True)), len(tasks), what, tell)
    with _started(min(workers, len(tasks))) as pool:
        return _told(pool.map(function, *zip(*tasks, strict=True)), len(tasks), what, tell)


def _started(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(os.getpid(),)
    )


def _begin(parent: int) -> None:
    """A process whose parent was killed would else finish a fit of minutes that nobody waits for; and processes that
    share the cores need no threads beside them."""
    os.environ.update(ONE_THREAD)
    threadpool_limits(1, user_api="blas")  # numpy may be loaded already, and has read the environment then
    die_with_parent(parent)


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
