"""Is every rung of the ladder near its own best learning rate? Rungs trained at rates around the rule's, held-out loss.

    glotmix run recipes/shapley-law.yaml --scale small --out out/shapley-law     # for its tokens (stop after `tokens`)
    python benchmarks/ladder.py out/shapley-law/tokens --sizes 0.1M 0.2M 0.4M    # most of an hour of one core

Every run has its rung's own shape, batch and number of tokens; languages are read in their natural shares. One seed:
the question is where the valley lies, and its walls are far above the noise. Raw results, written after every run and
gone on from: benchmarks/results/ladder.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.ladder import REFERENCE, rung
from glotmix.proxy.loader import MixtureBatches
from glotmix.proxy.run import StackRun
from glotmix.proxy.train import train_stack
from glotmix.tokens.opening import open_store

RATES = (0.0025, 0.005, 0.01, 0.02, 0.04)


def loss_of(store, size: str, rate: float, overtrain: float) -> dict:
    step = rung(size, vocab=store.vocab_size, overtrain=overtrain)
    training = step.training(ProxyConfig()).model_copy(update={"learning_rate": rate, "evaluations": 1})
    natural = Mixture.normalised({name: len(store.train(name)) for name in store.languages})
    run = StackRun("ladder", Schedule.constant(natural), step.tokens, 0)
    (result,) = train_stack(
        [run],
        MixtureBatches(store, [run], training),
        step.shape,
        training,
        held_out={name: store.held_out(name) for name in store.languages},
        end_of_document=store.end_of_document,
    )
    nats = {row.language: row.value for row in result.losses if row.metric == "nats"}
    return {
        "size": size,
        "N": result.N,
        "D": result.D,
        "batch": training.batch,
        "learning_rate": rate,
        "status": result.status,
        "nats": nats,
        "mean_nats": statistics.mean(nats.values()) if nats else None,
    }


def table(rows: list[dict]) -> str:
    lines = ["| N | batch × 128 | published rule, uncapped | " + " | ".join(f"{rate:g}" for rate in RATES) + " |"]
    lines.append("|---" * (3 + len(RATES)) + "|")
    for size in dict.fromkeys(row["size"] for row in rows):
        mine = {row["learning_rate"]: row for row in rows if row["size"] == size}
        first = next(iter(mine.values()))
        best = min((row["mean_nats"] for row in mine.values() if row["mean_nats"]), default=None)
        cells = []
        for rate in RATES:
            value = mine.get(rate, {}).get("mean_nats")
            cells.append("–" if value is None else f"**{value:.3f}**" if value == best else f"{value:.3f}")
        rule = 0.0047 * (first["N"] / REFERENCE) ** (-1 / 3)
        lines.append(f"| {first['N']:,} | {first['batch']} | {rule:.3f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokens", type=Path, help="a study's token store")
    parser.add_argument("--sizes", nargs="+", default=["0.1M", "0.2M", "0.4M"])
    parser.add_argument("--overtrain", type=float, default=1.0, help="tokens as a multiple of 20 per parameter")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "ladder.json")
    options = parser.parse_args()
    store = open_store(options.tokens)
    rows = json.loads(options.out.read_text()) if options.out.is_file() else []
    done = {(row["size"], row["learning_rate"]) for row in rows}
    for size in options.sizes:
        for rate in RATES:
            if (size, rate) not in done:
                rows.append(loss_of(store, size, rate, options.overtrain))
                options.out.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
