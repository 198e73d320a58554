"""Catalogues of translated messages (``.mo``), as gettext compiles them from ``.po`` files: every program has some."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from glotmix.errors import BadInput
from glotmix.reading.streams import Errors, opened

MAX_BYTES = 64 << 20
"""Largest catalogue; those of whole desktops have five megabytes."""
_MAGIC = {b"\xde\x12\x04\x95": "<", b"\x95\x04\x12\xde": ">"}


def read_catalogue(path: Path, errors: Errors = "strict") -> Iterator[tuple[int, str, str]]:
    """Messages of a catalogue with their translations: (place from 1, message, translation), either may be empty.

    The context that a message has for its translators is left out, and of plurals only the singular is given. The
    layout is that of GNU gettext's manual, "The Format of GNU MO Files".

    Args:
        path: the file, compressed or not.
        errors: whether bytes that are no text stop the reading or become U+FFFD.

    Raises:
        BadInput: not a catalogue, one that is cut off, or bytes that are not text in the encoding it says.
    """
    with opened(path) as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise BadInput("catalogue too long", where=path, expected=f"at most {MAX_BYTES} bytes")
    order = _MAGIC.get(raw[:4])
    if order is None:
        raise BadInput(f"no catalogue: begins with {raw[:4].hex(' ') or 'nothing'}", where=path, expected="a .mo file")
    try:
        count, messages, translations = struct.unpack_from(f"{order}3I", raw, 8)
        if count * 8 > len(raw):
            raise ValueError(f"{count} messages")
        both = [
            [_cut(raw, *struct.unpack_from(f"{order}2I", raw, table + 8 * i)) for table in (messages, translations)]
            for i in range(count)
        ]
    except (struct.error, ValueError) as error:
        raise BadInput(f"catalogue is cut off: {error}", where=path, expected="a whole .mo file") from None
    encoding = _encoding(both)
    for number, (message, translation) in enumerate(both, 1):
        if not message:
            continue  # the header
        try:
            said, meant = (
                _singular(one.decode(encoding, errors)) for one in (message.rpartition(b"\4")[2], translation)
            )
        except (UnicodeDecodeError, LookupError) as error:
            expected = "the encoding that its header tells, or corpus.errors: replace"
            raise BadInput(f"not valid {encoding}: {error}", where=f"{path}:{number}", expected=expected) from None
        yield number, said, meant


def _cut(raw: bytes, length: int, offset: int) -> bytes:
    if offset + length > len(raw):
        raise ValueError(f"{length} bytes at {offset} of {len(raw)}")
    return raw[offset : offset + length]


def _encoding(both: list[list[bytes]]) -> str:
    """What the header's ``charset`` says, else UTF-8."""
    header = next((translation for message, translation in both if not message), b"").decode("ascii", "replace")
    return header.partition("charset=")[2].split("\n")[0].strip() or "utf-8"


def _singular(text: str) -> str:
    return text.partition("\0")[0]
