"""Sources: where a task's samples come from. The embedded generators, the paper's data sets, or the user's own files.

Each format is a function from one record to a conversation; records come from JSON Lines, JSON, TSV or Parquet files,
or, where the study says so, from the Hugging Face hub. Nothing else is read over the network; no data set runs code.

| source | format | ids |
|---|---|---|
| ``embedded`` | :mod:`glotmix.posttraining.tasks` | parallel |
| ``xlsum`` | XL-Sum: ``id, title, text, summary`` (``csebuetnlp/xlsum``) | per language |
| ``aya_dolly`` | ``id, inputs, targets, language`` (``CohereLabs/aya_evaluation_suite``) | parallel |
| ``sharegpt`` | ``conversations: [{from: human, value}, {from: gpt, value}]`` | as given |
| ``mcot_math`` | mCoT-MATH: ``question`` and ``answer`` with its reasoning (``laihuiyuan/mCoT-MATH``) | per language |
| ``mgsm`` | MGSM's ``mgsm_<lang>.tsv``: question, tab, number (``juletxara/mgsm``) | parallel, by row |
| ``chat`` | ``messages: [{role, content}]``, or ``prompt`` and ``completion`` | as given |
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
from pydantic import Field

from glotmix.config import Section
from glotmix.errors import BadInput, MissingExtra
from glotmix.language import Language
from glotmix.posttraining.sample import Message, Sample, asked, check_ids
from glotmix.posttraining.tasks.phrases import embedded_languages, phrases

Record = Mapping[str, Any]
SPEAKERS = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
"""How ShareGPT-style files call the roles."""
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
    """File or pattern, relative to the study file, ``{language}`` standing for the tag, ``{code}`` for its ISO 639-3
    part, ``{short}`` for its two letters and ``{name}`` for the data set's own name of the language. With ``hub`` the
    name of the data set there."""
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
    given = FORMATS[config.source]
    for number, place, record in _records(config, language, base):
        if not _belongs(record, language):
            continue
        turns = given.convert(record, language, place)
        if not turns or turns[-1].role != "assistant" or not any(turn.role == "user" for turn in turns):
            raise BadInput("no answer to a question", where=place, expected="turns that end with the assistant's")
        id = str(record.get("id", number if is_parallel(config) else f"{language}/{number}"))
        check = record.get("check")
        yield Sample(id, task, language, turns, check if isinstance(check, Mapping) else {})


def is_parallel(config: SourceConfig) -> bool:
    """Whether equal ids in two languages are translations of each other."""
    if config.source == "embedded":
        return True
    return FORMATS[config.source].parallel if config.parallel is None else config.parallel


def read_all(config: SourceConfig, task: str, languages: tuple[str, ...], base: Path) -> dict[str, list[Sample]]:
    """Every sample of every language, ids checked.

    Raises:
        BadInput: as :func:`read_source`; ids that are not unique.
    """
    samples = {language: list(read_source(config, task, language, base)) for language in languages}
    for language, found in samples.items():
        if not found:
            raise BadInput(f"no samples of {language}", where=config.path or config.source)
    every = (sample for found in samples.values() for sample in found)
    check_ids(every, parallel=is_parallel(config), where=config.path or config.source)
    return samples


def _text(record: Record, names: tuple[str, ...], place: str) -> str:
    for name in names:
        value = record.get(name)
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return f"{value:g}"
    raise BadInput(f"no text under {' or '.join(names)}", where=place, expected=f"a field {names[0]!r}")


def _xlsum(record: Record, language: str, place: str) -> tuple[Message, ...]:
    document, summary = _text(record, ("text", "article"), place), _text(record, ("summary",), place)
    said = phrases(language if language in embedded_languages() else "eng_Latn")
    return asked(said.say("summarisation", "ask", document=document), summary)


def _question(record: Record, language: str, place: str) -> tuple[Message, ...]:
    answer = _text(record, ("answer", "response", "answer_detail", "answer_number", "output"), place)
    return asked(_text(record, ("question", "query", "instruction"), place), answer)


def _mgsm(record: Record, language: str, place: str) -> tuple[Message, ...]:
    return asked(_text(record, ("question",), place), _text(record, ("answer_number", "answer"), place))


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


def _belongs(record: Record, language: str) -> bool:
    """Whether a record of a file that holds several languages is in this one."""
    told, script = record.get("language") or record.get("lang"), record.get("script")
    if not isinstance(told, str) or not told:
        return True
    wanted = Language.resolve(language)
    try:
        found = Language.resolve(f"{told}_{script}" if isinstance(script, str) and script else told)
    except BadInput:
        return told.lower() == wanted.name.lower()
    return found.code == wanted.code and (not script or found.script == wanted.script)


def _placed(text: str, config: SourceConfig, language: str) -> str:
    resolved = Language.resolve(language)
    usual = XLSUM_NAMES.get(resolved.code, resolved.code) if config.source == "xlsum" else resolved.bcp47.split("-")[0]
    name = config.names.get(language, usual)
    short = resolved.bcp47.split("-")[0]
    for slot, value in {"language": language, "code": resolved.code, "short": short, "name": name}.items():
        text = text.replace("{" + slot + "}", value)
    return text


def _records(config: SourceConfig, language: str, base: Path) -> Iterator[tuple[int, str, Record]]:
    """Number, place and fields of every record."""
    if config.path is None:
        raise BadInput(f"source {config.source} without a path", where="source", expected="path: a file, or hub: true")
    name = _placed(config.path, config, language)
    if config.hub:
        yield from _from_hub(config, name, language)
        return
    path = base / Path(name).expanduser()
    if not path.is_file():
        raise BadInput("no such file", where=path, expected="a JSON Lines, JSON, TSV or Parquet file")
    readers = {".parquet": _from_parquet, ".tsv": _from_tsv, ".json": _from_json}
    for number, record in enumerate(readers.get(path.suffix, _from_lines)(path)):
        place = f"{path}:{number + 1}"
        if not isinstance(record, Mapping):
            raise BadInput(f"holds a {type(record).__name__}", where=place, expected="an object")
        yield number, place, record


def _from_lines(path: Path) -> Iterator[Any]:
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield json.loads(line)
                except json.JSONDecodeError as error:
                    raise BadInput(f"not valid JSON: {error.msg}", where=f"{path}:{number}") from None


def _from_json(path: Path) -> Iterator[Any]:
    """A JSON array, or JSON Lines under that name."""
    text = path.read_text(encoding="utf-8")
    if not re.match(r"\s*\[", text):
        yield from _from_lines(path)
        return
    try:
        yield from json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(f"not valid JSON: {error.msg}", where=f"{path}:{error.lineno}") from None


def _from_tsv(path: Path) -> Iterator[Any]:
    """MGSM's two columns, without a header."""
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            fields = line.rstrip("\n").split("\t")
            if len(fields) != 2:
                raise BadInput(f"{len(fields)} columns", where=f"{path}:{number}", expected="question, tab, answer")
            yield {"question": fields[0], "answer": fields[1]}


def _from_parquet(path: Path) -> Iterator[Any]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(1024):
                yield from batch.to_pylist()
    except (OSError, ValueError) as error:
        raise BadInput(f"not a Parquet file: {error}", where=path) from None


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
        raise BadInput(f"cannot be had from the hub: {reason}", where=f"{name}/{own}") from None
