"""In-run Shapley of trainings in bf16 beside the same trainings in fp32, at several sizes.

    python benchmarks/precision.py                       # 0.03M, 0.14M and 1M; about ten minutes of one core

Three languages of the embedded corpus; the same runs (initial weights, batches, schedule) in both precisions, watched
every update in ten. Said of each size: the rank correlation of all values, the largest difference as a share of the
largest value, the same over the values of at least a tenth of it relative to themselves, and what a second seed in fp32
differs by, which is what a reader must know any of them to. Raw: benchmarks/results/precision.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy import stats

from glotmix.attribution.inrun import InRunShapley, targets_of
from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.proxy import kernels
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.loader import MixtureBatches
from glotmix.proxy.model import Shape
from glotmix.proxy.run import StackRun
from glotmix.proxy.train import train_stack
from glotmix.tokens.build import build_store
from glotmix.tokens.config import TokensConfig

LANGUAGES = ("spa_Latn", "por_Latn", "rus_Cyrl")
SIZES = {
    "0.03M": {"width": 32, "layers": 2, "heads": 2},
    "0.14M": {"width": 64, "layers": 3, "heads": 4},
    "1M": {"width": 128, "layers": 5, "heads": 4},
}
STEPS = {"0.03M": 200, "0.14M": 200, "1M": 120}


def values(store, size: str, precision: str, seed: int) -> np.ndarray:
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
    train_stack([run], batches, shape, proxy, end_of_document=store.end_of_document, on_batch=observer.on_batch)
    return observer.matrices()[0].value_TL


def compared(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """How far values are from each other; of differences the largest."""
    large = np.abs(other) >= 0.1 * np.abs(other).max()
    return {
        "rank_correlation": float(stats.spearmanr(one.ravel(), other.ravel()).statistic),
        "of_the_largest": float(np.abs(one - other).max() / np.abs(other).max()),
        "of_themselves": float(np.abs(one / other - 1)[large].max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=SIZES)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "precision.json")
    options = parser.parse_args()
    record = json.loads(options.out.read_text()) if options.out.is_file() else {}
    with TemporaryDirectory() as folder, kernels.one_thread():
        reader = open_reader(CorpusConfig(bytes_per_language=1_500_000), LANGUAGES, Path())
        store = build_store(Path(folder) / "tokens", reader, LANGUAGES, TokensConfig(), 0.05)
        for size in options.sizes:
            found = {p: [values(store, size, p, s) for s in range(options.seeds)] for p in ("float32", "bfloat16")}
            pairs = zip(found["bfloat16"], found["float32"], strict=True)
            record[size] = {
                "values": {name: [one.tolist() for one in each] for name, each in found.items()},
                "bf16_against_fp32": [compared(half, whole) for half, whole in pairs],
                "another_seed_against_fp32": compared(found["float32"][1], found["float32"][0]),
            }
            options.out.write_text(json.dumps(record, indent=1) + "\n")
    for size, row in record.items():
        both = row["bf16_against_fp32"]
        print(
            f"{size}: rank correlation {min(b['rank_correlation'] for b in both):.3f}, largest difference "
            f"{max(b['of_the_largest'] for b in both):.1%} of the largest value and "
            f"{max(b['of_themselves'] for b in both):.1%} of a value; another seed: "
            f"{row['another_seed_against_fp32']['rank_correlation']:.3f}, "
            f"{row['another_seed_against_fp32']['of_the_largest']:.1%}, "
            f"{row['another_seed_against_fp32']['of_themselves']:.1%}"
        )


if __name__ == "__main__":
    main()
