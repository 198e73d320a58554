"""Place: which draws of a run fall to a rank, so that all ranks together follow the one global order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from glotmix.errors import BadInput
from glotmix.mixture.samplers.scheduled import Sampler

DRAWS_AT_ONCE = 4096
"""Draws computed together."""


@dataclass(frozen=True)
class Rank:
    """Rank ``rank`` of ``world``: its k-th sequence from position s on is draw ``s + k · world + rank`` of the run.

    Every step that reads B sequences over all ranks therefore reads the same B draws for any number of ranks that
    divides B. A position counts the draws that all ranks have consumed, and is all there is to resume.
    """

    rank: int = 0
    """Number of this process, from 0."""
    world: int = 1
    """Processes that read data."""

    def __post_init__(self) -> None:
        if self.world < 1 or not 0 <= self.rank < self.world:
            raise BadInput(f"rank {self.rank} of {self.world}", where="live", expected="0 ≤ rank < world")

    def length(self, sampler: Sampler, position: int) -> int:
        """Sequences left for each rank; a remainder that does not fill all ranks is left out."""
        return max(0, sampler.total - position) // self.world

    def draws(self, sampler: Sampler, position: int, first: int = 0) -> Iterator[tuple[int, int, int]]:
        """``(k, language index, sequence)`` of this rank's sequences from ``position`` on, beginning with k = first."""
        for k, languages, sequences in self.chunks(sampler, position, first):
            for i, (language, sequence) in enumerate(zip(languages.tolist(), sequences.tolist(), strict=True)):
                yield k + i, language, sequence

    def chunks(self, sampler: Sampler, position: int, first: int = 0) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """The same in arrays of up to ``DRAWS_AT_ONCE / world``."""
        length, size = self.length(sampler, position), max(1, DRAWS_AT_ONCE // self.world)
        for k in range(first, length, size):
            count = min(size, length - k)
            language, sequence = sampler.draw(position + k * self.world, count * self.world)
            yield k, language[self.rank :: self.world], sequence[self.rank :: self.world]


def checked_position(sampler: Sampler, position: int) -> int:
    """The position itself, if the run has it."""
    if position != int(position) or not 0 <= position <= sampler.total:
        raise BadInput(f"position {position}", where="live", expected=f"a whole number from 0 to {sampler.total}")
    return int(position)


def state_of(sampler: Sampler, position: int) -> dict[str, object]:
    """What resumes a run: the position, and the order it is a position in."""
    return {"position": position, "total": sampler.total, "seed": sampler.seed, "schedule": sampler.schedule.to_json()}


def position_of(sampler: Sampler, state: dict[str, object]) -> int:
    """The position in a state that :func:`state_of` gave.

    Raises:
        BadInput: the state belongs to another order.
    """
    for key, value in state_of(sampler, 0).items():
        if key != "position" and state.get(key) != value:
            raise BadInput(f"the state has another {key}", where="live", expected="the state of the same run")
    position = state["position"]
    if not isinstance(position, int):
        raise BadInput(f"position {position!r}", where="live", expected="a whole number")
    return checked_position(sampler, position)
