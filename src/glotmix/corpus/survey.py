"""Survey: what a folder of text holds - languages, sizes, how to read it - and what of it was not understood."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from glotmix.config import checked
from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.document import Document
from glotmix.corpus.layout import Layout, layout_of
from glotmix.corpus.readers.reader import Reader, open_reader, remarks
from glotmix.corpus.readers.records import options_of
from glotmix.errors import BadInput
from glotmix.language import Language
from glotmix.notebook import Brief
from glotmix.progress import Advance
from glotmix.reading.labels import LEFT_OUT, Labels
from glotmix.reading.rows import Wanted, read_rows
from glotmix.reading.values import value_of

READ_BYTES = 64 << 20
"""Bytes on the disk up to which a corpus is read whole; of a larger one every language's beginning is, and sizes are
estimated."""
BEGINNING = 200
"""Documents that are read of a language of a larger corpus."""
EXPANSION = {".gz": 2.8, ".xz": 3.5, ".bz2": 3.5, ".zst": 3.0, ".parquet": 2.0, ".pq": 2.0}
"""Bytes of text that a byte of such a file stands for, about, where it is not read whole; of other files one."""
MOST_LABELS = 20
"""Labels that are no language which are listed; where there are more, another field holds the language."""


@dataclass(frozen=True, repr=False)
class LanguageFound(Brief):
    """A language of a corpus."""

    language: str
    """Tag."""
    name: str
    """English name."""
    spelt: str
    """How folders, files or labels spell it."""
    documents: int
    """Documents."""
    bytes: int
    """UTF-8 bytes of their text."""
    is_counted: bool
    """Whether both were counted; else they are estimates from the beginning and the size on the disk."""


@dataclass(frozen=True, repr=False)
class Survey(Brief):
    """What a folder of text holds."""

    corpus: Mapping[str, Any]
    """Fields of the section `corpus` that read it."""
    languages: tuple[LanguageFound, ...]
    """What was found, the largest first."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Folder, file, label or language that was not understood or cannot be read, to the reason."""
    remarks: tuple[str, ...] = ()
    """What else there is to know."""

    @property
    def natural(self) -> dict[str, float]:
        """Shares in proportion to bytes."""
        total = sum(one.bytes for one in self.languages)
        return {one.language: one.bytes / total for one in self.languages}

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return asdict(self)


def survey(path: str, base: Path, progress: Advance) -> Survey:
    """Look at a corpus.

    Args:
        path: folder, file or URL.
        base: directory that it is relative to.
        progress: told which language is read.

    Raises:
        BadInput: nothing is there, or nothing that is understood; rows are chats; a file that holds rows of all
            languages cannot be read.
    """
    layout = layout_of(path, base)
    if layout.chat is not None:
        raise _chats(layout, path)
    corpus, spelt, left_out = dict(layout.corpus), dict(layout.languages), dict(layout.left_out)
    config = checked(CorpusConfig, corpus)
    if layout.labelled:
        found, unknown = _by_label(config, base, progress)
        if not found:
            raise BadInput(f"no row names a language in {config.language_field}", where=path)
        if unknown:
            corpus["labels"] = dict.fromkeys(unknown, LEFT_OUT)
            left_out |= {label: f"a label that is no language, on {rows:,} rows" for label, rows in unknown.items()}
        return Survey(corpus, _largest_first(found), left_out)
    reader = open_reader(config, list(spelt), base)
    languages = []
    for number, (language, name) in enumerate(spelt.items()):
        progress(f"Looking at {language}", number, len(spelt))
        try:
            languages.append(_look(reader, language, name, READ_BYTES // len(spelt)))
        except BadInput as error:
            left_out[name] = f"{Language.resolve(language).name} cannot be read: {error}"
    sound = [one.language for one in languages]
    told = remarks(open_reader(config, sound, base)) if sound else ()
    return Survey(
        corpus, _largest_first(languages), left_out, tuple(one for one in told if "named after no" not in one)
    )


def _largest_first(languages: list[LanguageFound]) -> tuple[LanguageFound, ...]:
    return tuple(sorted(languages, key=lambda one: (-one.bytes, one.language)))


def _look(reader: Reader, language: str, spelt: str, most: int) -> LanguageFound:
    """One language, read whole where it has at most so many bytes on the disk."""
    size = reader.size(language) or 0
    whole = size <= most
    documents, read = _counted(reader.documents(language) if whole else islice(reader.documents(language), BEGINNING))
    name = Language.resolve(language).name
    if whole:
        return LanguageFound(language, name, spelt, documents, read, True)
    text = round(sum(_text_bytes(path) for _, path in reader.listing(language).files) or size)
    return LanguageFound(language, name, spelt, max(documents, round(documents * text / read)), text, False)


def _counted(documents: Iterator[Document]) -> tuple[int, int]:
    count = size = 0
    for document in documents:
        count += 1
        size += document.bytes
    return count, size


def _text_bytes(path: Path) -> float:
    return path.stat().st_size * EXPANSION.get(path.suffix.lower(), 1.0)


def _by_label(config: CorpusConfig, base: Path, progress: Advance) -> tuple[list[LanguageFound], dict[str, int]]:
    """Languages of rows by their labels, and labels that are no language with their rows."""
    assert config.language_field is not None
    files = [path for _, path in open_reader(config, [], base).listing("").files]  # the same for every language
    on_disk = sum(_text_bytes(path) for path in files)
    most = READ_BYTES if on_disk <= READ_BYTES else max(READ_BYTES // len(files), 1 << 16)
    labels, wanted = Labels(), Wanted((config.text_field, config.language_field))
    documents, sizes, unknown = Counter[str](), Counter[str](), Counter[str]()
    spelt: dict[str, Counter[str]] = {}
    cut = False
    for number, path in enumerate(files):
        progress(f"Looking at {path.name}", number, len(files))
        taken = 0
        for row in read_rows(path, options_of(config), wanted):
            text, value = (value_of(row.fields, name) for name in (config.text_field, config.language_field))
            size = len(text.encode("utf-8", "surrogatepass")) if isinstance(text, str) else 0
            taken += size
            try:
                label = labels.read(value, field=config.language_field, place=row.place)
            except BadInput:
                unknown[str(value)] += 1
                if len(unknown) > MOST_LABELS:
                    raise
                continue
            if label.tag is not None and size:
                documents[label.tag] += 1
                sizes[label.tag] += size
                spelt.setdefault(label.tag, Counter())[label.spelling] += 1
            if taken > most:
                cut = True
                break
    factor = on_disk / max(sum(sizes.values()), 1) if cut else 1.0
    found = [
        LanguageFound(
            tag,
            Language.resolve(tag).name,
            ", ".join(name for name, _ in spelt[tag].most_common(3)),
            round(documents[tag] * factor),
            round(sizes[tag] * factor),
            not cut,
        )
        for tag in documents
    ]
    return found, dict(unknown)


def _chats(layout: Layout, path: str) -> BadInput:
    """Rows that are chats, with what reads them."""
    assert layout.chat is not None
    place = path if layout.labelled else f"{path.rstrip('/')}/{{language}}.jsonl or the like"
    return BadInput(
        f"its rows are chats ({', '.join(layout.chat.names[:6])}) and hold no field of plain text",
        where=path,
        expected="text; chats are what a study of kind posttraining is fine-tuned on: recipes/post-training.yaml with "
        f"tasks.instructions.train: {{source: {layout.chat.chat}, path: {place}}}",
    )
