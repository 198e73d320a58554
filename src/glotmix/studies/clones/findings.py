"""Cloned languages: the numbers of the page, and what they say of each of the paper's claims."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glotmix.estimate import Estimate, over_repeats, student
from glotmix.wording import counted

REPRODUCED, NOT_REPRODUCED, NOT_DECIDABLE = "reproduced", "not reproduced", "not decidable at this size"


@dataclass(frozen=True)
class CloneMixtureRow:
    """One mixture or schedule of an arm, over its seeds."""

    arm: str
    """What the arm varies."""
    name: str
    """The run without its seed: "split-90-10", "schedule-10_90"."""
    shares: tuple[float, ...]
    """Average share of every language."""
    tokens: float
    """Training tokens of all languages together."""
    seeds: int
    """Runs."""
    loss: tuple[Estimate, ...]
    """Loss of the first two languages, nats per token."""
    efficiency: tuple[Estimate | None, ...]
    """Token efficiency of the first two languages; None where there are no runs on the language alone."""
    gradient: Estimate | None = None
    """Mean gradient cosine of the two at the end."""
    raw: tuple[float, ...] = ()
    """Hidden cosine by layer at the end, as published."""
    centred: tuple[float, ...] = ()
    """The same, mean-centred."""
    retrieval: tuple[float, ...] = ()
    """Retrieval accuracy by layer."""
    chance: float | None = None
    """That of a model that knows nothing, 1 / sentences; of one sentence retrieval says nothing."""
    embedding: tuple[float, float] | None = None
    """Cosine of the input embeddings of clone pairs, and of all pairs."""


@dataclass(frozen=True)
class AlignmentPoint:
    """One checkpoint of a mixture, a mean over seeds."""

    name: str
    """The run without its seed."""
    tokens: float
    """Training tokens seen."""
    loss: tuple[float, ...]
    """Loss of the first two languages, nats per token."""
    gradient: float
    """Mean gradient cosine."""
    centred: tuple[float, ...]
    """Hidden cosine by layer, mean-centred."""


@dataclass(frozen=True)
class AloneRow:
    """A budget of the first language alone."""

    arm: str
    """What the arm varies."""
    vocabulary: int
    """Ids of the tokenizer; losses per token of different ones are not comparable."""
    tokens: float
    """Training tokens."""
    loss: Estimate
    """Nats per token."""


@dataclass(frozen=True)
class ControlRow:
    """What as many updates alone would give: a run on one clone with a share of the tokens and of every batch."""

    share: float
    """Of the tokens, and of every batch."""
    batch: int
    """Sequences of an update that are left."""
    efficiency: Estimate | None
    """Token efficiency of these runs: above one is what more updates on the same tokens give, without transfer."""
    mixed: Estimate | None
    """Token efficiency of the second clone in the mixture where it has that share."""
    gain: Estimate
    """Loss of these runs minus the second clone's in the mixture (nats per token): above zero is transfer."""


@dataclass(frozen=True)
class DialRow:
    """An arm whose languages are alike by some degree, at equal shares."""

    dial: str
    """"anchors" or "relatives"."""
    share: float
    """Share of the vocabulary that is shared, or permuted."""
    mass: float
    """Share of the text's tokens that both languages write alike."""
    loss: Estimate
    """Mean loss of the two languages, nats per token."""


@dataclass(frozen=True)
class LensRow:
    """What one lens on transfer says of one mixture of clones, where the truth is known."""

    lens: str
    """The lens; "measured" is the truth: token equivalents of the same runs."""
    second: float
    """Share of the second clone."""
    to_first: Estimate
    """Worth of a token of the second clone to the first one, in tokens of its own."""
    to_second: Estimate
    """Worth of a token of the first clone to the second one."""
    asymmetry: Estimate
    """``log2(to_second / to_first)``; zero says that the two are equals, which they are."""
    bias: tuple[Estimate, Estimate] | None = None
    """``to_first`` and ``to_second`` minus what was measured, paired by seed; None for the measurement itself."""


@dataclass(frozen=True)
class Claim:
    """A claim of the paper beside what was measured."""

    claim: str
    """What the paper says."""
    paper: str
    """Its figures, at its size."""
    measure: str
    """What is compared here; above zero agrees with the claim."""
    measured: Estimate
    """The comparison, paired by seed."""
    verdict: str
    """Reproduced, not reproduced, or not decidable at this size."""
    decides: str = ""
    """What would decide it, where it is not decided."""


@dataclass(frozen=True)
class CloneFindings:
    """Everything that the page shows."""

    title: str
    """Name of the study."""
    question: str
    """What it asks."""
    languages: tuple[str, ...]
    """The clones of the main arm."""
    facts: Mapping[str, str]
    """Size, tokens, vocabulary, text: for the reader and for repeating it."""
    mixtures: tuple[CloneMixtureRow, ...]
    """Every mixture of every arm."""
    moments: tuple[AlignmentPoint, ...]
    """Checkpoints of the main arm."""
    alone: tuple[AloneRow, ...]
    """Runs on one language alone."""
    controls: tuple[ControlRow, ...]
    """Transfer told from updates."""
    dials: tuple[DialRow, ...]
    """Anchors and relatives."""
    claims: tuple[Claim, ...]
    """Verdicts."""
    lenses: tuple[LensRow, ...]
    """The yardstick."""
    curve: str
    """How token equivalents were read off, and how well the law fits its points."""

    def to_json(self) -> dict[str, Any]:
        """A plain value; what is not finite (beyond the curve) is text."""
        told: dict[str, Any] = _plain(dataclasses.asdict(self))
        return told


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def judged(claim: str, paper: str, measure: str, values: Sequence[float], bigger: str = "") -> Claim:
    """The verdict on a claim from one number per seed, above zero where the claim holds.

    Reproduced: the whole 95 % interval is above zero. Not reproduced: it is below. Else not decidable at this size,
    with the seeds that would decide it if the mean stayed as it is.

    Args:
        claim: what the paper says.
        paper: its figures.
        measure: what ``values`` are.
        values: one per seed.
        bigger: size at which the paper saw the effect, told where more seeds would not help.
    """
    found = over_repeats(values)
    if found.low is None or found.high is None:
        return Claim(claim, paper, measure, found, NOT_DECIDABLE, "more seeds: one, or equal ones, give no interval")
    if found.low > 0:
        return Claim(claim, paper, measure, found, REPRODUCED)
    if found.high < 0:
        return Claim(claim, paper, measure, found, NOT_REPRODUCED, bigger)
    spread = float(np.std(values, ddof=1))
    if found.value > 0:
        return Claim(
            claim, paper, measure, found, NOT_DECIDABLE, f"about {counted(seeds_needed(found.value, spread), 'seed')}"
        )
    return Claim(claim, paper, measure, found, NOT_DECIDABLE, bigger or "a larger model or more tokens")


def seeds_needed(effect: float, spread: float, most: int = 1000) -> int:
    """Fewest seeds whose 95 % interval around this effect would leave out zero, for this standard deviation."""
    for n in range(2, most):
        if student(n - 1) * spread / math.sqrt(n) < abs(effect):
            return n
    return most
