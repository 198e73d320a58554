"""TracIn over fine-tuning data: which languages' samples the answers in each language rest on.

The largest cell of every task is trained once more to keep its checkpoints (proxies), or judged by its last weights.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glotmix.artifact import creating, open_artifact, read_json, write_json
from glotmix.posttraining.cell import Base, finetune, training_data, training_samples
from glotmix.posttraining.chat import Encoded, encode, load_chat_tokenizer, padded
from glotmix.posttraining.grid import Cell
from glotmix.posttraining.sample import Sample
from glotmix.report.evidence import Estimate
from glotmix.report.frames.posttraining import InfluenceRow
from glotmix.study.experiments.posttraining_cells import Plan
from glotmix.study.narrator import Narrator

if TYPE_CHECKING:
    from glotmix.study.experiments.posttraining import InfluenceConfig, PosttrainingConfig

KIND = "posttraining influence"


def influences(
    config: PosttrainingConfig, plan: Plan, done: Sequence[Cell], directory: Path, narrator: Narrator
) -> list[InfluenceRow]:
    """One row per task, where the study asks for influence."""
    if config.influence is None:
        return []
    rows, first = [], next(iter(plan.bases))
    for task in config.tasks:
        mine = [cell for cell in done if cell.tasks == (task,) and cell.base == first and cell.seed == 0]
        if not mine:
            continue
        cell, base = max(mine, key=lambda c: c.samples), plan.bases[first]
        folder = directory / "influence" / cell.name
        made_from = plan.setting.made_from(cell, base.identity) | {"influence": config.influence.model_dump()}
        if open_artifact(folder, KIND, made_from) is None:
            narrator.say(f"Influence of the training samples of {cell.name}")
            with creating(folder, KIND, made_from) as part:
                write_json(part / "shares.json", _shares(cell, base, plan, config.influence))
        found = read_json(folder / "shares.json")
        shares = {name: tuple(Estimate(*share) for share in row) for name, row in found["shares"].items()}
        rows.append(InfluenceRow(task, tuple(found["languages"]), shares, tuple(found["chance"]), config.influence.top))
    return rows


@dataclass(frozen=True)
class _Side:
    """Samples of one side, as tokens."""

    samples: Sequence[Sample]
    encoded: Sequence[Encoded]


def _shares(cell: Cell, base: Base, plan: Plan, asked: InfluenceConfig) -> dict[str, Any]:
    """Shares of the training languages among the top samples of each measured language."""
    from glotmix.attribution.influence import InfluenceScores
    from glotmix.attribution.samples import next_token_loss
    from glotmix.attribution.shares import language_shares
    from glotmix.attribution.tracin import Checkpoint, gradient_products
    from glotmix.posttraining.answer import load_model

    setting, tokenizer = plan.setting, load_chat_tokenizer(base.model, base.template)
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
    with tempfile.TemporaryDirectory() as folder:
        last = Path(folder) / "model"
        weights = _trained(base, tokenizer, train, validation, order, plan, last)
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
    base: Base, tokenizer: Any, train: Any, validation: Any, order: Any, plan: Plan, folder: Path
) -> Mapping[int, Mapping[str, Any]]:
    """The model in ``folder``, and the weights that a proxy had on its way, under transformers' names."""
    setting = plan.setting
    if not base.is_proxy or setting.finetuning.method != "full" or setting.finetuning.engine == "trl":
        finetune(base, tokenizer, train, validation, order, setting, folder)
        return {}
    from glotmix.posttraining.engine import finetune_proxy
    from glotmix.proxy.checkpoint import load_checkpoint, to_llama_state_dict

    shape, _ = load_checkpoint(Path(base.model))
    kept: dict[int, Mapping[str, Any]] = {}
    finetune_proxy(
        Path(base.model), train, validation, order, setting.finetuning, folder,
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
