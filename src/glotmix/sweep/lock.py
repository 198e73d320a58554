"""One driver per study, the second is told who holds it; one worker per order, the second waits."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glotmix.errors import BadInput, GlotmixError

LOCK = ".lock"


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold the study in ``directory``; the kernel releases it when this process dies, however it dies.

    Raises:
        BadInput: another process holds it; the message names process and host.
        GlotmixError: the folder cannot be written.
    """
    path = directory / LOCK
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - stays open as long as the lock is held
    except OSError as error:
        raise GlotmixError(f"{path}: cannot be written: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise BadInput(f"is being worked on by {_holder(file.read())}", where=directory) from None
        file.seek(0)
        file.truncate()
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        file.flush()
        yield


@contextmanager
def alone(order: Path) -> Iterator[None]:
    """Wait until no other process works on an order: an orphan that is still dying, and its successor."""
    with open(order, encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _holder(text: str) -> str:
    try:
        holder = json.loads(text)
        return f"process {holder['pid']} on {holder['host']}"
    except (json.JSONDecodeError, KeyError, TypeError):
        return "another process"
