"""Collect: every file below the folder of results, each read by the format that knows it, and believed or refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from glotmix.errors import BadInput
from glotmix.handoff.asked import RESULTS, WAITING, About, AskedRun, asked_runs
from glotmix.handoff.check import Collection, check
from glotmix.handoff.formats import FORMATS
from glotmix.handoff.formats.format import Found, ResultFormat
from glotmix.handoff.results import Reported

NO_RESULTS = frozenset({".md", ".sh", ".py", ".yaml", ".yml", ".toml", ".safetensors", ".pt", ".bin", ".npy", ".part"})
"""Endings of files that lie among results and are none."""
MOST_FILES = 200_000
"""Files that are looked at; a folder with more is no folder of results."""


def collect(folder: Path, places: Iterable[Path] = ()) -> Collection:
    """Everything that has come back to a handoff.

    Args:
        folder: the folder ``handoff`` of a study.
        places: files or folders of results; default ``results`` in it.

    Raises:
        BadInput: the folder is no handoff, or a place is not there.
    """
    found = collect_of(About.of(folder), asked_runs(folder), list(places) or [folder / RESULTS])
    needed = folder / WAITING
    return replace(found, awaited=tuple(needed.read_text("utf-8").split())) if needed.is_file() else found


def collect_of(about: About, asked: Mapping[str, AskedRun], places: Iterable[Path]) -> Collection:
    """Everything that has come back of some runs.

    Args:
        about: sources, targets, and what losses are converted by.
        asked: full name to run.
        places: files or folders of results.

    Raises:
        BadInput: a place is not there.
    """
    reported: list[Reported] = []
    refused: list[str] = []
    for place in places:
        if not place.exists():
            raise BadInput("no such file or folder", where=place, expected="results of a trainer")
        for found in _files(place, about, asked):
            try:
                known = _format_of(found)
                reported += [] if known is None else list(known.read(found))
            except BadInput as error:
                refused.append(str(error))
            except OSError as error:
                refused.append(f"{found.shown}: {error.strerror or error}")
    checked = check(asked, about, reported)
    return Collection(about, asked, checked.runs, (*refused, *checked.refused), checked.remarks)


def _files(place: Path, about: About, asked: Mapping[str, AskedRun]) -> Iterator[Found]:
    paths = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    root = place.parent if place.is_file() else place
    for path in paths[:MOST_FILES]:
        shown = path.relative_to(root)
        if not any(part.startswith(".") for part in shown.parts) and path.suffix not in NO_RESULTS:
            yield Found(path, shown.as_posix(), asked, about)


def _format_of(found: Found) -> ResultFormat | None:
    for name in FORMATS:
        known: ResultFormat = FORMATS.find(name)()
        if known.knows(found):
            return known
    return None
