"""How every command prints its result and its errors."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from rich.console import RenderableType


def prepare_console() -> None:
    """Make what cannot be shown a question mark: terminals and files of Windows lack letters that tables have."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed before we began
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for as long as the process lives
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def abandon_output() -> None:
    """Drop what could not be written, on a full disk: otherwise Python tries again at its end, and complains."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(nothing, stream.fileno())
    os.close(nothing)


def fail(message: str, code: int) -> NoReturn:
    """Print an error on one line of standard error and leave."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


def remark(*sentences: str) -> None:
    """Print what a reader must know of an input, each sentence once, where it does not mix with results."""
    for sentence in dict.fromkeys(sentences):
        print(f"remark: {sentence}", file=sys.stderr)


def show(as_json: bool, data: Any, *tables: RenderableType) -> None:
    """Print a result: JSON for machines, or tables for people."""
    if as_json:
        every = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
        print(json.dumps(data, ensure_ascii=not every, indent=1, allow_nan=False))
        return
    from rich.console import Console

    console = Console(highlight=False)
    for table in tables:
        if isinstance(table, str):  # a path stays in one piece, whatever the width
            console.print(table, markup=False, soft_wrap=not any(map(str.isspace, table)))
        else:
            console.print(table)
