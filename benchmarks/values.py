"""Do Shapley values help a law to predict? Held-out error of forms in which they enter, at 8 to 32 runs.

    python benchmarks/values.py [--minutes 7]    goes on where it stopped
    python benchmarks/values.py --show           the table of the results kept

Every form sees the same runs; values come from the coalitions among them alone, exact or estimated
(:func:`glotmix.transfer.measured.values_for_laws`). Judged is the mean over targets of the mean relative error. Planted
tables have five languages and noise 1 %; they are judged on 100 mixtures without noise. "coalitions" fits to spread
coalitions, "half swarm" to as many coalitions as mixtures drawn at random. Man pages: the four languages of
recipes/shapley-law.yaml, judged on the study's swarm (three seeds), and the six of man_coalitions.yaml, judged on the
coalitions that were not fitted to. "Sources alike" is the prior without the values: every source has the same, fitted,
expected weight, so that what it gains over free weights is not the values' doing. "Chosen" takes, in each table, the
strength that cross-validation over the runs fitted to prefers, free weights among them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from planted import NAMES, Runs, Truth, measured, mixtures, own_truth, transfer_truth, wrong_form

from glotmix.artifact import read_json, write_json
from glotmix.errors import BadInput
from glotmix.fit.holdout import cross_validate, judge
from glotmix.fit.several import Transfer
from glotmix.laws.law import Law
from glotmix.laws.shapley_law import ShapleyLaw, ShapleyLawFixed, ShapleyLawPrior, ShapleyLawSigned
from glotmix.measurements import Measurements, read_runs
from glotmix.mixture.design import spread_coalitions
from glotmix.transfer.game import members
from glotmix.transfer.matrix import TransferMatrix
from glotmix.transfer.measured import values_for_laws

RESULTS = Path(__file__).parent / "results"
KEPT = RESULTS / "values.json"
STRENGTHS = (0.3, 1.0, 3.0)
ALIKE = "prior, sources alike"
FORMS: dict[str, Law] = {
    "free weights": ShapleyLaw(),
    **{f"prior, spread {spread:g}": ShapleyLawPrior(spread) for spread in STRENGTHS},
    ALIKE: ShapleyLawPrior(),
    "fixed by values": ShapleyLawFixed(),
    "signed weights": ShapleyLawSigned(),
}
CHOSEN = "prior, chosen"
L = 5
SEEDS = 8


def harmful(rng: np.random.Generator, L: int) -> Truth:
    """Strong negative transfer."""
    return transfer_truth(rng, L, harm=0.8)


def formless(rng: np.random.Generator, L: int) -> Truth:
    """Of no law's form."""
    return wrong_form(rng).truth


FAMILIES = {
    "own text only": own_truth,
    "some transfer": transfer_truth,
    "strong transfer": lambda rng, L: transfer_truth(rng, L, helpers=1.0),
    "negative transfer": harmful,
    "no law's form": formless,
}


def table(p_RL: np.ndarray, loss_RT: np.ndarray, languages: tuple[str, ...], roles: tuple[str, ...]) -> Measurements:
    """Runs of one size."""
    unknown = np.full(len(p_RL), np.nan)
    runs = tuple(f"r{r}" for r in range(len(p_RL)))
    return Measurements(runs, languages, languages, p_RL, loss_RT, unknown, unknown, np.arange(len(p_RL)), roles)


def planted(family: str, runs: int, swarm: bool, seed: int) -> tuple[Measurements, Measurements]:
    """Runs to fit to, and mixtures to judge by."""
    rng = np.random.default_rng([sorted(FAMILIES).index(family), seed])
    truth = FAMILIES[family](rng, L)
    coalitions = min(2**L - 1, runs // 2 if swarm else runs)
    inside = spread_coalitions(L, coalitions, rng).astype(float)
    p_RL = inside / inside.sum(axis=1, keepdims=True)
    roles = ["coalition"] * coalitions
    if swarm:
        p_RL, roles = np.vstack([p_RL, mixtures(rng, runs - coalitions, L)]), roles + ["swarm"] * (runs - coalitions)
    made = measured(rng, truth, Runs(p_RL), Runs(mixtures(rng, 100, L)), 0.01, NAMES[:L])
    held = table(made.new.p_RL, made.truth(made.new), NAMES[:L], ("validation",) * 100)
    return table(p_RL, made.loss_RT, NAMES[:L], tuple(roles)), held


def man_pages(seed: int, runs: int) -> tuple[Measurements, Measurements]:
    """Coalitions of four languages, judged on the swarm."""
    every = read_runs(RESULTS / "shapley_law" / f"shapley-law-s{seed}.csv")
    played = every.with_role("coalition")
    wanted = spread_coalitions(len(every.languages), runs, np.random.default_rng(seed))
    there = {tuple(row) for row in wanted.tolist()}
    keep_R = np.array([tuple(row) in there for row in (played.p_RL > 0).tolist()])
    return played.where(keep_R), every.with_role("swarm")


def six_languages(seed: int, runs: int) -> tuple[Measurements, Measurements]:
    """Coalitions of six languages, judged on the other coalitions."""
    game = read_json(RESULTS / "man_coalitions.json")["man-coalitions"]
    languages = tuple(game["players"])
    empty_T = np.array([game["empty_loss"][target] for target in languages])
    order = [game["targets"].index(name) for name in languages]
    inside = members(len(languages))[1:]
    loss_CT = empty_T - np.array(game["payoff"])[1:, order]
    chosen = spread_coalitions(len(languages), runs, np.random.default_rng(seed))
    fitted = {tuple(row) for row in chosen.tolist()}
    keep_C = np.array([tuple(row) in fitted for row in inside.tolist()])
    p_CL = inside / inside.sum(axis=1, keepdims=True)
    both = (table(p_CL[some], loss_CT[some], languages, ("coalition",) * int(some.sum())) for some in (keep_C, ~keep_C))
    first, second = both
    return first, second


def cases() -> Iterator[tuple[str, int, int, tuple[Measurements, Measurements]]]:
    """Table, runs, seed, and what is fitted to and judged by."""
    for seed in range(SEEDS):
        if seed < 3:
            for runs in (8, 11, 15):
                yield "man pages, 4 languages", runs, seed, man_pages(seed, runs)
        for runs in (8, 16, 32):
            if seed < 4:
                yield "man pages, 6 languages", runs, seed, six_languages(seed, runs)
            for family in FAMILIES:
                swarm = runs == 32
                yield family + (", half swarm" if swarm else ""), runs, seed, planted(family, runs, swarm, seed)


def errors(fit_on: Measurements, held: Measurements, seed: int) -> dict[str, float]:
    """Mean relative error of every form, in percent; NaN where it cannot be fitted."""
    inside = [target for target in fit_on.targets if target in fit_on.languages]

    def of(law: Law, values: Transfer = values_for_laws) -> float:
        found = judge([law], fit_on, held, targets=inside, transfer=values, seed=seed, starts=2)
        return 100 * found.mean(law.name)

    own_TL = np.array([[float(target == name) for name in fit_on.languages] for target in fit_on.targets])
    alike = TransferMatrix(fit_on.targets, fit_on.languages, own_TL, None, None, "", "none", {})
    told = {name: of(law, alike if name == ALIKE else values_for_laws) for name, law in FORMS.items()}
    inner = {}
    for name in ("free weights", *[f"prior, spread {spread:g}" for spread in STRENGTHS]):
        law = FORMS[name]
        inner[name] = cross_validate([law], fit_on, 5, seed, targets=inside, transfer=values_for_laws, starts=2).mean(
            law.name
        )
    known = {name: value for name, value in inner.items() if np.isfinite(value)}
    told[CHOSEN] = told[min(known, key=known.get)] if known else told["free weights"]  # type: ignore[arg-type]
    return told


def show() -> str:
    """Mean errors over tables, in brackets how often a form beat free weights; below, geometric means of the ratio with
    95 % intervals over tables."""
    kept = read_json(KEPT)
    groups: dict[tuple[str, int], list[dict[str, float]]] = {}
    for row in kept:
        groups.setdefault((row["table"], row["runs"]), []).append(row["error_percent"])
    names = [*FORMS, CHOSEN]
    lines = [
        "| tables | runs | n | " + " | ".join(names) + " |",
        "|---" * (len(names) + 3) + "|",
    ]
    for (name, runs), rows in sorted(groups.items()):
        cells = [f"{np.mean([row['free weights'] for row in rows]):.2f}"]
        for form in names[1:]:
            both = [(row[form], row["free weights"]) for row in rows if row[form] is not None]
            won = sum(one < other for one, other in both)
            cells.append(f"{np.mean([one for one, _ in both]):.2f} ({won}/{len(both)})" if both else "–")
        lines.append(f"| {name} | {runs} | {len(rows)} | " + " | ".join(cells) + " |")
    for title, some in {
        "all, up to 16 runs": [row for row in kept if row["runs"] <= 16],
        "the same, own text only left out": [
            row for row in kept if row["runs"] <= 16 and not row["table"].startswith("own")
        ],
        "man pages": [row for row in kept if row["table"].startswith("man")],
        "all, 32 runs": [row for row in kept if row["runs"] == 32],
    }.items():
        cells = []
        for form in names[1:]:
            told = [row["error_percent"] for row in some if row["error_percent"][form]]
            log = np.array([np.log(one[form] / one["free weights"]) for one in told])
            half = 1.96 * log.std(ddof=1) / np.sqrt(len(log))
            cells.append(f"{np.exp(log.mean()):.2f} [{np.exp(log.mean() - half):.2f}, {np.exp(log.mean() + half):.2f}]")
        lines.append(f"| *{title}: error over that of free weights* | | {len(some)} | 1 | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=7.0)
    parser.add_argument("--show", action="store_true")
    asked = parser.parse_args()
    if asked.show:
        print(show())
        return
    kept = read_json(KEPT) if KEPT.is_file() else []
    done, began = {(row["table"], row["runs"], row["seed"]) for row in kept}, time.monotonic()
    for name, runs, seed, (fit_on, held) in cases():
        if (name, runs, seed) in done:
            continue
        if time.monotonic() - began > 60 * asked.minutes:
            print("stopped; call again to go on")
            break
        try:
            found = errors(fit_on, held, seed)
        except BadInput as error:
            print(name, runs, seed, error)
            continue
        told = {form: round(value, 4) if np.isfinite(value) else None for form, value in found.items()}
        kept.append({"table": name, "runs": runs, "seed": seed, "error_percent": told})
        write_json(KEPT, kept)
        print(f"{time.monotonic() - began:5.0f} s", name, runs, seed, told, flush=True)


if __name__ == "__main__":
    main()
