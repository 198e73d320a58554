"""LitData and LitGPT: a Python module that builds a ``CombinedStreamingDataset`` of token blocks."""

from __future__ import annotations

import math
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
from glotmix.exporters.phases import HEAD, STAGE_CODE, horizon_constants, launch_by_stage, launches_of_module
from glotmix.exporters.quoting import python_text, read_constants
from glotmix.exporters.rules import DRAW_REPLAY, random_draws
from glotmix.mixture.schedule import Schedule

CODE = (
    STAGE_CODE
    + '''

from litdata import CombinedStreamingDataset, StreamingDataset, TokensLoader


class Drawn(CombinedStreamingDataset):
    """Draws languages anew each time that the stream starts over; litdata's own draws the same ones in every epoch."""

    def set_epoch(self, current_epoch):
        super().set_epoch(current_epoch)
        self.first_seed = getattr(self, "first_seed", self._seed)
        self._seed = self.first_seed + SEEDS_APART * max(current_epoch - 1, 0)  # StreamingDataLoader counts from 1


def dataset(stage=None, make=None):
    """The combined stream of one stage; ``make(path)`` opens one language."""

    def blocks(path):
        # No drop_last, which would leave out languages of less than a batch; among several processes litdata sets it.
        return StreamingDataset(path, item_loader=TokensLoader(block_size=BLOCK_SIZE), shuffle=True, seed=SEED)

    number = current_stage() if stage is None else stage
    weights = STAGES[number]
    return Drawn(
        datasets=[(make or blocks)(SOURCES[name]) for name in weights],
        weights=tuple(weights.values()),
        seed=SEED + number,
        iterate_over_all=False,
    )
'''
)
SEEDS_APART = 1000
"""Between the seeds of the draws of one pass and those of the next; those of stages are one apart."""

FOR_LITGPT = '''\
"""The mixture as a data module of LitGPT; litgpt.sh tells litgpt pretrain of it.

LitGPT ends where its learning rate does, at train.max_tokens, which is therefore the whole run's: a stage ends because
its batches do. A checkpoint within a stage is gone on from at its place; after another stage's the data begin anew.
"""

from dataclasses import dataclass, field
from itertools import islice

import torch
from litdata import StreamingDataLoader, StreamingDataset, TokensLoader
from litgpt.data import DataModule

import mixture

STEPS = [last - first for first, last in zip([0, *mixture.LAST_STEPS], mixture.LAST_STEPS)]


class StageLoader(StreamingDataLoader):
    """Batches of one stage: begun anew where a language is exhausted, and none after the stage's last step.

    Raises:
        ValueError: there are none before it, where LitGPT would end without a word.
    """

    def __init__(self, *args, stage, ranks, **kwargs):
        super().__init__(*args, **kwargs)
        self.stage, self.ranks, self.done, self.restored = stage, ranks, 0, False

    def batches(self, steps):
        return steps * mixture.BATCH // (self.batch_size * self.ranks)

    def __iter__(self):
        restored, self.restored = self.restored, False  # a checkpoint may be at the end of a pass
        before, last = self.done, self.batches(STEPS[self.stage])
        for batch in islice(super().__iter__(), last - before):
            self.done += 1
            yield batch
        if self.done == before < last and not restored:
            raise ValueError("a language has no block for this process: fewer processes, or fewer sequences at once")

    def __len__(self):
        return self.batches(mixture.TRAINING_STEPS)  # what a warm-up of so large a part is measured by

    def state_dict(self):
        return {"stage": self.stage, "done": self.done, "loader": super().state_dict()}

    def load_state_dict(self, state):
        if state["stage"] == self.stage:
            self.done, self.restored = state["done"], True
            super().load_state_dict(state["loader"])


@dataclass
class Mixture(DataModule):
    """The stage that MIXTURE_STAGE tells.

    Args:
        num_workers: processes that load, each of which draws the same languages.
        val_path: optimised data to validate on; without them, what is trained on, as in LitGPT's own data modules.
    """

    num_workers: int = 1
    val_path: str | None = None
    batch_size: int = field(init=False, repr=False, default=1)

    def __post_init__(self):
        super().__init__()

    def connect(self, tokenizer=None, batch_size=1, max_seq_length=None):
        if max_seq_length != mixture.BLOCK_SIZE - 1:
            raise ValueError(f"train.max_seq_length is {max_seq_length}; exported for {mixture.BLOCK_SIZE - 1}")
        self.batch_size = batch_size

    def train_dataloader(self):
        stage, group = mixture.current_stage(), torch.distributed
        data, ranks = mixture.dataset(stage), group.get_world_size() if group.is_initialized() else 1
        return StageLoader(data, batch_size=self.batch_size, num_workers=self.num_workers, stage=stage, ranks=ranks)

    def val_dataloader(self):
        if self.val_path is None:
            data = mixture.dataset(mixture.current_stage())
        else:
            data = StreamingDataset(self.val_path, item_loader=TokensLoader(block_size=mixture.BLOCK_SIZE))
        return StreamingDataLoader(data, batch_size=self.batch_size, num_workers=self.num_workers)
'''
"""What LitGPT calls its data module. The whole run's tokens span its learning rate, and nothing else ends its loop but
the end of the data, twice in a row."""

LITGPT_SH = """\
export PYTHONPATH="$HERE${PYTHONPATH:+:$PYTHONPATH}"
for ((i = ${FIRST:-0}; i < STAGES; i++)); do
  out=${OUT:-out/pretrain}/stage-$i start=(--resume auto)
  if ! compgen -G "$out/step-*/lit_model.pth" > /dev/null; then
    if [ "$i" -gt 0 ]; then start=(--resume "${out%-*}-$((i - 1))/final/lit_model.pth")
    elif [ -n "${INITIAL:-}" ]; then start=(--initial_checkpoint_dir "$INITIAL"); fi
  fi
  echo "stage $i: $out"
  MIXTURE_STAGE=$i ${LITGPT:-litgpt} pretrain "$@" --data for_litgpt.Mixture --train.max_tokens "$TOKENS" \\
    --train.global_batch_size "$BATCH" --train.max_seq_length "$LENGTH" --out_dir "$out" "${start[@]}"
done
"""


class LitData(Exporter):
    """``weights`` with ``iterate_over_all=False``."""

    name = "litdata"
    title = "LitData / LitGPT"
    target_version = "litdata 0.2.71 to 0.2.76"
    unit = "sequences"
    schedule_support = "phases"
    notes = (
        "Weights count blocks of BLOCK_SIZE tokens (one more than the sequence, as LitGPT expects). Sources are "
        "drawn at random by seed. The stream ends with the first exhausted language and starts over with other "
        "draws (StreamingDataLoader tells the epoch; litdata's own data set draws the same ones again, and may so "
        "leave languages out) and newly shuffled blocks, so a small language is repeated while the large ones are only "
        "partly read in each pass; where that happens it is said in the remarks. Weights with iterate_over_all=True "
        "are an error. Every worker of every rank draws the same languages, so that a small language is off by chance "
        "as in a run that is shorter by their number; the simulation is that of one worker. Of several ranks each "
        "reads whole batches of its own of each language, and stops with an error where there is none. Resuming "
        "replays every draw and wants the same world size, workers and batch. "
        "One run per stage of a schedule, which ends at its own last step; the learning rate spans TRAINING_STEPS. "
        "for_litgpt.py is the data module with which litgpt.sh runs LitGPT's own training, which ends where its "
        "learning rate does: there a stage ends because its batches do."
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
            "BATCH": ("Blocks per step, over all ranks.", request.batch),
            "SEED": ("Of shuffling; the draws of a stage have SEED + stage.", request.seed),
            "SEEDS_APART": ("Between the draws of a pass and of the next.", SEEDS_APART),
            "SOURCES": ("Language and its data.", self.paths(request)),
            "STAGES": ("Weight of each language, stage by stage.", stages),
            **horizon_constants(request, f"Steps of {request.batch} blocks done after each stage."),
        }
        return {
            "mixture.py": python_text(self.title, constants, CODE),
            "for_litgpt.py": FOR_LITGPT,
            "litgpt.sh": litgpt_script(request),
            **launch_by_stage(request),
        }

    def simulate(self, request: ExportRequest) -> Simulation:
        available_L = read_blocks(request)
        tokens, remarks = [], []
        for language, blocks in zip(request.languages, available_L.tolist(), strict=True):
            if blocks < request.batch:
                remarks.append(
                    f"{language} has {blocks:g} blocks: of several ranks each reads whole batches of its own, and "
                    "one that gets none of it stops with an error"
                )
        for i, phase in enumerate(request.phases):
            count_L, passes = draw(request, phase, available_L, request.seed + i)
            tokens.append(by_language(request, count_L, request.sequence_length))
            if passes > 1:
                first = request.languages[int(np.argmin(_passes(available_L, request.vector(phase))))]
                remarks.append(f"stage {i}: the stream is read about {passes:.3g} times: it ends whenever {first} does")
        return Simulation(tuple(tokens), tuple(remarks))

    def launches(self, directory: Path) -> list[Launch]:
        return launches_of_module(directory)

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        constants = read_constants(directory / "mixture.py")
        ends = constants["LAST_STEPS"]
        mixtures = [record.mixture(weights) for weights in constants["STAGES"]]
        return schedule_of(zip([0, *ends[:-1]], mixtures, strict=True), ends[-1])


def draw(request: ExportRequest, phase: Phase, available_L: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """Blocks of each language in a phase, [L], and the passes through the stream, the last of them a part of one.

    A pass ends at the draw that finds no block left, and its last batch is smaller. Replayed up to ``DRAW_REPLAY``
    draws; longer runs take one multinomial draw.
    """
    p_L, total = request.vector(phase), phase.steps * request.batch
    expected = float(_passes(available_L, p_L).min())
    if total > DRAW_REPLAY:
        return random_draws(p_L, total, np.random.default_rng(seed)), max(1.0, total / expected)
    count_L, left, passes = np.zeros(len(p_L), dtype=np.int64), phase.steps, 0.0
    while left:
        drawn, whole = _pass(p_L, available_L, left * request.batch, expected, seed + SEEDS_APART * int(passes))
        count_L += np.bincount(drawn, minlength=len(p_L))
        left -= math.ceil(len(drawn) / request.batch)
        passes += 1 if whole else len(drawn) / expected
    return count_L, passes


def _pass(p_L: np.ndarray, available_L: np.ndarray, most: int, expected: float, seed: int) -> tuple[np.ndarray, bool]:
    """Languages drawn until one has no block left or ``most`` are drawn, and whether none was left."""
    used, rng = np.flatnonzero(p_L), random.Random(seed)
    drawn, weights = np.empty(0, dtype=np.int64), p_L[used].tolist()
    while len(drawn) < most:
        count = min(int(1.2 * expected) + 64, most - len(drawn))
        drawn = np.concatenate([drawn, used[rng.choices(range(len(used)), weights=weights, k=count)]])
        order = np.argsort(drawn, kind="stable")
        ordered = drawn[order]
        rank = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
        if (beyond := order[rank >= available_L[ordered]]).size:
            return drawn[: beyond.min()], True
    return drawn, False


def litgpt_script(request: ExportRequest) -> str:
    """``litgpt.sh``: LitGPT's own training with the data module, stage after stage."""
    usage = (
        "OUT=out/pretrain INITIAL=checkpoints/NAME bash litgpt.sh NAME [ARGUMENTS OF litgpt pretrain...]\n"
        "# Each stage has a folder in OUT and goes on from its last checkpoint; without INITIAL, NAME is begun anew."
    )
    numbers = {
        "STAGES": len(request.phases),
        "TOKENS": request.sequences * request.sequence_length,
        "BATCH": request.batch,
        "LENGTH": request.sequence_length,
    }
    return HEAD.format(usage=usage) + "".join(f"{name}={value}\n" for name, value in numbers.items()) + LITGPT_SH


def read_blocks(request: ExportRequest) -> np.ndarray:
    """Blocks of each language that one process reads in a pass, [L]: all of them.

    Several ranks get whole batches of each language (``drop_last``, which litdata turns on for them), and so lose less
    than the run's own batch of it where no gradients are accumulated.

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
    return blocks_L


def _passes(available_L: np.ndarray, p_L: np.ndarray) -> np.ndarray:
    """Draws after which each language is exhausted, in expectation."""
    return np.asarray(np.divide(available_L, p_L, out=np.full(len(p_L), np.inf), where=p_L > 0))
