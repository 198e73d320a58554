"""When a language is read: laws that know order, on planted truths and on man pages.

    python benchmarks/order.py runs DIR    trains 36 proxies on man pages of four languages (`make corpora`), 24 of them
                                           in two phases, and writes benchmarks/data/order.csv; DIR keeps the runs
    python benchmarks/order.py held-out    laws on these runs, five folds by schedule
    python benchmarks/order.py planted     four truths of order; regret of the optimised schedule, parameters recovered
    python benchmarks/order.py real DIR    studies on the same text that seek a schedule for the mean loss, the worst
                                           language and small languages first, and train it with 6 seeds
    python benchmarks/order.py last DIR    the last phase alone: the same text, and recipes/last-phase.yaml in full
    python benchmarks/order.py all DIR     runs, held-out and planted one after the other
    python benchmarks/order.py --show      the tables of docs/methods/order.md from what is kept

Each planted table has 12 runs of one mixture and 28 of two phases, whose learning rate falls by 5 in the last fifth;
noise 0.5 %.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from tables import head, line, spread

from glotmix.artifact import read_json, write_json
from glotmix.fit import fit
from glotmix.fit.holdout import cross_validate
from glotmix.measurements import Measurements, read_runs, write_csv
from glotmix.mixture.design import PlannedRun
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.phases import Course, Phases
from glotmix.mixture.schedule import Schedule, Stage
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.request import optimum_of
from glotmix.studies import KINDS
from glotmix.studies.mixture.config import StudyConfig, check, load_study
from glotmix.study.config import TrainingConfig
from glotmix.study.directory import StudyDirectory
from glotmix.study.kind import run_study
from glotmix.study.narrator import Narrator
from glotmix.study.training import Training

RESULTS = Path(__file__).parent / "results" / "order.json"
RUNS = Path(__file__).parent / "data" / "order.csv"
MAN_PAGES = Path(__file__).parents[1] / ".cache" / "manpages" / "man"
LANGUAGES = ("deu", "ukr", "nld", "ces")
COURSE = Course(np.array([0.8, 0.2]), np.array([1.0, 0.2]))
HELP = np.array([[1, 0.02, 0.1, 0.05], [0.03, 1, 0.02, 0.12], [0.15, 0.02, 1, 0.04], [0.1, 0.15, 0.05, 1]])
"""How much a share of each language (column) is worth to each (row)."""
NOISE, SEEDS, STATIC, CHANGING = 0.005, 3, 12, 28
LAW = "shapley_law"


def losses(share_RT: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 + 0.8 * np.maximum(share_RT, 1e-6) ** -0.2)


def weighed(phases: Phases, late_T: np.ndarray, others_T: np.ndarray) -> np.ndarray:
    """The laws' own form: weights of the phases by language that reads."""
    share_RT = []
    for t, (late, others) in enumerate(zip(late_T, others_T, strict=True)):
        own_R = np.einsum("rk,rk->r", phases.weights(late)[0], phases.p_RKL[:, :, t])
        other_RL = np.einsum("rk,rkl->rl", phases.weights(others)[0], phases.p_RKL)
        share_RT.append(own_R + other_RL @ np.where(np.arange(4) == t, 0.0, HELP[t]))
    return np.column_stack(share_RT)


LATE: Mapping[str, tuple[np.ndarray, np.ndarray]] = {
    "recency": (np.array([4.0, 1.0, 3.0, 0.0]), np.zeros(4)),
    "small languages are forgotten": (np.array([0.0, 1.5, 3.5, 5.0]), np.zeros(4)),
    "some languages are best read early": (np.array([3.0, -3.0, 2.0, -2.0]), np.full(4, -3.0)),
}
"""Truths of the laws' own form: λ of the own text and of that of others, by language. Where λ is the same for all
languages there is hardly anything to gain: what one of them gets late another has to get early."""


def leaky(phases: Phases) -> np.ndarray:
    """None of the laws: what is known grows by what is read times the learning rate and leaks as it moves on, at rates
    by language, and text helps others only through what is known of it."""
    rate_L = np.array([1.0, 2.5, 5.0, 8.0])
    step_RK = np.diff(np.hstack([np.zeros((len(phases.clock_RK), 1)), phases.clock_RK]), axis=1)
    known_RL = np.zeros((len(step_RK), 4))
    for k in range(step_RK.shape[1]):
        left_RL = np.exp(-rate_L * step_RK[:, [k]])
        known_RL = known_RL * left_RL + phases.p_RKL[:, k] * (1 - left_RL) / rate_L
    return np.asarray(known_RL * rate_L / (1 - np.exp(-rate_L)) @ HELP.T)


TRUTHS: Mapping[str, Callable[[Phases], np.ndarray]] = {
    **{name: lambda phases, of=of: losses(weighed(phases, *of)) for name, of in LATE.items()},
    "a memory that leaks": lambda phases: losses(leaky(phases)),
}


def at(x_X: np.ndarray) -> Phases:
    return COURSE.phases(x_X)


def table(truth: Callable[[Phases], np.ndarray], seed: int) -> Measurements:
    rng = np.random.default_rng(seed)
    p_RKL = rng.dirichlet(np.ones(4), (STATIC + CHANGING, 2))
    p_RKL[:STATIC, 1] = p_RKL[:STATIC, 0]
    R = len(p_RKL)
    phases = Phases(p_RKL, np.tile(COURSE.length_K, (R, 1)), np.tile(COURSE.rate_K, (R, 1)))
    loss_RT = truth(phases) * np.exp(rng.normal(0, NOISE, (R, 4)))
    unknown = np.full(R, np.nan)
    names = tuple(f"r{r}" for r in range(R))
    seeds, roles = np.zeros(R, int), ("",) * R
    return Measurements(
        names, LANGUAGES, LANGUAGES, phases.average_RL, loss_RT, unknown, unknown, seeds, roles, phases=phases
    )


def least(truth: Callable[[Phases], np.ndarray], static: bool) -> float:
    """Least mean loss over all schedules, or over those of one mixture."""

    def value(logit: np.ndarray) -> float:
        logit_KL = logit.reshape(-1, 4)
        p_KL = np.exp(logit_KL - logit_KL.max(axis=1, keepdims=True))
        p_KL = np.broadcast_to(p_KL / p_KL.sum(axis=1, keepdims=True), (2, 4))
        return float(truth(at((COURSE.length_K[:, None] * p_KL).reshape(-1))).mean())

    rng, n = np.random.default_rng(0), 4 if static else 8
    ends = [minimize(value, rng.normal(0, 1.5, n), method="BFGS", options={"gtol": 1e-8}).fun for _ in range(8)]
    return float(min(ends))


def planted(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Regret of the optimum with and without order, and what the law finds of it; what is kept after every truth."""
    for name, truth in TRUTHS.items():
        if name in found:
            continue
        best, rows = least(truth, static=False), []
        for seed in range(SEEDS):
            runs = table(truth, seed)
            row: dict[str, Any] = {}
            for law, phases in ((LAW, 1), (f"{LAW}+order", 2)):
                fitted = fit(law, runs, seed=seed, starts=4, bootstrap=60 if phases == 2 else 0)
                told = {target: one.to_polars() for target, one in fitted.fits.items()}
                row["late"] = {
                    target: one.filter(one["parameter"].str.starts_with("late")).to_dicts()
                    for target, one in told.items()
                }
                fitted = replace(
                    fitted, fits={t: replace(at, bootstrap_BP=at.bootstrap_BP[:0]) for t, at in fitted.fits.items()}
                )
                optimum = optimum_of(fitted, OptimizeConfig(phases=phases, max_epochs=None, rehearsal=0.0))
                schedule = optimum.schedule
                shares = [optimum.mixture] * 2 if schedule is None else [stage.mixture for stage in schedule.stages]
                p_KL = np.array([[one[language] for language in LANGUAGES] for one in shares])
                x_X = (COURSE.length_K[:, None] * p_KL).reshape(-1)
                row[f"{phases} phases"] = {"regret": float(truth(at(x_X)).mean()) / best - 1, "p": p_KL.tolist()}
            rows.append(row)
            print(name, seed, {key: round(100 * row[key]["regret"], 3) for key in row if key != "late"}, flush=True)
        found[name] = {"best": best, "static": least(truth, static=True) / best - 1, "tables": rows}
        yield found


NAMES = ("deu_Latn", "ukr_Cyrl", "nld_Latn", "ces_Latn")
TEXT = {"corpus": {"reader": "manpages", "path": str(MAN_PAGES), "held_out": 0.15},
        "tokens": {"vocab_size": 1024, "held_out_tokens": 20000},
        "proxy": {"width": 32, "layers": 2, "heads": 2, "tokens": 500_000, "context": 64, "batch": 8,
                  "learning_rate": 8e-3, "precision": "float32"},
        "target": {"tokens": 1.2e7}, "sweep": {"workers": 1, "stack": 8}}  # fmt: skip
"""A long tail (3.5, .87, .30 and .17 million tokens) that proxies repeat as a run of 12 million tokens would."""


def trained(directory: Path) -> Measurements:
    """Mixtures around sizes to the power .4; 8 single ones, one of them repeated with 4 seeds, and 24 schedules whose
    last phase is the last fifth, both mixtures drawn apart."""
    config = TrainingConfig(name="Order", languages=list(NAMES), **TEXT)
    directory.mkdir(parents=True, exist_ok=True)
    training = Training(config, Path(), directory, Narrator())
    store, rng = training.tokens(), np.random.default_rng(0)
    unique = training.unique(store)
    natural_L = np.array([unique[name] for name in NAMES])
    base_L = (natural_L / natural_L.sum()) ** 0.4
    base_L /= base_L.sum()

    def drawn() -> Mixture:
        p_L = rng.dirichlet(4 * base_L)
        p_L = np.where(p_L < 0.01, 0, p_L)
        return Mixture.from_vector(NAMES, p_L / p_L.sum())

    D = round(config.proxy.tokens)
    runs = [PlannedRun(f"static-{k:02d}", "swarm", Schedule.constant(drawn()), D, 0) for k in range(8)]
    for k in range(24):
        runs.append(PlannedRun(f"two-{k:02d}", "swarm", Schedule((Stage(0, drawn()), Stage(0.8, drawn()))), D, 0))
    base = Schedule.constant(Mixture.from_vector(NAMES, base_L))
    runs += [PlannedRun(f"base-s{seed}", "anchor", base, D, seed) for seed in range(4)]
    spec = training.sweep_spec(store, len(runs))
    found = training.measure(runs, spec, training.run(runs, spec, "Training proxies"))
    write_csv(found.to_polars(), RUNS)
    return found


FOLDINGS = 3
JUDGED = ("own_ratio_floored", "shapley_law", "shapley_law_repeated")


def held_out() -> dict[str, Any]:
    """Mean relative errors of held-out runs with and without order, and λ fitted to all of them."""
    runs = read_runs(RUNS)
    laws = ["null", *(f"{law}{order}" for law in JUDGED for order in ("", "+order"))]
    found: dict[str, Any] = {law: [] for law in laws}
    for seed in range(FOLDINGS):
        judged = cross_validate(laws, runs, folds=5, seed=seed)
        for law in laws:
            found[law].append({target: one.error for target, one in judged.scores[law].items()})
    told = {}
    for target, at in fit(f"{JUDGED[-1]}+order", runs, bootstrap=200).fits.items():
        rows = at.to_polars()
        told[target] = rows.filter(rows["parameter"].str.starts_with("late")).to_dicts()
    spread = {target: float(np.std(np.log(runs.with_role("anchor").loss(target)), ddof=1)) for target in runs.targets}
    return {"laws": found, "late": told, "noise": spread}


OBJECTIVES: Mapping[str, Mapping[str, Any]] = {
    "mean": {"objective": "mean"},
    "worst": {"objective": "worst"},
    "weighted": {"objective": "weighted", "weights": {"deu_Latn": 1, "ukr_Cyrl": 2, "nld_Latn": 3, "ces_Latn": 4}},
}
"""What is sought: the mean loss, that of the worst language, and small languages first."""


def study(objective: str) -> dict[str, Any]:
    """The same text in a study that asks for two phases; shorter proxies, a learning rate that falls at last."""
    return TEXT | {
        "name": "Order",
        "languages": list(NAMES),
        "design": {"coalitions": "none", "swarm": 10, "swarm_roles": "fit", "anchors": 1, "anchor_seeds": 2,
                   "schedules": 24, "passes": 12.0, "beyond": 0},
        "proxy": TEXT["proxy"] | {"tokens": 300_000, "decay": 0.2},
        "fit": {"laws": ["null", "own_ratio_floored", "shapley_law", "shapley_law_repeated"], "bootstrap": 100},
        "optimize": OBJECTIVES[objective] | {"phases": 2, "max_epochs": 8.0},
        "validation": {"seeds": 6, "baselines": ["unimax"]},
    }  # fmt: skip


def closed_loop(config: StudyConfig, directory: Path) -> dict[str, Any]:
    """What a study found, what its closed loop measured of it, and what its terminal and its page say of that."""
    finished = run_study(KINDS.find("mixture")(), config, StudyDirectory(directory, Path()))
    optimum, loop = (read_json(directory / f"{name}.json") for name in ("optimum", "closed_loop"))
    judged = read_json(directory / "fits" / "holdout.json")
    fitted = read_json(directory / "fits" / f"{judged['chosen']}.json")["fits"]
    late = {t: {k: x for k, x in at["theta"].items() if k.startswith("late")} for t, at in fitted.items()}
    scores = judged["cross_validated"]["scores"]
    return {
        "law": judged["chosen"], "late": late,
        "errors": {law: {t: one["error"] for t, one in of.items()} for law, of in scores.items()},
        "schedule": optimum.get("schedule"), "mixtures": loop["mixtures"],
        "schedules": loop["schedules"], "objective": loop["objective"], "differences": loop["differences"],
        "by_target": loop["by_target"],
        "predicted": {row["name"]: row["gain"] for row in optimum["baselines"]},
        **finished.found.to_json(),
    }  # fmt: skip


def real(directory: Path, found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every objective that is not kept yet, six seeds a schedule; what is kept after each. All share their runs."""
    for objective in OBJECTIVES:
        if objective not in found:
            found[objective] = closed_loop(check(study(objective)), directory)
            yield found


RECIPE = Path(__file__).parents[1] / "recipes" / "last-phase.yaml"


def last_phase(objective: str) -> StudyConfig:
    """The same text, four fifths of which were read in proportion to the languages' sizes."""
    return check(
        TEXT
        | {
            "name": "Last phase",
            "languages": list(NAMES),
            "first_phase": {"at": 0.8, "mixture": "natural"},
            "design": {"swarm": 16, "passes": 12.0},
            "proxy": TEXT["proxy"] | {"tokens": 300_000, "decay": 0.2},
            "fit": {"laws": ["null", "own_ratio_floored", "shapley_law", "shapley_law_repeated"], "bootstrap": 100},
            "optimize": OBJECTIVES[objective] | {"max_epochs": 8.0},
            "validation": {"seeds": 6, "baselines": ["uniform", "temperature"]},
        }
    )


def last(directory: Path, found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The best last phase beside going on as before, six seeds; what is kept after every study."""
    asked = {"the recipe, mean": ("recipe", load_study(RECIPE, overrides=["validation.seeds=6"]))}
    asked |= {f"man pages, {objective}": ("man", last_phase(objective)) for objective in OBJECTIVES}
    for name, (place, config) in asked.items():
        if name not in found:
            found[name] = closed_loop(config, directory / place)
            yield found


def seeds_to_tell(of: Mapping[str, Any], seeds: int) -> str:
    """Seeds at which the interval of a difference would leave zero out if the difference is what it seems, the noise
    being what it was; "" where it has been told."""
    return (
        ""
        if of["verdict"] != "within the noise"
        else f"{seeds * ((of['high'] - of['low']) / 2 / of['value']) ** 2:.0f}"
    )


def show_closed_loops(kept: Mapping[str, Any], head_of: str) -> None:
    """What every schedule is behind the one sought, measured and predicted."""
    head(head_of, "law", "compared with", "behind by", "predicted", "verdict on the schedule sought", "seeds to tell")
    for name, of in kept.items():
        for row in of["differences"]:
            which = row["baseline"]
            cells = spread(row, "+"), spread(of["predicted"][which], "+"), row["verdict"]
            line(name, of["law"], which, *cells, seeds_to_tell(row, len(of["objective"][which])))
    print()


def show_last_mixtures(kept: Mapping[str, Any]) -> None:
    """Shares that go on as before, and those of the last phase that was found."""
    head("last phase", "going on as before", "found")
    for name, of in kept.items():
        rest = of["schedule"][-1]["mixture"]
        shares = [", ".join(f"{one} {100 * p:.0f}" for one, p in mixture.items() if p > 0)
                  for mixture in (of["mixtures"]["continued"], rest)]  # fmt: skip
        line(name, *shares)
    print()


def show(kept: Mapping[str, Any]) -> None:
    """Tables as they stand in the docs."""
    if told := kept.get("held-out"):
        head("law", *NAMES, "mean", "mean, other foldings")
        for law, rows in told["laws"].items():
            means = [float(np.mean([row[name] for name in NAMES])) for row in rows]
            cells = [rows[0][name] for name in NAMES]
            line(law, *(f"{100 * x:.2f}" for x in (*cells, means[0])), ", ".join(f"{100 * x:.2f}" for x in means[1:]))
        line("between seeds", *(f"{100 * told['noise'][name]:.2f}" for name in NAMES), "", "")
        print()
        head(f"{JUDGED[-1]}+order", "λ of own text", "λ of others' text")
        for name in NAMES:
            line(name, *(f"{x['value']:.1f} [{x['low']:.1f}, {x['high']:.1f}]" for x in told["late"][name]))
        print()
    if planted := kept.get("planted"):
        head("truth", "the best single mixture", f"optimum on {LAW}", f"two phases on {LAW}+order", "greatest")
        for name, of in planted.items():
            one, two = (np.array([row[f"{k} phases"]["regret"] for row in of["tables"]]) for k in (1, 2))
            cells = (of["static"], one.mean(), two.mean(), two.max())
            line(name, *(f"{100 * x:.2f}" for x in cells))
        print()
        head("truth", "λ of own text", "found", "λ of others' text", "found", "in their intervals")
        for name in LATE:
            cells, inside = [], []
            for which, kind in enumerate(("late", "late_others")):
                true_T = LATE[name][which]
                told = [
                    [next(one for one in row["late"][language] if one["parameter"] == kind) for language in LANGUAGES]
                    for row in planted[name]["tables"]
                ]
                value_ST = np.array([[one["value"] for one in row] for row in told])
                inside += [one["low"] <= x <= one["high"] for row in told for one, x in zip(row, true_T, strict=True)]
                cells += [", ".join(f"{x:g}" for x in true_T), ", ".join(f"{x:.1f}" for x in value_ST.mean(axis=0))]
            line(name, *cells, f"{sum(inside)} of {len(inside)}")
        print()
    if trained := kept.get("real"):
        show_closed_loops(trained, "two phases sought for")
    if trained := kept.get("last"):
        show_closed_loops(trained, "last phase sought on")
        show_last_mixtures(trained)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", nargs="?", choices=("runs", "held-out", "planted", "real", "last", "all"))
    arguments.add_argument("directory", nargs="?", type=Path)
    arguments.add_argument("--show", action="store_true")
    asked = arguments.parse_args()
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if asked.what in ("runs", "all"):
        trained(asked.directory)
    if asked.what in ("held-out", "all"):
        kept["held-out"] = held_out()
        write_json(RESULTS, kept)
        show(kept)
    if asked.what in ("planted", "all"):
        for found in planted(kept.setdefault("planted", {})):
            write_json(RESULTS, kept | {"planted": found})
    for what, studies in (("real", real), ("last", last)):
        if asked.what == what:
            for found in studies(asked.directory / what, kept.setdefault(what, {})):
                write_json(RESULTS, kept | {what: found})
    if asked.show:
        show(kept)


if __name__ == "__main__":
    main()
