"""`glotmix init`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glotmix.commands.options import Json
from glotmix.commands.output import remark, show


def init(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="Folder of text or chats, or a file of rows in all languages.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Study file to write.")] = Path("study.yaml"),
    hours: Annotated[float, typer.Option(min=0.01, help="Hours that the training may take on this machine.")] = 4.0,
    name: Annotated[str | None, typer.Option(help="Title of the report.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    model: Annotated[str | None, typer.Option(help="Of chats: the model to fine-tune, a folder or owner/name.")] = None,
    as_json: Json = False,
) -> None:
    """Look at text or chats and write a study file for them, with the reasons; `glotmix run` takes it as it is."""
    from glotmix.studies.begin import begin_study

    found = begin_study(data, out, hours=hours, name=name, force=force, model=model)
    show(as_json, found.to_json(), *found.tables())
    remark(*(f"`glotmix run` would refuse: {one}" for one in found.problems))
