"""Translation into a language with much parallel text and one with little: sample it more often, or weigh its loss?

    python benchmarks/translation.py [--directory DIR]     goes on where it stopped
    python benchmarks/translation.py --show                the tables of the result kept

recipes/translation.yaml at scale small: messages of the programs on this machine, English into French and Romanian, 40
pairs to 1. Kept are the course of every run's held-out loss, its scores, and, at the end of each seed's proportional
run, the variance of the gradient under weighting over that under sampling: measured on batches drawn as SGD draws them
from one half of the pairs, and predicted by the general formula from the other half. The signs are held against those
of "Upsample or Upweight?" (arXiv 2410.04579): weighting is noisier, and sampling converges faster.
"""

from __future__ import annotations

import argparse
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rounding import rounded

from glotmix.artifact import read_json, write_json
from glotmix.estimate import Estimate, over_repeats
from glotmix.mixture.balancing import proportional, temperature
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.mixture.weighting import Weighting, variance_factor
from glotmix.probe.gradient_variance import BLOCKS, Moments, Sums, drawn_ratio, of_proxy
from glotmix.proxy.checkpoint import load_checkpoint
from glotmix.proxy.loader import MixtureBatches
from glotmix.proxy.pairs import Targets
from glotmix.proxy.run import StackRun
from glotmix.proxy.stack import Stack
from glotmix.studies.compare.findings import MEAN
from glotmix.studies.compare.kind import CompareKind
from glotmix.studies.compare.translation import METRICS
from glotmix.study.directory import StudyDirectory
from glotmix.study.kind import run_study
from glotmix.tokens.opening import open_store

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "translation.yaml"
KEPT = Path(__file__).parent / "results" / "translation.json"
TEMPERATURES = (2.0, 5.0)
"""Whose variances are measured."""
TAU = "5"
"""That of the runs that sample, and of those that weigh."""
BATCHES, SIZE, HALF, TOGETHER = 320, 4, 160, 4
"""Batches drawn of each form, pairs of a batch, of a half, and those that are differentiated together."""
LETTERS = frozenset("ăĂșȘşŞțȚţŢ")
"""Of Romanian and not of French."""
SHARES = (0.2, 0.5, 1.0)
"""Shares of a run at which losses are shown."""


def courses(directory: Path) -> dict[str, dict[str, list[float]]]:
    """Run to language to its held-out bits per byte at every evaluation."""
    found: dict[str, dict[str, list[float]]] = {}
    for path in sorted(directory.glob("runs/*/run.json")):
        rows = [row for row in read_json(path)["losses"] if row["metric"] == "bpb"]
        names = dict.fromkeys(row["language"] for row in rows)
        found[path.parent.name] = {name: [row["value"] for row in rows if row["language"] == name] for name in names}
    return found


def drawn(
    stack: Stack,
    rows: dict[str, np.ndarray],
    sampled: Mixture,
    weights: Weighting | None,
    targets: Targets,
    rng: np.random.Generator,
) -> Sums:
    """Gradients of batches drawn from a mixture, by the trainer's backward pass."""
    sums, names = Sums(), list(sampled)
    for place in range(BATCHES):
        chosen = [names[i] for i in rng.choice(len(names), size=SIZE, p=list(sampled.values()))]
        tokens_KBS = torch.from_numpy(np.stack([rows[n][rng.integers(len(rows[n]))] for n in chosen])).unsqueeze(0)
        weight_B = torch.tensor([1.0 if weights is None else weights[name] for name in chosen])
        stack.gradient_KP.zero_()
        stack.backward_weighted(tokens_KBS, weight_B.view(1, -1, 1) * targets.weights(tokens_KBS))
        sums.add(place % BLOCKS, stack.gradient_KP[0], stack.gradient_KP[0].double().square().sum().reshape(1))
    return sums


def variances(directory: Path, config: Any, sizes: dict[str, float], seed: int) -> dict[str, Any]:
    """Ratios at the end of a seed's proportional run."""
    (checkpoint,) = directory.glob(f"runs/proportional-s{seed}/checkpoints/step-*")
    shape, parameters = load_checkpoint(checkpoint)
    stack = Stack(shape, [0])
    stack.set(parameters)
    store, natural = open_store(directory / "tokens"), proportional(sizes)
    available = {name: int(size) // shape.context for name, size in sizes.items()}
    reader = StackRun("reader", Schedule.constant(natural), 10**6, 0)
    batches = MixtureBatches(store, [reader], config.as_training().proxy, available)
    assert batches.targets is not None
    rng, halves = np.random.default_rng(seed), {}
    for name, there in available.items():
        rows = batches.first_sequences(name, there).astype(np.int64)
        rows = rows[rng.permutation(there)[: 2 * HALF]]
        halves[name] = (rows[:HALF], rows[HALF:])
    gradients = of_proxy(parameters, shape, batches.targets)
    parts = {name: list(torch.from_numpy(half[0]).split(TOGETHER)) for name, half in halves.items()}
    moments = Moments.measure(gradients, parts)
    found: dict[str, Any] = {"G": {name: asdict(moments.G(name)) for name in sizes}}
    others = {name: half[1] for name, half in halves.items()}
    for tau in TEMPERATURES:
        target = temperature(sizes, tau)
        weights = Weighting.between(natural, target)
        weighted = drawn(stack, others, natural, weights, batches.targets, rng)
        sampled = drawn(stack, others, target, None, batches.targets, rng)
        found[f"{tau:g}"] = {
            "measured": asdict(drawn_ratio(weighted, sampled)),
            "formula": asdict(moments.variance_ratio(natural, target)),
            "published_factor": variance_factor(natural, target),
        }
    return found


def in_romanian(directory: Path, methods: list[str], seeds: int) -> dict[str, float]:
    """Share of translations into Romanian that have one of its own letters, by method; of references too."""
    found: dict[str, float] = {}
    for method in methods:
        names = [f"{method.replace(':', '-')}-s{seed}" for seed in range(seeds)]
        told = [read_json(directory / "translations" / name / "translations.json")["eng-ron"] for name in names]
        for name, kind in ((method, "hypotheses"), ("reference", "references")):
            found[name] = float(np.mean([bool(LETTERS & set(text)) for one in told for text in one[kind]]))
    return found


def run(directory: Path) -> dict[str, Any]:
    """Everything that is kept."""
    kind = CompareKind()
    config = kind.load(RECIPE, scale="small", overrides=["probe.sequences=0"])  # measured here, at the end of each seed
    found = run_study(kind, config, StudyDirectory(directory, RECIPE.parent)).found
    torch.set_num_threads(1)
    kept = directory / "variances.json"
    ratios: dict[str, Any] = read_json(kept) if kept.is_file() else {}
    for seed in range(config.seeds):
        if str(seed) not in ratios:
            ratios[str(seed)] = variances(directory, config, dict(found.sizes), seed)
            write_json(kept, ratios)
    return {
        "bits_per_byte": courses(directory),
        "variances": ratios,
        "comparison": found.to_json(),
        "in_romanian": in_romanian(directory, [row.method for row in found.rows], config.seeds),
        "machine": {"processor": platform.machine(), "torch": torch.__version__, "cores": os.cpu_count()},
    }


def told(one: Estimate | dict[str, Any], digits: int = 2, plus: str = "") -> str:
    value = one if isinstance(one, Estimate) else Estimate(one["value"], one["low"], one["high"])
    return f"{value.value:{plus}.{digits}f} ({value.low:{plus}.{digits}f} to {value.high:{plus}.{digits}f})"


def ratio_lines(result: dict[str, Any]) -> list[str]:
    """Variance ratios: by seed and over seeds, on the logarithm."""
    lines = ["| τ | seed | measured | general formula | F(τ) |", "|---|---|---|---|---|"]
    for tau in (f"{one:g}" for one in TEMPERATURES):
        cells = {seed: ratios[tau] for seed, ratios in result["variances"].items()}
        for seed, cell in cells.items():
            factor = cell["published_factor"]
            lines.append(f"| {tau} | {seed} | {told(cell['measured'])} | {told(cell['formula'])} | {factor:.2f} |")
        logs = over_repeats([np.log(cell["measured"]["value"]) for cell in cells.values()])
        both = Estimate(*(float(np.exp(one)) for one in (logs.value, logs.low, logs.high)))
        lines.append(f"| {tau} | all | {told(both)} | | {factor:.2f} |")
    return lines


def difference_lines(result: dict[str, Any]) -> list[str]:
    """Loss of sampling minus that of weighting along the runs, paired by seed."""
    losses = result["bits_per_byte"]
    languages = sorted(result["comparison"]["sizes"], key=lambda name: result["comparison"]["sizes"][name])
    seeds = range(result["comparison"]["seeds"])
    lines = ["| share of the run | " + " | ".join([*languages, MEAN]) + " |", "|---|" + "---|" * 3]
    for share in SHARES:
        gaps = []
        for name in languages:
            pairs = [[losses[f"{way}-{TAU}-s{s}"][name] for way in ("temperature", "scalarization")] for s in seeds]
            place = round(share * len(pairs[0][0])) - 1
            gaps.append(np.array([sampled[place] - weighted[place] for sampled, weighted in pairs]))
        cells = [told(over_repeats(gap_S), 3, "+") for gap_S in [*gaps, np.mean(gaps, axis=0)]]
        lines.append(f"| {share:.0%} | " + " | ".join(cells) + " |")
    return lines


def method_lines(result: dict[str, Any]) -> list[str]:
    """Final losses and scores of every method."""
    found = result["comparison"]
    languages = [*sorted(found["sizes"], key=lambda name: -found["sizes"][name]), MEAN]
    small = languages[-2]
    heads = [f"{what} {name}" for what in ("bpb", *METRICS) for name in languages]
    lines = [
        "| method | " + " | ".join([*heads, f"epochs {small}", "in Romanian"]) + " |",
        "|---|" + "---|" * (len(heads) + 2),
    ]
    for row in found["rows"]:
        of = {"bpb": row["loss"]} | {metric: row["quality"][metric] for metric in METRICS}
        cells = [f"{of[what][name]['value']:.{3 if what == 'bpb' else 1}f}" for what in of for name in languages]
        cells += [f"{row['epochs'][small]:.1f}", f"{result['in_romanian'][row['method']]:.0%}"]
        lines.append(f"| {row['method']} | " + " | ".join(cells) + " |")
    first = {"bpb": found["rows"][0]["loss"]} | {metric: found["rows"][0]["quality"][metric] for metric in METRICS}
    halves = [first[what][name] for what in first for name in languages]
    digits = [3 if what == "bpb" else 1 for what in first for _ in languages]
    cells = [f"{one['high'] - one['value']:.{d}f}" for one, d in zip(halves, digits, strict=True)]
    lines.append("| ± (95 %) | " + " | ".join([*cells, "", ""]) + " |")
    return [
        *lines,
        "| reference | " + " | ".join([*("" for _ in heads), "", f"{result['in_romanian']['reference']:.0%}"]) + " |",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="print the tables of the result kept and stop")
    parser.add_argument("--directory", type=Path, default=ROOT / "out" / "translation")
    arguments = parser.parse_args()
    if not arguments.show:
        write_json(KEPT, rounded(run(arguments.directory)))
    result = read_json(KEPT)
    for lines in (ratio_lines(result), difference_lines(result), method_lines(result)):
        print("\n".join(lines), end="\n\n")


if __name__ == "__main__":
    main()
