"""The decision card: six answers that the first screen gives, and what they rest on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glotmix.report.evidence import Evidence
from glotmix.report.frames.accuracy import law_rows
from glotmix.report.frames.answer import mixture_rows
from glotmix.report.frames.languages import LanguageRow, compared_with, foretold_in_words, language_rows, part_of
from glotmix.report.frames.loop import loop_rows
from glotmix.report.frames.units import aim, reading
from glotmix.report.frames.verdict import decide, mixture_in_words
from glotmix.wording import NBSP, counted, large, listed, number, share, signed


@dataclass(frozen=True)
class Answer:
    """One question of the card."""

    question: str
    """What a reader asks."""
    text: str
    """What the evidence says."""


@dataclass(frozen=True)
class FlipRow:
    """The optimum under one choice of what counts, beside the study's."""

    name: str
    """Whose weights, or which objective."""
    shares: tuple[tuple[str, float], ...]
    """Language's name and share, in the order of the study's optimum."""
    moved: float
    """Part of the tokens that it gives to other languages than the study's optimum does."""


def answers(evidence: Evidence) -> list[Answer]:
    """What to train on, instead of what, for whom, at whose cost, how sure, on what evidence."""
    advice = evidence.advice
    if advice is None:
        return []
    decision = decide(evidence)
    used = {"use": "What to train on", "accept": "What to train on"}.get(decision.kind, "What was proposed")
    rows = language_rows(evidence)
    return [
        Answer(used, f"{mixture_in_words(evidence)}."),
        Answer("Instead of what", _instead(evidence)),
        Answer("For whom", _for_whom(evidence, rows)),
        Answer("At whose cost", _cost(evidence, rows)),
        Answer("How sure", _sure(evidence, decision.because)),
        Answer("On what evidence", _grounds(evidence)),
    ]


def flip_rows(evidence: Evidence) -> list[FlipRow]:
    """The flip test: would another choice of whom to serve change the mixture? The study's own choice comes first."""
    advice = evidence.advice
    if advice is None or len(advice.flips) < 2:
        return []
    order = [row.language for row in mixture_rows(evidence)]
    rows = []
    for flip in advice.flips:
        shares = tuple((evidence.name_of(language), flip.mixture.get(language, 0.0)) for language in order)
        moved = 0.5 * sum(abs(flip.mixture.get(language, 0.0) - p) for language, p in advice.optimum.mixture.items())
        rows.append(FlipRow(evidence.in_own_words(flip.name), shares, moved))
    return rows


def flip_finding(rows: list[FlipRow]) -> str:
    """What moves most, in a sentence."""
    first, far = rows[0], max(rows[1:], key=lambda row: row.moved)
    if far.moved < 0.05:
        return "Whoever counts, the mixture stays nearly the same"
    name, here, there = max(
        ((name, p, q) for (name, p), (_, q) in zip(first.shares, far.shares, strict=True)),
        key=lambda part: abs(part[1] - part[2]),
    )
    return f"{share(here)} {name} if {_counts(first.name)}, {share(there)} if {_counts(far.name)}"


def _counts(name: str) -> str:
    if name.endswith(" alike"):
        return f"{name.removesuffix(' alike')} counts alike"
    if name.startswith("the worst-off "):
        return f"{name} decides"
    return f"{name} {'count' if name.startswith('only ') or name.endswith('weights') else 'counts'}"


def _instead(evidence: Evidence) -> str:
    against = compared_with(evidence)
    other = next((b for b in evidence.advice.baselines if b.name == against), None) if evidence.advice else None
    if other is None:
        return "No other mixture was looked at."
    if len(other.mixture) > 8:
        return f"The {against} mixture of the same {len(other.mixture)} {evidence.mixes}s."
    named = [f"{share(p)} {evidence.name_of(x)}" for x, p in sorted(other.mixture.items(), key=lambda item: -item[1])]
    return f"The {against} mixture: {listed(named, most=8)}."


def _for_whom(evidence: Evidence, rows: list[LanguageRow]) -> str:
    counted_rows = [row for row in rows if row.weight > 0]
    told = aim(evidence)
    if len({round(row.weight, 9) for row in counted_rows}) <= 1:
        of_scores = bool(counted_rows) and all(row.target in evidence.scored for row in counted_rows)
        kind = "score" if of_scores else evidence.called((row.target for row in counted_rows), "target")
        whom = f"{counted(len(counted_rows), kind)} alike"
    else:
        whom = listed([f"{row.name} ({share(row.weight)})" for row in counted_rows], most=7)
    return f"It makes the {told.what} {'large' if told.turned else 'small'}. Weights: {whom}."


def _cost(evidence: Evidence, rows: list[LanguageRow]) -> str:
    against, what = compared_with(evidence), evidence.measures
    payers = sorted((r for r in rows if part_of(r) == "pays"), key=lambda r: -(r.change.value if r.change else 0))
    opened = [r for r in rows if part_of(r) == "open"]
    if not any(row.change for row in rows):
        return f"Not known: nothing was compared {evidence.measures} by {evidence.measures}."
    trained = any(row.trained for row in rows)
    how = "Measured" if trained else "By the law's prediction"
    if not payers:
        text = f"{how}, no {what} gets worse than under {against}" + (" beyond the noise." if trained else ".")
    else:
        named = listed([_change(evidence, r) for r in payers if r.change], most=6)
        get = "gets" if len(payers) == 1 else "get"
        text = f"{how} against {against}, {counted(len(payers), what)} of {len(rows)} {get} worse: {named}."
    if trained and opened:
        text += f" Not told apart: {listed([r.name for r in opened], most=6)}."
    return text


def _change(evidence: Evidence, row: LanguageRow) -> str:
    """A target and what it changes by, in its own unit."""
    told = reading(evidence, row.target)
    assert row.change is not None
    return f"{row.name} {signed(told.change(row.change).value)} {told.unit}"


def _sure(evidence: Evidence, because: str) -> str:
    parts = [because] if because else []
    chosen = next((row for row in law_rows(evidence) if row.chosen), None)
    if chosen is not None and "On unseen mixtures" not in because:  # what decided has told it
        parts.append(
            f"On unseen mixtures the law {chosen.law} is off by {number(100 * chosen.error, 2)}{NBSP}%"
            + (
                f" (the mean of all runs: {number(100 * chosen.null_error, 2)}{NBSP}%)."
                if np.isfinite(chosen.null_error)
                else "."
            )
        )
    parts.append(foretold_in_words(evidence))
    return " ".join(filter(None, parts))


def _grounds(evidence: Evidence) -> str:
    runs, parts = evidence.measurements, []
    if runs is not None and len(runs):
        text = counted(len(runs), "training run")
        N, D = (np.unique(x[np.isfinite(x)]) for x in (runs.N_R, runs.D_R))
        if len(N):
            text += f" of {_span(N)} parameters"
        if len(D):
            text += f", {_span(D)} tokens each"
        parts.append(text + (f", on {evidence.text}" if evidence.text else "") + ".")
        tokens, parameters = evidence.target[1], evidence.target[0]
        if tokens and parameters and len(N) and len(D):
            parts.append(
                f"The target run is {_times(parameters / N.max())} as large and reads {_times(tokens / D.max())} "
                "as many tokens; that the best mixture stays the same so far away was not tested."
            )
        elif tokens and len(D):
            parts.append(f"The target run reads {_times(tokens / D.max())} as many tokens.")
        elif evidence.config:
            parts.append("No target run was named, so nothing is said of a larger model.")
    seeds = min((len(row.seeds) for row in loop_rows(evidence)), default=0)
    if seeds:
        parts.append(
            f"{counted(len(loop_rows(evidence)), 'mixture')} trained as a check, {counted(seeds, 'seed')} each."
        )
    return " ".join(parts) or "No runs are known."


def _span(values: np.ndarray) -> str:
    low, high = large(float(values.min())), large(float(values.max()))
    return low if low == high else f"{low} to {high}"


def _times(factor: float) -> str:
    return f"{large(round(factor))} times" if factor >= 10 else f"{number(factor, 1)} times"
