"""What a post-training grid will cost, counted before anything is read or downloaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from glotmix.errors import BadInput, MissingExtra
from glotmix.posttraining.grid import Cell
from glotmix.posttraining.order import steps_of
from glotmix.posttraining.sample import Sample
from glotmix.posttraining.sources import read_source
from glotmix.posttraining.tasks import find_task
from glotmix.proxy.config import ProxyConfig
from glotmix.study import cost
from glotmix.study.kind import Price, Stage

if TYPE_CHECKING:
    from glotmix.studies.posttraining.config import PosttrainingConfig

BYTES_PER_TOKEN = 3.0
"""Of embedded samples whose tokenizer is not there yet; the price is told as "about"."""
SAMPLED = 40
"""Samples of each language that are read for their length."""


def price(config: PosttrainingConfig, base: Path) -> Price:
    """Models, samples, training tokens, compute, and hours of a GPU or of this machine."""
    planned = [cell for cell in config.cells() if cell.tasks]
    lengths = {task: tokens_per_sample(config, task, base) for task in config.tasks}
    samples = sum(read(cell, config) for cell in planned)
    unknown = sorted({task for cell in planned for task in cell.tasks if lengths[task] is None})
    lines = {
        "models": f"{len(planned)} fine-tunings of {', '.join(config.bases)}",
        "training samples": f"{samples:,}, the largest model reads {max(read(c, config) for c in planned):,}",
        "languages": f"{1 + len(config.languages)} trained on, {len(config.outside)} only measured",
        "test questions": f"{questions(config, planned):,}",
    }
    if any(model.proxy is not None for model in config.bases.values()):
        lines |= cost.vocabulary(config.tokens, base)[1]
    amounts: dict[str, float] = {"models": len(planned), "samples": samples}
    if unknown:
        lines["training tokens"] = (
            f"not known: tasks.{unknown[0]}.tokens_per_sample is not told and nothing can be read"
        )
        return Price(lines, amounts)
    tokens = {cell.name: read(cell, config) * mean_tokens(cell, lengths) for cell in planned}
    amounts["tokens"] = sum(tokens.values())
    lines["training tokens"] = f"about {amounts['tokens']:,.0f}"
    sizes = {name: _parameters(config, name, base) for name in config.bases}
    if missing := [name for name, size in sizes.items() if size is None]:
        lines["compute"] = f"not known: bases.{missing[0]}.parameters is not told, nor its architecture"
        return Price(lines, amounts)
    flops = sum(6.0 * (sizes[cell.base] or 0) * tokens[cell.name] for cell in planned)
    pretraining = sum(
        6.0 * (sizes[name] or 0) * base.proxy.tokens for name, base in config.bases.items() if base.proxy is not None
    )
    amounts |= {"flops": flops + pretraining}
    lines["training compute"] = f"about {flops + pretraining:.3g} FLOP (6 N D)"
    if all(model.proxy is not None for model in config.bases.values()):
        return Price.timed(lines, amounts, _stages(config, base, tokens))
    amounts |= {"gpu_hours": (flops + pretraining) / config.gpu_flops / 3600}
    lines["GPU-hours"] = f"about {amounts['gpu_hours']:,.1f} at {config.gpu_flops:.3g} FLOP/s"
    return Price(lines, amounts)


def read(cell: Cell, config: PosttrainingConfig) -> int:
    """Samples that a cell reads, repetitions counted."""
    settings = config.finetuning
    steps = settings.steps or steps_of(cell.samples, settings.batch, settings.epochs)
    return steps * settings.batch


def questions(config: PosttrainingConfig, planned: list[Cell]) -> int:
    """Answers that all models give."""
    return sum(
        config.tasks[task].test_samples * len(config.measured)
        for cell in [*planned, *[c for c in config.cells() if not c.tasks]]
        for task in cell.tasks or config.tasks
    )


def tokens_per_sample(config: PosttrainingConfig, task: str, base: Path) -> float | None:
    """Mean length of a training sample: as told, or of the first ones of every language; None where none can be read,
    and of the hub, of which nothing is fetched.

    Tokens are those of the first base model that lies here, else a third of the bytes.
    """
    own = config.tasks[task]
    if own.tokens_per_sample is not None or own.train.hub:
        return own.tokens_per_sample
    sizes = []
    try:
        length = _length(config, base)
        for language in (config.pivot, *config.languages):
            if own.train.source == "embedded":
                some = find_task(task).embedded(language, "train", SAMPLED, config.seed)
            else:
                some = list(islice(read_source(own.train, task, language, base), SAMPLED))
            sizes += [length(sample) for sample in some]
    except BadInput:  # pre-flight says so
        return None
    return sum(sizes) / len(sizes) if sizes else None


def _length(config: PosttrainingConfig, base: Path) -> Callable[[Sample], float]:
    for given in config.bases.values():
        if given.model is not None and given.tokenizer is None and (base / given.model).is_dir():
            from glotmix.posttraining.chat import encode, load_chat_tokenizer

            template = None if given.chat_template is None else base / given.chat_template
            tokenizer = load_chat_tokenizer(base / given.model, template)
            return lambda sample: float(len(encode(tokenizer, sample)))
    return lambda sample: len(sample.text.encode()) / BYTES_PER_TOKEN + 3


def mean_tokens(cell: Cell, lengths: Mapping[str, float | None]) -> float:
    """Mean length of a sample of a cell's tasks."""
    return sum(lengths[task] or 0.0 for task in cell.tasks) / len(cell.tasks)


def _parameters(config: PosttrainingConfig, name: str, root: Path) -> float | None:
    base = config.bases[name]
    if base.proxy is not None:
        from glotmix.proxy.model import Shape

        return Shape.of(_sized(config, base.proxy), cost.vocabulary(config.tokens, root)[0]).parameters
    if base.parameters is not None:
        return base.parameters
    from glotmix.proxy.architecture import Architecture

    try:
        return Architecture.of(str(base.model), base.architecture, root, where=f"bases.{name}").parameters
    except (BadInput, MissingExtra):
        return None


def _sized(config: PosttrainingConfig, proxy: ProxyConfig) -> ProxyConfig:
    return config.as_training(proxy).proxy


def _stages(config: PosttrainingConfig, base: Path, tokens: dict[str, float]) -> list[Stage]:
    """Time on this machine, from the speed of a few steps of each proxy."""
    from glotmix.proxy.model import Shape
    from glotmix.proxy.pack import STARTING
    from glotmix.study.training import executor_of

    workers = executor_of(config.sweep).workers if config.sweep.executor == "local" else config.sweep.workers or 1
    pretraining = tuning = 0.0
    for name, model in config.bases.items():
        assert model.proxy is not None
        training = config.as_training(model.proxy)
        shape = Shape.of(training.proxy, cost.vocabulary(config.tokens, base)[0])
        speed = cost.packing(shape, training.proxy, 1, device="cpu", stack=1, processes=1).tokens_per_second
        read = cost.held_out_tokens(training, base) * cost.EVALUATING
        pretraining += (cost.BESIDES * training.proxy.tokens + read) / speed + STARTING
        tuning += ANSWERS * sum(count for cell, count in tokens.items() if f"-{name}-" in cell) / speed
    jobs = -(-len(tokens) // config.cells_per_job)
    first = next(iter(config.bases.values())).proxy
    assert first is not None
    return [
        Stage("the base models", cost.reading(config.as_training(first), base).processor_seconds + pretraining),
        Stage("fine-tuning and answers", tuning + STARTING * jobs, min(workers, max(jobs, 1))),
    ]


ANSWERS = 3.0
"""A cell's time over that of as many tokens of pretraining: its steps are padded and go without the kernels, and a
quarter of it is answering. Between two runs of the tiny scale, whose own were 2.6 and 3.4 (docs/scaling.md)."""
