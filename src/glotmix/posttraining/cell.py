"""Cell: fine-tune one model of the grid, let it answer every test question, and score the answers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from glotmix.artifact import creating, fingerprint, open_artifact, write_json
from glotmix.errors import BadInput
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule, Stage
from glotmix.posttraining.answer import answers, load_model
from glotmix.posttraining.chat import Encoded, encode, load_chat_tokenizer
from glotmix.posttraining.data import Data, TaskConfig
from glotmix.posttraining.finetune import Finetuning, History
from glotmix.posttraining.grid import Cell, Selection
from glotmix.posttraining.identify import LanguageIdentifier
from glotmix.posttraining.likelihood import bits_per_byte
from glotmix.posttraining.order import natural, reading_order, steps_of
from glotmix.posttraining.sample import Sample, with_shots
from glotmix.posttraining.tasks import find_task

KIND = "posttraining cell"
SCORES = "scores.parquet"


@dataclass(frozen=True)
class Setting:
    """Everything that the cells of an experiment have in common."""

    data: Data
    """Samples."""
    tasks: Mapping[str, TaskConfig]
    """Tasks measured, trained on or not."""
    pivot: str
    """Language in every cell."""
    languages: tuple[str, ...]
    """Languages measured."""
    finetuning: Finetuning
    """How models are trained."""
    schedule: Schedule | None
    """Shares of the languages in what is read; None reads every sample equally often."""
    weights: Mapping[str, float] | None
    """Loss weight of each language, or None."""
    device: str
    """Where models live."""

    def made_from(self, cell: Cell, base: str) -> dict[str, Any]:
        """What determines a cell's numbers; ``base`` is a fingerprint or a name with its revision."""
        return {
            "cell": cell.to_json(),
            "base": base,
            "data": self.data.fingerprint,
            "finetuning": self.finetuning.determining(),
            "schedule": None if self.schedule is None else self.schedule.to_json(),
            "weights": None if self.weights is None else dict(self.weights),
            "measured": {"languages": list(self.languages), "tasks": list(self.tasks)},
        }


@dataclass(frozen=True)
class Base:
    """A model that cells start from."""

    name: str
    """What the study calls it."""
    model: str
    """Directory, or name on the hub."""
    template: Path | None
    """File with a chat template, for a model that has none."""
    is_proxy: bool
    """Whether it is a glotmix proxy, which the proxies' own engine can train."""
    identity: str
    """Fingerprint of its weights, or its name on the hub."""


def is_done(directory: Path, cell: Cell, base: Base, setting: Setting) -> bool:
    """Whether a cell is there, complete, and made from the same."""
    return open_artifact(directory / cell.name, KIND, setting.made_from(cell, base.identity)) is not None


def run_cell(cell: Cell, base: Base, setting: Setting, directory: Path) -> None:
    """Train and measure one cell, unless it is there.

    Raises:
        BadInput: too few samples, a model without a chat template, a sample longer than the context.
    """
    if is_done(directory, cell, base, setting):
        return
    tokenizer = load_chat_tokenizer(base.model, base.template)
    with creating(directory / cell.name, KIND, setting.made_from(cell, base.identity)) as part:
        scratch = Path(tempfile.mkdtemp(prefix=f".{cell.name}-", dir=directory))
        try:
            record, trained = _trained(cell, base, setting, tokenizer, scratch / "model")
            model = load_model(trained, setting.device, half=setting.finetuning.precision == "bfloat16")
            record["parameters"] = sum(p.numel() for p in model.parameters())
            record["N"] = record["parameters"] - _embeddings(model)
            rows = [row for task in _measured(cell, setting) for row in _answered(task, model, tokenizer, setting)]
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        write_json(part / "cell.json", {"cell": cell.to_json(), **record})
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(part / SCORES)


def _measured(cell: Cell, setting: Setting) -> list[str]:
    """Tasks that a cell is measured on: those it was trained on; all for the base model as it is."""
    return [task for task in setting.tasks if task in cell.tasks or not cell.tasks]


def _trained(
    cell: Cell, base: Base, setting: Setting, tokenizer: Any, directory: Path
) -> tuple[dict[str, Any], str | Path]:
    """What is remembered of the training, and where the model lies."""
    if not cell.tasks:
        return {"samples": 0, "tokens": 0, "answer_tokens": 0, "steps": 0}, base.model
    train, validation, order = training_data(cell, setting, tokenizer)
    history = finetune(base, tokenizer, train, validation, order, setting, directory)
    read = [train[i] for i in order.ravel()]
    by_language = dict.fromkeys(cell.counts(setting.pivot), 0)
    for sample in read:
        by_language[sample.language] += len(sample)
    record = {
        "samples": len(train),
        "tokens": sum(len(sample) for sample in read),
        "tokens_by_language": by_language,
        "answer_tokens": sum(int(sample.mask.sum()) for sample in read),
        "steps": len(order),
        "chosen": history.chosen,
        "losses": [round(loss, 6) for loss in history.losses],
        "validations": [[step, round(loss, 6)] for step, loss in history.validations],
    }
    return record, directory


def training_samples(cell: Cell, setting: Setting) -> list[Sample]:
    """What a cell is trained on, task by task and language by language."""
    languages = cell.counts(setting.pivot)
    pool = {task: {name: setting.data.samples(task, "train", name) for name in languages} for task in cell.tasks}
    return Selection(pool, setting.pivot)(cell)


def training_data(cell: Cell, setting: Setting, tokenizer: Any) -> tuple[list[Encoded], list[Encoded], Any]:
    """A cell's training and validation samples as tokens, and the order in which they are read, [steps, batch]."""
    settings = setting.finetuning
    train = [encode(tokenizer, sample, settings.context) for sample in training_samples(cell, setting)]
    validation = [
        encode(tokenizer, sample, settings.context)
        for task in cell.tasks
        for name in cell.counts(setting.pivot)
        for sample in setting.data.samples(task, "validation", name)[: setting.tasks[task].validation_samples]
    ]
    steps = settings.steps or steps_of(len(train), settings.batch, settings.epochs)
    seed = int(fingerprint([cell.seed, cell.mix])[:8], 16)  # mixes repeat each other at size 0, with other orders
    names = [sample.language for sample in train]
    order = reading_order(names, _schedule(setting.schedule, names), steps, settings.batch, seed)
    return train, validation, order


def _schedule(schedule: Schedule | None, names: Sequence[str]) -> Schedule | None:
    """The schedule over the languages that a cell has; what others would have had is spread over these."""
    if schedule is None:
        return None
    there = natural(names)
    stages = []
    for stage in schedule.stages:
        shares = {name: stage.mixture.get(name, 0.0) for name in there}
        if sum(shares.values()) <= 0:
            raise BadInput(f"the schedule has none of {', '.join(there)}", where="schedule")
        stages.append(Stage(stage.start, Mixture.normalised(shares)))
    return Schedule(tuple(stages))


def finetune(
    base: Base,
    tokenizer: Any,
    train: Sequence[Encoded],
    validation: Sequence[Encoded],
    order: Any,
    setting: Setting,
    directory: Path,
) -> History:
    """Fine-tune with the engine that the settings ask for, and leave model and tokenizer in ``directory``."""
    settings = setting.finetuning
    directory.parent.mkdir(parents=True, exist_ok=True)
    own = base.is_proxy and settings.method == "full"
    if settings.engine == "proxy" and not own:
        raise BadInput(
            f"engine: proxy with base {base.name} and method {settings.method}",
            where="finetuning.engine",
            expected="a glotmix proxy and method: full, or engine: trl",
        )
    if settings.engine != "trl" and own:
        from glotmix.posttraining.engine import finetune_proxy

        return finetune_proxy(
            Path(base.model), train, validation, order, settings, directory,
            weights=setting.weights, pad=tokenizer.pad_token_id,
        )  # fmt: skip
    from glotmix.posttraining.trainer import finetune_with_trl

    return finetune_with_trl(
        base.model, tokenizer, train, validation, order, settings, directory,
        weights=setting.weights, device=setting.device,
    )  # fmt: skip


def _answered(task_name: str, model: Any, tokenizer: Any, setting: Setting) -> list[dict[str, Any]]:
    """One row per answer and metric."""
    task, config = find_task(task_name), setting.tasks[task_name]
    rows: list[dict[str, Any]] = []
    for language in setting.languages:
        samples = setting.data.samples(task_name, "test", language)
        shots = setting.data.samples(task_name, "examples", language)
        asked = [with_shots(sample, shots) for sample in samples]
        if task.by_likelihood:
            for sample, bits in zip(samples, bits_per_byte(model, tokenizer, asked), strict=True):
                row = _row(task_name, sample)
                rows += [{**row, "metric": task.metric, "value": 2**-bits}, {**row, "metric": "bpb", "value": bits}]
            continue
        said = answers(model, tokenizer, asked, config.answer_tokens or task.answer_tokens)
        for sample, answer in zip(samples, said, strict=True):
            rows += scored(task_name, sample, answer, setting)
    return rows


def _row(task: str, sample: Sample, answer: str = "") -> dict[str, Any]:
    row: dict[str, Any] = {"task": task, "language": sample.language, "id": sample.id, "answer": answer}
    return row | {"answered_in": sample.language, "wrong_language": False}


def scored(task_name: str, sample: Sample, answer: str, setting: Setting) -> list[dict[str, Any]]:
    """Scores of an answer. Where the task minds the language, an answer that surely is in another one scores 0."""
    task = find_task(task_name)
    wrong, found = False, sample.language
    if task.minds_language:
        verdict = _identifier(setting.data, task_name, setting.languages).judge(answer, sample.language)
        wrong, found = verdict.wrong, verdict.language
    row = _row(task_name, sample, answer) | {"answered_in": found, "wrong_language": wrong}
    scores = task.scores(sample, answer)
    if not scores:  # nothing but a judge can tell
        return [{**row, "metric": "judge", "value": 0.0 if wrong else None}]
    return [{**row, "metric": name, "value": 0.0 if wrong else value} for name, value in scores.items()]


@lru_cache(maxsize=8)
def _identifier_of(directory: Path, task: str, languages: tuple[str, ...]) -> LanguageIdentifier:
    data = Data(directory, "", {})
    texts = {name: [sample.text for sample in data.samples(task, "test", name)] for name in languages}
    return LanguageIdentifier(texts)


def _identifier(data: Data, task: str, languages: tuple[str, ...]) -> LanguageIdentifier:
    """What tells the measured languages apart, from the test samples' own texts."""
    return _identifier_of(data.directory, task, languages)


def _embeddings(model: Any) -> int:
    """Parameters of the input and output embedding, shared ones once."""
    matrices = {
        id(m.weight): m.weight.numel() for m in (model.get_input_embeddings(), model.get_output_embeddings()) if m
    }
    return sum(matrices.values())
