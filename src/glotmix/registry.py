"""One idiom for everything there are several of: a table of names, each with the place of its class.

A registry is a mapping from names to classes (or to whatever object a module has) that are imported when they are
asked for. The same table validates a configuration's field (:meth:`Registry.field`) and is what listings read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any, Generic, TypeVar

from glotmix.errors import BadInput

T = TypeVar("T")


class Registry(Generic[T]):
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

    def find(self, name: str, *, where: object = None) -> type[T]:
        """The class of that name.

        Args:
            name: as in a configuration or on the command line.
            where: file or option that named it, for the message.

        Raises:
            BadInput: there is none; the message lists the names.
        """
        self.check(name, where=where)
        module, _, attribute = self._places[name].partition(":")
        found: type[T] = getattr(import_module(module), attribute)
        return found

    def check(self, name: str, *, where: object = None) -> str:
        """The name, if it is one of these.

        Raises:
            BadInput: it is not; the message lists the names.
        """
        if name not in self._places:
            raise BadInput(f"no {self.what} {name!r}", where=where, expected=" | ".join(self._places))
        return name

    def field(self) -> Any:
        """The type of a configuration's field that holds one of the names: ``executor: EXECUTORS.field() = "local"``."""
        from pydantic import AfterValidator, WithJsonSchema

        def known(name: str) -> str:
            if name not in self._places:
                raise ValueError(f"Input should be {_alternatives(self._places)}")
            return name

        schema = WithJsonSchema({"type": "string", "enum": list(self._places)})
        return Annotated[str, AfterValidator(known), schema]


def _alternatives(names: Mapping[str, str]) -> str:
    """``'a', 'b' or 'c'``."""
    quoted = [repr(name) for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
