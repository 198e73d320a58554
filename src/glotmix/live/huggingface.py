"""A run as a Hugging Face data set: any schedule in training order, without copying a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from glotmix.errors import BadInput
from glotmix.live.rank import checked_position
from glotmix.mixture.samplers.scheduled import Sampler

if TYPE_CHECKING:
    from datasets import Dataset


def in_training_order(
    sources: Mapping[str, Any], sampler: Sampler, *, start: int = 0, language: str | None = "language"
) -> Dataset:
    """The sequences of a run from ``start`` on, as one map-style ``datasets.Dataset`` to be read **without shuffling**.

    It is an index into the concatenated sources (``Dataset.select``): eight bytes a sequence, no row is copied. Unlike
    ``interleave_datasets`` the counts are exact, small sources repeat as the schedule says, schedules with stages work,
    and a run resumes anywhere by giving ``start``.

    Args:
        sources: language to a ``datasets.Dataset`` with at least the items that the sampler knows of; equal features.
        sampler: the order.
        start: sequences of the run that were consumed already.
        language: name of a column to add with each row's language; None adds none.

    Raises:
        BadInput: a language with a share has fewer rows than the sampler draws from, a position outside the run, or a
            column of that name in the sources.
    """
    from datasets import Dataset, Value, concatenate_datasets

    parts, offsets, at = [], [], 0
    for name in sampler.languages:
        source = sources.get(name)
        have, wanted = 0 if source is None else len(source), int(sampler.available.get(name, 0))
        if have < wanted:
            raise BadInput(f"{name} has {have} rows", where="sources", expected=f"{wanted} or more")
        offsets.append(at)
        if source is None or wanted == 0:
            continue
        if language is not None and language in source.column_names:
            raise BadInput(f"{name} has a column {language!r} already", where="sources", expected="another `language=`")
        part = source.select(range(wanted))
        if language is not None:
            names = Dataset.from_dict({language: [name] * wanted}).cast_column(language, Value("string"))
            part = concatenate_datasets([part, names], axis=1)
        parts.append(part)
        at += wanted
    start = checked_position(sampler, start)
    languages, sequences = sampler.draw(start, sampler.total - start)
    return concatenate_datasets(parts).select(np.asarray(offsets)[languages] + sequences)
