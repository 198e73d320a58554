"""OLMo-core: a Python module with one source mixture per stage."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

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

REPETITION_MARGIN = 1.01
"""Room above the planned repetition, since OLMo-core refuses to build a mixture that needs one token more."""

UNLIMITED = 10_000.0
"""Passes that no run reaches."""

CODE = (
    STAGE_CODE
    + '''

def mixture(stage=None, processes=8):
    """The source mixture of one stage; train it from step FIRST_STEPS[stage] on for STEPS[stage] steps."""
    from olmo_core.data.source_mixture import SourceMixtureConfig, SourceMixtureDatasetConfig, SourceMixtureList

    number = current_stage() if stage is None else stage
    return SourceMixtureDatasetConfig(
        source_list=SourceMixtureList([SourceMixtureConfig(**source) for source in STAGES[number]]),
        requested_tokens=STEPS[number] * GLOBAL_BATCH_SIZE,
        global_batch_size=GLOBAL_BATCH_SIZE,
        processes=processes,
        seed=SEED + number,
    )


def dataset(tokenizer, stage=None, **options):
    """The data set configuration of one stage."""
    from olmo_core.data import NumpyFSLDatasetConfig

    return NumpyFSLDatasetConfig.from_src_mix(
        mixture(stage), tokenizer=tokenizer, sequence_length=SEQUENCE_LENGTH, **options
    )


def scheduler(**options):
    """The learning-rate schedule of the whole run, whatever the stage; options as of CosWithWarmup (t_max in steps)."""
    from olmo_core.optim import CosWithWarmup

    return CosWithWarmup(**{"t_max": TRAINING_STEPS, **options})
'''
)


class OlmoCore(Exporter):
    """``SourceMixtureDatasetConfig``."""

    name = "olmo_core"
    title = "OLMo-core"
    target_version = "ai2-olmo-core 2.5 to 3.0"
    unit = "tokens"
    schedule_support = "phases"
    path_template = "data/{language}/*.npy"
    notes = (
        "Ratios are token shares and must sum to one; counts of instances are apportioned by Hamilton's method "
        "over files. A language may be repeated max_repetition_ratio times, set here to what the run needs and a "
        "hundredth more; beyond it OLMo-core stops with OLMoConfigurationError. One mixture per run: a schedule "
        "is one stage per run, each loading the last checkpoint with ignore_fingerprint_mismatch=True and its own "
        "data-loader seed (SEED + stage), because every stage reads its sources from the start. max_duration is the "
        "stage's last step (LAST_STEPS); scheduler() spans the learning rate over the whole run."
    )
    packing = "cut"
    flags = (
        *("--model.d_model={width}", "--model.n_layers={layers}", "--dataset.sequence_length={sequence_length}"),
        *("--data_loader.global_batch_size={batch_tokens}", "--data_loader.seed={seed}", "--init_seed={seed}"),
        *("--train_module.max_sequence_length={sequence_length}", "--train_module.optim.lr={learning_rate}"),
        *("--train_module.optim.weight_decay={weight_decay}", "--train_module.max_grad_norm={clip}"),
        *("--train_module.scheduler.warmup_steps={warmup_steps}", "--trainer.max_duration.value={steps}"),
        *("--trainer.max_duration.unit=steps", "--trainer.load_path={base}?base"),
        *("--trainer.load_trainer_state=false?base", "--trainer.load_optim_state=false?base"),
    )
    from_unique = "the limits on repetition"

    def files(self, request: ExportRequest) -> dict[str, str]:
        paths = self.paths(request)
        stages = [
            [
                {
                    "source_name": name,
                    "target_ratio": phase.mixture[name],
                    "paths": [path],
                    "max_repetition_ratio": _repetition(request, phase, name),
                }
                for name, path in paths.items()
                if phase.mixture[name] > 0
            ]
            for phase in request.phases
        ]
        constants = {
            "SEQUENCE_LENGTH": ("Tokens per instance.", request.sequence_length),
            "GLOBAL_BATCH_SIZE": ("Tokens per step.", request.batch * request.sequence_length),
            "SEED": ("Of the mixture and the data loader; add the number of the stage.", request.seed),
            "FIRST_STEPS": ("Steps done before each stage.", [phase.first_step for phase in request.phases]),
            "STEPS": ("Steps of each stage.", [phase.steps for phase in request.phases]),
            **horizon_constants(request),
            "STAGES": ("Sources of each stage.", stages),
        }
        return {"mixture.py": python_text(self.title, constants, CODE), **launch_by_stage(request)}

    def simulate(self, request: ExportRequest) -> Simulation:
        unique_L = np.array([request.unique[name] for name in request.languages])
        tokens = []
        for phase in request.phases:
            count_L = source_mixture(
                request.vector(phase), unique_L, phase.steps * request.batch, request.sequence_length
            )
            tokens.append(by_language(request, count_L, request.sequence_length))
        return Simulation(tuple(tokens))

    def launches(self, directory: Path) -> list[Launch]:
        return launches_of_module(directory)

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        constants = read_constants(directory / "mixture.py")
        parts = [
            (start, record.mixture({source["source_name"]: source["target_ratio"] for source in sources}))
            for start, sources in zip(constants["FIRST_STEPS"], constants["STAGES"], strict=True)
        ]
        return schedule_of(parts, sum(constants["STEPS"]))


def _repetition(request: ExportRequest, phase: Phase, language: str) -> float:
    """Passes over the language's tokens in this stage, rounded up to hundredths, at least 1.

    Without a limit where nobody told how many tokens there are: OLMo-core stops at one token too many.
    """
    if language in request.guessed:
        return UNLIMITED
    tokens = phase.mixture[language] * phase.steps * request.batch * request.sequence_length
    return max(1.0, math.ceil(100 * REPETITION_MARGIN * tokens / request.unique[language]) / 100)


def source_mixture(p_L: np.ndarray, unique_L: np.ndarray, instances: int, length: int) -> np.ndarray:
    """Instances of each source after ``SourceMixtureDatasetConfig.build``, for one file per source.

    Each pass over a file is an entry of its own, cut down to whole instances; what is missing then goes to entries that
    have room, first evenly, then by largest remainder (ties to the later entry).
    """
    source, tokens, most = [], [], []
    for i in np.flatnonzero(p_L):
        passes = int(instances * length * p_L[i]) / unique_L[i]
        while passes > 0:
            source.append(i)
            tokens.append(math.ceil(unique_L[i] * min(1.0, passes)))
            most.append(int(unique_L[i]) // length)
            passes -= 1.0
    most_E, tokens_E = np.array(most), np.array(tokens)
    count_E = np.minimum(tokens_E // length, most_E)
    open_E = np.flatnonzero(count_E < most_E)
    if len(open_E) and (short := instances - int(count_E.sum())) > 0:
        remainder_E = tokens_E % length / length
        count_E[open_E] = np.minimum(count_E[open_E] + short // len(open_E), most_E[open_E])
        order = sorted((e for e in open_E if count_E[e] < most_E[e]), key=lambda e: (remainder_E[e], e), reverse=True)
        count_E[order[: max(0, instances - int(count_E.sum()))]] += 1
    return np.bincount(source, weights=count_E, minlength=len(p_L)).astype(np.int64)
