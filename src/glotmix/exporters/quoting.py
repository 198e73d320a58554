"""Names, numbers and paths of users, quoted so that every parser reads back exactly what was meant.

A language tag may be ``no`` (False in YAML 1.1), a path may hold a quote, a space or ``$(rm -rf)``. Nothing here is
ever pasted bare: strings are always quoted, and numbers are written with a point and without an exponent, because
YAML 1.1 reads ``1e-05`` as a string.
"""

from __future__ import annotations

import ast
import json
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from glotmix.errors import BadInput


def check_text(text: str, what: str) -> str:
    """The text itself, if every format can hold it.

    Raises:
        BadInput: empty, or holds a control character, a line separator or half a surrogate pair.
    """
    if not text:
        raise BadInput(f"{what} is empty")
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in "\ufeff\ufffe\uffff":
            raise BadInput(f"{what} {text!r} holds {character!r}", expected="printable characters")
    return text


def number(value: float) -> str:
    """Decimal digits that read back as the same float in JSON, YAML 1.1, YAML 1.2, Python and C."""
    if isinstance(value, bool | int | np.integer):
        return str(int(value))
    return np.format_float_positional(float(value), trim="0")


def yaml_text(value: Any, comment: str = "") -> str:
    """A YAML document that versions 1.1 and 1.2 read alike: block mappings and lists, every string quoted."""
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    return head + "\n".join(_yaml_lines(value)) + "\n"


def _yaml_lines(value: Any) -> list[str]:
    if isinstance(value, Mapping) and value:
        lines = []
        for key, item in value.items():
            # Keys of ours are plain words; a language as a key is quoted like any other string.
            name = key if key.isidentifier() and key.lower() not in YAML_1_1_WORDS else _yaml_scalar(key)
            lines += _yaml_entry(f"{name}:", item)
        return lines
    if isinstance(value, list | tuple) and value:
        if all(not isinstance(item, Mapping | list | tuple) for item in value):
            return ["[" + ", ".join(map(_yaml_scalar, value)) + "]"]
        lines = []
        for item in value:
            inner = _yaml_lines(item)
            lines += [f"- {inner[0]}", *(f"  {line}" for line in inner[1:])]
        return lines
    return [_yaml_scalar(value)]


YAML_1_1_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Plain words that YAML 1.1 does not read as strings."""


def _yaml_entry(name: str, item: Any) -> list[str]:
    inner = _yaml_lines(item)
    block = (isinstance(item, Mapping) and item) or (isinstance(item, list | tuple) and inner[0].startswith("- "))
    return [name, *(f"  {line}" for line in inner)] if block else [f"{name} {inner[0]}"]


def _yaml_scalar(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list | tuple):
        return "[]"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return number(value)


def read_yaml_text(path: Path) -> Any:
    """Read a YAML file back, strictly (YAML 1.2, no duplicate keys)."""
    yaml = YAML(typ="safe", pure=True)
    try:
        return yaml.load(read_text(path))
    except YAMLError as error:
        raise BadInput(f"not valid YAML: {error}", where=path) from None


def read_text(path: Path) -> str:
    """The text of an exported file."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=path, expected="a file that was exported") from None


def python_text(docstring: str, constants: Mapping[str, tuple[str, Any]], code: str) -> str:
    """A Python module: literal constants (name to comment and value), then code that holds nothing of the user's."""
    parts = [f'"""{docstring}"""\n']
    for name, (comment, value) in constants.items():
        parts.append("".join(f"# {line}\n" for line in comment.splitlines()) + f"{name} = {python_literal(value)}\n")
    return "\n".join([*parts, "\n" + code.strip() + "\n"])


def python_literal(value: Any, indent: int = 0) -> str:
    """The value as Python source, one entry per line where there are many."""
    inside, end = " " * (indent + 4), " " * indent
    if isinstance(value, Mapping) and value:
        rows = [f"{inside}{key!r}: {python_literal(item, indent + 4)},\n" for key, item in value.items()]
        return "{\n" + "".join(rows) + end + "}"
    if isinstance(value, list) and value and any(isinstance(item, Mapping | list | tuple) for item in value):
        return "[\n" + "".join(f"{inside}{python_literal(item, indent + 4)},\n" for item in value) + end + "]"
    if isinstance(value, tuple) and value:
        return "(" + ", ".join(python_literal(item, indent) for item in value) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, np.floating | np.integer):
        value = value.item()
    return repr(value)


def read_constants(path: Path) -> dict[str, Any]:
    """Literal constants at the top of a generated Python module, read without running it."""
    try:
        tree = ast.parse(read_text(path))
    except SyntaxError as error:
        raise BadInput(f"not valid Python: {error.msg}", where=f"{path}:{error.lineno}") from None
    constants: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            try:
                constants[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return constants


def shell(arguments: Sequence[str]) -> str:
    """A command line on which every word arrives as it is."""
    return " ".join(shlex.quote(argument) for argument in arguments)
