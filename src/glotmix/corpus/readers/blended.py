"""A source that is a mixture of others: their documents in turn, by their shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.document import Document
from glotmix.corpus.readers.reader import Reader, open_reader
from glotmix.errors import BadInput
from glotmix.reading.tally import ReadTally


class BlendedReader(Reader):
    """Documents of several sources or languages under one name.

    Each time the part that has the least bytes for its share gives a document. With shares the text ends with the first
    part that ends, so that they hold; without them a part counts by its size, and all text is read. A document has the
    id that it has in its own source, so that what is held out there is held out here.
    """

    def __init__(self, config: CorpusConfig, languages: Sequence[str], base: Path):
        super().__init__(config, languages, base)
        (self.name,) = self.languages
        source = config.described[self.name]
        named: dict[str, float] = {}
        for part, share in source.parts.items():
            try:
                name = config.named(part)
            except BadInput as error:
                raise BadInput(error.message, where=f"sources.{self.name}.of", expected=error.expected) from None
            if name in named or (name in config.described and config.described[name].of is not None):
                what = "is listed twice" if name in named else "is a mixture itself"
                raise BadInput(f"{name} {what}", where=f"sources.{self.name}.of", expected="sources or languages, once")
            named[name] = share
        self._parts = open_reader(config, list(named), base)
        self._told = isinstance(source.of, dict)
        self._share = named if self._told else {name: float(self._parts.size(name) or 1) for name in named}

    def bytes_wanted(self, language: str) -> int | None:
        """What is told of it by name; a limit of every language holds for its parts."""
        return super().bytes_wanted(language) if isinstance(self.config.bytes_per_language, dict) else None

    def size(self, language: str) -> int | None:
        sizes = {name: self._parts.size(name) for name in self._share}
        if any(size is None for size in sizes.values()):
            return None
        there = {name: float(size or 0) for name, size in sizes.items()}
        if self._told:
            whole = min(there[name] / share for name, share in self._share.items())
            there = {name: whole * share for name, share in self._share.items()}
        total, wanted = int(sum(there.values())), self.bytes_wanted(language)
        return total if wanted is None else min(total, wanted)

    def inputs(self) -> dict[str, Any]:
        return {"of": self._share if self._told else list(self._share), "parts": self._parts.inputs()}

    def _documents(self, language: str, tally: ReadTally) -> Iterator[Document]:
        streams = {name: self._parts.documents(name) for name in self._share}
        taken = dict.fromkeys(streams, 0)
        while streams:
            name = min(streams, key=lambda one: taken[one] / self._share[one])
            document = next(streams[name], None)
            if document is not None:
                taken[name] += document.bytes
                yield document
            elif self._told:
                return
            else:
                del streams[name]
