"""Continued: a run that went by one schedule and goes on by another, from the very sequence where it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from glotmix.errors import BadInput
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.samplers.scheduled import Sampler
from glotmix.mixture.schedule import Schedule


@dataclass(frozen=True)
class ContinuedSampler(Sampler):
    """The first ``offset_L`` sequences of each language were read before this part of a run began.

    Its draws go on with the next sequence of every language, in the orders that its seed gives a whole run: nothing is
    repeated before everything was seen, over both parts. Blocks begin anew, as with every stage.
    """

    before: Mapping[str, int] = field(default_factory=dict)
    """Sequences of each language that were read before."""
    _offset_L: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "_offset_L", np.array([self.before.get(name, 0) for name in self.languages]))

    def _sequences(self, language: np.ndarray, ordinal: np.ndarray) -> np.ndarray:
        return super()._sequences(language, ordinal + self._offset_L[language])


class SamplerInTwo:
    """Random access to the order of a run whose mixture was changed on the way, which nobody knew at its beginning."""

    def __init__(
        self, before: Schedule, mixture: Mixture, at: int, total: int, available: Mapping[str, int], seed: int
    ) -> None:
        """
        Args:
            before: schedule that the run had until the change.
            mixture: what it has from there on.
            at: sequences read before the change.
            total: sequences in the whole run.
            available: sequences that each language has.
            seed: of all orders.

        Raises:
            BadInput: as :class:`Sampler`; or no sequence lies on either side of the change.
        """
        if not 0 < at < total:
            raise BadInput(f"a change after {at} of {total} sequences", where="sampler", expected="one within the run")
        self.languages, self.total, self._at = tuple(mixture), total, at
        members = [replace(stage, mixture=stage.mixture.over(self.languages)) for stage in before.stages]
        self._before = Sampler(Schedule(tuple(members)), total, available, seed)
        read = self._before.counts(0, at)
        self._after = ContinuedSampler(Schedule.constant(mixture), total - at, available, seed, before=read)

    def draw(self, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`Sampler.draw`."""
        stop, at = start + count, self._at
        if stop <= at:
            return self._before.draw(start, count)
        if start >= at:
            return self._after.draw(start - at, count)
        both = zip(self._before.draw(start, at - start), self._after.draw(0, stop - at), strict=True)
        language, sequence = (np.concatenate(arrays) for arrays in both)
        return language, sequence

    def counts(self, start: int, stop: int) -> dict[str, int]:
        """As :meth:`Sampler.counts`."""
        at = self._at
        before = self._before.counts(min(start, at), min(stop, at))
        after = self._after.counts(max(start, at) - at, max(stop, at) - at)
        return {name: before[name] + after[name] for name in self.languages}
