"""What a trial of methods says: losses with intervals, every pair with its significance, and who overfits when."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from glotmix.estimate import PairedLayout, holm, over_repeats
from glotmix.laws.data_constrained import PUBLISHED
from glotmix.mixture.methods import parse
from glotmix.studies.compare.findings import (
    MEAN,
    WORST,
    Comparison,
    EvaluationPoint,
    MethodRow,
    OverfittingRow,
    Pair,
    Side,
)
from glotmix.studies.compare.runs import MethodOutcome, Results
from glotmix.studies.compare.translation import METRICS, TranslationScores

Curves = Mapping[str, Mapping[str, np.ndarray]]
"""Metric to language to values at the evaluations, of one run."""


def compare(
    results: Results, side: Side | None = None, translations: Mapping[str, TranslationScores] | None = None
) -> Comparison:
    """Put the outcomes of a trial side by side, with the scores of each run's translations where there are any.

    Intervals and tests come from the additive layout method x seed: methods share their seeds, so what a seed does to
    all of them is no noise of a difference, and the residual variance is pooled over methods, with (M - 1)(S - 1)
    degrees of freedom. Only seeds that all methods completed count. Pairs are corrected by Holm's method per language.
    """
    languages = list(results.situation.unique)
    by_method = {text: [o for o in results.outcomes if o.method == text] for text in results.methods}
    methods = [text for text in results.methods if by_method[text]]
    seeds = sorted(set.intersection(*({o.seed for o in by_method[text]} for text in methods)))
    runs = {text: {o.seed: o for o in by_method[text]} for text in methods}
    curves = {text: [curves_of(runs[text][seed]) for seed in seeds] for text in methods}
    loss_MSL = np.array([[[c["bpb"][name][-1] for name in languages] for c in curves[text]] for text in methods])
    values = dict(zip(languages, np.moveaxis(loss_MSL, 2, 0), strict=True))
    values |= {MEAN: loss_MSL.mean(2), WORST: loss_MSL.max(2)}
    layouts = {name: PairedLayout(value_MS) for name, value_MS in values.items()}
    quality = {} if translations is None else _quality(runs, methods, seeds, languages, translations)
    return Comparison(
        baseline=methods[0],
        sizes=dict(results.situation.unique),
        tokens=results.situation.D,
        seeds=len(seeds),
        rows=tuple(
            dataclasses.replace(
                _row(results, text, m, [runs[text][seed] for seed in seeds], layouts, curves, methods[0], languages),
                quality={metric: {name: one.estimate(m) for name, one in of.items()} for metric, of in quality.items()},
            )
            for m, text in enumerate(methods)
        ),
        pairs=tuple(pair for name, layout in layouts.items() for pair in pairs(layout, methods, name)),
        watches=tuple(_watch(results, text, name, curves[text]) for text in methods for name in languages),
        predicted_epochs=1 + PUBLISHED["R_D"],
        side=side,
        lost=dict(results.lost),
        precision=results.outcomes[0].record["precision"],
        quality={
            metric: tuple(pair for name, one in of.items() for pair in pairs(one, methods, name, more=True))
            for metric, of in quality.items()
        },
        sentences={}
        if not translations
        else {n: int(s["sentences"]) for n, s in next(iter(translations.values())).items()},
    )


def _quality(
    runs: Mapping[str, Mapping[int, MethodOutcome]],
    methods: Sequence[str],
    seeds: Sequence[int],
    languages: Sequence[str],
    translations: Mapping[str, TranslationScores],
) -> dict[str, dict[str, PairedLayout]]:
    """Metric to language (and their mean) to the scores of all methods and seeds."""
    found = {}
    for metric in METRICS:
        of_MSL = [
            [[translations[runs[text][seed].record["run"]][name][metric] for name in languages] for seed in seeds]
            for text in methods
        ]
        score_MSL = np.array(of_MSL)
        by_language = dict(zip(languages, np.moveaxis(score_MSL, 2, 0), strict=True)) | {MEAN: score_MSL.mean(2)}
        found[metric] = {name: PairedLayout(score_MS) for name, score_MS in by_language.items()}
    return found


def pairs(layout: PairedLayout, methods: Sequence[str], language: str, *, more: bool = False) -> list[Pair]:
    """Every pair of methods, with Holm's p; ``more``: more is better."""
    chosen = list(itertools.combinations(range(len(methods)), 2))
    p_P = holm(np.array([layout.p_value(a, b) for a, b in chosen]))
    return [
        Pair(methods[a], methods[b], language, layout.difference(a, b), float(p), more)
        for (a, b), p in zip(chosen, p_P, strict=True)
    ]


def curves_of(outcome: MethodOutcome) -> Curves:
    """The losses table of a run as arrays; "tokens" holds the evaluations' training tokens under ""."""
    found: dict[str, dict[str, list[float]]] = {}
    tokens: dict[int, float] = {}
    for row in outcome.record["losses"]:
        found.setdefault(row["metric"], {}).setdefault(row["language"], []).append(row["value"])
        tokens[row["step"]] = float(row["tokens"])
    arrays = {metric: {name: np.array(v) for name, v in by.items()} for metric, by in found.items()}
    return arrays | {"tokens": {"": np.array([tokens[step] for step in sorted(tokens)])}}


def tokens_to(tokens_E: np.ndarray, loss_E: np.ndarray, target: float) -> float | None:
    """Tokens at which a loss first is at most ``target``, straight lines between evaluations; None if it never is."""
    below = np.flatnonzero(loss_E <= target)
    if not below.size:
        return None
    e = int(below[0])
    if e == 0:
        return float(tokens_E[0])
    share = (loss_E[e - 1] - target) / (loss_E[e - 1] - loss_E[e])
    return float(tokens_E[e - 1] + share * (tokens_E[e] - tokens_E[e - 1]))


def _row(
    results: Results,
    text: str,
    m: int,
    outcomes: Sequence[MethodOutcome],
    layouts: Mapping[str, PairedLayout],
    curves: Mapping[str, Sequence[Curves]],
    baseline: str,
    languages: Sequence[str],
) -> MethodRow:
    loss = {name: layout.estimate(m) for name, layout in layouts.items()}
    method, _ = parse(text)
    tokens_E = curves[text][0]["tokens"][""]

    def course(of: str, name: str) -> np.ndarray:
        names = languages if name == MEAN else [name]
        return np.asarray(np.mean([[c["bpb"][one] for one in names] for c in curves[of]], axis=(0, 1)))

    read = {name: float(np.mean([o.record["tokens"].get(name, 0) for o in outcomes])) for name in languages}
    total, unique = sum(read.values()), results.situation.unique
    chosen, schedule = results.balances[text], outcomes[0].schedule
    return MethodRow(
        method=text,
        formula=method.formula,
        source=method.source,
        is_static=chosen.schedule.is_constant and chosen.weighting is None and chosen.adaptive is None,
        seeds=len(outcomes),
        loss=loss,
        worst_language=max(languages, key=lambda name: loss[name].value),
        tokens_to={
            name: tokens_to(tokens_E, course(text, name), float(course(baseline, name)[-1]))
            for name in [*languages, MEAN]
        },
        flops=float(np.mean([o.flops for o in outcomes])),
        epochs={name: count / unique[name] for name, count in read.items()},
        shares={name: count / total for name, count in read.items()},
        stages=tuple((s.start, schedule.epochs_at(s.start, results.situation.D, unique)) for s in schedule.stages),
    )


def _watch(results: Results, text: str, name: str, curves: Sequence[Curves]) -> OverfittingRow:
    tokens_E = curves[0]["tokens"][""]
    held_SE, trained_SE, seen_SE = (np.array([c[what][name] for c in curves]) for what in ("nats", "train", "seen"))
    epochs_E = seen_SE.mean(0) / results.situation.unique[name]
    moments = [
        EvaluationPoint(*map(float, row))
        for row in zip(tokens_E, epochs_E, trained_SE.mean(0), held_SE.mean(0), strict=True)
    ]
    best = int(np.argmin(held_SE.mean(0)))
    gap = held_SE[:, -1] - trained_SE[:, -1]
    return OverfittingRow(text, name, tuple(moments), moments[best], over_repeats(rises(held_SE)), over_repeats(gap))


def rises(held_SE: np.ndarray) -> np.ndarray:
    """Each seed's loss at the end minus that at the evaluation that was best for the other seeds, [S].

    The least of noisy losses is too low; chosen by the others, it is not.
    """
    S = len(held_SE)
    total_E = held_SE.sum(0)
    best_S = [int(np.argmin(total_E - held_SE[s])) if S > 1 else int(np.argmin(total_E)) for s in range(S)]
    return np.array([held_SE[s, -1] - held_SE[s, best] for s, best in enumerate(best_S)])
