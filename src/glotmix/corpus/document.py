"""Document: the unit of text that is read, split and tokenised as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from glotmix.notebook import Brief


@dataclass(frozen=True, slots=True, repr=False)
class Document(Brief):
    """A text in one language."""

    text: str
    """The text; newlines are ``\\n``, and it is never empty."""
    id: str
    """Name inside the corpus, shared by translations; one with a ``#`` is a counter, which names nothing."""
    language: str
    """Tag of its language ("swh_Latn")."""
    place: str
    """Where it was read, for messages: "es/news.jsonl:17"."""
    prompt: str = ""
    """What comes before the text and is not measured, in targets that have prompts."""

    @property
    def bytes(self) -> int:
        """UTF-8 bytes of the text."""
        return len(self.text.encode("utf-8", "surrogatepass"))

    @property
    def is_named(self) -> bool:
        """Whether the id is a name, so that the same id in another language means a translation."""
        return "#" not in self.id
