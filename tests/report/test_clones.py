"""Verdicts on the paper's claims follow from intervals, and the page says what the numbers say."""

import dataclasses
import json
import math

import numpy as np
import pytest

from glotmix.estimate import Estimate, over_repeats
from glotmix.studies.clones.figures import Axes, Trace, traces
from glotmix.studies.clones.findings import (
    NOT_DECIDABLE,
    NOT_REPRODUCED,
    REPRODUCED,
    AlignmentPoint,
    AloneRow,
    CloneFindings,
    CloneMixtureRow,
    ControlRow,
    DialRow,
    LensRow,
    judged,
    seeds_needed,
)
from glotmix.studies.clones.page import page


def verdict(values):
    return judged("a claim", "a figure", "a measure", values, "a larger model").verdict


def test_a_verdict_needs_the_whole_interval_on_one_side():
    assert verdict([0.5, 0.6, 0.7]) == REPRODUCED
    assert verdict([-0.5, -0.6, -0.7]) == NOT_REPRODUCED
    assert verdict([0.5, 0.6, -0.7]) == NOT_DECIDABLE
    assert verdict([9.0]) == NOT_DECIDABLE  # one seed has no interval


def test_noise_around_zero_is_called_a_reproduction_at_most_as_often_as_the_interval_allows():
    rng = np.random.default_rng(0)
    verdicts = [verdict(rng.normal(size=3)) for _ in range(500)]
    assert verdicts.count(REPRODUCED) / 500 == pytest.approx(0.025, abs=0.02)


def test_what_would_decide_is_the_number_of_seeds_where_the_sign_agrees():
    assert judged("", "", "", [0.1, 0.2, -0.05]).decides.startswith("about ")
    assert judged("", "", "", [-0.1, -0.2, 0.05], "a larger model").decides == "a larger model"
    assert seeds_needed(1.0, 0.1) == 2 + (12.706 * 0.1 / math.sqrt(2) > 1)
    assert seeds_needed(0.1, 0.2) == pytest.approx((1.96 * 2) ** 2, rel=0.2)


def row(name, shares, loss, efficiency):
    return CloneMixtureRow(
        "two clones", name, shares, 2e6, 3, tuple(map(Estimate, loss)), efficiency, Estimate(0.3, 0.2, 0.4),
        (0.9, 0.8), (0.5, 0.4), (0.6, 0.7), 1 / 32, (0.1, 0.0),
    )  # fmt: skip


def findings(**changes):
    told = {
        "title": "Clones <of> French",
        "question": "Are they one?",
        "languages": ("fra_Latn.1", "fra_Latn.2"),
        "facts": {"text": "5 tokens"},
        "mixtures": (
            row("split-50-50", (0.5, 0.5), (1.5, 1.5), (Estimate(0.9), Estimate(0.9, 0.8, 1.0))),
            row("split-90-10", (0.9, 0.1), (1.4, 1.9), (Estimate(1.0), Estimate(math.inf))),
        ),
        "moments": (AlignmentPoint("split-50-50", 1e6, (2.0, 2.1), 0.1, (0.2, 0.3)), AlignmentPoint("split-50-50", 2e6, (1.5, 1.5), 0.3, (0.5, 0.4)), AlignmentPoint("schedule-0_100", 2e6, (9.5, 1.5), 0.3, (0.5, 0.4))),
        "alone": (AloneRow("two clones", 257, 1e6, over_repeats([1.6, 1.7])), AloneRow("two clones", 257, 2e6, over_repeats([1.4, 1.5]))),
        "controls": (ControlRow(0.1, 1, Estimate(1.5), Estimate(math.inf), Estimate(-0.2)),),
        "dials": (DialRow("anchors", 0.05, 0.09, Estimate(1.45)),),
        "claims": (judged("Clones meet", "2.08", "ratio", [0.5, 0.6, 0.7]), judged("Both gain", "yes", "nats", [-0.1, -0.2, 0.05], "303M")),
        "lenses": (LensRow("game", 0.1, Estimate(-2.0), Estimate(0.3), Estimate(math.nan)), LensRow("measured", 0.1, Estimate(0.1), Estimate(0.2), Estimate(1.0))),
        "curve": "The law fits.",
    }  # fmt: skip
    return CloneFindings(**told | changes)


def test_the_page_states_verdicts_figures_and_what_is_not_defined_and_escapes_names():
    text = page(findings())
    assert "reproduce 1, contradict 0 and cannot decide 1" in text
    assert ">303M<" in text
    assert "beyond the curve" in text
    assert "a clone alone has an efficiency of 1.50" in text
    assert "Loss alone minus loss in the mixture is −0.200 nats" in text
    assert "not defined" in text
    assert "schedule-0_100" not in text  # a forgotten language would press all other losses flat
    assert "a token of the first clone is worth 0.20 tokens of the second's own. The lenses say: game 0.30." in text
    assert "Clones &lt;of&gt; French" in text
    assert "<of>" not in text


def test_retrieval_stands_beside_chance_and_of_one_sentence_is_not_told():
    text = page(findings())
    assert "70.0" in text
    assert "3.1" in text
    alone = dataclasses.replace(findings().mixtures[0], chance=1.0)
    assert "one sentence" in page(findings(mixtures=(alone,)))
    assert "70.0" not in page(findings(mixtures=(alone,)))


def test_parts_without_data_are_left_out_of_the_page():
    bare = page(findings(mixtures=(), moments=(), alone=(), controls=(), dials=(), lenses=(), claims=()))
    assert "Lenses against the truth" not in bare
    assert "Over time" not in bare
    assert "What the clones show" in bare


def test_findings_are_plain_json_with_infinite_numbers_as_text():
    told = json.loads(json.dumps(findings().to_json(), allow_nan=False))
    assert told["mixtures"][1]["efficiency"][1]["value"] == "inf"
    assert told["claims"][0]["verdict"] == "reproduced"


def test_a_logarithmic_axis_leaves_out_what_is_not_above_zero_and_counts_are_whole():
    line = Trace("line", (1.0, 2.0, 3.0), (Estimate(0.0), Estimate(1.0), Estimate(10.0, -1.0, 20.0)))
    drawn = traces("key", "finding", [line], Axes("block", "times", log_y=True, counts_x=True)).drawings[0]
    assert "nan" not in drawn
    assert drawn.count("data-tip") == 2
    assert all(f">{number}<" in drawn for number in ("1", "2", "3", "5", "10", "20"))
    assert ">1.5<" not in drawn
    nothing = Trace("nothing", (1.0, 2.0), (Estimate(0.0), Estimate(0.0)))
    assert traces("key", "finding", [nothing], Axes("block", "times", log_y=True)) is None
    assert traces("key", "finding", [nothing], Axes("block", "times")) is not None
