"""Plain text: ``DIR/<lang>/**/*.txt``, a document per file, or ``DIR/<lang>.txt`` with blank lines between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from glotmix.corpus.document import Document
from glotmix.corpus.readers.reader import SeparableReader
from glotmix.corpus.readers.streams import decoded, lines, opened

MAX_DOCUMENT_BYTES = 1 << 20
"""A file in a language's directory that is larger than this is many documents, not one."""


class PlainReader(SeparableReader):
    """UTF-8 text files, plain or compressed.

    A file of its own in a directory is one document, named by its path, so ``es/intro.txt`` and ``fr/intro.txt`` count
    as translations. A file that is the whole language, or is longer than a megabyte, is cut at its blank lines (and at
    a line's end where a megabyte goes by without one).
    """

    suffixes = (".txt", ".txt.gz", ".txt.zst", ".txt.xz", ".txt.bz2")

    def _read(self, name: str, path: Path, language: str) -> Iterator[Document]:
        text = self._whole(path) if name else None
        if text is None:
            yield from self._paragraphs(name, path, language)
        elif text:
            yield Document(text, name, language, str(path))

    def _whole(self, path: Path) -> str | None:
        """The text of a file, or None when it is too long to be one document."""
        with opened(path) as file:
            raw = file.read(MAX_DOCUMENT_BYTES + 1)
        if len(raw) > MAX_DOCUMENT_BYTES:
            return None
        text = decoded(raw, path, self.config.errors).removeprefix("\ufeff")
        return text.replace("\r\n", "\n").strip()

    def _paragraphs(self, name: str, path: Path, language: str) -> Iterator[Document]:
        kept: list[str] = []
        size = count = start = 0
        for number, line in lines(path, self.config.errors):
            blank = not line.strip()
            if kept and (blank or size + len(line) > MAX_DOCUMENT_BYTES):
                yield Document("\n".join(kept), f"{name}#{count}", language, f"{path}:{start}")
                kept, size, count = [], 0, count + 1
            if not blank:
                start = start if kept else number
                kept.append(line)
                size += len(line)
        if kept:
            yield Document("\n".join(kept), f"{name}#{count}", language, f"{path}:{start}")
