"""Files under a folder: each is read, or named with the reason why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from glotmix.errors import BadInput

HIDDEN = "hidden"
OTHER_ENDING = "of another ending"
READ_ALREADY = "a folder that is linked and read already"
NO_FILE = "no file"


@dataclass
class Listing:
    """What is under some places."""

    files: list[tuple[str, Path]] = field(default_factory=list)
    """Name inside its place (without the ending; "" where the place is a file) and path of every file that is read."""
    left_out: dict[str, list[Path]] = field(default_factory=dict)
    """Reason → what is not read for it."""

    def leave_out(self, reason: str, path: Path) -> None:
        """Note a file or folder that is not read."""
        self.left_out.setdefault(reason, []).append(path)


def list_files(places: Sequence[Path], stem: Callable[[Path], str | None]) -> Listing:
    """Every file of some places, sorted by name. Linked folders are followed, each once.

    Args:
        places: files and folders.
        stem: name of a file without its ending; None where the ending is not one that is read.

    Raises:
        BadInput: a folder that cannot be read, or a link to nothing.
    """
    found, taken = Listing(), set[str]()
    for place in places:
        for name, path in _under(place, stem, found):
            names = (
                name,
                f"{name.rpartition('/')[0]}/{path.name}".lstrip("/"),
                f"{place.name}/{name}",
                path.as_posix(),
            )
            own = next(
                (one for one in names if one not in taken), names[-1]
            )  # a.csv beside a.jsonl, es/a beside es_MX/a
            taken.add(own)
            found.files.append((own, path))
    found.files.sort()
    return found


def _under(place: Path, stem: Callable[[Path], str | None], found: Listing) -> Iterator[tuple[str, Path]]:
    if place.is_file():
        yield "", place
        return
    seen = {_identity(place)}
    folders = [place]
    while folders:
        folder = folders.pop()
        for path in children(folder):
            if path.name.startswith("."):
                found.leave_out(HIDDEN, path)
            elif path.is_dir():
                if (same := _identity(path)) in seen and same is not None:
                    found.leave_out(READ_ALREADY, path)
                else:
                    seen.add(same)
                    folders.append(path)
            elif not path.is_file():
                if path.is_symlink():
                    raise BadInput("a link to nothing", where=path, expected="a file; mend the link or delete it")
                found.leave_out(NO_FILE, path)
            elif (name := stem(path)) is None:
                found.leave_out(OTHER_ENDING, path)
            else:
                yield (path.parent / name).relative_to(place).as_posix(), path


def children(folder: Path) -> list[Path]:
    """What is in a folder, links last, so that a folder is known by its own name if it has one there.

    Raises:
        BadInput: it cannot be read.
    """
    try:
        return sorted(folder.iterdir(), key=lambda path: (path.is_symlink(), path.name))
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or error}", where=folder, expected="a folder") from None


def _identity(folder: Path) -> tuple[int, int] | None:
    """What two names of one folder have in common; None where it cannot be told (object stores have no links)."""
    if "://" in str(folder):
        return None
    status = folder.stat()
    return (status.st_dev, status.st_ino) if status.st_ino else None
