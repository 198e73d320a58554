"""Shapley values from few runs: relative error of every estimator on synthetic games of 10 languages.

    python benchmarks/games.py [--seeds 5] [--noise 0.03]

The estimator `surrogate` was developed on the family "power". Seen on all four, one thing was changed: the process now
carries the uncertainty of the curve, without which its intervals were far too short.
Error: ‖φ̂ - φ‖ / ‖φ‖. Coverage: share of values inside the 95 % interval of `surrogate`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from glotmix.transfer.estimate import design, kernel_shap, permutation, regression_adjusted, surrogate
from glotmix.transfer.game import members
from glotmix.transfer.shapley import weights

PLAYERS = 10
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


FAMILIES: dict[str, Family] = {"power": power, "exponential": exponential, "coverage": coverage, "diluted": diluted}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--noise", type=float, default=0.03)
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "games.json")
    asked = arguments.parse_args()
    result = {"noise": asked.noise, "players": PLAYERS, "seeds": asked.seeds, "families": {}}
    for name, family in FAMILIES.items():
        for runs in (32, 64):
            rows = [one_game(family, runs, seed, asked.noise) for seed in range(asked.seeds)]
            mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
            result["families"].setdefault(name, {})[str(runs)] = {"mean": mean, "games": rows}
            print(
                f"{name:12s} {runs} runs  " + "  ".join(f"{key} {value:.3f}" for key, value in mean.items()), flush=True
            )
    asked.out.parent.mkdir(exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n")


def one_game(family: Family, runs: int, seed: int, noise: float) -> dict[str, float]:
    """Relative error of every estimator on one game; all but the permutations see the same runs."""
    rng = np.random.default_rng([seed, runs])
    true = family(np.random.default_rng(seed))
    nobody = true(np.zeros((1, PLAYERS), dtype=bool))
    value_L = weights(PLAYERS) @ (true(members(PLAYERS)) - nobody)

    def measured(inside: np.ndarray) -> np.ndarray:
        off_C = rng.normal(0, noise, len(inside)) * inside.any(axis=1)
        return (true(inside) - nobody + off_C)[:, None]

    def error(found_L: np.ndarray) -> float:
        return float(np.linalg.norm(found_L - value_L) / np.linalg.norm(value_L))

    inside = design(PLAYERS, runs, rng)
    payoff_RT = measured(inside)
    ours = surrogate(inside, payoff_RT)
    return {
        "permutation": error(permutation(measured, PLAYERS, runs, rng).value_TL[0]),
        "antithetic": error(permutation(measured, PLAYERS, runs, rng, antithetic=True).value_TL[0]),
        "kernel_shap": error(kernel_shap(inside, payoff_RT).value_TL[0]),
        "regression_adjusted": error(regression_adjusted(inside, payoff_RT).value_TL[0]),
        "surrogate": error(ours.value_TL[0]),
        "coverage": float(np.mean(np.abs(ours.value_TL[0] - value_L) < 1.96 * ours.deviation_TL[0])),
    }


if __name__ == "__main__":
    main()
