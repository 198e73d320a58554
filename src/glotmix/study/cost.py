"""What stages cost that several kinds have: processor seconds from a few measured steps and declared rates.

Declared rates are those of ``benchmarks/price.py``, which runs every recipe and keeps what was predicted beside what
was spent. Steps are timed by the process's own clock, so that what else runs on the machine hardly counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from glotmix.corpus.readers.reader import open_reader
from glotmix.errors import BadInput, MissingExtra
from glotmix.proxy.config import ProxyConfig
from glotmix.study import rehearsal
from glotmix.study.config import TrainedBy
from glotmix.study.kind import Stage
from glotmix.tokens.config import TokensConfig

if TYPE_CHECKING:
    from glotmix.proxy.model import Shape
    from glotmix.proxy.pack import Packing

BESIDES = 1.25
"""What training takes over its fastest steps: drawing batches, checkpoints, and company on the same core."""
EVALUATING = 1.0
"""Time of a held-out token over that of a training token: a forward pass alone, but without the kernels."""
READING = 1.3e-6
"""Processor seconds of a byte of text: read, split, tokenised, joined, counted; the tokenizer's training included."""
BYTES_PER_TOKEN = 3.0
"""Of text that is not there yet; about."""
FLOPS_OF_A_STEP = 5e10
"""Work of a step whose speed is measured: about a second of a core."""
LEAST_VOCABULARY, LEAST_CONTEXT = 256, 64
"""Of the part of a large proxy whose speed is measured."""
OPENING = 3.0
"""Processor seconds of the driver before and after everything: imports, tables, the page."""


def reading(training: TrainedBy, base: Path) -> Stage:
    """Reading, splitting and tokenising the corpus."""
    return Stage("reading the corpus", OPENING + READING * sum(corpus_bytes(training, base).values()))


def corpus_bytes(training: TrainedBy, base: Path) -> Mapping[str, int]:
    """Language to bytes that are read; nothing where that cannot be known, or the corpus is not there."""
    languages = [*training.languages, *training.outside]
    try:
        reader = open_reader(training.corpus, languages, base)
        return {language: reader.size(language) or 0 for language in languages}
    except (BadInput, MissingExtra):  # pre-flight says so
        return {}


def held_out_tokens(training: TrainedBy, base: Path) -> float:
    """Held-out tokens that a run's losses are measured on, of all languages and repetitions together, about."""
    sizes, most = corpus_bytes(training, base), training.tokens.held_out_tokens
    share = training.corpus.held_out / BYTES_PER_TOKEN
    once = sum(
        min(most, share * sizes[name]) if sizes.get(name) else most for name in [*training.languages, *training.outside]
    )
    return training.proxy.evaluations * once


def vocabulary(tokens: TokensConfig, base: Path) -> tuple[int, dict[str, str]]:
    """Ids of a study's tokenizer, and a line that says so where they can only be assumed."""
    try:
        return rehearsal.vocabulary(tokens, base), {}
    except BadInput as error:
        return tokens.vocab_size, {"vocabulary": f"{tokens.vocab_size:,} ids assumed: {error}"}


def packing(
    shape: Shape,
    proxy: ProxyConfig,
    runs: int | Sequence[int],
    *,
    device: str,
    stack: int | None,
    processes: int | None,
) -> Packing:
    """How so many runs would be packed here, and their speed, from a few measured steps.

    A whole batch of a large proxy takes a CPU minutes, and its speed is that of a part; stacks add nothing to it. Where
    one sequence takes minutes too, fewer layers of the same width, a smaller vocabulary and a part of the sequence are
    timed, and the speed is reckoned from the FLOPs of a token.
    """
    from glotmix.proxy import flops
    from glotmix.proxy.pack import choose

    timed, of_a_step = shape, proxy.context * proxy.batch * flops.per_token(shape, proxy.context)
    if device == "cpu" and of_a_step > FLOPS_OF_A_STEP:
        timed, context = _part_of(shape, proxy.context)
        batch = max(1, round(FLOPS_OF_A_STEP / (context * flops.per_token(timed, context))))
        stack = stack or 1
    else:
        context, batch = proxy.context, proxy.batch
    measured = proxy.model_copy(update={"context": context, "batch": batch})
    found = choose(timed, measured, runs, device=device, stack=stack, processes=processes)
    factor = flops.per_token(timed, context) / flops.per_token(shape, proxy.context)
    return replace(found, tokens_per_second=factor * found.tokens_per_second)


def _part_of(shape: Shape, context: int) -> tuple[Shape, int]:
    """A shape and a context, at most these, whose sequence takes no more than the work of a step."""
    from glotmix.proxy import flops

    wanted = FLOPS_OF_A_STEP / context
    if flops.per_token(shape, context) <= wanted:
        return shape, context
    output = 3 * flops.forward_per_token(shape, context)["output"]
    block = (flops.per_token(shape, context) - output) / shape.layers
    layers = min(max(1, int(wanted / 2 / block)), shape.layers)
    ids = int((wanted - layers * block) / output * shape.vocab)
    vocab = min(max(LEAST_VOCABULARY, ids), shape.vocab)
    part = replace(shape, layers=layers, vocab=vocab)
    shorter = int(FLOPS_OF_A_STEP / flops.per_token(part, context))
    return part, min(max(LEAST_CONTEXT, shorter), context)


def sweep(name: str, packing: Packing, *, tokens: float, runs: int, evaluated: float, jobs: int | None = None) -> Stage:
    """Training runs in processes side by side.

    Args:
        name: of the stage.
        packing: speed and stack, as measured.
        tokens: training tokens of all runs, in tokens of the proxy whose speed was measured.
        runs: how many.
        evaluated: held-out tokens that each run's losses are measured on, repetitions counted.
        jobs: processes that are started; default as many as the stacks are.
    """
    from glotmix.proxy.pack import STARTING

    started = -(-runs // packing.stack) if jobs is None else jobs
    speed = packing.tokens_per_second / packing.processes
    seconds = (BESIDES * tokens + EVALUATING * evaluated * runs) / speed + STARTING * started
    return Stage(name, seconds, min(packing.processes, max(started, 1)))
