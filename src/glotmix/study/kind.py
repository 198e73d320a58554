"""What a kind of study is to the shell and the command line: a configuration, a price, and a run that ends in a page.

A study file without ``kind`` asks for a mixture; one with ``kind: clones`` for the kind of that name. Everything that
a study of any kind has - its directory claimed and held, its mirror, resuming, status, the dry run's "done already" -
is done here and in the files beside this one, so that a new kind cannot forget it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from glotmix.config import Section, checked, read_study
from glotmix.errors import BadInput, Waiting, refuse
from glotmix.footprint import Footprint
from glotmix.notebook import Shown
from glotmix.study import rehearsal
from glotmix.study.directory import CONFIGURATION, StudyDirectory
from glotmix.study.preflight import Trained, preflight
from glotmix.study.proposing import ProposalWish, Proposed
from glotmix.study.rehearsal import Stages
from glotmix.sweep.lock import held
from glotmix.wording import counted, duration

if TYPE_CHECKING:
    import polars as pl
    from rich.console import RenderableType
    from rich.table import Table

C = TypeVar("C", bound=Section)


@dataclass(frozen=True)
class Stage:
    """A part of a study that takes time on this machine."""

    name: str
    """What is done."""
    processor_seconds: float
    """Time of all processors together."""
    workers: int = 1
    """Processes that share it."""

    @property
    def seconds(self) -> float:
        """Wall-clock time where nothing else runs."""
        return self.processor_seconds / self.workers


@dataclass(frozen=True, repr=False)
class Price(Shown):
    """What a study will take, told before it is spent."""

    lines: dict[str, str]
    """What is counted ("models", "training tokens", "time here") to its amount, for people."""
    amounts: Mapping[str, float | None]
    """The same as numbers, for machines: FLOPs, tokens, seconds, counts."""
    stages: tuple[Stage, ...] = ()
    """Where the time goes, in order; empty where it is not known."""

    @classmethod
    def timed(cls, lines: Mapping[str, str], amounts: Mapping[str, float | None], stages: Sequence[Stage]) -> Price:
        """A price with its time here, in all and by stage."""
        seconds, most = sum(stage.seconds for stage in stages), max(stage.workers for stage in stages)
        told = {"time here": f"about {duration(seconds)} with {counted(most, 'worker')}, by stage:"}
        told |= {f"  {stage.name}": duration(stage.seconds) for stage in stages}
        return cls({**lines, **told}, {**amounts, "seconds": seconds, "workers": most}, tuple(stages))

    def to_json(self) -> dict[str, Any]:
        """A plain dict: the amounts, the lines under ``lines``, and under ``stages`` where the time goes."""
        return {**self.amounts, "lines": self.lines, "stages": [asdict(stage) for stage in self.stages]}

    def to_polars(self) -> pl.DataFrame:
        """One row per line: ``what`` is counted ("models", "training tokens"), ``amount`` in words."""
        import polars as pl

        return pl.DataFrame({"what": list(self.lines), "amount": list(self.lines.values())})

    def table(self) -> Table:
        """For a terminal."""
        from rich.markup import escape
        from rich.table import Table

        table = Table(title="What it will cost", title_justify="left", show_header=False)
        for name, amount in self.lines.items():
            table.add_row(escape(name), escape(amount))
        return table


@dataclass(frozen=True)
class Finished:
    """What a study ends with."""

    report: Path
    """The page."""
    tables: tuple[RenderableType, ...] = ()
    """What the terminal shows before the page's path."""
    found: Any = None
    """What was found, where the kind has an object for it: it has ``to_json``."""


class StudyKind(ABC, Generic[C]):
    """One kind of study file."""

    kind: ClassVar[str]
    """Its name in the file."""
    config: type[C]
    """Its fields; ``kind`` is one of them, but for mixtures."""
    fixed: ClassVar[tuple[str, ...]]
    """Fields that determine what is trained: a directory belongs to one value of them."""
    hands_off: ClassVar[bool] = False
    """Whether its runs may be trained by somebody else's trainer (``sweep.executor: external``)."""
    starts_from_models: ClassVar[bool] = False
    """Whether its proxies may start from a model (``proxy.base``)."""
    learns_pairs: ClassVar[bool] = False
    """Whether its proxies may learn to translate (``corpus.reader: pairs``)."""

    def read(self, path: Path, *, scale: str | None = None, overrides: Sequence[str] = ()) -> dict[str, Any]:
        """The fields of a study file of this kind, not yet checked.

        Raises:
            BadInput: there is no such file, or it is no mapping.
        """
        return read_study(path, scale=scale, overrides=overrides)

    def load(self, path: Path, *, scale: str | None = None, overrides: Sequence[str] = ()) -> C:
        """Read and check a study file of this kind.

        Raises:
            BadInput: file, field, value and what was expected.
        """
        return checked(self.config, self.read(path, scale=scale, overrides=overrides), where=path)

    def resolved(self, config: C, base: Path = Path()) -> C:
        """The configuration with everything worked out that the file leaves to rules.

        Args:
            config: as the file has it.
            base: directory that relative paths start from.
        """
        return config

    def mirror(self, config: C) -> str | None:
        """URL of the object store that results are sent to and fetched from."""
        url: str | None = config.sweep.mirror  # type: ignore[attr-defined]  # every kind that trains proxies has one
        return url

    def propose(self, wish: ProposalWish) -> tuple[str, Proposed]:
        """A study file of this kind for some data, as text, and what it rests on. Default: none is proposed.

        Raises:
            BadInput: the data are none that a study of this kind can be made of.
        """
        raise BadInput(f"no study of kind {self.kind} is proposed", where=wish.place)

    def trained(self, config: C) -> list[Trained]:
        """What proxies are trained by, for what is checked first; empty where none are."""
        return []

    def problems(self, config: C, base: Path) -> list[BadInput]:
        """What is wrong with a study, as far as can be told without its corpus. Default: nothing."""
        return []

    def problems_of_tokens(self, config: C, unique: Mapping[str, int], base: Path) -> list[BadInput]:
        """What is wrong with a study whose languages have so many training tokens. Default: nothing.

        Args:
            config: the resolved configuration.
            unique: language to training tokens; languages that cannot be read are left out.
            base: directory that relative paths start from.
        """
        return []

    def stages(self, config: C, base: Path) -> Stages:
        """Parts of a study that take the memory of a device, each with what builds it at its true shapes.

        Nothing is read, fetched or trained. Default: one run of every proxy.
        """

        def build(trained: Trained) -> list[Footprint]:
            by = trained.by
            vocab = rehearsal.vocabulary(by.tokens, base)
            return [rehearsal.training(f"training {trained.proxy}", by.proxy, by.sweep, vocab, tokens=by.proxy.tokens)]

        return {one.proxy: partial(build, one) for one in self.trained(config)}

    @abstractmethod
    def price(self, config: C, base: Path) -> Price:
        """What it would cost; nothing is trained or written."""

    @abstractmethod
    def work(self, config: C, directory: StudyDirectory) -> Finished:
        """Do what is not done yet, in a directory that is held and claimed, and write the page.

        Args:
            config: the resolved configuration.
            directory: where results go, what relative paths start from, and where progress is told.
        """


def run_study(kind: StudyKind[C], config: C, directory: StudyDirectory) -> Finished:
    """Run a study of any kind; called again after an interruption, it resumes where it stopped.

    Raises:
        BadInput: the study, its corpus or its directory are wrong, or another process works on it.
        GlotmixError: what it trains failed, the disk is full, or the mirror does not answer.
        Waiting: runs that are trained elsewhere have not come back.
    """
    if not (there := directory.path.exists()):  # what is refused leaves nothing
        refuse(preflight(kind, config, directory.base, directory.path))
    with held(directory.path):
        if there and not (directory.path / CONFIGURATION).is_file():  # what was begun has passed
            refuse(preflight(kind, config, directory.base, directory.path))
        config = kind.resolved(config, directory.base)
        url = kind.mirror(config)
        directory = directory.mirrored(url)
        if (mirror := directory.mirror) is not None and (fetched := mirror.pull()):
            directory.narrator.say(f"Fetched {len(fetched)} finished results from {url}")
        directory.claim(config, kind.fixed)
        try:
            finished = kind.work(config, directory)
        except Waiting:  # what is handed off and what has come back may be needed on another machine
            if mirror is not None:
                mirror.push()
            raise
        if mirror is not None:
            mirror.push()
        return finished


def kind_in(path: Path) -> str:
    """The ``kind`` that a study file names; a mixture without one."""
    from glotmix.config import read_yaml

    kind = read_yaml(path).get("kind", "mixture")
    if not isinstance(kind, str):
        raise BadInput(f"kind = {kind!r}", where=path, expected="the name of a kind of study")
    return kind
