"""The Hugging Face hub: a data set streamed, nothing downloaded whole (extra ``hub``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.document import Document
from glotmix.corpus.readers.reader import Reader
from glotmix.corpus.readers.records import Records
from glotmix.errors import BadInput, MissingExtra
from glotmix.reading.tally import ReadTally


class HubReader(Reader):
    """A data set by name; ``corpus.sources`` maps a tag to its configuration, which is otherwise looked for by the tag.

    ``HuggingFaceFW/fineweb-2`` has a configuration per language, named as glotmix names languages (but ``cmn_Hani``).
    Remote code is never run. The revision is part of :meth:`inputs` as far as the hub tells it.
    """

    def __init__(self, config: CorpusConfig, languages: Sequence[str], base: Path):
        super().__init__(config, languages, base)
        if not config.path:
            raise BadInput("corpus.path is missing", expected="the name of a data set on the hub")
        self.name = config.path
        self.sources = config.places()

    def _documents(self, language: str, tally: ReadTally) -> Iterator[Document]:
        source, records = self._configuration(language), Records(self.config, self.config.tag(language), tally)
        try:
            for number, row in enumerate(self._rows(source)):
                place = f"{self.name} ({source or 'default'}), row {number}"
                if found := records.document(row, f"#{number}", place):
                    yield found
        except BadInput:
            raise
        except Exception as error:  # the library raises whatever its network, file system or parser raises
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise BadInput(
                f"cannot be read from the hub: {reason}", where=f"{self.name} ({source or 'default'})"
            ) from None

    def _rows(self, source: str | None) -> Iterator[dict[str, Any]]:
        yield from _datasets().load_dataset(self.name, source, split=self.config.split, streaming=True)

    def _configuration(self, language: str) -> str | None:
        """The configuration that holds a language; None where a language field tells them apart."""
        if language in self.sources:
            return self.sources[language]
        if self.config.language_field is not None or language in self.config.described:
            return None
        return language

    def inputs(self) -> dict[str, Any]:
        return {
            "dataset": self.name,
            "revision": self._revision(),
            "split": self.config.split,
            "configurations": {language: self._configuration(language) for language in self.languages},
        }

    def _revision(self) -> str | None:
        """Commit of the data set on the hub; None offline, where the library's cache is read."""
        try:
            from huggingface_hub import HfApi

            return HfApi().dataset_info(self.name).sha
        except Exception:
            return None


def _datasets() -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingExtra("datasets", "hub") from None
    return datasets
