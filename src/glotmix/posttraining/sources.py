"""Sources: where a task's samples come from. The embedded generators, the paper's data sets, or the user's own files.

Each format is a function from one record to a conversation; records come from JSON Lines, JSON, CSV, TSV or Parquet
files (:mod:`glotmix.reading.rows`), or, where the study says so, from the Hugging Face hub. Nothing else is read over
the network; no data set runs code. An answer that is a number stays as it is written: 1250000 is no 1.25e+06.

| source | format | ids |
|---|---|---|
| ``embedded`` | :mod:`glotmix.posttraining.tasks` | parallel |
| ``xlsum`` | XL-Sum: ``id, title, text, summary`` (``csebuetnlp/xlsum``) | per language |
| ``aya_dolly`` | ``id, inputs, targets, language`` (``CohereLabs/aya_evaluation_suite``) | parallel |
| ``sharegpt`` | ``conversations: [{from: human, value}, {from: gpt, value}]`` | as given |
| ``mcot_math`` | mCoT-MATH: ``question`` and ``answer`` with its reasoning (``laihuiyuan/mCoT-MATH``) | per language |
| ``mgsm`` | MGSM's ``mgsm_<lang>.tsv``: question, tab, number or worked answer | parallel, by row |
| ``chat`` | ``messages: [{role, content}]``, or ``prompt`` and ``completion`` | as given |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from glob import glob
from itertools import count
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from glotmix.artifact import fingerprint
from glotmix.config import Section
from glotmix.errors import BadInput, MissingExtra
from glotmix.language import Language
from glotmix.posttraining.sample import Message, Sample, asked, check_ids
from glotmix.posttraining.tasks.phrases import embedded_languages, phrases
from glotmix.reading.files import list_files
from glotmix.reading.labels import Label, Labels
from glotmix.reading.rows import Wanted, format_of, read_rows
from glotmix.reading.streams import ReadOptions
from glotmix.reading.values import MISSING, is_missing, kind_of, text_of, value_of

Record = Mapping[str, Any]
SPEAKERS = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
"""How ShareGPT-style files call the roles."""
MGSM_COLUMNS = ("question", "answer")
"""Columns of MGSM's tables, which have no header."""
XLSUM_NAMES = {
    "eng": "english", "spa": "spanish", "fra": "french", "jpn": "japanese", "cmn": "chinese_simplified",
    "arb": "arabic", "kor": "korean", "por": "portuguese", "rus": "russian", "ukr": "ukrainian", "tur": "turkish",
    "hin": "hindi", "ind": "indonesian", "swh": "swahili", "vie": "vietnamese", "tha": "thai", "fas": "persian",
}  # fmt: skip
"""Language codes to XL-Sum's names; others are given under ``names``."""


class SourceConfig(Section):
    """Where samples come from."""

    source: Literal["embedded", "xlsum", "aya_dolly", "sharegpt", "mcot_math", "mgsm", "chat"] = "embedded"
    """Format; ``embedded`` needs no files."""
    path: str | None = None
    """File, folder or pattern (``*``), relative to the study file, ``{language}`` standing for the tag, ``{code}`` for
    its ISO 639-3 part, ``{short}`` for its two letters and ``{name}`` for the data set's own name of the language. With
    ``hub`` the name of the data set there."""
    hub: bool = False
    """Read from the Hugging Face hub (uses the network)."""
    config: str = "{name}"
    """Hub configuration; the same placeholders."""
    split: str = "train"
    """Split of a hub data set."""
    revision: str | None = None
    """Revision of a hub data set; ``refs/convert/parquet`` for one that is a script otherwise, which is never run."""
    names: dict[str, str] = Field(default_factory=dict)
    """Language tag to the data set's own name of it, where the usual one does not do."""
    parallel: bool | None = None
    """Whether equal ids in two languages are translations; default as in the table of formats, no for own files."""
    language_field: str | None = None
    """Field with the language of a record, where a file holds several (``metadata.lang`` for one inside another);
    default ``language`` or ``lang``, if there is one. Records of another language, or of none, are left out."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Label to the language it means, where it is not a language's name or tag; ``und`` leaves its records out."""
    encoding: str | None = None
    """Encoding of text files without a byte order mark (``cp1252``, ``gbk``); default UTF-8."""


@dataclass(frozen=True)
class Format:
    """How one data set is read."""

    convert: Callable[[Record, str, str], tuple[Message, ...]]
    """Record, language and place (for messages) to turns."""
    parallel: bool
    """Whether its ids are shared by translations."""


def read_source(config: SourceConfig, task: str, language: str, base: Path) -> Iterator[Sample]:
    """Samples of one language in the order of the data set (the embedded ones: see the tasks).

    Raises:
        BadInput: a file that is missing or unreadable, a record that lacks a field, with file and line.
    """
    yield from _samples(config, task, language, base, Counter())


def _samples(config: SourceConfig, task: str, language: str, base: Path, left_out: Counter[str]) -> Iterator[Sample]:
    """The samples; records of other languages and of none are counted by why they are left out."""
    given = FORMATS[config.source]
    labels, seen = Labels(config.labels, option="labels"), Counter[str]()
    for number, place, record in _records(config, language, base):
        if (why := _elsewhere(record, language, config, labels, place)) is not None:
            left_out[why] += 1
            continue
        turns = given.convert(record, language, place)
        if not turns or turns[-1].role != "assistant" or not any(turn.role == "user" for turn in turns):
            raise BadInput("no answer to a question", where=place, expected="turns that end with the assistant's")
        check = record.get("check")
        id = _id(record, place) or (_row(config, number) if is_parallel(config) else _by_content(language, turns, seen))
        yield Sample(id, task, language, turns, check if isinstance(check, Mapping) else {})


def _row(config: SourceConfig, number: int) -> str:
    """Id of a row that has none, where the languages of a data set are row by row the same: of this data set alone."""
    return "#".join([config.path or "", *([config.config, config.split] if config.hub else []), str(number)])


def _by_content(language: str, turns: tuple[Message, ...], seen: Counter[str]) -> str:
    """Id of a row that has none: the same wherever it stands in whichever file; a repeated row counts on."""
    id = f"{language}/{fingerprint([turn.to_json() for turn in turns])}"
    seen[id] += 1
    return id if seen[id] == 1 else f"{id}+{seen[id] - 1}"


def _id(record: Record, place: str) -> str | None:
    """The record's own id; None where it has none, or a null one."""
    value = record.get("id", MISSING)
    if is_missing(value):
        return None
    id = text_of(value)
    if id is None:
        raise BadInput(f"id is {kind_of(value)}", where=place, expected="text or a number")
    return id


def is_parallel(config: SourceConfig) -> bool:
    """Whether equal ids in two languages are translations of each other."""
    if config.source == "embedded":
        return True
    return FORMATS[config.source].parallel if config.parallel is None else config.parallel


def share_ids(one: SourceConfig, other: SourceConfig) -> bool:
    """Whether equal ids in two sources mean one sample: they are of one data set, or both files of the user's."""
    return one.source == other.source and one.hub == other.hub and (not one.hub or one.path == other.path)


def read_all(config: SourceConfig, task: str, languages: tuple[str, ...], base: Path) -> dict[str, list[Sample]]:
    """Every sample of every language, ids checked.

    Raises:
        BadInput: as :func:`read_source`; ids that are not unique.
    """
    samples: dict[str, list[Sample]] = {}
    for language in languages:
        left_out = Counter[str]()
        samples[language] = list(_samples(config, task, language, base, left_out))
        if not samples[language]:
            why = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common(5))
            raise BadInput(
                f"no samples of {language}" + (f"; it has {why}" if why else ""), where=config.path or config.source
            )
    every = (sample for found in samples.values() for sample in found)
    check_ids(every, parallel=is_parallel(config), where=config.path or config.source)
    return samples


def _text(record: Record, names: tuple[str, ...], place: str) -> str:
    for name in names:
        value = record.get(name)
        if not is_missing(value) and (text := text_of(value)) is not None:
            return text
    raise BadInput(f"no text under {' or '.join(names)}", where=place, expected=f"a field {names[0]!r}")


def _xlsum(record: Record, language: str, place: str) -> tuple[Message, ...]:
    document, summary = _text(record, ("text", "article"), place), _text(record, ("summary",), place)
    said = phrases(language if language in embedded_languages() else "eng_Latn")
    return asked(said.say("summarisation", "ask", document=document), summary)


def _question(record: Record, language: str, place: str) -> tuple[Message, ...]:
    answer = _text(record, ("answer", "response", "answer_detail", "answer_number", "output"), place)
    return asked(_text(record, ("question", "query", "instruction"), place), answer)


def _mgsm(record: Record, language: str, place: str) -> tuple[Message, ...]:
    # Its examples have worked answers, chains of thought that end with the number; its test samples the number alone.
    return asked(_text(record, ("question",), place), _text(record, ("answer", "answer_number"), place))


def _aya(record: Record, language: str, place: str) -> tuple[Message, ...]:
    return asked(_text(record, ("inputs",), place), _text(record, ("targets",), place))


def _sharegpt(record: Record, language: str, place: str) -> tuple[Message, ...]:
    turns = record.get("conversations")
    if not isinstance(turns, list):
        raise BadInput("no list under 'conversations'", where=place, expected="[{from, value}, …]")
    return tuple(_turn(turn, "from", "value", place) for turn in turns)


def _chat(record: Record, language: str, place: str) -> tuple[Message, ...]:
    if isinstance(turns := record.get("messages"), list):
        return tuple(_turn(turn, "role", "content", place) for turn in turns)
    return asked(_text(record, ("prompt",), place), _text(record, ("completion",), place))


def _turn(turn: Any, role: str, content: str, place: str) -> Message:
    if not isinstance(turn, Mapping) or not isinstance(turn.get(content), str):
        raise BadInput(f"a turn without {content!r}", where=place, expected=f"{{{role}, {content}}}")
    speaker = SPEAKERS.get(str(turn.get(role)))
    if speaker is None:
        raise BadInput(f"a turn {role} {turn.get(role)!r}", where=place, expected=" | ".join(SPEAKERS))
    return Message(speaker, turn[content])


FORMATS: Mapping[str, Format] = {
    "xlsum": Format(_xlsum, False),
    "aya_dolly": Format(_aya, True),
    "sharegpt": Format(_sharegpt, False),
    "mcot_math": Format(_question, False),
    "mgsm": Format(_mgsm, True),
    "chat": Format(_chat, False),
}


def _elsewhere(record: Record, language: str, config: SourceConfig, labels: Labels, place: str) -> str | None:
    """Why a record of a file that holds several languages is not in this one; None where it is."""
    names = (config.language_field,) if config.language_field else ("language", "lang")
    told = [(name, value) for name in names if (value := value_of(record, name)) is not MISSING]
    if not told:
        if config.language_field is not None:
            raise BadInput(
                f"no field {config.language_field!r}",
                where=place,
                expected=f"language_field: one of {', '.join(record)}",
            )
        return None
    name, value = next((one for one in told if not is_missing(one[1])), told[0])
    label: Label = labels.read(value, record.get("script"), field=name, place=place)
    if label.tag == language:
        return None
    return f"in {label.tag}" if label.tag else label.reason


def _placed(text: str, config: SourceConfig, language: str) -> str:
    resolved = Language.resolve(language)
    usual = XLSUM_NAMES.get(resolved.code, resolved.code) if config.source == "xlsum" else resolved.bcp47.split("-")[0]
    return resolved.put_into(text, config.names.get(language, usual))


def _records(config: SourceConfig, language: str, base: Path) -> Iterator[tuple[int, str, Record]]:
    """Number, place and fields of every record."""
    if config.path is None:
        raise BadInput(f"source {config.source} without a path", where="source", expected="path: a file, or hub: true")
    name = _placed(config.path, config, language)
    if config.hub:
        yield from _from_hub(config, name, language)
        return
    remedy = "UTF-8, or encoding: its encoding (cp1252, gbk, …)"
    columns = MGSM_COLUMNS if config.source == "mgsm" else None
    numbers = count()
    for path in _files(base / Path(name).expanduser()):
        for row in read_rows(path, ReadOptions(config.encoding, remedy=remedy), Wanted(columns=columns)):
            yield next(numbers), row.place, row.fields


def _files(path: Path) -> list[Path]:
    """A file, all those of a folder, or those that a pattern matches, by their names."""
    if path.is_file():
        return [path]
    inside = [path] if path.is_dir() else [Path(one) for one in sorted(glob(str(path)))]
    found = [one for _, one in list_files(inside, lambda one: one.stem if format_of(one) else None).files]
    if not found:
        raise BadInput("no such file", where=path, expected="a JSON Lines, JSON, CSV, TSV or Parquet file, or a folder")
    return found


def _from_hub(config: SourceConfig, name: str, language: str) -> Iterator[tuple[int, str, Record]]:
    try:
        from datasets import load_dataset
    except ImportError:
        raise MissingExtra("datasets", "hub") from None
    own = _placed(config.config, config, language) or None
    try:
        rows = load_dataset(name, own, split=config.split, revision=config.revision, streaming=True)
        for number, record in enumerate(rows):
            yield number, f"{name}/{own}:{number + 1}", record
    except BadInput:
        raise
    except Exception as error:  # the hub has many ways to say no
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"cannot be fetched from the hub: {reason}", where=f"{name}/{own}") from None
