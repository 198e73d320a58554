"""GlotmixSampler: the order of a run for a DataLoader over a concatenation of map-style data sets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from glotmix.live.rank import Rank, checked_position, position_of, state_of
from glotmix.mixture.samplers.scheduled import Sampler


class GlotmixSampler(torch.utils.data.Sampler[int]):
    """Indices into ``ConcatDataset([sources[l] for l in sampler.languages])`` in the order of a schedule.

    The data sets have ``sampler.available[l]`` items each. Every rank gives its own ``Place``; do not let the
    DataLoader or accelerate shard it again. To resume, set the sequences that training has consumed over all ranks,
    ``sampler.resume(step * global_batch)``: what a DataLoader had prefetched does not count.
    """

    def __init__(self, sampler: Sampler, rank: int = 0, world: int = 1):
        self.order, self.place = sampler, Rank(rank, world)
        sizes = [int(sampler.available.get(language, 0)) for language in sampler.languages]
        self._offset_L = np.concatenate([[0], np.cumsum(sizes)])[:-1]
        self._position, self._given = 0, 0

    def __len__(self) -> int:
        return self.place.length(self.order, self._position)

    def __iter__(self) -> Iterator[int]:
        self._given = 0
        for _, languages, sequences in self.place.chunks(self.order, self._position):
            for index in (self._offset_L[languages] + sequences).tolist():
                self._given += 1
                yield index

    def resume(self, position: int) -> None:
        """Begin the next iteration after so many sequences of the run, counted over all ranks."""
        self._position, self._given = checked_position(self.order, position), 0

    def state_dict(self) -> dict[str, object]:
        """The position after the indices given out so far."""
        return state_of(self.order, self._position + self._given * self.place.world)

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on where another sampler of the same run, on any number of ranks, had come to."""
        self.resume(position_of(self.order, state))
