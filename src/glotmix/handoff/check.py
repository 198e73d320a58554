"""From what a trainer's files say to what is believed: every result by name and checksum, or refused by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from glotmix.errors import BadInput
from glotmix.handoff.asked import About, AskedRun
from glotmix.handoff.results import SCORES, UNITS, Reported, run_named
from glotmix.measurements import SCORE, Measurements, from_tables
from glotmix.scored import Scored
from glotmix.wording import counted, listed

MOST_TOLD = 20
"""Refused results that are told at once."""
OFF = 0.01
"""Relative difference up to which a run's tokens, and the shares that a file tells, are those that were asked for."""
SAME = 1e-9
"""Relative difference up to which two numbers are one number, written twice."""
OF_ITS_OWN = 0.2
"""Share of a source from which a run's loss on it is expected to be below that of single tokens' frequencies."""
ANOTHER_UNIT = 0.05
"""Most by which the losses of a run may differ from a constant factor that only a unit explains."""
PERCENT = 1.5
"""A score above this is in percent."""
LEAST_LOSS = 1e-3
"""Bits per byte below which no language model lies."""


@dataclass(frozen=True)
class CollectedRun:
    """A run that came back, or of which we know that it will not."""

    asked: AskedRun
    """What was asked."""
    status: str
    """"complete", "diverged" or "failed"."""
    reason: str
    """Why it is not complete."""
    N: float
    """Parameters without embeddings: as reported, else as asked."""
    D: float
    """Training tokens: as reported, else as asked."""
    losses: tuple[Mapping[str, object], ...]
    """Rows of the losses table: step, tokens, language, metric, value."""

    @property
    def tokens(self) -> dict[str, float]:
        """Training tokens of each source, as the trainer's own rule realises them."""
        return {name: share * self.D for name, share in self.asked.realised.items()}


@dataclass(frozen=True)
class Collection:
    """What came back, what did not, and what was not believed."""

    about: About
    """Sources, targets and units."""
    asked: Mapping[str, AskedRun]
    """Every run that was handed off, by full name."""
    runs: Mapping[str, CollectedRun]
    """Full name to the run, for those that are complete, diverged or failed."""
    refused: tuple[str, ...] = ()
    """Results that are not used, one sentence each."""
    remarks: tuple[str, ...] = ()
    """What a reader must know of those that are."""
    awaited: tuple[str, ...] | None = None
    """Full names of the runs that were needed when the study was last called; None for all that were ever asked for."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Full names of runs that are needed and have no result."""
        needed = self.asked if self.awaited is None else self.awaited
        return tuple(name for name in needed if name not in self.runs)

    def tables(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The runs table and the losses table of :mod:`glotmix.measurements`."""
        shares = realised(self.runs.values(), self.about.sources)
        known = all(name in one.asked.unique for one in self.runs.values() for name in self.about.sources)
        rows = [
            {
                "run": one.asked.run,
                "role": one.asked.role,
                "seed": one.asked.seed,
                "D": one.D,
                "N": one.N or None,
                "C": one.asked.C or None,
                "status": one.status,
                "reason": one.reason,
                "schedule": "",
                **{f"p/{name}": shares[full][name] for name in self.about.sources},
                **({f"unique/{name}": one.asked.unique[name] for name in self.about.sources} if known else {}),
            }
            for full, one in self.runs.items()
        ]
        losses = [{"run": one.asked.run, **row} for one in self.runs.values() for row in one.losses]
        types = {"run": pl.String, "step": pl.Int64, "tokens": pl.Float64, "language": pl.String, "metric": pl.String}
        return pl.DataFrame(rows, infer_schema_length=None), pl.DataFrame(losses, schema={**types, "value": pl.Float64})

    def measurements(self) -> Measurements:
        """The final losses of the complete runs, in bits per byte, over realised shares.

        Raises:
            BadInput: no run is complete.
        """
        if not any(one.status == "complete" for one in self.runs.values()):
            more = "".join(f"\n{one}" for one in self.refused[:MOST_TOLD])
            raise BadInput(f"none of {counted(len(self.asked), 'run')} has come back complete{more}")
        found = from_tables(*self.tables(), scored=scored_of(self.about))
        return replace(found, remarks=(*self.refused, *self.remarks))


def scored_of(about: About) -> dict[str, Scored]:
    """Targets that are scores, and what these mean."""
    return {name: one.meaning for name, one in about.scores.items()}


def realised(runs: Iterable[CollectedRun], sources: Iterable[str]) -> dict[str, dict[str, float]]:
    """Full name to realised shares. Repeats of one mixture get the mean of theirs, so that they stay repeats."""
    found: dict[str, dict[str, float]] = {}
    repeats: dict[tuple[object, ...], list[CollectedRun]] = {}
    for one in runs:
        key = (tuple(sorted(one.asked.wished.items())), one.asked.D, one.asked.N)
        repeats.setdefault(key, []).append(one)
    for alike in repeats.values():
        total = {name: math.fsum(one.asked.realised.get(name, 0.0) for one in alike) for name in sources}
        whole = math.fsum(total.values())
        found |= {one.asked.full_name: {name: share / whole for name, share in total.items()} for one in alike}
    return found


@dataclass
class _Run:
    """What files say of one run, while it is put together."""

    asked: AskedRun
    values: dict[tuple[float, str, str], tuple[float, str]] = field(default_factory=dict)
    """(tokens, target, unit or score) to the number and where it stands."""
    N: float | None = None
    status: str = "complete"
    reason: str = ""
    told_D: bool = False
    where: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    seed: float | None = None
    """The seed that files tell, where they do."""

    @property
    def reseeded(self) -> bool:
        """Whether it was trained with another seed than was asked for."""
        return self.seed is not None and self.seed != self.asked.seed


def check(asked: Mapping[str, AskedRun], about: About, reported: Iterable[Reported]) -> Collection:
    """Believe what can be believed. A run with a fault is not used at all, and its fault names file, run and number.

    Args:
        asked: full name to run.
        about: sources, targets and what losses are converted by.
        reported: in any order.
    """
    refused: list[str] = []
    found: dict[str, _Run] = {}
    for one in sorted(reported, key=lambda one: (one.run, one.where)):
        meant = run_named(one, asked)
        if isinstance(meant, str):
            refused.append(f"{one.where}: {meant}")
        else:
            _add(found.setdefault(meant.full_name, _Run(meant)), one)
    complete: dict[str, CollectedRun] = {}
    untold = []
    for name in asked:
        if name not in found:
            continue
        run = found[name]
        collected = _finished(run, about)
        if run.faults:
            refused += [f"{run.asked.run}: {fault}" for fault in dict.fromkeys(run.faults)]
        elif collected is not None:
            complete[name] = collected
            untold += [] if run.told_D or collected.status != "complete" else [collected.asked.run]
    remarks = []
    if untold:
        which = f"{counted(len(untold), 'run')} ({listed(untold)})"
        remarks.append(f"{which} without tokens or steps: taken to be as long as was asked")
    others = [f"{run.asked.run} ({run.seed:g} and not {run.asked.seed})" for run in found.values() if run.reseeded]
    if others:
        remarks.append(f"trained with another seed than was asked for: {listed(others)}; used as they are")
    remarks += [*_units(complete, about), *_swapped(complete, about)]
    return Collection(about, asked, complete, tuple(dict.fromkeys(refused)), tuple(remarks))


def _add(run: _Run, one: Reported) -> None:
    """Take up one place; what contradicts another is a fault of the run."""
    asked = run.asked
    run.where.append(one.where)
    if one.fault:
        run.faults.append(f"{one.fault} ({one.where})")
        return
    if one.status != "complete":
        run.status, run.reason = one.status, one.reason or f"{one.status}, says {one.where}"
        return
    run.seed = run.seed if one.seed is None else one.seed
    D, per_step = one.D, asked.batch * asked.sequence_length
    if D is None and one.step is not None and per_step:
        D = one.step * per_step
    run.told_D |= D is not None
    if D is not None and not (math.isfinite(D) and D >= 0):
        run.faults.append(f"D is {D} ({one.where})")
        return
    if one.N is not None:
        if run.N is not None and run.N != one.N:
            run.faults.append(f"N is {run.N:g} in one place and {one.N:g} in another ({one.where})")
        if not (math.isfinite(one.N) and one.N > 0):
            run.faults.append(f"N is {one.N} ({one.where})")
        run.N = one.N
    for source, share in one.shares.items():
        wanted = asked.realised.get(source, 0.0)
        if not abs(share - wanted) <= max(OFF * wanted, 5e-4):
            run.faults.append(
                f"trained on {100 * share:.4g} % {source}, where {100 * wanted:.4g} % were asked for ({one.where})"
            )
    for (target, unit), value in one.values.items():
        key = (asked.D if D is None else D, target, unit)
        if not math.isfinite(value):
            run.faults.append(f"{unit} of {target} is {value} ({one.where}); a run that diverged has status diverged")
        elif unit in UNITS and not value > 0:
            run.faults.append(f"{unit} of {target} is {value:g} ({one.where})")
        elif key in run.values and abs(value - run.values[key][0]) > SAME * abs(value):
            before, where = run.values[key]
            run.faults.append(f"{unit} of {target} is {before:g} ({where}) and {value:g} ({one.where})")
        else:
            run.values.setdefault(key, (value, one.where))


def _finished(run: _Run, about: About) -> CollectedRun | None:
    """The run with its losses in bits per byte; None, and a fault, where something is missing."""
    asked = run.asked
    N = asked.N if run.N is None else run.N
    if run.status != "complete":
        return CollectedRun(asked, run.status, run.reason, N, asked.D, ())
    if not run.values:
        run.faults.append(f"no loss of any target ({listed(run.where)})")
        return None
    bits = _in_bits(run, about)
    D = max(tokens for tokens, _ in bits) if bits else max(tokens for tokens, _, _ in run.values)
    if abs(D / asked.D - 1) > OFF:
        part = f"{100 * D / asked.D:.3g} %"
        more = "; is it still training?" if D < asked.D else ""
        run.faults.append(f"trained on {D:.6g} tokens, {part} of the {asked.D:.6g} asked for{more}")
    last = {target: value for (tokens, target), value in bits.items() if abs(tokens / D - 1) <= OFF}
    if missing := [target for target in about.targets if target not in last]:
        run.faults.append(f"no loss of {listed(missing)}")
    scores = _scores(run, about, D)
    rows = [
        {"tokens": tokens, "language": target, "metric": "bpb", "value": value}
        for (tokens, target), value in bits.items()
    ]
    rows += [
        {"tokens": tokens, "language": target, "metric": unit, "value": value}
        for (tokens, target, unit), (value, _) in run.values.items()
        if unit not in UNITS
    ]
    rows += scores
    for row in rows:  # what belongs to the end stands at the end
        row["tokens"] = D if abs(float(str(row["tokens"])) / D - 1) <= OFF else row["tokens"]
        row["step"] = round(float(str(row["tokens"])) / max(1, asked.batch * asked.sequence_length))
    rows = sorted(rows, key=lambda row: (str(row["metric"]), float(str(row["tokens"])), str(row["language"])))
    return CollectedRun(asked, "complete", "", N, D, tuple(rows))


def _scores(run: _Run, about: About, D: float) -> list[dict[str, object]]:
    """Rows of the scores that were asked for, from 0 to 1; what is missing or out of range is a fault."""
    rows: list[dict[str, object]] = []
    for target, asked in about.scores.items():
        told = {(at, unit): found for (at, name, unit), found in run.values.items() if name == target}
        at_end = [unit for at, unit in told if abs(at / D - 1) <= OFF]
        wanted = [asked.metric] if asked.metric is not None else [unit for unit in SCORES if unit in at_end]
        if not wanted or wanted[0] not in at_end:
            has = f"; it has {listed(at_end)}" if at_end else ""
            run.faults.append(f"no {asked.metric or 'score'} of {target}{has}")
            continue
        for (tokens, unit), (value, where) in told.items():
            if unit != wanted[0]:
                continue
            score = value / 100 if value > PERCENT else value
            if not 0 <= score <= 1:
                run.faults.append(f"{unit} of {target} is {value:g} ({where}; expected 0 to 1, or percent)")
            rows.append({"tokens": tokens, "language": target, "metric": SCORE, "value": score})
    return rows


def _in_bits(run: _Run, about: About) -> dict[tuple[float, str], float]:
    """(tokens, target) to bits per byte; a loss that two places tell in two units must be one loss."""
    bits: dict[tuple[float, str], tuple[float, str]] = {}
    for (tokens, target, unit), (value, where) in run.values.items():
        if unit not in UNITS or target not in about.targets:
            continue
        if unit.endswith("token") and not about.bytes_per_token.get(target, 0.0) > 0:
            run.faults.append(f"{unit} of {target} ({where}): nobody told how many bytes a token of its text has")
            continue
        found = value * UNITS[unit](about.bytes_per_token.get(target, 1.0))
        before = bits.setdefault((tokens, target), (found, where))
        if abs(before[0] - found) > 1e-3 * found:
            run.faults.append(
                f"the loss of {target} is {before[0]:.4g} bits per byte by {before[1]} and {found:.4g} by {where}"
            )
        if found < LEAST_LOSS:
            run.faults.append(f"the loss of {target} is {found:g} bits per byte ({where})")
    return {key: value for key, (value, _) in bits.items()}


def _last(runs: Mapping[str, CollectedRun], about: About) -> tuple[list[CollectedRun], np.ndarray]:
    """Complete runs and their final losses [R, T]."""
    ended = [one for one in runs.values() if one.status == "complete"]
    loss_RT = np.full((len(ended), len(about.targets)), np.nan)
    place = {target: t for t, target in enumerate(about.targets)}
    for r, one in enumerate(ended):
        for row in one.losses:
            if row["metric"] == "bpb" and row["tokens"] == one.D:
                loss_RT[r, place[str(row["language"])]] = row["value"]
    return ended, loss_RT


def _units(runs: Mapping[str, CollectedRun], about: About) -> list[str]:
    """Losses that look as if they were in another unit than the one that was told."""
    ended, loss_RT = _last(runs, about)
    above = [
        loss_RT[r, t] / about.unigram[target]
        for r, one in enumerate(ended)
        for t, target in enumerate(about.targets)
        if one.asked.realised.get(target, 0.0) >= OF_ITS_OWN and about.unigram.get(target, 0.0) > 0
    ]
    remarks = []
    if above and np.median(above) > 1:
        remarks.append(
            "most losses on what a run was trained on are above that of a model which knows only how frequent tokens "
            f"are (the median is {np.median(above):.2f} times it): are they in nats per token?"
        )
    if len(ended) >= 4 and len(about.targets) >= 2:
        for r, one in enumerate(ended):
            factor_T = np.exp(np.log(loss_RT[r]) - np.nanmedian(np.log(np.delete(loss_RT, r, axis=0)), axis=0))
            factor = float(np.median(factor_T))
            if np.abs(factor_T / factor - 1).max() < ANOTHER_UNIT and not 0.72 < factor < 1.38:
                remarks.append(
                    f"{one.asked.run}: all losses are {factor:.2f} times those of the other runs: in another unit?"
                )
    return remarks


def _swapped(runs: Mapping[str, CollectedRun], about: About) -> list[str]:
    """Runs whose losses would be like those of the others if two targets changed places."""
    ended, loss_RT = _last(runs, about)
    if len(ended) < 6 or len(about.targets) < 2:
        return []
    log_RT, remarks = np.log(loss_RT), []
    for r, one in enumerate(ended):
        others_RT = np.delete(log_RT, r, axis=0)
        middle_T = np.median(others_RT, axis=0)
        spread_T = np.maximum(np.ptp(others_RT, axis=0), 1e-3)
        outside_T = np.abs(log_RT[r] - middle_T) > 1.5 * spread_T
        odd = [t for t in range(len(about.targets)) if outside_T[t]]
        for i, t in enumerate(odd):
            for u in odd[i + 1 :]:
                after = abs(log_RT[r, u] - middle_T[t]) < spread_T[t] and abs(log_RT[r, t] - middle_T[u]) < spread_T[u]
                if after:
                    named = f"{about.targets[t]} and {about.targets[u]}"
                    remarks.append(f"{one.asked.run}: the losses of {named} would fit if they changed places")
    return remarks
