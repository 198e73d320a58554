"""bf16 beside fp32 on this machine: the time of a training step, and in-run Shapley.

    python benchmarks/precision.py steps                 # half a minute of one core
    python benchmarks/precision.py values                # 0.03M, 0.14M and 1M; about twenty minutes of one core

``steps``: one thread, seconds of the processor; steps in both precisions take turns, and what is told is the median of
the ratios of neighbours with their spread. Raw: benchmarks/results/precision_steps.json.

``values``: three languages of the embedded corpus; the same runs (initial weights, batches, schedule) in both
precisions, watched every update in ten. Said of each size, seed by seed and for the means over all seeds: the rank
correlation of all values, the largest difference as a share of the largest value, the same over the values of at least
a tenth of it relative to themselves; beside it, what fp32 differs by from fp32 whose initial weights were rounded to
bf16 once, and a seed from the next: what trainings that part differ by, whatever they are in.
Raw: benchmarks/results/precision.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from scipy import stats

from glotmix.attribution.inrun import InRunShapley, targets_of
from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.proxy import flops, kernels
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.loader import MixtureBatches
from glotmix.proxy.model import Shape
from glotmix.proxy.precision import decide, dtype
from glotmix.proxy.run import StackRun
from glotmix.proxy.stack import Stack
from glotmix.proxy.train import train_stack
from glotmix.tokens.build import build_store
from glotmix.tokens.config import TokensConfig

LANGUAGES = ("spa_Latn", "por_Latn", "rus_Cyrl")
SIZES = {
    "0.03M": {"width": 32, "layers": 2, "heads": 2},
    "0.14M": {"width": 64, "layers": 3, "heads": 4},
    "1M": {"width": 128, "layers": 5, "heads": 4},
}
RESULTS = Path(__file__).parent / "results"
STEPPED = [
    (Shape(16, 1, 1, 48, 300, True, 16), 4, 1),
    (Shape(32, 1, 2, 96, 400, True, 32), 4, 1),
    (Shape(32, 1, 2, 96, 400, True, 32), 4, 4),
    (Shape(48, 2, 2, 128, 1024, True, 64), 8, 1),
    (Shape(32, 2, 2, 96, 2048), 16, 1),
    (Shape(32, 2, 2, 96, 2048), 16, 4),
    (Shape(64, 3, 4, 176, 2048), 16, 1),
    (Shape(64, 3, 4, 176, 2048), 16, 4),
    (Shape(128, 5, 4, 352, 2048), 16, 1),
    (Shape(128, 5, 4, 352, 2048), 16, 4),
    (Shape(256, 6, 4, 704, 2048), 16, 1),
]
"""Shape, sequences of a step, and models in a stack."""
STEPS = {"0.03M": 200, "0.14M": 200, "1M": 120}


def rounded(stack: Stack) -> None:
    """Initial weights as bf16 tells them."""
    stack.master_KP.copy_(stack.master_KP.bfloat16().float())


def values(store, size: str, precision: str, seed: int, on_start=None) -> np.ndarray:
    """In-run values of one training, [T, L]."""
    proxy = ProxyConfig(**SIZES[size], context=128, batch=12, learning_rate=4e-3, precision=precision)
    schedule = Schedule.constant(Mixture.normalised(dict.fromkeys(LANGUAGES, 1.0)))
    run = StackRun("run", schedule, STEPS[size] * proxy.batch * proxy.context, seed)
    batches = MixtureBatches(store, [run], proxy)
    held_out = {name: store.held_out(name) for name in LANGUAGES}
    observer = InRunShapley(
        targets_of(held_out, proxy.context, 4), LANGUAGES, batches.languages_of, clip=proxy.clip, every=10
    )
    shape = Shape.of(proxy, store.vocab_size)
    train_stack(
        [run],
        batches,
        shape,
        proxy,
        end_of_document=store.end_of_document,
        on_batch=observer.on_batch,
        on_start=on_start,
    )
    return observer.matrices()[0].value_TL


def compared(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """How far values are from each other; of differences the largest."""
    large = np.abs(other) >= 0.1 * np.abs(other).max()
    return {
        "rank_correlation": float(stats.spearmanr(one.ravel(), other.ravel()).statistic),
        "of_the_largest": float(np.abs(one - other).max() / np.abs(other).max()),
        "of_themselves": float(np.abs(one / other - 1)[large].max()),
    }


def steps(repetitions: int) -> None:
    """The gain of bf16 in a whole step: forward, backward, clipping and AdamW."""
    record = []
    for shape, batch, K in STEPPED:
        tokens = torch.randint(0, shape.vocab, (K, batch, shape.context + 1))
        stacks = {name: Stack(shape, range(K), dtype=dtype(name)) for name in ("float32", "bfloat16")}
        took: dict[str, list[float]] = {name: [] for name in stacks}
        for step in range(repetitions + 2):
            for name, stack in stacks.items():
                began = time.thread_time()
                stack.backward(tokens)
                stack.step(step + 1, 1e-3, 0.1, 1.0)
                took[name].append(time.thread_time() - began)
        kept = {name: times[2:] for name, times in took.items()}
        gains = [whole / half for whole, half in zip(kept["float32"], kept["bfloat16"], strict=True)]
        row = {
            "N": shape.N,
            "vocab": shape.vocab,
            "K": K,
            "tokens": batch * shape.context,
            "gflop": batch * shape.context * flops.per_token(shape, shape.context) / 1e9,
            "auto": decide("auto", [(shape, batch)]).precision,
            "seconds": kept,
        }
        record.append(row)
        (RESULTS / "precision_steps.json").write_text(json.dumps(record, indent=1) + "\n")
        whole, half = (f"{1e3 * statistics.median(kept[name]):.1f}" for name in ("float32", "bfloat16"))
        print(
            f"| {shape.N:,} | {K} | {row['tokens']:,} | {row['gflop']:.3f} | {whole} | {half} "
            f"| {statistics.median(gains):.2f} ({min(gains):.2f}–{max(gains):.2f}) | {row['auto']} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["steps", "values"])
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=SIZES)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--show", action="store_true", help="measure nothing; the table of the values kept")
    parser.add_argument("--out", type=Path, default=RESULTS / "precision.json")
    options = parser.parse_args()
    if options.what == "steps":
        with kernels.one_thread():
            steps(options.repetitions)
        return
    record = json.loads(options.out.read_text()) if options.out.is_file() else {}
    if options.show:
        show(record)
        return
    with TemporaryDirectory() as folder, kernels.one_thread():
        reader = open_reader(CorpusConfig(bytes_per_language=1_500_000), LANGUAGES, Path())
        store = build_store(Path(folder) / "tokens", reader, LANGUAGES, TokensConfig(), 0.05)
        for size in options.sizes:
            seeds = range(options.seeds)
            found = {p: [values(store, size, p, seed) for seed in seeds] for p in ("float32", "bfloat16")}
            found["rounded_once"] = [values(store, size, "float32", seed, rounded) for seed in seeds]
            whole = found["float32"]
            record[size] = {
                "values": {name: [one.tolist() for one in each] for name, each in found.items()},
                "against_fp32": {
                    name: {
                        "seeds": [compared(one, other) for one, other in zip(found[name], whole, strict=True)],
                        "means": compared(np.mean(found[name], 0), np.mean(whole, 0)),
                    }
                    for name in ("bfloat16", "rounded_once")
                },
                "next_seed": [compared(one, other) for one, other in zip(whole[1:], whole, strict=False)],
            }
            options.out.write_text(json.dumps(record, indent=1) + "\n")
    show(record)


def show(record: dict) -> None:
    """The table of the results kept: of seeds the median, and the furthest apart."""
    print("| parameters | against fp32 | rank correlation | largest difference, of the largest value | of the value |")
    print("|---|---|---|---|---|")
    names = {"bfloat16": "bf16", "rounded_once": "fp32 from weights rounded once"}
    for size, row in record.items():
        shown = []
        for key, name in names.items():
            against = row["against_fp32"][key]
            shown += [(f"{name}, seed by seed", against["seeds"]), (f"{name}, means over seeds", [against["means"]])]
        for name, several in [*shown, ("fp32, the next seed", row["next_seed"])]:
            told = {key: [one[key] for one in several] for key in several[0]}
            rank = _spread(told["rank_correlation"], min, "{:.3f}")
            shares = [_spread(told[key], max, "{:.1%}") for key in ("of_the_largest", "of_themselves")]
            print(f"| {size} | {name} | {rank} | {shares[0]} | {shares[1]} |")


def _spread(values: list[float], worst, form: str) -> str:
    middle = form.format(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} (worst {form.format(worst(values))})"


if __name__ == "__main__":
    main()
