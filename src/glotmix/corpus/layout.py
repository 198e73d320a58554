"""Layout: how a folder of text is arranged by language, as the fields of the section `corpus` that read it.

Tried in this order, the first with two languages or more wins: folders or files called after languages (``es/``,
``swh_Latn.jsonl``), rows of files with a field for the language, man pages, file names with a language inside
(``wiki.es.txt``), and the same one or two folders further down.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from glob import escape
from itertools import islice
from os.path import commonprefix
from pathlib import Path
from typing import Any

from glotmix.corpus.readers.files import PLAIN
from glotmix.corpus.readers.manpages import has_man_pages
from glotmix.corpus.readers.reader import place_of, tag_of
from glotmix.corpus.row_fields import RowFields, row_fields
from glotmix.errors import BadInput
from glotmix.reading.files import children, list_files
from glotmix.reading.rows import FORMATS, endings, format_of, read_rows

ENDINGS = PLAIN + endings(list(FORMATS))
"""Endings of all files that can be read."""
HEAD = 200
"""Rows of a file that its fields are told by."""
DEEPEST = 2
"""Folders below the one that is named in which languages are looked for."""
MAIN_SHARE = 0.9
"""Share of the bytes from which one format is read alone and files of others beside it are not."""
READER_OF = {"plain": "plain", "jsonl": "jsonl", "json": "jsonl", "csv": "csv", "tsv": "csv", "parquet": "parquet"}
"""Format to the reader that reads it."""
_PARTS = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Layout:
    """How a folder is arranged."""

    corpus: Mapping[str, Any]
    """Fields of the section `corpus` that read it."""
    languages: Mapping[str, str]
    """Tag to how folders, files or labels spell it; empty where labels have yet to be counted."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """What was not understood, to the reason."""
    chat: RowFields | None = None
    """The fields, where rows are chats and hold no text of their own."""

    @property
    def labelled(self) -> bool:
        """Whether rows tell their language."""
        return "language_field" in self.corpus


def layout_of(path: str, base: Path) -> Layout:
    """How a folder or a file is arranged.

    Args:
        path: folder, file, or URL.
        base: directory that it is relative to.

    Raises:
        BadInput: there is nothing, or nothing that is understood; the message lists what is there.
    """
    root = place_of(path, base)
    if not root.exists():
        raise BadInput("no such file or directory", where=root, expected="a folder of text, or a file of rows")
    found = _found(root, path, 0)
    if found is None:
        there = ", ".join(sorted(one.name for one in _visible(root))[:12]) if root.is_dir() else root.name
        raise BadInput(
            f"no text in a known language; it holds {there or 'nothing'}",
            where=root,
            expected="a folder or file per language (es/, swh_Latn.jsonl), or rows with a field for the language, in "
            f"files that end in {', '.join(ENDINGS[:1] + endings(list(FORMATS))[:7])}",
        )
    return found


def _found(root: Path, path: str, depth: int) -> Layout | None:
    """The layout with most languages; those tried first win where there are as many."""
    best: Layout | None = None
    for way in (_by_name, _labelled, _manpages, _named_inside, _below):
        here = way(root, path, depth)
        if here is not None and here.labelled:
            return here
        if here is not None and (best is None or len(here.languages) > len(best.languages)):
            best = here
        if best is not None and len(best.languages) > 1:
            return best
    return best


def _visible(root: Path) -> list[Path]:
    return [one for one in children(root) if not one.name.startswith(".")]


def _stem(path: Path) -> str | None:
    """Name of a file without its ending; None where its ending is not known."""
    ending = next((one for one in sorted(ENDINGS, key=len, reverse=True) if path.name.lower().endswith(one)), None)
    return None if ending is None else path.name[: len(path.name) - len(ending)]


def _files(places: Sequence[Path]) -> list[Path]:
    return [path for _, path in list_files(places, _stem).files]


def _by_name(root: Path, path: str, depth: int) -> Layout | None:
    """Folders and files that are called after languages."""
    if not root.is_dir():
        return None
    spelt: dict[str, list[str]] = {}
    places: list[Path] = []
    left_out: dict[str, str] = {}
    for one in _visible(root):
        stem = one.name if one.is_dir() else _stem(one)
        tag = None if stem is None else tag_of(stem)
        if stem is None:
            left_out[one.name] = "its ending is none that is read"
        elif tag is None:
            left_out[one.name] = "its name is no language's"
        elif (why := _unreadable(one)) is not None:
            left_out[one.name] = why
        else:
            spelt.setdefault(tag, []).append(stem)
            places.append(one)
    return _of_places(places, path, {tag: ", ".join(dict.fromkeys(names)) for tag, names in spelt.items()}, left_out)


def _unreadable(place: Path) -> str | None:
    """Why nothing of a folder or a file can be read; None where something can."""
    try:
        return None if _files([place]) else "no files with an ending that is read"
    except BadInput as error:  # a link to nothing, a folder that may not be read
        return str(error)


def _of_places(
    places: Sequence[Path],
    path: str,
    languages: Mapping[str, str],
    left_out: Mapping[str, str],
    sources: Mapping[str, str] | None = None,
) -> Layout | None:
    """The layout of folders and files whose language is known, with the reader and the field of text."""
    if not languages:
        return None
    corpus: dict[str, Any] = {"reader": _reader(_files(places)), "path": path}
    if sources:
        corpus["sources"] = dict(sources)
    own = [one for one in _files(places) if (form := format_of(one)) and corpus["reader"] in ("files", READER_OF[form])]
    fields = next((fields for one in own if (fields := _fields(one)) is not None), None)
    if fields is not None and fields.text is None and fields.chat is not None:
        return Layout(corpus, languages, left_out, fields)
    if fields is not None and fields.text not in (None, "text"):
        corpus["text_field"] = fields.text
    return Layout(corpus, languages, left_out)


def _reader(files: Sequence[Path]) -> str:
    """The reader of nearly all bytes, else the one for all formats."""
    sizes: Counter[str] = Counter()
    for path in files:
        sizes[READER_OF[format_of(path) or "plain"]] += path.stat().st_size
    name, size = max(sizes.items(), key=lambda one: (one[1], one[0]), default=("files", 0))
    return name if size and size >= MAIN_SHARE * sum(sizes.values()) else "files"


def _fields(path: Path) -> RowFields | None:
    """The fields of a file's first rows; None where it has none, or they cannot be read."""
    try:
        rows = [row.fields for row in islice(read_rows(path), HEAD)]
    except BadInput:
        return None
    return row_fields(rows) if rows else None


def _labelled(root: Path, path: str, depth: int) -> Layout | None:
    """Rows with a field for the language."""
    own = [one for one in _files([root]) if format_of(one) is not None]
    for one in own[:3]:
        fields = _fields(one)
        if fields is None or fields.language is None:
            continue
        corpus = {"reader": _reader(own), "path": path, "language_field": fields.language}
        if fields.text is None:
            return Layout(corpus, {}, chat=fields) if fields.chat else None
        if fields.text != "text":
            corpus["text_field"] = fields.text
        return Layout(corpus, {})
    return None


def _manpages(root: Path, path: str, depth: int) -> Layout | None:
    """Man pages: ``man/<lang>/man1``, English in ``man/man1``."""
    if not root.is_dir():
        return None
    top = root / "man" if (root / "man").is_dir() else root
    found = {tag: one.name for one in _visible(top) if (tag := tag_of(one.name)) is not None and has_man_pages(one)}
    if has_man_pages(top):
        found.setdefault("eng_Latn", "man1 and the like")
    return Layout({"reader": "manpages", "path": path}, found) if found else None


def _named_inside(root: Path, path: str, depth: int) -> Layout | None:
    """Files and folders with a language in their names, among other words."""
    if not root.is_dir():
        return None
    stems = {one: stem for one in _visible(root) if (stem := one.name if one.is_dir() else _stem(one)) is not None}
    inside = {one: set(_languages_inside(stem)) for one, stem in stems.items() if not one.is_dir() or _files([one])}
    common = set.intersection(*inside.values()) if len(inside) > 1 else set()
    claimed: dict[str, list[str]] = {}
    left_out: dict[str, str] = {}
    for one, found in inside.items():
        own = found - common
        if len(own) == 1:
            claimed.setdefault(own.pop(), []).append(one.name)
        else:
            left_out[one.name] = (
                f"its name may mean {' or '.join(sorted(own))}" if own else "its name holds no language"
            )
    sources: dict[str, str] = {}
    for tag, names in claimed.items():
        sources[tag], others = _pattern(names, [one.name for one in inside])
        left_out |= dict.fromkeys(others, f"no one pattern is for all that is in {tag}")
    patterns = tuple(sources.values())
    places = [one for one in inside if any(fnmatchcase(one.name, pattern) for pattern in patterns)]
    spelt = {tag: sources[tag] for tag in claimed}
    return _of_places(places, path, spelt, left_out, sources)


def _languages_inside(stem: str) -> Iterator[str]:
    """Tags that parts of a name resolve to; a code with its script or region comes before its parts."""
    spans = [match.span() for match in _PARTS.finditer(stem)]
    taken: set[int] = set()
    for length in (2, 1):
        for start in range(len(spans) - length + 1):
            group = range(start, start + length)
            text = stem[spans[start][0] : spans[start + length - 1][1]]
            with_more = re.fullmatch(r"[a-z]{2,3}[-_]([A-Z][a-z]{3}|[A-Z]{2})", text)
            if (length == 1 or with_more) and taken.isdisjoint(group) and (tag := tag_of(text)) is not None:
                taken.update(group)
                yield tag


def _pattern(names: Sequence[str], every: Sequence[str]) -> tuple[str, list[str]]:
    """A pattern for the files of a language and for no others, and those that it leaves out."""
    before = commonprefix(names)  # noqa: RUF071 - by letters
    behind = commonprefix([name[len(before) :][::-1] for name in names])[::-1]  # noqa: RUF071
    pattern = escape(before) + "*" * (len(names) > 1) + escape(behind)
    if {one for one in every if fnmatchcase(one, pattern)} == set(names):
        return pattern, []
    return escape(names[0]), list(names[1:])


def _below(root: Path, path: str, depth: int) -> Layout | None:
    """The same in the folder below that holds most languages."""
    if depth == DEEPEST or not root.is_dir():
        return None
    folders = [one for one in _visible(root) if one.is_dir()]
    found = {one: here for one in folders if (here := _found(one, f"{path.rstrip('/')}/{one.name}", depth + 1))}
    best = max(found, key=lambda one: (found[one].labelled, len(found[one].languages)), default=None)
    if best is None:
        return None
    beside = {
        one.name: f"it lies beside {best.name}, which holds the languages" for one in _visible(root) if one != best
    }
    return replace(found[best], left_out=beside | dict(found[best].left_out))
