"""What could be wrong: every doubt that the numbers themselves raise, in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from glotmix.optimize.optimum import NOTHING_TOLD
from glotmix.report.evidence import Evidence
from glotmix.report.frames.accuracy import beaten_by_null, law_rows
from glotmix.report.frames.loop import loop_rows
from glotmix.report.frames.units import reading
from glotmix.wording import NBSP, counted, large, listed, number, share

SEVERAL = {"loss": "losses", "score": "scores", "error": "errors"}
"""What a target measures, of several of them."""

MANY_EPOCHS = 4.0
"""Up to about four passes repeated data is worth almost as much as new data (Muennighoff et al., arXiv 2305.16264)."""


@dataclass(frozen=True)
class Caution:
    """One doubt."""

    level: Literal["fine", "look", "serious"]
    """Whether it is settled, worth a look, or serious."""
    title: str
    """In a few words."""
    text: str
    """What was found and what to do."""


def cautions(evidence: Evidence) -> list[Caution]:
    """All doubts, the serious ones first."""
    found = [
        *_solver(evidence),
        *_extrapolation(evidence),
        *_repetition(evidence),
        *_laws(evidence),
        *_noise(evidence),
        *_diverged(evidence),
        *_scale(evidence),
        *[Caution("look", "A remark of the analysis", text) for text in evidence.warnings],
    ]
    rank = {"serious": 0, "look": 1, "fine": 2}
    return sorted(found, key=lambda caution: rank[caution.level])


def nearest_run(p_L: np.ndarray, p_RL: np.ndarray) -> tuple[int, float]:
    """Row of the run nearest to a mixture and their total variation distance ½ Σ |p - q|."""
    distance_R = 0.5 * np.abs(p_RL - p_L).sum(axis=1)
    row = int(distance_R.argmin())
    return row, float(distance_R[row])


def typical_distance(p_RL: np.ndarray, most: int = 300) -> float:
    """Median distance from a run to the nearest run of another mixture (of at most ``most`` runs, evenly picked)."""
    picked = np.unique(p_RL, axis=0)
    picked = picked[np.linspace(0, len(picked) - 1, min(most, len(picked))).astype(int)]
    nearest = []
    for i, p in enumerate(picked):
        distance = 0.5 * np.abs(picked - p).sum(axis=1)
        distance[i] = np.inf
        nearest.append(distance.min())
    return float(np.median(nearest)) if len(picked) > 1 else float("nan")


def _solver(evidence: Evidence) -> list[Caution]:
    if evidence.advice is None or evidence.advice.status in ("converged", "optimal", "ok"):
        return []
    if evidence.advice.status.startswith(NOTHING_TOLD):
        return []  # the headline says so
    return [
        Caution(
            "serious",
            "The solver did not converge",
            f"Its status is “{evidence.advice.status}”. The mixture may be off.",
        )
    ]


def _extrapolation(evidence: Evidence) -> list[Caution]:
    advice, runs = evidence.advice, evidence.measurements
    if advice is None or runs is None or len(runs) < 2:
        return []
    p_L = np.array([advice.optimum.mixture.get(language, 0.0) for language in runs.languages])
    runs = runs.where(np.array([role != "validation" for role in runs.role_R]))
    if len(runs) < 2:
        return []
    row, distance = nearest_run(p_L, runs.p_RL)
    typical = typical_distance(runs.p_RL)
    outside = [
        evidence.name_of(language)
        for language, p, column in zip(runs.languages, p_L, runs.p_RL.T, strict=True)
        if p > column.max() + 1e-9 or p < column.min() - 1e-9
    ]
    where = (
        f"The nearest training run ({runs.runs[row]}) differs in {share(distance)} of its tokens; "
        f"typical neighbours among the runs differ in {share(typical)}."
    )
    if outside:
        return [
            Caution(
                "serious",
                "The optimum lies outside the runs",
                f"{where} The recommended share of {listed(outside)} is larger or smaller than in any run, so the law "
                "extrapolates. Train a run near it before you rely on it.",
            )
        ]
    if advice.extrapolates:
        return [
            Caution(
                "look",
                "The optimum is no blend of the runs",
                f"{where} It lies outside their convex hull, so the law extrapolates a little in some direction.",
            )
        ]
    if distance > 2 * typical:
        return [
            Caution("look", "Few runs near the optimum", f"{where} Its prediction leans on the law more than on data.")
        ]
    return [Caution("fine", "The optimum lies among the runs", where)]


def _repetition(evidence: Evidence) -> list[Caution]:
    found = []
    epochs = dict(evidence.advice.optimum.epochs) if evidence.advice else {}
    run = "target run" if evidence.target[1] or not evidence.config else "run of the proxies' size"
    many = sorted(((e, language) for language, e in epochs.items() if e > MANY_EPOCHS * 1.001), reverse=True)
    if many:
        named = listed([f"{evidence.name_of(language)} ({number(e, 1)} times)" for e, language in many])
        found.append(
            Caution(
                "look",
                "Text is repeated often",
                f"The {run} would read {named}. Beyond about {MANY_EPOCHS:.0f} passes repeated text is worth much "
                "less than new text.",
            )
        )
    elif epochs:
        most, language = max((e, language) for language, e in epochs.items())
        found.append(
            Caution(
                "fine",
                "No text is repeated too often",
                f"The most repeated {evidence.mixes} in the {run} is {evidence.name_of(language)}, read "
                f"{number(most, 1)} times; up to about {MANY_EPOCHS:.0f} passes repeated text is nearly as good as "
                "new.",
            )
        )
    if evidence.simulated_epochs:
        found.append(
            Caution(
                "fine",
                "Repetition was simulated",
                f"Each proxy was given so little text of each {evidence.mixes} that it read it as often as the target "
                "run would, so the cost of repetition is in the measured losses.",
            )
        )
    elif evidence.simulated_epochs is False and any(e > 1.0 for e in epochs.values()):
        found.append(
            Caution(
                "look",
                "Repetition was not simulated",
                f"The target run would read some {evidence.mixes}s more than once, and the proxies did not: losses of "
                f"the most repeated {evidence.mixes}s may be higher in the target run than the proxies say.",
            )
        )
    return found


def _laws(evidence: Evidence) -> list[Caution]:
    rows = law_rows(evidence)
    if not rows:
        return (
            [
                Caution(
                    "serious",
                    "No held-out check",
                    "No law was tested on mixtures it had not seen, so nothing tells how far its predictions can be "
                    "trusted.",
                )
            ]
            if evidence.law or evidence.advice
            else []
        )
    chosen = next((row for row in rows if row.chosen), rows[0])
    losers = [evidence.name_of(t) for law, t in beaten_by_null(evidence) if law == chosen.law]
    others = [row.law for row in rows if row.law not in ("null", chosen.law) and not row.error < row.null_error]
    text = (
        f"On unseen mixtures{f' ({evidence.held_out_by})' if evidence.held_out_by else ''} {chosen.law} is off by "
        f"{number(100 * chosen.error, 2)}{NBSP}% on average over the {evidence.mixes}s in the mixture; always "
        f"predicting the mean (the null law) is off by {number(100 * chosen.null_error, 2)}{NBSP}%."
    )
    if np.isfinite(chosen.outside):
        who = evidence.in_own_words("languages outside")
        text += f" On {who} the mixture it is off by {number(100 * chosen.outside, 2)}{NBSP}%."
    if others:
        text += f" No better than the null law: {listed(others)}."
    if not chosen.error < chosen.null_error and chosen.law != "null":
        return [Caution("serious", "The law does not beat the null law", text)]
    if losers:
        return [
            Caution(
                "look", f"The law fails for some {evidence.measures}s", f"{text} It is no better for {listed(losers)}."
            )
        ]
    return [Caution("fine", f"The law beats the null law on every {evidence.measures}", text)]


def _noise(evidence: Evidence) -> list[Caution]:
    if not evidence.noise:
        if any(row.measured.low is not None for row in loop_rows(evidence)):
            return []
        return (
            [
                Caution(
                    "look",
                    "The noise is not known",
                    "No mixture was trained with several seeds, so a small difference may be chance.",
                )
            ]
            if evidence.measurements is not None
            else []
        )
    # Scores are in another unit.
    noise = {t: x for t, x in evidence.noise.items() if t not in evidence.scored} or dict(evidence.noise)
    s = float(np.mean(list(noise.values())))
    top = max(noise, key=lambda t: noise[t])
    told = reading(evidence, top)
    return [
        Caution(
            "fine",
            "Noise floor",
            f"The same mixture trained with another seed gives {SEVERAL[told.what]} that differ by "
            f"{number(told.factor * s, 4)} {told.unit} (standard deviation, mean over {evidence.measures}s; most for "
            f"{evidence.name_of(top)}: {number(told.factor * noise[top], 4)} {told.unit}). Smaller differences between "
            "single runs mean nothing.",
        )
    ]


def _diverged(evidence: Evidence) -> list[Caution]:
    counts = dict(evidence.cost.runs) if evidence.cost else {}
    for row in evidence.runs if not counts else ():
        counts[row.status] = counts.get(row.status, 0) + 1
    bad = {status: n for status, n in counts.items() if status != "complete" and n}
    total = sum(counts.values())
    if not bad:
        return []
    named = listed([f"{n} {status}" for status, n in bad.items()])
    level: Literal["look", "serious"] = "serious" if sum(bad.values()) > 0.1 * total else "look"
    return [
        Caution(
            level,
            "Some runs are missing",
            f"Of {counted(total, 'run')}, {named}. They are left out of every average and every fit.",
        )
    ]


def _scale(evidence: Evidence) -> list[Caution]:
    law = evidence.law
    if (
        law is None
        or not np.isfinite(law.N)
        or evidence.cost is None
        or not evidence.cost.target_flops
        or not evidence.cost.flops
    ):
        return []
    runs = max(1, sum(evidence.cost.runs.values()))
    factor = evidence.cost.target_flops / (evidence.cost.flops / runs)
    if factor < 10:
        return []
    return [
        Caution(
            "look",
            "Proxies are small",
            f"The target run takes {large(factor)} times the compute of one proxy. That the mixture which is best for "
            "small models is best for large ones is an assumption that this study did not test.",
        )
    ]
