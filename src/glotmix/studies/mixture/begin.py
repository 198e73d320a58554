"""Begin: from a folder of text to a study file that runs at the first try."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glotmix.artifact import write_text
from glotmix.corpus.census import megabytes
from glotmix.corpus.survey import survey
from glotmix.errors import BadInput
from glotmix.notebook import Shown
from glotmix.studies.mixture.proposal import HOURS, Proposal, propose
from glotmix.studies.mixture.proposal_file import proposal_text
from glotmix.studies.start import open_study
from glotmix.study.kind import Price
from glotmix.study.narrator import Narrator
from glotmix.tables import by_group

if TYPE_CHECKING:
    import polars as pl
    from rich.console import RenderableType


@dataclass(frozen=True, repr=False)
class Begun(Shown):
    """A study file that was written."""

    path: Path
    """The file."""
    proposal: Proposal
    """What is in it, and what it rests on."""
    price: Price
    """What running it would cost, as ``--dry-run`` tells."""
    problems: tuple[BadInput, ...]
    """What pre-flight would refuse; nothing, but for a machine that lacks something."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        told = {"path": str(self.path), "price": self.price.to_json(), "problems": [str(one) for one in self.problems]}
        return {**self.proposal.to_json(), **told}

    def to_polars(self) -> pl.DataFrame:
        """One row per language of the study: ``language``, its English ``name``, ``spelt`` (what folders, files or
        labels call it), ``documents``, ``bytes`` of text, ``is_counted`` (else both are estimates), ``tokens``."""
        import polars as pl

        return pl.DataFrame(
            [asdict(one) | {"tokens": self.proposal.tokens[one.language]} for one in self.proposal.kept]
        )

    def table(self) -> RenderableType:
        """The languages, for a terminal of 80 characters or a notebook."""
        from rich.console import Group

        found = self.proposal
        about = "" if all(one.is_counted for one in found.kept) else " (estimated from the beginning of each)"
        total = sum(one.bytes for one in found.kept)
        columns = (
            ("name", [one.name for one in found.kept]),
            ("documents", [f"{one.documents:,}" for one in found.kept]),
            ("MB", [megabytes(one.bytes) for one in found.kept]),
            ("natural share", [f"{one.bytes / total:.1%}" for one in found.kept]),
            ("from", ["" if one.spelt == one.language else one.spelt for one in found.kept]),
        )
        return Group(*by_group(f"Languages{about}", [one.language for one in found.kept], columns))

    def tables(self) -> list[RenderableType]:
        """For a terminal: languages, what was not understood, the cost, and what to type next."""
        left = [f"Not used: {name}: {reason}" for name, reason in self.proposal.left_out.items()]
        told = [*left, *self.proposal.survey.remarks]
        return [
            self.table(),
            *told,
            self.price.table(),
            f"{self.path} is written: read it, then glotmix run {self.path}",
        ]


def begin_study(
    data: str | Path, out: Path, *, hours: float = HOURS, name: str | None = None, force: bool = False
) -> Begun:
    """Look at a folder of text and write a study file for it.

    Args:
        data: folder with a folder or a file per language, rows with a field for the language, man pages; or one file of
            such rows; or a URL.
        out: the study file.
        hours: time that the proxies may take on this machine, about.
        name: title of the report.
        force: write over a file that is there.

    Raises:
        BadInput: the file is there already; nothing was understood; text in fewer than two languages.
    """
    if out.exists() and not force:
        raise BadInput("is there already", where=out, expected="another --out, or --force to write over it")
    if not out.absolute().parent.is_dir():
        raise BadInput("no such folder", where=out.absolute().parent, expected="a folder to write the study file into")
    narrator, base = Narrator(), out.absolute().parent
    with narrator.bar("Looking at the text") as advance:
        found = survey(_seen_from(str(data), base), base, advance)
    title = name or f"{len(found.languages)} languages of {Path(str(data)).absolute().name}"[:100]
    proposal = propose(found, base, name=title, hours=hours)
    write_text(out, proposal_text(proposal))
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
