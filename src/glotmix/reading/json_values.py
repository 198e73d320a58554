"""JSON Lines, and JSON files that hold an array or several values, one value at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from glotmix.errors import BadInput
from glotmix.reading import streams
from glotmix.reading.streams import UTF8, ReadOptions, chunks, lines
from glotmix.reading.values import Number

MAX_DEPTH = 100
"""Brackets inside brackets."""
MAX_DIGITS = 4300
"""Digits of a whole number, Python's own limit: more take a time that grows with their square."""
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SPACE = re.compile(r"[ \t\r\n]*")
_BRACKETS = re.compile(r"[\[\]{}]")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"field {next(name for name in names if names.count(name) > 1)!r} is listed twice")
    return record


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits, over {MAX_DIGITS}")
    return int(digits)


def _constant(name: str) -> float | None:
    """What is no number, as pandas writes what is missing, is nothing. Infinity stays a number."""
    return None if name == "NaN" else float(name)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_whole, parse_float=Number, parse_constant=_constant)


def read_json_lines(path: Path, options: ReadOptions = UTF8) -> Iterator[tuple[int, str, Any]]:
    """Number, place and value of every line that is not blank.

    Raises:
        BadInput: a line that is no JSON, with file and line; as :func:`glotmix.reading.streams.raw_lines`.
    """
    for number, line in lines(path, options):
        if line.strip(" \t\r"):
            place = f"{path}:{number}"
            try:
                _bounded(line)
                value = _DECODER.decode(line)
            except (ValueError, RecursionError) as error:
                raise _refused(error, place, "one JSON object per line") from None
            yield number, place, value


def read_json(path: Path, options: ReadOptions = UTF8) -> Iterator[tuple[int, str, Any]]:
    """Number, place and value of every element of an array, or of values one after the other; memory holds one of them.

    Raises:
        BadInput: what is no JSON, with file and line; as :func:`glotmix.reading.streams.raw_lines`.
    """
    text = _Ahead(path, options)
    array = text.peek() == "["
    text.skip("[" if array else "")
    number = 0
    while text.peek() not in ("", "]" if array else ""):
        number += 1
        value = text.value()
        yield number, text.place, value
        if text.peek() == ",":
            text.skip(",")
            if array and text.peek() == "]":
                raise BadInput("not valid JSON: a comma before ]", where=text.here(), expected="an array of objects")
        elif array and text.peek() != "]":
            raise BadInput("not valid JSON: no comma between elements", where=text.here(), expected="[{…}, {…}]")
    if array:
        text.skip("]")
        if text.peek():
            raise BadInput("not valid JSON: text behind the array", where=text.here(), expected="one array of objects")


class _Ahead:
    """The text of a file, as much of it as the next value needs."""

    def __init__(self, path: Path, options: ReadOptions):
        self._path, self._chunks = path, chunks(path, options)
        self._text, self._at, self._line, self._over = "", 0, 1, False
        self.place = f"{path}:1"
        """Where the value given last begins."""

    def here(self) -> str:
        """The place that is read next."""
        return f"{self._path}:{self._line + self._text.count(chr(10), 0, self._at)}"

    def peek(self) -> str:
        """The next character that is not white space; "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(1):
                return ""

    def skip(self, what: str) -> None:
        """Go beyond what :meth:`peek` gave."""
        if what and self.peek() != what:
            raise BadInput(f"not valid JSON: the file ends without {what}", where=self.here(), expected="a whole file")
        self._at += len(what)

    def value(self) -> Any:
        """The next value, read on until it is whole."""
        self.peek()
        self.place = self.here()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
                if end == len(self._text) and self._more(1):
                    continue  # a number may go on
                _bounded(self._text[self._at : end])
                self._at = end
                return value
            except (ValueError, RecursionError) as error:
                size = len(self._text) - self._at
                if size > streams.MAX_LINE_BYTES:
                    expected = f"at most {streams.MAX_LINE_BYTES} bytes in an object"
                    raise BadInput("object too long", where=self.place, expected=expected) from None
                final = isinstance(error, RecursionError) or not isinstance(error, json.JSONDecodeError)
                if final or not self._more(size):  # twice as much each time: the time stays linear
                    raise _refused(error, self.place, "an array of objects, or objects") from None

    def _more(self, least: int) -> bool:
        """Read at least so many characters on, if there are any; forgets what was read."""
        parts, size = [], 0
        while size < least and not self._over:
            chunk = next(self._chunks, None)
            self._over = chunk is None
            parts.append(chunk or "")
            size += len(parts[-1])
        self._line += self._text.count("\n", 0, self._at)
        self._text, self._at = self._text[self._at :] + "".join(parts), 0
        return size > 0


def _bounded(text: str) -> None:
    """
    Raises:
        ValueError: more than ``MAX_DEPTH`` brackets inside each other.
    """
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _BRACKETS.finditer(_STRING.sub("", text)):
        depth += 1 if match[0] in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"brackets nested over {MAX_DEPTH} deep")


def _refused(error: Exception, place: str, expected: str) -> BadInput:
    if isinstance(error, json.JSONDecodeError):
        reason = f"{error.msg} at character {error.pos + 1}"
    else:
        reason = "brackets nested too deep" if isinstance(error, RecursionError) else str(error)
    return BadInput(f"not valid JSON: {reason}", where=place, expected=expected)
