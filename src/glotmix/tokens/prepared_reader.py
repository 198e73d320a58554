"""Readers of data that is tokenised already: its text, given back by its tokenizer, and its counts, without reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.document import Document
from glotmix.corpus.readers.reader import SeparableReader
from glotmix.errors import BadInput
from glotmix.reading.files import OTHER_ENDING, Listing
from glotmix.reading.tally import ReadTally
from glotmix.tokens.litdata_chunks import LitdataFile
from glotmix.tokens.mds import MdsFile
from glotmix.tokens.prepared import FlatFile, MegatronFile, PreparedFile, TableFile
from glotmix.tokens.sharded import INDEX, ShardFile
from glotmix.tokens.tokenizer import Tokenizer, load_tokenizer

FORMATS: dict[str, tuple[type[PreparedFile], tuple[str, ...]]] = {
    "megatron": (MegatronFile, (".bin",)),
    "token_tables": (TableFile, (".parquet", ".arrow")),
    "token_arrays": (FlatFile, (".npy", ".bin")),
}
"""``corpus.reader`` to the class of its files, and their endings."""
SHARDED: dict[str, tuple[type[ShardFile], tuple[str, ...]]] = {
    "mds": (MdsFile, (".mds", *(f".mds.{one}" for one in ("zstd", "gz", "bz2", "br", "snappy")))),
    "litdata": (LitdataFile, (".bin",)),
}
"""The same of those with an index for many files."""
INDICES = (".idx", INDEX)
"""What files end with that lie beside the data and are read with it."""
UNPACKED = "compressed, and there as it was before as well"
"""Why a file is not read."""


class PreparedReader(SeparableReader):
    """Documents of token ids as text. With the same tokenizer for the proxies a document has the same tokens again,
    where the tokenizer gives back what it was given, as byte-level ones do."""

    def __init__(self, config: CorpusConfig, languages: Sequence[str], base: Path):
        if config.tokenizer is None and config.reader in FORMATS:
            raise BadInput(
                f"data for {config.reader}, and no tokenizer",
                where="corpus.tokenizer",
                expected="the tokenizer that made it: a tokenizer.json, a SentencePiece model, or a name",
            )
        super().__init__(config, languages, base)
        self.suffixes = {**FORMATS, **SHARDED}[config.reader][1]

    @cached_property
    def tokenizer(self) -> Tokenizer | None:
        """What made the data; None where there is none, and the data is text."""
        return None if self.config.tokenizer is None else load_tokenizer(self.config.tokenizer, self.base)

    def inputs(self) -> dict[str, Any]:
        made = self.tokenizer
        return super().inputs() | ({} if made is None else {"tokenizer": made.fingerprint})

    def counted(self, language: str) -> tuple[int, int | None] | None:
        return _summed([self._opened(path).counts() for _, path in self.files(language)])

    def _opened(self, path: Path) -> PreparedFile:
        assert self.tokenizer is not None
        return FORMATS[self.config.reader][0](path, self.tokenizer.end_of_document)

    def _listed(self, places: Sequence[Path]) -> Listing:
        listing = super()._listed(places)
        if others := listing.left_out.pop(OTHER_ENDING, None):
            for path in others:
                if not path.name.endswith(INDICES):
                    listing.leave_out(OTHER_ENDING, path)
        return listing

    def _read(self, name: str, path: Path, language: str, tally: ReadTally) -> Iterator[Document]:
        yield from self._given_back(self._opened(path), name, path, language, tally)

    def _given_back(
        self, file: PreparedFile, name: str, path: Path, language: str, tally: ReadTally
    ) -> Iterator[Document]:
        """Ids as text."""
        tag, made = self.config.tag(language), self.tokenizer
        assert made is not None
        for number, ids_N in enumerate(file.ids()):
            if len(ids_N) and int(ids_N.max()) >= made.vocab_size:
                raise BadInput(
                    f"document {number} holds the id {int(ids_N.max())}",
                    where=path,
                    expected=f"ids below {made.vocab_size}: is {self.config.tokenizer} the tokenizer of it?",
                )
            if text := made.decode(ids_N.tolist()):
                yield Document(text, f"{name}#{number}", tag, f"{path}, document {number}")
            else:
                tally.leave_out("without text")


class ShardReader(PreparedReader):
    """Shards of streaming data sets, which hold ids or text; one that lies there compressed as well is read once."""

    def counted(self, language: str) -> tuple[int, int | None] | None:
        files = [self._shard(path) for _, path in self.files(language)]
        return None if any(file.text for file in files) else _summed([file.counts() for file in files])

    def _shard(self, path: Path) -> ShardFile:
        made, (kind, _) = self.tokenizer, SHARDED[self.config.reader]
        return kind(path, None if made is None else made.end_of_document, self.config.text_field)

    def _listed(self, places: Sequence[Path]) -> Listing:
        listing = super()._listed(places)
        there = {path for _, path in listing.files}
        for one in list(listing.files):
            if one[1].with_suffix("") in there:
                listing.files.remove(one)
                listing.leave_out(UNPACKED, one[1])
        return listing

    def _read(self, name: str, path: Path, language: str, tally: ReadTally) -> Iterator[Document]:
        file = self._shard(path)
        if not file.text:
            yield from self._given_back(file, name, path, language, tally)
            return
        for number, text in enumerate(file.texts()):
            if text := text.replace("\r\n", "\n").strip():
                yield Document(text, f"{name}#{number}", self.config.tag(language), f"{path}, sample {number}")
            else:
                tally.leave_out("without text")


def _summed(counts: Sequence[tuple[int, int | None]]) -> tuple[int, int | None]:
    documents = [count for _, count in counts]
    known = [count for count in documents if count is not None]
    return sum(tokens for tokens, _ in counts), sum(known) if len(known) == len(documents) else None
