"""The page of post-training: it recommends an amount of data only for what was learnt."""

import dataclasses
import re

import pytest

from glotmix.estimate import Estimate
from glotmix.report.page import assemble
from glotmix.studies.posttraining.findings import (
    Ablated,
    CurveRow,
    PlanRow,
    PosttrainingReport,
    SaturationRow,
    TaskRow,
    VariableRow,
)
from glotmix.studies.posttraining.page import sections

SIZES = (0, 100, 400)


def task(name, best, chance, gain=(0.1, 0.2)):
    middle = Estimate(best, best - 0.02, best + 0.02)
    return TaskRow(name, "proxy", "accuracy", chance, Estimate(0.02, 0.01, 0.03), middle, Estimate(sum(gain) / 2, *gain), 0.1)  # fmt: skip


def curve(name):
    along = tuple(Estimate(0.1 + 0.1 * i, 0.08 + 0.1 * i, 0.12 + 0.1 * i) for i in range(3))
    groups = dict.fromkeys(("pivot", "seen", "unseen", "Latin", "other scripts", "eng_Latn", "spa_Latn", "swh_Latn"), along)  # fmt: skip
    saturation = (SaturationRow("seen", 120.0, 80.0, 200.0), SaturationRow("unseen", None, 0.0, float("inf")))
    return CurveRow(name, name, "proxy", ("spa_Latn",), SIZES, groups, along, saturation, None, 0.02, along, Estimate(0.01, -0.02, 0.04), 0.5, 0.6)  # fmt: skip


def report(*tasks):
    """A report on tasks, each with a plan of 400 samples."""
    plans = tuple(PlanRow(t.task, t.base, ("spa_Latn",), 400, 400, 0.96, 0.9, None, None, 400) for t in tasks)
    variables = tuple(VariableRow(v, Estimate(0.2, 0.1, 0.3), Estimate(0.1, 0.0, 0.2)) for v in ("task", "size"))
    return PosttrainingReport(
        "Post-training", "How much is enough?", {"eng_Latn": "English", "spa_Latn": "Spanish", "swh_Latn": "Swahili"},
        "eng_Latn", 0.95, tasks, plans, tuple(curve(t.task) for t in tasks), ("seen before unseen",),
        {t.task: 0.01 for t in tasks}, Ablated(variables, Estimate(0.4, 0.3, 0.5), Estimate(0.0), Estimate(0.1), "task", True),
        (), 12, {"cell-3": "memory"}, True, {t.task: 2 for t in tasks}, {"time": "1 h"}, {"kind": "posttraining"},
    )  # fmt: skip


def page_of(found):
    return assemble(found.title, found.question, sections(found))


def answer(found):
    return re.sub(r"<[^>]+>", "", re.search(r'<p class="answer">(.*?)</p>', page_of(found))[1])


LEARNT, BLIND = task("translation", 0.40, 0.07), task("arithmetic", 0.03, 0.07)


def test_a_task_below_blind_answers_is_no_ground_for_an_amount_of_data():
    assert answer(report(BLIND)) == "Nothing was learnt beyond doubt, so no amount of data can be recommended."
    assert "largest cell scores 0.03 (0.01 to 0.05), blind answers 0.07" in page_of(report(BLIND))
    assert "not learnt</td>" in page_of(report(BLIND))


def test_what_was_learnt_is_recommended_and_nothing_else():
    said = answer(report(LEARNT, BLIND))
    assert said == "95.0\u202f% of the best result takes 400 samples of each of 1 language for translation (proxy)."
    text = page_of(report(LEARNT, BLIND))
    assert "arithmetic (proxy) was not learnt beyond doubt" in text
    assert "For translation (proxy) that is the largest size of the grid" in text


@pytest.mark.parametrize("gain", [(-0.1, 0.2), (None, None)])
def test_a_gain_over_the_untrained_model_that_may_be_none_is_not_learning(gain):
    unsure = dataclasses.replace(LEARNT, gain=Estimate(0.05, *gain))
    assert not unsure.learnt
    assert answer(report(unsure)).startswith("Nothing was learnt beyond doubt")
