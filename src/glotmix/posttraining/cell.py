"""Cell: fine-tune one model of the grid, let it answer every test question, and score the answers."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from glotmix.artifact import creating, fingerprint, open_artifact, read_json, write_json
from glotmix.errors import BadInput
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule, Stage
from glotmix.posttraining.answer import answers, load_model
from glotmix.posttraining.chat import Encoded, encode, load_chat_tokenizer
from glotmix.posttraining.data import Data, TaskConfig
from glotmix.posttraining.finetune import Finetuning, History
from glotmix.posttraining.generation import Generator, TransformersGenerator, VllmGenerator
from glotmix.posttraining.grid import Cell, Selection
from glotmix.posttraining.identify import LanguageIdentifier
from glotmix.posttraining.likelihood import bits_per_byte
from glotmix.posttraining.order import natural, reading_order, steps_of
from glotmix.posttraining.sample import Sample, with_shots
from glotmix.posttraining.tasks import find_task
from glotmix.proxy.memory import free
from glotmix.proxy.parallel import ALONE, Team

KIND = "posttraining cell"
SCORES = "scores.parquet"
STATES = "states"
"""Folder beside that of the cells: where fine-tunings over several devices were when they were last validated."""


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
    team: Team = ALONE
    """Processes that train and answer together; every one of them does what is done here."""

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
    team = setting.team
    if team.told(is_done(directory, cell, base, setting)):
        return
    tokenizer = load_chat_tokenizer(base.model, base.template)
    made_from = setting.made_from(cell, base.identity)
    creation = creating(directory / cell.name, KIND, made_from) if team.leads else nullcontext(Path())
    with creation as part:
        with shared_folder(directory, cell.name, team) as scratch:
            record, trained = _trained(cell, base, setting, tokenizer, scratch / "model")
            parts: list[tuple[Place, list[dict[str, Any]]]] = []
            vllm = setting.finetuning.answers == "vllm"
            tasks = list(enumerate(_measured(cell, setting)))
            half = setting.finetuning.precision == "bfloat16"
            if vllm and (generated := [one for one in tasks if not find_task(one[1]).by_likelihood]):
                generator: Generator = VllmGenerator(trained, half=half)
                for number, task in generated:
                    parts += _answered(number, task, generator, tokenizer, setting)
                del generator
                free(setting.device)
            model = load_model(trained, setting.device, half=half)
            record["parameters"] = sum(p.numel() for p in model.parameters())
            record["N"] = record["parameters"] - _embeddings(model)
            for number, task in tasks:
                if find_task(task).by_likelihood:
                    parts += _likelihoods(number, task, model, tokenizer, setting)
                elif not vllm:
                    parts += _answered(number, task, TransformersGenerator(model), tokenizer, setting)
            rows = _gathered(parts, scratch, team)
        if team.leads:
            write_json(part / "cell.json", {"cell": cell.to_json(), **record})
            pl.DataFrame(rows, infer_schema_length=None).write_parquet(part / SCORES)
    team.wait()


@contextmanager
def shared_folder(directory: Path, name: str, team: Team) -> Iterator[Path]:
    """A folder for what a team leaves each other, which goes with it."""
    if team.size == 1:
        folder = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=directory))
    else:
        folder = directory / f".{name}"
        if team.leads:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        team.wait()
    try:
        yield folder
    finally:
        if team.leads:
            shutil.rmtree(folder, ignore_errors=True)


Place = tuple[int, int, int]
"""Number of the task, of the language, and of the question."""


def _gathered(parts: list[tuple[Place, list[dict[str, Any]]]], scratch: Path, team: Team) -> list[dict[str, Any]]:
    """Rows of all processes in the order of the questions, for the process that leads."""
    if team.size > 1:
        (scratch / f"answers-{team.rank}.json").write_text(json.dumps(parts), encoding="utf-8")
        team.wait()
        if not team.leads:
            return []
        every = (read_json(scratch / f"answers-{rank}.json") for rank in range(team.size))
        parts = [(place, rows) for part in every for place, rows in part]
    return [row for _, rows in sorted(parts, key=lambda one: one[0]) for row in rows]


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
    state = directory.parent.parent.with_name(STATES) / cell.name
    history = finetune(
        base, tokenizer, train, validation, order, setting, directory,
        state=state, made_from=setting.made_from(cell, base.identity),
    )  # fmt: skip
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
    *,
    state: Path | None = None,
    made_from: object = None,
) -> History:
    """Fine-tune with the engine that the settings ask for, and leave model and tokenizer in ``directory``.

    ``state`` and ``made_from`` as in :func:`glotmix.posttraining.sharded.finetune_sharded`.
    """
    settings, team = setting.finetuning, setting.team
    directory.parent.mkdir(parents=True, exist_ok=True)
    engine = settings.engine_for(is_proxy=base.is_proxy, devices=team.size)
    if engine == "proxy":
        from glotmix.posttraining.engine import finetune_proxy

        return finetune_proxy(
            Path(base.model), train, validation, order, settings, directory,
            weights=setting.weights, pad=tokenizer.pad_token_id,
        )  # fmt: skip
    if engine == "sharded":
        from glotmix.posttraining.sharded import finetune_sharded

        return finetune_sharded(
            base.model, tokenizer, train, validation, order, settings, directory, team,
            weights=setting.weights, state=state, made_from=made_from,
        )  # fmt: skip
    from glotmix.posttraining.trainer import finetune_with_trl

    return finetune_with_trl(
        base.model, tokenizer, train, validation, order, settings, directory,
        weights=setting.weights, device=setting.device,
    )  # fmt: skip


def _questions(
    number: int, task_name: str, setting: Setting
) -> Iterator[tuple[list[Place], list[Sample], list[Sample]]]:
    """Language by language, the questions of this process: their places, as they are scored, and as they are asked."""
    team = setting.team
    for order, language in enumerate(setting.languages):
        samples = setting.data.samples(task_name, "test", language)[team.rank :: team.size]
        shots = setting.data.samples(task_name, "examples", language)
        places: list[Place] = [(number, order, team.rank + i * team.size) for i in range(len(samples))]
        yield places, samples, [with_shots(sample, shots) for sample in samples]


def _likelihoods(
    number: int, task_name: str, model: Any, tokenizer: Any, setting: Setting
) -> Iterator[tuple[Place, list[dict[str, Any]]]]:
    """Place of every question that this process weighs, with one row per metric."""
    metric = find_task(task_name).metric
    for places, samples, asked in _questions(number, task_name, setting):
        for place, sample, bits in zip(places, samples, bits_per_byte(model, tokenizer, asked), strict=True):
            row = _row(task_name, sample)
            yield place, [{**row, "metric": metric, "value": 2**-bits}, {**row, "metric": "bpb", "value": bits}]


def _answered(
    number: int, task_name: str, generator: Generator, tokenizer: Any, setting: Setting
) -> Iterator[tuple[Place, list[dict[str, Any]]]]:
    """Place of every question that this process answers, with one row per metric."""
    most = setting.tasks[task_name].answer_tokens or find_task(task_name).answer_tokens
    for places, samples, asked in _questions(number, task_name, setting):
        said = answers(generator, tokenizer, asked, most)
        for place, sample, answer in zip(places, samples, said, strict=True):
            yield place, scored(task_name, sample, answer, setting)


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
