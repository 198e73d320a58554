"""GlotmixIterableDataset: the run itself as a stream, for any number of ranks and workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

from glotmix.errors import BadInput
from glotmix.live.rank import Rank, checked_position, position_of, state_of
from glotmix.mixture.samplers.scheduled import Sampler


class TokenSequences(Sequence[dict[str, torch.Tensor]]):
    """A flat array of token ids as sequences: item s is tokens ``sT … sT + T``, with labels for a causal model.

    Labels equal the ids, as transformers expects, which shifts them itself.
    """

    def __init__(self, tokens: np.ndarray, length: int):
        self._tokens, self._length = tokens, length

    def __len__(self) -> int:
        return len(self._tokens) // self._length

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        ids = self._tokens[index * self._length : (index + 1) * self._length]
        row = torch.from_numpy(np.asarray(ids, dtype=np.int64))
        return {"input_ids": row, "labels": row}


class GlotmixIterableDataset(torch.utils.data.IterableDataset[Any]):
    """Items ``sources[language][sequence]`` in the order of a schedule; a step reads the same items for any number of
    ranks and of DataLoader workers.

    Workers deal whole batches in turn, so ``batch_size`` must be the DataLoader's where there are workers. With
    transformers' Trainer leave rank and world alone: accelerate reads the stream in the main process and deals it out.

    To resume, either ``resume(step * global_batch)``, which fits any number of ranks and workers, or the state of
    ``state_dict()``: without workers it is exact at every item; inside a worker (torchdata's StatefulDataLoader asks
    there) it is that worker's own.
    """

    def __init__(
        self,
        sources: Mapping[str, Any],
        sampler: Sampler,
        *,
        rank: int = 0,
        world: int = 1,
        batch_size: int = 1,
        with_language: bool = False,
    ):
        """
        Args:
            sources: language to anything with a length and items by number.
            sampler: the order; knows how many items each language has.
            rank: number of this process.
            world: processes that read data.
            batch_size: sequences per batch and rank, as given to the DataLoader.
            with_language: whether items, then dicts, get ``language``: the language's number in ``sampler.languages``.

        Raises:
            BadInput: a language with a share has fewer items than the sampler draws from.
        """
        self.sources, self.order, self.place = sources, sampler, Rank(rank, world)
        self.batch_size, self.with_language = batch_size, with_language
        for language in sampler.schedule.average().support:
            have = len(sources[language]) if language in sources else 0
            if have < sampler.available[language]:
                raise BadInput(
                    f"{language} has {have} items", where="sources", expected=f"{sampler.available[language]} or more"
                )
        self._position, self._given, self._own = 0, 0, False

    def __len__(self) -> int:
        return self.place.length(self.order, self._position)

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        position, own = self._position, self._own
        self._given = 0
        for k, language, sequence in self._draws(position, 0 if own else number, workers):
            # The state after this item: within a batch the next item, at its end this worker's next batch.
            ends = (k + 1) % self.batch_size == 0
            self._given = k + 1 + (ends * (workers - 1) * self.batch_size)
            item = self.sources[self.order.languages[language]][sequence]
            yield {**item, "language": language} if self.with_language else item

    def _draws(self, position: int, number: int, workers: int) -> Iterator[tuple[int, int, int]]:
        """Batches ``number, number + workers, ...`` of this rank from a position on, item by item."""
        if workers == 1:
            yield from self.place.draws(self.order, position)
            return
        for k, languages, sequences in self.place.chunks(self.order, position):
            at = np.arange(k, k + len(languages))
            for i in np.flatnonzero(at // self.batch_size % workers == number).tolist():
                yield int(at[i]), int(languages[i]), int(sequences[i])

    def resume(self, position: int) -> None:
        """Begin the next iteration after so many sequences of the run, counted over all ranks."""
        self._position, self._given, self._own = checked_position(self.order, position), 0, False

    def state_dict(self) -> dict[str, object]:
        """The position after the items given out so far (a worker's own, when asked for in a worker)."""
        position = min(self._position + self._given * self.place.world, self.order.total)
        return {**state_of(self.order, position), "worker": get_worker_info() is not None}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on from a state of the same run."""
        self.resume(position_of(self.order, state))
        self._own = bool(state.get("worker")) and get_worker_info() is not None
