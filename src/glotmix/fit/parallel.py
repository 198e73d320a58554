"""Independent fits side by side: targets of one law, or laws and folds of a comparison."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

R = TypeVar("R")


def each(function: Callable[..., R], tasks: Sequence[tuple[Any, ...]], workers: int = 1) -> list[R]:
    """``[function(*task) for task in tasks]``, in as many processes as there are workers; the results are the same.

    Processes are started afresh (a second or so each), so this pays from some seconds of work; a script that asks for
    several needs its ``if __name__ == "__main__"``.
    """
    if workers <= 1 or len(tasks) < 2:
        return [function(*task) for task in tasks]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context) as pool:
        return list(pool.map(function, *zip(*tasks, strict=True)))
