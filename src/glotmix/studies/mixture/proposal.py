"""A study file proposed for a corpus: languages, reader, target and a scale that fits this machine and an evening.

Everything is chosen by the rules below from what the corpus holds and how many cores or GPUs there are, so that the
same folder on the same machine gives the same file, busy or idle. What pre-flight refuses is kept from happening: the
corpus is counted by the same code, and context, share to hold out, tokens and target are taken from the counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glotmix.config import checked
from glotmix.corpus.census import megabytes
from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.corpus.survey import LanguageFound, Survey
from glotmix.errors import BadInput
from glotmix.notebook import Shown
from glotmix.studies.mixture.config import check
from glotmix.studies.mixture.price import Planned, planned
from glotmix.studies.mixture.stages import MixtureStudy
from glotmix.study.directory import StudyDirectory
from glotmix.study.machine import HOURS, SPEED, this_machine
from glotmix.study.preflight import COUNTED_BYTES
from glotmix.tables import by_group
from glotmix.tokens.config import TokensConfig
from glotmix.tokens.counting import Counted, count_tokens
from glotmix.wording import rounded_down

if TYPE_CHECKING:
    import polars as pl
    from rich.console import RenderableType

SIZES = ("0.05M", "0.1M", "0.2M", "0.3M", "0.5M", "1M", "2M", "3M", "5M", "10M", "15M", "30M", "60M", "150M")
"""Sizes of proxies; the largest is taken whose runs fit the hours and whose tokens the corpus has."""
VOCABULARY = {0.1e6: 1024, 0.3e6: 2048, 1e6: 4096, 5e6: 8192}
"""Largest number of parameters to vocabulary: the output matrix should cost no more than the model. Larger proxies have
``LARGE_VOCABULARY``; with many languages it is the power of two that has ``OF_A_LANGUAGE`` for each."""
LARGE_VOCABULARY, OF_A_LANGUAGE = 16384, 128
BYTES_PER_TOKEN = 3.5
"""Of text that was not counted, with a vocabulary as small as these; about."""
CONTEXTS = (128, 64, 32)
"""Tokens of a sequence, the longest first that leaves every language ``SEQUENCES`` of them."""
SEQUENCES = 8
"""Sequences that a language must have to train on; half as many must be held out."""
HELD_OUT, MOST_HELD_OUT = 0.05, 0.25
"""Share of the documents to hold out, and the most that is held out for the sake of a small language."""
STEPS = 200
"""Steps that a proxy takes at least: where text is short the batch is made smaller."""
TARGET_FACTOR = 10
"""A target run is proposed where the corpus has so many times the tokens of a proxy; with less there is no scale to
simulate."""
TOKENS_PER_PARAMETER = 20
"""Of the target run (Hoffmann et al. 2022, arXiv 2203.15556)."""
ALL_COALITIONS = 5
"""Languages up to which every coalition is trained (31 runs)."""
MOST_COALITIONS = 30
"""Languages up to which some coalitions are; beyond, mixtures of all languages alone."""


@dataclass(frozen=True, repr=False)
class Proposal(Shown):
    """A study file, and what it rests on."""

    survey: Survey
    """What the corpus holds."""
    study: Mapping[str, Any]
    """The fields of the study file."""
    kept: tuple[LanguageFound, ...]
    """Languages whose share is sought, the largest first."""
    left_out: Mapping[str, str]
    """Folder, file, label or language that is not in the study, to the reason."""
    tokens: Mapping[str, float]
    """Language to its training tokens, counted where the corpus is small, else estimated from its bytes."""
    runs: int
    """Proxies of the design and of the closed loop."""
    flops: float
    """What they compute."""
    hours: float
    """How long that takes here at the declared speed."""
    device: str
    """What trains: ``cpu`` or ``cuda``."""
    machine: str
    """How many of them, in words."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What else there is to know of the corpus."""
        return self.survey.remarks

    def to_polars(self) -> pl.DataFrame:
        """One row per language of the study: ``language``, its English ``name``, ``spelt`` (what folders, files or
        labels call it), ``documents``, ``bytes`` of text, ``is_counted`` (else both are estimates), ``tokens``."""
        import polars as pl

        return pl.DataFrame([asdict(one) | {"tokens": self.tokens[one.language]} for one in self.kept])

    def table(self) -> RenderableType:
        """The languages, for a terminal of 80 characters or a notebook."""
        from rich.console import Group

        about = "" if all(one.is_counted for one in self.kept) else " (estimated from the beginning of each)"
        total = sum(one.bytes for one in self.kept)
        columns = (
            ("name", [one.name for one in self.kept]),
            ("documents", [f"{one.documents:,}" for one in self.kept]),
            ("MB", [megabytes(one.bytes) for one in self.kept]),
            ("natural share", [f"{one.bytes / total:.1%}" for one in self.kept]),
            ("from", ["" if one.spelt == one.language else one.spelt for one in self.kept]),
        )
        return Group(*by_group(f"Languages{about}", [one.language for one in self.kept], columns))

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return {
            "study": dict(self.study),
            "languages": [asdict(one) | {"tokens": self.tokens[one.language]} for one in self.kept],
            "left_out": dict(self.left_out),
            "remarks": list(self.survey.remarks),
            "runs": self.runs,
            "flops": self.flops,
            "hours": self.hours,
            "machine": self.machine,
        }


def propose(found: Survey, base: Path, *, name: str, hours: float = HOURS) -> Proposal:
    """A study of the mixture of all languages of a corpus.

    Args:
        found: the corpus.
        base: directory of the study file.
        name: title of the report.
        hours: time that the proxies may take on this machine, about.

    Raises:
        BadInput: text in fewer than two languages.
    """
    left_out = dict(found.left_out)
    _two_or_more(found.languages, left_out, found)
    device, workers, machine = this_machine()
    budget = SPEED[device] * workers * hours * 3600
    rough = {one.language: one.bytes / BYTES_PER_TOKEN for one in found.languages}
    size = _size(sum(rough.values()), budget, _work(_study(found, rough, name, SIZES[0]), base), len(rough))
    exact = _counted(found, _tokens_config(size, len(rough)), base)
    context, held_out, too_small = _sequences(exact)
    kept = tuple(one for one in found.languages if one.language not in too_small)
    names = {one.language: one.name for one in found.languages}
    left_out |= {f"{names[tag]} ({tag})": why for tag, why in too_small.items()}
    _two_or_more(kept, left_out, found)
    unique = {
        one.language: float(exact[one.language].train_at(held_out))
        if one.language in exact
        else (1 - held_out) * rough[one.language]
        for one in kept
    }
    draft = _study(found, unique, name, SIZES[0], context, held_out)
    size = _size(sum(unique.values()), budget, _work(draft, base), len(unique), context)
    study = _study(found, unique, name, size, context, held_out)
    work = _work(study, base)
    hours_here = work.flops / (SPEED[device] * workers) / 3600
    return Proposal(
        found, study, kept, left_out, unique, len(work.runs) + work.loop, work.flops, hours_here, device, machine
    )


def _two_or_more(languages: tuple[LanguageFound, ...], left_out: Mapping[str, str], found: Survey) -> None:
    if len(languages) > 1:
        return
    there = f"one language, {languages[0].name} ({languages[0].language})" if languages else "no language"
    why = "".join(f"\n  {name}: {reason}" for name, reason in list(left_out.items())[:12])
    raise BadInput(
        f"text that can be used in {there}" + (f"; left out:{why}" if why else ""),
        where=found.corpus["path"],
        expected="two languages or more, as shares of a mixture are sought",
    )


def _tokens_config(size: str, languages: int) -> TokensConfig:
    usual = next((vocab for most, vocab in VOCABULARY.items() if _parameters(size) <= most), LARGE_VOCABULARY)
    return TokensConfig(vocab_size=max(usual, 1 << (OF_A_LANGUAGE * languages - 1).bit_length()))


def _counted(found: Survey, tokens: TokensConfig, base: Path) -> dict[str, Counted]:
    """Tokens of the smallest languages, as many as pre-flight would count; of the others there is enough."""
    config = checked(CorpusConfig, {**found.corpus, "held_out": HELD_OUT})
    names, total = [], 0
    for one in reversed(found.languages):
        total += one.bytes
        if total <= COUNTED_BYTES and one.is_counted:
            names.append(one.language)
    if not names:
        return {}
    return count_tokens(open_reader(config, names, base), names, tokens, HELD_OUT, base)[0]


def _sequences(exact: Mapping[str, Counted]) -> tuple[int, float, dict[str, str]]:
    """Tokens of a sequence, share to hold out, and languages that have too little text for the shortest."""
    for context in CONTEXTS:
        shares = {name: _share(one, context) for name, one in exact.items()}
        if all(share is not None for share in shares.values()) or context == CONTEXTS[-1]:
            break
    known = [share for share in shares.values() if share is not None]
    held_out = max([HELD_OUT, *known])
    why = "too little text to train and to measure on: {:,} tokens in {:,} documents"
    too_small = {
        name: why.format(one.train + one.held_out, one.documents) for name, one in exact.items() if shares[name] is None
    }
    return context, held_out, too_small


def _share(one: Counted, context: int) -> float | None:
    """Share to hold out that gives a language enough on both sides; None where none does."""
    share = one.share_for(SEQUENCES // 2 * context + 1)
    if share is None or share > MOST_HELD_OUT or one.train_at(max(share, HELD_OUT)) < SEQUENCES * context:
        return None
    return share


def _work(study: Mapping[str, Any], base: Path) -> Planned:
    """What a study would train."""
    return planned(MixtureStudy.of(check(study), StudyDirectory(Path("unused"), base)))


def _size(unique: float, budget: float, work: Planned, languages: int, context: int = CONTEXTS[0]) -> str:
    """The largest size whose tokens the corpus has and whose runs fit the budget, FLOPs; else the smallest."""
    from glotmix.proxy.ladder import rung

    for size in SIZES[:0:-1]:
        one = rung(size, vocab=_tokens_config(size, languages).vocab_size, context=context)
        if one.tokens <= unique and (len(work.runs) + work.loop) * one.C <= budget:
            return size
    return SIZES[0]


def _parameters(size: str) -> float:
    return float(size.removesuffix("M")) * 1e6


def _study(
    found: Survey,
    unique: Mapping[str, float],
    name: str,
    size: str,
    context: int = CONTEXTS[0],
    held_out: float = HELD_OUT,
) -> dict[str, Any]:
    """The fields of the study file."""
    languages = list(unique)
    total = sum(unique.values())
    proxy: dict[str, Any] = {"size": size, "context": context}
    tokens = TOKENS_PER_PARAMETER * _parameters(size)
    if tokens > total:  # a proxy that reads all of it once
        tokens = rounded_down(total)
        proxy["tokens"] = tokens
        proxy["batch"] = max(1, min(16, int(tokens // (STEPS * context))))
    target: dict[str, Any] = {}
    if total >= TARGET_FACTOR * tokens:
        target = {"tokens": rounded_down(total), "parameters": rounded_down(total / TOKENS_PER_PARAMETER)}
        if min(unique.values()) * tokens / target["tokens"] < SEQUENCES * context:
            proxy["simulate_epochs"] = False
    return {
        "name": name,
        "languages": languages,
        "corpus": {**found.corpus, "held_out": held_out},
        "tokens": {"vocab_size": _tokens_config(size, len(languages)).vocab_size},
        "design": _design(len(languages)),
        "proxy": proxy,
        **({"target": target} if target else {}),
        "optimize": {"objective": "mean", "max_epochs": 4},
        "validation": {"seeds": 3},
    }


def _design(languages: int) -> dict[str, Any]:
    swarm = {"swarm": max(10, 3 * (languages + 1)), "swarm_roles": "fit"}
    if languages <= ALL_COALITIONS:
        return {"coalitions": "all", **swarm}
    if languages <= MOST_COALITIONS:
        return {"coalitions": "sampled", "sampled_coalitions": max(32, 3 * languages), **swarm}
    return {"coalitions": "none", **swarm}
