"""Merged proxies: can averaged weights of one expert per language stand in for really trained mixtures?

    python benchmarks/merged.py run DIR          two sizes, warm-ups of .5 and .8 of a run; DIR keeps the weights
    python benchmarks/merged.py run DIR --sizes 1M
    python benchmarks/merged.py --show           the table of docs/decisions.md from what is kept

MergeMix (arXiv 2601.17858) and DeMix (arXiv 2602.00747) train one expert per source from a shared checkpoint and rank
mixtures by models whose weights are the experts', averaged with the shares of the mixture. Here one run on equal shares
is kept, with its optimiser, at several points. From each, one expert per language and 16 mixtures drawn evenly are
trained to the end, on equal tokens and under one learning rate's course, and every mixture is also evaluated on
averaged weights. Beside it stands what needs no merging: the mean of the experts' own losses, weighted by the shares.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from glotmix.artifact import read_json, write_json
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.part import Part, going_on
from glotmix.mixture.schedule import Schedule
from glotmix.proxy.checkpoint import load_checkpoint
from glotmix.proxy.evaluate import Evaluation
from glotmix.proxy.loader import MixtureBatches
from glotmix.proxy.model import Shape
from glotmix.proxy.run import StackRun, step_at, steps_of
from glotmix.proxy.train import train_stack
from glotmix.study.config import TrainingConfig
from glotmix.study.narrator import Narrator
from glotmix.study.training import Training
from glotmix.tokens.store import TokenStore

RESULTS = Path(__file__).parent / "results" / "merged.json"
LANGUAGES = ("deu_Latn", "spa_Latn", "por_Latn", "rus_Cyrl")
UNIFORM = Schedule.constant(Mixture(dict.fromkeys(LANGUAGES, 0.25)))
SIZES: Mapping[str, dict[str, Any]] = {
    "0.03M": {"width": 32, "layers": 2, "heads": 2, "tokens": 120_000, "learning_rate": 8e-3},
    "0.15M": {"width": 64, "layers": 3, "heads": 4, "tokens": 300_000, "learning_rate": 4e-3},
    "1M": {"width": 128, "layers": 5, "heads": 4, "tokens": 2_000_000, "learning_rate": 3e-3},
}
WARM_UPS = {"0.03M": (0.8, 0.5), "0.15M": (0.5, 0.8), "1M": (0.8,)}
"""Shares of the run after which experts part from each other."""
SEEDS = {"0.03M": 2, "0.15M": 2, "1M": 2}
MIXTURES, RESAMPLES = 16, 200
STACK = 8


def configuration(size: str) -> TrainingConfig:
    proxy = SIZES[size] | {"context": 64, "batch": 16, "decay": 0.2, "precision": "float32"}
    return TrainingConfig(
        name="Merged",
        languages=list(LANGUAGES),
        corpus={"reader": "embedded", "bytes_per_language": 1_500_000, "held_out": 0.1},
        tokens={"vocab_size": 1024, "held_out_tokens": 12_000},
        proxy=proxy,
        sweep={"workers": 1, "stack": STACK},
    )


def drawn() -> list[Mixture]:
    p_RL = np.random.default_rng(0).dirichlet(np.ones(len(LANGUAGES)), MIXTURES)
    p_RL = np.where(p_RL < 0.01, 0.0, p_RL)
    return [Mixture.from_vector(LANGUAGES, p_L / p_L.sum()) for p_L in p_RL]


def losses_of(result: Any) -> list[float]:
    """Bits per byte at the end, by language."""
    last = max(row.step for row in result.losses)
    found = {row.language: row.value for row in result.losses if row.step == last and row.metric == "bpb"}
    return [found[language] for language in LANGUAGES]


def one_seed(size: str, store: TokenStore, folder: Path, seed: int) -> Iterator[dict[str, Any]]:
    """Losses [R][T] of 16 mixtures by warm-up: trained, merged, and the mean of the experts'."""
    config = configuration(size)
    proxy = config.proxy.model_copy(update={"evaluations": 10})
    shape, held_out = Shape.of(proxy, store.vocab_size), {name: store.held_out(name) for name in LANGUAGES}
    evaluation = Evaluation(held_out, proxy.context, end_of_document=store.end_of_document)

    def place(run: str, step: int) -> Path:
        return folder / f"s{seed}" / run / f"step-{step}"

    def trained(runs: list[StackRun], proxy: Any, **options: Any) -> list[list[float]]:
        found = []
        for at in range(0, len(runs), STACK):
            some = runs[at : at + STACK]
            batches = MixtureBatches(store, some, proxy)
            ended = train_stack(
                some, batches, shape, proxy, held_out=held_out, end_of_document=store.end_of_document, **options
            )
            found += [losses_of(result) for result in ended]
        return found

    tokens, steps = round(proxy.tokens), steps_of(proxy.tokens, proxy)
    warm = StackRun("warm", UNIFORM, tokens, seed)
    whole = trained([warm], proxy, checkpoint=place, with_optimiser=True)[0]
    told: dict[str, Any] = {"uniform": whole}
    alone = [Mixture({name: float(name == one) for name in LANGUAGES}) for one in LANGUAGES]
    for share in WARM_UPS[size]:
        begin = step_at(share, steps) / steps
        part = Part(begin, 1.0, "warm", UNIFORM)
        names = [*(f"expert-{one}-{share}" for one in LANGUAGES), *(f"mixture-{k:02}-{share}" for k in range(MIXTURES))]
        runs = [
            StackRun(name, going_on(UNIFORM, begin, mixture), tokens, seed, part=part)
            for name, mixture in zip(names, [*alone, *drawn()], strict=True)
        ]
        once = config.proxy.model_copy(update={"evaluations": 1})
        ended = trained(runs, once, going_on=place, with_optimiser=False, checkpoint=place)
        experts = [load_checkpoint(place(name, steps))[1] for name in names[: len(LANGUAGES)]]
        merged, mean = [], []
        for mixture in drawn():
            p_L = mixture.vector(LANGUAGES)
            weights = {
                name: sum(p * one[name] for p, one in zip(p_L.tolist(), experts, strict=True)) for name in experts[0]
            }
            nats_KL = evaluation.losses(weights, shape)
            bits = dict(zip(evaluation.languages, evaluation.bits_per_byte(nats_KL[0]).tolist(), strict=True))
            merged.append([bits[language] for language in LANGUAGES])
            mean.append((p_L @ np.array(ended[: len(LANGUAGES)])).tolist())
        told[str(share)] = {
            "experts": ended[: len(LANGUAGES)],
            "trained": ended[len(LANGUAGES) :],
            "merged": merged,
            "mean": mean,
        }
        here = summary({"0": told}, str(share), resamples=0)
        words = ", ".join(f"{kind} {of['rho'][0]:.2f}" for kind, of in here.items())
        print(f"  seed {seed}, warm-up {share}: {words}", flush=True)
        yield told


def run(directory: Path, sizes: list[str]) -> None:
    """Train what is not kept yet; kept after every warm-up."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for size in sizes:
        config, folder = configuration(size), directory / size
        folder.mkdir(parents=True, exist_ok=True)
        store = Training(config, Path(), folder, Narrator()).tokens()
        for seed in range(SEEDS[size]):
            if str(seed) not in kept.setdefault(size, {}):
                print(size, "seed", seed, flush=True)
                for told in one_seed(size, store, folder, seed):
                    kept[size][str(seed)] = told
                    write_json(RESULTS, kept)


def rho(x_R: np.ndarray, y_R: np.ndarray) -> float:
    ranks = rankdata(x_R), rankdata(y_R)
    return float(np.corrcoef(*ranks)[0, 1]) if min(map(np.ptp, ranks)) else np.nan


def objectives(loss_RT: np.ndarray) -> list[np.ndarray]:
    """Mean, worst, and every language alone, [R] each."""
    return [loss_RT.mean(axis=1), loss_RT.max(axis=1), *loss_RT.T]


def summary(seeds: Mapping[str, Any], share: str, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Spearman's ρ with what was trained, means over seeds, by objective, with 95 % intervals over mixtures and seeds;
    and what the mixture picked costs in the mean loss, in percent of the best mixture's."""
    told = [np.array([of[share][kind] for of in seeds.values()]) for kind in ("trained", "merged", "mean")]
    trained_SRT, rng, found = told[0], np.random.default_rng(0), {}
    S, R = trained_SRT.shape[:2]
    for kind, other_SRT in (("merged", told[1]), ("mean", told[2]), ("another seed", np.roll(trained_SRT, 1, axis=0))):
        if kind == "another seed" and S < 2:
            continue

        def each(rows_R: np.ndarray, seeds_S: np.ndarray, other_SRT: np.ndarray = other_SRT) -> np.ndarray:
            pairs = [
                [
                    rho(x, y)
                    for x, y in zip(objectives(trained_SRT[s][rows_R]), objectives(other_SRT[s][rows_R]), strict=True)
                ]
                for s in seeds_S
            ]
            return np.mean(pairs, axis=0)

        value = each(np.arange(R), np.arange(S))
        again = np.array([each(rng.integers(R, size=R), rng.integers(S, size=S)) for _ in range(resamples)])
        low, high = np.nanquantile(again, [0.025, 0.975], axis=0) if resamples else (value, value)
        mean_SR = trained_SRT.mean(axis=2)
        picked = [mean_SR[s, other_SRT[s].mean(axis=1).argmin()] / mean_SR[s].min() - 1 for s in range(S)]
        found[kind] = {
            "rho": value.tolist(), "low": low.tolist(), "high": high.tolist(), "regret": float(np.mean(picked))
        }  # fmt: skip
    return found


def show(kept: Mapping[str, Any]) -> None:
    """The table of the docs."""
    print("| parameters | shared warm-up | ranked by | mean loss | worst language | languages | costs |")
    print("|---|---|---|---|---|---|---|")
    for size, seeds in kept.items():
        for share in map(str, WARM_UPS[size]):
            for kind, of in summary(seeds, share).items():
                cells = [f"{of['rho'][k]:.2f} ({of['low'][k]:.2f} to {of['high'][k]:.2f})" for k in (0, 1)]
                rest = f"{min(of['rho'][2:]):.2f} to {max(of['rho'][2:]):.2f}"
                print(f"| {size} | {float(share):.0%} | {kind} | {' | '.join(cells)} | {rest} | {of['regret']:.2%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["run"])
    parser.add_argument("directory", nargs="?", type=Path)
    parser.add_argument("--sizes", nargs="+", default=["0.03M", "0.15M"], choices=list(SIZES))
    parser.add_argument("--show", action="store_true")
    asked = parser.parse_args()
    if asked.what == "run":
        run(asked.directory, asked.sizes)
    if asked.show:
        show(read_json(RESULTS))


if __name__ == "__main__":
    main()
