"""Variance of the stochastic gradient under sampling and under weighting, measured against the general formula.

    python benchmarks/gradient_variance.py STORE CHECKPOINT     # writes benchmarks/results/gradient_variance.json

STORE is a token store and CHECKPOINT the weights of a proxy trained on it, such as ``out/upsample-or-upweight/tokens``
and ``out/upsample-or-upweight/runs/proportional-s0/checkpoints/step-500``. The sequences of every language are cut in
two halves. From one, the moments of single-sequence gradients give what the formula predicts
(:mod:`glotmix.probe.gradient_variance`, square norms by factors through transformers). From the other, batches are
drawn as SGD draws them and differentiated by the proxy trainer's own backward pass, once sampled at the temperature and
once sampled in proportion with loss weights; the ratio of the two variances is what is measured.

Skews are made: the same languages with sizes that fall geometrically from the first to the last. The last part makes a
corpus on which the sign turns: much real text, and a language of one sentence, which the model knows by heart.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from glotmix.attribution.samples import next_token_loss
from glotmix.mixture.balancing import proportional, temperature
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.mixture.weighting import Weighting, variance_factor
from glotmix.probe.gradient_variance import BLOCKS, Moments, Sums, drawn_ratio, of_model
from glotmix.proxy.checkpoint import load_checkpoint
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.loader import MixtureBatches
from glotmix.proxy.model import Shape
from glotmix.proxy.run import StackRun, steps_of
from glotmix.proxy.stack import Stack
from glotmix.proxy.train import train_stack
from glotmix.tokens.opening import open_store

SKEWS = (5.0, 20.0, 60.0)
"""Size of the first language over that of the last."""
TEMPERATURES = (2.0, 5.0, 100.0)
HALF = 192
"""Sequences of each language in a half."""
LOOK = 4
"""Sequences differentiated together."""
SENTENCE = 32
"""Tokens of the sentence that is all of the made language."""


def halves(tokens: np.ndarray, T: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two halves of different sequences, [HALF, T + 1] each; fewer where there are not so many."""
    there = (len(tokens) - 1) // T
    chosen = rng.permutation(there)[: 2 * min(HALF, there // 2)]
    found = np.stack([tokens[s * T : s * T + T + 1] for s in chosen]).astype(np.int64)
    return found[: len(found) // 2], found[len(found) // 2 :]


def moments_of(checkpoint: Path, sequences: Mapping[str, np.ndarray]) -> Moments:
    """Moments by the factors of transformers' own model of the checkpoint."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32, attn_implementation="eager").eval()
    gradients = of_model(model, next_token_loss)
    batches = {
        name: [{"input_ids": torch.from_numpy(part)} for part in np.array_split(rows, max(BLOCKS, len(rows) // LOOK))]
        for name, rows in sequences.items()
    }
    return Moments.measure(gradients, batches)


def drawn(
    stack: Stack,
    sequences: Mapping[str, np.ndarray],
    sampled: Mixture,
    weights: Mapping[str, float] | None,
    batches: int,
    size: int,
    rng: np.random.Generator,
) -> Sums:
    """Gradients of batches drawn from a mixture, by the trainer's backward pass."""
    sums, names = Sums(), list(sampled)
    for place in range(batches):
        languages = rng.choice(len(names), size=size, p=list(sampled.values()))
        rows = [sequences[names[i]][rng.integers(len(sequences[names[i]]))] for i in languages]
        tokens_KBS = torch.from_numpy(np.stack(rows)).unsqueeze(0)
        stack.gradient_KP.zero_()
        if weights is None:
            stack.backward(tokens_KBS)
        else:
            weight_KB = torch.tensor([[weights[names[i]] for i in languages]], dtype=torch.float32)
            stack.backward_weighted(tokens_KBS, weight_KB)
        gradient_P = stack.gradient_KP[0]
        sums.add(place % BLOCKS, gradient_P, gradient_P.double().square().sum().reshape(1))
    return sums


def compared(
    stack: Stack,
    moments: Moments,
    sequences: Mapping[str, np.ndarray],
    sizes: Mapping[str, float],
    tau: float,
    arguments: argparse.Namespace,
    seed: int,
) -> dict[str, Any]:
    """One corpus at one temperature: formula, measurement, and the published factor."""
    began, rng = time.process_time(), np.random.default_rng(seed)
    natural, target = proportional(sizes), temperature(sizes, tau)
    weights = Weighting.between(natural, target)
    sampling = drawn(stack, sequences, target, None, arguments.batches, arguments.size, rng)
    weighting = drawn(stack, sequences, natural, weights, arguments.batches, arguments.size, rng)
    measured, formula = drawn_ratio(weighting, sampling), moments.variance_ratio(natural, target)
    return {
        "sizes": dict(sizes),
        "tau": tau,
        "weights": weights.to_json(),
        "measured": asdict(measured),
        "formula": asdict(formula),
        "second_moments": asdict(moments.second_moment_ratio(natural, target)),
        "excess": asdict(moments.excess(natural, target)),
        "published_factor": variance_factor(natural, target),
        "formula_in_measured_interval": measured.holds(formula.value),
        "intervals_meet": measured.low <= formula.high and formula.low <= measured.high,
        "draws": arguments.batches * arguments.size,
        "seconds": time.process_time() - began,
    }


def stack_of(checkpoint: Path) -> Stack:
    shape, parameters = load_checkpoint(checkpoint)
    stack = Stack(shape, [0])
    stack.set(parameters)
    return stack


class Made:
    """Real text of one language, and a language that says one sentence for ever."""

    def __init__(self, text: np.ndarray, sentence: np.ndarray, sequences: int, T: int):
        self._train = {"text": np.asarray(text), "sentence": np.resize(sentence, sequences * T + 1)}

    def train(self, language: str) -> np.ndarray:
        return self._train[language]


def turned(text: np.ndarray, shape: Shape, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """A made corpus of 90 % text and 10 % of one sentence, trained on as it is and probed at 70 / 30."""
    T = shape.context
    store = Made(text, text[:SENTENCE], 4 * HALF, T)
    training = ProxyConfig(
        width=shape.width, layers=shape.layers, heads=shape.heads, context=T, batch=4, learning_rate=6e-3
    )
    natural = Mixture({"text": 0.9, "sentence": 0.1})
    run = StackRun("made", Schedule.constant(natural), arguments.made_steps * 4 * T, 0)
    kept = folder / "made"
    train_stack([run], MixtureBatches(store, [run], training), shape, training, checkpoint=lambda *_: kept)
    assert steps_of(run.tokens, training) == arguments.made_steps
    rng = np.random.default_rng(7)
    parts = {name: halves(store.train(name), T, rng) for name in natural}
    moments = moments_of(kept, {name: part[0] for name, part in parts.items()})
    tau = float(np.log(9) / np.log(7 / 3))  # (9:1) to the 1/τ is 7:3
    found = compared(stack_of(kept), moments, {n: p[1] for n, p in parts.items()}, natural, tau, arguments, 99)
    G = {name: asdict(moments.G(name)) for name in natural}
    return found | {"G": G, "G_ratio": G["text"]["value"] / G["sentence"]["value"], "G_ratio_that_turns": 27 / 7}


def show(found: Mapping[str, Any], label: str) -> None:
    def text(value: Mapping[str, float]) -> str:
        return f"{value['value']:7.3f} [{value['low']:7.3f}, {value['high']:7.3f}]"

    print(
        f"{label:<22} τ {found['tau']:6.2f}  measured {text(found['measured'])}  formula {text(found['formula'])}  "
        f"F {found['published_factor']:7.3f}  {'inside' if found['formula_in_measured_interval'] else 'OUTSIDE'}"
    )


def markdown(result: Mapping[str, Any]) -> list[str]:
    """The table of docs/methods/upsample-or-upweight.md."""

    def text(value: Mapping[str, float]) -> str:
        return f"{value['value']:.2f} ({value['low']:.2f} to {value['high']:.2f})"

    lines = ["| tail | τ | measured | general formula | F(τ) |", "|---|---|---|---|---|"]
    cells = [(key.partition(" ")[0], cell) for key, cell in result["cells"].items()]
    for tail, cell in [*cells, ("made: 9:1", result["turned"])]:
        factor = cell["published_factor"]
        lines.append(
            f"| {tail} | {cell['tau']:.3g} | {text(cell['measured'])} | {text(cell['formula'])} | {factor:.2f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path, nargs="?")
    parser.add_argument("checkpoint", type=Path, nargs="?")
    parser.add_argument("--table", action="store_true", help="print the kept result as Markdown and stop")
    parser.add_argument("--batches", type=int, default=640)
    parser.add_argument("--size", type=int, default=4, help="sequences per batch")
    parser.add_argument("--made-steps", type=int, default=1500, help="updates on the corpus that is made")
    parser.add_argument(
        "--languages", nargs="*", help="from the largest to the smallest; default the store's, in order"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gradient_variance.json")
    arguments = parser.parse_args()
    if arguments.table:
        print("\n".join(markdown(json.loads(arguments.out.read_text(encoding="utf-8")))))
        return
    torch.set_num_threads(1)
    store, stack = open_store(arguments.store), stack_of(arguments.checkpoint)
    T, rng = stack.shape.context, np.random.default_rng(0)
    languages = arguments.languages or list(store.languages)
    parts = {name: halves(store.train(name), T, rng) for name in languages}
    result: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    made_from = {
        "checkpoint": "/".join(arguments.checkpoint.parts[-4:]),
        "languages": languages,
        "batches": arguments.batches,
        "size": arguments.size,
        "half": HALF,
        "made_steps": arguments.made_steps,
    }
    if result.get("made_from") != made_from:
        result = {"made_from": made_from, "N": stack.shape.N, "cells": {}}

    def keep() -> None:
        result["machine"] = {"processor": platform.machine(), "torch": torch.__version__, "cores": os.cpu_count()}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    if "moments" not in result:
        result["moments"] = moments_of(arguments.checkpoint, {name: part[0] for name, part in parts.items()}).to_json()
        keep()
    moments = Moments.from_json(result["moments"])
    result["G"] = {name: asdict(moments.G(name)) for name in languages}
    for (i, skew), (j, tau) in itertools.product(enumerate(SKEWS), enumerate(TEMPERATURES)):
        key = f"{skew:g}:1 at {tau:g}"
        if key not in result["cells"]:
            fall = skew ** (-1 / (len(languages) - 1))
            sizes = {name: fall**place for place, name in enumerate(languages)}
            second = {name: part[1] for name, part in parts.items()}
            result["cells"][key] = compared(stack, moments, second, sizes, tau, arguments, 10 * i + j)
            keep()
        show(result["cells"][key], f"{skew:g}:1")
    if "turned" not in result:
        with tempfile.TemporaryDirectory() as folder:
            result["turned"] = turned(store.train(languages[0]), stack.shape, Path(folder), arguments)
        keep()
    show(result["turned"], "one sentence, 90/10")
    inside = [cell["formula_in_measured_interval"] for cell in result["cells"].values()]
    print(f"{sum(inside)} of {len(inside)} formulas lie within the measured 95 % interval")


if __name__ == "__main__":
    main()
