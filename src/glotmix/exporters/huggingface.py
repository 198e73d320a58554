"""Hugging Face datasets: a Python module that interleaves the languages, stage after stage in one stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from glotmix.exporters.exporter import Exporter, ExportRequest, Launch, Record, Simulation, by_language, schedule_of
from glotmix.exporters.quoting import python_text, read_constants
from glotmix.exporters.rules import DRAW_REPLAY, random_draws
from glotmix.mixture.schedule import Schedule

DRAWS_AT_ONCE = 1000
"""datasets draws the source of so many rows in one call of its generator."""

CODE = '''
def load(path):
    """One language as a stream; change this to suit your data."""
    from datasets import load_dataset

    return load_dataset(path, split="train", streaming=True)


def endless(name, load):
    """One language, again and again.

    Raises:
        ValueError: it has no rows.
    """
    stream = load(SOURCES[name])
    if next(iter(stream), None) is None:
        raise ValueError(f"{name}: no rows in {SOURCES[name]!r}")
    return stream.repeat(None)


def stage(number=0, state=None, load=load):
    """The endless stream of one stage; ``state`` is the state_dict() of the stage before."""
    from datasets import interleave_datasets

    stream = interleave_datasets(
        [endless(name, load) for name in SOURCES],
        probabilities=[STAGES[number][name] for name in SOURCES],
        seed=SEED,
        stopping_strategy="first_exhausted",  # none ever is: every source repeats
    )
    if state is not None:
        stream.load_state_dict(state)
    return stream


def rows(load=load):
    """All rows of the run: each stage goes on where the one before left every language."""
    import itertools

    state = None
    for number, count in enumerate(ROWS):
        stream = stage(number, state, load)
        yield from itertools.islice(stream, count)
        state = stream.state_dict()
'''


class HuggingFace(Exporter):
    """``interleave_datasets`` with probabilities per row."""

    name = "huggingface"
    title = "Hugging Face datasets (interleave_datasets)"
    target_version = "datasets 3.2 to 5.2"
    unit = "rows"
    schedule_support = "native"
    notes = (
        "Probabilities count rows, so token shares are divided by the measured tokens per document of each "
        "language. Rows are drawn at random by seed: a small language is off by chance in a short run. Every "
        "source repeats, so no stopping strategy cuts the run or wraps the small languages early; the trainer's "
        "max_steps ends it. A stage is the same stream re-created with other probabilities and the state of the "
        "last one. Probability 0 is written only for a language that has a share in another stage. A language without "
        "rows is an error that names it. Packing is your trainer's: choose one that cuts nothing off."
    )
    packing = "yours"
    flags = (
        *("--max_steps", "{steps}", "--per_device_train_batch_size", "{batch}", "--seed", "{seed}"),
        *("--learning_rate", "{learning_rate}", "--lr_scheduler_type", "cosine_with_min_lr"),
        *("--lr_scheduler_kwargs", '{{"min_lr_rate": {final_learning_rate}}}', "--warmup_steps", "{warmup_steps}"),
        *("--weight_decay", "{weight_decay}", "--max_grad_norm", "{clip}", "--block_size", "{sequence_length}"),
        "--config_overrides?random",
        "hidden_size={width},num_hidden_layers={layers},num_attention_heads={heads},"
        "intermediate_size={feed_forward}?random",
        *("--model_name_or_path?base", "{base}?base"),
    )
    from_document_lengths = "the probabilities and numbers of rows"

    def files(self, request: ExportRequest) -> dict[str, str]:
        stages = [by_language(request, request.documents(phase)) for phase in request.phases]
        constants = {
            "SEED": ("Of the draws.", request.seed),
            "SOURCES": ("Language and its data.", self.paths(request)),
            "STAGES": ("Probability of each language per row, stage by stage.", stages),
            "ROWS": ("Rows of each stage, from the measured tokens per row.", rows_per_phase(request)),
            "MAX_STEPS": (f"Steps of {request.batch} × {request.sequence_length} tokens.", request.steps),
        }
        return {"mixture.py": python_text("The mixture for datasets.interleave_datasets.", constants, CODE)}

    def simulate(self, request: ExportRequest) -> Simulation:
        rows = rows_per_phase(request)
        counts = replay_draws([request.documents(phase) for phase in request.phases], rows, request.seed)
        return Simulation(tuple(by_language(request, count_L, request.lengths()) for count_L in counts))

    def launches(self, directory: Path) -> list[Launch]:
        steps = read_constants(directory / "mixture.py")["MAX_STEPS"]
        return [Launch(steps, steps)]

    def read(self, directory: Path) -> Schedule:
        record = Record.of(directory)
        constants = read_constants(directory / "mixture.py")
        mixtures = [record.mixture_of_documents(shares) for shares in constants["STAGES"]]
        tokens = [
            count * sum(share * record.tokens_per_document[name] for name, share in shares.items())
            for count, shares in zip(constants["ROWS"], constants["STAGES"], strict=True)
        ]
        starts = [sum(tokens[:i]) for i in range(len(tokens))]
        return schedule_of(zip(starts, mixtures, strict=True), sum(tokens))


def rows_per_phase(request: ExportRequest) -> list[int]:
    """Rows that hold the tokens of each phase, at least one."""
    return [
        max(
            1,
            round(
                phase.steps * request.batch * request.sequence_length / (request.documents(phase) @ request.lengths())
            ),
        )
        for phase in request.phases
    ]


def replay_draws(q_PL: list[np.ndarray], rows: list[int], seed: int) -> list[np.ndarray]:
    """Counts per phase after the draws of ``datasets``: one generator, ``choice`` in batches of 1000.

    When a stage is re-created from the state of the one before, the generator stands where the last *begun* batch of
    draws began, and the draws already used are skipped; so each stage draws its first batch again from that point.
    Runs of more than ``DRAW_REPLAY`` rows take one multinomial draw instead.
    """
    rng = np.random.default_rng(seed)
    if sum(rows) > DRAW_REPLAY:
        return [random_draws(q_L, count, rng) for q_L, count in zip(q_PL, rows, strict=True)]
    counts, used = [], 0
    for q_L, count in zip(q_PL, rows, strict=True):
        count_L = np.zeros(len(q_L), dtype=np.int64)
        while count > 0:
            before = rng.bit_generator.state
            drawn = rng.choice(len(q_L), size=DRAWS_AT_ONCE, p=q_L)[used:]
            taken = drawn[:count]
            count_L += np.bincount(taken, minlength=len(q_L))
            count -= len(taken)
            used += len(taken)
            if used == DRAWS_AT_ONCE:
                used = 0
            else:
                rng.bit_generator.state = before
        counts.append(count_L)
    return counts
