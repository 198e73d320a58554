"""The decision: what the evidence allows to be said of the recommended mixture, and the sentence that says it.

The sentence is an imperative for one verdict only. Everything that the first screen and the terminal say of the
decision comes from here, so that they cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from glotmix.estimate import Estimate, negated, verdict
from glotmix.optimize.last_phase import CONTINUED
from glotmix.optimize.optimum import NOTHING_TOLD
from glotmix.report.evidence import Advice, Evidence
from glotmix.report.frames.accuracy import NULL, law_rows
from glotmix.report.frames.answer import MixtureRow, gain_rows, mixture_rows
from glotmix.report.frames.cautions import cautions
from glotmix.report.frames.languages import LanguageRow, compared_with, foretold_in_words, language_rows, part_of
from glotmix.report.frames.loop import LoopVerdict, loop_rows, verdicts
from glotmix.report.frames.units import Reading, aim
from glotmix.wording import NBSP, counted, interval, listed, number, share, signed

Kind = Literal["use", "accept", "reject", "keep", "open"]
TITLES: dict[Kind, str] = {
    "use": "Better, and nothing speaks against it",
    "accept": "On a condition",
    "reject": "Not better",
    "keep": "No reason to change",
    "open": "Nothing to decide on",
}
"""Verdict in two words, above the headline."""
ACCEPTED = {
    "The optimum lies outside the runs": "that the law extrapolates: no run was near this mixture",
    "Some runs are missing": "that more than a tenth of the runs is missing",
}
"""Serious caution to what accepting it means."""

RULES = ("natural", "uniform", "temperature", "unimax")
"""Mixtures that follow from the sizes of the corpora alone, the simplest first."""


LEAST_NAMED, LEAST_TOLD = 0.001, 5e-5
"""Of many, a share below the first is not named; below the second, what the rest gets is nothing."""


@dataclass(frozen=True)
class Decision:
    """What to do with the recommended mixture."""

    kind: Kind
    """The verdict."""
    headline: str
    """The verdict and, where there is something to use, the mixture, in a sentence."""
    because: str
    """What decided, with its numbers."""
    accept: tuple[str, ...] = ()
    """What has to be accepted."""
    against: str | None = None
    """The mixture that it was held against."""
    foretold: str = ""
    """What the law's single predictions were worth; "" where nothing was trained to tell."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict, as ``glotmix run --json`` prints it."""
        told = {"verdict": self.kind, "headline": self.headline, "because": self.because}
        more = {"accept": list(self.accept), "against": self.against, "foretold": self.foretold}
        return {"decision": told | more}

    def words(self) -> str:
        """What the terminal ends with."""
        return "\n".join(filter(None, (self.headline, self.because, self.foretold)))


def decide(evidence: Evidence) -> Decision:
    """The verdict on the recommended mixture, as :func:`_decided`; a mixture that breaks the limits which the
    recommended one keeps is no way out, and is said to do so."""
    found = replace(_decided(evidence), foretold=foretold_in_words(evidence))
    baselines = evidence.advice.baselines if evidence.advice else ()
    broken = next((one.broken for one in baselines if one.name == found.against), ())
    if found.kind not in ("keep", "reject") or not broken:
        return found
    limits = f"{len(broken)} of your limits" if len(broken) > 1 else "one of your limits"
    because = f"{found.because} But {found.against} breaks {limits}: {listed(list(broken), most=2)}."
    headline = found.headline
    if (keep := f"keep what you have ({found.against})") in headline:
        headline = headline.replace(keep, f"{keep}, or use it to keep within {limits} that {found.against} breaks")
    return replace(found, headline=headline, because=because.lstrip())


def _decided(evidence: Evidence) -> Decision:
    """The verdict on the recommended mixture.

    In this order: nothing to judge; a mixture that measured better; a search that failed, or a law that knows no more
    than the mean and was not measured to be right; no difference from the mixture in use, or one that is not worth a
    change (the least gain is the study's); else it is to be used, if what it costs is accepted: languages that pay
    beyond the noise, serious cautions, and that nothing was trained or nothing repeated. A simpler rule that the runs
    cannot tell it from is named then.
    """
    advice = evidence.advice
    if advice is None:
        return Decision("open", "Not enough was measured to recommend a mixture.", "")
    if advice.status.startswith(NOTHING_TOLD):
        kept = advice.status.removeprefix(NOTHING_TOLD).removeprefix(": the recommendation is ")
        because = f"No law predicts unseen mixtures better than their mean does: {NOTHING_TOLD}."
        return Decision("keep", f"Keep {kept}: {NOTHING_TOLD}.", because, (), compared_with(evidence))
    against, told = compared_with(evidence), aim(evidence)
    found = verdicts(evidence)
    least = _least_gain(evidence, advice, against)
    worse = [v for v in found if v.outcome == "worse" and -v.difference.value >= least]
    worse.sort(key=lambda v: v.difference.value)
    if worse:
        best = worse[0]
        ahead = told.gain(negated(best.difference))
        ends = (number(math.nan if x is None else x) for x in (ahead.low, ahead.high))
        return _rejected(
            f"{best.baseline} measured better",
            f"Trained, {best.baseline} has an objective that is {number(ahead.value)} {told.unit} {told.higher} "
            f"(95{NBSP}% interval {' to '.join(ends)}).",
            against,
        )
    if advice.status not in ("converged", "optimal", "ok"):
        return _rejected("the search for it did not end", f"The solver says “{advice.status}”.", against)
    shown = next((v for v in found if v.baseline == against), None)
    if shown is None and (weak := _weak_law(evidence)):
        return _rejected("the law behind it knows no more than the mean", weak, against)
    if shown is not None and (same := _no_difference(evidence, advice, shown, told)):
        return same
    if shown is None and (same := _no_predicted_difference(evidence, against, told)):
        return same
    because = f"{_gain_in_words(evidence, shown, against, told)}{_as_good(found)}"
    accept = _to_accept(evidence, shown, against)
    mixture = mixture_in_words(evidence)
    if not accept:
        return Decision("use", f"Use it: train on {mixture}.", because, (), against)
    return Decision("accept", f"Use it if you accept {listed(accept, most=3)}: {mixture}.", because, accept, against)


def mixture_in_words(evidence: Evidence) -> str:
    """The recommended shares; of many languages the largest ones if they are most of it, else how the shares spread."""
    rows, order = mixture_rows(evidence), evidence.order
    if order is not None and order.beside == CONTINUED:
        last = order.schedules["optimum"][-1]
        rows = sorted((replace(row, optimum=last[row.language]) for row in rows), key=lambda row: -row.optimum)
        return f"{_shares_in_words(rows, evidence.mixes)}, from here on"
    return _shares_in_words(rows, evidence.mixes)


def _shares_in_words(rows: Sequence[MixtureRow], what: str) -> str:
    if len(rows) <= 8:
        return listed([f"{share(row.optimum)} {row.name}" for row in rows], most=8)
    top = [row for row in rows[:5] if row.optimum >= LEAST_NAMED] or rows[:1]
    held, others = sum(row.optimum for row in top), counted(len(rows) - len(top), f"other {what}")
    if held >= 0.5:
        named = ", ".join(f"{share(row.optimum)} {row.name}" for row in top)
        return f"{named}, and {share(1 - held) if 1 - held >= LEAST_TOLD else 'nothing'} for {others}"
    middle = rows[len(rows) // 2].optimum
    named = listed([f"{row.name} ({share(row.optimum)})" for row in rows[:3]])
    most = share(rows[0].optimum)
    return f"{len(rows)} {what}s, none above {most}, most for {named}, half of them below {share(middle)}"


def _rejected(why: str, because: str, against: str | None) -> Decision:
    return Decision("reject", f"Do not use it: {why}.", because, (), against)


def _as_good(found: list[LoopVerdict]) -> str:
    """Rules that the runs cannot tell the recommendation from, and which of them is the simplest; "" without any."""
    level = {v.baseline for v in found if v.outcome == "within the noise"}
    if not (rules := [rule for rule in RULES if rule in level]):
        return ""
    simplest = "that is simpler" if len(rules) == 1 else f"{rules[0]} is the simplest"
    return f" These runs cannot tell it from {listed(rules, most=4)}: {simplest} and needs no law."


def _weak_law(evidence: Evidence) -> str:
    """Why the chosen law is no ground for a decision; "" where it is one, or where nothing was held out."""
    chosen = next((row for row in law_rows(evidence) if row.chosen), None)
    if evidence.advice is not None and evidence.advice.law == NULL:
        return "The null law was chosen: it predicts the same loss for every mixture."
    if (
        chosen is None
        or chosen.law == NULL
        or chosen.error < chosen.null_error
        or chosen.null_error != chosen.null_error
    ):
        return ""
    return (
        f"On unseen mixtures {chosen.law} is off by {number(100 * chosen.error, 2)}{NBSP}%, the mean of all runs by "
        f"{number(100 * chosen.null_error, 2)}{NBSP}%."
    )


def _no_difference(evidence: Evidence, advice: Advice, shown: LoopVerdict, told: Reading) -> Decision | None:
    """The measured gain over the mixture in use does not reach what is worth a change."""
    least = _least_gain(evidence, advice, shown.baseline)
    gain, judged = shown.difference, verdict(shown.difference)
    measured = f"Measured, it gains {interval(told.gain(gain), 4)} {told.unit} over {shown.baseline}"
    worth = f"{number(told.factor * least, 4)} {told.unit}"
    keep = f"keep what you have ({shown.baseline})"
    if judged == "within the noise":
        if gain.low is not None and gain.high is not None and -least <= gain.low and gain.high <= least:
            why = f"{measured}: no end of the interval is worth a change (the least gain is {worth})."
            return Decision("keep", f"No difference: {keep}.", why, (), shown.baseline)
        why = f"{measured}: the interval includes zero. These runs cannot tell the two apart, nor prove them equal."
        return Decision("keep", f"No difference shown: {keep}.", why, (), shown.baseline)
    if judged in ("better", "worse") and abs(gain.value) < least:
        why = f"{measured}, less than the least gain worth a change ({worth})."
        return Decision("keep", f"No difference worth a change: {keep}.", why, (), shown.baseline)
    return None


def _least_gain(evidence: Evidence, advice: Advice, against: str | None) -> float:
    """The least gain worth a change, in the unit of the objective; 0 where nothing was measured to take a part of."""
    base = next((row.measured.value for row in loop_rows(evidence) if row.name == against), 0.0)
    return advice.least_gain * abs(base)


def _no_predicted_difference(evidence: Evidence, against: str | None, told: Reading) -> Decision | None:
    row = next((row for row in gain_rows(evidence) if row.baseline == against), None)
    if row is None or row.clear is not False:
        return None
    gain = f"{interval(told.gain(row.gain), 4)} {told.unit}"
    why = f"The law predicts a gain of {gain} over {against}: the interval includes zero, and nothing was trained."
    return Decision("keep", f"No difference shown: keep what you have ({against}).", why, (), against)


def _gain_in_words(evidence: Evidence, shown: LoopVerdict | None, against: str | None, told: Reading) -> str:
    what = told.what[:1].upper() + told.what[1:]
    if shown is not None:
        seeds = min((len(row.seeds) for row in loop_rows(evidence)), default=0)
        how = f"each trained {seeds} times" if seeds > 1 else "each trained once, so that chance is not known"
        return f"{what}, measured against {shown.baseline}: {_change(told, shown.difference)}, {how}."
    row = next((row for row in gain_rows(evidence) if row.baseline == against), None)
    if row is None:
        return "There is no other mixture to hold it against."
    return f"{what}, predicted against {against}: {_change(told, row.gain)}; nothing was trained on it."


def _change(told: Reading, gain: Estimate) -> str:
    """By how much the objective changes, with its interval; a score says in words that it rises or falls."""
    change = told.change(negated(gain))
    text = f"{signed(change.value)} {told.unit}"
    if told.turned:
        text = f"{'rises' if change.value >= 0 else 'falls'} by {number(abs(change.value))} {told.unit}"
    if change.low is None or change.high is None:
        return text
    return f"{text} (95{NBSP}% interval {signed(change.low)} to {signed(change.high)})"


def _to_accept(evidence: Evidence, shown: LoopVerdict | None, against: str | None) -> tuple[str, ...]:
    found = []
    if shown is None:
        found.append(
            "a gain that is predicted and not measured" if against else "that it was held against no other mixture"
        )
    elif shown.outcome == "no noise known":
        several = min((len(row.seeds) for row in loop_rows(evidence)), default=0) > 1
        which = "runs whose noise is not known" if several else "single runs"
        found.append(f"a difference between {which}, which may be chance")
    if payers := [row for row in language_rows(evidence) if part_of(row) == "pays" and (row.trained or shown is None)]:
        found.append(_payers(payers, evidence.measures))
    found += [ACCEPTED[c.title] for c in cautions(evidence) if c.level == "serious" and c.title in ACCEPTED]
    if shown is not None and _weak_law(evidence):
        found.append("a law that knows no more than the mean: what was measured is all that speaks for it")
    return tuple(found)


def _payers(rows: list[LanguageRow], what: str) -> str:
    """ "that French and German get worse", the one that loses most first."""
    rows = sorted(rows, key=lambda row: -(row.change.value if row.change else 0.0))
    if len(rows) > 6:
        return f"that {len(rows)} {what}s get worse, {rows[0].name} most"
    return f"that {listed([row.name for row in rows])} {'gets' if len(rows) == 1 else 'get'} worse"
