"""Numbers as they are kept in results: five significant digits, so that files stay small and can be compared."""

from __future__ import annotations

from typing import Any

DIGITS = 5


def rounded(value: Any) -> Any:
    """The same with numbers of ``DIGITS`` significant digits."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
