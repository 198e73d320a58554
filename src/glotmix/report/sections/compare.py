"""A page on balancing methods: which one, how sure, who overfits."""

from __future__ import annotations

from pathlib import Path

from glotmix.report.frames.compare import Comparison


def write_page(found: Comparison, title: str, question: str, path: Path) -> Path:
    """Write the page and return its path."""
    return path
