"""Shapley values from few runs: relative error of every estimator.

    python benchmarks/games.py [--seeds 10] [--noise 0.03] [--families NAME…]
    python benchmarks/games.py --tables DIR…    keep the games of studies of all coalitions
    python benchmarks/games.py --show           the table of the results kept

Synthetic games have 10 languages and noise 0.03. The estimator `surrogate` was developed on "power", "exponential" and
"coverage", the design of coalitions on "power", "coverage", "diluted" and "families" (other seeds than those here);
"effective data", "information", "best helper" and the man pages were only run. `known_family` is the best linear
estimate from the same runs for someone who knows the mean and the covariance of the family's games and the noise
(600 games of other seeds): what no estimator can be expected to beat by much.
"man pages 4" are the games of the four languages of recipes/shapley-law.yaml (15 coalitions, three seeds, six targets),
"man pages 6" those of man_coalitions.yaml (63 coalitions of small proxies, six targets): every coalition was
trained, a run's noise is its own, and the exact values of the complete table are the truth. Of 15 coalitions 8 and 11
are used, of 63 a quarter and a half.
Error: ‖φ̂ - φ‖ / ‖φ‖. Coverage: share of values inside the 95 % interval of `surrogate`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from glotmix.artifact import read_json
from glotmix.fit import fit
from glotmix.measurements import Measurements, read_runs
from glotmix.mixture.design import spread_coalitions
from glotmix.transfer.estimate import kernel_shap, permutation
from glotmix.transfer.game import members
from glotmix.transfer.shapley import weights
from glotmix.transfer.surrogate import regression_adjusted, surrogate

RESULTS = Path(__file__).parent / "results"
TABLE = RESULTS / "man_coalitions.json"
PLAYERS = 10
BUDGETS = {"man pages 4": (8, 11), "man pages 6": (16, 32)}
Family = Callable[[np.random.Generator], Callable[[np.ndarray], np.ndarray]]


def power(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """1 - (1 + 3 Σ w)^-γ: a power law of summed transfer."""
    w_L, gamma = np.exp(rng.normal(-1, 1, PLAYERS)), rng.uniform(0.2, 1)
    return lambda inside: 1 - (1 + 3 * (inside @ w_L)) ** -gamma


def exponential(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """1 - exp(-Σ w)."""
    w_L = rng.gamma(1.0, 0.4, PLAYERS)
    return lambda inside: 1 - np.exp(-(inside @ w_L))


def coverage(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """60 skills of unequal worth; every language teaches some of them with some probability."""
    teaches_LK = rng.uniform(0, 0.5, (PLAYERS, 60)) * (rng.random((PLAYERS, 60)) < 0.4)
    worth_K = rng.dirichlet(np.ones(60))
    return lambda inside: (1 - np.prod(np.where(inside[:, :, None], 1 - teaches_LK, 1), axis=1)) @ worth_K


def diluted(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """Log of a power mean of equal shares of a fixed budget, with pairwise synergies and clashes."""
    w_L, kappa = rng.dirichlet(np.full(PLAYERS, 0.7)) * 3, rng.uniform(0.4, 0.8)
    pair_LL = rng.normal(0, 0.003, (PLAYERS, PLAYERS))

    def payoff(inside: np.ndarray) -> np.ndarray:
        p_CL = inside / np.maximum(inside.sum(axis=1, keepdims=True), 1)
        mean_C = ((p_CL * w_L) ** kappa).sum(axis=1) ** (1 / kappa)
        return np.log1p(mean_C / 0.02) / 5 + np.einsum("cl,lm,cm->c", inside * 1.0, pair_LL, inside * 1.0)

    return payoff


def families(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """Four families of languages: help saturates inside a family and less across them, as in effective data."""
    family_L, tau_L = rng.integers(0, 4, PLAYERS), np.exp(rng.normal(-1.0, 0.8, PLAYERS))
    worth_F, beta = rng.dirichlet(np.full(4, 2.0)), rng.uniform(0.2, 0.5)
    in_LF = np.eye(4)[family_L]

    def payoff(inside: np.ndarray) -> np.ndarray:
        return (1 - (1 + 2 * (inside * tau_L) @ in_LF) ** (-2 * beta)) @ worth_F * 1.3

    return payoff


def effective_data(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """Own budgets: loss (D₀ + Σ τ D)^-β, one language the target itself, the others worth 0.02 to 0.6 of its tokens."""
    tau_L = np.append(1.0, np.exp(rng.uniform(np.log(0.02), np.log(0.6), PLAYERS - 1)))
    tokens_L, beta, before = rng.uniform(0.3, 3, PLAYERS), rng.uniform(0.2, 0.5), rng.uniform(0.05, 0.5)
    return _to_one(lambda inside: before**-beta - (before + inside @ (tau_L * tokens_L)) ** -beta)


def information(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """Languages are points in space; a coalition tells of a target what noisy looks from there tell of a process."""
    place_LK = rng.normal(size=(PLAYERS + 1, 3))
    kernel_LL = np.exp(-((place_LK[:, None] - place_LK[None]) ** 2).sum(axis=2) / 4)
    noise = rng.uniform(0.1, 1)

    def payoff(inside: np.ndarray) -> np.ndarray:
        told = []
        for row in inside:
            some = np.flatnonzero(row)
            covariance = kernel_LL[np.ix_(some, some)] + noise * np.eye(len(some))
            told.append(kernel_LL[-1, some] @ np.linalg.solve(covariance, kernel_LL[some, -1]) if len(some) else 0.0)
        return np.array(told)

    return _to_one(payoff)


def best_helper(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """The best helper counts most: a power mean (exponent 2 to 6) of what every language gives, on a log scale."""
    gives_L, power_ = np.exp(rng.normal(0, 0.8, PLAYERS)), rng.uniform(2, 6)
    return _to_one(lambda inside: np.log1p((inside @ gives_L**power_) ** (1 / power_)))


def _to_one(payoff: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Payoffs in units of that of everybody."""
    whole = float(payoff(np.ones((1, PLAYERS), dtype=bool))[0] - payoff(np.zeros((1, PLAYERS), dtype=bool))[0])
    return lambda inside: payoff(inside) / whole


FAMILIES: dict[str, Family] = {
    "power": power,
    "exponential": exponential,
    "coverage": coverage,
    "diluted": diluted,
    "families": families,
    "effective data": effective_data,
    "information": information,
    "best helper": best_helper,
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, default=10)
    arguments.add_argument("--noise", type=float, default=0.03)
    arguments.add_argument("--families", nargs="*", default=[*FAMILIES, "man pages 4", "man pages 6"])
    arguments.add_argument("--tables", type=Path, nargs="*")
    arguments.add_argument("--out", type=Path, default=RESULTS / "games.json")
    arguments.add_argument("--show", action="store_true")
    asked = arguments.parse_args()
    if asked.show:
        print(shown(json.loads(asked.out.read_text())["families"]))
        return
    if asked.tables:
        tables = json.loads(TABLE.read_text()) if TABLE.exists() else {}
        TABLE.write_text(json.dumps(tables | {directory.name: kept(directory) for directory in asked.tables}) + "\n")
        return
    result = json.loads(asked.out.read_text()) if asked.out.exists() else {}
    result |= {"noise": asked.noise, "seeds": asked.seeds}
    tables = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    for name in asked.families:
        real = [np.array(t["payoff"]) for t in tables.values() if name == f"man pages {len(t['players'])}"]
        known = known_family(FAMILIES[name]) if name in FAMILIES else None
        for runs in BUDGETS.get(name, (32, 64)):
            if name.startswith("man pages"):
                rows = [of_table(payoff_C, runs, t) for payoff_CT in real for t, payoff_C in enumerate(payoff_CT.T)]
            else:
                rows = [of_family(FAMILIES[name], runs, seed, asked.noise, known) for seed in range(asked.seeds)]
            if not rows:
                continue
            mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
            result.setdefault("families", {}).setdefault(name, {})[str(runs)] = {"mean": mean, "games": rows}
            print(
                f"{name:12s} {runs} runs  " + "  ".join(f"{key} {value:.3f}" for key, value in mean.items()), flush=True
            )
            asked.out.write_text(json.dumps(result, indent=1) + "\n")


TITLES = {
    "power": "power law of summed transfer †",
    "exponential": "1 − exp(−Σ w) †",
    "coverage": "60 skills, taught by some †",
    "diluted": "power mean of a fixed budget, with pairs †",
    "families": "four families, saturating inside †",
    "effective data": "effective data, own budgets",
    "information": "information about a place",
    "best helper": "the best helper counts most",
    "man pages 4": "man pages, 4 languages, 8 / 11 of 15 runs",
    "man pages 6": "man pages, 6 languages, 16 / 32 of 63 runs",
}


def shown(results: dict) -> str:
    """Mean errors as a table, fewer runs / more runs."""
    plain = ("equal_shares", "permutation", "kernel_shap", "regression_adjusted", "law_adjusted")
    head = "equal shares | permutations | KernelSHAP | curve + KernelSHAP | law-adjusted | **surrogate** | coverage"
    lines = [f"| family | {head} | family known |", "|" + "---|" * 9]
    for name in [name for name in TITLES if name in results]:
        few, many = (results[name][runs]["mean"] for runs in sorted(results[name], key=int))
        cells = [f"{few[key]:.2f} / {many[key]:.2f}" for key in plain]
        cells += [f"**{few['surrogate']:.3f} / {many['surrogate']:.3f}**"]
        cells += [f"{few['coverage']:.2f} / {many['coverage']:.2f}"]
        cells += [f"{few['known_family']:.3f} / {many['known_family']:.3f}" if "known_family" in few else ""]
        lines.append(f"| {TITLES[name]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def kept(directory: Path) -> dict[str, object]:
    """Payoffs of every coalition of a study, by number (row 0 is nobody), and the spread of its repeated runs."""
    runs = read_runs(directory)
    empty = read_json(directory / "transfer.json")["notes"]["empty_loss"]
    number_R = (runs.p_RL > 0) @ (1 << np.arange(len(runs.languages)))
    first_R = np.array([role == "coalition" for role in runs.role_R])
    loss_CT = np.array([empty[target] for target in runs.targets])[None].repeat(2 ** len(runs.languages), axis=0)
    loss_CT[number_R[first_R]] = runs.loss_RT[first_R]
    if len(set(number_R[first_R])) != 2 ** len(runs.languages) - 1:
        raise SystemExit(f"{len(set(number_R[first_R]))} coalitions in {directory}")
    spread = [runs.loss_RT[number_R == n].std(axis=0, ddof=1) for n in set(number_R[~first_R])]
    print(directory, loss_CT.shape)
    return {
        "players": list(runs.languages),
        "targets": list(runs.targets),
        "deviation_of_repeats": np.round(np.sqrt(np.mean(np.square(spread), axis=0)), 5).tolist(),
        "empty_loss": {target: round(empty[target], 5) for target in runs.targets},
        "payoff": np.round(loss_CT[0] - loss_CT, 5).tolist(),
    }


def known_family(family: Family, games: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Mean [C] and spread [G, C] of a family's games (spreadᵀ spread is their covariance)."""
    every = members(PLAYERS)
    payoff_GC = np.array([family(np.random.default_rng([1, seed]))(every) for seed in range(games)])
    payoff_GC -= payoff_GC[:, :1]
    mean_C = payoff_GC.mean(axis=0)
    return mean_C, (payoff_GC - mean_C) / np.sqrt(games)


def of_family(
    family: Family, runs: int, seed: int, noise: float, known: tuple[np.ndarray, np.ndarray] | None
) -> dict[str, float]:
    rng = np.random.default_rng([seed, runs])
    true = family(np.random.default_rng(seed))
    nobody = true(np.zeros((1, PLAYERS), dtype=bool))
    value_L = weights(PLAYERS) @ (true(members(PLAYERS)) - nobody)

    def measured(inside: np.ndarray) -> np.ndarray:
        off_C = rng.normal(0, noise, len(inside)) * inside.any(axis=1)
        return (true(inside) - nobody + off_C)[:, None]

    return one_game(measured, value_L, runs, rng, None if known is None else (*known, noise))


def of_table(payoff_C: np.ndarray, runs: int, target: int) -> dict[str, float]:
    n = int(np.log2(len(payoff_C)))
    bit_L = 1 << np.arange(n)
    rng = np.random.default_rng([target, runs])
    return one_game(lambda inside: payoff_C[inside @ bit_L][:, None], weights(n) @ payoff_C, runs, rng)


def one_game(
    measured: Callable[[np.ndarray], np.ndarray],
    value_L: np.ndarray,
    runs: int,
    rng: np.random.Generator,
    known: tuple[np.ndarray, np.ndarray, float] | None = None,
) -> dict[str, float]:
    """Relative error of every estimator on one game; all but the permutations see the same runs."""
    n = len(value_L)

    def error(found_L: np.ndarray) -> float:
        return float(np.linalg.norm(found_L - value_L) / np.linalg.norm(value_L))

    inside = spread_coalitions(n, runs, rng)
    payoff_RT = measured(inside)
    ours = surrogate(inside, payoff_RT)
    told = {}
    if known is not None:
        mean_C, spread_GC, noise = known
        at = inside @ (1 << np.arange(n))
        covariance_RR = spread_GC[:, at].T @ spread_GC[:, at] + noise**2 * np.eye(len(at))
        weight_R = np.linalg.solve(covariance_RR, payoff_RT[:, 0] - mean_C[at])
        best_C = mean_C + spread_GC.T @ (spread_GC[:, at] @ weight_R)
        told = {"known_family": error(weights(n) @ best_C)}
    return told | {
        "equal_shares": error(np.full(n, payoff_RT[inside.all(axis=1)].mean() / n)),
        "permutation": error(permutation(measured, n, runs, rng).value_TL[0]),
        "antithetic": error(permutation(measured, n, runs, rng, antithetic=True).value_TL[0]),
        "kernel_shap": error(kernel_shap(inside, payoff_RT).value_TL[0]),
        "regression_adjusted": error(regression_adjusted(inside, payoff_RT).value_TL[0]),
        "law_adjusted": error(surrogate(inside, payoff_RT, prior=law_of(inside, payoff_RT)).value_TL[0]),
        "surrogate": error(ours.value_TL[0]),
        "coverage": float(np.mean(np.abs(ours.value_TL[0] - value_L) < 1.96 * ours.deviation_TL[0])),
    }


def law_of(inside: np.ndarray, payoff_RT: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Payoffs of `shapley_law` fitted to the same runs, the target a language outside; shares are even."""
    n, R = inside.shape[1], len(inside)
    names, unknown = tuple(f"l{i}" for i in range(n)), np.full(R, np.nan)
    top = 2 * float(np.abs(payoff_RT).max())
    shares = inside / inside.sum(axis=1, keepdims=True)
    runs = tuple(f"r{r}" for r in range(R))
    table = Measurements(
        runs, names, ("t",), shares, top - payoff_RT, unknown, unknown, np.zeros(R, int), ("coalition",) * R
    )
    fitted = fit("shapley_law", table, starts=2)

    def payoff(coalitions: np.ndarray) -> np.ndarray:
        some_C = coalitions.any(axis=1)
        p_CL = np.where(some_C[:, None], coalitions / np.maximum(coalitions.sum(axis=1, keepdims=True), 1), 1 / n)
        return np.where(some_C[:, None], top - fitted.predict(p_CL).value_RT, 0.0)

    return payoff


if __name__ == "__main__":
    main()
