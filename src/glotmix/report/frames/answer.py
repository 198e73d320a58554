"""What to do: the recommended mixture, what it is expected to give, and against what."""

from __future__ import annotations

from dataclasses import dataclass

from glotmix.estimate import Estimate, negated
from glotmix.optimize.last_phase import CONTINUED
from glotmix.report.evidence import Evidence
from glotmix.report.frames.units import aim
from glotmix.wording import NBSP, OF_THE_LAW, interval, number, signed


@dataclass(frozen=True)
class MixtureRow:
    """One language's share in every mixture."""

    language: str
    """Tag or group name."""
    name: str
    """What the page calls it."""
    family: str
    """Language family, "" when unknown."""
    optimum: float
    """Recommended share."""
    baselines: dict[str, float]
    """Baseline to its share."""
    epochs: float | None
    """Passes over its unique tokens in the target run."""
    spread: tuple[float, float] | None
    """Range of shares that the law cannot tell from the optimum."""


@dataclass(frozen=True)
class GainRow:
    """The optimum against one baseline, as the law expects it."""

    baseline: str
    """Name of the baseline."""
    objective: Estimate
    """Its predicted objective."""
    gain: Estimate
    """Its objective minus the optimum's; positive: the optimum is better."""
    clear: bool | None
    """Whether the interval of the gain leaves out zero; None without an interval."""


def mixture_rows(evidence: Evidence) -> list[MixtureRow]:
    """Languages by recommended share, the largest first."""
    advice = evidence.advice
    if advice is None:
        return []
    rows = []
    for language, p in advice.optimum.mixture.items():
        about = evidence.about.get(language)
        rows.append(
            MixtureRow(
                language,
                evidence.name_of(language),
                about.family if about else "",
                p,
                {b.name: b.mixture.get(language, 0.0) for b in advice.baselines},
                advice.optimum.epochs.get(language),
                advice.spread.get(language),
            )
        )
    return sorted(rows, key=lambda row: (-row.optimum, row.name))


def gain_rows(evidence: Evidence) -> list[GainRow]:
    """Every baseline, the best first."""
    advice = evidence.advice
    if advice is None:
        return []
    rows = []
    for baseline in advice.baselines:
        gain = advice.gains.get(baseline.name)
        gain = gain or Estimate(baseline.objective.value - advice.optimum.objective.value)
        clear = None if gain.low is None or gain.high is None else not gain.low <= 0 <= gain.high
        rows.append(GainRow(baseline.name, baseline.objective, gain, clear))
    return sorted(rows, key=lambda row: row.objective.value)


def expectation(evidence: Evidence) -> str:
    """What the law expects of the recommended mixture, against the natural (or else the best) baseline."""
    advice = evidence.advice
    if advice is None:
        return ""
    told = aim(evidence)
    unit = told.unit
    text = (
        f"The law {advice.law} predicts a {told.what} of {interval(told.of(advice.optimum.objective))} {unit}".rstrip()
    )
    if advice.optimum.objective.low is not None:
        text += f" ({OF_THE_LAW}; a single new run is noisier)"
    rows = gain_rows(evidence)
    if not rows:
        return text + "."
    named = {row.baseline: row for row in rows}
    against = next((named[name] for name in ("current", CONTINUED, "natural") if name in named), rows[0])
    gain, percent = against.gain, 100 * against.gain.value / against.objective.value
    change = told.change(negated(gain))
    size = f"{number(abs(change.value))} {unit} ({number(abs(percent), 1)}{NBSP}%)"
    if told.turned:
        size = f"{number(abs(change.value))} {unit}"
    how = "lower than" if change.value < 0 else "higher than"
    text += f", {size} {how} the {against.baseline} mixture"
    if change.low is not None and change.high is not None:
        text += f"; 95{NBSP}% interval of the difference {signed(change.low, 4)} to {signed(change.high, 4)} {unit}"
        if against.clear is False:
            text += ", which includes zero: by this law alone the two cannot be told apart"
    if advice.honest is not None and advice.honest > advice.optimum.objective.value:
        most, end = ("highest", "high") if told.turned else ("lowest", "low")
        text += (
            f". Of many mixtures the one with the {most} prediction was taken, and such a prediction tends to be too "
            f"{end}: expect about {number(told.value(advice.honest))} {unit} of a new measurement"
        )
    return text + "."
