"""torchtitan: a Python module that mixes documents with Grain and packs the mixture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glotmix.exporters.counted import chance_remark
from glotmix.exporters.exporter import (
    Exporter,
    ExportRequest,
    Launch,
    Phase,
    Record,
    Simulation,
    by_language,
    schedule_of,
)
from glotmix.exporters.phases import STAGE_CODE, horizon_constants, launch_by_stage, launches_of_module
from glotmix.exporters.quoting import python_text, read_constants
from glotmix.mixture.schedule import Schedule

SMALLEST_WEIGHT = 100
"""Grain scales weights so that the smallest is this, and truncates the others to whole numbers."""

CODE = (
    STAGE_CODE
    + '''

def text_of(row):
    """Text of a row; change this to suit your data."""
    return row["text"]


def is_kept(sample):
    """Whether a processed row holds anything."""
    return sample is not None


def language(path):
    """The documents of one language."""
    from torchtitan.components.data import IndexedJsonlSource, SingleDatasetConfig
    from torchtitan.hf_datasets.text_datasets import TextProcessor

    return SingleDatasetConfig(
        source=IndexedJsonlSource.Config(patterns=(path,)),
        processor=TextProcessor.Config(text_fn=text_of),
        post_filters=(is_kept,),
    )


def dataset(stage=None):
    """The mixture of one stage, packed, for GrainDataLoader.Config(dataset=..., seed=SEED + stage, repeat=True)."""
    from torchtitan.components.data import ConcatThenSplitPackingConfig, DatasetMixConfig, WeightedDataset

    weights = STAGES[current_stage() if stage is None else stage]
    mixed = DatasetMixConfig(
        datasets=tuple(
            WeightedDataset(dataset=language(SOURCES[name]), weight=weight) for name, weight in weights.items()
        )
    )
    return ConcatThenSplitPackingConfig(dataset=mixed)
'''
)


class TorchTitan(Exporter):
    """``DatasetMixConfig`` over documents, packed after it."""

    name = "torchtitan"
    title = "torchtitan"
    target_version = "torchtitan since 19 August 2026 (Grain loader, commit b5bcd76); older ones have no weights"
    unit = "rows"
    schedule_support = "phases"
    path_template = "data/{language}/*.jsonl"
    from_document_lengths = "the weights"
    notes = (
        "Documents are mixed and then packed, so token shares are divided by the measured tokens per document. Packed "
        "first, weights would count tokens, but what is packed is a rank's whole batch: every rank would train on one "
        "language, and all of them on the same, in each step. Grain deals documents by arithmetic, not at random, and "
        "truncates weights to whole numbers with the smallest at 100: up to 1 % off. With repeat=True each language "
        "starts over alone when it is exhausted. Every rank reads its own part of each language, of which there must "
        "be a document for each. A stage of a schedule is a run that loads the last checkpoint without its data loader "
        "(exclude_from_loading), because resuming wants an unchanged configuration; lr_scheduler.total_steps is "
        "TRAINING_STEPS, so that the learning rate does not end with a stage."
    )
    packing = "cut"
    flags = (
        *("--training.steps", "{steps}", "--training.seq_len", "{sequence_length}"),
        *("--training.global_batch_size", "{batch}", "--training.max_norm", "{clip}"),
        *("--optimizer.lr", "{learning_rate}", "--optimizer.weight_decay", "{weight_decay}"),
        *("--lr_scheduler.warmup_steps", "{warmup_steps}", "--lr_scheduler.decay_type", "cosine"),
        *("--lr_scheduler.min_lr_factor", "{final_learning_rate}"),
        *("--checkpoint.initial_load_path?base", "{base}?base", "--checkpoint.initial_load_in_hf?base"),
    )

    def files(self, request: ExportRequest) -> dict[str, str]:
        stages = [by_language(request, request.documents(phase)) for phase in request.phases]
        constants = weight_constants(self, request, stages, "Share of documents of each language, stage by stage.")
        return {"mixture.py": python_text(self.title, constants, CODE), **launch_by_stage(request)}

    def simulate(self, request: ExportRequest) -> Simulation:
        count_PL = [
            grain_counts(request.documents(phase), documents_of_stage(request, phase)) for phase in request.phases
        ]
        remarks = tuple(
            f"{name} has about {request.rows(name)} documents: torchtitan does not start with more ranks than that"
            for name in request.languages
            if request.rows(name) < request.batch
        )
        tokens = tuple(by_language(request, count_L, request.lengths()) for count_L in count_PL)
        return Simulation(tokens, (*remarks, *chance_remark(request, count_PL)))

    def launches(self, directory: Path) -> list[Launch]:
        return launches_of_module(directory)

    def read(self, directory: Path) -> Schedule:
        return read_weights(directory, documents=True)


def documents_of_stage(request: ExportRequest, phase: Phase) -> int:
    """Documents that a stage reads."""
    tokens = phase.steps * request.batch * request.sequence_length
    return max(1, round(tokens * float((request.vector(phase) / request.lengths()).sum())))


def weight_constants(
    exporter: Exporter, request: ExportRequest, stages: Sequence[Mapping[str, float]], what: str
) -> dict[str, Any]:
    """Sources and weights of each stage as the constants of a generated module; weights of zero are left out."""
    return {
        "SEQUENCE_LENGTH": ("training.seq_len", request.sequence_length),
        "GLOBAL_BATCH_SIZE": ("training.global_batch_size", request.batch),
        "SEED": ("Of the data loader; add the number of the stage.", request.seed),
        "SOURCES": ("Language and its data.", exporter.paths(request)),
        "STAGES": (what, [{name: weight for name, weight in stage.items() if weight > 0} for stage in stages]),
        **horizon_constants(request, "training.steps of each stage; lr_scheduler.total_steps is TRAINING_STEPS."),
    }


def read_weights(directory: Path, *, documents: bool = False) -> Schedule:
    """The schedule in the constants of :func:`weight_constants`, whose weights are shares of tokens or of documents."""
    record = Record.of(directory)
    constants = read_constants(directory / "mixture.py")
    ends = constants["LAST_STEPS"]
    read = record.mixture_of_documents if documents else record.mixture
    mixtures = [read(weights) for weights in constants["STAGES"]]
    return schedule_of(zip([0, *ends[:-1]], mixtures, strict=True), ends[-1])


def grain_counts(p_L: np.ndarray, total: int) -> np.ndarray:
    """Rows of each language among the first ``total`` of a Grain mixture: each takes the ceiling of its part of what
    the languages before it left over."""
    used = np.flatnonzero(p_L)
    scale = SMALLEST_WEIGHT / min(p_L[i] for i in used)
    weights = [int(p_L[i] * scale) for i in used]
    count_L = np.zeros(len(p_L), dtype=np.int64)
    left, weight_left = total, sum(weights)
    for i, weight in zip(used, weights, strict=True):
        rest = left * (weight_left - weight) // weight_left
        count_L[i] = left - rest
        left, weight_left = rest, weight_left - weight
    return count_L
