"""Files of text and of records: ``DIR/<lang>/**``, ``DIR/<lang>.<ending>``, or files that hold several languages."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from glotmix.corpus.document import Document
from glotmix.corpus.readers.reader import SeparableReader
from glotmix.corpus.readers.records import Records, options_of
from glotmix.reading.rows import FORMATS, Wanted, endings, format_of, read_rows
from glotmix.reading.streams import COMPRESSIONS, lines, whole
from glotmix.reading.tally import ReadTally

PLAIN = (".txt", *(f".txt{more}" for more in COMPRESSIONS))
MAX_DOCUMENT_BYTES = 1 << 20
"""A text file in a language's directory that is larger than this is many documents, not one."""
READS = {
    "plain": ("plain",),
    "jsonl": ("jsonl", "json"),
    "csv": ("csv", "tsv"),
    "parquet": ("parquet",),
    "files": ("plain", *FORMATS),
}
"""``corpus.reader`` to the formats that it reads."""


class FilesReader(SeparableReader):
    """Plain text, JSON Lines, JSON, CSV, TSV and Parquet, compressed or not.

    A row is a document; with ``language_field`` a file may hold rows of all languages. A text file of its own in a
    directory is one document, named by its path, so ``es/intro.txt`` and ``fr/intro.txt`` count as translations. One
    that is the whole language, or is longer than a megabyte, is cut at its blank lines (and at a line's end where a
    megabyte goes by without one)."""

    @cached_property
    def suffixes(self) -> tuple[str, ...]:  # type: ignore[override]
        """Endings of the files it reads."""
        own = READS[self.config.reader]
        return (PLAIN if "plain" in own else ()) + endings([name for name in own if name != "plain"])

    def _read(self, name: str, path: Path, language: str, tally: ReadTally) -> Iterator[Document]:
        if path.name.lower().endswith(PLAIN) or (format_of(path) is None and self.config.reader == "plain"):
            yield from self._plain(name, path, language, tally)
            return
        records = Records(self.config, self.config.tag(language), tally)
        for row in read_rows(path, options_of(self.config), Wanted(records.fields)):
            found = records.document(row.fields, f"{name}#{row.number}", row.place)
            if found is not None:
                yield found

    def _plain(self, name: str, path: Path, language: str, tally: ReadTally) -> Iterator[Document]:
        text = whole(path, MAX_DOCUMENT_BYTES, options_of(self.config)) if name else None
        if text is None:
            yield from self._paragraphs(name, path, language)
        elif text := text.replace("\r\n", "\n").strip():
            yield Document(text, name, self.config.tag(language), str(path))
        else:
            tally.leave_out("without text")

    def _paragraphs(self, name: str, path: Path, language: str) -> Iterator[Document]:
        tag = self.config.tag(language)
        kept: list[str] = []
        size = count = start = 0
        for number, line in lines(path, options_of(self.config)):
            blank = not line.strip()
            if kept and (blank or size + len(line) > MAX_DOCUMENT_BYTES):
                yield Document("\n".join(kept), f"{name}#{count}", tag, f"{path}:{start}")
                kept, size, count = [], 0, count + 1
            if not blank:
                start = start if kept else number
                kept.append(line)
                size += len(line)
        if kept:
            yield Document("\n".join(kept), f"{name}#{count}", tag, f"{path}:{start}")
