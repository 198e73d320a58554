"""Planted truth for influence across languages: five toy languages whose word vectors agree as much as one wishes.

    python benchmarks/influence_planted.py [--seeds 5]

1,000 training samples, the top 100, as many seeds as asked. Translation and language shares over the alignment of the
languages, with parallel and with other text; removal of the top 100 against 100 random samples of the same label.
The toy is that of tests/attribution/toy.py. Result: benchmarks/results/influence_planted.json, written as it goes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import own_tests  # noqa: F401 - before anything of the tests
import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from glotmix.attribution.influence import InfluenceScores
from glotmix.attribution.removal import removal
from glotmix.attribution.shares import language_shares
from glotmix.attribution.tracin import gradient_products
from glotmix.attribution.translations import translation_shares
from tests.attribution import toy

IDS, TESTS, TOP = 200, 20, 100
TOGETHER = 64
"""Networks that are trained at once."""
RESULT = Path(__file__).parent / "results" / "influence_planted.json"


def scores(data: toy.Toy, seeds: int) -> list[InfluenceScores]:
    found = []
    for seed in range(seeds):
        model, checkpoints = toy.trained(data.train, seed)
        products = gradient_products(model, toy.loss, checkpoints, data.test, data.train, batch=200)
        found.append(InfluenceScores.of(products, data.test, data.train))
    return found


def shares(alignment: float, parallel: bool, seeds: int) -> dict:
    runs = scores(toy.toy(alignment, parallel=parallel, ids=IDS, tests=TESTS), seeds)
    rng = np.random.default_rng(0)
    own, translated = language_shares(runs, TOP, rng), translation_shares(runs, TOP, rng)
    by_seed = [np.mean([f.value for f in translation_shares([r], TOP, rng).overall.values()]) for r in runs]
    half = 2.776 * np.std(by_seed, ddof=1) / np.sqrt(seeds) if seeds == 5 else float("nan")
    return {
        "alignment": alignment,
        "parallel": parallel,
        "own share": float(np.mean([own.shares[t, t] for t in own.shares.targets])),
        "largest distance of any share from 1/5": float(np.abs(own.shares.value_TL - 0.2).max()),
        "translation share": float(np.mean(by_seed)),
        "half-width over seeds": float(half),
        "identities shuffled": float(np.mean([f.value for f in translated.shuffled.values()])),
        "independent": float(np.mean(list(translated.chance.values()))),
    }


def together(data: toy.Toy, kept: list[np.ndarray], seed: int) -> np.ndarray:
    """Confidence in the truth of every test sample after toy.trained on each of the subsets, all at once, [K, Q]."""
    model, K = toy.network(seed), len(kept)
    parameters = {name: p.detach().expand(K, *p.shape).clone().requires_grad_() for name, p in model.named_parameters()}
    mask_KN = torch.zeros(K, len(data.train))
    for k, places in enumerate(kept):
        mask_KN[k, places] = 1 / len(places)

    def losses(p: dict[str, torch.Tensor], inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return cross_entropy(functional_call(model, p, (inputs["x"],)), inputs["y"], reduction="none")

    each = torch.func.vmap(losses, in_dims=(0, None))
    optimizer = torch.optim.Adam(parameters.values(), 0.03)
    for _ in range(60):
        optimizer.zero_grad()
        (each(parameters, data.train.inputs) * mask_KN).sum().backward()
        optimizer.step()
    with torch.no_grad():
        return torch.exp(-each(parameters, data.test.inputs)).numpy()


def removed(alignment: float, seeds: int) -> dict:
    data = toy.toy(alignment, ids=IDS, tests=TESTS)
    like = scores(data, 1)[0]
    asked: dict[int, list[np.ndarray]] = {seed: [] for seed in range(seeds)}

    def ask(kept: np.ndarray, seed: int) -> np.ndarray:
        asked[seed].append(kept)
        return np.zeros(len(data.test))

    # All 100 test samples: a single one's confidence moves by chance far more than the control does on average.
    kinds = ("top", "top_foreign", "random_same_label", "random", "bottom")
    removal(like, ask, TOP, range(seeds), kinds=kinds)  # the same order again below, with the answers
    answers = {
        seed: iter(
            np.concatenate([together(data, sets[i : i + TOGETHER], seed) for i in range(0, len(sets), TOGETHER)])
        )
        for seed, sets in asked.items()
    }
    found = removal(like, lambda kept, seed: next(answers[seed]), TOP, range(seeds), kinds=kinds)
    # Every seed by itself: of a control near zero a ratio of means alone would flatter.
    by_seed = {kind: [round(float(x), 4) for x in found.changes_KRQ.mean(2)[k]] for k, kind in enumerate(kinds)}
    return {
        "alignment": alignment,
        "removed": TOP,
        "tests": len(data.test),
        "seeds": seeds,
        "change": {k: {"value": found.change[k], "low": found.low[k], "high": found.high[k]} for k in kinds},
        "change of each seed": by_seed,
        "ratio": found.ratio,
        "least |top| / |same label| of a seed": min(
            abs(t / c) for t, c in zip(by_seed["top"], by_seed["random_same_label"], strict=True)
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    began = time.process_time()
    result: dict = {"training samples": 5 * IDS, "top": TOP, "seeds": seeds, "shares": [], "removal": []}
    for parallel in (True, False):
        for alignment in (0.0, 0.5, 0.9, 1.0):
            row = shares(alignment, parallel, seeds)
            result["shares"].append(row)
            print({k: round(v, 3) for k, v in row.items()}, flush=True)
    for alignment in (0.0, 0.9):
        row = removed(alignment, seeds)
        result["removal"].append(row)
        change = {k: round(v["value"], 3) for k, v in row["change"].items()}
        print(alignment, change, f"ratio {row['ratio']:.1f}", row["change of each seed"], flush=True)
        result["cpu_seconds"] = round(time.process_time() - began, 1)
        RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
