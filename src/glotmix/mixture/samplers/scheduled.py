"""Sampler: which sequence of which language is the i-th of a run, for any i, without replay.

The order of a run is a pure function ``(schedule, seed, index) → (language, sequence)``. Nothing is kept between calls
but a cache, so a run resumes at any index, on any number of workers or ranks, and goes on with the same global order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from glotmix.errors import BadInput
from glotmix.mixture.samplers.permutation import hashed, key_of, permuted, shuffled
from glotmix.mixture.samplers.quotas import Quotas
from glotmix.mixture.schedule import Schedule

BLOCK = 1024
"""Sequences within which the counts of all languages are exact."""
PIECE = 16 * BLOCK
"""Sequences that are computed together."""


@dataclass(frozen=True)
class Sampler:
    """Random access to the order in which a run reads its sequences.

    **Counts.** After each block the number of sequences of language l is its expected number ``E_l = Σ p_l · length``
    over the stages so far, rounded by largest remainder between what was already drawn and what the stage ends with.
    So the counts of a block never are negative, sum to the block, and stay within one sequence of ``E_l`` for the whole
    run: proved while every share is at least ``1 / block``, and so in every case tried below that. Blocks start anew
    with each stage: a language with share zero in a stage is never drawn in it.

    **Order.** A block's sequences come in a pseudo-random order. The k-th draw of a language is sequence
    ``π_e(k mod A)`` with epoch ``e = k div A`` and a new pseudo-random permutation ``π_e`` of its A available sequences
    in every epoch, so nothing repeats before everything was seen.

    Raises:
        BadInput: a total, block or number of available sequences below one; a language with a share but without
            sequences; a language whose quota over the whole run is less than one sequence.
    """

    schedule: Schedule
    """Shares of the languages over the run."""
    total: int
    """Sequences in the whole run."""
    available: Mapping[str, int]
    """Sequences that each language has."""
    seed: int
    """Seed of all orders."""
    block: int = BLOCK
    """Sequences per block; the last block of a stage takes up what is left and is up to twice as long."""
    _quotas: Quotas = field(init=False, repr=False, compare=False)
    _keys: list[np.ndarray] = field(init=False, repr=False, compare=False)
    _block_key: np.ndarray = field(init=False, repr=False, compare=False)
    _last: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray | None]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, value in (("total", self.total), ("block", self.block)):
            if value < 1 or value != int(value):
                raise BadInput(f"{name} = {value}", where="sampler", expected="a whole number of sequences, at least 1")
        quotas = Quotas.of(self.schedule, int(self.total), int(self.block))
        self._check_languages(dict(zip(self.languages, map(float, quotas.expected_SL[-1]), strict=True)))
        object.__setattr__(self, "_quotas", quotas)
        object.__setattr__(self, "_last", {})
        object.__setattr__(self, "_keys", [key_of(self.seed, "sequence", name) for name in self.languages])
        object.__setattr__(self, "_block_key", key_of(self.seed, "block"))

    def _check_languages(self, quota: Mapping[str, float]) -> None:
        for language, expected in quota.items():
            if expected == 0:
                continue
            if expected < 1 - 1e-9:
                raise BadInput(
                    f"{language} would be dropped: its share is {expected:.3g} of {self.total} sequences",
                    where="schedule",
                    expected=f"an average share of at least {1 / self.total:.3g}, or share 0",
                )
            if not self.available.get(language, 0) >= 1:
                raise BadInput(
                    f"{language} has a share but {self.available.get(language, 0)} sequences",
                    where="available",
                    expected="at least one sequence",
                )

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages in the order of :meth:`draw`'s indices."""
        return self.schedule.languages

    def draw(self, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Language index and sequence index of the draws ``start … start + count - 1``, two integer arrays.

        Raises:
            BadInput: the range is not within the run.
        """
        self._check_range(start, start + count)
        languages, sequences = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
        for done in range(0, count, PIECE):  # arrays of this size stay in the processor's cache
            piece = slice(done, min(done + PIECE, count))
            languages[piece], sequences[piece] = self._drawn(start + piece.start, start + piece.stop)
        return languages, sequences

    def counts(self, start: int, stop: int) -> dict[str, int]:
        """How many sequences of each language are drawn from ``start`` up to ``stop`` (exclusive)."""
        self._check_range(start, stop)
        counts_L = self._drawn_before(stop) - self._drawn_before(start)
        return dict(zip(self.languages, map(int, counts_L), strict=True))

    def _check_range(self, start: int, stop: int) -> None:
        if not 0 <= start <= stop <= self.total:
            raise BadInput(f"draws {start} to {stop}", where="sampler", expected=f"a range within 0 to {self.total}")

    def _drawn_before(self, index: int) -> np.ndarray:
        """Sequences of each language among the first ``index``, [L]."""
        if index == self.total:
            return np.asarray(self._quotas.drawn_SL[-1])
        block_N = self._quotas.block_of(np.array([index]))
        language, _ = self._drawn(int(self._quotas.start(block_N)[0]), index)
        return np.asarray(self._quotas.drawn(block_N)[0] + np.bincount(language, minlength=len(self.languages)))

    def _drawn(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Languages and sequences from ``start`` to ``stop``.

        The last block is kept. The first draw in a block computes the sequences it asks for and no more, so that a run
        resumes quickly; the second computes the whole block, since the run goes on.
        """
        if start == stop:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        first, last = self._quotas.block_of(np.array([start, stop - 1])).tolist()
        from_, tail = self._quotas.start(np.array([first, last])).tolist()
        asked = slice(start - from_, stop - from_)
        kept = self._last.get(first) if first == last else None
        if kept is None:
            language, ordinal = self._blocks(first, last)
            self._keep(last, language[tail - from_ :].copy(), ordinal[tail - from_ :].copy(), None)
            return language[asked], self._sequences(language[asked], ordinal[asked])
        language, ordinal, sequence = kept
        if sequence is None:
            sequence = self._sequences(language, ordinal)
            self._keep(first, language, ordinal, sequence)
        return language[asked], sequence[asked]

    def _keep(self, block: int, language: np.ndarray, ordinal: np.ndarray, sequence: np.ndarray | None) -> None:
        self._last.clear()
        self._last[block] = language, ordinal, sequence

    def _blocks(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Languages of whole blocks, and how many sequences of that language were drawn before each."""
        drawn_NL = self._quotas.drawn(np.arange(first, last + 2))
        blocks = [self._in_block(first + n, drawn_NL[n], drawn_NL[n + 1]) for n in range(last + 1 - first)]
        language, ordinal = (np.concatenate(arrays) for arrays in zip(*blocks, strict=True))
        return language, ordinal

    def _in_block(self, block: int, before_L: np.ndarray, after_L: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Languages of one block in their pseudo-random order, each counted on from ``before_L``."""
        counts_L = after_L - before_L
        size = int(counts_L.sum())
        key = hashed(self._block_key, np.array([block]))
        language = np.repeat(np.arange(len(counts_L)), counts_L)[shuffled(key, size)[0]]
        by_language = language.astype(np.uint16).argsort(kind="stable")
        ordinal = np.empty(size, dtype=np.int64)
        ordinal[by_language] = np.arange(size) + np.repeat(before_L - (np.cumsum(counts_L) - counts_L), counts_L)
        return language, ordinal

    def _sequences(self, language: np.ndarray, ordinal: np.ndarray) -> np.ndarray:
        """The k-th sequence of each language, walked epoch by epoch in a new order each time."""
        sequence = np.empty_like(ordinal)
        for index, (name, key) in enumerate(zip(self.languages, self._keys, strict=True)):
            if (chosen := (language == index).nonzero()[0]).size:
                size = self.available[name]
                epoch, place = np.divmod(ordinal[chosen], size)
                first, last = epoch[0], epoch[-1]  # ordinals rise with the index of the draw
                keys = hashed(key, np.arange(first, last + 1))
                sequence[chosen] = permuted(place, size, keys, None if first == last else epoch - first)
        return sequence


def ordinals(language: np.ndarray, before_L: np.ndarray) -> np.ndarray:
    """How many draws of its own language came before each, ``before_L`` of them before the first."""
    order = np.argsort(language, kind="stable")
    count_L = np.bincount(language, minlength=len(before_L))
    ordinal = np.empty(len(language), dtype=np.int64)
    ordinal[order] = np.arange(len(language)) + np.repeat(before_L - (np.cumsum(count_L) - count_L), count_L)
    return ordinal
