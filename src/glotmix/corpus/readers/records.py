"""A record with fields (a line of JSON, a row of a table) as a document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.document import Document
from glotmix.errors import BadInput
from glotmix.reading.labels import Labels
from glotmix.reading.streams import ReadOptions
from glotmix.reading.tally import ReadTally
from glotmix.reading.values import MISSING, Number, is_missing, kind_of, text_of, value_of

IN_ANOTHER = "in "
"""How the reason begins why a row of another language is left out; the language's tag follows."""


def options_of(config: CorpusConfig) -> ReadOptions:
    """How the bytes of a corpus become text."""
    remedy = "UTF-8, or corpus.encoding: its encoding (cp1252, gbk, …), or corpus.errors: replace"
    return ReadOptions(config.encoding, config.errors, remedy)


class Records:
    """Makes documents of the records of one language."""

    def __init__(self, config: CorpusConfig, language: str, tally: ReadTally):
        """
        Args:
            config: which fields hold text, language and id, and what labels mean.
            language: tag that is asked for.
            tally: counts what is left out.
        """
        self._config, self._language, self._tally = config, language, tally
        self._labels = Labels(config.labels)
        self._seen: set[str] = set()

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that are wanted."""
        config = self._config
        names = (config.text_field, config.prompt_field, config.language_field, config.id_field)
        return tuple(name for name in names if name is not None)

    def document(self, record: Mapping[str, Any], counter: str, place: str) -> Document | None:
        """The document in a record, or None when it is left out: without text, or in no or another language.

        Args:
            record: fields to values.
            counter: id where there is none; holds a ``#``.
            place: file and line, for messages.

        Raises:
            BadInput: a field that no record had so far or that holds something else, or a label that is no language.
        """
        label = self._in_language(record, place)
        if label is None:
            return None
        prompt = self._config.prompt_field
        text = self._text(record, place, self._config.text_field, strip=prompt is None)
        if text is None:
            self._tally.leave_out("without text")
            return None
        if label:
            self._tally.labels[label] += 1
        before = None if prompt is None else self._text(record, place, prompt, strip=False)
        return Document(text, self._id(record, place) or counter, self._language, place, before or "")

    def _in_language(self, record: Mapping[str, Any], place: str) -> str | None:
        """The label of a record of this language, "" where there are no labels; None where it is in another one."""
        name = self._config.language_field
        if name is None:
            return ""
        label = self._labels.read(self._field(record, name, place), field=name, place=place)
        if label.tag == self._language:
            return label.spelling
        self._tally.leave_out(f"{IN_ANOTHER}{label.tag}" if label.tag else label.reason)
        return None

    def _text(self, record: Mapping[str, Any], place: str, name: str, *, strip: bool) -> str | None:
        """A text, white space around it taken off, unless a prompt goes with it: what stands between them counts."""
        text = self._field(record, name, place)
        if is_missing(text):
            return None
        if not isinstance(text, str) or isinstance(text, Number):
            raise BadInput(f"{name} is {kind_of(text)}", where=place, expected="text")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:  # JSON can spell half of a surrogate pair, which is no character
            if self._config.errors == "strict":
                message = f"{name} holds half of a surrogate pair"
                raise BadInput(message, where=place, expected="text, or corpus.errors: replace") from None
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        text = text.replace("\r\n", "\n")
        return (text.strip() if strip else text) or None

    def _id(self, record: Mapping[str, Any], place: str) -> str | None:
        """The id of a record; one that is null or empty is none."""
        name = self._config.id_field
        if name is None:
            return None
        value = self._field(record, name, place)
        if is_missing(value):
            return None
        id = text_of(value)
        if id is None:
            raise BadInput(f"{name} is {kind_of(value)}", where=place, expected="text or a number")
        return id

    def _field(self, record: Mapping[str, Any], name: str, place: str) -> Any:
        """A field of a record; None where this one has no label or id and another one had."""
        value = value_of(record, name)
        if value is not MISSING:
            self._seen.add(name)
            return value
        if name in self._seen and name != self._config.text_field:
            return None
        there = ", ".join(map(str, list(record)[:12])) or "none"
        expected = "corpus.text_field and the like to name one (metadata.lang for one inside another)"
        raise BadInput(f"no field {name!r}; it has {there}", where=place, expected=expected)
