"""OLMo-core: a Python module with one source mixture per stage."""

from __future__ import annotations

import math
from pathlib import Path

from glotmix.exporters.exporter import Exporter, ExportRequest, Phase, Record, Simulation, by_language, schedule_of
from glotmix.exporters.phases import STAGE_CODE, launch_by_stage
from glotmix.exporters.quoting import python_text, read_constants
from glotmix.exporters.rules import largest_remainder
from glotmix.mixture.schedule import Schedule

REPETITION_MARGIN = 1.01
"""Room above the planned repetition, since OLMo-core refuses to build a mixture that needs one token more."""

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
        "data-loader seed (SEED + stage), because every stage reads its sources from the start."
    )

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
            "STAGES": ("Sources of each stage.", stages),
        }
        return {"mixture.py": python_text(self.title, constants, CODE), **launch_by_stage(request)}

    def simulate(self, request: ExportRequest) -> Simulation:
        parts = [largest_remainder(request.vector(phase), phase.steps * request.batch) for phase in request.phases]
        return Simulation(tuple(by_language(request, count_L, request.sequence_length) for count_L in parts))

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        constants = read_constants(directory / "mixture.py")
        parts = [
            (start, record.mixture({source["source_name"]: source["target_ratio"] for source in sources}))
            for start, sources in zip(constants["FIRST_STEPS"], constants["STAGES"], strict=True)
        ]
        return schedule_of(parts, sum(constants["STEPS"]))


def _repetition(request: ExportRequest, phase: Phase, language: str) -> float:
    """Passes over the language's tokens in this stage, rounded up to hundredths, at least 1."""
    tokens = phase.mixture[language] * phase.steps * request.batch * request.sequence_length
    return max(1.0, math.ceil(100 * REPETITION_MARGIN * tokens / request.unique[language]) / 100)
