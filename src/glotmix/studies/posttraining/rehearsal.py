"""Stages of a post-training study at their true shapes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from glotmix.footprint import Footprint
from glotmix.posttraining.grid import Cell
from glotmix.posttraining.tasks import find_task
from glotmix.studies.posttraining.config import ChatBaseConfig, PosttrainingConfig
from glotmix.studies.posttraining.price import mean_tokens, read, tokens_per_sample
from glotmix.study import rehearsal
from glotmix.study.rehearsal import Stages

if TYPE_CHECKING:
    from glotmix.proxy.architecture import Architecture


def stages(config: PosttrainingConfig, base: Path) -> Stages:
    """Of every base model: its pretraining where it is a proxy, fine-tunings, answers; and the influence of samples."""
    found: Stages = {name: partial(_of_base, name, given, config, base) for name, given in config.bases.items()}
    return {**found, "influence": partial(_influence, config, base)} if config.influence else found


def _of_base(name: str, given: ChatBaseConfig, config: PosttrainingConfig, base: Path) -> list[Footprint]:
    found = []
    if given.proxy is not None:
        training = config.as_training(given.proxy)
        vocab = rehearsal.vocabulary(config.tokens, base)
        tokens, evaluated = training.proxy.tokens, len(training.languages) * config.tokens.held_out_tokens
        stage = f"pretraining {name}"
        found.append(
            rehearsal.training(stage, training.proxy, training.sweep, vocab, tokens=tokens, evaluated=evaluated)
        )
    cells = [cell for cell in config.cells() if cell.base == name]
    return [*found, *_tuning(name, cells, config, base), *_answers(name, cells, config, base)]


def _tuning(name: str, cells: list[Cell], config: PosttrainingConfig, base: Path) -> list[Footprint]:
    lengths = {task: _tokens(config, task, base) for task in config.tasks}
    tokens = sum(read(cell, config) * mean_tokens(cell, lengths) for cell in cells if cell.tasks)
    settings, stage = config.finetuning, f"fine-tuning {name}"
    given, devices = config.bases[name], config.sweep.devices_per_run
    engine = settings.engine_for(is_proxy=given.is_proxy, devices=devices)
    if engine == "proxy" and given.proxy is not None:
        from glotmix.posttraining.engine import footprint as of_proxy
        from glotmix.proxy.model import Shape

        shape = Shape.of(config.as_training(given.proxy).proxy, rehearsal.vocabulary(config.tokens, base))
        return [of_proxy(stage, shape, settings, tokens=tokens)]
    architecture = _architecture(name, config, base)
    if engine == "sharded":
        from glotmix.posttraining.sharded import footprint as of_parts

        return [of_parts(stage, architecture, settings, devices, tokens=tokens)]
    from glotmix.posttraining.trainer import footprint

    return [footprint(stage, architecture, settings, tokens=tokens)]


def _answers(name: str, cells: list[Cell], config: PosttrainingConfig, base: Path) -> list[Footprint]:
    from glotmix.posttraining.answer import footprint

    model, half = _architecture(name, config, base), config.finetuning.precision == "bfloat16"
    devices = config.sweep.devices_per_run
    engine = config.finetuning.engine_for(is_proxy=config.bases[name].is_proxy, devices=devices)
    devices = devices if engine == "sharded" else 1
    found = []
    for task, how in config.tasks.items():
        asked = sum(not cell.tasks or task in cell.tasks for cell in cells) * how.test_samples * len(config.measured)
        said = how.answer_tokens or find_task(task).answer_tokens
        tokens = _tokens(config, task, base) * (1 + how.shots) + said
        if find_task(task).by_likelihood:
            said = 0
        stage = f"answers of {name}: {task}"
        found.append(footprint(stage, model, questions=asked, tokens=tokens, said=said, half=half, devices=devices))
    return found


def _influence(config: PosttrainingConfig, base: Path) -> list[Footprint]:
    from glotmix.attribution.tracin import footprint

    assert config.influence is not None
    name = next(iter(config.bases))
    how, own = config.influence, config.bases[name].proxy is not None
    return [
        footprint(
            "influence of training samples",
            _architecture(name, config, base),
            length=config.finetuning.context,
            tests=how.test_samples * len(config.measured),
            trained=how.train_samples,
            checkpoints=len(config.tasks) * (how.checkpoints if own else 1),
        )
    ]


def _tokens(config: PosttrainingConfig, task: str, base: Path) -> float:
    """Mean length of a sample; as long as the longest may be where it is not told."""
    return tokens_per_sample(config, task, base) or config.finetuning.context


def _architecture(name: str, config: PosttrainingConfig, base: Path) -> Architecture:
    from glotmix.proxy.architecture import Architecture

    given = config.bases[name]
    if given.proxy is not None:
        return Architecture.of_proxy(config.as_training(given.proxy).proxy, rehearsal.vocabulary(config.tokens, base))
    assert given.model is not None
    return Architecture.of(given.model, given.architecture, base, where=f"bases.{name}")
