"""Data: the samples of an experiment on disk, split, checked for leaks, once for all cells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from glotmix.artifact import creating, open_artifact, write_json
from glotmix.config import Section
from glotmix.errors import BadInput
from glotmix.posttraining.grid import Cell, largest, too_few
from glotmix.posttraining.leakage import leaks, refuse_leaks
from glotmix.posttraining.sample import Sample, Split
from glotmix.posttraining.sources import SourceConfig, is_parallel, read_all, share_ids
from glotmix.posttraining.tasks import find_task
from glotmix.posttraining.tasks.task import ordered

KIND = "posttraining data"
SPARE = 2
"""Embedded training samples for each one that a cell may want: so that seeds differ in which they take."""
TEST_SEED, VALIDATION_SEED = -1, -2
"""Seeds of which samples are tested on, and which choose checkpoints: the same for all cells."""


class TaskConfig(Section):
    """One task's data."""

    train: SourceConfig = SourceConfig()
    """Where training samples come from."""
    test: SourceConfig | None = None
    """Where test samples come from. Default: ``test_samples`` of each language out of ``train``, drawn once, which no
    cell is then trained on; of the embedded source, meanings that are held out."""
    test_samples: int = Field(100, ge=1)
    """Most test samples per language."""
    validation_samples: int = Field(20, ge=0)
    """Samples of each trained language that choose the checkpoint."""
    shots: int = Field(0, ge=0)
    """Examples in the language before every test question."""
    examples: SourceConfig | None = None
    """Where they come from; default: validation samples, and of languages that are not trained on, test samples beyond
    ``test_samples``."""
    answer_tokens: int | None = Field(None, ge=1)
    """Tokens after which an answer is cut off; default fits the embedded tasks."""
    tokens_per_sample: float | None = Field(None, gt=0)
    """Mean tokens of a training sample, for --dry-run where the samples are not embedded."""
    leakage: Literal["error", "drop"] = "error"
    """What to do with a test sample that is also trained on: stop, or leave it out of the test and say so."""


@dataclass(frozen=True)
class Data:
    """What is on disk."""

    directory: Path
    """Its artifact."""
    fingerprint: str
    """Changes when any sample does."""
    dropped: Mapping[str, int]
    """Task to test samples that were left out because they are trained on."""

    def samples(self, task: str, split: Split, language: str) -> list[Sample]:
        """Samples of one split; none where the language has no file."""
        path = self.directory / task / f"{split}.{language}.jsonl"
        if not path.is_file():
            return []
        return [Sample.from_json(json.loads(line)) for line in path.read_text(encoding="utf-8").split("\n") if line]


def prepare(
    directory: Path,
    tasks: Mapping[str, TaskConfig],
    planned: Sequence[Cell],
    pivot: str,
    languages: Sequence[str],
    base: Path,
    seed: int = 0,
) -> Data:
    """Read, split and check the samples of every task, or open what was made of the same before.

    Args:
        directory: where they go.
        tasks: name to configuration.
        planned: cells; they tell how many samples of which languages are needed.
        pivot: language in every cell.
        languages: everything that is measured, the pivot among them.
        base: directory that files' relative paths start from.
        seed: of the embedded generators.

    Raises:
        BadInput: too few samples for a cell; ids that are not unique; a test sample inside training.
    """
    made_from: dict[str, Any] = {
        "tasks": {
            name: config.model_dump(mode="json", exclude={"tokens_per_sample"}) for name, config in tasks.items()
        },
        "needed": {
            task: {language: largest(planned, pivot, task, language) for language in languages} for task in tasks
        },
        "pivot": pivot,
        "languages": list(languages),
        "seed": seed,
    }
    found = open_artifact(directory, KIND, made_from)
    if found is None:
        with creating(directory, KIND, made_from) as part:
            dropped = {}
            for name, config in tasks.items():
                splits, dropped[name] = split_task(name, config, planned, pivot, languages, base, seed)
                for (split, language), samples in splits.items():
                    _write(part / name / f"{split}.{language}.jsonl", samples)
            write_json(part / "dropped.json", dropped)
        found = open_artifact(directory, KIND, made_from)
    assert found is not None
    return Data(directory, found.fingerprint, json.loads(found.path("dropped.json").read_text()))


def split_task(
    name: str,
    config: TaskConfig,
    planned: Sequence[Cell],
    pivot: str,
    languages: Sequence[str],
    base: Path,
    seed: int,
) -> tuple[dict[tuple[Split, str], list[Sample]], int]:
    """Samples of a task by split and language, and how many test samples were dropped."""
    needed = {language: largest(planned, pivot, name, language) for language in languages}
    trained = [language for language, count in needed.items() if count]
    if config.train.source == "embedded":
        splits = _embedded(name, config, needed, languages, seed)
    else:
        splits = _read(name, config, trained, languages, base)
    for cell in planned:
        if name in cell.tasks:
            for language, count in cell.counts(pivot).items():
                there = len(splits.get(("train", language), ()))
                if there < count:
                    raise too_few(cell, name, language, count, there)
    train = [sample for (split, _), samples in splits.items() if split != "test" for sample in samples]
    test = [sample for (split, _), samples in splits.items() if split == "test" for sample in samples]
    other = config.test or config.train
    ids = share_ids(config.train, other)
    found = leaks(train, test, parallel=ids and is_parallel(config.train) and is_parallel(other), ids=ids)
    if config.leakage == "error":
        refuse_leaks(found)
        return splits, 0
    gone = {(leak.test.language, leak.test.id) for leak in found}
    for (split, language), samples in splits.items():
        if split == "test":
            splits[split, language] = [sample for sample in samples if (language, sample.id) not in gone]
    return splits, len(gone)


def _embedded(
    name: str, config: TaskConfig, needed: Mapping[str, int], languages: Sequence[str], seed: int
) -> dict[tuple[Split, str], list[Sample]]:
    task = find_task(name)
    splits: dict[tuple[Split, str], list[Sample]] = {}
    for language in languages:
        splits["test", language] = task.embedded(language, "test", config.test_samples, seed)
        if needed[language]:
            splits["train", language] = task.embedded(language, "train", SPARE * needed[language], seed)
        splits["validation", language] = task.embedded(language, "validation", config.validation_samples, seed)
        if config.shots:
            splits["examples", language] = task.embedded(language, "validation", config.shots, seed)
    return splits


def _read(
    name: str, config: TaskConfig, trained: Sequence[str], languages: Sequence[str], base: Path
) -> dict[tuple[Split, str], list[Sample]]:
    """The user's or a published data set: validation is taken out of the training samples, by their ids, and so is the
    test where it has no source of its own. Translations of a test sample are held out with it."""
    own = config.test is None
    read = read_all(config.train, name, tuple(languages) if own else tuple(trained), base)
    tested = read if config.test is None else read_all(config.test, name, tuple(languages), base)
    as_one = own and is_parallel(config.train)
    splits: dict[tuple[Split, str], list[Sample]] = {}
    beyond: dict[str, list[Sample]] = {}
    for language, samples in tested.items():
        mixed = _by_id(samples) if as_one else ordered(samples, TEST_SEED)
        splits["test", language], beyond[language] = mixed[: config.test_samples], mixed[config.test_samples :]
    gone = {(s.id, "" if as_one else s.language) for held in splits.values() for s in held} if own else set()
    for language in trained:
        left = [sample for sample in read[language] if (sample.id, "" if as_one else language) not in gone]
        mixed = ordered(left, VALIDATION_SEED)
        splits["validation", language] = mixed[: config.validation_samples]
        kept = {sample.id for sample in mixed[config.validation_samples :]}
        splits["train", language] = [sample for sample in left if sample.id in kept]
    spare = {language: splits.get(("validation", language)) or beyond[language] for language in tested}
    return splits | (_examples(name, config, spare, base) if config.shots else {})


def _by_id(samples: Sequence[Sample]) -> list[Sample]:
    """An order that is the same in every language."""
    return sorted(samples, key=lambda sample: sha256(f"{TEST_SEED} {sample.id}".encode()).digest())


def _examples(
    name: str, config: TaskConfig, spare: Mapping[str, Sequence[Sample]], base: Path
) -> dict[tuple[Split, str], list[Sample]]:
    """What stands before every test question: samples of a source of its own, else spare ones of the language."""
    if config.examples is not None:
        read = read_all(config.examples, name, tuple(spare), base)
        spare = {language: [replace(s, id=f"examples/{s.id}") for s in samples] for language, samples in read.items()}
    for language, samples in spare.items():
        if len(samples) < config.shots:
            raise BadInput(
                f"{name} has {len(samples)} examples of {language} for {config.shots} shots",
                where=f"tasks.{name}.shots",
                expected="examples: {source, path}, or fewer test_samples",
            )
    return {("examples", language): list(samples[: config.shots]) for language, samples in spare.items()}


def _write(path: Path, samples: Sequence[Sample]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(sample.to_json(), ensure_ascii=False) for sample in samples]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
