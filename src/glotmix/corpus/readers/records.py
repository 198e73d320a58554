"""A record with fields (a line of JSON, a row of a table) as a document."""

from __future__ import annotations

from collections.abc import Mapping

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.document import Document
from glotmix.errors import BadInput
from glotmix.language import Language


def document(record: object, config: CorpusConfig, language: str, counter: str, place: str) -> Document | None:
    """The document in a record, or None when it is empty or in another language.

    Args:
        record: a mapping of fields to values.
        config: which fields hold text, language and id.
        language: tag that is asked for.
        counter: id where ``config.id_field`` is not set; holds a ``#``.
        place: file and line, for messages.

    Raises:
        BadInput: a field that is missing or holds something else, or a language that is none.
    """
    if not isinstance(record, Mapping):
        raise BadInput(f"a {type(record).__name__}", where=place, expected="an object with fields")
    if config.language_field is not None:
        tag = _field(record, config.language_field, place)
        try:
            if Language.resolve(str(tag)).tag != language:
                return None
        except BadInput as error:
            raise BadInput(f"{config.language_field}: {error.message}", where=place, expected=error.expected) from None
    text = _field(record, config.text_field, place)
    if text is None:
        return None
    if not isinstance(text, str):
        raise BadInput(f"{config.text_field} is a {type(text).__name__}", where=place, expected="text")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # JSON can spell half of a surrogate pair, which is no character
        if config.errors == "strict":
            message = f"{config.text_field} holds half of a surrogate pair"
            raise BadInput(message, where=place, expected="text, or corpus.errors: replace") from None
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if not (text := text.replace("\r\n", "\n").strip()):
        return None
    id = counter if config.id_field is None else str(_field(record, config.id_field, place))
    return Document(text, id, language, place)


def _field(record: Mapping[str, object], name: str, place: str) -> object:
    if name not in record:
        there = ", ".join(map(str, list(record)[:12])) or "none"
        raise BadInput(
            f"no field {name!r}; it has {there}", where=place, expected="corpus.text_field and the like to name one"
        )
    return record[name]
