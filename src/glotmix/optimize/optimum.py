"""Optimum: the recommended mixture with everything needed to doubt it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import polars as pl
from pydantic import Field
from rich.console import Group, RenderableType
from rich.text import Text

from glotmix.estimate import Estimate
from glotmix.mixture.mixture import Mixture, share_columns
from glotmix.mixture.schedule import Schedule
from glotmix.notebook import Shown
from glotmix.optimize.objective import Objective
from glotmix.scored import Scored
from glotmix.tables import by_group
from glotmix.written import Names, Written, WrittenEstimate, as_written, made_of

NOTHING_TOLD = "the runs tell no mixture from another"
"""What the status begins with where the law's losses are the same for every mixture."""


EXPECTED = "an optimum, as `glotmix optimize` writes it"
"""What a file should have been that is none."""


class WrittenAim(WrittenEstimate):
    """An objective and its value."""

    honest: float | None
    name: str
    weights: dict[str, float]
    best: dict[str, float]
    penalty: dict[str, Any] | None
    q: float = 1.0
    scored: dict[str, dict[str, Any]] | None = None


class WrittenStage(Written):
    """A stage of a schedule."""

    start: float
    mixture: dict[str, float]
    restart: bool = False


class WrittenBaseline(Written):
    """A baseline beside an optimum."""

    name: str
    mixture: dict[str, float]
    objective: WrittenEstimate
    predicted: dict[str, WrittenEstimate]
    gain: dict[str, float | None]
    broken: list[str]
    schedule: list[WrittenStage] | None = None


class WrittenActive(Written):
    """A limit that an optimum touches."""

    limit: str
    multiplier: float
    words: str
    change: float = 0.0


class WrittenNearest(Written):
    """The closest measured mixture."""

    distance: float
    extrapolates: bool
    mixture: dict[str, float]


class WrittenOptimum(Written):
    """An optimum in a file."""

    mixture: dict[str, float]
    predicted: dict[str, WrittenEstimate]
    objective: WrittenAim
    baselines: list[WrittenBaseline]
    active: list[WrittenActive]
    prices: dict[str, dict[str, float]]
    spread: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] | None
    nearest: WrittenNearest | None
    epochs: dict[str, float]
    status: str
    gap: float
    agreeing: float
    targets: Names
    N: float | None
    D: float | None
    warnings: list[str] = Field(default_factory=list)
    unique: dict[str, float] = Field(default_factory=dict)
    schedule: list[WrittenStage] | None = None


@dataclass(frozen=True, repr=False)
class Baseline(Shown):
    """A mixture that the optimum is compared with, on the same law."""

    name: str
    """"natural", "uniform", "current", ..."""
    mixture: Mixture
    """Its shares."""
    predicted: Mapping[str, Estimate]
    """Target to loss on the same law."""
    objective: Estimate
    """Value of the objective."""
    broken: tuple[str, ...] = ()
    """Limits that it does not meet, in words."""
    schedule: Schedule | None = None
    """Its mixtures over the run, where it changes; ``mixture`` is their average."""

    def to_polars(self) -> pl.DataFrame:
        """One row, as in :meth:`Optimum.to_polars`: ``name``, ``objective``, ``objective/low``, ``objective/high``,
        ``p/<language>``, ``loss/<target>``, ``loss/<target>/low``, ``loss/<target>/high``."""
        return self._row({})

    def _row(self, scored: Mapping[str, Scored]) -> pl.DataFrame:
        """The same with scores as scores: ``score/<target>``."""
        numbers = {"objective": self.objective}
        for target, loss in self.predicted.items():
            kind = scored.get(target)
            numbers[f"{'loss' if kind is None else kind.column}/{target}"] = loss if kind is None else kind.shown(loss)
        told = {
            f"{name}{end}": [x]
            for name, one in numbers.items()
            for end, x in (("", one.value), ("/low", one.low), ("/high", one.high))
        }
        overrides = dict.fromkeys(told, pl.Float64)
        return pl.DataFrame({"name": [self.name], **share_columns([self.mixture]), **told}, schema_overrides=overrides)


@dataclass(frozen=True)
class Gain:
    """Objective of a baseline minus that of the optimum; positive, the optimum is better."""

    value: float
    """As the law predicts it."""
    low: float | None = None
    """Lower end of the 95 % interval of the difference, both taken under the same resampled fit."""
    high: float | None = None
    """Upper end."""
    honest: float | None = None
    """The gain to expect once the winner's curse is taken off (see ``Optimum.honest``)."""

    @property
    def certain(self) -> bool | None:
        """Whether the whole interval lies above zero; None without resamples."""
        return None if self.low is None else self.low > 0

    def to_json(self) -> dict[str, float | None]:
        """A plain dict."""
        return {"value": _or_none(self.value), "low": self.low, "high": self.high, "honest": _or_none(self.honest)}

    @classmethod
    def from_json(cls, data: Mapping[str, float | None]) -> Gain:
        """Read what :meth:`to_json` wrote."""
        return cls(_or_infinite(data["value"]), data["low"], data["high"], data["honest"])


@dataclass(frozen=True)
class Active:
    """A limit that the optimum touches."""

    limit: str
    """The limit in words."""
    multiplier: float
    """How much the objective would fall per unit of share if the limit gave way; at least 0."""
    words: str
    """What one percentage point of it costs."""
    change: float = 0.0
    """By how much the objective really falls when the limit gives way by one percentage point; at least 0."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return {"limit": self.limit, "multiplier": self.multiplier, "words": self.words, "change": self.change}


@dataclass(frozen=True)
class Nearest:
    """The measured mixture closest to the optimum."""

    distance: float
    """Total variation: the share of tokens in which they differ."""
    extrapolates: bool
    """Whether the optimum lies outside the convex hull of all measured mixtures."""
    mixture: Mixture
    """The measured mixture."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return {"distance": self.distance, "extrapolates": self.extrapolates, "mixture": self.mixture.to_json()}


@dataclass(frozen=True, repr=False)
class Optimum(Shown):
    """The best mixture on a law under limits."""

    mixture: Mixture
    """The recommended shares."""
    predicted: Mapping[str, Estimate]
    """Target to predicted loss; targets that the law says nothing of are left out."""
    objective: Estimate
    """Value of the objective (without penalty)."""
    honest: float | None
    """Value to expect of a new measurement: the objective plus the optimism of having chosen its minimum, estimated by
    choosing on resampled fits and judging on the full one; None without resamples."""
    baselines: tuple[Baseline, ...]
    """Other mixtures on the same law."""
    gains: Mapping[str, Gain]
    """Baseline to gain."""
    active: tuple[Active, ...]
    """Limits that are touched, with their price."""
    prices: Mapping[str, Mapping[str, float]]
    """``prices[language][target]``: relative change of the target's loss for one more percentage point of the language,
    the others giving way in proportion."""
    spread: Mapping[str, tuple[float, float]] | None
    """Range of each share over mixtures that the law cannot tell from the optimum; None without resamples."""
    nearest: Nearest | None
    """The closest measured mixture; None if the measurements were not given."""
    epochs: Mapping[str, float]
    """Passes over each language's unique tokens; empty where D or U are not known."""
    status: str
    """"converged", or what is wrong, in words."""
    gap: float
    """How much better any other allowed mixture can be, if the law is convex (see ``certificate``)."""
    agreeing: float
    """Share of the starting points from which the search ended at this value."""
    aim: Objective
    """The objective as it was used, with each target's own best loss."""
    N: float | None = None
    """Parameters assumed; None for those of the fit."""
    D: float | None = None
    """Training tokens assumed; None for those of the fit."""
    warnings: tuple[str, ...] = ()
    """Sizes beyond what was measured, or that the law does not know."""
    unique: Mapping[str, float] = field(default_factory=dict)
    """Unique tokens of each language, where they are known; an export takes them from here."""
    schedule: Schedule | None = None
    """The mixtures over the run, where several phases were asked for; ``mixture`` is their average, and ``spread`` has
    each phase's shares (``phase1/<language>``)."""

    def to_json(self) -> dict[str, Any]:
        """Everything, by name. What is predicted of a score is the score."""
        return {
            "mixture": self.mixture.to_json(),
            "status": self.status,
            "objective": {**self.aim.to_json(), **self.objective.to_json(), "honest": self.honest},
            "targets": list(self.aim.targets),
            "predicted": self._told(self.predicted),
            "baselines": [
                {
                    "name": baseline.name,
                    "mixture": baseline.mixture.to_json(),
                    "objective": baseline.objective.to_json(),
                    "predicted": self._told(baseline.predicted),
                    "gain": self.gains[baseline.name].to_json(),
                    "broken": list(baseline.broken),
                }
                | _stages(baseline.schedule)
                for baseline in self.baselines
            ],
            "active": [active.to_json() for active in self.active],
            "prices": {language: dict(row) for language, row in self.prices.items()},
            "spread": None if self.spread is None else {name: list(ends) for name, ends in self.spread.items()},
            "nearest": None if self.nearest is None else self.nearest.to_json(),
            "epochs": dict(self.epochs),
            "gap": self.gap,
            "agreeing": self.agreeing,
            "N": self.N,
            "D": self.D,
            "warnings": list(self.warnings),
            "unique": dict(self.unique),
        } | _stages(self.schedule)

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: object = None) -> Optimum:
        """Read what :meth:`to_json` wrote.

        Raises:
            BadInput: a key is missing or malformed.
        """
        written = as_written(WrittenOptimum, data, where=where, expected=EXPECTED)
        with made_of(where, EXPECTED):
            data = written.model_dump(exclude_unset=True)
            aim = data["objective"]
            objective = Objective.from_json(aim, tuple(data["targets"]))
            nearest, spread = data["nearest"], data["spread"]
            return cls(
                Mixture(data["mixture"]),
                _read(data["predicted"], objective.scored),
                Estimate(aim["value"], aim["low"], aim["high"]),
                aim["honest"],
                tuple(
                    Baseline(
                        row["name"],
                        Mixture(row["mixture"]),
                        _read(row["predicted"], objective.scored),
                        Estimate.from_json(row["objective"]),
                        tuple(row["broken"]),
                        None if row.get("schedule") is None else Schedule.from_json(row["schedule"]),
                    )
                    for row in data["baselines"]
                ),
                {row["name"]: Gain.from_json(row["gain"]) for row in data["baselines"]},
                tuple(Active(**active) for active in data["active"]),
                {language: dict(row) for language, row in data["prices"].items()},
                None if spread is None else {name: (ends[0], ends[1]) for name, ends in spread.items()},
                None
                if nearest is None
                else Nearest(nearest["distance"], nearest["extrapolates"], Mixture(nearest["mixture"])),
                dict(data["epochs"]),
                data["status"],
                data["gap"],
                data["agreeing"],
                objective,
                data["N"],
                data["D"],
                tuple(data.get("warnings", ())),
                dict(data.get("unique", {})),
                None if data.get("schedule") is None else Schedule.from_json(data["schedule"]),
            )

    def to_polars(self) -> pl.DataFrame:
        """One row per mixture, the optimum first, then every baseline: ``name``, ``p/<language>`` (shares),
        ``objective`` with its 95 % interval ``objective/low`` and ``objective/high``, ``loss/<target>`` with
        ``loss/<target>/low`` and ``loss/<target>/high`` (of scores ``score/<target>``), and ``gain`` with ``gain/low``
        and ``gain/high`` (objective minus that of the optimum)."""
        rows = [Baseline("optimum", self.mixture, self.predicted, self.objective), *self.baselines]
        gains = {"optimum": Gain(0.0), **self.gains}
        columns = {
            "gain": [gains[row.name].value for row in rows],
            "gain/low": [gains[row.name].low for row in rows],
            "gain/high": [gains[row.name].high for row in rows],
        }
        told = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Float64))
        return pl.concat([row._row(self.aim.scored) for row in rows], how="diagonal").with_columns(told)

    def _told(self, predicted: Mapping[str, Estimate]) -> dict[str, dict[str, float | None]]:
        scored = self.aim.scored
        return {
            target: (scored[target].shown(one) if target in scored else one).to_json()
            for target, one in predicted.items()
        }

    def price_words(self) -> tuple[str, ...]:
        """For every language what one more percentage point of it costs and gives, the others giving way."""
        words = []
        for language, row in self.prices.items():
            dearest, cheapest = (pick(row, key=lambda t: row[t], default=None) for pick in (max, min))
            told = [f"costs {dearest} {self._price(dearest, row[dearest])}"] if dearest and row[dearest] > 0 else []
            told += (
                [f"gives {cheapest} {self._price(cheapest, -row[cheapest])}"] if cheapest and row[cheapest] < 0 else []
            )
            if told:
                words.append(f"One more percentage point of {language} {' and '.join(told)}.")
        return tuple(words)

    def _scores(self) -> list[RenderableType]:
        """Scores of the optimum and of every baseline; nothing where there are none."""
        scored = {target: one for target, one in self.aim.scored.items() if target in self.predicted}
        if not scored:
            return []
        columns = [
            (target, [_shown(told.shown(row[target])) if target in row else "" for row in self._predictions()])
            for target, told in scored.items()
        ]
        names = ["optimum", *(row.name for row in self.baselines)]
        return list(by_group("Scores, from 0 to 1", names, columns))

    def _predictions(self) -> list[Mapping[str, Estimate]]:
        return [self.predicted, *(row.predicted for row in self.baselines)]

    def _price(self, target: str, change: float) -> str:
        """A relative change of a loss in percent, of an error in points of the score."""
        if target not in self.aim.scored or target not in self.predicted:
            return f"{100 * change:.2g} %"
        return f"{100 * change * self.predicted[target].value:.2g} points"

    def table(self) -> RenderableType:
        """Shares by group, value and gain of the optimum and every baseline, then the limits and what they cost."""
        groups = list(self.mixture)
        columns = [("optimum", _shares(groups, self.mixture, self.schedule))]
        several = [] if self.schedule is None else [f"phase{k + 1}/" for k in range(len(self.schedule.stages))]
        for phase in several or [""]:
            if self.spread:
                ranges = [self.spread.get(phase + group) for group in groups]
                cells = ["" if r is None else f"{100 * r[0]:.1f} to {100 * r[1]:.1f}" for r in ranges]
                columns.append((f"as good {phase.rstrip('/')}".strip(), cells))
        columns += [(row.name, _shares(groups, row.mixture, row.schedule)) for row in self.baselines]
        title = f"Shares in %: {self.aim.name} of {len(self.aim.members)} targets, {self.status}"
        counted = "objective (error: 1 - score)" if self.aim.counts_scores else "objective"
        gains = [self.gains[row.name] for row in self.baselines]
        outcomes = by_group(
            "What it gains",
            ["optimum", *(row.name for row in self.baselines)],
            [
                (counted, [_shown(self.objective), *(_shown(row.objective) for row in self.baselines)]),
                ("gain of the optimum", ["", *(_shown(Estimate(g.value, g.low, g.high)) for g in gains)]),
                ("expected", [_plain(self.honest), *(_plain(gain.honest) for gain in gains)]),
            ],
        )
        scores = self._scores()
        broken = [f"{row.name} breaks {len(row.broken)} of the limits." for row in self.baselines if row.broken]
        notes = [*broken, *self.warnings, *(active.words for active in self.active), *self.price_words()]
        if self.honest is not None:
            notes.append("Intervals are 95 % over resampled fits; “expected” has the winner's curse taken off.")
        if self.nearest is not None:
            what = "mixture" if self.schedule is None else "schedule"
            outside = f"; it lies outside all measured {what}s: the law extrapolates"
            told = f"The nearest measured {what} differs in {100 * self.nearest.distance:.1f} % of tokens"
            notes.append(f"{told}{outside if self.nearest.extrapolates else ''}.")
        return Group(*by_group(title, groups, columns), *outcomes, *scores, *(Text(note) for note in notes))


def _read(written: Mapping[str, Any], scored: Mapping[str, Scored]) -> dict[str, Estimate]:
    """Losses, and errors of what is written as scores."""
    found = {target: Estimate.from_json(one) for target, one in written.items()}
    return {target: scored[target].shown(one) if target in scored else one for target, one in found.items()}


def _stages(schedule: Schedule | None) -> dict[str, Any]:
    return {} if schedule is None else {"schedule": schedule.to_json()}


def _shares(groups: Sequence[str], mixture: Mixture, schedule: Schedule | None) -> list[str]:
    """Shares in percent, phase after phase."""
    stages = [mixture] if schedule is None else [stage.mixture for stage in schedule.stages]
    return [" → ".join(_percent(stage[group]) for stage in stages) for group in groups]


def _shown(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.4g} [{estimate.low:.4g}, {estimate.high:.4g}]"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _or_none(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _or_infinite(value: float | None) -> float:
    return math.inf if value is None else value
