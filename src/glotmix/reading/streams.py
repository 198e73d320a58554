"""Bytes of a file, decompressed and decoded, as lines of text: bounded in memory whatever the file holds.

A line ends at ``\\n`` (or ``\\r\\n``) alone: U+2028, U+0085 and their like are characters of a text. Only a file
without any ``\\n`` is cut at ``\\r``, as old spreadsheets write it."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
_CHUNK_BYTES = 1 << 16
_HEAD_BYTES = 4096
_NULS = (0.2, 0.9)
"""Shares of zero bytes in the head of a file between which it is UTF-16 or UTF-32 and not UTF-8."""

COMPRESSIONS = {
    ".gz": b"\x1f\x8b",
    ".xz": b"\xfd7zXZ\x00",
    ".bz2": b"BZh",
    ".zst": b"\x28\xb5\x2f\xfd",
}
"""Endings of compressed files, and the bytes that their contents begin with."""
_ZST_SKIPPABLE = tuple(bytes([byte]) + b"\x2a\x4d\x18" for byte in range(0x50, 0x60))
"""First bytes of zstd frames that hold no text; some tools begin with one."""
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""Byte order marks and what they say; that of UTF-32 begins with that of UTF-16."""

Errors = Literal["strict", "replace"]


@dataclass(frozen=True)
class ReadOptions:
    """How the bytes of a file become text."""

    encoding: str | None = None
    """Encoding of text without a byte order mark; None is UTF-8."""
    errors: Errors = "strict"
    """Whether bytes that are no text stop the reading or become U+FFFD."""
    remedy: str = "UTF-8"
    """What would be right, for messages: which option says that a file is in another encoding."""


UTF8 = ReadOptions()
"""What is not said otherwise."""


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A file's bytes, decompressed by what they begin with (gzip, xz, bzip2, zstd), whatever the file is called.

    Raises:
        BadInput: it cannot be opened, or what it holds is not what its ending says.
    """
    damaged: list[type[Exception]] = [EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError]
    kind = ""
    try:
        with path.open("rb") as raw:
            buffered = _buffered(raw)
            kind = _compression(buffered, path)
            if kind == ".zst":
                import zstandard

                damaged.append(zstandard.ZstdError)
            with _decompressed(buffered, kind) as file:
                yield file
    except tuple(damaged) as error:
        raise BadInput(f"damaged or not {kind[1:]}: {error}", where=path) from None
    except OSError as error:
        no_number = kind and error.errno is None  # bz2 has no error of its own for data that are none
        reason = f"damaged or not {kind[1:]}" if no_number else "cannot be read"
        raise BadInput(f"{reason}: {error.strerror or error}", where=path) from None


def _buffered(raw: Any) -> io.BufferedReader:
    """Files of object stores cannot read at most so many bytes of a line, nor small pieces quickly."""
    return raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(raw, _REMOTE_BYTES)


def _compression(file: io.BufferedReader, path: Path) -> str:
    """Ending that the file should have by what it begins with; "" where it is not compressed."""
    head = file.peek(8)[:8]
    for ending, magic in COMPRESSIONS.items():
        if head.startswith(magic) and (ending != ".bz2" or head[3:4].isdigit()):
            return ending
    if path.suffix == ".zst" and head.startswith(_ZST_SKIPPABLE):
        return ".zst"
    if path.suffix in COMPRESSIONS:
        begins = f"begins with {head[:4].hex(' ')}" if head else "empty"
        raise BadInput(f"damaged or not {path.suffix[1:]}: {begins}", where=path)
    return ""


def _decompressed(raw: io.BufferedReader, kind: str) -> IO[bytes]:
    match kind:
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
        return _given(self, buffer)

    _ready: memoryview


class _Transcoded(io.RawIOBase):
    """Text of another encoding as UTF-8, so that what reads lines knows one encoding."""

    def __init__(self, file: IO[bytes], encoding: str, path: Path, options: ReadOptions):
        self._file, self._path, self._options, self._encoding = file, path, options, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)(options.errors)
        self._offset, self._line, self._ready, self._over = 0, 1, memoryview(b""), False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._over:
            chunk = self._file.read(_CHUNK_BYTES)
            self._over = not chunk
            held = len(self._decoder.getstate()[0])
            try:
                text = self._decoder.decode(chunk, final=self._over)
            except UnicodeError as error:
                raise self._refused(error, held) from None
            self._offset += len(chunk)
            self._line += text.count("\n")
            self._ready = memoryview(text.encode("utf-8", "replace"))
        return _given(self, buffer)

    def _refused(self, error: UnicodeError, held: int) -> BadInput:
        """``held``: bytes that the decoder kept of what came before."""
        if not isinstance(error, UnicodeDecodeError):  # no byte order mark in UTF-16 that was asked for
            return BadInput(f"not valid {self._encoding}: {error}", where=self._path, expected=self._options.remedy)
        line = self._line + error.object[: error.start].decode(self._encoding, "ignore").count("\n")
        at, byte = self._offset - held + error.start, error.object[error.start]
        message = f"not valid {self._encoding}: byte 0x{byte:02x} at offset {at}"
        return BadInput(message, where=f"{self._path}:{line}", expected=self._options.remedy)


def _given(stream: Any, buffer: Any) -> int:
    """Put what a stream has ready into ``buffer``; how many bytes that were."""
    size = min(len(buffer), len(stream._ready))
    buffer[:size], stream._ready = stream._ready[:size], stream._ready[size:]
    return size


def _as_utf8(file: IO[bytes], path: Path, options: ReadOptions) -> IO[bytes]:
    """The same text in UTF-8, by its byte order mark, else by ``options.encoding``. A mark of UTF-8 is left in.

    Raises:
        BadInput: an encoding that there is not, or UTF-16 that nothing says is UTF-16.
    """
    head = cast(io.BufferedReader, file).peek(_HEAD_BYTES)[:_HEAD_BYTES]
    marked = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    encoding = marked or options.encoding or "utf-8"
    try:
        "".encode(encoding).decode(encoding)  # refuses what is no encoding of text, such as rot13
        name = codecs.lookup(encoding).name
    except (LookupError, UnicodeError):
        raise BadInput(f"no encoding {encoding!r}", where=path, expected="utf-8, cp1252, gbk, shift_jis, …") from None
    if name != "utf-8":
        return io.BufferedReader(_Transcoded(file, encoding, path, options), _CHUNK_BYTES)
    if len(head) >= 8 and _NULS[0] < head.count(0) / len(head) < _NULS[1]:
        raise BadInput(
            f"{head.count(0)} of its first {len(head)} bytes are zero",
            where=path,
            expected=f"{options.remedy}; is it UTF-16?",
        )
    return file


def raw_lines(path: Path, options: ReadOptions = UTF8) -> Iterator[tuple[int, str]]:
    """Lines of a text file with their ends, numbered from 1. A byte order mark is dropped.

    Raises:
        BadInput: bytes that are no text, with file, line and byte offset; a line over ``MAX_LINE_BYTES``; a file that
            decompresses beyond ``MAX_EXPANSION``.
    """
    offset = number = 0
    bound = Bound(path)
    with opened(path) as file:
        source = _as_utf8(file, path, options)
        while raw := source.readline(MAX_LINE_BYTES + 1):
            if len(raw) > MAX_LINE_BYTES:
                where, limit_text = f"{path}:{number + 1}", f"at most {MAX_LINE_BYTES} bytes in a line"
                raise BadInput("line too long", where=where, expected=limit_text)
            old = not number and b"\n" not in raw and b"\r" in raw
            for one in raw.splitlines(keepends=True) if old else (raw,):
                number += 1
                text = decoded(one, f"{path}:{number}", options, offset)
                yield number, text.removeprefix("\ufeff") if number == 1 else text
                offset += len(one)
            bound.take(len(raw))


def lines(path: Path, options: ReadOptions = UTF8) -> Iterator[tuple[int, str]]:
    """As :func:`raw_lines`, without their ends."""
    for number, line in raw_lines(path, options):
        yield number, line.rstrip("\r\n")


def chunks(path: Path, options: ReadOptions = UTF8) -> Iterator[str]:
    """The text of a file in pieces of about ``_CHUNK_BYTES``. Raises as :func:`raw_lines`, which see."""
    bound, offset, line = Bound(path), 0, 1
    decoder = codecs.getincrementaldecoder("utf-8")(options.errors)
    with opened(path) as file:
        source, over = _as_utf8(file, path, options), False
        while not over:
            raw = source.read(_CHUNK_BYTES)
            over, held = not raw, len(decoder.getstate()[0])
            try:
                text = decoder.decode(raw, final=over)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                raise _not_utf8(error, f"{path}:{line}", options, offset - held) from None
            yield text.removeprefix("\ufeff") if not offset else text
            offset += len(raw)
            line += text.count("\n")
            bound.take(len(raw))


def whole(path: Path, most: int, options: ReadOptions = UTF8) -> str | None:
    """The text of a file; None where it has more than ``most`` bytes. Raises as :func:`raw_lines`, which see."""
    with opened(path) as file:
        raw = _as_utf8(file, path, options).read(most + 1)
    return None if len(raw) > most else decoded(raw, path, options).removeprefix("\ufeff")


class Bound:
    """Stops the reading of a file that becomes more text than compression explains."""

    def __init__(self, path: Path):
        self._path, self._taken = path, 0
        self._most: float | None = None

    def take(self, size: int) -> None:
        """Count bytes that were read.

        Raises:
            BadInput: they are too many.
        """
        self._taken += size
        if self._taken > _EXPANSION_FROM:
            self._most = self._most or MAX_EXPANSION * self._path.stat().st_size
            if self._taken > max(_EXPANSION_FROM, self._most):
                message = f"decompresses to over {self._taken} bytes"
                raise BadInput(message, where=self._path, expected=f"at most {MAX_EXPANSION} times its size")


def decoded(raw: bytes, where: object, options: ReadOptions, offset: int = 0) -> str:
    """Bytes as text; ``offset`` is where they begin in the (decompressed) file, for the message."""
    try:
        return raw.decode("utf-8", options.errors)
    except UnicodeDecodeError as error:
        raise _not_utf8(error, where, options, offset) from None


def _not_utf8(error: UnicodeDecodeError, where: object, options: ReadOptions, offset: int) -> BadInput:
    byte = error.object[error.start]
    message = f"not valid UTF-8: byte 0x{byte:02x} at offset {offset + error.start}"
    return BadInput(message, where=where, expected=options.remedy)
