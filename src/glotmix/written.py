"""What glotmix wrote as JSON and reads again: its shape is compared first, as files are handed on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from glotmix.errors import BadInput


class Written(BaseModel):
    """Base of what a file holds: exact types, no conversion, finite numbers; keys of later versions are passed over."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)


class WrittenEstimate(Written):
    """A value with its interval; a value that is not finite is None."""

    value: float | None
    low: float | None
    high: float | None


DOES_NOT_FIT: tuple[type[Exception], ...] = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError)
"""What Python raises where the parts of a file do not fit together."""


def _once(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("a name is listed twice")
    return names


Names = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1), AfterValidator(_once)]
"""Names of groups: at least one, each once."""

W = TypeVar("W", bound=Written)


def as_written(shape: type[W], data: object, *, where: object, expected: str) -> W:
    """Data in the shape that they were written in.

    Raises:
        BadInput: the first place that is missing or of another type.
    """
    try:
        return shape.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place, message = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
    raise BadInput(f"{place[:200] or 'the whole'}: {message}", where=where, expected=expected)


@contextmanager
def made_of(where: object, expected: str, *also: type[Exception]) -> Iterator[None]:
    """What the block makes of a file's data it cannot make of these.

    Args:
        where: the file.
        expected: what it should have been.
        also: further kinds of errors that say so.

    Raises:
        BadInput: at the file.
    """
    try:
        yield
    except BadInput as error:
        if str(where) in str(error.where):
            raise
        inside = f"{error.where}: " if error.where is not None else ""
        raise BadInput(f"{inside}{error.message}", where=where, expected=error.expected or expected) from None
    except (*DOES_NOT_FIT, *also) as error:
        reason = f"its parts do not fit together: {error!r}".splitlines()[0][:300]
        raise BadInput(reason, where=where, expected=expected) from None


def numbers(values: Any) -> list[float]:
    """A list of numbers in which None is NaN."""
    return [float("nan") if value is None else float(value) for value in values]
