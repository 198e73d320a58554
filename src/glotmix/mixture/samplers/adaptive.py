"""Following: which sequence a run reads next while the mixture changes with what training observes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from glotmix.errors import BadInput
from glotmix.mixture.adaptives.adaptive import Adaptive
from glotmix.mixture.samplers.permutation import hashed, key_of, permuted


class AdaptiveSampler:
    """Independent draws from an adaptive method's mixture of the moment, in the order of the run.

    A language's sequences come as :class:`glotmix.mixture.samplers.scheduled.Sampler` gives them: a new permutation in
    every epoch, nothing repeated before everything was seen. Which language is drawn depends on the past of the run,
    so there is no random access; the counts so far are the state. Independent draws are those of the published methods.
    """

    def __init__(self, adaptive: Adaptive, total: int, available: Mapping[str, int], seed: int):
        """
        Args:
            adaptive: whose ``mixture`` is drawn from.
            total: sequences in the whole run.
            available: sequences that each language has.
            seed: of all orders.

        Raises:
            BadInput: a language without sequences.
        """
        self.adaptive, self.total, self.languages = adaptive, total, adaptive.languages
        if empty := [name for name in self.languages if not available.get(name, 0) >= 1]:
            raise BadInput(f"{', '.join(empty)} has no sequences", where="available", expected="at least one sequence")
        self._available = {name: available[name] for name in self.languages}
        self._choice = key_of(seed, "following")
        self._keys = {name: key_of(seed, "sequence", name) for name in self.languages}
        self._stops, self._drawn = [0], [np.zeros(len(self.languages), dtype=np.int64)]

    def draw(self, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Language index and sequence index of the next ``count`` draws.

        Raises:
            BadInput: ``start`` is not where the last draw ended.
        """
        if start != self._stops[-1]:
            raise BadInput(f"draw {start} after {self._stops[-1]}", where="following", expected="one after the other")
        p_L = self.adaptive.mixture.vector(self.languages)
        uniform_N = hashed(self._choice, np.arange(start, start + count)).astype(np.float64) / 2.0**64
        edges_L = np.cumsum(p_L / p_L.sum())[:-1]
        language = np.searchsorted(edges_L, uniform_N, side="right")
        sequence = np.empty(count, dtype=np.int64)
        before_L = self._drawn[-1]
        for index, name in enumerate(self.languages):
            if (chosen := np.flatnonzero(language == index)).size:
                size = self._available[name]
                epoch, place = np.divmod(before_L[index] + np.arange(chosen.size), size)
                keys = hashed(self._keys[name], np.arange(epoch[0], epoch[-1] + 1))
                sequence[chosen] = permuted(place, size, keys, epoch - epoch[0])
        self._stops.append(start + count)
        self._drawn.append(before_L + np.bincount(language, minlength=len(self.languages)))
        return language, sequence

    def counts(self, start: int, stop: int) -> dict[str, int]:
        """How many sequences of each language were drawn from ``start`` up to ``stop``, both ends of draws."""
        first, last = (int(np.searchsorted(self._stops, at)) for at in (start, stop))
        if last >= len(self._stops) or (self._stops[first], self._stops[last]) != (start, stop):
            raise BadInput(f"draws {start} to {stop}", where="following", expected="ends of draws made")
        return dict(zip(self.languages, map(int, self._drawn[last] - self._drawn[first]), strict=True))

    def state(self) -> dict[str, Any]:
        """Counts after every draw, as JSON."""
        return {"stops": self._stops, "drawn": [row.tolist() for row in self._drawn]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self._stops, self._drawn = list(state["stops"]), [np.array(row, dtype=np.int64) for row in state["drawn"]]
