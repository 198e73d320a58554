"""Marin: a Python module for an experiment, with weights by step and a block size that loses no language."""

from __future__ import annotations

from pathlib import Path

from glotmix.exporters.exporter import Exporter, ExportRequest, Launch, Record, Simulation, schedule_of
from glotmix.exporters.levanter import block_size, simulate_blocks
from glotmix.exporters.quoting import python_text, read_constants
from glotmix.mixture.schedule import Schedule

CODE = '''
def handles(tokenizer, **options):
    """What tokenises each language, by language; paths are Marin's, below its prefix unless they are absolute."""
    from marin.experiment.data import tokenized

    return {
        name: tokenized(f"glotmix/{name}", tokenizer=tokenizer, paths=[path], **options)
        for name, path in SOURCES.items()
    }


def data(ctx, datasets, **options):
    """The data configuration of the run, for the ``build_config`` of a step that depends on ``datasets``.

    ``datasets`` are those of handles(tokenizer); num_train_steps is NUM_TRAIN_STEPS. Marin's own train_lm takes the
    weights of one mixture and Levanter's usual block, in which a rare language may get no sequence at all.
    """
    from dataclasses import replace

    from marin.experiment.data import mixture

    weights = [(step, {datasets[name].name: share for name, share in shares.items()}) for step, shares in WEIGHTS]
    used = {datasets[name]: share for _, shares in WEIGHTS for name, share in shares.items()}
    return replace(mixture(ctx, used, **options), train_weights=weights, mixture_block_size=MIXTURE_BLOCK_SIZE)
'''


class Marin(Exporter):
    """``tokenized`` and ``mixture`` of ``marin.experiment.data``."""

    name = "marin"
    title = "Marin"
    target_version = (
        "marin-core 0.2.227 (2026; before, data were steps of an executor, and lm_varying_mixture_data_config)"
    )
    unit = "sequences"
    schedule_support = "native"
    packing = "cut"
    path_template = "data/{language}/*.jsonl.gz"
    notes = (
        "The experiment of the exporter levanter in Marin's own words: a handle that tokenises each language, weights "
        "by step (Levanter turns steps into sequences itself), and the block size that loses no language and divides "
        "every start of a stage. Marin's mixture() and train_lm() know one mixture and leave the block at 2,048 "
        "sequences, so data() sets both afterwards. One run, so the learning rate is the run's."
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
