"""Levanter: one YAML with step-indexed weights, and a block size that loses no language."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from glotmix.errors import BadInput
from glotmix.exporters.exporter import Exporter, ExportRequest, Launch, Record, Simulation, by_language, schedule_of
from glotmix.exporters.quoting import read_yaml_text, yaml_text
from glotmix.exporters.rules import block_counts, blocks
from glotmix.mixture.schedule import Schedule

LARGEST_BLOCK = 2**16 - 1
"""Levanter packs the place in a block into 16 bits."""
SHORTEST_RUN_IN_BLOCKS = 2
"""A block is at most half of the shortest stage, so that the unfinished last block stays the smaller part."""


class Levanter(Exporter):
    """``train_weights`` and ``mixture_block_size`` of ``LMMixtureDatasetConfig``."""

    name = "levanter"
    title = "Levanter (Marin)"
    target_version = (
        "marin-levanter 0.2 (2026; levanter of 2025 and before calls components `configs`, without `source`)"
    )
    unit = "sequences"
    schedule_support = "native"
    path_template = "data/{language}/*.jsonl.gz"
    notes = (
        "Each block holds int(weight × block) sequences of a language and gives the rest to the largest; a "
        "language under 1/block gets nothing but a warning, and a stage must start at a multiple of the block. "
        "The block size is therefore chosen here: of all sizes below 65,536 that divide every stage start and "
        "give every language a sequence, the one with the least relative error. Sources restart when exhausted; a "
        "source goes on where it stopped when the stage changes. One run, so the learning rate is the run's."
    )
    packing = "cut"
    flags = (
        *("--model.hidden_dim", "{width}", "--model.num_layers", "{layers}", "--model.num_heads", "{heads}"),
        *("--model.num_kv_heads", "{heads}", "--model.intermediate_dim", "{feed_forward}"),
        *("--model.tie_word_embeddings", "{true_if_tied}", "--trainer.num_train_steps", "{steps}"),
        *("--trainer.train_batch_size", "{batch}", "--trainer.seed", "{seed}"),
        *("--optimizer.learning_rate", "{learning_rate}", "--optimizer.min_lr_ratio", "{final_learning_rate}"),
        *("--optimizer.warmup", "{warmup_steps}", "--optimizer.weight_decay", "{weight_decay}"),
        *("--optimizer.max_grad_norm", "{clip}", "--optimizer.lr_schedule", "cosine"),
        *("--initialize_from_hf?base", "{base}?base"),
    )

    def files(self, request: ExportRequest) -> dict[str, str]:
        paths = self.paths(request)
        weights = [
            [phase.first_step, {name: phase.mixture[name] for name in paths if phase.mixture[name] > 0}]
            for phase in request.phases
        ]
        data = {
            "components": {name: {"source": {"type": "url", "train_urls": [path]}} for name, path in paths.items()},
            "train_weights": weights,
            "mixture_block_size": block_size(request, self.name),
            "stop_strategy": "restart",
        }
        trainer = {"num_train_steps": request.steps, "train_batch_size": request.batch, "seed": request.seed}
        comment = (
            "Merge into the training configuration and add data.tokenizer.\n"
            f"Sequences of {request.sequence_length} tokens (model: seq_len)."
        )
        return {"mixture.yaml": yaml_text({"data": data, "trainer": trainer}, comment)}

    def simulate(self, request: ExportRequest) -> Simulation:
        return simulate_blocks(request, self.name)

    def launches(self, directory: Path) -> list[Launch]:
        steps = read_yaml_text(directory / "mixture.yaml")["trainer"]["num_train_steps"]
        return [Launch(steps, steps)]

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        document = read_yaml_text(directory / "mixture.yaml")
        weights = document["data"]["train_weights"]
        parts = [(start, record.mixture(shares)) for start, shares in weights]
        return schedule_of(parts, document["trainer"]["num_train_steps"])


def simulate_blocks(request: ExportRequest, where: str) -> Simulation:
    """Levanter's rule, phase by phase, with the block size of :func:`block_size`."""
    block = block_size(request, where)
    tokens = []
    for phase in request.phases:
        count_L = blocks(request.vector(phase), phase.steps * request.batch, block)
        tokens.append(by_language(request, count_L, request.sequence_length))
    return Simulation(tuple(tokens), (f"mixture_block_size {block}",))


def block_size(request: ExportRequest, where: str = "levanter") -> int:
    """The block size with the least relative error of a language among those that Levanter accepts for the schedule.

    Raises:
        BadInput: no block size gives every language a sequence, or none that does divides the starts of the stages.
    """
    phases = request.phases
    starts = [phase.first_step * request.batch for phase in phases[1:]]
    shortest = min(phase.steps for phase in phases) * request.batch
    largest = min(LARGEST_BLOCK, shortest)
    rarest = min(share for phase in phases for share in request.vector(phase) if share > 0)
    if int(rarest * largest) < 1:
        name = next(n for phase in phases for n in request.languages if phase.mixture[n] == rarest)
        raise BadInput(
            f"{name} has a share of {rarest:.3g}, less than one sequence in Levanter's largest block here ({largest})",
            where=f"export to {where}",
            expected=f"a share of at least {1 / largest:.3g}"
            + (", or a longer stage" if largest < LARGEST_BLOCK else ", or share 0 to leave it out"),
        )
    common = math.gcd(*starts) if starts else 0
    least = math.ceil(1 / rarest)
    size_N = np.array([size for size in range(least, largest + 1) if common % size == 0], dtype=np.int64)
    error_N = (
        np.max([_worst_error(request.vector(phase), size_N) for phase in phases], axis=0) if len(size_N) else size_N
    )
    fits_N = np.isfinite(error_N)
    if not fits_N.any():
        raise BadInput(
            f"stages start at sequences {', '.join(map(str, starts))}, which share no divisor from {least} to "
            f"{largest} that gives every language a sequence; Levanter wants stages to start at multiples of its block",
            where=f"export to {where}",
            expected=_advice(request, least, largest),
        )
    short_N = fits_N & (size_N * SHORTEST_RUN_IN_BLOCKS <= shortest)
    chosen = np.flatnonzero(short_N if short_N.any() else fits_N)
    return int(size_N[chosen[np.argmin(np.round(error_N[chosen], 4))]])


def _advice(request: ExportRequest, least: int, largest: int) -> str:
    """What would help: starts at multiples of the fewest steps that make a block in which no language is lost."""
    vectors = [request.vector(phase) for phase in request.phases]
    every_N = np.arange(math.ceil(least / request.batch), largest // request.batch + 1)
    if len(every_N):
        error_N = np.max([_worst_error(p_L, every_N * request.batch) for p_L in vectors], axis=0)
        fits_N = np.isfinite(error_N)
        if fits_N.any():
            return f"stages that start at multiples of {every_N[np.argmax(fits_N)]} steps"
    return "a greater share for the rarest language of each stage, longer stages, or a smaller batch"


def _worst_error(p_L: np.ndarray, size_N: np.ndarray) -> np.ndarray:
    """Greatest relative error of a language in a block of each size; infinite where one would get nothing. [N]"""
    p_L = p_L[p_L > 0]
    count_NL = block_counts(p_L, size_N)
    error_N = np.abs(count_NL / (p_L * size_N[:, None]) - 1).max(axis=1)
    return np.where((count_NL == 0).any(axis=1), np.inf, error_N)
