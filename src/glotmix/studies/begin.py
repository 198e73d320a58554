"""Begin: from a folder of text or of chats to a study file that runs at the first try."""

from __future__ import annotations

import os
from pathlib import Path

from glotmix.artifact import write_text
from glotmix.corpus.layout import layout_of
from glotmix.errors import BadInput
from glotmix.studies import KINDS
from glotmix.studies.begun import Begun
from glotmix.studies.start import open_study
from glotmix.study.machine import HOURS
from glotmix.study.narrator import Narrator
from glotmix.study.proposing import ProposalWish


def begin_study(
    data: str | Path,
    out: Path,
    *,
    hours: float = HOURS,
    name: str | None = None,
    force: bool = False,
    model: str | None = None,
) -> Begun:
    """Look at a folder of text, or of chats, and write a study file for it.

    Args:
        data: folder with a folder or a file per language, rows with a field for the language, man pages; or one file of
            such rows; or a URL. Rows that are chats make a post-training study, all others one of a mixture.
        out: the study file.
        hours: time that the training may take on this machine, about.
        name: title of the report.
        force: write over a file that is there.
        model: of chats: what is fine-tuned, a folder or a name on the hub; default a small proxy that the study trains.

    Raises:
        BadInput: the file is there already; nothing was understood; text in fewer than two languages; a model, and no
            chats to fine-tune it on.
    """
    if out.exists() and not force:
        raise BadInput("is there already", where=out, expected="another --out, or --force to write over it")
    if not out.absolute().parent.is_dir():
        raise BadInput("no such folder", where=out.absolute().parent, expected="a folder to write the study file into")
    narrator, base = Narrator(), out.absolute().parent
    place = _seen_from(str(data), base)
    layout = layout_of(place, base)
    if layout.chat is None and model is not None:
        raise BadInput(f"its rows are no chats to fine-tune {model} on", where=data, expected="no --model")
    own = _seen_from(model, base) if model is not None and Path(model).expanduser().is_dir() else model
    kind = KINDS.find("mixture" if layout.chat is None else "posttraining")()
    with narrator.bar("Looking at the data") as advance:
        folder = Path(str(data)).absolute().name
        text, proposal = kind.propose(ProposalWish(layout, place, folder, base, name, hours, own, advance))
    write_text(out, text)
    study = open_study(out)
    return Begun(out, proposal, study.price(), tuple(study.problems()))


def _seen_from(data: str, base: Path) -> str:
    """The corpus as a file in another folder names it: relative where it was given so."""
    path = Path(data).expanduser()
    return (
        data
        if "://" in data
        else path.as_posix()
        if path.is_absolute()
        else Path(os.path.relpath(path, base)).as_posix()
    )
