"""Numbers and judging words of the page, as a browser shows them, recomputed from what was measured: studies of every outcome."""

from functools import partial

import numpy as np
import pytest
from browser import open_page
from sample import sample
from scipy import stats
from test_verdict import CASES, trained_as

from glotmix.report import write_report
from tests.recomputed import fixed, large, numbers_in, share, signed

STUDIES = {
    **{name: partial(lambda make: make(sample(6, 1)), make) for name, (make, _, _) in CASES.items()},
    "two languages": lambda: trained_as(sample(2, 0), lambda t: -0.1),
    "a hundred languages": lambda: trained_as(sample(100, 1, swarm=30, resamples=10), lambda t: -0.1),
}
"""The optimum wins, loses, ties, is null, extrapolates, was never validated, has one seed, 2 or 100 languages, names from
right to left."""


class Recomputed:
    """The mean objective and every language, from the seeds of the trained mixtures, without the page's code."""

    def __init__(self, evidence):
        self.advice = evidence.advice
        self.trained = {one.name: one.measured for one in evidence.trained}
        self.inside = list(self.advice.optimum.mixture)

    def both(self, of):
        """Optimum minus current with the pooled two-sample interval; ``of`` takes the losses of a mixture."""
        groups = {name: np.array(of(measured)) for name, measured in self.trained.items()}
        here, there = groups["optimum"], groups["current"]
        freedom = sum(len(g) - 1 for g in groups.values())
        value = here.mean() - there.mean()
        if not freedom:
            return value, None, None
        spread = np.sqrt(sum(((g - g.mean()) ** 2).sum() for g in groups.values()) / freedom)
        half = stats.t.ppf(0.975, freedom) * spread * np.sqrt(1 / len(here) + 1 / len(there))
        return value, value - half, value + half

    def objective(self):
        return self.both(lambda measured: np.mean([measured[t] for t in self.inside], axis=0))

    def language(self, target):
        return self.both(lambda measured: measured[target])


def verdict(low, high):
    """What an interval of a change of a loss says."""
    if low is None:
        return "noise not known"
    return "gains" if high < 0 else "pays" if low > 0 else "not told apart"


@pytest.fixture(scope="module", params=STUDIES)
def shown(request, _chromium, tmp_path_factory):
    """A study and what a browser shows of its page."""
    evidence = STUDIES[request.param]()
    path = write_report(evidence, tmp_path_factory.mktemp("shown") / "page.html")
    open_page(_chromium, path)
    text = _chromium.execute_script(
        """for (const d of document.querySelectorAll('details')) d.open = true;
        const table = [...document.querySelectorAll('table')].find((t) => t.caption?.textContent === 'Loss of each language');
        return [document.querySelector('#card').innerText, document.querySelector('#card .answer').innerText, table ? [...table.tBodies[0].rows].map((r) => [...r.cells].map((c) => c.innerText)) : []];"""
    )
    return request.param, evidence, *text


def test_no_number_of_the_card_is_without_a_source(shown):
    _, evidence, card, _, _ = shown
    files, advice, runs = Recomputed(evidence), evidence.advice, evidence.measurements
    current = next(b for b in advice.baselines if b.name == "current")
    count = len(files.inside) + 1
    allowed = {share(p) for p in (*advice.optimum.mixture.values(), *current.mixture.values(), 1 / len(files.inside))}
    ranked = sorted(advice.optimum.mixture.values(), reverse=True)
    allowed |= {share(1 - sum(ranked[:5])), share(sum(ranked[:5])), "95\u202f%", large(float(runs.N_R[0])), large(float(runs.D_R[0]))}  # fmt: skip
    allowed |= {str(n) for n in (*range(count + 1), len(runs), len(evidence.trained))}
    held = {h.target: h for h in evidence.held_out if h.law == "shapley_law"}
    null = {h.target: h for h in evidence.held_out if h.law == "null"}
    for law in (held, null):
        off = [np.mean(np.abs(law[t].predicted_R / law[t].measured_R - 1)) for t in files.inside]
        allowed.add(f"{100 * np.mean(off):.2f}\u202f%")
    gain = advice.gains["current"]
    told = [gain.value, gain.low, gain.high]
    if files.trained:
        told += [x for x in files.objective() if x is not None]
        told += [files.language(t)[0] for t in evidence.trained[0].measured]
        base = np.mean([files.trained["current"][t] for t in files.inside])
        least = advice.least_gain * base  # 0.00875 in some studies, which the last bit rounds either way
        allowed |= {fixed(least - 1e-12, 4), fixed(least + 1e-12, 4), *map(str, held_predictions(evidence))}
    else:
        said = {name: dict(of) for name, of in (("o", advice.optimum.losses), ("c", current.losses))}
        told += [said["o"][t].value - said["c"][t].value for t in said["o"]]
    for x in told:
        allowed |= {signed(x), signed(-x), fixed(abs(x)), fixed(x, 4), fixed(-x, 4)}
    said = numbers_in(card)
    assert len(said) > 8
    assert [number for number in said if number not in allowed] == []


def held_predictions(evidence):
    """Predictions within the joint interval, and how many there are."""
    held = asked = 0
    for target in evidence.trained[0].measured:
        groups = [np.array(one.measured[target]) for one in evidence.trained]
        freedom = sum(len(g) - 1 for g in groups)
        if not freedom:
            continue
        spread = np.sqrt(sum(((g - g.mean()) ** 2).sum() for g in groups) / freedom)
        for one, group in zip(evidence.trained, groups, strict=True):
            noise = stats.t.ppf(0.975, freedom) * spread / np.sqrt(len(group))
            expected = one.predicted[target]
            asked += 1
            held += abs(group.mean() - expected.value) <= np.hypot(noise, (expected.high - expected.low) / 2)
    return held, asked


def test_every_language_is_judged_by_its_own_seeds(shown):
    _, evidence, card, _, rows = shown
    files, names = Recomputed(evidence), {evidence.name_of(t): t for t in evidence.advice.optimum.losses}
    plain = {"".join(ch for ch in row[0].split("\n")[0] if ch not in "\u2068\u2069"): row for row in rows}
    payers = []
    for name, target in names.items():
        row = next(row for said, row in plain.items() if said.startswith(name))
        if not files.trained:
            change = evidence.advice.optimum.losses[target].value - next(b for b in evidence.advice.baselines if b.name == "current").losses[target].value  # fmt: skip
            assert row[-1] == signed(change)
            if change > 0:
                payers.append(name)
            continue
        value, low, high = files.language(target)
        ends = "" if low is None else f" ({signed(low)} to {signed(high)})"
        assert row[-2] == f"{signed(value)}{ends}"
        assert row[-1] == verdict(low, high)
        if verdict(low, high) == "pays":
            payers.append(name)
    cost = card.partition("At whose cost")[2].partition("How sure")[0]
    assert ("worse:" in cost) == bool(payers)
    if payers:
        assert f"{len(payers)} language{'s' if len(payers) > 1 else ''} of {len(names)}" in cost


def test_the_headline_follows_from_the_measured_objective(shown):
    """Use it only where the interval says better; keep where it includes zero; reject where it says worse."""
    name, evidence, _, headline, _ = shown
    files = Recomputed(evidence)
    if not files.trained or name in ("no solution", "null"):
        assert not headline.startswith("Use it:")
        return
    _, low, high = files.objective()
    if low is None:
        assert headline.startswith("Use it if you accept a difference between single runs")
    elif low > 0:
        assert headline.startswith("Do not use it: current measured better")
    elif high >= 0:
        assert headline.startswith("No difference")
    else:
        assert headline.startswith(("Use it", "No difference worth a change"))
    assert headline.startswith("Use it:") == (
        high is not None and high < 0 and name not in ("pays", "extrapolates", "tiny")
    )
