"""Pre-flight: everything that can be known to be wrong before anything is trained, told at once, in the user's words.

``glotmix run``, its ``--dry-run`` and ``glotmix census`` all ask :func:`preflight`. A corpus that is small is read and
counted whole; of a larger one the beginning of every language is read. What a kind of study knows of its own it adds by
:meth:`glotmix.study.kind.StudyKind.problems` and :meth:`~glotmix.study.kind.StudyKind.problems_of_tokens`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from shutil import which
from typing import Any, Protocol

from glotmix.corpus.readers.reader import Reader, open_reader
from glotmix.errors import BadInput, MissingExtra, Problems
from glotmix.language import Language
from glotmix.proxy.config import ProxyConfig
from glotmix.study.config import TrainedBy
from glotmix.sweep.config import SweepConfig
from glotmix.sweep.executors import EXECUTORS
from glotmix.tokens.counting import Counted, count_tokens

COUNTED_BYTES = 8 << 20
"""Bytes of a corpus up to which all of it is read and tokenised before the study begins."""
FIRST_DOCUMENTS = 200
"""Documents of every language that are read of a larger one."""
TRIES = 3
"""Shares to hold out that are tried before one is advised."""
ROOM = 2.0
"""Free bytes on the disk that a byte of the corpus needs: its tokens, and the pieces that they are joined from."""


PROXY, CORPUS = "proxy", "corpus"
"""Sections of a study file that proxies are trained by, where the kind does not say otherwise."""


@dataclass(frozen=True)
class Trained:
    """Something that a study would train proxies by, and where its file says so."""

    by: TrainedBy
    """Languages, corpus, tokens, proxy."""
    proxy: str = PROXY
    """Field of the proxy in the study file."""
    corpus: str = CORPUS
    """Field of the corpus."""


class Checks(Protocol):
    """What a kind of study knows to be wrong with one: see :class:`glotmix.study.kind.StudyKind`."""

    @property
    def hands_off(self) -> bool: ...
    @property
    def starts_from_models(self) -> bool: ...
    @property
    def learns_pairs(self) -> bool: ...
    def resolved(self, config: Any, base: Path) -> Any: ...
    def trained(self, config: Any) -> list[Trained]: ...
    def problems(self, config: Any, base: Path) -> list[BadInput]: ...
    def problems_of_tokens(self, config: Any, unique: Mapping[str, int], base: Path) -> list[BadInput]: ...


def preflight(
    kind: Checks, config: Any, base: Path, out: Path, lost: Set[str] = frozenset(), where: object = None
) -> list[BadInput]:
    """Everything that is wrong with a study, as far as that can be told before it begins.

    Args:
        kind: of the study.
        config: its configuration.
        base: directory that relative paths start from.
        out: directory where results will go.
        lost: sections that were wrong and are not as the file has them: what follows from them is not told.
        where: the study file, for what has no place of its own.
    """
    found: list[BadInput] = []
    with noting(found, where):
        config = kind.resolved(config, base)
    with noting(found, where):
        found += kind.problems(config, base)
    executor = getattr(getattr(config, "sweep", None), "executor", "local")
    if EXECUTORS.find(executor).elsewhere and not kind.hands_off:
        others = " | ".join(name for name in EXECUTORS if not EXECUTORS.find(name).elsewhere)
        what = f"{executor}: studies of this kind are trained by glotmix's own engine"
        found.append(BadInput(what, where="sweep.executor", expected=others))
    with noting(found, where):
        for trained in () if lost & {CORPUS, "base", "bases"} else kind.trained(config):
            certain = not lost & {"tokens", PROXY}
            unique, problems = corpus_problems(trained.by, base, out, count=certain)
            problems += problems_of_proxies(trained.by.proxy, trained.by.sweep)
            if trained.by.proxy.base is not None and not kind.starts_from_models:
                message = "proxies of studies of this kind start from random weights"
                problems.append(BadInput(message, where=f"{PROXY}.base", expected="none, or a mixture study"))
            pairs = [name for name in trained.by.languages if trained.by.corpus.is_pairs(name)]
            if pairs and not kind.learns_pairs:
                message = f"{pairs[0]} is pairs of sentences, which studies of this kind do not learn"
                problems.append(BadInput(message, where=CORPUS, expected="texts, or kind: compare"))
            problems += kind.problems_of_tokens(config, unique, base) if unique else []
            found += [_placed(one, trained) for one in problems]
    told = [one for one in found if str(one.where).partition(".")[0] not in lost]
    return list({str(one): one for one in told}.values())


def _placed(error: BadInput, trained: Trained) -> BadInput:
    """The same error with the fields where this study has them."""

    def named(text: str) -> str:
        return re.sub(r"(?<![\w.])(proxy|corpus)(?=\.[a-z]|$)", lambda m: getattr(trained, m[1]), text)

    where = named(error.where) if isinstance(error.where, str) else error.where
    return BadInput(error.message, where=where, expected=None if error.expected is None else named(error.expected))


def corpus_problems(
    training: TrainedBy, base: Path, out: Path, *, count: bool = True
) -> tuple[dict[str, int], list[BadInput]]:
    """Training tokens of the languages of a small corpus, and what is wrong with it. Where another share to hold out is
    advised, they are those that this share would leave: what is advised together must be right together.

    Args:
        training: the corpus, its languages, and the proxies that must find a sequence in each.
        base: directory that relative paths start from.
        out: directory where results will go.
        count: whether languages are told that have too little.
    """
    languages = [*training.languages, *training.outside]
    try:
        reader = open_reader(training.corpus, languages, base)
    except (BadInput, MissingExtra) as error:
        return {}, [as_bad_input(error, CORPUS)]
    sound, unsound = readable(reader, languages)
    counted, problems = read_ahead(reader, sound, training, base)
    problems = [*unsound, *too_full(reader, sound, out), *problems]
    if not count:
        return {}, problems
    share, enough = share_to_hold_out(training, counted), counted
    for _ in range(TRIES):  # a tokenizer that is trained on less text makes other tokens
        if share is None:
            break
        enough, _ = count_tokens(reader, list(counted), training.tokens, share, base)
        sides = (min(one.held_out, one.train) for name, one in enough.items() if not training.corpus.is_target(name))
        if min(sides) > training.proxy.context:
            break
        share = share + 0.01 if share + 0.01 < 0.5 else None
    unique = {name: one.train for name, one in (counted if share is None else enough).items()}
    return unique, [*problems, *too_little(training, counted, share)]


def readable(reader: Reader, languages: Sequence[str]) -> tuple[list[str], list[BadInput]]:
    """Languages that have files, and what is wrong with those of the others."""
    sound, problems = [], []
    for language in languages:
        try:
            reader.parts(language)
            sound.append(language)
        except BadInput as error:
            problems.append(error)
    return sound, problems


def read_ahead(
    reader: Reader, languages: Sequence[str], training: TrainedBy, base: Path
) -> tuple[dict[str, Counted], list[BadInput]]:
    """What every language would become, where the corpus is small; else its first documents are read."""
    sizes = [reader.size(language) for language in languages]
    known = [size for size in sizes if size is not None]
    if len(known) == len(sizes) and sum(known) <= COUNTED_BYTES:
        return count_tokens(reader, languages, training.tokens, training.corpus.held_out, base)
    problems = []
    for language, size in zip(languages, sizes, strict=True):
        if size is None:
            continue  # nothing is fetched from the network
        try:
            for _ in islice(reader.documents(language), FIRST_DOCUMENTS):
                pass
        except BadInput as error:
            problems.append(error)
    return {}, problems


def too_full(reader: Reader, languages: Sequence[str], out: Path) -> list[BadInput]:
    """A disk that has no room for the tokens."""
    needed = ROOM * sum(reader.size(language) or 0 for language in languages)
    place = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    disk = shutil.disk_usage(place)
    free = disk.free
    if needed <= free or not disk.total:  # what holds no files says so when one is written
        return []
    expected = f"about {needed / 1e9:.1f} GB, or another --out"
    return [BadInput(f"{free / 1e9:.1f} GB are free", where=place, expected=expected)]


def too_little(training: TrainedBy, counted: Mapping[str, Counted], share: float | None) -> list[BadInput]:
    """Languages with too little text to fill one sequence, on either side; one value that would do for all.

    Args:
        training: the proxies that must find a sequence in each.
        counted: tokens of every language.
        share: share to hold out that would do for all; None where there is none.
    """
    least = training.proxy.context + 1
    found = []
    counted = {name: one for name, one in counted.items() if not training.corpus.is_target(name)}
    short = {name: one for name, one in counted.items() if one.train < least}
    if short:
        most = min(one.train for one in short.values()) - 1
        listed = ", ".join(f"{name} has {one.train:,}" for name, one in short.items())
        ways = "more text" if most < 8 else f"proxy.context: {most} or less, or more text"
        found.append(
            BadInput(f"too few training tokens: {listed}", where="corpus", expected=f"{least} or more; {ways}")
        )
    elif (kept := training.tokens.held_out_tokens) < least:
        message, expected = f"no more than {kept:,} are measured on", f"{least} or more, one sequence"
        found.append(BadInput(message, where="tokens.held_out_tokens", expected=expected))
    short = {name: one for name, one in counted.items() if one.held_out < least and name not in short}
    if short:
        listed = ", ".join(f"{name} has {one.held_out:,}" for name, one in short.items())
        ways = "more text, or a shorter proxy.context"
        ways = ways if share is None else f"held_out: {share:g}, which is enough for all"
        where, expected = "corpus.held_out", f"{least} or more, one sequence; {ways}"
        message = f"too few held-out tokens with {training.corpus.held_out:g} held out: {listed}"
        found.append(BadInput(message, where=where, expected=expected))
    return found


def share_to_hold_out(training: TrainedBy, counted: Mapping[str, Counted]) -> float | None:
    """Share to hold out that is enough for every language; None where what is held out is, or no share would be."""
    least = training.proxy.context + 1
    shares = [one.share_for(least) for one in counted.values() if one.held_out < least <= one.train]
    known = [share for share in shares if share is not None]
    return max(known) if known and len(known) == len(shares) else None


def contradictions(proxy: ProxyConfig, sweep: SweepConfig) -> list[BadInput]:
    """Batches that are larger than the run or do not part over its devices."""
    found = []
    if proxy.tokens < proxy.batch * proxy.context:
        found.append(
            BadInput(
                f"tokens = {proxy.tokens:g} is less than a batch of {proxy.batch} sequences of {proxy.context}",
                where=PROXY,
                expected=f"tokens: {proxy.batch * proxy.context} or more",
            )
        )
    if proxy.batch % (together := sweep.devices_per_run):
        fits = max(n for n in range(1, together + 1) if proxy.batch % n == 0)
        message = f"batch of {proxy.batch} over {together} devices"
        found.append(BadInput(message, where="sweep.devices_per_run", expected=f"{fits}, say"))
    return found


def problems_of_proxies(proxy: ProxyConfig, sweep: SweepConfig) -> list[BadInput]:
    """Settings that contradict each other, and libraries of the sweep that are missing."""
    return [*contradictions(proxy, sweep), *problems_of_sweep(sweep)]


def problems_of_sweep(sweep: SweepConfig) -> list[BadInput]:
    """Libraries and programs of a sweep that are missing."""
    found = []
    wanted = {"sweep.executor": "ray" if sweep.executor == "ray" else None, "sweep.logger": sweep.logger}
    for field, library in wanted.items():
        if library is not None and find_spec(library) is None:
            expected = f"pip install {library}, or another {field}"
            found.append(BadInput(f"{library} is not installed", where=field, expected=expected))
    if sweep.executor == "slurm" and which("sbatch") is None:
        found.append(BadInput("there is no sbatch here", where="sweep.executor", expected="a login node, or local"))
    return found


def as_bad_input(error: BadInput | MissingExtra, where: object) -> BadInput:
    """A library that is missing is one more thing that is wrong."""
    return error if isinstance(error, BadInput) else BadInput(str(error), where=where)


@contextmanager
def noting(found: list[BadInput], where: object = None) -> Iterator[None]:
    """Keep the error that ends the block; ``where`` is its place if it names none."""
    try:
        yield
    except (BadInput, MissingExtra) as error:
        one = as_bad_input(error, where)
        for problem in one.problems if isinstance(one, Problems) else (one,):
            placed = problem.where if problem.where is not None else where
            found.append(BadInput(problem.message, where=placed, expected=problem.expected))


def spellings(data: Mapping[str, Any]) -> dict[str, str]:
    """Tag → how a study file spells the language, where that is another way.

    Args:
        data: the study as it stands in the file.
    """
    names = [data.get("pivot"), *(name for key in ("languages", "outside") for name in _listed(data.get(key)))]
    found: dict[str, str] = {}
    for name in (name for name in names if isinstance(name, str)):
        try:
            tag = Language.resolve(name).tag
        except BadInput:
            continue
        if tag != name:
            found[tag] = name
    return found


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


@contextmanager
def in_the_users_words(spelt: Mapping[str, str]) -> Iterator[None]:
    """Errors from within name languages as the study file does: who wrote ``est_Latn`` reads of it, with the tag.

    Args:
        spelt: what :func:`spellings` found in the file.
    """
    try:
        yield
    except BadInput as error:
        if not spelt:
            raise  # with its own traceback
        raise respelt(error, spelt) from None


def respelt(error: BadInput, spelt: Mapping[str, str]) -> BadInput:
    """The same error with other names of languages; paths stay as they are."""
    if not spelt:
        return error
    if isinstance(error, Problems):
        return Problems([respelt(one, spelt) for one in error.problems])
    tags = "|".join(map(re.escape, spelt))
    pattern = re.compile(rf"(?<![\w/.-])({tags})(?![\w/-]|\.\w)")

    def told(text: str) -> str:
        return pattern.sub(lambda match: f"{spelt[match[1]]} ({match[1]})", text)

    expected = None if error.expected is None else told(error.expected)
    return BadInput(told(error.message), where=error.where, expected=expected)
