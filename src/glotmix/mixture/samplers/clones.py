"""One text in several languages: clones read a single stream, and each sequence is seen in the language it falls to."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from glotmix.errors import BadInput
from glotmix.mixture.samplers.independent import IndependentSampler
from glotmix.mixture.samplers.permutation import hashed, key_of, permuted
from glotmix.mixture.samplers.scheduled import Sampler, ordinals
from glotmix.mixture.schedule import Schedule


@dataclass(frozen=True)
class CloneSampler:
    """Random access to the order in which a run reads a text that all its languages are written from.

    The text comes first and the language second: draw i takes the next sequence of the text's pseudo-random walk, and
    the schedule's draw i says in which language it is read (:class:`glotmix.mixture.samplers.scheduled.Sampler`: per
    sequence, with exact counts). So two runs of one seed read the same text in the same order whatever their mixtures,
    a run on clones that are all alike is a run on the text itself, and no sequence is ever read in two languages.

    With ``parallel`` = q > 0 a share q of the text is common to the languages: a share q of each language's draws,
    evenly spread, walks the common part from its start, so that every language reads the same sequences there in the
    same order. The rest is read once, by one language.

    Source: ``ClonedLanguageDataset`` of arXiv 2404.07982 (language drawn per row of one token stream); exact counts in
    place of independent draws, and ``parallel``, are ours.

    Raises:
        BadInput: text would have to be repeated while several languages read it, which would make it parallel unasked;
            or the errors of the sampler.
    """

    schedule: Schedule
    """Shares of the languages over the run."""
    total: int
    """Sequences in the whole run."""
    available: int
    """Sequences that the text has."""
    seed: int
    """Seed of all orders."""
    text: str
    """Name of the text; a run on the language of that name alone reads it in the same order."""
    parallel: float = 0.0
    """Share of the text that every language reads."""
    independent: bool = False
    """Whether the language of every sequence is drawn by itself."""
    _sampler: Sampler = field(init=False, repr=False, compare=False)
    _key: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.parallel <= 1:
            raise BadInput(f"parallel = {self.parallel}", where="clones", expected="a share from 0 to 1")
        kind = IndependentSampler if self.independent else Sampler
        sampler = kind(self.schedule, self.total, dict.fromkeys(self.languages, self.available), self.seed)
        object.__setattr__(self, "_sampler", sampler)
        object.__setattr__(self, "_key", key_of(self.seed, "sequence", self.text))
        count_L = np.array(list(sampler.counts(0, self.total).values()))
        joint = int((count_L - self._parallel_before(count_L)).sum())
        if (count_L > 0).sum() > 1 and joint > self.available - self.common:
            raise BadInput(
                f"{joint} sequences of {self.text} are to be read once each, by one language, and there are "
                f"{self.available - self.common}",
                where="clones",
                expected="more text, fewer tokens, or a larger parallel share",
            )

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages in the order of :meth:`draw`'s indices."""
        return self.schedule.languages

    @property
    def common(self) -> int:
        """Sequences that every language reads."""
        return round(self.parallel * self.available)

    def draw(self, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Language index and sequence index of the draws ``start … start + count - 1``, two integer arrays."""
        language, _ = self._sampler.draw(start, count)
        before_L = np.array(list(self._sampler.counts(0, start).values()))
        ordinal = ordinals(language, before_L)
        parallel = self._parallel_before(ordinal + 1) > self._parallel_before(ordinal)
        joint = int((before_L - self._parallel_before(before_L)).sum()) + np.cumsum(~parallel) - 1
        sequence = np.empty(count, dtype=np.int64)
        sequence[~parallel] = self.common + self._walk(joint[~parallel], self.available - self.common)
        sequence[parallel] = self._walk(self._parallel_before(ordinal[parallel]), self.common)
        return language, sequence

    def counts(self, start: int, stop: int) -> dict[str, int]:
        """How many sequences of each language are drawn from ``start`` up to ``stop`` (exclusive)."""
        return self._sampler.counts(start, stop)

    def _parallel_before(self, ordinal: np.ndarray) -> np.ndarray:
        """How many of a language's first draws are of the common part."""
        return np.asarray(np.floor(ordinal * self.parallel + 1e-9).astype(np.int64))

    def _walk(self, ordinal: np.ndarray, size: int) -> np.ndarray:
        """The sequences at these places of the walk over ``size`` of them, a new order in every epoch."""
        if not ordinal.size:
            return ordinal
        epoch, place = np.divmod(ordinal, size)
        first = int(epoch.min())
        return permuted(place, size, hashed(self._key, np.arange(first, epoch.max() + 1)), epoch - first)
