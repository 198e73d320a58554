"""Megatron-Bridge: a Python module that fills ``GPTDatasetConfig.blend``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glotmix.exporters.exporter import Exporter, ExportRequest, Record, Simulation, schedule_of
from glotmix.exporters.megatron_lm import simulate_greedy
from glotmix.exporters.phases import STAGE_CODE, launch_by_stage
from glotmix.exporters.quoting import python_text, read_constants
from glotmix.mixture.schedule import Schedule

CODE = (
    STAGE_CODE
    + '''

def dataset(stage=None, split="9999,8,2", **options):
    """The data set configuration of one stage; train it up to train_iters = LAST_STEPS[stage]."""
    from megatron.bridge.training.config import GPTDatasetConfig

    paths, weights = BLENDS[current_stage() if stage is None else stage]
    return GPTDatasetConfig(
        seq_length=SEQUENCE_LENGTH, blend=(list(paths), list(weights)), split=split, random_seed=SEED, **options
    )
'''
)


class MegatronBridge(Exporter):
    """``blend=([paths], [weights])``."""

    name = "megatron_bridge"
    title = "Megatron-Bridge"
    target_version = "Megatron-Bridge of August 2026 (commit 067f987)"
    unit = "sequences"
    schedule_support = "phases"
    path_template = "data/{language}_text_document"
    notes = (
        "Weights count samples of the sequence length and are dealt by Megatron's greatest-deficit rule. The "
        "blend is a tuple of paths and weights; blend_weights, which the NeMo 2 migration guide shows, is no "
        "field of GPTDatasetConfig. There is no option for phases: each stage is a run that loads the checkpoint "
        "of the one before. It goes on in its own blend at the samples consumed so far, so that a language can "
        "skip or see again the part of its data that the other stages' blends would have given it."
    )

    def files(self, request: ExportRequest) -> dict[str, str]:
        return {"mixture.py": python_text(self.title, blend_constants(self, request), CODE), **launch_by_stage(request)}

    def simulate(self, request: ExportRequest) -> Simulation:
        return simulate_greedy(request, from_zero=False)

    def read(self, directory: Path) -> Schedule:
        return read_blends(directory)


def blend_constants(exporter: Exporter, request: ExportRequest) -> dict[str, tuple[str, Any]]:
    """Blends and sizes as the constants of a generated module."""
    paths = exporter.paths(request)
    blends = []
    for phase in request.phases:
        used = [name for name in paths if phase.mixture[name] > 0]
        blends.append(([paths[name] for name in used], [phase.mixture[name] for name in used]))
    return {
        "SEQUENCE_LENGTH": ("Tokens per sample.", request.sequence_length),
        "GLOBAL_BATCH_SIZE": ("Samples per step.", request.batch),
        "SEED": ("Of shuffling.", request.seed),
        "LAST_STEPS": ("Steps done after each stage.", [phase.first_step + phase.steps for phase in request.phases]),
        "BLENDS": ("Prefixes and weights of each stage.", blends),
    }


def read_blends(directory: Path) -> Schedule:
    """The schedule in the constants of :func:`blend_constants`."""
    record = Record.of(directory)
    constants = read_constants(directory / "mixture.py")
    ends = constants["LAST_STEPS"]
    parts = [
        (start, record.mixture({record.language(path): w for path, w in zip(paths, weights, strict=True)}))
        for start, (paths, weights) in zip([0, *ends[:-1]], constants["BLENDS"], strict=True)
    ]
    return schedule_of(parts, ends[-1])
