"""The reference of study files, from the configurations themselves."""

from __future__ import annotations

from typing import Annotated

import typer

from glotmix.commands.options import Json
from glotmix.commands.output import show


def fields(
    section: Annotated[str, typer.Argument(metavar="[SECTION]", help="proxy, design.active, optimize, ...")] = "",
    kind: Annotated[str, typer.Option(help="mixture, compare, clones, influence or posttraining.")] = "mixture",
    markdown: Annotated[bool, typer.Option("--markdown", help="The whole reference, as in the documentation.")] = False,
    as_json: Json = False,
) -> None:
    """Every field of a study file: its type, default and meaning; without a section, what sections there are."""
    from glotmix.commands.listings import listing
    from glotmix.studies.fields import field_rows, reference, section_rows

    if markdown:
        print(reference(), end="")
        return
    rows = field_rows(kind, section) if section or as_json else section_rows(kind)
    show(as_json, rows, listing(f"Fields of {section}" if section else f"A study of kind {kind}", rows))
