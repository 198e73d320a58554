"""Is the optimum right, fast, and worth trusting?

    python benchmarks/optimum.py convex        gap to CLARABEL and seconds, 8 to 100 languages (needs glotmix[convex])
    python benchmarks/optimum.py generalise    which way of choosing does best on the law behind noisy runs

``generalise`` plants laws over 4 languages, draws noisy losses at the 15 coalitions, fits, chooses a mixture in several
ways, and scores each choice with the planted law: the excess over the true optimum, in percent of its objective.
Both write raw rows and a summary to ``benchmarks/results/optimum-<part>.json``.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
from scipy.stats import t as student

from glotmix.artifact import write_json
from glotmix.fit import fit
from glotmix.measurements import Measurements
from glotmix.mixture import balancing
from glotmix.optimize import Constraints, Group, Mean, Penalty, minimise
from glotmix.optimize.composite import Composite

RESULTS = Path(__file__).parent / "results"


class LogLinear:
    """A planted convex law, ``c + exp(A p)``."""

    def __init__(self, L: int, seed: int):
        rng = np.random.default_rng(seed)
        self.languages = self.targets = tuple(f"l{i:03d}" for i in range(L))
        self.A_TL = rng.normal(0, 1, (L, L)) - 3 * np.eye(L)
        self.c_T = rng.uniform(0.5, 2, L)

    def loss(self, p_L, N=None, D=None):
        return self.c_T + np.exp(self.A_TL @ p_L)

    def gradient(self, p_L, N=None, D=None):
        return np.exp(self.A_TL @ p_L)[:, None] * self.A_TL

    def bootstrap_losses(self, p_L, N=None, D=None):
        return np.empty((0, len(self.targets)))


def convex() -> dict:
    """Own solver and CLARABEL on the same convex problem: caps, a floor, KL to a natural mixture, groups or none."""
    import cvxpy as cp

    rows = []
    for L, groups, seed in itertools.product((8, 30, 100), (False, True), range(3)):
        law = LogLinear(L, seed)
        natural = np.random.default_rng(seed).dirichlet(np.full(L, 2.0))
        limits = Constraints(
            law.languages,
            floors={law.languages[1]: 0.01},
            ceilings=dict.fromkeys(law.languages, max(0.04, 2 / L)),
            groups={f"g{g}": Group(law.languages[g * L // 4 : (g + 1) * L // 4], 0.1, 0.26) for g in range(4 * groups)},
        )
        penalty = Penalty(0.05, dict(zip(law.languages, natural, strict=True)))
        aim = Mean(law.targets, dict.fromkeys(law.targets, 1.0), penalty=penalty)
        minimise(law, aim, limits)  # once before the clock: imports and caches
        start = time.process_time()
        ours = minimise(law, aim, limits)
        seconds = time.process_time() - start
        p_L = ours.mixture.vector(law.languages)
        x = cp.Variable(L)
        held = [cp.sum(x) == 1, x >= limits.floor_L, x <= limits.ceiling_L]
        if groups:
            held += [limits.rows_GL @ x >= limits.low_G, limits.rows_GL @ x <= limits.high_G]
        cost = cp.sum(law.c_T + cp.exp(law.A_TL @ x)) / L + 0.05 * cp.sum(cp.rel_entr(x, natural))
        problem = cp.Problem(cp.Minimize(cost), held)
        start = time.process_time()
        problem.solve(solver="CLARABEL")
        theirs = time.process_time() - start
        assert problem.status == "optimal", problem.status
        value = Composite(law, aim, limits).value(p_L)
        rows.append(
            {
                "languages": L,
                "groups": 4 * groups,
                "seed": seed,
                "gap": value - float(problem.value),
                "certified_gap": ours.gap,
                "status": ours.status,
                "violation": limits.violation(p_L),
                "cpu_seconds": seconds,
                "clarabel_cpu_seconds": theirs,
            }
        )
        print(rows[-1])
    return {"rows": rows}


def planted(kind: str, rng: np.random.Generator):
    """A true law over 4 languages, [4] shares to [4] losses."""
    L = 4
    if kind == "effective ratio":
        w_TL = rng.gamma(0.7, 0.12, (L, L))
        np.fill_diagonal(w_TL, 1.0)
        E_T, gamma_T, k_T = rng.uniform(0.5, 1.0, L), rng.uniform(0.1, 0.45, L), rng.uniform(0.5, 1.5, L)
        return lambda p_L: E_T + k_T * (w_TL @ p_L + 1e-3) ** -gamma_T
    # "own and foreign": a saturating sum with an exponent per source (Shukor et al.), which neither fitted law can be.
    c_TL = rng.gamma(0.7, 0.1, (L, L)) + np.diag(rng.uniform(0.6, 1.2, L))
    g_TL, E_T = rng.uniform(0.25, 0.8, (L, L)), rng.uniform(0.5, 1.0, L)
    return lambda p_L: E_T + 1 / ((c_TL * p_L**g_TL).sum(axis=1) + 0.15)


def measurements(truth, noise: float, rng: np.random.Generator) -> Measurements:
    """The 15 coalitions, shares even inside each."""
    p_RL = np.array([np.array(s) / sum(s) for s in itertools.product((0, 1), repeat=4) if any(s)])
    loss_RT = np.array([truth(p_L) for p_L in p_RL]) * np.exp(noise * rng.normal(size=(15, 4)))
    names, unknown = tuple("abcd"), np.full(15, np.nan)
    runs = tuple(f"r{i:02d}" for i in range(15))
    return Measurements(runs, names, names, p_RL, loss_RT, unknown, unknown, np.zeros(15, int), ("coalition",) * 15)


def generalise(replicates: int, resamples: int) -> dict:
    """Excess of every way of choosing, over planted laws, noises and fitted laws."""
    cells = list(
        itertools.product(("effective ratio", "own and foreign"), (0.005, 0.01), ("shapley_law", "log_linear"))
    )
    rows = []
    for replicate, (kind, noise, law) in itertools.product(range(replicates), cells):
        rng = np.random.default_rng([replicate, len(kind), int(1000 * noise)])
        truth = planted(kind, rng)
        sizes = dict(zip("abcd", rng.lognormal(0, 1, 4), strict=True))
        fitted = fit(law, measurements(truth, noise, rng), starts=4, bootstrap=resamples, seed=replicate)
        rows.append({"truth": kind, "noise": noise, "law": law, "replicate": replicate, **scored(truth, fitted, sizes)})
        if (kind, noise, law) == cells[-1]:  # kept after every replicate, so that a long run can be stopped
            print(replicate, flush=True)
            write_json(RESULTS / "optimum-generalise.json", {"summary": summary(rows), "rows": rows})
    return {"summary": summary(rows), "rows": rows}


def lattice(steps: int = 40) -> np.ndarray:
    """Every mixture of four languages in shares of 1/steps: [R, 4]."""
    whole = itertools.product(range(steps + 1), repeat=3)
    return np.array([(a, b, c, steps - a - b - c) for a, b, c in whole if a + b + c <= steps]) / steps


def scored(truth, fitted, sizes) -> dict[str, float]:
    """Way of choosing to its true excess in percent. All ways choose from the same lattice, so no solver is judged."""
    p_RL = lattice()
    inputs = fitted._inputs(p_RL, None, None)
    fits = [fitted.fits[target] for target in fitted.targets]
    value_RT = np.column_stack([fitted.law.predict(at.problem, at.theta_P, inputs) for at in fits])
    loss_BRT = np.stack(
        [
            np.column_stack([fitted.law.predict(at.problem, at.bootstrap_BP[b], inputs) for at in fits])
            for b in range(len(fits[0].bootstrap_BP))
        ]
    )
    natural_L = balancing.proportional(sizes).vector(fitted.languages)
    kl_R = (p_RL * np.log(np.maximum(p_RL, 1e-300) / natural_L)).sum(axis=1)
    value_R = value_RT.mean(axis=1)

    def least(score_R: np.ndarray) -> np.ndarray:
        return p_RL[np.argmin(score_R)]

    mean_R, spread_R = loss_BRT.mean(axis=(0, 2)), loss_BRT.std(axis=0).mean(axis=1)
    ways = {
        "as fitted": least(value_R),
        **{f"mean + {caution:g} sd": least(mean_R + caution * spread_R) for caution in (0.0, 0.5, 1.0, 2.0)},
        "average of resampled optima": p_RL[np.argmin(loss_BRT.mean(axis=2), axis=1)].mean(axis=0),
        "average of the best 1 %": p_RL[np.argsort(value_R)[: len(p_RL) // 100]].mean(axis=0),
        **{f"KL {kl:g} to natural": least(value_R + kl * kl_R) for kl in (0.003, 0.01, 0.05)},
        "uniform": np.full(4, 0.25),
        "natural": natural_L,
        "temperature": balancing.temperature(sizes, 3.33).vector(fitted.languages),
    }
    best = min(float(truth(p_L).mean()) for p_L in p_RL)
    return {name: 100 * (float(truth(p_L).mean()) / best - 1) for name, p_L in ways.items()}


def summary(rows: list[dict]) -> list[dict]:
    """Per truth, noise and law: mean excess, its 95 % quantile, and the paired difference to "as fitted"."""
    told = []
    keys = ("truth", "noise", "law")
    ways = [name for name in rows[0] if name not in (*keys, "replicate")]
    cells = [*sorted({tuple(row[key] for key in keys) for row in rows}), ("all", "all", "all")]
    for cell in cells:
        within = [row for row in rows if cell[0] == "all" or tuple(row[key] for key in keys) == cell]
        base = np.array([row["as fitted"] for row in within])
        for way in ways:
            excess = np.array([row[way] for row in within])
            more = excess - base
            half = student.ppf(0.975, len(more) - 1) * more.std(ddof=1) / np.sqrt(len(more)) if len(more) > 1 else None
            told.append(
                {
                    **dict(zip(keys, cell, strict=True)),
                    "way": way,
                    "mean_excess_percent": float(excess.mean()),
                    "q95_excess_percent": float(np.quantile(excess, 0.95)),
                    "minus_as_fitted": float(more.mean()),
                    "minus_as_fitted_half_width_95": None if half is None else float(half),
                    "runs": len(within),
                }
            )
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("convex", "generalise"))
    parser.add_argument("--replicates", type=int, default=8)
    parser.add_argument("--resamples", type=int, default=20)
    options = parser.parse_args()
    result = convex() if options.part == "convex" else generalise(options.replicates, options.resamples)
    write_json(RESULTS / f"optimum-{options.part}.json", result)
    for row in result.get("summary", []):
        print(row)


if __name__ == "__main__":
    main()
