"""Manual pages: real text in some thirty languages on any Debian mirror, partly parallel, as a ``man/<lang>/`` tree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.document import Document
from glotmix.corpus.readers.reader import FileReader
from glotmix.corpus.readers.roff import paragraphs
from glotmix.corpus.split import HashSet, hash64
from glotmix.errors import BadInput
from glotmix.reading.files import Listing, children
from glotmix.reading.streams import opened
from glotmix.reading.tally import ReadTally

MAX_PAGE_BYTES = 4 << 20
"""Longest page, decompressed; the longest real ones (of shells and compilers) have two megabytes."""
MIN_PAGE_CHARACTERS = 200
"""Shorter pages are stubs that refer to others."""
REMEMBERED_CHARACTERS = 64 << 20
"""Stripped text kept in memory; all of Debian's translated pages in a dozen languages are less."""
NOTICE_CHARACTERS = 100
"""A paragraph this long that came before in the same language is dropped: licences and translators' notices."""
_CODING = re.compile(rb"""coding:[ \t]*([\w.-]+)""")

_ENGLISH_ONLY = frozenset(
    "the and that this with are which from it be not you has been can when were if there their they than your only "
    "other may must should these any each but used using does into such would".split()
)
_ENGLISH_TOO = frozenset("of to is in for as by on or an a at no so do per over also will was all have file".split())
"""English function words that are words of some other language as well, and count half."""
ENGLISH_SHARE = 0.15
"""Share of function words from which a paragraph of five words or more is taken for English; English prose has 0.3."""


class ManPagesReader(FileReader):
    """``man/<lang>/man1/ls.1.gz`` and the like, English in ``man/man1``. Translations share the id ``man1/ls``.

    A page's markup is stripped by :func:`glotmix.corpus.readers.roff.paragraphs`; pages that only include another
    (``.so``) or are linked to one are left out. With ``drop_untranslated`` a translation loses the paragraphs that read
    as English and those that are the same, letter for letter, in the same page of another of the languages asked for:
    names, synopses and source code, which are in no language. Licences and notices, the same in many pages, are kept
    once.

    Pages are UTF-8 unless their first line or their directory (``ru.KOI8-R``) says otherwise.
    """

    suffixes = (".gz", ".xz", ".bz2", ".zst", "")

    def __init__(self, config: CorpusConfig, languages: Sequence[str], base: Path):
        super().__init__(config, languages, base)
        self._pages: dict[Path, list[str]] = {}
        self._remembered = 0

    @cached_property
    def _top(self) -> list[Path]:
        root = self.root / "man" if (self.root / "man").is_dir() else self.root
        return [path for path in children(root) if path.is_dir()]

    def _places(self, language: str) -> list[Path]:
        if language == "eng_Latn" and language not in self.sources:
            return self._named_after(language)
        return super()._places(language)

    def _named_after(self, tag: str) -> list[Path]:
        sections = sorted(path for path in self._top if _is_section(path)) if tag == "eng_Latn" else []
        return super()._named_after(tag) + sections

    def _whole(self, language: str) -> list[Path]:
        return self._named_after(self.config.tag(language))

    def _stem(self, path: Path) -> str:
        return path.name

    def unclaimed(self) -> list[str]:
        return []  # man pages lie beside much else

    def _listed(self, places: Sequence[Path]) -> Listing:
        return Listing(sorted({pair for place in places for pair in self._files_under(place)}))

    def _files_under(self, place: Path) -> Iterator[tuple[str, Path]]:
        for folder in [place] if _is_section(place) else place.iterdir():
            if folder.is_dir() and _is_section(folder):
                for path in folder.iterdir():
                    if path.is_file() and not path.is_symlink():
                        name = path.name if path.suffix not in self.suffixes[:-1] else path.stem
                        yield f"{folder.name}/{name.rpartition('.')[0] or name}", path

    def _documents(self, language: str, tally: ReadTally) -> Iterator[Document]:
        tag = self.config.tag(language)
        drop = self.config.drop_untranslated and tag != "eng_Latn"
        notices = HashSet()
        for name, path in self.files(language):
            tally.files += 1
            kept = [
                text for text in self._paragraphs(path) if len(text) < NOTICE_CHARACTERS or notices.add(hash64(text))
            ]
            if drop:
                kept = [text for text in kept if not is_english(text) and _key(name, text) not in self._in_two]
            text = "\n".join(kept)
            if len(text) >= MIN_PAGE_CHARACTERS:
                yield Document(text, name, tag, str(path))
            else:
                tally.leave_out(f"under {MIN_PAGE_CHARACTERS} characters")

    def _paragraphs(self, path: Path) -> list[str]:
        """Prose of a page; remembered, as a study reads its corpus three times, until ``REMEMBERED_CHARACTERS``."""
        if (known := self._pages.get(path)) is not None:
            return known
        prose = self._stripped(path)
        if self._remembered < REMEMBERED_CHARACTERS:
            self._pages[path] = prose
            self._remembered += sum(map(len, prose))
        return prose

    def _stripped(self, path: Path) -> list[str]:
        with opened(path) as file:
            raw = file.read(MAX_PAGE_BYTES + 1)
        if len(raw) > MAX_PAGE_BYTES:
            raise BadInput("page too long", where=path, expected=f"at most {MAX_PAGE_BYTES} bytes")
        if re.match(rb"(?:\s*[.']\\\".*\n)*\s*\.so\s", raw):
            return []
        return paragraphs(self._decoded(raw, path))

    def _decoded(self, raw: bytes, path: Path) -> str:
        encoding = _encoding(raw, path)
        try:
            return raw.decode(encoding, self.config.errors)
        except UnicodeDecodeError as error:
            message = f"not valid {encoding.upper()}: byte 0x{raw[error.start]:02x} at offset {error.start}"
            raise BadInput(message, where=path, expected="the encoding it says, or corpus.errors: replace") from None

    @cached_property
    def _in_two(self) -> HashSet:
        """Hashes of paragraphs that the same page has in two of the languages."""
        seen, twice = HashSet(), HashSet()
        for language in self.languages:
            own = HashSet()
            for name, path in self.files(language):
                for text in self._paragraphs(path):
                    key = _key(name, text)
                    if own.add(key) and not seen.add(key):
                        twice.add(key)
        return twice


def _key(name: str, text: str) -> int:
    return hash64(f"{name}\0{text}")


def has_man_pages(folder: Path) -> bool:
    """Whether a folder holds sections of man pages (``man1``, ``man3p``)."""
    return folder.is_dir() and any(_is_section(path) and path.is_dir() for path in children(folder))


def _is_section(path: Path) -> bool:
    return re.fullmatch(r"man[0-9nlp][a-z]*", path.name) is not None


def _encoding(raw: bytes, path: Path) -> str:
    """What the page's first line declares, else what its language directory is called after, else UTF-8."""
    if match := _CODING.search(raw[:200].split(b"\n", 1)[0]):
        declared = match[1].decode("ascii", "replace").lower()
    else:
        declared = path.parent.parent.name.partition(".")[2].partition("@")[0].lower()
    try:
        return "utf-8" if not declared else "".encode(declared).decode() or declared
    except LookupError:
        return "utf-8"


def is_english(text: str) -> bool:
    """Whether a paragraph was left in English: five words or more, ``ENGLISH_SHARE`` of them English function words."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    if len(words) < 5:
        return False
    sure = sum(word in _ENGLISH_ONLY for word in words)
    return sure > 0 and sure + 0.5 * sum(word in _ENGLISH_TOO for word in words) >= ENGLISH_SHARE * len(words)
