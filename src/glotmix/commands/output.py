"""How every command prints its result and its errors."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from rich.console import RenderableType


def fail(message: str, code: int) -> NoReturn:
    """Print an error on one line of standard error and leave."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


def show(as_json: bool, data: Any, *tables: RenderableType) -> None:
    """Print a result: JSON for machines, or tables for people."""
    if as_json:
        print(json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False))
        return
    from rich.console import Console

    console = Console(highlight=False)
    for table in tables:
        console.print(table, markup=False) if isinstance(table, str) else console.print(table)
