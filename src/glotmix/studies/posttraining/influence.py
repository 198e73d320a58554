"""TracIn over fine-tuning data: which languages' samples the answers in each language rest on.

The largest cell of every task is trained once more to keep its checkpoints (proxies), or judged by its last weights.
Every task is a job of its own: ``python -m glotmix.studies.posttraining.influence ORDER.json``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from glotmix.artifact import creating, open_artifact, read_json, write_json
from glotmix.estimate import Estimate
from glotmix.posttraining.cell import Base, Setting, finetune, shared_folder, training_data, training_samples
from glotmix.posttraining.chat import Encoded, encode, load_chat_tokenizer, padded
from glotmix.posttraining.grid import Cell
from glotmix.posttraining.sample import Sample
from glotmix.proxy.parallel import leave
from glotmix.studies.posttraining.cells import Plan, opened, order_of
from glotmix.studies.posttraining.config import SampleInfluenceConfig
from glotmix.studies.posttraining.findings import InfluenceRow
from glotmix.study.narrator import Narrator
from glotmix.sweep.executors.executor import Executor, Job
from glotmix.sweep.order import follow

KIND = "posttraining influence"


def influences(
    asked: SampleInfluenceConfig | None,
    plan: Plan,
    done: Sequence[Cell],
    directory: Path,
    executor: Executor,
    narrator: Narrator,
) -> list[InfluenceRow]:
    """One row per task, where the study asks for influence; a task whose job fails is told and left out."""
    if asked is None:
        return []
    cells = _largest(plan, done)
    jobs = []
    for cell in cells:
        if not _is_done(directory, cell, asked, plan.bases[cell.base], plan.setting):
            order = directory / "jobs" / f"influence-{cell.name}.json"
            told = order_of(plan, plan.bases[cell.base], [cell]) | {"influence": asked.model_dump()}
            write_json(order, told | {"folder": str(_folder(directory).resolve())})
            command = plan.command(__name__, order, plan.bases[cell.base])
            jobs.append(Job(order.stem, command, order.with_suffix(".log")))
    if jobs:
        narrator.say("Influence of the training samples of the largest models")
    for end in executor.run(jobs, lambda: None):
        if end.returncode:
            narrator.say(f"  {end.job.name} failed: {end.reason}")
    rows = []
    for cell in cells:
        if _is_done(directory, cell, asked, plan.bases[cell.base], plan.setting):
            found = read_json(_folder(directory) / cell.name / "shares.json")
            shares = {name: tuple(Estimate(*share) for share in row) for name, row in found["shares"].items()}
            rows.append(
                InfluenceRow(cell.tasks[0], tuple(found["languages"]), shares, tuple(found["chance"]), asked.top)
            )
    return rows


def _largest(plan: Plan, done: Sequence[Cell]) -> list[Cell]:
    """The largest cell of every task that is trained by itself, of the first base and seed."""
    first, largest = next(iter(plan.bases)), {}
    for cell in sorted(done, key=lambda cell: cell.samples):
        if len(cell.tasks) == 1 and cell.base == first and cell.seed == 0:
            largest[cell.tasks[0]] = cell
    return [largest[task] for task in plan.setting.tasks if task in largest]


def _folder(directory: Path) -> Path:
    return directory / "influence"


def _made_from(cell: Cell, asked: SampleInfluenceConfig, base: Base, setting: Setting) -> dict[str, Any]:
    return setting.made_from(cell, base.identity) | {"influence": asked.model_dump()}


def _is_done(directory: Path, cell: Cell, asked: SampleInfluenceConfig, base: Base, setting: Setting) -> bool:
    made_from = _made_from(cell, asked, base, setting)
    return open_artifact(_folder(directory) / cell.name, KIND, made_from) is not None


def main(order_path: Path) -> int:
    """The influence that one order asks for."""
    return follow(order_path, _score)


def _score(order: Mapping[str, Any]) -> None:
    (cell,), base, setting = opened(order)
    asked, folder = SampleInfluenceConfig.model_validate(order["influence"]), Path(order["folder"])
    made_from = _made_from(cell, asked, base, setting)
    folder.mkdir(parents=True, exist_ok=True)
    with creating(folder / cell.name, KIND, made_from) if setting.team.leads else nullcontext(Path()) as part:
        found = _shares(cell, base, setting, asked, folder)
        if setting.team.leads:
            write_json(part / "shares.json", found)
    leave()


@dataclass(frozen=True)
class _Side:
    """Samples of one side, as tokens."""

    samples: Sequence[Sample]
    encoded: Sequence[Encoded]


def _shares(
    cell: Cell, base: Base, setting: Setting, asked: SampleInfluenceConfig, beside: Path
) -> dict[str, Any] | None:
    """Shares of the training languages among the top samples of each measured language; None in a process that only
    helps to train the model, which is scored on one device."""
    from glotmix.attribution.influence import InfluenceScores
    from glotmix.attribution.samples import next_token_loss
    from glotmix.attribution.shares import language_shares
    from glotmix.attribution.tracin import Checkpoint, gradient_products
    from glotmix.posttraining.answer import load_model

    tokenizer = load_chat_tokenizer(base.model, base.template)
    samples = training_samples(cell, setting)
    some = _evenly(samples, asked.train_samples)
    tests = [
        sample
        for language in setting.languages
        for sample in setting.data.samples(cell.tasks[0], "test", language)[: asked.test_samples]
    ]
    train, validation, order = training_data(cell, setting, tokenizer)
    one = _Side(tests, [encode(tokenizer, sample) for sample in tests])
    other = _Side([samples[i] for i in some], [train[i] for i in some])
    test_S, train_S = (_attributed(side, tokenizer.pad_token_id) for side in (one, other))
    with shared_folder(beside, cell.name, setting.team) as folder:
        last = folder / "model"
        weights = _trained(base, tokenizer, train, validation, order, setting, asked, last)
        if not setting.team.leads:
            return None
        points = [Checkpoint(f"step {step}", state) for step, state in weights.items()] or [Checkpoint("last", last)]
        model = load_model(last, setting.device)
        products = gradient_products(model, next_token_loss, points, test_S, train_S)
    scores = InfluenceScores.of(products, test_S, train_S)
    found = language_shares([scores], min(asked.top, len(train_S)), np.random.default_rng(0))
    matrix, sources = found.shares, found.shares.sources
    return {
        "languages": list(sources),
        "shares": {
            target: [[matrix[target, source], *(matrix.interval(target, source) or (None, None))] for source in sources]
            for target in matrix.targets
        },
        "chance": [float(v) for v in found.chance.value_TL[0]],
        "checkpoints": [point.name for point in points],
    }


def _trained(
    base: Base,
    tokenizer: Any,
    train: Sequence[Encoded],
    validation: Sequence[Encoded],
    order: np.ndarray,
    setting: Setting,
    asked: SampleInfluenceConfig,
    folder: Path,
) -> Mapping[int, Mapping[str, Any]]:
    """The model in ``folder``, and the weights that a proxy had on its way, under transformers' names."""
    if setting.finetuning.engine_for(is_proxy=base.is_proxy, devices=setting.team.size) != "proxy":
        finetune(base, tokenizer, train, validation, order, setting, folder)
        return {}
    from glotmix.posttraining.engine import finetune_proxy
    from glotmix.proxy.checkpoint import load_checkpoint, to_llama_state_dict

    shape, _ = load_checkpoint(Path(base.model))
    kept: dict[int, Mapping[str, Any]] = {}
    settings = setting.finetuning.model_copy(update={"save_every": -(-len(order) // asked.checkpoints)})
    finetune_proxy(
        Path(base.model), train, validation, order, settings, folder,
        weights=setting.weights, pad=tokenizer.pad_token_id,
        keep=lambda step, weights: kept.update({step: to_llama_state_dict(weights, shape)}),
    )  # fmt: skip
    return kept


def _evenly(samples: Sequence[Sample], most: int) -> list[int]:
    """Places of at most so many samples, the languages in turn."""
    of: dict[str, list[int]] = {}
    for index, sample in enumerate(samples):
        of.setdefault(sample.language, []).append(index)
    turns = [index for turn in zip_longest(*of.values()) for index in turn if index is not None]
    return sorted(turns[:most])


def _attributed(side: _Side, pad: int) -> Any:
    import torch

    from glotmix.attribution.samples import Samples

    ids_NT, mask_NT = map(torch.from_numpy, padded(side.encoded, pad))
    length_N = torch.tensor([len(sample) for sample in side.encoded])
    inputs = {
        "input_ids": ids_NT,
        "attention_mask": (torch.arange(ids_NT.shape[1])[None] < length_N[:, None]).long(),
        "labels": ids_NT.masked_fill(~mask_NT, -100),
    }
    languages = tuple(sample.language for sample in side.samples)
    return Samples(inputs, languages, tuple(sample.id for sample in side.samples))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
