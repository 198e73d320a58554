"""What can be known to be wrong with a post-training study before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from glotmix.errors import BadInput, MissingExtra
from glotmix.posttraining.data import TaskConfig, split_task
from glotmix.posttraining.finetune import refused
from glotmix.posttraining.grid import largest
from glotmix.posttraining.sample import Sample
from glotmix.posttraining.sources import SourceConfig, read_all
from glotmix.posttraining.tasks import find_task
from glotmix.studies.posttraining.config import PosttrainingConfig
from glotmix.study.training import device_of

SCORED_BY = {"summarisation": ("sacrebleu", "posttrain")}
"""Task to the library that its score needs, and the extra that brings it."""


def problems(config: PosttrainingConfig, base: Path) -> list[BadInput]:
    """Files of every task, split and language that cannot be read, scores that need a judge or a library."""
    found: list[BadInput] = list(_of_training(config))
    for name, task in config.tasks.items():
        tested: list[Sample] = []
        unread = list(_unread(config, name, task, base, tested))
        found += unread
        verified = find_task(name).by_likelihood or all(find_task(name).scores(one, one.answer) for one in tested)
        if config.judge is None and not verified:
            message = f"the answers of {name} can be verified by nothing but a judge"
            expected = "judge: {endpoint, model}, test samples with a check, or the task chat"
            found.append(BadInput(message, where="judge", expected=expected))
        own = task.train.source != "embedded" and not unread
        if own and not any(one is not None and one.hub for one in (task.train, task.test, task.examples)):
            try:  # what can be read may still be too little, or leak
                split_task(name, task, config.cells(), config.pivot, config.measured, base, config.seed)
            except BadInput as error:
                found.append(error)
        library, extra = SCORED_BY.get(name, ("", ""))
        if library and find_spec(library) is None:
            found.append(BadInput(str(MissingExtra(library, extra)), where=f"tasks.{name}"))
    return list({str(one): one for one in found}.values())


def _of_training(config: PosttrainingConfig) -> Iterator[BadInput]:
    """Engines that cannot train a base on the devices of a run, batches that do not part over them, and libraries."""
    settings, devices = config.finetuning, config.sweep.devices_per_run
    for given in config.bases.values():
        try:
            if settings.engine_for(is_proxy=given.is_proxy, devices=devices) == "sharded":
                settings.shared(devices)
        except BadInput as error:
            yield error
    here = config.sweep.executor == "local"  # elsewhere other devices and libraries may be
    if settings.answers == "vllm":
        where = "finetuning.answers = vllm"
        if here and find_spec("vllm") is None:
            yield BadInput(f"{MissingExtra('vllm', 'vllm')}; transformers works everywhere", where=where)
        if devices > 1:
            message = f"vLLM beside a team of {devices} processes, whose settings it would take for its own"
            yield BadInput(message, where=where, expected="transformers, or sweep.devices_per_run: 1")
    eight = {
        "finetuning.moments = 8bit": settings.moments == "8bit",
        "finetuning.method = qlora": settings.method == "qlora",
    }
    for where in (name for name, wanted in eight.items() if wanted):
        if config.sweep.device == "cpu" or (here and device_of(config.sweep) == "cpu"):
            yield refused(where)
        elif here and find_spec("bitsandbytes") is None:
            yield BadInput(str(MissingExtra("bitsandbytes", "bitsandbytes")), where=where)


def _unread(
    config: PosttrainingConfig, name: str, task: TaskConfig, base: Path, tested: list[Sample]
) -> Iterator[BadInput]:
    planned = config.cells()
    own = task.train.source != "embedded" and task.test is None  # then tested on samples of the same source
    trained = [language for language in config.measured if largest(planned, config.pivot, name, language)]
    if own:
        for language in config.measured:
            yield from _read(task.train, name, language, base, tested)
    for source, languages in ((task.train, [] if own else trained), (task.examples, config.measured)):
        if source is not None and not (task.train.source == "embedded" and source is task.train):
            for language in languages:
                yield from _read(source, name, language, base, [])
    if task.test is not None and task.test.source != "embedded":
        for language in config.measured:
            yield from _read(task.test, name, language, base, tested)


def _read(source: SourceConfig, task: str, language: str, base: Path, into: list[Sample]) -> Iterator[BadInput]:
    if source.hub:
        return  # nothing is fetched before the study begins
    try:
        into += read_all(source, task, (language,), base)[language]
    except BadInput as error:
        yield error
