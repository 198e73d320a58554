"""Laws of text that is read again, on real tables and on planted truths.

    python benchmarks/repetition.py long-tail       37 runs on man pages of four languages, two of them tiny
    python benchmarks/repetition.py pareto FILE     shares of French, German and Chinese; leave one mixture out
    python benchmarks/repetition.py passes          the 182 runs of one corpus, 1 to 9,000 passes
    python benchmarks/repetition.py useful          the same runs: passes of least loss by size and cut, told beforehand
    python benchmarks/repetition.py planted         three truths that turn; regret of the optimum
    ... --law NAME                                  one law of them, beside what is kept of the others
    python benchmarks/repetition.py --show          the tables of docs/methods/repetition.md from what is kept

The long tail is ``data/long_tail.csv``: bits per byte on held-out man pages, proxies of 0.15M parameters and 0.5M
tokens on text cut down so that they repeat it as a run of 30M tokens would. FILE holds the losses that the authors of
arXiv 2304.03216 print (see ``real_tables.py``); it is not part of the repository. The 182 runs are those of Muennighoff
et al. (``data_constrained.py``). The form of the laws was chosen on the folds of seed 0 of the long tail; the other
foldings are of the same runs, so its errors are those of a table that the form has seen.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from data_constrained import table as runs_of_one_corpus
from scipy.optimize import minimize
from tables import head, line, percent

from glotmix.artifact import write_json
from glotmix.fit import fit
from glotmix.fit.splits import fold_of
from glotmix.laws import LAWS
from glotmix.measurements import Measurements, read_runs
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.request import optimum_of

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "repetition.json"
TAIL_LAWS = ("null", "own_ratio_floored", "log_linear", "shapley_law", "shapley_law_data", "atlas")
NEW = ("own_ratio_repeated", "shapley_law_overfit", "shapley_law_data_repeated", "shapley_law_repeated")
FOLDINGS = 3
PASSES = (4, 20, 60)
"""Ranges of passes that errors are told for."""


def held_out(law: str, runs: Measurements, fold_R: np.ndarray, starts: int = 8) -> np.ndarray:
    """Relative errors of every run [R, T] under the law fitted without its fold; NaN where the law says nothing."""
    off_RT = np.full(runs.loss_RT.shape, np.nan)
    for fold in np.unique(fold_R):
        apart_R = fold_R == fold
        there = runs.where(apart_R)
        fitted = fit(law, runs.where(~apart_R), starts=starts)
        value_RT = fitted.predict(there.p_RL, there.N_R, there.D_R, there.unique_RL).value_RT
        off_RT[apart_R] = np.abs(value_RT / there.loss_RT - 1)
    return off_RT


def long_tail(path: Path, laws: Sequence[str]) -> dict[str, Any]:
    runs, found = read_runs(path), {}
    for law in laws or (*TAIL_LAWS, *NEW):
        rows = []
        for seed in range(FOLDINGS):
            off_T = np.nanmean(held_out(law, runs, fold_of(runs, 5, seed)), axis=0)
            rows.append({target: float(x) for target, x in zip(runs.targets, off_T, strict=True) if np.isfinite(x)})
        found[law] = rows
        print(law, {target: round(100 * x, 2) for target, x in rows[0].items()}, flush=True)
    return found


def turns(path: Path, laws: Sequence[str]) -> dict[str, Any]:
    """What the laws that turn find of every language."""
    found = {}
    for law in laws or ("shapley_law_repeated",):
        whole = fit(law, read_runs(path)).fits
        found[law] = {t: dict(zip(at.names, at.theta_P.tolist(), strict=True)) for t, at in whole.items()}
    return found


def pareto(path: Path, laws: Sequence[str]) -> dict[str, Any]:
    runs, found = read_runs(path), {}
    for law in laws or ("null", "shapley_law", "shapley_law_data", *NEW):
        off_T = np.nanmean(held_out(law, runs, np.arange(len(runs))), axis=0)
        found[law] = dict(zip(runs.targets, off_T.tolist(), strict=True))
        print(law, {target: round(100 * x, 2) for target, x in found[law].items()}, flush=True)
    return found


def passes(laws: Sequence[str]) -> dict[str, Any]:
    """Five folds by run, and the runs of many passes from those of fewer."""
    runs = runs_of_one_corpus(HERE / "data" / "datablations_fit182.csv")
    assert runs.unique_RL is not None
    passes_R = runs.D_R / runs.unique_RL[:, 0]
    fold_R = np.random.default_rng(0).permutation(len(runs)) % 5
    kinds = {"folds": fold_R, **{f"beyond {most}": None for most in PASSES[1:]}}
    found: dict[str, Any] = {}
    for law in laws or ("data_constrained", "atlas", "shapley_law_data_repeated", "shapley_law_repeated"):
        for kind, fold in kinds.items():
            if fold is not None:
                off_R = held_out(law, runs, fold)[:, 0]
            else:
                many_R = passes_R > float(kind.split()[1])
                there, off_R = runs.where(many_R), np.full(len(runs), np.nan)
                value_RT = (
                    fit(law, runs.where(~many_R)).predict(there.p_RL, there.N_R, there.D_R, there.unique_RL).value_RT
                )
                off_R[many_R] = np.abs(value_RT[:, 0] / there.loss_RT[:, 0] - 1)
            found.setdefault(law, {})[kind] = [None if np.isnan(x) else float(x) for x in off_R]
        print(law, {kind: round(100 * float(np.nanmean(np.array(x, float))), 2) for kind, x in found[law].items()})
    return {"passes of the runs": passes_R.tolist(), **found}


FEW = 15
"""Passes up to which a law has seen the size, or the cut, that it is asked about."""


TURNING = ("shapley_law_repeated", "shapley_law_data_repeated", "shapley_law_overfit")


def first_turn(loss_K: np.ndarray) -> int:
    """Where losses rise for the first time: the least of those before; the last where they never do."""
    rises_K = np.flatnonzero(np.diff(loss_K) > 0)
    return int(rises_K[0]) if len(rises_K) else len(loss_K) - 1


def useful(laws: Sequence[str]) -> dict[str, Any]:
    """Passes after which the loss rises for the first time, by model size and cut of the corpus: measured, and by laws
    that did not see it.

    For every size: fitted to all runs but those of the size beyond ``FEW`` passes, over any cut. For every cut: to all
    but those of the cut beyond ``FEW`` passes, at any size. Measured between the runs before and after.
    """
    runs = runs_of_one_corpus(HERE / "data" / "datablations_fit182.csv")
    assert runs.unique_RL is not None
    U_R, passes_R, loss_R = runs.unique_RL[:, 0], runs.D_R / runs.unique_RL[:, 0], runs.loss_RT[:, 0]
    cells: dict[tuple[float, float], list[float | None]] = {}
    for U, N in sorted({(float(U), float(N)) for U, N in zip(U_R, runs.N_R, strict=True)}):
        cell_R = np.flatnonzero((U_R == U) & (runs.N_R == N))
        cell_R = cell_R[np.argsort(passes_R[cell_R])]
        turn = first_turn(loss_R[cell_R])
        if len(cell_R) >= 4 and turn > 0:
            k_R = [*passes_R[cell_R].tolist(), None]  # None: the loss falls to the last run
            cells[U, N] = k_R[turn - 1 : turn + 2]
    grid_K = np.geomspace(1, 2e4, 500)
    found: dict[str, Any] = {f"{U:.0f} {N:.0f}": {"measured": measured} for (U, N), measured in cells.items()}
    for law in laws or TURNING:
        for kind, of_R, at in (("size", runs.N_R, 1), ("cut", U_R, 0)):
            for value in sorted({cell[at] for cell in cells}):
                fitted = fit(law, runs.where((of_R != value) | (passes_R <= FEW)), starts=8)
                for U, N in (cell for cell in cells if cell[at] == value):
                    ones = np.ones((len(grid_K), 1))
                    loss_K = fitted.predict(ones, N, grid_K * U, U * ones).value_RT[:, 0]
                    row = found[f"{U:.0f} {N:.0f}"]
                    row[f"{law}, {kind}"] = float(grid_K[first_turn(loss_K)])
        print(law, {name: [round(row[f"{law}, {kind}"]) for kind in ("size", "cut")] for name, row in found.items()})
    return found


LANGUAGES = ("deu", "ukr", "nld", "ces")
UNIQUE_L, D = np.array([490e3, 12e3, 4.1e3, 2.3e3]), 1.5e6
HELP = np.array([[1, 0.01, 0.05, 0.02], [0.01, 1, 0.01, 0.05], [0.05, 0.02, 1, 0.03], [0.05, 0.1, 0.03, 1]])
TURN = 18.0


def _discounted(p_RL: np.ndarray, R: float) -> tuple[np.ndarray, np.ndarray]:
    passes_RL = p_RL * D / UNIQUE_L
    over_RL = np.maximum(passes_RL - 1, 0)
    return passes_RL, UNIQUE_L * (np.minimum(passes_RL, 1) + R * (1 - np.exp(-over_RL / R))) / D


def falling_share(p_RL: np.ndarray) -> np.ndarray:
    """The law itself, additive shares: R = 10, T = 18, a = 4."""
    passes_RL, worth_RL = _discounted(p_RL, 10.0)
    mean_R1 = (p_RL * np.maximum(passes_RL, 1)).sum(axis=1, keepdims=True)
    x_RL = passes_RL ** (2 / 3) * mean_R1 ** (1 / 3) / TURN
    kept_RL = worth_RL * (1e-3 + (1 - 1e-3) / (1 + x_RL**4))
    share_RT = kept_RL + worth_RL @ (HELP - np.eye(4)).T
    return np.asarray(2.0 * (1 + 0.15 * (share_RT**-0.04 - 1) / 0.04))


def added_term(p_RL: np.ndarray) -> np.ndarray:
    """``E + B D_eff^-β + γ h``, h = ln(1 + (e/T)²): effective data with transfer, and a term of passes alone."""
    passes_RL, worth_RL = _discounted(p_RL, 15.4)
    share_RT = np.maximum(worth_RL @ HELP.T, 1e-6)
    return np.asarray(1.2 + 0.8 * share_RT**-0.2 + 0.25 * np.log1p((passes_RL / TURN) ** 2))


def forgotten(p_RL: np.ndarray) -> np.ndarray:
    """Own text of which every pass takes a part away: ``d exp(-e/T)`` effective tokens, no law of glotmix."""
    passes_RL = p_RL * D / UNIQUE_L
    share_RT = (p_RL * np.exp(-passes_RL / TURN)) + (p_RL / (1 + passes_RL / 10)) @ (HELP - np.eye(4)).T
    return np.asarray(1.5 * np.maximum(share_RT, 1e-6) ** -0.12)


TRUTHS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "falling share": falling_share, "added term": added_term, "forgotten": forgotten,
}  # fmt: skip


def planted_table(truth: Callable[[np.ndarray], np.ndarray], seed: int, noise: float = 0.01) -> Measurements:
    """15 coalitions and 25 drawn mixtures, one percent noise."""
    rng = np.random.default_rng(seed)
    subsets = [[float(k >> i & 1) for i in range(4)] for k in range(1, 16)]
    p_RL = np.vstack([np.array(subsets) / np.sum(subsets, axis=1, keepdims=True), rng.dirichlet(np.ones(4), 25)])
    loss_RT = truth(p_RL) * np.exp(rng.normal(0, noise, p_RL.shape))
    R = len(p_RL)
    return Measurements(
        tuple(f"r{r}" for r in range(R)), LANGUAGES, LANGUAGES, p_RL, loss_RT, np.full(R, np.nan), np.full(R, D),
        np.zeros(R, int), ("",) * R, np.tile(UNIQUE_L, (R, 1)),
    )  # fmt: skip


def best_of(truth: Callable[[np.ndarray], np.ndarray]) -> float:
    """Least mean loss over the simplex."""

    def mean(logit_L: np.ndarray) -> float:
        p_L = np.exp(logit_L - logit_L.max())
        return float(truth((p_L / p_L.sum())[None]).mean())

    drawn_RL = np.random.default_rng(0).dirichlet(np.ones(4), 4000)
    first = drawn_RL[np.argsort(truth(drawn_RL).mean(axis=1))[:5]]
    return min(float(minimize(mean, np.log(p_L), method="Nelder-Mead", tol=1e-9).fun) for p_L in first)


PLANTED_LAWS = ("shapley_law", "atlas", "shapley_law_repeated", "shapley_law_overfit")


def planted(laws: Sequence[str], seeds: int = 3) -> dict[str, Any]:
    """Regret of the optimum on each law, with its error by cross-validation, by which one would choose."""
    found: dict[str, Any] = {}
    for law in laws or PLANTED_LAWS:
        found[law] = {}
        for name, truth in TRUTHS.items():
            least, rows = best_of(truth), []
            for seed in range(seeds):
                runs = planted_table(truth, seed)
                fitted = fit(law, runs, seed=seed, starts=4)
                best = optimum_of(fitted, OptimizeConfig(max_epochs=None), D=D)
                p_L = np.array([best.mixture[language] for language in LANGUAGES])
                inside_R = (runs.p_RL > 0).all(axis=1)
                error = float(held_out(law, runs, fold_of(runs, 5, seed), starts=2)[inside_R].mean())
                row = {"regret": float(truth(p_L[None]).mean()) / least - 1, "error": error, "p": p_L.tolist()}
                at = [dict(zip(one.names, one.theta_P.tolist(), strict=True)) for one in fitted.fits.values()]
                rows.append(row | {key: [one[key] for one in at] for key in ("R", "T", "a", "b") if key in at[0]})
            found[law][name] = rows
            print(
                law, name, [(round(100 * row["regret"], 2), round(100 * row["error"], 2)) for row in rows], flush=True
            )
    return found


def show(kept: Mapping[str, Any]) -> None:
    """Tables as they stand in the docs."""
    if errors := kept.get("long-tail"):
        targets = list(errors["null"][0])
        head("law", *targets, "mean of the four, other foldings")
        for law in (name for name in (*TAIL_LAWS, *NEW) if name in errors):
            rows = errors[law]
            inside = [t for t in rows[0] if t in targets[:4]]
            others = ", ".join(percent(float(np.mean([row[t] for t in inside]))) for row in rows[1:])
            line(law, *(percent(rows[0].get(target)) for target in targets), others)
        print()
    for law, found in kept.get("turns", {}).items():
        head(law, "R", "T", "a", "b")
        for target, at in found.items():
            line(target, *(f"{at[key]:.{2 if key == 'b' else 1}f}" if key in at else "–" for key in "RTab"))
        print()
    if "pareto" in kept:
        targets = list(kept["pareto"]["null"])
        head("law", *targets, "mean")
        for law, row in ((name, kept["pareto"][name]) for name in (*TAIL_LAWS, *NEW) if name in kept["pareto"]):
            line(law, *(percent(row[t]) for t in targets), percent(float(np.mean(list(row.values())))))
        print()
    if "passes" in kept:
        passes_R = np.array(kept["passes"]["passes of the runs"])
        ranges = [(0.0, PASSES[0]), *zip(PASSES, (*PASSES[1:], np.inf), strict=True)]
        words = [f"to {PASSES[0]}", *[f"{lo} to {hi}" if np.isfinite(hi) else f"over {lo}" for lo, hi in ranges[1:]]]
        head("law", *words, *(f"over {most} from the others" for most in PASSES[1:]))
        told = {law: of for law, of in kept["passes"].items() if law in LAWS}
        for law, of in told.items():
            off_R = np.array(of["folds"], float)
            cells = [percent(float(off_R[(passes_R > lo) & (passes_R <= hi)].mean())) for lo, hi in ranges]
            line(law, *cells, *(percent(float(np.nanmean(np.array(of[f"beyond {m}"], float)))) for m in PASSES[1:]))
        print()
        ours, theirs = (
            np.array(told[law]["folds"], float)[passes_R > PASSES[1]]
            for law in ("shapley_law_repeated", "data_constrained")
        )
        ahead, rng = theirs - ours, np.random.default_rng(0)
        means = ahead[rng.integers(len(ahead), size=(4000, len(ahead)))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        print(
            f"Held-out runs of more than {PASSES[1]} passes: ahead of Muennighoff et al.'s law by "
            f"{100 * ahead.mean():.2f} points [{100 * low:.2f}, {100 * high:.2f}] (95 % over the runs)."
        )
        print()
    if cells := kept.get("useful"):
        told = [f"{law}, {kind}" for law in TURNING for kind in ("size", "cut")]
        head("unique tokens", "parameters", "passes, measured", *told)
        for name, row in cells.items():
            U, N = map(float, name.split())
            low, best, high = row["measured"]
            beside = "the last" if high is None else f"{low:.0f} to {high:.0f}"
            guesses = (f"{row[one]:.0f}" for one in told)
            line(f"{U / 1e6:.0f}M", f"{N / 1e6:.0f}M", f"{best:.0f} ({beside})", *guesses)
        for one in told:
            inside = [row for row in cells.values() if row["measured"][2] is not None]
            off = [abs(np.log2(row[one] / row["measured"][1])) for row in inside]
            held = sum(row["measured"][0] <= row[one] <= row["measured"][2] for row in inside)
            between, factor = f"{held} of {len(inside)} between the runs beside", 2 ** np.mean(off)
            print(f"- {one} not seen: {between}, off by a factor of {factor:.2f}")
        print()
    if found := kept.get("planted"):
        known = [law for law in PLANTED_LAWS if law in found]
        head("truth", *known, "the law of least error", "its T", "its R")
        for truth in TRUTHS:
            rows = {law: found[law][truth] for law in known}
            best = [min(known, key=lambda law, k=k: rows[law][k]["error"]) for k in range(len(rows[known[0]]))]
            regret = [f"{percent(float(np.mean([row['regret'] for row in rows[law]])))}" for law in known]
            ours = [rows[law][k] for k, law in enumerate(best)]
            spread = [np.median([x for row in ours for x in row.get(key, [np.nan])]) for key in ("T", "R")]
            chosen = f"{percent(float(np.mean([row['regret'] for row in ours])))} ({', '.join(dict.fromkeys(best))})"
            line(truth, *regret, chosen, *(f"{x:.1f}" for x in spread))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", nargs="?", choices=("long-tail", "turns", "pareto", "passes", "useful", "planted"))
    arguments.add_argument("table", type=Path, nargs="?", default=HERE / "data" / "long_tail.csv")
    arguments.add_argument("--law", action="append", default=[], choices=list(LAWS))
    arguments.add_argument("--show", action="store_true")
    asked = arguments.parse_args()
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if asked.what is not None:
        does: dict[str, Callable[[], dict[str, Any]]] = {
            "long-tail": lambda: long_tail(asked.table, asked.law),
            "turns": lambda: turns(asked.table, asked.law),
            "pareto": lambda: pareto(asked.table, asked.law),
            "passes": lambda: passes(asked.law),
            "useful": lambda: useful(asked.law),
            "planted": lambda: planted(asked.law),
        }
        kept[asked.what] = kept.get(asked.what, {}) | does[asked.what]()
        write_json(RESULTS, kept)
    if asked.show:
        show(kept)


if __name__ == "__main__":
    main()
