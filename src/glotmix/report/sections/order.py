"""When each language is read."""

from __future__ import annotations

from itertools import accumulate

from glotmix.estimate import Estimate
from glotmix.report.components import Column, cell, named, table
from glotmix.report.evidence import Evidence
from glotmix.report.html import Html, el, join
from glotmix.wording import NBSP, interval, share

LATE = "above 0 its own text counts more when it is read late, below 0 when it is read early"
OTHERS = "the same of the text of all other languages"


def when(evidence: Evidence) -> Html:
    """The recommended schedule beside the best single mixture, or the last phase beside going on as before, and what
    the law says of early and late text."""
    order = evidence.order
    if order is None:
        return Html("")
    last = order.behind > 0
    best, static = order.schedules["optimum"], order.schedules[order.beside][-1]
    phases = [f"phase {k + 1}" for k in range(len(best))]
    if last:
        phases = [*(f"{phase}, behind it" for phase in phases[:-1]), "last phase"]
    other = "going on as before" if last else "best single mixture"
    columns = [Column(evidence.mixes), *[Column(phase, True) for phase in phases], Column(other, True)]
    columns += [Column("λ own", True, LATE), Column("λ others", True, evidence.in_own_words(OTHERS))]
    rows = []
    for language in static:
        own, others = order.late.get(language, (None, None))
        shares = [one[language] for one in (*best, static)]
        line = [named(evidence.name_of(language), language), *[cell(share(x), x) for x in shares]]
        rows.append([*line, _late(own), _late(others)])
    ends = " and ".join(share(end) for end in accumulate(order.lengths[:-1]))
    compared = "going on as before" if last else "the best single mixture"
    words = (
        f"The mixture changes after {ends} of the run's tokens. By the law {compared} is "
        f"{interval(order.gain)} worse; only a closed loop measures it. Intervals are 95{NBSP}%."
    )
    if last:
        words = f"What was read before the last phase is as it was: its mixture alone is sought. {words}"
    return join(el("p", words), table("The schedule: share of each phase's tokens", columns, rows))


def _late(late: Estimate | None) -> Html:
    return cell("–", numeric=True) if late is None else cell(interval(late, 1), late.value)
