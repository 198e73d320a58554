"""A study's finished results in an object store: what one machine finished, the next one does not do again.

Any URL that fsspec knows (``s3://``, ``gs://``, ``file://``, …). Object stores cannot rename a directory, so an
artifact counts as there when its manifest is, which is written last; what is fetched is compared with the checksums in
it. Artifacts (tokens, runs, fine-tuned models, scores, …) are pushed as they are done, everything else at the end.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from glotmix.artifact import MANIFEST, read_manifest
from glotmix.errors import BadInput, Corrupt, GlotmixError, MissingExtra

LOOK_EVERY = 30.0
"""Seconds between two looks for artifacts that are new."""
FIRST = ("study.json", "packing.json", "precision.json")
"""What determines how runs are made; sent before any of them, wherever it lies in the study."""
RESULTS = "mirror.json"
"""List of the files beside the artifacts, which is sent last: a file that is not in it may be half an artifact."""
LEFT_OUT = ("jobs", ".lock", "progress.json", "tokens.pieces", RESULTS)
"""What belongs to a machine and not to the study."""


class Mirror:
    """One study's directory and its place in an object store."""

    def __init__(self, url: str, directory: Path, say: Callable[[str], None]):
        """
        Args:
            url: of the place.
            directory: of the study.
            say: told when the store does not answer while the study goes on.

        Raises:
            BadInput: no URL that fsspec knows.
            MissingExtra: fsspec, or the package that it needs for this kind of URL, is not installed.
        """
        try:
            import fsspec
        except ImportError:
            raise MissingExtra("fsspec", "storage") from None
        try:
            self._store, self._root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise BadInput(f"{error}", where=f"sweep.mirror = {url}", expected="that package") from None
        except ValueError as error:
            expected = "a URL such as s3://bucket/study"
            raise BadInput(f"{error}", where=f"sweep.mirror = {url}", expected=expected) from None
        self._directory, self._url, self._say = directory, url, say
        self._last = float("-inf")

    def pull(self) -> list[str]:
        """Fetch what is complete there and not here; names of the artifacts.

        Raises:
            Corrupt: an artifact there is not as it was written, or a file has a name that leads out of the study.
            GlotmixError: the store does not answer.
        """
        with self._answering():
            fetched = []
            names = {path.removeprefix(self._root).lstrip("/") for path in self._store.find(self._root)}
            for name in names:
                if ".." in name.split("/"):
                    raise Corrupt(f"{self._url}: a file {name!r} would lie outside of the study")
            for name in _outermost(name.removesuffix(f"/{MANIFEST}") for name in names if _is_manifest(name)):
                if not self._here(name):
                    self._fetch(name, [n for n in names if n.startswith(f"{name}/")])
                    fetched.append(name)
            listed = json.loads(self._store.cat_file(f"{self._root}/{RESULTS}")) if RESULTS in names else []
            for name in sorted(names & set(map(str, listed)) | {n for n in names if n.rpartition("/")[2] in FIRST}):
                if not _is_left_out(name) and not (self._directory / name).exists():
                    self._get(name, self._directory / name)
            return fetched

    def push(self) -> list[str]:
        """Send what is complete here and not there, and all other results; names of the artifacts.

        Raises:
            GlotmixError: the store does not answer.
        """
        with self._answering():
            sent = self._push_artifacts()
            inside = tuple(f"{name}/" for name in self._artifacts())
            names = [path.relative_to(self._directory).as_posix() for path in sorted(self._directory.rglob("*"))]
            results = [
                name
                for name in names
                if not name.startswith(inside) and not _is_left_out(name) and (self._directory / name).is_file()
            ]
            for name in results:
                self._put(self._directory / name, name)
            self._store.pipe_file(f"{self._root}/{RESULTS}", json.dumps(results).encode())
            return sent

    def look(self) -> None:
        """Send the artifacts that are new, at most every ``LOOK_EVERY`` seconds; a store that fails is tried later."""
        if time.monotonic() - self._last > LOOK_EVERY:
            self._last = time.monotonic()
            try:
                with self._answering():
                    self._push_artifacts()
            except GlotmixError as error:
                self._say(f"  not sent, to be tried again: {error}")

    def _push_artifacts(self) -> list[str]:
        sent = []
        for path in sorted(one for name in FIRST for one in self._directory.rglob(name)):
            name = path.relative_to(self._directory).as_posix()
            if not _is_left_out(name):
                self._put(path, name)
        for name in self._artifacts():
            directory = self._directory / name
            if not self._store.exists(f"{self._root}/{name}/{MANIFEST}"):
                artifact = read_manifest(directory)
                for file in artifact.files:
                    self._put(artifact.checked(file), f"{name}/{file}")
                self._put(directory / MANIFEST, f"{name}/{MANIFEST}")
                sent.append(name)
        return sent

    def _artifacts(self) -> list[str]:
        """Complete artifacts here, tokens first: without them no run can be used."""
        manifests = (path.relative_to(self._directory).as_posix() for path in self._directory.rglob(MANIFEST))
        found = _outermost(name.removesuffix(f"/{MANIFEST}") for name in manifests if _is_manifest(name))
        return sorted(found, key=lambda name: (name.rpartition("/")[2] != "tokens", name))

    def _here(self, name: str) -> bool:
        return (self._directory / name / MANIFEST).is_file()

    def _fetch(self, name: str, files: list[str]) -> None:
        """One artifact, which gets its name here when it is whole and as it was written."""
        target = self._directory / name
        part = target.with_name(f"{target.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        for file in files:
            self._get(file, part / file.removeprefix(f"{name}/"))
        read_manifest(part).verify()
        os.replace(part, target)

    def _get(self, name: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part{os.getpid()}")
        self._store.get_file(f"{self._root}/{name}", str(part))
        os.replace(part, target)

    def _put(self, path: Path, name: str) -> None:
        self._store.makedirs(f"{self._root}/{name}".rpartition("/")[0], exist_ok=True)
        self._store.put_file(str(path), f"{self._root}/{name}")

    def _answering(self) -> _Answering:
        return _Answering(self._url)


def _is_left_out(name: str) -> bool:
    """Whether a path belongs to one machine, or to something that is only half there."""
    return any(part in LEFT_OUT or ".part" in part for part in name.split("/"))


def _is_manifest(name: str) -> bool:
    return name.endswith(f"/{MANIFEST}") and not _is_left_out(name)


def _outermost(names: Iterable[str]) -> list[str]:
    """Artifacts that are not a part of another one, sorted."""
    found: list[str] = []
    for name in sorted(names):
        if not (found and name.startswith(f"{found[-1]}/")):
            found.append(name)
    return found


class _Answering:
    """Whatever a store, its network or its library raises becomes one error with the URL."""

    def __init__(self, url: str):
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, GlotmixError):
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise GlotmixError(f"{self._url}: {reason}") from error
