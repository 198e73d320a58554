"""From the runs and probes of the laboratory to its findings: losses, token efficiencies, alignment, verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from glotmix.artifact import read_json
from glotmix.errors import BadInput
from glotmix.estimate import Estimate, over_repeats
from glotmix.mixture.design import PlannedRun
from glotmix.probe.equivalents import Efficiency, Method, efficiency, interpolated, misfit
from glotmix.studies.clones.arms import Arm, split_name
from glotmix.studies.clones.findings import (
    AlignmentPoint,
    AloneRow,
    Claim,
    CloneMixtureRow,
    ControlRow,
    DialRow,
    judged,
)

Curves = Mapping[int, tuple[np.ndarray, np.ndarray]]
"""Seed to tokens and losses of its runs on one language alone."""


ALIGNED: tuple[tuple[str, str, str, Callable[[Mapping[str, Any]], float]], ...] = (
    (
        "Gradients",
        "mean cosine 0.534 against 0.072",
        "mean gradient cosines",
        lambda probe: float(probe["gradient"]["mean"]),
    ),
    (
        "Hidden states",
        "mean cosine over blocks 0.85 against 0.60",
        "raw hidden cosines, mean over blocks",
        lambda probe: float(np.mean(probe["hidden"]["raw"])),
    ),
    (
        "Input embeddings",
        "cosine of clone pairs 0.20 against 0.03",
        "cosines of clone pairs minus those of all pairs",
        lambda probe: float(probe["embedding"]["pairs"] - probe["embedding"]["all"]),
    ),
)
"""What a checkpoint shows: of what, the paper's figures, the measure here, and how it is read off a probe."""


@dataclass(frozen=True)
class RunOutcome:
    """A run as it ended."""

    planned: PlannedRun
    """What was planned."""
    losses: Mapping[int, Mapping[str, float]]
    """Tokens seen to the loss of each language, nats per token."""
    probes: Mapping[int, Mapping[str, Any]]
    """Tokens seen to the alignment there."""

    @property
    def name(self) -> str:
        """The run without its seed."""
        return self.planned.run.rpartition("-s")[0]

    @property
    def final(self) -> Mapping[str, float]:
        """Losses at the end."""
        return self.losses[max(self.losses)]


@dataclass(frozen=True)
class ArmOutcome:
    """What became of an arm."""

    arm: Arm
    """What was planned."""
    runs: tuple[RunOutcome, ...]
    """Its runs, those that diverged left out."""

    @classmethod
    def read(cls, arm: Arm, directory: Path) -> ArmOutcome:
        """The runs and probes in an arm's directory."""
        found = []
        for planned in arm.runs:
            told = read_json(directory / "runs" / planned.run / "run.json")
            if told["status"] != "complete":
                continue
            losses: dict[int, dict[str, float]] = {}
            steps = {}
            for row in told["losses"]:
                steps[row["step"]] = row["tokens"]
                if row["metric"] == "nats":
                    losses.setdefault(row["tokens"], {})[row["language"]] = row["value"]
            path = directory / "probes" / f"{planned.run}.json"
            probed = read_json(path)["steps"] if path.exists() else {}
            found.append(RunOutcome(planned, losses, {steps[int(step)]: one for step, one in probed.items()}))
        return cls(arm, tuple(found))

    @cached_property
    def groups(self) -> dict[str, list[RunOutcome]]:
        """Runs by their name without the seed."""
        groups: dict[str, list[RunOutcome]] = {}
        for run in self.runs:
            groups.setdefault(run.name, []).append(run)
        return groups

    def alone(self, language: str) -> Curves:
        """Runs on one language alone, by seed."""
        found: dict[int, list[tuple[float, float]]] = {}
        for run in self.runs:
            if run.planned.schedule.average().support == (language,):
                found.setdefault(run.planned.seed, []).append((run.planned.tokens, run.final[language]))
        return {seed: (np.array(points)[:, 0], np.array(points)[:, 1]) for seed, points in found.items()}

    def per_seed(self, name: str, number: Callable[[RunOutcome], float]) -> dict[int, float]:
        """A number of every run of a name, by seed."""
        return {run.planned.seed: number(run) for run in self.groups.get(name, ())}


def curve_method(alone: Curves) -> tuple[Method, str]:
    """The published law where it fits its own points within twice the noise between seeds, else through the points."""
    if not alone:
        return "law", "There are no runs on a language alone, so there are no token equivalents."
    try:
        missed = float(np.mean([misfit(*points) for points in alone.values()]))
    except BadInput as error:
        return (
            "interpolated",
            f"The law 1/PPL = c − a x^−b cannot be fitted ({error}); equivalents go through the points.",
        )
    by_budget: dict[float, list[float]] = {}
    for tokens_R, loss_R in alone.values():
        for tokens, loss in zip(tokens_R.tolist(), loss_R.tolist(), strict=True):
            by_budget.setdefault(tokens, []).append(loss)
    repeated = [np.var(losses, ddof=1) for losses in by_budget.values() if len(losses) > 1]
    noise = float(np.sqrt(np.mean(repeated))) if repeated else math.nan
    if math.isnan(missed):
        return (
            "interpolated",
            "Three budgets cannot test the law 1/PPL = c − a x^−b; equivalents go through the points.",
        )
    if math.isinf(missed):
        return "interpolated", "The law 1/PPL = c − a x^−b cannot reach all points; equivalents go through the points."
    told = f"The law 1/PPL = c − a x^−b misses its points by {missed:.3f} nats"
    told += f"; seeds differ by {noise:.3f}." if repeated else ", and one seed tells no noise to compare with."
    if missed <= 2 * noise:
        return "law", told + " Equivalents are read off the law."
    return "interpolated", told + " Equivalents are read off the line through the points."


def efficiencies(outcome: ArmOutcome, name: str, alone: Curves, method: Method) -> tuple[Efficiency | None, ...]:
    """Token efficiency of the first two languages of a mixture."""
    runs = outcome.groups[name]
    found: list[Efficiency | None] = []
    for language in outcome.arm.languages[:2]:
        seen = runs[0].planned.schedule.average().get(language, 0.0) * runs[0].planned.tokens
        own = outcome.alone(language) if len(outcome.arm.texts) > 1 else alone
        losses = {run.planned.seed: run.final[language] for run in runs}
        comparable = own and seen > 0
        found.append(_efficiency(own, losses, seen, method) if comparable else None)
    return tuple(found)


def _efficiency(alone: Curves, losses: Mapping[int, float], seen: float, method: Method) -> Efficiency:
    """By every seed's own curve; by that of all seeds together where a seed has none."""
    return efficiency({seed: alone.get(seed) or _pooled(alone) for seed in losses}, losses, seen, method)


def _pooled(alone: Curves) -> tuple[np.ndarray, np.ndarray]:
    tokens, losses = zip(*alone.values(), strict=True)
    return np.concatenate(tokens), np.concatenate(losses)


def mixture_rows(outcome: ArmOutcome, alone: Curves, method: Method) -> list[CloneMixtureRow]:
    """One row for every mixture and schedule of an arm."""
    rows = []
    for name, runs in outcome.groups.items():
        average = runs[0].planned.schedule.average()
        if len(average.support) < 2:
            continue
        last = [run.probes[max(run.probes)] for run in runs if run.probes]
        rows.append(
            CloneMixtureRow(
                arm=outcome.arm.about,
                name=name,
                shares=tuple(average.get(language, 0.0) for language in outcome.arm.languages),
                tokens=float(runs[0].planned.tokens),
                seeds=len(runs),
                loss=tuple(
                    over_repeats([run.final[language] for run in runs]) for language in outcome.arm.languages[:2]
                ),
                efficiency=tuple(_told(one) for one in efficiencies(outcome, name, alone, method)),
                gradient=over_repeats([one["gradient"]["mean"] for one in last]) if last else None,
                raw=_by_layer(last, "raw"),
                centred=_by_layer(last, "centred"),
                retrieval=_by_layer(last, "retrieval"),
                chance=float(np.mean([one["hidden"]["chance"] for one in last])) if last else None,
                embedding=_embedding(last),
            )
        )
    return rows


def _told(found: Efficiency | None) -> Estimate | None:
    return None if found is None else Estimate(found.value, found.low, found.high)


def _by_layer(probes: Sequence[Mapping[str, Any]], kind: str) -> tuple[float, ...]:
    return tuple(np.mean([one["hidden"][kind] for one in probes], axis=0).tolist()) if probes else ()


def _embedding(probes: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    if not probes or probes[0]["embedding"] is None:
        return None
    pairs, all_ = (float(np.mean([one["embedding"][kind] for one in probes])) for kind in ("pairs", "all"))
    return pairs, all_


def moments(outcome: ArmOutcome) -> list[AlignmentPoint]:
    """Every checkpoint of the arm's mixtures, a mean over seeds."""
    found = []
    for name, runs in outcome.groups.items():
        times = sorted(set.intersection(*[set(run.probes) & set(run.losses) for run in runs]))
        for tokens in times:
            probes = [run.probes[tokens] for run in runs]
            losses = [[run.losses[tokens][language] for language in outcome.arm.languages[:2]] for run in runs]
            gradient = float(np.mean([one["gradient"]["mean"] for one in probes]))
            loss = tuple(np.mean(losses, axis=0).tolist())
            found.append(AlignmentPoint(name, float(tokens), loss, gradient, _by_layer(probes, "centred")))
    return found


def alone_rows(outcome: ArmOutcome) -> list[AloneRow]:
    """Runs on the first language alone, by budget."""
    by_budget: dict[float, list[float]] = {}
    for tokens_R, loss_R in outcome.alone(outcome.arm.languages[0]).values():
        for tokens, loss in zip(tokens_R.tolist(), loss_R.tolist(), strict=True):
            by_budget.setdefault(tokens, []).append(loss)
    about, vocabulary = outcome.arm.about, outcome.arm.tokens.vocab_size
    return [AloneRow(about, vocabulary, tokens, over_repeats(losses)) for tokens, losses in sorted(by_budget.items())]


def control_row(main: ArmOutcome, control: ArmOutcome, alone: Curves, method: Method) -> ControlRow | None:
    """Runs alone in as many updates beside the mixture with the same share; None where either is missing."""
    one, two = main.arm.languages[:2]
    batch = control.arm.proxy.batch
    share = batch / main.arm.proxy.batch
    losses = control.per_seed(control.arm.name, lambda run: run.final[one])
    mixed = main.per_seed(split_name(share), lambda run: run.final[two])
    if not (seeds := sorted(losses.keys() & mixed.keys())):
        return None
    seen = share * main.arm.proxy.tokens
    own = _told(_efficiency(alone, losses, seen, method)) if alone else None
    in_mixture = _told(efficiencies(main, split_name(share), alone, method)[1])
    return ControlRow(share, batch, own, in_mixture, over_repeats([losses[seed] - mixed[seed] for seed in seeds]))


def dial_ends(main: ArmOutcome) -> list[DialRow]:
    """The ends of the anchors' dial, which other arms trained: nothing in common, and one language."""
    one = main.arm.languages[0]
    whole = [interpolated(*points).loss(main.arm.proxy.tokens) for points in main.alone(one).values()]
    bare = [float(np.mean(list(run.final.values()))) for run in main.groups.get(split_name(0.5), ())]
    rows = [(0.0, bare), (1.0, whole)]
    return [
        DialRow("anchors", share, share, over_repeats(losses)) for share, losses in rows if np.isfinite(losses).any()
    ]


def dial_row(outcome: ArmOutcome, mass: float) -> DialRow:
    """An arm of anchors or relatives."""
    dial, _, _ = outcome.arm.name.partition("-")
    share = outcome.arm.clones.anchors if dial == "anchors" else outcome.arm.clones.permuted
    return DialRow(dial, share, mass, over_repeats([float(np.mean(list(run.final.values()))) for run in outcome.runs]))


def claims(main: ArmOutcome, others: Sequence[ArmOutcome], alone: Curves, method: Method) -> list[Claim]:
    """The paper's claims that these runs can speak to."""
    found: list[Claim] = []
    equal, skewed = split_name(0.5), split_name(0.1)
    one, two = main.arm.languages[:2]
    if {equal, skewed} <= main.groups.keys():
        found += _imbalance(main, equal, skewed, alone, method)
    swap = "schedule-10_90"
    if {equal, swap} <= main.groups.keys():
        paper = ("perplexity 26.13 → 26.53 at 1.2B tokens, 23.35 → 22.78 at 2.4B", "26.14 → 24.44")
        found += [
            judged(
                f"At equal data in all, training imbalanced and swapping halfway is better for the {place} clone",
                figures,
                "loss at 50/50 minus loss after 0.1 → 0.9 (nats)",
                _paired(main, equal, swap, lambda run, at=language: run.final[at]),  # type: ignore[misc]
                "twice the tokens: the first clone gained only from 2.4B on in the paper",
            )
            for language, place, figures in zip((one, two), ("first", "second"), paper, strict=True)
        ]
    sequential = "schedule-0_100"
    if {equal, sequential} <= main.groups.keys():
        forgot = _paired(main, sequential, equal, lambda run: run.final[one])
        found.append(
            judged(
                "One language after the other forgets the first",
                "perplexity 9 × 10¹⁰ against 26.13",
                "loss of the first clone after 0 → 1 minus that at 50/50 (nats)",
                forgot,
            )
        )
    for other in others:
        found += _anchored(main, other, alone) if other.arm.name.startswith("anchors") else []
        found += _crowd(other) if other.arm.name.startswith("clones") else []
    return found


def _imbalance(main: ArmOutcome, equal: str, skewed: str, alone: Curves, method: Method) -> list[Claim]:
    one, two = main.arm.languages[:2]
    found = []
    at_equal, at_skewed = (efficiencies(main, name, alone, method)[1] for name in (equal, skewed))
    if at_equal and at_skewed:
        seeds = sorted(set(at_equal.by_seed) & set(at_skewed.by_seed))
        logs = [math.log(at_skewed.by_seed[s]) - math.log(max(at_equal.by_seed[s], 1e-9)) for s in seeds]
        found.append(
            judged(
                "A clone with 10 % of the tokens makes more of each than one with 50 %",
                "token efficiency 2.08 against 0.885",
                "log of the ratio of token efficiencies",
                logs,
            )
        )
        found.append(
            judged(
                "Balanced clones gain nothing from each other",
                "token efficiency 0.885 at 50/50 (1.27 in the smallest model)",
                "minus the log of the efficiency at 50/50",
                [-math.log(max(at_equal.by_seed[s], 1e-9)) for s in seeds],
                "the paper's: the efficiency falls with size and tokens there",
            )
        )
    if all(run.probes for name in (equal, skewed) for run in main.groups[name]):
        found += [
            judged(
                f"{what} of the two languages agree more at 90/10 than at 50/50",
                figures,
                f"difference of the {measure}",
                _paired(main, skewed, equal, lambda run, number=number: number(run.probes[max(run.probes)])),  # type: ignore[misc]
                "the paper's: 85M parameters and 1.2B tokens",
            )
            for what, figures, measure, number in ALIGNED
        ]
    paper = ("perplexity 26.13 → 22.46", "26.14 → 32.81 at 85M and 1.2B tokens; 22.95 → 22.29 at 303M")
    sizes = ("", "303M parameters at 1.2B tokens, or 85M at 4.8B, in the paper")
    found += [
        judged(
            f"90/10 is better than 50/50 for the {place} clone",
            figures,
            "loss at 50/50 minus loss at 90/10 (nats)",
            _paired(main, equal, skewed, lambda run, at=language: run.final[at]),  # type: ignore[misc]
            size,
        )
        for language, place, figures, size in zip((one, two), ("main", "small"), paper, sizes, strict=True)
    ]
    return found


def _paired(outcome: ArmOutcome, left: str, right: str, number: Callable[[RunOutcome], float]) -> list[float]:
    """Left minus right, by seed."""
    one, other = outcome.per_seed(left, number), outcome.per_seed(right, number)
    return [one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())]


def _anchored(main: ArmOutcome, other: ArmOutcome, alone: Curves) -> list[Claim]:
    """How much of the way from clones without anchors to one language the anchors go."""
    if not alone or not 0 < other.arm.clones.anchors < 1:
        return []

    def mean(run: RunOutcome) -> float:
        return float(np.mean([run.final[language] for language in run.final]))

    bare, tied = main.per_seed("split-50-50", mean), other.per_seed("split-50-50", mean)
    seeds = sorted(bare.keys() & tied.keys() & alone.keys())
    whole = {seed: interpolated(*alone[seed]).loss(main.arm.proxy.tokens) for seed in seeds}
    gained = [(bare[s] - tied[s]) / (bare[s] - whole[s]) - 0.5 for s in seeds]
    kind = other.arm.clones.anchors_by
    return [
        judged(
            f"Anchors ({100 * other.arm.clones.anchors:g} % of the vocabulary, {kind}) recover most of what two "
            "vocabularies cost",
            "5 % random anchors recover about 70 % (perplexity 26.13 → 23.4, one language 21.93)",
            "share of the loss between 50/50 and one language that is recovered, minus a half",
            gained,
        )
    ]


def _crowd(other: ArmOutcome) -> list[Claim]:
    """Many clones: every one of them is better when one has half of the data."""
    names = sorted(other.groups, key=lambda name: float(name.removeprefix("main-")))
    if len(names) < 2:
        return []
    equal, led = names[0], names[-1]
    paper = ("perplexity 35.54 → 24.57", "35.74 → 33.41, with 5.6 % of the data in place of 10 %")
    return [
        judged(
            f"Of {other.arm.clones.n} clones the {place} is better when the first has half of the data",
            figures,
            "loss at equal shares minus loss with a main language (nats)",
            _paired(other, equal, led, lambda run, at=language: run.final[at]),  # type: ignore[misc]
        )
        for language, place, figures in zip(other.arm.languages[:2], ("first", "second"), paper, strict=True)
    ]
