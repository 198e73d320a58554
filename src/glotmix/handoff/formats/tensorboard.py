"""TensorBoard event files: scalars of a run's folder, read without TensorBoard.

The format: records of (length, checksum of it, an ``Event`` in protocol buffers, checksum of it), little-endian; of an
event are read its step (field 2), and of its summary (5) each value's tag (1) with a simple number (2) or a tensor (8)
of one float (5) or double (6).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from glotmix.errors import BadInput
from glotmix.handoff.formats.format import MOST_BYTES, Found, ResultFormat
from glotmix.handoff.results import Reported, metric_of

Field = tuple[int, int, bytes | int]
"""Number, wire type and content of a field of a message."""


class TensorBoard(ResultFormat):
    """``events.out.tfevents.*``; the run is told by the path, targets by the tags."""

    title = "TensorBoard: events.out.tfevents.*"

    def knows(self, found: Found) -> bool:
        return "tfevents" in found.path.name

    def read(self, found: Found) -> Iterator[Reported]:
        run = found.run()
        if (size := found.path.stat().st_size) > MOST_BYTES:
            raise BadInput(f"{size} bytes", where=found.shown, expected=f"at most {MOST_BYTES}")
        by_step: dict[int, dict[tuple[str, str], float]] = {}
        for step, tag, value in scalars(found.path.read_bytes(), found.shown):
            if not tag.startswith("train") and (metric := metric_of(tag, found.about.measured)) is not None:
                by_step.setdefault(step, {})[metric] = value
        for step, values in by_step.items():
            yield Reported(where=f"{found.shown}, step {step}", run=run, step=float(step), values=values)


def scalars(data: bytes, where: str) -> Iterator[tuple[int, str, float]]:
    """Step, tag and value of every scalar.

    Raises:
        BadInput: the file ends within a record, or is no event file.
    """
    at = 0
    while at < len(data):
        if len(data) < at + 12:
            raise BadInput("ends within a record", where=where, expected="an event file that was closed")
        (length,) = struct.unpack_from("<Q", data, at)
        end = at + 12 + length
        if len(data) < end + 4:
            raise BadInput("ends within a record, or is no event file", where=where)
        try:
            yield from _of_event(data[at + 12 : end])
        except (ValueError, IndexError, struct.error, UnicodeDecodeError, TypeError):
            raise BadInput("is no event file", where=where) from None
        at = end + 4


def _of_event(data: bytes) -> Iterator[tuple[int, str, float]]:
    step, values = 0, list[bytes]()
    for number, _, content in _fields(data):
        if number == 2 and isinstance(content, int):
            step = content
        elif number == 5 and isinstance(content, bytes):
            values += [value for n, _, value in _fields(content) if n == 1 and isinstance(value, bytes)]
    for value in values:
        tag, scalar = "", None
        for number, kind, content in _fields(value):
            if number == 1 and isinstance(content, bytes):
                tag = content.decode("utf-8")
            elif number == 2 and kind == 5 and isinstance(content, bytes):
                scalar = float(struct.unpack("<f", content)[0])
            elif number == 8 and isinstance(content, bytes):
                scalar = _of_tensor(content)
        if scalar is not None:
            yield step, tag, scalar


def _of_tensor(data: bytes) -> float | None:
    """The number of a tensor that holds one: packed floats (5) or doubles (6), or raw bytes (4)."""
    forms = {(5, 4): "<f", (6, 8): "<d", (4, 4): "<f", (4, 8): "<d"}
    for number, _, content in _fields(data):
        if isinstance(content, bytes) and (form := forms.get((number, len(content)))):
            return float(struct.unpack(form, content)[0])
    return None


def _fields(data: bytes) -> Iterator[Field]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, kind, value
            continue
        if kind == 2:
            length, at = _varint(data, at)
        else:
            length = {1: 8, 5: 4}[kind] if kind in (1, 5) else -1
        if length < 0 or at + length > len(data):
            raise ValueError("field beyond its message")
        yield number, kind, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("number without an end")
