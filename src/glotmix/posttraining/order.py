"""Order: which samples each step of a fine-tuning reads, by a schedule over languages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from glotmix.mixture.mixture import Mixture
from glotmix.mixture.samplers.scheduled import Sampler
from glotmix.mixture.schedule import Schedule


def steps_of(samples: int, batch: int, epochs: float) -> int:
    """Updates in ``epochs`` passes over ``samples``: at least one, the last batch filled up."""
    return max(1, -(-round(samples * epochs) // batch))


def natural(languages: Sequence[str]) -> Mixture:
    """Each language's share of the samples: what shuffling all of them gives, as in the paper."""
    return Mixture.normalised(Counter(languages))


def reading_order(languages: Sequence[str], schedule: Schedule | None, steps: int, batch: int, seed: int) -> np.ndarray:
    """Index of the sample that each place of each step reads, [steps, batch].

    Args:
        languages: language of every training sample.
        schedule: shares of the languages in samples; None reads every sample equally often.
        steps: updates.
        batch: samples in each.
        seed: of the order.

    Raises:
        BadInput: a language with a share and without samples.
    """
    of: dict[str, list[int]] = {}
    for index, language in enumerate(languages):
        of.setdefault(language, []).append(index)
    schedule = schedule or Schedule.constant(natural(languages))
    sampler = Sampler(schedule, steps * batch, {name: len(found) for name, found in of.items()}, seed)
    language_N, place_N = sampler.draw(0, steps * batch)
    index_N = np.empty(steps * batch, np.int64)
    for number, name in enumerate(sampler.languages):
        chosen = language_N == number
        if chosen.any():
            index_N[chosen] = np.array(of[name])[place_N[chosen]]
    return index_N.reshape(steps, batch)
