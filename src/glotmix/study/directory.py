"""The directory of a study, of whatever kind: claimed by one configuration, held by one driver, mirrored, resumed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from glotmix.artifact import MANIFEST, failure_of, first_difference, read_json, write_json
from glotmix.config import Section, checked
from glotmix.errors import BadInput
from glotmix.study.mirror import Mirror
from glotmix.study.narrator import Narrator
from glotmix.sweep.executors.external import FOLDER
from glotmix.written import made_of

C = TypeVar("C", bound=Section)
CONFIGURATION = "study.json"
"""The resolved configuration, which makes a directory that of a study."""
OLDER = ("compare.json", "experiment.json")
"""What comparisons and post-training studies of glotmix 0.2 called it."""
REPORT = "report.html"
WORK = "work.json"
COMPUTE = "compute.json"
LEFT = "what `glotmix run` leaves in the directory of a study"
"""What a file there should have been that is none."""


@dataclass(frozen=True)
class StudyDirectory:
    """Where a study's results go, and what it is told and mirrored by."""

    path: Path
    """Where results go."""
    base: Path = Path()
    """Directory that relative paths of the configuration start from (that of the study file)."""
    narrator: Narrator = field(default_factory=Narrator)
    """Where progress goes."""
    mirror: Mirror | None = None
    """The object store that finished results are sent to, if the study names one."""

    def mirrored(self, url: str | None) -> StudyDirectory:
        """The same directory with the object store at ``url``, if there is one."""
        return dataclasses.replace(self, mirror=None if url is None else Mirror(url, self.path, self.narrator.say))

    @property
    def report(self) -> Path:
        """The page that a finished study ends with."""
        return self.path / REPORT

    def look(self) -> None:
        """Send the mirror, if there is one, what is done and new."""
        if self.mirror is not None:
            self.mirror.look()

    def claim(self, config: Section, fixed: Sequence[str]) -> None:
        """Write the configuration into the directory, or check that the one in it determines the same runs.

        Args:
            config: the resolved configuration.
            fixed: fields that determine what is trained; all others may change between calls.

        Raises:
            BadInput: the directory belongs to a study of another kind, or one with other runs; the message names the
                first difference.
        """
        path, mine = self.path / CONFIGURATION, config.model_dump(mode="json")
        if path.exists():
            stored = read_json(path)
            kinds = [one.get("kind", "mixture") for one in (stored, mine)]
            if kinds[0] != kinds[1]:
                raise BadInput(
                    f"holds a study of kind {kinds[0]}", where=self.path, expected=f"kind {kinds[1]}, or another --out"
                )
            # Checked again, so that a field that is newer than the directory has its default there.
            kept = {key: stored[key] for key in fixed if key in stored}
            fields = type(config).model_fields
            missing = {
                key: fields[key].get_default(call_default_factory=True)
                for key in fixed
                if not fields[key].is_required()
            }
            theirs = checked(type(config), {**mine, **missing, **kept}, where=path).model_dump(mode="json")
            old, new = ({key: one[key] for key in fixed} for one in (theirs, mine))
            if old != new:
                expected = "the same configuration, or another --out directory"
                if (self.path / FOLDER).is_dir():
                    expected += (
                        f"; `glotmix collect {self.path} --out runs.csv` makes a table of what was measured so far"
                    )
                raise BadInput(
                    f"holds a study made by another configuration: {first_difference(old, new)}",
                    where=self.path,
                    expected=expected,
                )
        else:
            refuse_older(self.path)
        write_json(path, mine)

    def plan_work(self, work: Mapping[str, Path]) -> None:
        """Note what will be made beside the runs of a sweep, so that `glotmix status` and a dry run can count it.

        Args:
            work: name to the artifact's directory, or the file, that is there when it is done.
        """
        rows = [{"name": name, "path": path.relative_to(self.path).as_posix()} for name, path in work.items()]
        write_json(self.path / WORK, rows)

    def note_failures(self, work: Mapping[str, Path], failed: Mapping[str, str]) -> None:
        """Keep why some of the planned work is not done, and forget what an earlier call noted of the rest.

        Args:
            work: as of :meth:`plan_work`.
            failed: name to the reason.
        """
        for name, path in work.items():
            if name in failed:
                write_json(failure_of(path), {"status": "failed", "reason": failed[name]})
            else:
                failure_of(path).unlink(missing_ok=True)

    def kind(self) -> str:
        """Kind of the study that lies here.

        Raises:
            BadInput: there is none.
        """
        return str(read_json(configuration_in(self.path)).get("kind", "mixture"))

    def stored(self, config: type[C]) -> C:
        """The configuration of the study that lies here.

        Raises:
            BadInput: the directory holds none, or one of another kind.
        """
        self.kind()
        path = self.path / CONFIGURATION
        return checked(config, read_json(path), where=path)


def configuration_in(directory: Path) -> Path:
    """The file that makes a directory that of a study.

    Raises:
        BadInput: there is none, or one that an older version wrote.
    """
    path = directory / CONFIGURATION
    if not path.is_file():
        refuse_older(directory)
        raise BadInput(f"no {CONFIGURATION} in it", where=directory, expected="the directory of a study")
    return path


def refuse_older(directory: Path) -> None:
    """
    Raises:
        BadInput: the directory is that of a study of glotmix 0.2; the message says what can be done with it.
    """
    older = next((name for name in OLDER if (directory / name).is_file()), None)
    if older is not None:
        raise BadInput(
            f"holds a study of glotmix 0.2, with its configuration in {older}",
            where=directory,
            expected=f"a study of this version: {REPORT} and its tables can be read as they are; `glotmix run` with "
            "another --out trains it anew, and glotmix 0.2 resumes it",
        )


def planned_work(directory: Path) -> dict[str, Path]:
    """What :meth:`StudyDirectory.plan_work` noted.

    Raises:
        BadInput: the note leads out of the directory.
    """
    path = directory / WORK
    found = {}
    with made_of(path, LEFT):
        for row in read_json(path) if path.is_file() else []:
            if Path(row["path"]).is_absolute() or ".." in Path(row["path"]).parts:
                raise BadInput(f"{row['path']!r} lies outside of the study", where=path)
            found[str(row["name"])] = directory / row["path"]
    return found


def is_made(path: Path) -> bool:
    """Whether an artifact, or a file, is complete."""
    # (os.path: a name from a damaged file may be none that a file can have)
    return os.path.isfile(path) or os.path.isfile(path / MANIFEST)


def note_compute(directory: Path, flops: Mapping[str, float]) -> None:
    """Keep what the runs of a sweep will compute, in FLOPs, beside what earlier sweeps in the same place planned."""
    write_json(directory / COMPUTE, planned_compute(directory) | dict(flops))


def planned_compute(directory: Path) -> dict[str, float]:
    """Run to its planned training compute in FLOPs, of all sweeps in this place that have begun."""
    path = directory / COMPUTE
    found: dict[str, Any] = read_json(path) if path.is_file() else {}
    with made_of(path, LEFT):
        return {str(run): float(flops) for run, flops in found.items()}
