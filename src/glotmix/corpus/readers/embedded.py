"""The embedded corpus: real languages without a download, parallel, deterministic and of any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.document import Document
from glotmix.corpus.embedded.scene import DATA, draw, scenes
from glotmix.corpus.embedded.speaker import speaker_of
from glotmix.corpus.readers.pairs import pair_of
from glotmix.corpus.readers.reader import Reader
from glotmix.errors import BadInput
from glotmix.language import Language
from glotmix.reading.tally import ReadTally

DEFAULT_BYTES = 2_000_000
"""Text per language where ``bytes_per_language`` does not say."""


class EmbeddedReader(Reader):
    """Documents made of our sentences, CLDR's names and num2words' numbers: weather, trains, recipes, sums, small talk.

    Document ``k`` says the same in every language and has the same id; of a source that ``translates`` a language, a
    document is a sentence with its translation. The text depends on the seed and on the versions
    of Babel (CLDR) and num2words, which are part of :meth:`inputs`.
    """

    def __init__(self, config: CorpusConfig, languages: Sequence[str], base: Path):
        super().__init__(config, languages, base)
        self._speakers = {language: speaker_of(self._tag(language)) for language in self.languages}
        told = {name: place for name, place in config.places().items() if name in config.described}
        self._scenes = {name: _scenes_in(place, f"sources.{name}") for name, place in told.items()}
        self._translated = {
            name: speaker_of(Language.resolve(source.translates).tag)
            for name, source in config.described.items()
            if name in self.languages and source.translates is not None
        }

    def bytes_wanted(self, language: str) -> int:
        wanted = super().bytes_wanted(language)
        return DEFAULT_BYTES if wanted is None else wanted

    def size(self, language: str) -> int:
        return self.bytes_wanted(language)

    def _documents(self, language: str, tally: ReadTally) -> Iterator[Document]:
        tag = self._tag(language)
        speaker = self._speakers.get(language) or speaker_of(tag)
        for k in count():
            meaning = draw(self.config.seed, k)
            if meaning.scene not in self._scenes.get(language, (meaning.scene,)):
                continue
            place = f"embedded corpus, document {k}"
            if (other := self._translated.get(language)) is None:
                yield Document(speaker.say(meaning), f"{meaning.scene}/{k}", tag, place)
                continue
            for source, target in zip(other.said(meaning), speaker.said(meaning), strict=True):
                yield pair_of(source, target, tag, place)

    def _tag(self, name: str) -> str:
        if not (tag := self.config.tag(name)):
            raise BadInput(f"{name} has no language", where="sources", expected="its language, or its path")
        return tag

    def inputs(self) -> dict[str, Any]:
        import babel
        import num2words

        digest = sha256()
        for path in sorted(DATA.glob("*.toml")):
            digest.update(path.name.encode() + path.read_bytes())
        told: dict[str, Any] = (
            {"scenes": kept} if (kept := {name: list(one) for name, one in self._scenes.items()}) else {}
        )
        if self._translated:
            told |= {"translates": {n: self.config.described[n].translates for n in self._translated}}
        return {
            **told,
            "babel": babel.__version__,
            "num2words": getattr(num2words, "__version__", "unknown"),
            "sentences": digest.hexdigest()[:16],
            "seed": self.config.seed,
            "bytes": {language: self.bytes_wanted(language) for language in self.languages},
        }


def _scenes_in(told: str, where: str) -> tuple[str, ...]:
    """The kinds of documents that a source's ``subset`` names."""
    known, found = [scene.name for scene in scenes()], told.replace(",", " ").split()
    if not found or (unknown := [name for name in found if name not in known]):
        raise BadInput(
            f"no documents called {unknown[0]!r}" if found else "an empty subset",
            where=f"{where}.subset",
            expected=" | ".join(known),
        )
    return tuple(found)
