"""Study files that are proposed: values as YAML on lines of their own, each with the reason behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

MOST_LEFT_OUT = 30
"""Things that were not understood which the file lists; all are told in the terminal and as JSON."""
WIDTH = 29
"""Characters before the reason."""


def opening(holds: str, guides: str) -> Iterator[str]:
    """The first lines of a proposed file: what it is, what to type, and where its fields are explained."""
    yield f"# Proposed by `glotmix init` from what the {holds}; every line may be changed."
    yield "#   glotmix run THIS_FILE --dry-run     what it will cost here"
    yield "#   glotmix run THIS_FILE               called again after an interruption, it resumes"
    yield f"# {guides}"


def commented(values: Mapping[str, Any], words: Mapping[str, str], indent: str = "  ") -> Iterator[str]:
    """A line for every field, with its reason where it has one."""
    for name, one in values.items():
        line = f"{indent}{name}: {value(one)}"
        yield f"{line:<{WIDTH}} # {words[name]}" if words.get(name) else line


def not_used(left_out: Mapping[str, str]) -> Iterator[str]:
    """What of the data the study leaves out, with the reasons."""
    for name, reason in list(left_out.items())[:MOST_LEFT_OUT]:
        yield f"# not used: {comment(name)}: {comment(reason)}"
    if len(left_out) > MOST_LEFT_OUT:
        yield f"# not used: {len(left_out) - MOST_LEFT_OUT} more"


def value(given: Any) -> str:
    """A value as YAML; text is quoted where it must be."""
    if isinstance(given, Mapping):
        inside = (f"{json.dumps(key, ensure_ascii=False)}: {value(one)}" for key, one in given.items())
        return "{" + ", ".join(inside) + "}"
    if isinstance(given, list):
        return "[" + ", ".join(map(value, given)) + "]"
    if isinstance(given, float):
        return f"{given:g}"
    if isinstance(given, str) and not given.replace("_", "").replace("/", "").replace(".", "x").isalnum():
        return json.dumps(given, ensure_ascii=False)
    return str(given).lower() if isinstance(given, bool) else str(given)


def in_hours(hours: float) -> str:
    """A time in minutes or hours."""
    return f"{max(1, round(60 * hours))} minutes" if hours < 1.5 else f"{hours:.1f} hours"


def comment(text: str) -> str:
    """Text of others on one line."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())
