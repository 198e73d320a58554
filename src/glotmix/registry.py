"""One idiom for everything there are several of: a table of names, each with the place of its class.

A registry is a mapping from names to classes (or to whatever object a module has) that are imported when they are
asked for. The same table validates a configuration's field (:attr:`Registry.known`) and is what listings read.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from glotmix.errors import BadInput


class Registry:
    """Names to classes; nothing is imported before it is asked for."""

    def __init__(self, what: str, places: Mapping[str, str]):
        """
        Args:
            what: what its members are called in messages ("exporter").
            places: name to ``module:Class``.
        """
        self.what = what
        self._places = dict(places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __len__(self) -> int:
        return len(self._places)

    def find(self, name: str, *, where: object = None) -> Any:
        """The class of that name.

        Args:
            name: as in a configuration or on the command line.
            where: file or option that named it, for the message.

        Raises:
            BadInput: there is none; the message lists the names.
        """
        self.check(name, where=where)
        return load(self._places[name])

    def check(self, name: str, *, where: object = None) -> str:
        """The name, if it is one of these.

        Raises:
            BadInput: it is not; the message lists the names.
        """
        if name not in self._places:
            raise BadInput(f"no {self.what} {name!r}{near(name, self)}", where=where, expected=" | ".join(self._places))
        return name

    @property
    def known(self) -> Known:
        """What makes a configuration's field hold one of the names: ``executor: Annotated[str, EXECUTORS.known]``."""
        return Known(tuple(self._places))


@dataclass(frozen=True)
class Known:
    """Validation of a field that holds one of some names, for pydantic."""

    names: tuple[str, ...]
    """The names."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {**handler(schema), "enum": list(self.names)}

    def _check(self, name: str) -> str:
        if name not in self.names:
            *others, last = (repr(known) for known in self.names)
            alternatives = " or ".join([", ".join(others), last] if others else [last])
            raise ValueError(f"Input should be {alternatives}{near(name, self.names)}")
        return name


def near(name: str, known: Iterable[str]) -> str:
    """``"; did you mean …?"`` with the known name that is most like one that is not; "" where none is."""
    found = get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def load(place: str) -> Any:
    """What ``module:name`` names; its module is imported now."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)


def moved(places: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's ``__getattr__`` for names that stand elsewhere now: they are still found, with a warning.

    Args:
        places: old name to ``module:name``.
    """

    def find(name: str) -> Any:
        if name not in places:
            raise AttributeError(name)
        module, _, attribute = places[name].partition(":")
        warnings.warn(f"{name} has moved: from {module} import {attribute}", DeprecationWarning, stacklevel=2)
        return load(places[name])

    return find
