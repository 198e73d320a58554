"""Where another pass over a language no longer pays."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from glotmix.fit import fit
from glotmix.optimize.turning import turning_of
from glotmix.report.evidence import Evidence
from glotmix.report.sections.passes import how_often
from tests.laws.test_repetition import LANGUAGES, UNIQUE_L, D, mixtures, planted, table

P_L = np.array([0.83, 0.11, 0.035, 0.025])


def runs():
    p_RL = mixtures(1)
    return table(p_RL, planted(p_RL) * np.exp(np.random.default_rng(1).normal(0, 0.01, p_RL.shape)))


def along(own: int, passes: float) -> float:
    """Planted loss of a language on the line from the recommended mixture, at so many passes over it."""
    share, others_L = passes * UNIQUE_L[own] / D, np.delete(P_L, own) / np.delete(P_L, own).sum()
    return float(planted(np.insert((1 - share) * others_L, own, share)[None])[0, own])


def test_the_point_where_another_pass_no_longer_pays_is_found_with_its_interval() -> None:
    found = {one.language: one for one in turning_of(fit("shapley_law_repeated", runs(), bootstrap=40), P_L)}
    assert set(found) == set(LANGUAGES)
    held = []
    for language in ("ukr", "nld", "ces"):
        one, own = found[language], LANGUAGES.index(language)
        truth = min(np.linspace(0, 60, 1201), key=lambda e, own=own: along(own, e))
        assert along(own, one.best) < 1.01 * along(own, truth)
        assert 0.5 < one.best / truth < 2  # the curve is flat there
        assert one.reached
        assert one.low < one.best < one.high
        held.append(0.9 * one.low <= truth <= 1.1 * one.high)
        assert one.recommended == pytest.approx(P_L[own] * D / UNIQUE_L[own])
    assert sum(held) >= 2
    assert not found["deu"].reached  # all of the run in German are three passes
    assert found["ces"].seen == pytest.approx(D / UNIQUE_L[3])
    page = how_often(Evidence(title="t", turning=tuple(found.values())))
    assert "more passes still pay at 3" in page
    assert "no further pass pays after" in page


def test_nothing_is_said_where_the_law_or_the_table_knows_no_passes() -> None:
    assert turning_of(fit("shapley_law", runs(), starts=1), P_L) == ()
    unknown = dataclasses.replace(runs(), unique_RL=None)
    assert turning_of(fit("shapley_law_repeated", unknown, starts=1), P_L) == ()
    assert how_often(Evidence(title="t")) == ""
