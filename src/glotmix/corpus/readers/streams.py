"""Bytes of a file, decompressed, as lines of text: bounded in memory whatever the file holds."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, cast

from glotmix.errors import BadInput

MAX_LINE_BYTES = 64 << 20
"""Longest line that is read; a longer one is an error, so that no file can fill the memory."""
MAX_EXPANSION = 1000
"""Most bytes that one compressed byte may become, once past a gigabyte; text compresses 3 to 50 times."""
_EXPANSION_FROM = 1 << 30
_REMOTE_BYTES = 1 << 20
_MAX_WINDOW = 128 << 20
"""Largest window a zstd file may ask the memory for (``zstd --long=27``)."""

Errors = Literal["strict", "replace"]


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A file's bytes, decompressed by its ending (.gz .xz .bz2 .zst).

    Raises:
        BadInput: it cannot be opened, or what it holds is not what its ending says.
    """
    damaged: list[type[Exception]] = [EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError]
    if path.suffix == ".zst":
        import zstandard

        damaged.append(zstandard.ZstdError)
    try:
        with path.open("rb") as raw, _decompressed(_buffered(raw), path.suffix) as file:
            yield file
    except tuple(damaged) as error:
        raise BadInput(f"damaged or not {path.suffix[1:]}: {error}", where=path) from None
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or error}", where=path) from None


def _buffered(raw: Any) -> BinaryIO:
    """Files of object stores cannot read at most so many bytes of a line, nor small pieces quickly."""
    return cast(BinaryIO, raw if isinstance(raw, io.BufferedIOBase) else io.BufferedReader(raw, _REMOTE_BYTES))


def _decompressed(raw: BinaryIO, suffix: str) -> IO[bytes]:
    match suffix:
        case ".gz":
            return cast(IO[bytes], gzip.GzipFile(fileobj=raw))
        case ".xz":
            return lzma.LZMAFile(raw)
        case ".bz2":
            return bz2.BZ2File(raw)
        case ".zst":
            return io.BufferedReader(_ZstdFile(raw), 1 << 16)
    return raw


class _ZstdFile(io.RawIOBase):
    """Decompressed bytes of a zstd file. The library's own stream takes a file that was cut off for a shorter one."""

    _CHUNK = 2048  # a block of 4 bytes may become 128 KiB, so this much may become 64 MiB

    def __init__(self, raw: BinaryIO):
        import zstandard

        self._frames = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        self._frame = self._frames.decompressobj()
        self._file = raw
        self._fresh, self._ready = True, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            chunk = (self._frame.unused_data if self._frame.eof else b"") or self._file.read(self._CHUNK)
            if self._frame.eof:
                self._frame, self._fresh = self._frames.decompressobj(), True
            if not chunk:
                if not self._fresh:
                    raise EOFError("ends in the middle of a frame")
                return 0
            self._fresh = False
            self._ready = memoryview(self._frame.decompress(chunk))
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


def lines(path: Path, errors: Errors = "strict") -> Iterator[tuple[int, str]]:
    """Lines of a UTF-8 file without their ends, numbered from 1. A byte order mark is dropped.

    Raises:
        BadInput: bytes that are not UTF-8, with file, line and byte offset; a line over ``MAX_LINE_BYTES``; a file that
            decompresses beyond ``MAX_EXPANSION``.
    """
    offset = number = 0
    bound = Bound(path)
    with opened(path) as file:
        while raw := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(raw) > MAX_LINE_BYTES:
                where, limit_text = f"{path}:{number}", f"at most {MAX_LINE_BYTES} bytes in a line"
                raise BadInput("line too long", where=where, expected=limit_text)
            text = decoded(raw, f"{path}:{number}", errors, offset)
            yield number, text.removeprefix("\ufeff").rstrip("\r\n") if number == 1 else text.rstrip("\r\n")
            offset += len(raw)
            bound.take(len(raw))


class Bound:
    """Stops the reading of a file that becomes more text than compression explains."""

    def __init__(self, path: Path):
        self._path, self._taken = path, 0
        self._most = max(_EXPANSION_FROM, MAX_EXPANSION * path.stat().st_size)

    def take(self, size: int) -> None:
        """Count bytes that were read.

        Raises:
            BadInput: they are too many.
        """
        self._taken += size
        if self._taken > self._most:
            message = f"decompresses to over {self._taken} bytes"
            raise BadInput(message, where=self._path, expected=f"at most {MAX_EXPANSION} times its size")


def decoded(raw: bytes, where: object, errors: Errors, offset: int = 0, encoding: str = "utf-8") -> str:
    """Bytes as text; ``offset`` is where they begin in the (decompressed) file, for the message."""
    try:
        return raw.decode(encoding, errors)
    except UnicodeDecodeError as error:
        raise BadInput(
            f"not valid UTF-8: byte 0x{raw[error.start]:02x} at offset {offset + error.start}",
            where=where,
            expected="UTF-8, or corpus.errors: replace",
        ) from None
