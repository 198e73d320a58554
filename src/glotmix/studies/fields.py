"""What a study file may hold: every field with its type, default and meaning, from the configurations themselves."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from glotmix.config import Section, section_in
from glotmix.errors import BadInput
from glotmix.registry import Known
from glotmix.studies import KINDS

PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "none", Any: "anything"}
"""Type to what a study file calls it."""


def field_rows(kind: str = "mixture", section: str = "") -> list[dict[str, str]]:
    """Fields of a kind of study, in the order of its configuration; each as field, type, default, meaning.

    Args:
        kind: as in a study file.
        section: "proxy", or "design.active"; only its fields. Empty for all.

    Raises:
        BadInput: there is no such kind, or no such section.
    """
    rows = list(_rows(KINDS.find(kind).config))
    if not section:
        return rows
    chosen = [
        row for row in rows if row["field"] == section or row["field"].startswith((f"{section}.", f"{section}[]."))
    ]
    if not chosen:
        names = dict.fromkeys(row["field"].partition(".")[0].removesuffix("[]") for row in rows)
        raise BadInput(f"no field or section {section!r} in a study of kind {kind}", expected=" | ".join(names))
    return chosen


def section_rows(kind: str = "mixture") -> list[dict[str, str]]:
    """Fields of the study itself, and its sections with the names of their fields."""
    rows = field_rows(kind)
    told: dict[str, dict[str, str]] = {}
    for row in rows:
        section = _section_of(row["field"])
        if not section:
            told[row["field"]] = {"field": row["field"], "meaning": row["meaning"]}
            continue
        name = row["field"].split(".", 1)[1]
        entry = told.setdefault(section, {"field": section, "meaning": ""})
        if "." not in name:
            before = entry["meaning"] if entry["meaning"].startswith("section: ") else ""
            entry["meaning"] = f"{before}, {name}" if before else f"section: {name}"
    return list(told.values())


def reference() -> str:
    """The reference of study files for the documentation, in Markdown."""
    parts = [HEAD]
    for kind in KINDS:
        parts.append(f"\n## kind: {kind}\n")
        rows = field_rows(kind)
        groups = dict.fromkeys(_section_of(row["field"]) for row in rows)
        for group in groups:
            if group:
                parts.append(f"\n### {kind}: {group}\n")
            parts.append("\n| field | type | default | meaning |\n|---|---|---|---|\n")
            for row in rows:
                if _section_of(row["field"]) == group:
                    cells = [
                        f"`{row['field']}`",
                        row["type"],
                        f"`{row['default']}`" if row["default"] else "",
                        row["meaning"],
                    ]
                    parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return "".join(parts)


HEAD = """# The study file

Every field of every kind of study, from the configurations themselves (`glotmix fields` prints the same for one
section: `glotmix fields proxy`, `glotmix fields --kind compare`). A study file is YAML 1.2; a key that is not listed
here is an error. Any field can be set from the command line as `--set section.field=value`. Fields without a default
must be given.
"""


def _section_of(field: str) -> str:
    """The section that a field stands in; "" for the fields of the study itself."""
    first, dot, _ = field.partition(".")
    return first.removesuffix("[]") if dot else ""


def _rows(model: type[Section], before: str = "") -> Iterator[dict[str, str]]:
    for name, field in model.model_fields.items():
        inner, many = section_in(field.annotation)
        path = f"{before}{name}"
        if inner is not None and not many and not field.is_required() and field.description is None:
            yield from _rows(inner, f"{path}.")
            continue
        yield {"field": path, "type": _type(field), "default": _default(field), "meaning": _meaning(field)}
        if inner is not None:
            yield from _rows(inner, f"{path}[]." if many else f"{path}.")


def _type(field: FieldInfo) -> str:
    known = [one for one in field.metadata if isinstance(one, Known)]
    return " or ".join(known[0].names) if known else _words(field.annotation)


def _words(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if annotation in PLAIN:
        return PLAIN[annotation]
    if origin is Annotated:
        known = [one for one in parts[1:] if isinstance(one, Known)]
        return " or ".join(known[0].names) if known else _words(parts[0])
    if origin is Literal:
        return " or ".join(map(str, parts))
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(part) for part in parts))
    if origin in (list, tuple):
        kinds = [part for part in parts if part is not Ellipsis]
        return f"list of {_words(kinds[0])}" if origin is list or len(kinds) == 1 else f"pair of {_words(kinds[0])}"
    if origin is dict:
        return f"mapping of {_words(parts[0])} to {_words(parts[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "section"
    return getattr(annotation, "__name__", str(annotation))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or isinstance(value, Section):
        return ""
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else f"{value}"


def _meaning(field: FieldInfo) -> str:
    return " ".join((field.description or "").replace("``", "`").split())
