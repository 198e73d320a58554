"""Can a budget be staked on the answer? Planted truths, asked and answered through the command line.

    python benchmarks/decisions.py                     every family, 40 tables each; goes on where it was stopped
    python benchmarks/decisions.py noise twelve        these families
    python benchmarks/decisions.py --tables 8          fewer tables
    python benchmarks/decisions.py --first 2000        other tables: the seeds from 2000 on
    python benchmarks/decisions.py --show              the table of docs/methods/laws.md
    python benchmarks/decisions.py --process           the first table of each family through real processes as well

The tables with seeds below 1000 were looked at while intervals were mended; those that are kept come after them.

Every table is written as a CSV and goes through ``fit``, ``predict`` (100 new mixtures) and ``optimize``, whose files
are read back. Kept per table in ``benchmarks/results/decisions.json``: the regret of the recommended mixture and of
uniform (percent of the least possible true objective), how many of the new runs lie in their interval, whether the true
objective of the recommendation and its true gain over uniform do, whether a gain is claimed (interval above zero) that
is not there, how many estimates lie outside their own interval, and how wide the intervals of new runs are beside those
of an oracle who knows the form and the noise and learns the parameters from the same table, and beside the noise alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from planted import FAMILIES, Runs, Table
from scipy.optimize import minimize
from typer.testing import CliRunner

from glotmix.artifact import write_json
from glotmix.cli import app

RESULTS = Path(__file__).parent / "results" / "decisions.json"
TABLES = 40
FIRST = 1000
Command = Callable[[list[str]], None]


def in_process(arguments: list[str]) -> None:
    """The command line in this process."""
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    if result.exit_code:
        raise RuntimeError(f"{' '.join(arguments)}: {result.output}")


def as_process(arguments: list[str]) -> None:
    """The command line in a process of its own."""
    subprocess.run([sys.executable, "-m", "glotmix", *arguments], check=True, stdout=subprocess.DEVNULL)


def write_runs(path: Path, runs: Runs, languages: tuple[str, ...], loss_RT: np.ndarray | None) -> None:
    """The wide table that every command reads."""
    columns: dict[str, Any] = {"run": [f"r{r:04}" for r in range(len(runs.p_RL))]}
    columns |= {name: x for name, x in (("N", runs.N_R), ("D", runs.D_R)) if x is not None}
    columns |= {f"p/{language}": runs.p_RL[:, l] for l, language in enumerate(languages)}  # noqa: E741
    if runs.unique_L is not None:
        columns |= {
            f"unique/{name}": np.full(len(runs.p_RL), u) for name, u in zip(languages, runs.unique_L, strict=True)
        }
    if loss_RT is not None:
        columns |= {f"loss/{languages[t]}": loss_RT[:, t] for t in range(loss_RT.shape[1])}
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def objective(table: Table, p_RL: np.ndarray) -> np.ndarray:
    """The true mean loss [R] of mixtures at the size that is asked about."""
    N, D = (np.full(len(p_RL), table.at[x]) if x in table.at else None for x in ("N", "D"))
    return np.asarray(table.truth(Runs(p_RL, N, D, table.runs.unique_L)).mean(axis=1))


def least(table: Table) -> float:
    """The least true objective, by quasi-Newton on a softmax from several starts."""
    L = table.runs.p_RL.shape[1]
    rng = np.random.default_rng(0)

    def shares(z_RL: np.ndarray) -> np.ndarray:
        raised = np.exp(z_RL - z_RL.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    def value(z_L: np.ndarray) -> tuple[float, np.ndarray]:
        moved = np.vstack([z_L, z_L + 1e-5 * np.eye(L), z_L - 1e-5 * np.eye(L)])
        at = objective(table, shares(moved))
        return float(at[0]), (at[1 : L + 1] - at[L + 1 :]) / 2e-5

    starts = [np.zeros(L), *rng.normal(0, 1, (5 if L < 50 else 1, L))]
    return min(float(minimize(value, z, jac=True, method="L-BFGS-B", bounds=[(-12, 12)] * L).fun) for z in starts)


def ask(table: Table, folder: Path, command: Command) -> dict[str, Any]:
    """One table through the three commands."""
    names = {name: str(folder / name) for name in ("runs.csv", "new.csv", "fit.json", "out.csv", "mixture.json")}
    write_runs(Path(names["runs.csv"]), table.runs, table.languages, table.loss_RT)
    write_runs(Path(names["new.csv"]), table.new, table.languages, None)
    command(["fit", names["runs.csv"], "--out", names["fit.json"], "--workers", "1"])
    command(["predict", names["fit.json"], names["new.csv"], "--out", names["out.csv"]])
    size = [f"--{long}={table.at[x]}" for x, long in (("N", "parameters"), ("D", "tokens")) if x in table.at]
    command(["optimize", names["fit.json"], *size, "--out", names["mixture.json"]])
    return judge(table, json.loads(Path(names["fit.json"]).read_text()), names)


def judge(table: Table, fit: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """What the answers are worth, by the truth."""
    with Path(names["out.csv"]).open() as file:
        rows = list(csv.DictReader(file))
    targets = table.languages[: table.loss_RT.shape[1]]
    value_RT, low_RT, high_RT = (
        np.array([[float(row[f"loss/{t}{end}"] or "nan") for t in targets] for row in rows])
        for end in ("", "/low", "/high")
    )
    inside_RT = (low_RT <= table.new_loss_RT) & (table.new_loss_RT <= high_RT)
    best = json.loads(Path(names["mixture.json"]).read_text())
    p_L = np.array([best["mixture"][language] for language in table.languages])
    uniform_L = np.full(len(p_L), 1 / len(p_L))
    (true, true_uniform), floor = objective(table, np.stack([p_L, uniform_L])), least(table)
    floor = min(floor, true, true_uniform)
    gains = {row["name"]: row["gain"] for row in best["baselines"]}
    estimates = [best["objective"], *best["predicted"].values(), *gains.values()]
    estimates += [row["objective"] for row in best["baselines"]]
    outside = int(((value_RT < low_RT) | (value_RT > high_RT)).sum())
    outside += sum(not _covers(one, one["value"]) for one in estimates)
    gain = gains["uniform"]
    wrong = any(
        _claimed(one) and _true_gain(table, row, true) <= 1e-9
        for row, one in zip(best["baselines"], gains.values(), strict=True)
    )
    return {
        "law": fit["chosen"],
        "regret": 100 * (true - floor) / floor,
        "regret_uniform": 100 * (true_uniform - floor) / floor,
        "covered": inside_RT.mean(axis=0).tolist(),
        "objective": _covers(best["objective"], true),
        "gain": _covers(gain, true_uniform - true),
        "claimed": _claimed(gain),
        "false_claim": wrong,
        "outside": outside,
        "width": float(np.mean(np.log(high_RT / low_RT) / (2 * 1.96 * table.oracle_RT))),
        "width_of_noise": float(np.mean(np.log(high_RT / low_RT) / (2 * 1.96 * table.spread_RT))),
        "error": float(np.mean(np.abs(np.log(value_RT / table.truth(table.new))))),
        "objective_z": _z(best["objective"], true),
        "gain_z": _z(gain, true_uniform - true),
    }


def _true_gain(table: Table, row: dict[str, Any], true: float) -> float:
    other_L = np.array([row["mixture"][language] for language in table.languages])
    return float(objective(table, other_L[None])[0]) - true


def _claimed(gain: dict[str, Any]) -> bool:
    return gain["low"] is not None and gain["low"] > 0


def _covers(one: dict[str, Any], value: float) -> bool:
    return bool(one["low"] is not None and one["low"] <= value <= one["high"])


def _z(one: dict[str, Any], true: float) -> float | None:
    """Error in half widths of the interval: beyond 1 it is not covered."""
    if one["low"] is None or one["high"] <= one["low"]:
        return None
    return float((one["value"] - true) / ((one["high"] - one["low"]) / 2))


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One family in figures."""
    covered_BT = np.array([row["covered"] for row in rows])
    share = {k: float(np.mean([row[k] for row in rows])) for k in ("objective", "gain", "claimed", "false_claim")}
    return {
        "tables": len(rows),
        "regret": float(np.mean([row["regret"] for row in rows])),
        "regret_uniform": float(np.mean([row["regret_uniform"] for row in rows])),
        "worse_than_uniform": float(np.mean([row["regret"] > row["regret_uniform"] + 1e-9 for row in rows])),
        "new_runs": float(covered_BT.mean()),
        "worst_target": float(covered_BT.mean(axis=0).min()),
        **share,
        "outside": int(sum(row["outside"] for row in rows)),
        **{k: float(np.mean([row[k] for row in rows])) for k in ("width", "width_of_noise")},
        "laws": {law: sum(row["law"] == law for row in rows) for law in sorted({row["law"] for row in rows})},
        "seconds": float(np.mean([row["seconds"] for row in rows])),
    }


def shown(kept: dict[str, Any]) -> str:
    """Families in rows."""
    head = (
        "family | tables | regret (uniform) | new runs (worst target) | objective | gain | false claims | width (noise)"
    )
    lines = [f"| {head} |", "|" + "---|" * 8]
    for family in kept.values():
        s = summary(family["rows"])
        cells = [family["what"], str(s["tables"]), f"{s['regret']:.3f} ({s['regret_uniform']:.2f})"]
        cells += [f"{s['new_runs']:.3f} ({s['worst_target']:.3f})", f"{s['objective']:.2f}", f"{s['gain']:.2f}"]
        cells += [f"{s['false_claim']:.3f}", f"{s['width']:.2f} ({s['width_of_noise']:.2f})"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", default=[], metavar="FAMILY", help=" | ".join(FAMILIES))
    parser.add_argument("--tables", type=int, default=TABLES)
    parser.add_argument("--first", type=int, default=FIRST, help="seed of the first table")
    parser.add_argument("--process", action="store_true")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    kept = json.loads(asked.out.read_text()) if asked.out.exists() else {}
    if asked.show:
        print(shown(kept))
        return
    for name in asked.families or FAMILIES:
        rows = kept.get(name, {}).get("rows", [])
        done = {row["seed"] for row in rows}
        for k in range(asked.first, asked.first + asked.tables):
            if k in done:
                continue
            table = FAMILIES[name].make(np.random.default_rng([k, list(FAMILIES).index(name)]))
            started = time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                row = ask(table, Path(folder), in_process)
            rows.append({"seed": k} | row | {"seconds": time.process_time() - started})
            kept[name] = {"what": FAMILIES[name].what, "summary": summary(rows), "rows": rows}
            write_json(asked.out, kept)
        if asked.process:
            table = FAMILIES[name].make(np.random.default_rng([asked.first, list(FAMILIES).index(name)]))
            row = next(row for row in rows if row["seed"] == asked.first)
            with tempfile.TemporaryDirectory() as folder:
                again = ask(table, Path(folder), as_process)
            kept[name]["process"] = {"same": all(again[key] == row[key] for key in again)}
            write_json(asked.out, kept)
        told = summary(rows)
        print(name, json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in told.items()}), flush=True)


if __name__ == "__main__":
    main()
