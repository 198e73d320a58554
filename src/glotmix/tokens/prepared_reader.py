"""Reader of data that is tokenised already: its text, given back by its tokenizer, and its counts, without reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.document import Document
from glotmix.corpus.readers.reader import SeparableReader
from glotmix.errors import BadInput
from glotmix.reading.tally import ReadTally
from glotmix.tokens.prepared import FORMATS, PreparedFile
from glotmix.tokens.tokenizer import Tokenizer, load_tokenizer


class PreparedReader(SeparableReader):
    """Documents of token ids as text. With the same tokenizer for the proxies a document has the same tokens again,
    where the tokenizer gives back what it was given, as byte-level ones do."""

    def __init__(self, config: CorpusConfig, languages: Sequence[str], base: Path):
        if config.tokenizer is None:
            raise BadInput(
                f"data for {config.reader}, and no tokenizer",
                where="corpus.tokenizer",
                expected="the tokenizer that made it: a tokenizer.json, a SentencePiece model, or a name",
            )
        super().__init__(config, languages, base)
        self._format, self.suffixes = FORMATS[config.reader]
        self._tokenizer_name = config.tokenizer

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """What made the data."""
        return load_tokenizer(self._tokenizer_name, self.base)

    def inputs(self) -> dict[str, Any]:
        return super().inputs() | {"tokenizer": self.tokenizer.fingerprint}

    def counted(self, language: str) -> tuple[int, int | None]:
        return _summed([self._opened(path).counts() for _, path in self.files(language)])

    def _opened(self, path: Path) -> PreparedFile:
        return self._format(path, self.tokenizer.end_of_document)

    def _read(self, name: str, path: Path, language: str, tally: ReadTally) -> Iterator[Document]:
        tag = self.config.tag(language)
        for number, ids_N in enumerate(self._opened(path).ids()):
            if len(ids_N) and int(ids_N.max()) >= self.tokenizer.vocab_size:
                raise BadInput(
                    f"document {number} holds the id {int(ids_N.max())}",
                    where=path,
                    expected=f"ids below {self.tokenizer.vocab_size}: is {self._tokenizer_name} the tokenizer of it?",
                )
            if text := self.tokenizer.decode(ids_N.tolist()):
                yield Document(text, f"{name}#{number}", tag, f"{path}, document {number}")
            else:
                tally.leave_out("without text")


def _summed(counts: Sequence[tuple[int, int | None]]) -> tuple[int, int | None]:
    documents = [count for _, count in counts]
    known = [count for count in documents if count is not None]
    return sum(tokens for tokens, _ in counts), sum(known) if len(known) == len(documents) else None
