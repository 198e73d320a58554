"""How long fits take.

    python benchmarks/speed.py laws DIR       every law on RegMix's 13 targets, 200 bootstrap resamples, 2 processes
    python benchmarks/speed.py authors DIR    log-linear and exponential fits beside multi-start L-BFGS
    python benchmarks/speed.py show           the table of the kept results of the latter

DIR holds RegMix's tables (see laws.py). ``laws`` sets N = 1e6 and D = 1e9, which all 512 runs share, so that laws that
ask for them can be fitted; laws that ask for unique tokens or Shapley values are named and left out. Seconds of one
core are what counts where other work shares the machine.

``authors`` minimises what the authors of Olmix (log-linear, 300 starts) and Data Mixing Laws (exponential, 6,000) do:
the sum of Huber losses of the raw residuals with δ = 0.02. Once as their public code does (torch LBFGS, lr 0.01,
history 10, strong Wolfe, at most 100 steps of 20 iterations, all starts; written anew here), once with glotmix's solver
from 20 starts. A ``--share`` of their starts, 10 at least, is run and the time is scaled up; how many of those end
within 0.1 % of the best of them says whether more starts would find a better one.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

from glotmix.errors import BadInput
from glotmix.fit import fit
from glotmix.fit.solve import HUBER, levenberg_marquardt
from glotmix.laws import all_laws
from glotmix.measurements import Measurements, read_runs

RESULTS = Path(__file__).parent / "results" / "speed.json"
DELTA = 0.02
OUR_STARTS = 20
LEAST_STARTS = 10
"""Of the authors' starts that are run, whatever their share."""


def regmix(directory: Path) -> Measurements:
    tables = directory / "train_mixture_1m.csv", directory / "train_pile_loss_1m.csv"
    runs = read_runs(directory, mixtures=tables[0], losses=tables[1])
    runs.N_R[:], runs.D_R[:] = 1e6, 1e9
    return runs


def processor() -> float:
    """Seconds of one core that this process and its children have used."""
    return sum(os.times()[:4])


def laws(runs: Measurements, resamples: int, workers: int, only: list[str]) -> dict:
    rows: dict[str, dict] = {}
    for name, law in all_laws().items():
        if only and name not in only:
            continue
        began, spent = time.perf_counter(), processor()
        try:
            found = fit(law, runs, starts=2, bootstrap=resamples, workers=workers)
        except BadInput as error:
            rows[name] = {"left_out": str(error)}
            print(f"{name:20s} {error}", flush=True)
            continue
        seconds = time.perf_counter() - began
        fits = [at for at in found.fits.values() if at.usable]
        rows[name] = {
            "seconds": seconds,
            "processor_seconds": processor() - spent,
            "targets": len(fits),
            "converged": sum(at.status == "converged" for at in fits),
            "resamples": min(len(at.bootstrap_BP) for at in fits),
        }
        spent = rows[name]["processor_seconds"]
        print(
            f"{name:20s} {seconds:6.1f} s, {spent:.1f} of one core  {rows[name]['converged']} of {len(fits)} converged",
            flush=True,
        )
    return {"workers": workers, "laws": rows}


def huber(residual_R: np.ndarray) -> float:
    a_R = np.abs(residual_R)
    return float(np.where(a_R <= DELTA, 0.5 * a_R**2, DELTA * (a_R - 0.5 * DELTA)).sum())


def theirs(p_RL: np.ndarray, loss_R: np.ndarray, starts: list[np.ndarray], factor: bool) -> tuple[np.ndarray, float]:
    """Objective where each start ended, and seconds."""
    import torch

    torch.set_num_threads(1)
    p, y = torch.tensor(p_RL), torch.tensor(loss_R)
    lossfn = torch.nn.HuberLoss(reduction="sum", delta=DELTA)
    ends, began = [], time.process_time()
    for start in starts:
        theta = torch.tensor(start, requires_grad=True)
        optimizer = torch.optim.LBFGS([theta], lr=0.01, history_size=10, max_iter=20, line_search_fn="strong_wolfe")

        def closure(theta=theta, optimizer=optimizer):
            optimizer.zero_grad()
            inner = theta[1] + p @ theta[2:] if factor else p @ theta[1:]
            value = lossfn(torch.exp(theta[0]) + torch.exp(inner), y)
            value.backward()
            return value

        last = np.inf
        for _ in range(100):
            value = float(optimizer.step(closure).detach())
            if not np.isfinite(value) or last - value < 1e-9:
                break
            last = value
        final = float(closure().detach())
        ends.append(final if np.isfinite(final) else np.inf)
    return np.array(ends), time.process_time() - began


def ours(p_RL: np.ndarray, loss_R: np.ndarray, n: int, rng: np.random.Generator) -> tuple[float, float]:
    """The same objective by Levenberg–Marquardt; for fixed c, ln(L - c) is linear in the rest, hence the starts.

    All but the first are moved by normal draws of deviation 4 a slope, since there are several local optima.
    """
    began, L = time.process_time(), p_RL.shape[1]

    def residuals(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        power_R, c = np.exp(np.clip(p_RL @ x[1:], -100, 50)), np.exp(x[0])
        rows = np.column_stack([np.full(len(p_RL), c), power_R[:, None] * p_RL])
        return (c + power_R - loss_R) / DELTA, rows / DELTA

    best = np.inf
    with np.errstate(over="ignore"):
        for share in np.concatenate([[0.5], rng.uniform(0.02, 0.98, n - 1)]):
            c = share * loss_R.min()
            a_L = np.linalg.lstsq(p_RL, np.log(loss_R - c), rcond=None)[0] + (best < np.inf) * rng.normal(0, 4, L)
            start, wide = np.append(np.log(c), a_L), np.full(L + 1, 1e3)
            found = levenberg_marquardt(residuals, start, -wide, wide, len(loss_R), 200, rho=HUBER)
            best = min(best, huber(residuals(found[0])[0] * DELTA))
    return best, time.process_time() - began


def authors(runs: Measurements, targets: int, share: float, kinds: list[str]) -> list[dict]:
    rows, L = [], len(runs.languages)
    for target in runs.targets[:targets]:
        own = runs.languages.index(target)
        for kind in kinds:
            factor, rng = kind == "exponential", np.random.default_rng(42)
            slopes = [0.1 * rng.uniform(size=L) for _ in range(30)]
            for slope in slopes:
                slope[own] = -rng.uniform()
            heads = [[c] for c in np.linspace(-2, 1.5, 10)]
            heads = [[*c, k] for c in heads for k in np.linspace(-10, 1, 20)] if factor else heads
            starts = [np.concatenate([head, slope]) for head in heads for slope in slopes]
            part = [starts[i] for i in rng.permutation(len(starts))[: max(int(share * len(starts)), LEAST_STARTS)]]
            ends, their_seconds = theirs(runs.p_RL, runs.loss(target), part, factor)
            our_value, our_seconds = ours(runs.p_RL, runs.loss(target), OUR_STARTS, np.random.default_rng(0))
            row = {
                "law": kind,
                "target": target,
                "starts": len(starts),
                "starts_run": len(part),
                "their_objective": float(ends.min()),
                "agreeing": float(np.mean(ends <= 1.001 * ends.min())),
                "their_seconds": their_seconds * len(starts) / len(part),
                "our_objective": our_value,
                "our_seconds": our_seconds,
            }
            row["times"] = row["their_seconds"] / our_seconds
            rows.append(row)
            print(row, flush=True)
    return rows


def shown(rows: list[dict]) -> str:
    """Seconds of one core and objectives, theirs scaled up to all of their starts."""
    head = (
        "law | their starts, of which run | their seconds | their objective | ours, seconds | ours, objective | times"
    )
    lines = [f"| {head} |", "|" + "---|" * 7]
    for row in rows:
        cells = [row["law"], f"{row['starts']:,}, {row['starts_run']}", f"{row['their_seconds']:,.0f}"]
        cells += [f"{row['their_objective']:.4f}", f"{row['our_seconds']:.2f}", f"{row['our_objective']:.4f}"]
        cells += [f"{row['times']:,.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("part", choices=["laws", "authors", "show"])
    arguments.add_argument("directory", type=Path, nargs="?")
    arguments.add_argument("--resamples", type=int, default=200)
    arguments.add_argument("--workers", type=int, default=2)
    arguments.add_argument("--laws", nargs="*", default=[])
    arguments.add_argument("--targets", type=int, default=1)
    arguments.add_argument("--share", type=float, default=1.0)
    arguments.add_argument("--kinds", nargs="*", default=["log_linear", "exponential"])
    arguments.add_argument("--out", type=Path, default=RESULTS)
    asked = arguments.parse_args()
    if asked.part == "show" or asked.directory is None:
        print(shown(json.loads(asked.out.read_text())["authors"]))
        return
    runs = regmix(asked.directory)
    result = json.loads(asked.out.read_text()) if asked.out.exists() else {}
    if asked.part == "laws":
        found = laws(runs, asked.resamples, asked.workers, asked.laws)
        kept = result.get("laws", {}).get("laws", {}) if asked.laws else {}
        result["laws"] = {**found, "resamples": asked.resamples, "laws": kept | found["laws"]}
        for what in ("seconds", "processor_seconds"):
            result["laws"][what] = sum(row.get(what, 0.0) for row in result["laws"]["laws"].values())
        print(f"all laws: {result['laws']['seconds']:.0f} s, {result['laws']['processor_seconds']:.0f} of one core")
    else:
        kept = [row for row in result.get("authors", []) if row["law"] not in asked.kinds]
        result["authors"] = kept + authors(runs, asked.targets, asked.share, asked.kinds)
    asked.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
