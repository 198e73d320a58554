"""What Megatron-LM and its relatives share: the greedy blend, its limits on few documents and many languages."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from glotmix.errors import BadInput
from glotmix.exporters.realised import Simulation
from glotmix.exporters.request import ExportRequest, by_language
from glotmix.exporters.rules import greedy_deficit

SURPLUS = 0.005
"""Megatron-core's default ``mid_level_dataset_surplus``: samples built beyond those that the weights ask for."""
EVALUATION = 32
"""Batches of an evaluation, the least that these trainers are used with; their defaults are 32 to 100."""
NO_SPLIT = "1,0,0"
"""All documents are for training."""


def refuse_number(language: str, path: str) -> None:
    """Megatron takes whatever reads as a number for a weight."""
    try:
        float(path)
    except ValueError:
        return
    raise BadInput(f"path of {language} {path!r} reads as a number", expected="a prefix such as ./123")


def simulate_greedy(request: ExportRequest, *, from_zero: bool, remarks: tuple[str, ...] = ()) -> Simulation:
    """Megatron's greedy rule, phase by phase.

    Args:
        request: what was asked for.
        from_zero: whether each phase deals its own blend from the start, or goes on in it at the samples consumed.
        remarks: passed on.
    """
    tokens = []
    for phase in request.phases:
        start = 0 if from_zero else phase.first_step * request.batch
        count_L = greedy_deficit(request.vector(phase), start, start + phase.steps * request.batch)
        tokens.append(by_language(request, count_L, request.sequence_length))
    return Simulation(tuple(tokens), remarks)


def blend_of(tokens: list[str]) -> dict[str, float]:
    """Weights by prefix from the words of a blend, as ``get_blend_from_list`` of Megatron-core reads them."""
    if len(tokens) % 2:
        raise BadInput(f"a blend of {len(tokens)} words", expected="weight and prefix, again and again")
    try:
        return {prefix: float(weight) for weight, prefix in zip(tokens[::2], tokens[1::2], strict=True)}
    except ValueError as error:
        raise BadInput(f"a blend in which a weight is no number ({error})") from None


def refuse_spaces(language: str, path: str) -> None:
    """Megatron splits a blend at white space."""
    if any(character.isspace() for character in path):
        raise BadInput(f"path of {language} {path!r} holds white space, at which Megatron splits the blend")


def needed_surplus(p_L: np.ndarray, samples: int) -> float:
    """What ``mid_level_dataset_surplus`` must exceed so that a blend of ``samples`` can be built.

    ``⌈⌈n w_l⌉ (1 + surplus)⌉`` samples of language l are built, and the blend is dealt for ``Σ ⌈n w_l⌉`` samples: with
    many languages and few samples the large ones get more than were built, and Megatron-core stops with "the blend
    oversamples". Source: ``BlendedMegatronDatasetBuilder`` and ``BlendedDataset`` of Megatron-core.
    """
    w_L = p_L[p_L > 0] / p_L.sum()
    asked_L = np.ceil(samples * w_L)
    count_L = greedy_deficit(w_L, 0, int(asked_L.sum()))
    return max(0.0, float(((count_L - 1) / asked_L).max()) - 1.0)


def surplus(request: ExportRequest, samples: Sequence[int]) -> float | None:
    """The surplus to write for blends of so many samples in each stage; None where the default is enough."""
    needed = max(needed_surplus(request.vector(phase), n) for phase, n in zip(request.phases, samples, strict=True))
    return None if needed < SURPLUS else (math.floor(1000 * needed) + 1) / 1000


def refuse_surplus(request: ExportRequest, samples: Sequence[int], where: str) -> None:
    """Stop an export to a trainer whose surplus cannot be set, if it would not start."""
    if (needed := surplus(request, samples)) is not None:
        raise BadInput(
            f"{len(request.languages)} languages in stages of {min(samples)} samples and more: the blend would "
            f"oversample by {100 * needed:.2g} %, beyond the {100 * SURPLUS:g} % that this trainer builds, and not "
            "start",
            where=f"export to {where}",
            expected="more steps per stage, a larger batch, or fewer languages",
        )


def held_out(request: ExportRequest, split: str, built: float = SURPLUS) -> tuple[str, str | None]:
    """The split if every language has documents for each part and the evaluation's blend can be built; else none.

    Megatron-core never stops counting epochs of a part without documents.

    Returns:
        the split to write, and why it is not the usual one.
    """
    parts = np.cumsum([0.0, *(float(word) for word in split.split(","))])
    edges = parts / parts[-1]
    for language in request.languages:
        counts = np.diff(np.round(edges * request.rows(language)))
        if (counts < 1).any():
            return NO_SPLIT, (
                f"nothing is held out (split {NO_SPLIT}): {language} has about {request.rows(language)} documents, "
                f"of which split {split} leaves a part without any, and Megatron then never ends counting epochs; "
                "evaluate on files of your own"
            )
    needed = max(needed_surplus(request.vector(phase), EVALUATION * request.batch) for phase in request.phases)
    if needed >= built:
        return NO_SPLIT, (
            f"nothing is held out (split {NO_SPLIT}): {len(request.languages)} languages in an evaluation of "
            f"{EVALUATION} batches of {request.batch} would oversample their blend, at which Megatron stops; "
            "evaluate on files of your own"
        )
    return split, None
