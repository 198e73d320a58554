"""torchtitan as released (0.3.0): a Python module that interleaves the languages as packed streams."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from glotmix.exporters.exporter import Exporter, ExportRequest, Launch, Simulation, by_language
from glotmix.exporters.phases import STAGE_CODE, launch_by_stage, launches_of_module
from glotmix.exporters.quoting import python_text
from glotmix.exporters.rules import DRAW_REPLAY, random_draws
from glotmix.exporters.torchtitan import read_weights, weight_constants
from glotmix.mixture.schedule import Schedule

CODE = (
    STAGE_CODE
    + '''

def load(path):
    """The rows of one language; change this to suit your data."""
    from datasets import load_dataset

    rows = load_dataset("json", data_files=path, split="train")
    if not len(rows):
        raise ValueError(f"{path}: no rows")
    return rows


def text_of(row):
    """Text of a row."""
    return row["text"]


def dataloader(stage=None, **options):
    """The data loader of one stage, for the trainer's configuration."""
    from torchtitan.hf_datasets import DatasetConfig
    from torchtitan.hf_datasets.text_datasets import DATASETS, HFDataSource, InterleavedHuggingFaceTextDataLoader

    DATASETS["glotmix"] = DatasetConfig(path="", loader=load, sample_processor=text_of)
    number = current_stage() if stage is None else stage
    sources = [
        HFDataSource(dataset="glotmix", dataset_path=SOURCES[name], infinite=True, weight=weight)
        for name, weight in STAGES[number].items()
    ]
    return InterleavedHuggingFaceTextDataLoader.Config(sources=sources, seed=SEED + number, **options)
'''
)


class TorchTitan03(Exporter):
    """``InterleavedHuggingFaceTextDataLoader``."""

    name = "torchtitan_0_3"
    title = "torchtitan 0.3 (released)"
    target_version = "torchtitan 0.3.0; for the Grain loader of the main branch use torchtitan"
    unit = "sequences"
    schedule_support = "phases"
    packing = "cut"
    path_template = "data/{language}/*.jsonl"
    notes = (
        "Each source packs its documents into rows of the sequence length before it is drawn, so weights count "
        "tokens. Rows are drawn at random by seed, and every rank draws the same languages, so that a small language "
        "is off by chance as in a run that is shorter by the number of ranks; the simulation is that of one rank. "
        "Sources are infinite: each starts over alone when it is exhausted. A stage of a schedule is a run that "
        "loads the last checkpoint without its data loader; lr_scheduler.total_steps is TRAINING_STEPS, so that the "
        "learning rate does not end with a stage."
    )

    def files(self, request: ExportRequest) -> dict[str, str]:
        stages = [{name: phase.mixture[name] for name in request.languages} for phase in request.phases]
        constants = weight_constants(self, request, stages, "Weight of each language, stage by stage.")
        return {"mixture.py": python_text(self.title, constants, CODE), **launch_by_stage(request)}

    def simulate(self, request: ExportRequest) -> Simulation:
        tokens = []
        for i, phase in enumerate(request.phases):
            p_L, total = request.vector(phase), phase.steps * request.batch
            used = np.flatnonzero(p_L)
            count_L = np.zeros(len(p_L), dtype=np.int64)
            if total > DRAW_REPLAY:
                count_L = random_draws(p_L, total, np.random.default_rng(request.seed + i))
            else:
                drawn = random.Random(request.seed + i).choices(
                    range(len(used)), weights=(p_L[used] / p_L[used].sum()).tolist(), k=total
                )
                count_L[used] = np.bincount(drawn, minlength=len(used))
            tokens.append(by_language(request, count_L, request.sequence_length))
        return Simulation(tuple(tokens))

    def launches(self, directory: Path) -> list[Launch]:
        return launches_of_module(directory)

    def read(self, directory: Path) -> Schedule:
        return read_weights(directory)
