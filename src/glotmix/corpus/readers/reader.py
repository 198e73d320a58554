"""Reader: a corpus in some format as a stream of documents per language."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, cast, final

from glotmix.corpus.config import ALL, CorpusConfig
from glotmix.corpus.document import Document
from glotmix.corpus.readers import READERS
from glotmix.errors import BadInput, MissingExtra, refuse
from glotmix.language import Language
from glotmix.reading.files import OTHER_ENDING, Listing, children, list_files
from glotmix.reading.tally import ReadTally
from glotmix.registry import load

BLENDED = "glotmix.corpus.readers.blended:BlendedReader"
"""Reader of sources that are mixtures of others, which it opens by this module's own function."""
PART_BYTES = 64 << 20
"""Files are read together until they hold so much: a part is worth a process, and little is lost with one."""


@dataclass(frozen=True)
class Part:
    """Some neighbouring files of a language."""

    start: int
    """Number of the first file."""
    stop: int
    """Number behind that of the last file."""
    bytes: int
    """Bytes on disk."""


class Reader(ABC):
    """A corpus. Documents of a language come in a fixed order and are streamed: memory holds one of them at a time."""

    def __init__(self, config: CorpusConfig, languages: Sequence[str], base: Path):
        """
        Args:
            config: the ``corpus`` section of a study.
            languages: tags, and names of sources that ``config`` describes, that will be asked for.
            base: directory that ``config.path`` is relative to.
        """
        self.config = config
        self.languages = tuple(config.named(language) for language in languages)
        self.base = base

    @final
    def documents(self, language: str, part: Part | None = None, tally: ReadTally | None = None) -> Iterator[Document]:
        """Documents of ``language``, until ``config.bytes_per_language`` bytes of text have been read.

        Args:
            language: tag of the language.
            part: one of :meth:`parts`; default all of the language.
            tally: counts what is read, and what is left out and why.

        Raises:
            BadInput: no text in that language, or a file that cannot be read, with file and line or byte offset.
        """
        tally = ReadTally() if tally is None else tally
        limit = self.bytes_wanted(language) if part is None else None
        taken = 0
        found = self._documents(language, tally) if part is None else self._documents_in(language, part, tally)
        for document in found:
            taken += (size := document.bytes)
            tally.take(size)
            yield document
            if limit is not None and taken >= limit:
                return
        if not taken and part is None:
            why = f": {tally.rows} rows, {_listed(tally)}" if tally.rows else ""
            raise BadInput(f"no text in {language}{why}", where=self._where(language), expected="at least one document")

    def bytes_wanted(self, language: str) -> int | None:
        """``config.bytes_per_language`` for one language; None for all there is."""
        wanted = self.config.bytes_per_language
        if not isinstance(wanted, dict):
            return wanted
        return {self.config.named(name): value for name, value in wanted.items()}.get(language)

    def parts(self, language: str) -> list[Part]:
        """Parts of a language that can be read apart from each other, in order; none where it must be read whole."""
        return []

    def size(self, language: str) -> int | None:
        """Bytes that have to be read for a language, as they lie on the disk; None where that is not known."""
        return None

    def counted(self, language: str) -> tuple[int, int | None] | None:
        """Tokens, ends of documents included, and documents (None where unknown) that a language has, where its data
        tells them without being read; None where it is text."""
        return None

    def listing(self, language: str) -> Listing:
        """The files of a language, and what lies beside them and is not read; nothing where there are no files."""
        return Listing()

    def places(self, language: str) -> list[Path]:
        """Folders and files that hold a language; nothing where there are no files."""
        return []

    def unclaimed(self) -> list[str]:
        """What lies beside the languages' folders and files and is in none of the languages asked for."""
        return []

    @abstractmethod
    def _documents(self, language: str, tally: ReadTally) -> Iterator[Document]:
        """All documents of a language, in a fixed order; what is left out is counted in ``tally``."""

    def _documents_in(self, language: str, part: Part, tally: ReadTally) -> Iterator[Document]:
        """Documents of one part; only readers with :meth:`parts` have any."""
        raise NotImplementedError

    @abstractmethod
    def inputs(self) -> dict[str, Any]:
        """A JSON value that changes when the text does (names, sizes and digests, no dates); part of fingerprints."""

    def _where(self, language: str) -> object:
        return self.config.path or self.config.reader


class FileReader(Reader):
    """A corpus in files, one directory or file per language, or one for all with a language field."""

    suffixes: tuple[str, ...]
    """Endings of the files it reads, in small letters."""

    def __init__(self, config: CorpusConfig, languages: Sequence[str], base: Path):
        super().__init__(config, languages, base)
        if config.path is None:
            raise BadInput("corpus.path is missing", expected=f"a directory or file for the {config.reader} reader")
        self.root = place_of(config.path, base)
        if not self.root.exists():
            raise BadInput("no such file or directory", where=self.root, expected="the corpus (corpus.path)")
        self.sources = config.places()
        self._listings: dict[str, Listing] = {}

    @property
    def one_for_all(self) -> bool:
        """Whether every file may hold every language, told apart by ``config.language_field``."""
        return self.config.language_field is not None

    @final
    def files(self, language: str) -> list[tuple[str, Path]]:
        """Files of a language, sorted, each with its name inside the language (equal for parallel files).

        Raises:
            BadInput: nothing there; the message lists what is.
        """
        found = self.listing(language)
        if not found.files:
            there = ", ".join(sorted(path.name for path in self._top)[:12]) or "nothing"
            expected = f"{self.root}/<language>/*{self.suffixes[0]}, or corpus.sources"
            if language in self.config.described:
                expected = f"{self.root}/{language}/*{self.suffixes[0]}, or its own path (sources.{language}.path)"
            if others := found.left_out.get(OTHER_ENDING):
                there += f"; {others[0]} and {len(others) - 1} more are of another ending"
                expected += ", or reader: files"
            raise BadInput(
                f"no {self.config.reader} files for {language}; it holds {there}", where=self.root, expected=expected
            )
        return found.files

    @final
    def listing(self, language: str) -> Listing:
        if language not in self._listings:
            self._listings[language] = self._listed(self._places(language))
        return self._listings[language]

    def size(self, language: str) -> int | None:
        on_disk = sum(path.stat().st_size for _, path in self.files(language))
        wanted = self.bytes_wanted(language)
        return on_disk if wanted is None else min(on_disk, wanted)

    def _listed(self, places: Sequence[Path]) -> Listing:
        return list_files(places, self._stem_of)

    def unclaimed(self) -> list[str]:
        if self.one_for_all or self.root.is_file():
            return []
        wanted = set(self.languages)
        claimed = {path for language in self.sources for path in self._places(language)}
        claimed |= {self.root / language.split("/")[0] for language in self.config.described}
        return [path.name for path in self._top if tag_of(self._stem(path)) not in wanted and path not in claimed]

    def places(self, language: str) -> list[Path]:
        return self._places(language)

    def _places(self, language: str) -> list[Path]:
        """Directories and files that hold a language: ``corpus.sources``, else every name that resolves to it."""
        if language in self.sources:
            pattern = self.sources[language]
            if pattern == ALL:
                return self._whole(language)
            return sorted(Path("/").glob(pattern[1:]) if pattern.startswith("/") else self._folder().glob(pattern))
        if self.one_for_all or self.root.is_file():
            return [self.root]
        if language in self.config.described:
            *folders, last = language.split("/")
            folder = self.root.joinpath(*folders)
            there = children(folder) if folder.is_dir() else []
            return sorted(path for path in there if last in (path.name, self._stem(path)))
        return self._named_after(language)

    def _named_after(self, tag: str) -> list[Path]:
        """What is called after a language, in any spelling."""
        return sorted(path for path in self._top if tag_of(self._stem(path)) == tag)

    def _whole(self, language: str) -> list[Path]:
        """What holds a source whose path is all of the corpus's."""
        return [self.root]

    @cached_property
    def _top(self) -> list[Path]:
        if not self.root.is_dir():
            return [self.root]
        return [path for path in children(self.root) if not path.name.startswith(".")]

    def _folder(self) -> Path:
        return self.root if self.root.is_dir() else self.root.parent

    def _stem_of(self, path: Path) -> str | None:
        """Name of a file without its ending; None where the reader does not read such files."""
        ending = next((suffix for suffix in self.suffixes if path.name.lower().endswith(suffix)), None)
        return None if ending is None else path.name[: len(path.name) - len(ending)]

    def _stem(self, path: Path) -> str:
        return self._stem_of(path) or path.name

    def inputs(self) -> dict[str, Any]:
        config = self.config
        names = ("text_field", "prompt_field", "language_field", "id_field", "labels", "encoding", "errors")
        fields = {name: getattr(config, name) for name in names if name in config.model_fields_set}
        return {language: self._digest(self.files(language)) for language in self.languages} | (
            {"fields": fields} if fields else {}
        )

    def _digest(self, files: list[tuple[str, Path]]) -> dict[str, Any]:
        total, digest = 0, hashlib.sha256()
        for name, path in files:
            total += (size := path.stat().st_size)
            digest.update(f"{name}\0{path.name}\0{size}\0".encode() + sampled_digest(path))
        return {"files": len(files), "bytes": total, "digest": digest.hexdigest()[:16]}

    def _where(self, language: str) -> object:
        return self.root


class SeparableReader(FileReader):
    """A corpus whose files tell nothing of each other, so that they can be read apart."""

    def parts(self, language: str) -> list[Part]:
        """Groups of about ``PART_BYTES``; none where the language is cut after some bytes: that is read in order."""
        if self.bytes_wanted(language) is not None:
            return []
        parts: list[Part] = []
        start = size = 0
        files = self.files(language)
        for number, (_, path) in enumerate(files, 1):
            size += path.stat().st_size
            if size >= PART_BYTES or number == len(files):
                parts.append(Part(start, number, size))
                start, size = number, 0
        return parts

    @final
    def _documents(self, language: str, tally: ReadTally) -> Iterator[Document]:
        yield from self._of(self.files(language), language, tally)

    @final
    def _documents_in(self, language: str, part: Part, tally: ReadTally) -> Iterator[Document]:
        yield from self._of(self.files(language)[part.start : part.stop], language, tally)

    def _of(self, files: Sequence[tuple[str, Path]], language: str, tally: ReadTally) -> Iterator[Document]:
        for name, path in files:
            tally.files += 1
            yield from self._read(name, path, language, tally)

    @abstractmethod
    def _read(self, name: str, path: Path, language: str, tally: ReadTally) -> Iterator[Document]:
        """Documents of one file, which is called ``name`` inside its language."""


class SourcesReader(Reader):
    """Sources that lie in several places, in several formats: each is read by a reader of its own kind, those that are
    read alike by one."""

    def __init__(self, config: CorpusConfig, languages: Sequence[str], base: Path):
        super().__init__(config, languages, base)
        alike: dict[str, list[str]] = {}
        blended = [name for name in self.languages if name in config.described and config.described[name].of]
        for name in self.languages:
            if name in blended:
                continue
            like = config.alone(name).model_dump_json(exclude={"sources", "bytes_per_language"})
            alike.setdefault(like, []).append(name)
        self._readers: dict[str, Reader] = {}
        problems = []
        for names in alike.values():
            alone = config.alone(*names)
            try:
                self._readers |= dict.fromkeys(names, READERS.find(alone.reader)(alone, names, base))
            except BadInput as error:
                where = f"sources.{names[0]}" if names[0] in config.described else None
                problems.append(BadInput(error.message, where=error.where or where, expected=error.expected))
        for name in blended:
            try:
                self._readers[name] = load(BLENDED)(config, [name], base)
            except BadInput as error:
                problems.append(error)
        refuse(problems)

    def bytes_wanted(self, language: str) -> int | None:
        return self._readers[language].bytes_wanted(language)

    def parts(self, language: str) -> list[Part]:
        return self._readers[language].parts(language)

    def size(self, language: str) -> int | None:
        return self._readers[language].size(language)

    def counted(self, language: str) -> tuple[int, int | None] | None:
        return self._readers[language].counted(language)

    def listing(self, language: str) -> Listing:
        return self._readers[language].listing(language)

    def places(self, language: str) -> list[Path]:
        return self._readers[language].places(language)

    def unclaimed(self) -> list[str]:
        by_layout = [one for one in self._each() if not self.config.has_place(one.languages[0])]
        return [name for reader in by_layout for name in reader.unclaimed()]

    def inputs(self) -> dict[str, Any]:
        told = [
            {"sources": {name: self.config.tag(name) for name in reader.languages}, "inputs": reader.inputs()}
            for reader in self._each()
        ]
        targets = [name for name in self.languages if self.config.is_target(name)]
        return {"readers": told} | ({"targets": targets} if targets else {})

    def _each(self) -> list[Reader]:
        """The readers, each once."""
        return list({id(reader): reader for reader in self._readers.values()}.values())

    def _documents(self, language: str, tally: ReadTally) -> Iterator[Document]:
        return self._readers[language]._documents(language, tally)

    def _documents_in(self, language: str, part: Part, tally: ReadTally) -> Iterator[Document]:
        return self._readers[language]._documents_in(language, part, tally)

    def _where(self, language: str) -> object:
        return self._readers[language]._where(language)


def open_reader(config: CorpusConfig, languages: Sequence[str], base: Path) -> Reader:
    """The reader that ``config.reader`` names; where sources are described, one that reads each in its own place.

    Args:
        config: the ``corpus`` section of a study.
        languages: tags, and names of sources that ``config`` describes, that will be read.
        base: directory that ``config.path`` is relative to (that of the study file).

    Raises:
        BadInput: the corpus is not there, or the reader cannot give one of the languages.
    """
    if config.described:
        return SourcesReader(config, languages, base)
    reader: Reader = READERS.find(config.reader)(config, languages, base)
    return reader


def remarks(reader: Reader) -> tuple[str, ...]:
    """What lies beside the files that a reader reads, and languages that it reads from several places."""
    found = []
    if others := reader.unclaimed():
        more = f" and {len(others) - 12} more" if len(others) > 12 else ""
        found.append(f"not read, as they are named after no language that is asked for: {', '.join(others[:12])}{more}")
    for language in reader.languages:
        if len(places := reader.places(language)) > 1:
            found.append(f"{language} is read from {', '.join(path.name for path in places[:12])}")
        for reason, paths in reader.listing(language).left_out.items():
            more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
            found.append(f"{language}: not read, as {reason}: {', '.join(path.name for path in paths[:3])}{more}")
    return tuple(found)


def _listed(tally: ReadTally) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in tally.left_out.most_common(5))


def sampled_digest(path: Path, block: int = 1 << 16, blocks: int = 64) -> bytes:
    """SHA-256 of a file up to 4 MiB; of a larger one, of 64 blocks spread evenly from its first byte to its last.

    A terabyte is fingerprinted in seconds. An edit inside a large file that keeps its size may go unseen.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= block * blocks:
            return hashlib.file_digest(file, "sha256").digest()
        digest = hashlib.sha256(str(size).encode())
        for k in range(blocks):
            file.seek((size - block) * k // (blocks - 1))
            digest.update(file.read(block))
        return digest.digest()


def place_of(path: str, base: Path) -> Path:
    """A directory or file of this machine, or anywhere that fsspec reaches (``s3://bucket/corpus``)."""
    if "://" not in path:
        return base / Path(path).expanduser()
    try:
        from upath import UPath

        return cast(Path, UPath(path))  # it does what a Path does, as far as readers ask
    except ImportError as error:
        raise MissingExtra(error.name or "universal_pathlib", "storage") from None
    except ValueError as error:
        raise BadInput(
            f"{error}", where="corpus.path", expected="a path, or a URL such as s3://bucket/corpus"
        ) from None


@lru_cache(maxsize=10_000)
def tag_of(name: str) -> str | None:
    """The language that a folder, a file or a label is called after; None where it is none."""
    try:
        return Language.resolve(name).tag
    except BadInput:
        return None
