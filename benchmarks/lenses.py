"""Four lenses on transfer, on the man pages: game Shapley, a law's weights, TracIn shares, in-run Shapley.

    python benchmarks/lenses.py STUDY...      studies that are finished, e.g. out/shapley-law-s0 out/shapley-law-s1 ...

Game values and law weights are read from the studies. For the other two the study's mixture of all languages is
trained again, in the same shape on the same tokens in the same order, with in-run Shapley watching and checkpoints
kept; of these the TracIn shares are taken. Results: benchmarks/results/lenses/<study>.json as soon as one is done, and
the rank correlations over all of them in benchmarks/results/lenses.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from glotmix.artifact import read_json, write_json
from glotmix.attribution.influence import InfluenceScores
from glotmix.attribution.inrun import InRunShapley, targets_of
from glotmix.attribution.samples import Samples, next_token_loss
from glotmix.attribution.shares import language_shares
from glotmix.attribution.tracin import Checkpoint, gradient_products
from glotmix.mixture.design import PlannedRun
from glotmix.proxy.loader import MixtureBatches
from glotmix.proxy.model import Shape
from glotmix.proxy.run import StackRun
from glotmix.proxy.train import train_stack
from glotmix.studies.influence.analysis import names_of
from glotmix.studies.influence.findings import InfluenceEvidence
from glotmix.studies.influence.lenses import law_weights, side_by_side
from glotmix.studies.influence.page import write_influence_report
from glotmix.study.training import reopened
from glotmix.tokens.opening import open_store
from glotmix.transfer.matrix import TransferMatrix

RESULTS = Path(__file__).parent / "results"
WINDOWS, EVERY, TRAIN, TEST, TOP = 2, 20, 60, 10, 24
"""In-run Shapley: held-out windows per target, steps between two looks. TracIn: windows per language, top m."""


def windows(tokens: np.ndarray, T: int, n: int, rng: np.random.Generator) -> torch.Tensor:
    starts = T * rng.choice((len(tokens) - 1) // T, n, replace=False)
    return torch.from_numpy(np.asarray(tokens)[starts[:, None] + np.arange(T)].astype(np.int64))


def samples(read, languages, T: int, n: int, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    ids = torch.cat([windows(read(language), T, n, rng) for language in languages])
    return Samples({"input_ids": ids}, tuple(language for language in languages for _ in range(n)))


def watched(directory: Path) -> dict:
    """In-run Shapley (both forms) and TracIn shares of the study's runs of all languages."""
    from transformers import AutoModelForCausalLM

    study, store = reopened(directory), open_store(directory / "tokens")
    config = study.config
    planned = [PlannedRun.from_json(run) for run in read_json(directory / "plan.json")]
    planned = [run for run in planned if run.run.startswith(("coalition-full", "anchor-full"))]
    runs = [StackRun.of(run) for run in planned]
    proxy = config.proxy.model_copy(update={"evaluations": 4})
    batches = MixtureBatches(store, runs, proxy, study.available(store))
    held_out = {name: store.held_out(name) for name in (*config.languages, *config.outside)}
    observers = [
        InRunShapley(
            targets_of(held_out, proxy.context, WINDOWS),
            config.languages,
            batches.languages_of,
            clip=proxy.clip,
            every=EVERY,
            preconditioned=form,
        )
        for form in (True, False)
    ]

    def on_batch(*step) -> None:
        for observer in observers:
            observer.on_batch(*step)

    shape = Shape.of(proxy, store.vocab_size)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        results = train_stack(
            runs,
            batches,
            shape,
            proxy,
            held_out=held_out,
            end_of_document=store.end_of_document,
            on_batch=on_batch,
            checkpoint=lambda run, step: Path(folder) / run / f"step-{step:06}",
        )
        trained = time.process_time() - began
        train = samples(store.train, config.languages, proxy.context, TRAIN, 1)
        test = samples(lambda name: held_out[name].tokens, held_out, proxy.context, TEST, 2)
        shares, own = [], []
        for run in runs:
            kept = sorted((Path(folder) / run.run).iterdir())
            model = AutoModelForCausalLM.from_pretrained(kept[-1])
            products = gradient_products(
                model, next_token_loss, [Checkpoint(p.name, p) for p in kept], test, train, batch=16
            )
            scores = InfluenceScores.of(products, test, train)
            found = language_shares([scores], TOP, np.random.default_rng(0))
            shares.append(plain(found.shares))
            own.append(
                {
                    e: plain(language_shares([scores.at(e)], TOP, np.random.default_rng(0)).shares)
                    for e in scores.checkpoints
                }
            )
    return {
        "runs": [run.run for run in runs],
        "losses": {r.run: {row.language: row.value for row in r.losses if row.metric == "bpb"} for r in results},
        "in-run Shapley": [m.to_json() for m in observers[0].matrices()],
        "in-run Shapley, SGD form": [m.to_json() for m in observers[1].matrices()],
        "TracIn share": [m.to_json() for m in shares],
        "TracIn share by checkpoint": [{e: m.to_json() for e, m in run.items()} for run in own],
        "cpu_seconds": {"training, watched twice": trained, "in all": time.process_time() - began},
    }


def plain(matrix: TransferMatrix) -> TransferMatrix:
    """Without the interval over test samples: here repeats are runs."""
    return TransferMatrix(matrix.targets, matrix.sources, matrix.value_TL, unit="1", method=matrix.method)


def study_lenses(directory: Path) -> dict:
    path = RESULTS / "lenses" / f"{directory.name}.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        found = {
            "game Shapley": read_json(directory / "transfer.json"),
            "law weights": law_weights(directory).to_json(),
        }
        write_json(path, found | watched(directory))
        print(path, flush=True)
    return read_json(path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("studies", nargs="+", type=Path)
    parser.add_argument("--page", type=Path, help="write the lenses as a page, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = [study_lenses(directory) for directory in options.studies]
    lenses = {
        name: [TransferMatrix.from_json(m) for study in found for m in ([study[name]] if one else study[name])]
        for name, one in (
            ("game Shapley", True),
            ("law weights", True),
            ("TracIn share", False),
            ("in-run Shapley", False),
            ("in-run Shapley, SGD form", False),
        )
    }
    rows = [vars(a) for a in side_by_side(lenses).agreements]
    four = side_by_side({name: matrices for name, matrices in lenses.items() if "SGD" not in name})
    parted = [{**vars(p), "rank": dict(p.rank), "spread": p.spread} for p in four.partings]
    for a in rows:
        print(
            f"{a['one']} and {a['other']}, {a['pairs']} pairs ({a['count']}): Spearman {a['value']:+.2f} "
            f"[{a['low']:+.2f}, {a['high']:+.2f}], shuffled [{a['null_low']:+.2f}, {a['null_high']:+.2f}]"
        )
    means = {
        name: {
            t: {s: float(np.mean([m[t, s] for m in matrices])) for s in matrices[0].sources}
            for t in matrices[0].targets
        }
        for name, matrices in lenses.items()
    }
    repeats = {name: len(matrices) for name, matrices in lenses.items()}
    result = {"studies": len(found), "repeats": repeats, "agreements": rows, "partings": parted, "means": means}
    (RESULTS / "lenses.json").write_text(json.dumps(result, indent=1) + "\n")
    if options.page is not None:
        names = names_of([*four.matrices["TracIn share"].targets])
        question = "Do a game, a law, top samples and one watched run say the same of who helps whom?"
        write_influence_report(InfluenceEvidence("Four lenses", question, names, (), four), options.page)


if __name__ == "__main__":
    main()
