"""Formats in which trainers leave their results, one per file; the first that knows a file reads it."""

from __future__ import annotations

from glotmix.registry import Registry

FORMATS = Registry(
    "format of results",
    {
        "lines": "glotmix.handoff.formats.lines:Lines",
        "table": "glotmix.handoff.formats.table:ResultsTable",
    },
)
"""Name to the class."""
