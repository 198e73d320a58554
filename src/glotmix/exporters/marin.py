"""Marin: a Python module for an experiment, with weights by step and a block size that loses no language."""

from __future__ import annotations

from pathlib import Path

from glotmix.exporters.exporter import Exporter, ExportRequest, Launch, Record, Simulation, schedule_of
from glotmix.exporters.levanter import block_size, simulate_blocks
from glotmix.exporters.quoting import python_text, read_constants
from glotmix.mixture.schedule import Schedule

CODE = '''
def components(tokenizer):
    """A tokenising step for each language; change this where you have steps or caches already."""
    from experiments.defaults import default_tokenize

    return {
        name: default_tokenize(name=f"glotmix/{name}", dataset=path, tokenizer=tokenizer)
        for name, path in SOURCES.items()
    }


def data(steps, **options):
    """The data configuration of the run, from components(tokenizer); num_train_steps is NUM_TRAIN_STEPS."""
    from marin.processing.tokenize.data_configs import lm_mixture_data_config, lm_varying_mixture_data_config

    if len(WEIGHTS) == 1:
        return lm_mixture_data_config(steps, dict(WEIGHTS[0][1]), mixture_block_size=MIXTURE_BLOCK_SIZE, **options)
    return lm_varying_mixture_data_config(
        steps, [(step, dict(weights)) for step, weights in WEIGHTS], mixture_block_size=MIXTURE_BLOCK_SIZE, **options
    )
'''


class Marin(Exporter):
    """``lm_mixture_data_config`` and ``lm_varying_mixture_data_config``."""

    name = "marin"
    title = "Marin"
    target_version = "marin of 2026 (marin-levanter 0.2)"
    unit = "sequences"
    schedule_support = "native"
    packing = "cut"
    path_template = "data/{language}/*.jsonl.gz"
    notes = (
        "The experiment of the exporter levanter in Marin's own words: a step that tokenises each language, weights "
        "by step (Levanter turns steps into sequences itself, whatever the docstring of "
        "lm_varying_mixture_data_config says), and the block size that loses no language and divides every start of "
        "a stage. One run, so the learning rate is the run's."
    )

    def files(self, request: ExportRequest) -> dict[str, str]:
        paths = self.paths(request)
        weights = [
            (phase.first_step, {name: phase.mixture[name] for name in paths if phase.mixture[name] > 0})
            for phase in request.phases
        ]
        constants = {
            "SEQUENCE_LENGTH": ("Tokens per sequence.", request.sequence_length),
            "TRAIN_BATCH_SIZE": ("Sequences per step.", request.batch),
            "NUM_TRAIN_STEPS": ("Steps of the run.", request.steps),
            "SEED": ("data_seed of the run.", request.seed),
            "MIXTURE_BLOCK_SIZE": ("Sequences in which the shares hold.", block_size(request, self.name)),
            "SOURCES": ("Language and its data.", paths),
            "WEIGHTS": ("First step of each stage and weight of each language.", weights),
        }
        return {"mixture.py": python_text(self.title, constants, CODE)}

    def simulate(self, request: ExportRequest) -> Simulation:
        return simulate_blocks(request, self.name)

    def launches(self, directory: Path) -> list[Launch]:
        steps = read_constants(directory / "mixture.py")["NUM_TRAIN_STEPS"]
        return [Launch(steps, steps)]

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        constants = read_constants(directory / "mixture.py")
        parts = [(step, record.mixture(weights)) for step, weights in constants["WEIGHTS"]]
        return schedule_of(parts, constants["NUM_TRAIN_STEPS"])
