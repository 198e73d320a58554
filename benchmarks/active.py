"""Which proxies to train next: chosen runs against random ones, from the same start, on planted tables.

    python benchmarks/active.py [--seeds 0 1 2 3] [--rounds 3] [--batch 4]

    python benchmarks/active.py --show    the table of the results kept

Six languages, noise 1 %. Both arms start with the same runs (every language alone, all together, and some random
mixtures), fit `shapley_law`, and add a batch per round: the chosen ones, or as many drawn from the simplex. Scored with
the planted law: what the recommended mixture loses to the best possible one (in percent of the objective), and the
relative error of the Shapley values of the fitted law. There are two families of planted laws; one is not the fitted.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from glotmix.fit import Fit, fit
from glotmix.fit.active import next_batch
from glotmix.measurements import Measurements
from glotmix.optimize import Constraints, Mean, Objective, Worst, minimise
from glotmix.optimize.question import standing
from glotmix.studies.mixture.active import shapley_question
from glotmix.transfer.game import members
from glotmix.transfer.shapley import weights

L = 6
NAMES = tuple("abcdef")
NOISE = 0.01
FIRST = 12
Truth = Callable[[np.ndarray], np.ndarray]


def helpers(rng: np.random.Generator) -> Truth:
    """Log of a power mean of own and foreign shares: the family of the fitted law."""
    w_TL = np.exp(rng.normal(np.log(0.02), 1.8, (L, L))).clip(max=0.7)
    np.fill_diagonal(w_TL, 1.0)
    base_T, slope_T, kappa = rng.uniform(0.8, 1.6, L), rng.uniform(0.08, 0.25, L), 0.63
    return lambda p: base_T * (1 - slope_T * np.log((p**kappa @ (w_TL**kappa).T) ** (1 / kappa)))


def saturating(rng: np.random.Generator) -> Truth:
    """A saturating sum with an exponent per source (Shukor et al.), which the fitted law cannot be."""
    c_TL = rng.gamma(0.7, 0.1, (L, L)) + np.diag(rng.uniform(0.6, 1.2, L))
    g_TL, floor_T = rng.uniform(0.25, 0.8, (L, L)), rng.uniform(0.5, 1.0, L)
    return lambda p: floor_T + 1 / ((c_TL * p[..., None, :] ** g_TL).sum(axis=-1) + 0.15)


def measured(truth: Truth, p_RL: np.ndarray, rng: np.random.Generator) -> Measurements:
    R = len(p_RL)
    loss_RT = truth(p_RL) * np.exp(NOISE * rng.normal(size=(R, L)))
    unknown = np.full(R, np.nan)
    runs = tuple(f"r{i:03d}" for i in range(R))
    return Measurements(runs, NAMES, NAMES, p_RL, loss_RT, unknown, unknown, np.zeros(R, int), ("swarm",) * R)


def joined(a: Measurements, b: Measurements) -> Measurements:
    R = len(a) + len(b)
    runs = tuple(f"r{i:03d}" for i in range(R))
    p_RL, loss_RT = np.vstack([a.p_RL, b.p_RL]), np.vstack([a.loss_RT, b.loss_RT])
    unknown = np.full(R, np.nan)
    return Measurements(runs, NAMES, NAMES, p_RL, loss_RT, unknown, unknown, np.zeros(R, int), ("swarm",) * R)


def candidates(rng: np.random.Generator) -> np.ndarray:
    few = rng.dirichlet(np.full(L, 0.4), 150)
    few = np.where(few < 0.01, 0, few)
    inside = members(L)[1:]
    return np.vstack([rng.dirichlet(np.ones(L), 200), few / few.sum(1, keepdims=True), inside / inside.sum(1)[:, None]])


def game_error(truth: Truth, fitted: Fit) -> float:
    """Relative error of all Shapley values of a law; coalitions share evenly."""
    inside = members(L)[1:]
    p_CL = inside / inside.sum(axis=1, keepdims=True)
    W_LC = weights(L)[:, 1:]
    true_LT, found_LT = W_LC @ truth(p_CL), W_LC @ fitted.predict(p_CL).value_RT
    # The empty coalition shifts all values of a target alike, so it is taken out of both.
    true_LT, found_LT = true_LT - true_LT.mean(axis=0), found_LT - found_LT.mean(axis=0)
    return float(np.linalg.norm(found_LT - true_LT) / np.linalg.norm(true_LT))


def one(family: Callable, aim: str, arm: str, seed: int, rounds: int, batch: int) -> list[dict]:
    truth = family(np.random.default_rng(seed))
    rng = np.random.default_rng([seed, 1])
    first = np.vstack([np.eye(L), np.full((1, L), 1 / L), rng.dirichlet(np.ones(L), FIRST - L - 1)])
    runs = measured(truth, first, rng)
    rng = np.random.default_rng([seed, 2, arm == "chosen"])
    limits = Constraints(NAMES, floors=dict.fromkeys(NAMES, 0.01))
    objective: Objective = (Worst if aim == "worst" else Mean)(NAMES, dict.fromkeys(NAMES, 1.0))
    best = minimise(Known(truth), objective, limits)
    aimed = best.aim
    rows = []
    for step in range(rounds + 1):
        fitted = fit("shapley_law", runs, starts=2, bootstrap=60, seed=seed)
        found = minimise(fitted, objective, limits, starts=4, resamples=0)
        p_L = found.mixture.vector(NAMES)
        low = float(aimed.value(truth(best.mixture.vector(NAMES))))
        row = {
            "family": family.__name__,
            "aim": aim,
            "arm": arm,
            "seed": seed,
            "runs": len(runs),
            "excess": 100 * (float(aimed.value(truth(p_L))) / low - 1),
            "game_error": game_error(truth, fitted),
        }
        if aim == "shapley":
            question = shapley_question(fitted, dict.fromkeys(NAMES, 1.0))
        else:
            at = standing(fitted, objective, limits, found.mixture, seed=seed)
            question, row["regret"], row["most"] = at.question, 100 * at.regret / at.value, 100 * at.most / at.value
        pool = candidates(rng)
        picked = next_batch(fitted, question, pool, batch)
        row["width"], row["expected"] = picked.before, picked.after[-1]
        rows.append(row)
        more = picked.p_BL if arm == "chosen" else rng.dirichlet(np.ones(L), batch)
        if step < rounds:
            runs = joined(runs, measured(truth, more, rng))
    return rows


class Known:
    """The planted law as a predictor."""

    languages = targets = NAMES

    def __init__(self, truth: Truth):
        self.truth = truth

    def loss(self, p_L, N=None, D=None):
        return self.truth(np.asarray(p_L, dtype=float))

    def gradient(self, p_L, N=None, D=None):
        step = 1e-6 * np.eye(L)
        up, down = self.truth(p_L + step), self.truth(np.maximum(p_L - step, 0))
        return ((up - down) / ((p_L + step) - np.maximum(p_L - step, 0)).sum(axis=1)[:, None]).T

    def bootstrap_losses(self, p_L, N=None, D=None):
        return np.empty((0, L))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, nargs="*", default=list(range(4)))
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--batch", type=int, default=4)
    arguments.add_argument("--aims", nargs="*", default=["mean", "shapley", "worst"])
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "active.json")
    arguments.add_argument("--show", action="store_true")
    asked = arguments.parse_args()
    if asked.show:
        print(shown(json.loads(asked.out.read_text())["rows"]))
        return
    rows = json.loads(asked.out.read_text())["rows"] if asked.out.exists() else []
    done = {(r["family"], r["aim"], r["arm"], r["seed"]) for r in rows}
    for seed in asked.seeds:
        for aim in asked.aims:
            for family in (helpers, saturating):
                for arm in ("chosen", "random"):
                    if (family.__name__, aim, arm, seed) in done or (aim, arm) == ("shapley", "random"):
                        continue  # random runs do not depend on what is asked: those of the mean serve both
                    began = time.process_time()
                    rows += one(family, aim, arm, seed, asked.rounds, asked.batch)
                    print(family.__name__, aim, arm, seed, f"{time.process_time() - began:.1f} s", flush=True)
                    result = {"noise": NOISE, "batch": asked.batch, "rows": rows}
                    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    summary(rows)


def shown(rows: list[dict]) -> str:
    """Means over seeds, chosen and random runs side by side."""
    asks = {
        "mean": ("optimum of the mean", "excess", "excess over the best mixture, %"),
        "worst": ("worst language", "excess", "excess over the best mixture, %"),
        "shapley": ("Shapley values", "game_error", "relative error of the values"),
    }
    sizes = sorted({r["runs"] for r in rows})
    lines = [f"| asked | law | score | runs are | {' | '.join(f'{n} runs' for n in sizes)} |"]
    lines += ["|" + "---|" * (4 + len(sizes))]
    for aim, (title, what, score) in asks.items():
        for family in ("helpers", "saturating"):
            for arm in ("chosen", "random"):
                twin = "mean" if (aim, arm) == ("shapley", "random") else aim
                here = [r for r in rows if (r["family"], r["aim"], r["arm"]) == (family, twin, arm)]
                values = [[r[what] for r in here if r["runs"] == n] for n in sizes]
                if all(values):
                    cells = " | ".join(f"{np.mean(of):.3f}" for of in values)
                    lines.append(f"| {title} | {family} | {score} | {arm} ({len(values[0])} seeds) | {cells} |")
    return "\n".join(lines)


def summary(rows: list[dict]) -> None:
    for aim in sorted({r["aim"] for r in rows}):
        what = "game_error" if aim == "shapley" else "excess"
        for family in sorted({r["family"] for r in rows}):
            for runs in sorted({r["runs"] for r in rows}):
                here = [r for r in rows if (r["family"], r["runs"]) == (family, runs)]
                twin = {"chosen": aim, "random": "mean" if aim == "shapley" else aim}
                of = {arm: [r[what] for r in here if (r["aim"], r["arm"]) == (twin[arm], arm)] for arm in twin}
                if of["chosen"] and of["random"]:
                    print(
                        f"{aim:8s} {family:10s} {runs} runs  {what}: chosen {np.mean(of['chosen']):.3f}  "
                        f"random {np.mean(of['random']):.3f}  ({len(of['chosen'])} seeds)"
                    )


if __name__ == "__main__":
    main()
