"""torchtitan: a Python module that mixes packed languages with Grain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from glotmix.exporters.exporter import Exporter, ExportRequest, Launch, Record, Simulation, by_language, schedule_of
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
    """One language, packed into rows of the sequence length before it is mixed, so that weights count tokens."""
    from torchtitan.components.data import ConcatThenSplitPackingConfig, IndexedJsonlSource, SingleDatasetConfig
    from torchtitan.hf_datasets.text_datasets import TextProcessor

    documents = SingleDatasetConfig(
        source=IndexedJsonlSource.Config(patterns=(path,)),
        processor=TextProcessor.Config(text_fn=text_of),
        post_filters=(is_kept,),
    )
    return ConcatThenSplitPackingConfig(dataset=documents)


def dataset(stage=None):
    """The mixture of one stage, for GrainDataLoader.Config(dataset=..., seed=SEED + stage, repeat=True)."""
    from torchtitan.components.data import DatasetMixConfig, WeightedDataset

    weights = STAGES[current_stage() if stage is None else stage]
    return DatasetMixConfig(
        datasets=tuple(
            WeightedDataset(dataset=language(SOURCES[name]), weight=weight) for name, weight in weights.items()
        )
    )
'''
)


class TorchTitan(Exporter):
    """``DatasetMixConfig`` over packed children."""

    name = "torchtitan"
    title = "torchtitan"
    target_version = "torchtitan since 19 August 2026 (Grain loader, commit b5bcd76); older ones have no weights"
    unit = "sequences"
    schedule_support = "phases"
    path_template = "data/{language}/*.jsonl"
    notes = (
        "Each language is packed before it is mixed, so weights count rows of the sequence length, that is "
        "tokens; mixed before packing they would count documents. Grain deals rows by arithmetic, not at random, "
        "and truncates weights to whole numbers with the smallest at 100: up to 1 % off. With repeat=True each "
        "language starts over alone when it is exhausted. A stage of a schedule is a run that "
        "loads the last checkpoint without its data loader (exclude_from_loading), because resuming wants an "
        "unchanged configuration; lr_scheduler.total_steps is TRAINING_STEPS, so that the learning rate does not end "
        "with a stage."
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
        constants = weight_constants(self, request)
        return {"mixture.py": python_text(self.title, constants, CODE), **launch_by_stage(request)}

    def simulate(self, request: ExportRequest) -> Simulation:
        return Simulation(
            tuple(
                by_language(
                    request, grain_counts(request.vector(phase), phase.steps * request.batch), request.sequence_length
                )
                for phase in request.phases
            )
        )

    def launches(self, directory: Path) -> list[Launch]:
        return launches_of_module(directory)

    def read(self, directory: Path) -> Schedule:
        return read_weights(directory)


def weight_constants(exporter: Exporter, request: ExportRequest) -> dict[str, Any]:
    """Sources and weights of each stage as the constants of a generated module."""
    stages = [{n: phase.mixture[n] for n in request.languages if phase.mixture[n] > 0} for phase in request.phases]
    return {
        "SEQUENCE_LENGTH": ("training.seq_len", request.sequence_length),
        "GLOBAL_BATCH_SIZE": ("training.global_batch_size", request.batch),
        "SEED": ("Of the data loader; add the number of the stage.", request.seed),
        "SOURCES": ("Language and its data.", exporter.paths(request)),
        "STAGES": ("Weight of each language, stage by stage.", stages),
        **horizon_constants(request, "training.steps of each stage; lr_scheduler.total_steps is TRAINING_STEPS."),
    }


def read_weights(directory: Path) -> Schedule:
    """The schedule in the constants of :func:`weight_constants`."""
    record = Record.of(directory)
    constants = read_constants(directory / "mixture.py")
    ends = constants["LAST_STEPS"]
    mixtures = [record.mixture(weights) for weights in constants["STAGES"]]
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
