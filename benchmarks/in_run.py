"""In-run Shapley in transformers' Trainer: what it adds to a training, and what its parts change.

    python benchmarks/in_run.py cost [--pairs 7]
    python benchmarks/in_run.py forms
    python benchmarks/in_run.py --table

``cost``: processor seconds of the same training with and without the callback, one look in ten updates, in turns, on
one thread (results/in_run_cost.json). ``forms``: one training of a proxy's size on four languages that glotmix makes
itself, watched four times over: as we do it, without Adam's preconditioning (as published), without embeddings (and
the head that is tied to them), and without both (results/in_run_forms.json).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from glotmix.attribution.inrun import targets_of
from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.live import InRunShapley, InRunShapleyCallback
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule
from glotmix.proxy.config import ProxyConfig
from glotmix.proxy.loader import MixtureBatches
from glotmix.proxy.run import StackRun
from glotmix.tokens.build import build_store
from glotmix.tokens.config import TokensConfig

RESULTS = Path(__file__).parent / "results"
SIZES = {"0.2M": (64, 2), "1M": (128, 4)}
"""Width and layers."""
T, BATCH, STEPS, EVERY = 128, 32, 40, 10
EIGHT = tuple("abcdefgh")
FOUR = ("eng_Latn", "deu_Latn", "spa_Latn", "rus_Cyrl")


class Text:
    def __init__(self, seed: int):
        self.tokens, self.bytes = np.random.default_rng(seed).zipf(1.3, 2000) % 1000, 6000


class Sequences(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
    """Equally many sequences of eight languages in every batch."""

    def __iter__(self) -> Any:
        for i in range(STEPS * BATCH):
            ids = torch.from_numpy(np.random.default_rng(i).zipf(1.3, T + 1) % 1000)
            yield {"input_ids": ids, "labels": ids, "language": i % len(EIGHT)}


def llama(width: int, layers: int, vocab: int, context: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocab,
        hidden_size=width,
        intermediate_size=round(2.75 * width),
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        max_position_embeddings=context + 1,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def cost(pairs: int) -> None:
    """A Trainer's run with and without the callback, in turns."""
    targets = targets_of({name: Text(i) for i, name in enumerate(EIGHT)}, T, 1)
    found = {}
    for size, shape in SIZES.items():
        seconds: dict[str, list[float]] = {"without": [], "with": []}
        for pair in range(pairs + 1):  # the first one warms up
            for name in seconds:
                model = llama(*shape, 1000, T)
                callbacks = [InRunShapleyCallback(targets, EIGHT, every=EVERY)] if name == "with" else [Plain()]
                with tempfile.TemporaryDirectory() as folder:
                    arguments = TrainingArguments(
                        output_dir=folder, max_steps=STEPS, per_device_train_batch_size=BATCH, save_strategy="no",
                        remove_unused_columns=False, use_cpu=True, report_to=[], disable_tqdm=True,
                        logging_strategy="no", max_grad_norm=1.0,
                    )  # fmt: skip
                    trainer = Trainer(model=model, args=arguments, train_dataset=Sequences(), callbacks=callbacks)
                    began = time.process_time()
                    trainer.train()
                    took = time.process_time() - began
                if pair:
                    seconds[name].append(round(took, 3))
        by_pair = [b / a - 1 for a, b in zip(seconds["without"], seconds["with"], strict=True)]
        setting = {"steps": STEPS, "every": EVERY, "languages": len(EIGHT), "parameters": model.num_parameters()}
        added = {"added": round(float(np.median(by_pair)), 4), "added_by_pair": [round(x, 4) for x in by_pair]}
        found[size] = setting | {"batch": BATCH, "context": T, "cpu_seconds": seconds} | added
        print(size, added, flush=True)
        write("cost", found)


class Plain(InRunShapleyCallback):
    """Takes the languages out of the batches and does nothing else."""

    def __init__(self) -> None:
        super().__init__(targets_of({"a": Text(0)}, T, 1), EIGHT, every=10**9)


FORMS: dict[str, dict[str, Any]] = {
    "ours": {},
    "no preconditioning": {"preconditioned": False},
    "no embeddings, no head tied to them": {"parameters": ["model.layers.*", "model.norm.*"]},
    "neither": {"parameters": ["model.layers.*", "model.norm.*"], "preconditioned": False},
}


def forms(steps: int = 200, seeds: int = 3) -> None:
    """The same updates through four pairs of glasses."""
    proxy = ProxyConfig(width=64, layers=2, heads=2, context=64, batch=16, tokens=steps * 16 * 64, learning_rate=4e-3)
    corpus = CorpusConfig(reader="embedded", bytes_per_language=400_000)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        reader = open_reader(corpus, FOUR, Path())
        settings = TokensConfig(vocab_size=1024, held_out_tokens=5000)
        store = build_store(
            Path(folder) / "tokens", reader, FOUR, settings, held_out=corpus.held_out, min_tokens=65, base=Path()
        )
        held_out = {name: store.held_out(name) for name in FOUR}
        shares = dict(zip(FOUR, (0.4, 0.3, 0.2, 0.1), strict=True))
        for seed in range(seeds):
            run = StackRun("run", Schedule.constant(Mixture(shares)), int(proxy.tokens), seed)
            batches = MixtureBatches(store, [run], proxy)
            torch.manual_seed(seed)
            model = llama(64, 2, store.vocab_size, 64)
            optimizer = torch.optim.AdamW(model.parameters(), proxy.learning_rate, betas=(0.9, 0.95))
            rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: min(1, (i + 1) / 15) * (1 - 0.9 * i / steps))
            targets = targets_of(held_out, 64, 8)
            watching = {
                name: InRunShapley(model, optimizer, targets, FOUR, every=5, **form) for name, form in FORMS.items()
            }
            for step in range(steps):
                ids = torch.from_numpy(np.asarray(batches(0, step)).astype(np.int64))
                languages = list(batches.languages_of(0, step))
                for shapley in watching.values():
                    shapley.reads(languages)
                model(input_ids=ids, labels=ids).loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                for shapley in watching.values():
                    shapley.before_update()
                optimizer.step()
                rate.step()
                optimizer.zero_grad()
            matrices = {name: shapley.matrix() for name, shapley in watching.items()}
            ours = matrices["ours"]
            for name, matrix in matrices.items():
                explained = {t: matrix.notes["predicted"][t] / matrix.notes["measured"][t] for t in FOUR}
                own, others = np.eye(4, dtype=bool), ~np.eye(4, dtype=bool)
                rows.append(
                    {
                        "seed": seed,
                        "form": name,
                        "values": matrix.to_json()["values"],
                        "predicted over measured": explained,
                        "rank correlation": float(stats.spearmanr(ours.value_TL.ravel(), matrix.value_TL.ravel())[0]),
                        "of different languages": float(
                            stats.spearmanr(ours.value_TL[others], matrix.value_TL[others])[0]
                        ),
                        "own part": float(matrix.value_TL[own].sum() / matrix.value_TL.sum()),
                    }
                )
                print(
                    seed, name, {k: v for k, v in rows[-1].items() if k not in ("values", "seed", "form")}, flush=True
                )
    setting = {"steps": steps, "every": 5, "languages": FOUR, "shares": shares, "parameters": model.num_parameters()}
    write("forms", setting | {"rows": rows})


def write(name: str, found: dict[str, Any]) -> None:
    (RESULTS / f"in_run_{name}.json").write_text(json.dumps(found, indent=1) + "\n")


def markdown() -> list[str]:
    """The tables of docs/methods/influence.md."""
    lines = ["| parameters | added to a training | pairs |", "|---|---|---|"]
    path = RESULTS / "in_run_cost.json"
    found = json.loads(path.read_text()) if path.is_file() else {}
    for row in found.values():
        pairs = ", ".join(f"{100 * x:.1f}" for x in row["added_by_pair"])
        lines.append(f"| {row['parameters'] / 1e6:.2f}M | {row['added']:.1%} | {pairs} % |")
    if not found:
        lines = [f"no {path.name} yet"]
    rows = json.loads((RESULTS / "in_run_forms.json").read_text())["rows"]
    lines += ["", "| form | predicted over measured | rank correlation with ours | of different languages | own part |"]
    lines += ["|---|---|---|---|---|"]
    for name in FORMS:
        mine = [row for row in rows if row["form"] == name]
        explained = [x for row in mine for x in row["predicted over measured"].values()]
        ranks, others = ([row[key] for row in mine] for key in ("rank correlation", "of different languages"))
        lines.append(
            f"| {name} | {min(explained):.3g} to {max(explained):.3g} | {min(ranks):.2f} to {max(ranks):.2f} | "
            f"{min(others):.2f} to {max(others):.2f} | {np.mean([row['own part'] for row in mine]):.0%} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="?", choices=["cost", "forms"])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--table", action="store_true", help="print the kept results as Markdown")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if options.what == "cost":
        cost(options.pairs)
    elif options.what == "forms":
        forms()
    if options.table:
        print("\n".join(markdown()))


if __name__ == "__main__":
    main()
