"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Advance = Callable[[str, float, float | None], None]
"""Receives what is being done, how much is done, and the total (None when unknown)."""
