"""LitData and LitGPT: a Python module that builds a ``CombinedStreamingDataset`` of token blocks."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from glotmix.errors import BadInput
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
from glotmix.exporters.rules import DRAW_REPLAY, random_draws
from glotmix.mixture.schedule import Schedule

CODE = (
    STAGE_CODE
    + '''

def dataset(stage=None, make=None):
    """The combined stream of one stage; ``make(path)`` opens one language."""
    from litdata import CombinedStreamingDataset, StreamingDataset, TokensLoader

    def blocks(path):
        loader = TokensLoader(block_size=BLOCK_SIZE)
        return StreamingDataset(path, item_loader=loader, shuffle=True, drop_last=True, seed=SEED)

    number = current_stage() if stage is None else stage
    weights = STAGES[number]
    return CombinedStreamingDataset(
        datasets=[(make or blocks)(SOURCES[name]) for name in weights],
        weights=tuple(weights.values()),
        seed=SEED + number,
        iterate_over_all=False,
    )
'''
)


class LitData(Exporter):
    """``weights`` with ``iterate_over_all=False``."""

    name = "litdata"
    title = "LitData / LitGPT"
    target_version = "litdata 0.2.71 to 0.2.76"
    unit = "sequences"
    schedule_support = "phases"
    notes = (
        "Weights count blocks of BLOCK_SIZE tokens (one more than the sequence, as LitGPT expects). Sources are "
        "drawn at random by seed. The stream ends with the first exhausted language and starts over with the same "
        "draws and newly shuffled blocks, so a small language is repeated while the large ones are only partly "
        "read in each pass; where that happens it is said in the remarks. Weights with iterate_over_all=True are "
        "an error. Every worker of every rank draws the same languages, so that a small language is off by chance as "
        "in a run that is shorter by their number; the simulation is that of one worker. Of each language a rank reads "
        "whole batches of its own. Resuming replays every draw and wants the same world size, workers and batch. One "
        "run per stage of a schedule, which ends at its own last step while the learning rate spans TRAINING_STEPS."
    )
    packing = "cut"
    flags = (
        *("--train.max_tokens", "{tokens}", "--train.global_batch_size", "{batch}"),
        *("--train.max_seq_length", "{sequence_length}", "--train.lr_warmup_steps", "{warmup_steps}"),
        *("--train.min_lr", "{least_learning_rate}", "--train.max_norm", "{clip}", "--seed", "{seed}"),
        "--optimizer",
        '{{"class_path": "torch.optim.AdamW", "init_args": {{"lr": {learning_rate}, "weight_decay": {weight_decay}}}}}',
        *("--initial_checkpoint_dir?base", "{base}?base"),
    )
    from_unique = "where the stream starts over"

    def files(self, request: ExportRequest) -> dict[str, str]:
        stages = [{n: phase.mixture[n] for n in request.languages if phase.mixture[n] > 0} for phase in request.phases]
        constants = {
            "BLOCK_SIZE": ("Tokens per block: the sequence and the next token.", request.sequence_length + 1),
            "SEED": ("Of shuffling; the draws of a stage have SEED + stage.", request.seed),
            "SOURCES": ("Language and its data.", self.paths(request)),
            "STAGES": ("Weight of each language, stage by stage.", stages),
            **horizon_constants(request, f"Steps of {request.batch} blocks done after each stage."),
        }
        return {"mixture.py": python_text(self.title, constants, CODE), **launch_by_stage(request)}

    def simulate(self, request: ExportRequest) -> Simulation:
        available_L = read_blocks(request)
        tokens, remarks = [], []
        for language, blocks in zip(request.languages, available_L.tolist(), strict=True):
            if blocks < request.batch:
                remarks.append(
                    f"{language} has {blocks:g} blocks: where there are more ranks (times the sequences that each "
                    "takes at once), one of them gets none of it and its stream ends at the first draw"
                )
        for i, phase in enumerate(request.phases):
            count_L, length = self._draw(request, phase, available_L, request.seed + i)
            tokens.append(by_language(request, count_L, request.sequence_length))
            total = phase.steps * request.batch
            if length < total:
                first = request.languages[int(np.argmin(_passes(available_L, request.vector(phase))))]
                remarks.append(
                    f"stage {i}: the stream starts over about {total / length:.3g} times, whenever {first} is exhausted"
                )
        return Simulation(tuple(tokens), tuple(remarks))

    def _draw(self, request: ExportRequest, phase: Phase, available_L: np.ndarray, seed: int) -> tuple[np.ndarray, int]:
        """Counts over a phase, and the blocks after which the stream starts over."""
        p_L, total = request.vector(phase), phase.steps * request.batch
        if total > DRAW_REPLAY:
            length = max(int(_passes(available_L, p_L).min()) // request.batch, 1) * request.batch
            once_L = random_draws(p_L, min(length, total), np.random.default_rng(seed))
            return random_draws(once_L, total, np.random.default_rng(seed)) if length < total else once_L, length
        used = np.flatnonzero(p_L)
        drawn = used[random.Random(seed).choices(range(len(used)), weights=p_L[used].tolist(), k=total)]
        length = total
        for i in used:
            places = np.flatnonzero(drawn == i)
            if len(places) > available_L[i]:
                length = min(length, int(places[int(available_L[i])]))
        if length < total:
            length = max(length // request.batch, 1) * request.batch  # drop_last
        size = len(p_L)
        whole, rest = divmod(total, length)
        count_L = np.bincount(drawn[:length], minlength=size) * whole + np.bincount(drawn[:rest], minlength=size)
        return count_L, length

    def launches(self, directory: Path) -> list[Launch]:
        return launches_of_module(directory)

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        constants = read_constants(directory / "mixture.py")
        ends = constants["LAST_STEPS"]
        mixtures = [record.mixture(weights) for weights in constants["STAGES"]]
        return schedule_of(zip([0, *ends[:-1]], mixtures, strict=True), ends[-1])


def read_blocks(request: ExportRequest) -> np.ndarray:
    """Blocks of each language that are read in a pass, [L].

    Each rank gets whole batches of each language (``drop_last``, which the loader is given and a distributed run turns
    on): at most the run's own batch is lost, as where no gradients are accumulated.

    Raises:
        BadInput: a language has no block.
    """
    blocks_L = np.array([request.unique[name] // (request.sequence_length + 1) for name in request.languages])
    for language, blocks in zip(request.languages, blocks_L, strict=True):
        if blocks < 1:
            raise BadInput(
                f"{language} has {request.unique[language]:g} unique tokens, less than a block, and would end the "
                "stream at its first draw",
                where="export to litdata",
                expected=f"at least {request.sequence_length + 1} tokens",
            )
    return np.where(blocks_L < request.batch, blocks_L, blocks_L // request.batch * request.batch)


def _passes(available_L: np.ndarray, p_L: np.ndarray) -> np.ndarray:
    """Draws after which each language is exhausted, in expectation."""
    return np.asarray(np.divide(available_L, p_L, out=np.full(len(p_L), np.inf), where=p_L > 0))
