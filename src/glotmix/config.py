"""A study as YAML 1.2: every field, its default and one sentence on it. Unknown keys are errors.

YAML 1.2 because in 1.1 the tag ``no`` (Norwegian) is the boolean False and ``1e9`` is a string.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent

from glotmix.errors import BadInput, refuse
from glotmix.language import Language
from glotmix.registry import moved

MAX_YAML_BYTES = 200_000
"""A study file is written by hand; a larger one is a mistake or an attack."""
MOST_PROBLEMS = 20
"""Fields that are told at most; whoever has more wrong has another file in mind."""
MOST_ROUNDS = 6
"""How often a section is checked without what was wrong the time before."""
MAX_YAML_DEPTH = 30
"""Brackets in brackets; the time that the parser takes grows with the third power of them."""


class Section(BaseModel):
    """Base of all sections: frozen, and a key that is not a field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    instead: ClassVar[Mapping[str, str]] = {}
    """Fields that a section has not and people look for in it, as other sections have them, and what does it here."""


def read_study(path: Path, *, scale: str | None = None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """A study file with its scale and overrides merged, not yet checked."""
    data = read_yaml(path)
    scales, default = data.pop("scales", None) or {}, data.pop("scale", None)
    if not isinstance(scales, dict) or not all(isinstance(one, dict) for one in scales.values()):
        raise BadInput("scales is no mapping of names to sections", where=path, expected="scales: {tiny: {...}}")
    chosen = scale or default
    if chosen is not None:
        if not isinstance(chosen, str) or chosen not in scales:
            there = " | ".join(map(str, scales)) or "a file with scales"
            raise BadInput(f"no scale {chosen!r}", where=path, expected=there)
        data = merged(data, scales[chosen])
    for override in overrides:
        data = merged(data, parse_override(override))
    return data


S = TypeVar("S", bound=Section)

Place = tuple[str | int, ...]
"""Keys and places in lists that lead to a value."""


class FieldErrors(ValueError):
    """What a check of a whole section finds wrong with several of its fields, each with its place."""

    def __init__(self, wrong: Mapping[Place, str]):
        """
        Args:
            wrong: place of each value to what is wrong with it; at least one.
        """
        self.wrong = dict(wrong)
        super().__init__("; ".join(f"{_dotted(place)}: {message}" for place, message in wrong.items()))


@dataclass(frozen=True)
class SoundPart(Generic[S]):
    """What is left of a section without the values that are wrong."""

    section: S | None
    """The section with defaults in their place; None where it cannot do without them."""
    problems: tuple[BadInput, ...]
    """What is wrong, everything."""
    lost: frozenset[str]
    """Fields of the section that are not, or not wholly, as the file has them."""


def checked(section: type[S], data: Mapping[str, Any], *, where: object = None) -> S:
    """Validate one section.

    Raises:
        BadInput: every field that is wrong, its value, and what was expected.
    """
    part = sound_part(section, data, where=where)
    refuse(part.problems[:MOST_PROBLEMS])
    assert part.section is not None
    return part.section


def sound_part(section: type[S], data: Mapping[str, Any], *, where: object = None) -> SoundPart[S]:
    """Validate a section as far as it can be: values that are wrong are left out and the rest is checked again, as
    fields are checked together only once each of them is sound.

    Args:
        section: its type.
        data: its values.
        where: the file, for messages.
    """
    left, lost, named = copy.deepcopy(dict(data)), set[Place](), set[str]()
    problems: dict[str, BadInput] = {}
    for _ in range(MOST_ROUNDS):
        try:
            return SoundPart(section.model_validate(left), tuple(problems.values()), _first(lost))
        except ValidationError as error:
            found: list[dict[str, Any]] = [dict(one) for one in error.errors(include_url=False)]
        for one in found:
            if one["type"] == "extra_forbidden" and _dotted(one["loc"]) in section.instead:
                one |= {"type": "elsewhere", "msg": f"no such field; {section.instead[_dotted(one['loc'])]}"}
        meant = {one["loc"]: _meant(section, one["loc"]) for one in found if one["type"] == "extra_forbidden"}
        named |= {field for field in meant.values() if field}
        # Who misspelt a field that must be given is told of the misspelling alone.
        found = [one for one in found if not (one["type"] == "missing" and _dotted(one["loc"]) in named)]
        wrong = [each for one in found for each in _problems(one, where, meant.get(one["loc"]))]
        for place, problem in wrong:
            if not any(place and gone[: len(place)] == place for gone in lost):  # else it follows from that
                problems.setdefault(str(problem), problem)
        cut = {there for place, _ in wrong if (there := _there(left, place))}
        for place in sorted(cut, key=lambda one: [(isinstance(key, int), key) for key in one], reverse=True):
            _leave_out(left, place)
        lost |= cut
        if not cut:
            break
    return SoundPart(None, tuple(problems.values()), _first(lost))


def _first(places: Iterable[Place]) -> frozenset[str]:
    return frozenset(str(place[0]) for place in places)


def _there(data: Any, place: Place) -> Place:
    """As much of a place as leads to a value: pydantic goes on with types and with fields that are missing."""
    found: list[str | int] = []
    for key in place:
        inside = isinstance(data, dict) and key in data
        if not inside and not (isinstance(data, list) and isinstance(key, int) and key < len(data)):
            break
        found.append(key)
        data = cast(Any, data)[key]
    return tuple(found)


def _leave_out(data: Any, place: Place) -> None:
    """A list of languages loses those that are none or were listed before, anything else is lost whole."""
    *before, last = cast(tuple[Any, ...], place)
    for key in before:
        data = data[key]
    value = data[last]
    tags: dict[str, str] = {}
    for name in value if isinstance(value, list) else ():
        try:
            tags.setdefault(Language.resolve(name).tag, name)
        except BadInput:
            continue
    if tags and len(tags) < len(value):
        data[last] = list(tags.values())
    else:
        del data[last]


def _problems(error: Mapping[str, Any], where: object, meant: str | None) -> Iterator[tuple[Place, BadInput]]:
    """What one error of pydantic's says, by place."""
    found = error.get("ctx", {}).get("error")
    if isinstance(found, FieldErrors):
        for place, message in found.wrong.items():
            yield (*error["loc"], *place), BadInput(f"{_dotted((*error['loc'], *place))}: {message}", where=where)
        return
    message, given = error["msg"].removeprefix("Value error, "), error.get("input")
    shown = f" = {given!r}" if isinstance(given, str | int | float | bool) or given is None else ""
    if error["type"] == "extra_forbidden":
        message = "no such field" + (f"; did you mean {meant}?" if meant else "; see `glotmix fields`")
    yield error["loc"], BadInput(f"{_dotted(error['loc'])}{shown}: {message}", where=where)


def _dotted(loc: Sequence[object]) -> str:
    return ".".join(map(str, loc))


def _meant(section: type[Section], loc: tuple[str | int, ...]) -> str | None:
    """The field that one which there is not is most like, among its neighbours, else of its name in another section."""
    here: type[Section] | None = section
    for name in loc[:-1]:
        field = None if here is None else here.model_fields.get(str(name))
        here = here if field is None else section_in(field.annotation)[0]  # a place in a list, or a key
    wanted = str(loc[-1])
    close = get_close_matches(wanted, [] if here is None else list(here.model_fields), n=1)
    if close:
        return _dotted((*loc[:-1], close[0]))
    inner = {name: section_in(field.annotation) for name, field in section.model_fields.items()}
    return next(
        (f"{name}.{wanted}" for name, (one, many) in inner.items() if one and not many and wanted in one.model_fields),
        None,
    )


def section_in(annotation: Any) -> tuple[type[Section] | None, bool]:
    """The section that a field of such a type holds, and whether it holds several."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation, False
    many = get_origin(annotation) in (list, tuple)
    for part in get_args(annotation):
        inner, more = section_in(part)
        if inner is not None:
            return inner, many or more
    return None, False


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML 1.2 mapping from a file, loaded safely; aliases and size are bounded."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise BadInput("no such file", where=path, expected="a study file (see `glotmix recipes`)") from None
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=path, expected="a YAML file") from None
    if len(raw) > MAX_YAML_BYTES:
        raise BadInput(f"{len(raw)} bytes", where=path, expected=f"a study file of at most {MAX_YAML_BYTES} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"byte {error.start} is not UTF-8", where=path) from None
    data = _load(text, path)
    if not isinstance(data, dict):
        raise BadInput(f"holds a {type(data).__name__}", where=path, expected="a mapping of sections")
    return data


class _Bounded(Composer):
    """Makes the tree of a YAML file, and refuses aliases and depth where they begin: what follows is not read."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        if isinstance(event, AliasEvent) or event.anchor is not None:
            message = "uses a YAML alias (*name) or an anchor for one (&name)"
            raise BadInput(message, expected="no aliases; write the value out")
        if self._depth == MAX_YAML_DEPTH:
            raise BadInput("nested too deeply", expected=f"at most {MAX_YAML_DEPTH} levels")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


@lru_cache(maxsize=16)
def _parsed(text: str) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Bounded
    yaml.version = (1, 2)
    yaml.allow_duplicate_keys = False
    return yaml.load(text)


def _load(text: str, where: object) -> Any:
    try:
        return copy.deepcopy(_parsed(text))  # a study file is read for its kind, and again for what it asks
    except BadInput as error:
        raise BadInput(error.message, where=where, expected=error.expected) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark is not None else where
        raise BadInput(f"not valid YAML: {error.problem or error.context}", where=place) from None
    except (YAMLError, ValueError, RecursionError, TypeError) as error:
        raise BadInput(f"not valid YAML: {type(error).__name__}: {error}", where=where) from None


def parse_override(text: str) -> dict[str, Any]:
    """``a.b=value`` as the nested mapping ``{a: {b: value}}``; the value is YAML."""
    name, equals, value = text.partition("=")
    if not equals or not all(part.strip() for part in name.split(".")):
        raise BadInput(f"{text!r}", where="--set", expected="section.field=value")
    nested: Any = _load(value, f"--set {name}")
    for part in reversed(name.split(".")):
        nested = {part.strip(): nested}
    return dict(nested)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid over ``base``, section by section."""
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


__getattr__ = moved(
    {
        "CorpusConfig": "glotmix.corpus.config:CorpusConfig",
        "TokensConfig": "glotmix.tokens.config:TokensConfig",
        "DesignConfig": "glotmix.mixture.config:DesignConfig",
        "ActiveConfig": "glotmix.mixture.config:ActiveConfig",
        "ProxyConfig": "glotmix.proxy.config:ProxyConfig",
        "SweepConfig": "glotmix.sweep.config:SweepConfig",
        "FitConfig": "glotmix.fit.config:FitConfig",
        "OptimizeConfig": "glotmix.optimize.config:OptimizeConfig",
        "TargetConfig": "glotmix.study.config:TargetConfig",
        "ValidateConfig": "glotmix.studies.mixture.config:ValidateConfig",
        "StudyConfig": "glotmix.studies.mixture.config:StudyConfig",
        "load_study": "glotmix.studies.mixture.config:load_study",
        "check": "glotmix.studies.mixture.config:check",
    }
)
"""Sections stand beside their stages since 0.3; the old names go with 0.4."""
