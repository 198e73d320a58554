"""Values of a row's fields as text: what is written as a number stays as it is written."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

MISSING = object()
"""What :func:`value_of` gives for a field that is not there; None is a field that is null."""


class Number(float):
    """A number with a point or an exponent, and how it was spelt: "1.50" is one answer and "1.5" another."""

    spelling: str

    def __new__(cls, spelling: str) -> Number:
        number = super().__new__(cls, spelling)
        number.spelling = spelling
        return number


def text_of(value: object) -> str | None:
    """A value as text; None for what is neither text nor a number.

    Numbers of JSON are spelt as they were. Those of Parquet have no spelling: one without a fraction is written without
    a point, as tables make floats of whole numbers where one is missing.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, Number):
        return value.spelling
    if isinstance(value, float) and value == value:
        return str(int(value)) if value.is_integer() and abs(value) < 1 << 53 else repr(value)
    return None


def is_missing(value: object) -> bool:
    """Whether a value says nothing: it is not there, null, NaN or blank."""
    return (
        value is MISSING
        or value is None
        or (isinstance(value, float) and value != value)
        or (isinstance(value, str) and not value.strip())
    )


def value_of(record: Mapping[str, Any], name: str) -> Any:
    """A field by its name, or by a path of names (``metadata.lang``); ``MISSING`` where there is none."""
    if name in record:
        return record[name]
    head, dot, rest = name.partition(".")
    inner = record.get(head)
    return value_of(inner, rest) if dot and isinstance(inner, Mapping) else MISSING


def kind_of(value: object) -> str:
    """What a value is, in words, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"{value}".lower()
    kinds = {str: "text", int: "number", float: "number", Decimal: "number", list: "list", dict: "object"}
    name = next((word for kind, word in kinds.items() if isinstance(value, kind)), type(value).__name__)
    return f"a {name}" if name[0] not in "aeiou" else f"an {name}"
