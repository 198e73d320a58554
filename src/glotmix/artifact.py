"""A result's directory: complete or absent, and always able to say where it came from.

A stage writes into ``NAME.part`` and renames it to ``NAME`` when everything is on disk, so a directory under its final
name is complete however the process died. Processes that make the same artifact at the same time do not disturb each
other: each has a ``.part`` of its own, and what is complete first stays. ``artifact.json`` in it records the kind, the
configuration and inputs that made it (as a fingerprint), the version and a checksum for every file. A stage that finds
a complete artifact with its own fingerprint skips the work; one with another fingerprint is an error, never silently
reused.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glotmix.errors import BadInput, Corrupt, GlotmixError

MANIFEST = "artifact.json"


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(value: object) -> str:
    """16 hexadecimal digits that change when the JSON value changes."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def checksum(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Write a small file so that a reader sees the old text or the new, never half of it.

    Args:
        path: the file.
        text: what it will hold.
        durable: wait until the disk has it, so that a power cut does not leave an empty file; takes a busy disk up to a
            tenth of a second, which what is made anew at each start is not worth.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part{os.getpid()}")
    try:
        with open(part, "w", encoding="utf-8") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise GlotmixError(f"{path}: cannot be written: {error.strerror}") from error


def write_json(path: Path, value: object, *, durable: bool = True) -> None:
    """Write a JSON value as :func:`write_text` does; keys keep their order, NaN is refused."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", durable=durable)


def read_json(path: Path) -> Any:
    """Read a JSON file that glotmix or a user wrote.

    Raises:
        BadInput: the file does not exist or is not JSON (with line and column).
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput("no such file", where=path) from None
    except IsADirectoryError:
        raise BadInput("is a directory", where=path, expected="a JSON file") from None
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or error}", where=path, expected="a JSON file") from None
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, a number of 4300 digits, 1000 brackets deep
        raise BadInput(f"not valid JSON: {error}", where=path) from None


def put(part: Path, path: Path) -> None:
    """Give a finished file its name, and leave its checksum beside it (``NAME.sha256``, as ``sha256sum`` writes it).

    While the file is replaced, the checksums of the old and of the new one stand there: whenever the process dies, a
    reader finds a file that is one of them.
    """
    note, mine = _note(path), f"{checksum(part)}  {path.name}\n"
    old = note.read_text(encoding="utf-8").splitlines()[-1:] if note.is_file() and path.is_file() else []
    write_text(note, "".join([*(f"{line}\n" for line in old), mine]))
    os.replace(part, path)
    write_text(note, mine)


def compare(path: Path) -> None:
    """Compare a file with the checksum that :func:`put` left beside it; a file without one is somebody else's.

    Raises:
        Corrupt: it changed since it was written.
    """
    note = _note(path)
    if note.is_file() and checksum(path) not in note.read_text(encoding="utf-8", errors="replace").split():
        raise Corrupt(f"{path}: content changed since it was written (checksum differs from {note.name})")


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


@dataclass(frozen=True)
class Artifact:
    """A complete result on disk."""

    directory: Path
    kind: str
    fingerprint: str
    made_from: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]

    def path(self, name: str) -> Path:
        """Path of a file inside the artifact."""
        return self.directory / name

    def checked(self, name: str, *, content: bool = True) -> Path:
        """Path of a file inside the artifact, after comparing it with its recorded size and checksum.

        Args:
            name: of the file.
            content: compare the checksum too, which reads the file.

        Raises:
            Corrupt: it is missing, truncated or changed.
        """
        path, recorded = self.directory / name, self.files.get(name)
        if recorded is None or not path.is_file():
            raise Corrupt(f"{path}: missing, although a complete {self.kind} has it")
        if (size := path.stat().st_size) != recorded["bytes"]:
            raise Corrupt(f"{path}: {size} bytes, was written with {recorded['bytes']}")
        if content and checksum(path) != recorded["sha256"]:
            raise Corrupt(f"{path}: content changed since it was written (checksum differs)")
        return path

    def verify(self, *, content: bool = True) -> None:
        """Compare every file, as :meth:`checked` does.

        Raises:
            Corrupt: naming the first file that is missing, truncated or changed.
        """
        for name in self.files:
            self.checked(name, content=content)


def open_artifact(directory: Path, kind: str, made_from: object | None = None) -> Artifact | None:
    """The complete artifact in ``directory``, or None when there is none.

    Args:
        directory: where it would be.
        kind: what it must be ("tokens", "run", ...).
        made_from: JSON value of configuration and inputs; when given, the artifact must have been made from the same.

    Raises:
        BadInput: another kind of artifact, or one made from another configuration; the message names the difference.
        Corrupt: the manifest cannot be read.
    """
    if not (directory / MANIFEST).is_file():
        return None
    artifact = read_manifest(directory)
    if artifact.kind != kind:
        raise BadInput(f"holds a result of kind {artifact.kind!r}", where=directory, expected=repr(kind))
    if made_from is not None and artifact.fingerprint != fingerprint(made_from):
        raise BadInput(
            f"was made by another configuration: {first_difference(artifact.made_from, made_from)}",
            where=directory,
            expected="the same configuration, or another --out directory",
        )
    return artifact


def failure_of(path: Path) -> Path:
    """Where it is noted that an artifact, which would lie at ``path``, could not be made."""
    return path.with_name(f"{path.name}.failed.json")


def reason_of_failure(path: Path) -> str | None:
    """Why an artifact, which would lie at ``path``, could not be made; None where nothing was noted."""
    note = failure_of(path)
    return str(read_json(note)["reason"]) if note.is_file() else None


def read_manifest(directory: Path) -> Artifact:
    """The artifact whose manifest is in ``directory``, of any kind.

    Raises:
        Corrupt: the manifest cannot be read, or names a file outside of the directory.
    """
    manifest = directory / MANIFEST
    try:
        stored = json.loads(manifest.read_text(encoding="utf-8"))
        listed = stored["files"].items()
        files = {_inside(name): {"bytes": int(one["bytes"]), "sha256": str(one["sha256"])} for name, one in listed}
        return Artifact(directory, stored["kind"], stored["fingerprint"], stored["made_from"], files)
    except (OSError, ValueError, OverflowError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(f"{manifest}: unreadable ({error}); delete {directory} to make it again") from None


def _inside(name: str) -> str:
    """A file's name in a manifest, which may come from a stranger and must not lead out of its artifact."""
    parts = name.split("/")
    if not name or name.startswith("/") or "\0" in name or ".." in parts or max(len(p.encode()) for p in parts) > 255:
        raise ValueError(f"{name!r} is no file of it")
    return name


@contextmanager
def creating(directory: Path, kind: str, made_from: Mapping[str, Any]) -> Iterator[Path]:
    """Make an artifact: yields the ``.part`` directory to write into; on a clean exit it gets its final name.

    Whatever a dead predecessor left in ``.part`` is removed first; one that is alive keeps its own. An artifact of the
    same configuration that is whole when this one is done stays, since others may be reading it; a damaged one, or one
    of another configuration, is replaced. On an error the ``.part`` directory is removed and an artifact already
    complete under the final name stays untouched.
    """
    try:
        mine = fingerprint(made_from)
        with _own_part(directory) as part:
            yield part
            files = {
                str(path.relative_to(part)): {"bytes": path.stat().st_size, "sha256": checksum(path)}
                for path in sorted(part.rglob("*"))
                if path.is_file()
            }
            from glotmix.version import __version__

            write_json(
                part / MANIFEST,
                {"kind": kind, "glotmix": __version__, "fingerprint": mine, "made_from": made_from, "files": files},
            )
            _publish(part, directory, kind, mine)
    except OSError as error:
        raise GlotmixError(f"{directory}: cannot be written: {error.strerror or error}") from error


@contextmanager
def _own_part(directory: Path) -> Iterator[Path]:
    """An empty folder beside ``directory`` that no other process writes into; gone afterwards, unless it was renamed.

    It is locked, so that what a dead process left is told from what a living one is writing.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    names = (directory.with_name(f"{directory.name}{f'.{i}' if i > 1 else ''}.part") for i in itertools.count(1))
    part, held = next((part, held) for part in names if (held := _locked(part)) is not None)
    try:
        for dead in itertools.takewhile(Path.is_dir, names):
            if (other := _locked(dead)) is not None:
                shutil.rmtree(dead, ignore_errors=True)
                os.close(other)
        for left in part.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()
        yield part
    finally:
        if _identity(part) == _identity(held):
            shutil.rmtree(part, ignore_errors=True)
        os.close(held)


def _locked(part: Path) -> int | None:
    """The open folder, made where it is not there, with its lock; None where a living process has it."""
    while True:
        with contextlib.suppress(FileExistsError):
            os.mkdir(part)
        try:
            held = os.open(part, os.O_RDONLY)
        except FileNotFoundError:  # its owner gave it its final name
            continue
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            return None
        except OSError:  # a file system without locks: one driver at a time, as everywhere
            return held
        if _identity(part) == _identity(held):
            return held
        os.close(held)


def _identity(file: Path | int) -> tuple[int, int] | None:
    """Device and number of a file, which tell it from one that takes its name later; None where it is not there."""
    try:
        found = os.stat(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _publish(part: Path, directory: Path, kind: str, mine: str) -> None:
    """Give what is complete in ``part`` its name, unless the same is there already."""
    aside = part.with_name(f"{part.name.removesuffix('.part')}.old.part")
    shutil.rmtree(aside, ignore_errors=True)
    while True:
        try:
            os.replace(part, directory)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        seen = _identity(directory / MANIFEST)
        if _is_whole(directory, kind, mine):
            return
        try:  # taken away in one step, to look whether it is still what was judged
            os.rename(directory, aside)
        except FileNotFoundError:
            continue
        if _identity(aside / MANIFEST) != seen:
            with contextlib.suppress(OSError):  # there is another one already
                os.rename(aside, directory)
        shutil.rmtree(aside, ignore_errors=True)


def _is_whole(directory: Path, kind: str, mine: str) -> bool:
    """Whether a complete and undamaged artifact of the same is there."""
    try:
        theirs = open_artifact(directory, kind)
        if theirs is None or theirs.fingerprint != mine:
            return False
        theirs.verify()
    except (BadInput, Corrupt, OSError):
        return False
    return True


def first_difference(old: object, new: object, at: str = "") -> str:
    """Where two JSON values first differ, for a message: ``proxy.width: 64 there, 96 here``."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(set(old) | set(new), key=str):
            if key not in old or key not in new or canonical_json(old[key]) != canonical_json(new[key]):
                return first_difference(old.get(key), new.get(key), f"{at}.{key}" if at else str(key))
    return f"{at or 'value'}: {_short(old)} there, {_short(new)} here"


def _short(value: object) -> str:
    text = canonical_json(value)
    return text if len(text) <= 60 else text[:57] + "..."
