"""Influence at the paper's size: XLM-R base (random weights), five checkpoints, 10,000 × 2,500 samples of 128 tokens.

    python benchmarks/influence_size.py [--repeats 3]
    python benchmarks/influence_size.py --table

One thread, processor seconds, in turns: forward and backward alone to the layers' inputs, which no gradient can do
without; the same with gradients of the weights, as training has it; a sample's projected gradient, as an index is
made of; and its exact products with sixteen probes, which the index's error is measured with. What the plan takes is
their sum by its counts: 12,500 samples at 5 checkpoints, 256 of them and 16 probes a second time. Exact scores of a few
samples stand beside a plain loop of autograd. Kept in results/influence_size.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

from glotmix.attribution.gradients import PerSampleGradients
from glotmix.attribution.index import COMPARED, PROBES, Projection, build_index, index_gradients
from glotmix.attribution.samples import Samples, classification_loss
from glotmix.attribution.tracin import Checkpoint, gradient_products, products_with, queries_for

RESULT = Path(__file__).parent / "results" / "influence_size.json"
TRAIN, TEST, CHECKPOINTS, T, BATCH = 10_000, 2_500, 5, 128, 4


def base() -> XLMRobertaForSequenceClassification:
    torch.manual_seed(0)
    config = XLMRobertaConfig(vocab_size=250_002, max_position_embeddings=514, type_vocab_size=1, pad_token_id=1)
    return XLMRobertaForSequenceClassification(config).eval()


def samples(n: int, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    inputs = {"input_ids": rng.integers(3, 250_002, (n, T)), "labels": rng.integers(0, 2, n)}
    return Samples({name: torch.from_numpy(x) for name, x in inputs.items()}, ("a",) * n)


def passes(model: XLMRobertaForSequenceClassification, batch: dict[str, torch.Tensor], *, weights: bool) -> None:
    """Forward and backward of a batch, without or with gradients of the weights."""
    for parameter in model.parameters():
        parameter.requires_grad_(weights)
        parameter.grad = None
    inputs = {"input_ids": batch["input_ids"]} if weights else {"inputs_embeds": embedded(model, batch)}
    loss = torch.nn.functional.cross_entropy(model(**inputs).logits, batch["labels"])
    loss.backward()
    for parameter in model.parameters():
        parameter.requires_grad_(True)
        parameter.grad = None


def embedded(model: XLMRobertaForSequenceClassification, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    found: torch.Tensor = model.get_input_embeddings()(batch["input_ids"]).detach().requires_grad_()
    return found


def measured(repeats: int) -> dict[str, list[float]]:
    """Processor seconds per sample of each part, in turns."""
    model = base()
    gradients, project = PerSampleGradients(model, classification_loss), Projection(16, 0)
    ((_, batch),) = samples(BATCH, 1).batches(BATCH)
    probes = queries_for(gradients, samples(PROBES, 2), BATCH)
    parts = {
        "forward and backward alone": lambda: passes(model, batch, weights=False),
        "with gradients of the weights": lambda: passes(model, batch, weights=True),
        "projected gradient": lambda: project(gradients(batch)),
        "exact products with the probes": lambda: products_with(probes, gradients(batch)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for repeat in range(repeats + 1):  # the first one warms up, draws the projections and checks the hooks
        for name, part in parts.items():
            began = time.process_time()
            part()
            if repeat:
                seconds[name].append(round((time.process_time() - began) / BATCH, 4))
        print({name: values[-1:] for name, values in seconds.items()}, flush=True)
    return seconds


def exactness() -> dict[str, float]:
    """Largest difference of scores from a plain loop of autograd, by the largest score; and the projection's error."""
    model = base()
    test, train = samples(2, 3), samples(4, 4)
    moment = Checkpoint("only", {name: tensor.clone() for name, tensor in model.state_dict().items()})
    products = gradient_products(model, classification_loss, [moment], test, train, batch=4)

    def gradient(some: Samples, i: int) -> list[torch.Tensor]:
        ((_, one),) = some.take([i]).batches(1)
        return list(torch.autograd.grad(classification_loss(model, one).sum(), list(model.parameters())))

    def dot(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
        return sum(float((a.double() * b.double()).sum()) for a, b in zip(one, other, strict=True))

    mine = [gradient(test, q) for q in range(len(test))]
    true, norm_N = np.zeros((len(test), len(train))), np.zeros(len(train))
    for n in range(len(train)):
        theirs = gradient(train, n)
        true[:, n], norm_N[n] = [dot(one, theirs) for one in mine], dot(theirs, theirs) ** 0.5
    norm_Q = np.array([dot(one, one) ** 0.5 for one in mine])
    cosine = true / norm_Q[:, None] / norm_N
    return {
        "dot": float(np.abs(products.dot_EQN[0] - true).max() / np.abs(true).max()),
        "cosine": float(np.abs(products.scores("cosine")[0] - cosine).max() / np.abs(cosine).max()),
    }


def projection_error() -> dict[str, float | int]:
    """What an index of a few samples tells of itself; the samples are random, and so are their gradients."""
    model = base()
    moment = Checkpoint("only", {name: tensor.clone() for name, tensor in model.state_dict().items()})
    with tempfile.TemporaryDirectory() as folder:
        made = build_index(
            Path(folder) / "index", model, classification_loss, [moment], samples(12, 5), batch=4, probes=4
        )
        return vars(made.error) | {"bytes_per_gradient": 4 * made.width}


def plan(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Processor hours of the plan, and of what it cannot do without, by the medians."""
    alone, trained, projected, exact = (float(np.median(values)) for values in seconds.values())
    again = CHECKPOINTS * (COMPARED + PROBES)
    whole = CHECKPOINTS * (TRAIN + TEST) * projected + again * exact
    least, usual = (CHECKPOINTS * (TRAIN + TEST) * each for each in (alone, trained))
    return {
        "gradients": CHECKPOINTS * index_gradients(TEST, TRAIN),
        "hours": whole / 3600,
        "hours of forward and backward alone": least / 3600,
        "hours with gradients of the weights": usual / 3600,
        "over forward and backward alone": whole / least,
        "over training's": whole / usual,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if options.table:
        kept = json.loads(RESULT.read_text())
        print("| processor seconds per sample | each repeat |\n|---|---|")
        for name, values in kept["seconds"].items():
            print(f"| {name} | {', '.join(f'{x:.2f}' for x in values)} |")
        print("\n".join(f"{name}: {value:,.3g}" for name, value in (kept["plan"] | kept["error"]).items()))
        return
    seconds = measured(options.repeats)
    found = {"parameters": base().num_parameters(), "seconds": seconds, "plan": plan(seconds), "error": exactness()}
    found["projection"] = projection_error()
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
