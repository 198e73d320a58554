"""JSON Lines: an object per line, plain or compressed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from glotmix.corpus.document import Document
from glotmix.corpus.readers.reader import SeparableReader
from glotmix.corpus.readers.records import document
from glotmix.corpus.readers.streams import lines
from glotmix.errors import BadInput


class JsonLinesReader(SeparableReader):
    """``DIR/<lang>/**/*.jsonl``, ``DIR/<lang>.jsonl`` or, with ``language_field``, files with all languages in them."""

    suffixes = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".jsonl.xz", ".jsonl.bz2", ".ndjson", ".ndjson.gz", ".json.gz")

    def _read(self, name: str, path: Path, language: str) -> Iterator[Document]:
        for number, line in lines(path, self.config.errors):
            place = f"{path}:{number}"
            if line.strip():
                found = document(_parsed(line, place), self.config, language, f"{name}#{number}", place)
                if found is not None:
                    yield found


def _parsed(line: str, place: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:  # also a number of over 4300 digits
        raise BadInput(f"not valid JSON: {error}", where=place, expected="one JSON object per line") from None
