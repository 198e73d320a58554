"""NeMo 2: a Python module that fills ``PreTrainingDataModule(paths=...)``."""

from __future__ import annotations

from pathlib import Path

from glotmix.exporters.blending import held_out, refuse_number, refuse_surplus, simulate_greedy
from glotmix.exporters.exporter import Exporter, ExportRequest, Launch, Simulation
from glotmix.exporters.megatron_bridge import blend_constants, read_blends
from glotmix.exporters.phases import STAGE_CODE, launch_by_stage, launches_of_module
from glotmix.exporters.quoting import python_text
from glotmix.mixture.schedule import Schedule

CODE = (
    STAGE_CODE
    + '''

def paths(stage=None):
    """Weights and prefixes of one stage, as strings in turn."""
    prefixes, weights = BLENDS[current_stage() if stage is None else stage]
    return [word for prefix, weight in zip(prefixes, weights) for word in (repr(weight), prefix)]


def data(stage=None, split=SPLIT, **options):
    """The data module of one stage; train it up to max_steps = LAST_STEPS[stage]."""
    from nemo.collections.llm.gpt.data import PreTrainingDataModule

    return PreTrainingDataModule(
        paths=paths(stage), seq_length=SEQUENCE_LENGTH, global_batch_size=GLOBAL_BATCH_SIZE, seed=SEED, split=split,
        **options,
    )


def scheduler(**options):
    """The learning-rate schedule of the whole run, whatever the stage; options as of CosineAnnealingScheduler."""
    from nemo.lightning.pytorch.optim import CosineAnnealingScheduler

    return CosineAnnealingScheduler(**{"max_steps": TRAINING_STEPS, **options})
'''
)
SPLIT = "900,50,50"
"""What NeMo 2 holds out."""


class Nemo2(Exporter):
    """A flat list of weights and prefixes."""

    name = "nemo2"
    title = "NeMo 2"
    target_version = "NeMo 2.4 (commit 8cfedd7)"
    unit = "sequences"
    schedule_support = "phases"
    path_template = "data/{language}_text_document"
    notes = (
        "Weights and prefixes alternate in one list of strings; samples are dealt by Megatron's greatest-deficit "
        "rule. With separate sets the keys are train, validation and test, and validation takes no weights when "
        "limit_val_batches is 1 or less. There are no phases: each stage is a run of its own that loads the last "
        "checkpoint and goes on in its own blend at the samples consumed so far. scheduler() spans the learning rate "
        "over the whole run. Many languages in a short stage are refused, because NeMo 2 cannot be told to build "
        "more samples than it does."
    )
    packing = "cut"
    from_unique = "what is held out"
    from_document_lengths = "what is held out"

    def files(self, request: ExportRequest) -> dict[str, str]:
        samples = [(phase.first_step + phase.steps) * request.batch for phase in request.phases]
        refuse_surplus(request, samples, self.name)
        constants = blend_constants(self, request) | {
            "SPLIT": ("Parts for training, validation and test.", held_out(request, SPLIT)[0]),
        }
        return {"mixture.py": python_text(self.title, constants, CODE), **launch_by_stage(request)}

    def simulate(self, request: ExportRequest) -> Simulation:
        _, why = held_out(request, SPLIT)
        return simulate_greedy(request, from_zero=False, remarks=(why,) if why else ())

    def launches(self, directory: Path) -> list[Launch]:
        return launches_of_module(directory)

    def read(self, directory: Path) -> Schedule:
        return read_blends(directory)

    def check_path(self, language: str, path: str) -> None:
        refuse_number(language, path)
