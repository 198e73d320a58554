"""Parallel text: a document is a translation, and its prompt the sentence that it translates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from glotmix.corpus.document import Document
from glotmix.corpus.readers.reader import SeparableReader, place_of, sampled_digest, tag_of
from glotmix.corpus.readers.records import options_of
from glotmix.corpus.split import hash64
from glotmix.errors import BadInput
from glotmix.language import Language
from glotmix.reading.catalogue import read_catalogue
from glotmix.reading.rows import Wanted, format_of, read_rows
from glotmix.reading.streams import lines
from glotmix.reading.tally import ReadTally
from glotmix.reading.values import MISSING, value_of

EMPTY, SAME = "with an empty side", "the same on both sides"
ROWS = "translation"
"""Field of rows that holds both sides, as data sets of the hub have them: ``{"translation": {"en": …, "fr": …}}``."""
COLUMNS = ("source", "target")
"""What the columns of TSV and CSV files without a header are taken for."""


class _Pair(NamedTuple):
    place: str
    source: str
    target: str


def pair_of(source: str, target: str, tag: str, place: str) -> Document:
    """A pair as a document.

    The prompt is the source after the code of the language that it is translated into ("fr Good morning"), so that one
    model translates into several. Pairs with the same source share an id, whatever their targets: they fall on the same
    side of the split, in all languages.
    """
    return Document(target, f"{hash64(source):016x}", tag, place, f"{Language.resolve(tag).bcp47} {source}")


class PairsReader(SeparableReader):
    """Pairs of a sentence and its translation: two files with a line for each (Moses, OPUS, WMT), rows with both sides
    (TSV, CSV, JSON Lines, Parquet), or catalogues of messages (``.mo``).

    Pairs with an empty side are left out and counted, and those whose sides are the same unless ``drop_untranslated``
    is off.
    """

    suffixes = ("",)

    def _read(self, name: str, path: Path, language: str, tally: ReadTally) -> Iterator[Document]:
        tag = self.config.tag(language)
        if not tag:
            where, expected = f"sources.{language}.language", "the language that it is translated into"
            raise BadInput(f"{language} has no language", where=where, expected=expected)
        for place, source, target in self._pairs(path, language, tag):
            source, target = source.strip(), target.strip()
            if not source or not target:
                tally.leave_out(EMPTY)
            elif source == target and self.config.drop_untranslated:
                tally.leave_out(SAME)
            else:
                yield pair_of(source, target, tag, place)

    def _pairs(self, path: Path, language: str, tag: str) -> Iterator[_Pair]:
        if (other := self._translated(language)) is not None:
            yield from self._lines(other, path)
        elif path.name.lower().endswith((".mo", ".gmo")):
            for number, *sides in read_catalogue(path, self.config.errors):
                yield _Pair(f"{path}:{number}", *(" ".join(one.split()) for one in sides))
        elif (form := format_of(path)) is not None:
            yield from self._rows(path, form, tag)
        else:
            raise BadInput(
                "a file of lines whose other side is not told",
                where=path,
                expected=f"sources.{language}.translates: the file of what it translates; or TSV, JSON Lines, .mo",
            )

    def _lines(self, source: Path, target: Path) -> Iterator[_Pair]:
        """Line by line; where one file ends before the other, no pair can be trusted."""
        options = options_of(self.config)
        for one, other in zip_longest(lines(source, options), lines(target, options)):
            if one is None or other is None:
                counts = [sum(1 for _ in lines(path, options)) for path in (source, target)]
                raise BadInput(
                    f"{counts[1]:,} lines, but {source} has {counts[0]:,}",
                    where=target,
                    expected="files of as many lines, each a translation of the other's",
                )
            yield _Pair(f"{target}:{other[0]}", one[1], other[1])

    def _rows(self, path: Path, form: str, tag: str) -> Iterator[_Pair]:
        told = (self.config.prompt_field, self.config.text_field if self.config.prompt_field else None)
        headed = form not in ("csv", "tsv") or told[0] is not None
        for row in read_rows(path, options_of(self.config), Wanted(columns=None if headed else COLUMNS)):
            names = told if told[0] else COLUMNS if not headed else _sides(row.fields, tag, row.place)
            found = [value_of(row.fields, str(name)) for name in names]
            for name, value in zip(names, found, strict=True):
                if value is MISSING or not isinstance(value, str | None):
                    raise BadInput(
                        f"no text in field {name!r}; it has {', '.join(map(str, list(row.fields)[:12]))}",
                        where=row.place,
                        expected="prompt_field and text_field to name the sentence and its translation",
                    )
            yield _Pair(row.place, *(str(value or "") for value in found))

    def _translated(self, language: str) -> Path | None:
        """The file that those of a language are the translation of, where it is one of its own."""
        told = self.config.described[language].translates if language in self.config.described else None
        return None if told is None else place_of(told, self.base)

    def size(self, language: str) -> int | None:
        other, size = self._translated(language), super().size(language)
        return size if other is None or size is None or not other.is_file() else size + other.stat().st_size

    def inputs(self) -> dict[str, Any]:
        others = {language: self._translated(language) for language in self.languages}
        found = {name: sampled_digest(path).hex()[:16] for name, path in others.items() if path is not None}
        kept = {"drop_untranslated": self.config.drop_untranslated, "translates": found}
        return super().inputs() | {"pairs": kept}


def _sides(fields: Mapping[str, Any], tag: str, place: str) -> tuple[str, str]:
    """Names of both sides of a row that holds one text by language, the target's by its tag."""
    both = fields.get(ROWS)
    if isinstance(both, Mapping) and len(both) == 2:
        target = [name for name in both if tag_of(str(name)) == tag]
        if len(target) == 1:
            source = next(name for name in both if name != target[0])
            return f"{ROWS}.{source}", f"{ROWS}.{target[0]}"
    raise BadInput(
        f"which fields are the two sides is not told; it has {', '.join(map(str, list(fields)[:12]))}",
        where=place,
        expected=f'prompt_field and text_field, or a field {ROWS!r} such as {{"en": …, "fr": …}} with {tag} in it',
    )
