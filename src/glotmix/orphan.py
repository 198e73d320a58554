"""Child processes: one ends with the one that started it (on Linux the kernel kills it, elsewhere a thread watches)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
# For small models and fits two single-threaded processes beat one process with two threads by far.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
"""What tells the libraries of a process to compute with one thread."""


def die_with_driver() -> None:
    """Arrange that this process is killed when the driver that started it dies, ``kill -9`` included."""
    driver = int(os.environ.get("GLOTMIX_DRIVER", "0"))
    if not driver:
        return
    if "WORLD_SIZE" in os.environ:  # torchrun stands between the driver and this process
        threading.Thread(target=_watch, args=(driver, _alive), daemon=True).start()
    else:
        die_with_parent(driver)


def die_with_parent(parent: int) -> None:
    """Arrange that this process is killed when the process ``parent``, which started it, dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
    threading.Thread(target=_watch, args=(parent, _is_parent), daemon=True).start()


def _is_parent(driver: int) -> bool:
    return os.getppid() == driver


def _alive(driver: int) -> bool:
    try:
        os.kill(driver, 0)
    except ProcessLookupError:
        return False
    return True


def _watch(driver: int, is_there: Callable[[int], bool]) -> None:
    while is_there(driver):
        time.sleep(1)
    os._exit(1)
