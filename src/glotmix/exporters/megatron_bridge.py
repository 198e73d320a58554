"""Megatron-Bridge: a Python module that fills ``GPTDatasetConfig.blend``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glotmix.exporters.blending import SURPLUS, held_out, simulate_greedy, surplus
from glotmix.exporters.exporter import Exporter, ExportRequest, Launch, Record, Simulation, schedule_of
from glotmix.exporters.phases import STAGE_CODE, horizon_constants, launch_by_stage, launches_of_module
from glotmix.exporters.quoting import python_text, read_constants
from glotmix.mixture.schedule import Schedule

CODE = (
    STAGE_CODE
    + '''

def dataset(stage=None, split=SPLIT, **options):
    """The data set configuration of one stage; train it up to train_iters = LAST_STEPS[stage]."""
    from megatron.bridge.training.config import GPTDatasetConfig

    paths, weights = BLENDS[current_stage() if stage is None else stage]
    settings = {
        "mid_level_dataset_surplus": SURPLUS,
        # finalize() refuses None, which is what these are unless told.
        "reset_position_ids": False,
        "reset_attention_mask": False,
        "eod_mask_loss": False,
    }
    return GPTDatasetConfig(
        seq_length=SEQUENCE_LENGTH, blend=(list(paths), list(weights)), split=split, random_seed=SEED,
        **{**settings, **options},
    )


def scheduler(**options):
    """Learning rate and weight decay of the whole run, whatever the stage; options as of SchedulerConfig."""
    from megatron.bridge.training.config import SchedulerConfig

    if "max_steps" in SchedulerConfig.__dataclass_fields__ and "lr_decay_iters" not in options:
        settings = {"max_steps": TRAINING_STEPS}
    else:
        # A stage is refused whose wd_incr_steps, which follow from train_iters, are not those of the checkpoint.
        settings = {"lr_decay_iters": TRAINING_STEPS, "override_opt_param_scheduler": True}
    return SchedulerConfig(**{**settings, **options})
'''
)
SPLIT = "9999,8,2"
"""What Megatron-Bridge's recipes hold out."""


class MegatronBridge(Exporter):
    """``blend=([paths], [weights])``."""

    name = "megatron_bridge"
    title = "Megatron-Bridge"
    target_version = "Megatron-Bridge of August 2026 (commit 067f987) to 0.6.2"
    unit = "sequences"
    schedule_support = "phases"
    path_template = "data/{language}_text_document"
    notes = (
        "Weights count samples of the sequence length and are dealt by Megatron's greatest-deficit rule. The blend "
        "is a tuple of paths and weights; blend_weights, which the NeMo 2 migration guide shows, is no field of "
        "GPTDatasetConfig. There is no option for phases: each stage is a run that loads the checkpoint of the one "
        "before. It goes on in its own blend at the samples consumed so far, so that a language can skip or see "
        "again the part of its data that the other stages' blends would have given it. scheduler() spans the "
        "learning rate over the whole run, where train_iters alone would end it with each stage, and lets a stage "
        "start from a checkpoint whose train_iters were fewer, which is an error otherwise. dataset() sets the "
        "three flags that finalize() wants told, and holds nothing out where a language has too few documents for it."
    )
    packing = "cut"
    from_unique = "what is held out"
    from_document_lengths = "what is held out"

    def files(self, request: ExportRequest) -> dict[str, str]:
        extra = self._surplus(request)
        constants = blend_constants(self, request) | {
            "SPLIT": ("Parts for training, validation and test.", held_out(request, SPLIT, extra)[0]),
            "SURPLUS": ("Samples built beyond those asked for, as a share.", extra),
        }
        return {"mixture.py": python_text(self.title, constants, CODE), **launch_by_stage(request)}

    def _surplus(self, request: ExportRequest) -> float:
        samples = [(phase.first_step + phase.steps) * request.batch for phase in request.phases]
        return surplus(request, samples) or SURPLUS

    def simulate(self, request: ExportRequest) -> Simulation:
        _, why = held_out(request, SPLIT, self._surplus(request))
        return simulate_greedy(request, from_zero=False, remarks=(why,) if why else ())

    def launches(self, directory: Path) -> list[Launch]:
        return launches_of_module(directory)

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
        **horizon_constants(request),
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
