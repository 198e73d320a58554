"""The comparison's page says what the numbers say, and escapes what users name."""

import dataclasses
import math

import pytest

from glotmix.estimate import Estimate
from glotmix.studies.compare.findings import (
    Comparison,
    EvaluationPoint,
    MethodRow,
    OverfittingRow,
    Pair,
    Side,
    about_cooldown,
    about_the_side,
    about_the_smallest,
    headline,
)
from glotmix.studies.compare.page import write_page

SIZES = {"<b>big": 1e6, "small": 1e3}
SIDE = Side(
    5.0,
    {name: Estimate(2.0, 1.9, 2.1) for name in SIZES},
    4.0,
    Estimate(4.1, 3.9, 4.3),
    Estimate(5.0, 4.5, 5.5),
    {"<b>big": 0.5, "small": 90.0},
    {"<b>big": 0.2, "small": 0.8},
)


def row(method, big, small, static=True):
    loss = {"<b>big": big, "small": small, "mean": (big + small) / 2, "worst": max(big, small)}
    return MethodRow(
        method,
        "formula",
        "paper",
        static,
        3,
        {name: Estimate(value, value - 0.01, value + 0.01) for name, value in loss.items()},
        "small",
        {"<b>big": None, "small": 5e5, "mean": 7e5},
        1e12,
        dict.fromkeys(SIZES, 2.0),
        dict.fromkeys(SIZES, 0.5),
        ((0.0, dict.fromkeys(SIZES, 0.0)), (0.5, dict.fromkeys(SIZES, 1.0))),
    )


def watch(method, language, rise):
    moments = tuple(EvaluationPoint(1e5 * i, 4.0 * i, 4 - 0.3 * i, 4 - 0.1 * i) for i in range(1, 6))
    return OverfittingRow(
        method, language, moments, moments[2], Estimate(rise, rise - 0.02, rise + 0.02), Estimate(1.0, 0.9, 1.1)
    )


def comparison(**changes):
    rows = (row("proportional", 2.0, 4.0), row("temperature:100", 2.4, 3.0), row("cooldown", 2.1, 2.9, static=False))
    pairs = []
    for i, one in enumerate(rows):
        for other in rows[i + 1 :]:
            for name in one.loss:
                value = one.loss[name].value - other.loss[name].value
                p = 0.001 if abs(value) > 0.15 else 0.5
                pairs.append(Pair(one.method, other.method, name, Estimate(value, value - 0.1, value + 0.1), p))
    watches = tuple(
        watch(r.method, name, 0.1 if (r.method, name) == ("temperature:100", "small") else 0.0)
        for r in rows
        for name in SIZES
    )
    found = Comparison("proportional", SIZES, 5e5, 3, rows, tuple(pairs), watches, 16.4, SIDE, {})
    return dataclasses.replace(found, **changes)


def test_the_headline_names_the_best_and_who_cannot_be_told_from_it():
    text = headline(comparison())
    assert text.startswith("cooldown has the least mean loss")
    assert text.endswith("below each of the other 2 methods beyond the noise.")
    level = [dataclasses.replace(pair, p=0.5) for pair in comparison().pairs]
    assert "none of the other 2 methods can be told from it" in headline(comparison(pairs=tuple(level)))
    assert "one seed says nothing about the noise" in headline(comparison(seeds=1))


def test_the_question_about_cooldown_is_answered_from_pairs_and_watches():
    (reached, cost) = about_cooldown(comparison(), {name: name for name in SIZES})
    # No evidence of a difference is no evidence of equality.
    assert reached.startswith(
        "Cooldown can neither be told from nor be said to reach the best low-resource loss of the static methods "
        "(temperature:100)"
    )
    assert reached.endswith("does not overfit it.")
    assert "<b>big +0.100 (within the noise)" in cost
    assert about_cooldown(comparison(rows=comparison().rows[:2]), {}) == []


def test_who_overfits_is_said_with_the_epochs():
    sentences = about_the_smallest(comparison(), "Small")
    assert sentences[0].startswith("Small, the language with the least text, ends best with cooldown")
    assert "temperature:100 overfits it: the held-out loss is least after 12.0 epochs" in sentences[1]


def test_a_loss_that_rises_on_training_text_too_is_forgotten_and_not_overfitted():
    overfitted = watch("cooldown", "small", 0.1)
    assert (overfitted.overfits, overfitted.forgets) == (True, False)
    rising = tuple(dataclasses.replace(m, trained=3 + 0.1 * i) for i, m in enumerate(overfitted.moments))
    forgotten = dataclasses.replace(overfitted, moments=rising, best=rising[2])
    assert (forgotten.overfits, forgotten.forgets) == (False, True)
    assert forgotten.verdict == "forgets after 12.0 epochs"
    watches = tuple(forgotten if (w.method, w.language) == ("cooldown", "small") else w for w in comparison().watches)
    (reached, _) = about_cooldown(comparison(watches=watches), {name: name for name in SIZES})
    assert reached.endswith("forgets it after 12.0 epochs, once it is read too little.")


def test_the_side_is_only_claimed_beyond_the_noise():
    assert "on these corpora sampling is the quieter form" in about_the_side(SIDE)
    turned = dataclasses.replace(SIDE, variances=Estimate(0.8, 0.7, 0.9))
    assert "on these corpora weighting is the quieter form" in about_the_side(turned)
    unsure = dataclasses.replace(SIDE, variances=Estimate(1.2, 0.9, 1.6))
    assert "cannot be told" in about_the_side(unsure)


def test_a_pair_reads_both_ways():
    found = comparison()
    there, back = found.pair("proportional", "cooldown", "small"), found.pair("cooldown", "proportional", "small")
    assert there.difference.value == -back.difference.value > 0
    assert (there.verdict, back.verdict) == ("worse", "better")
    assert back.difference.low == -there.difference.high


def test_an_interval_that_leaves_out_zero_beside_a_verdict_that_does_not_says_why(tmp_path):
    """The interval is of one pair, the verdict of all of them after Holm."""
    level = tuple(dataclasses.replace(pair, p=0.2) for pair in comparison().pairs)
    page = write_page(comparison(pairs=level), "T", "Q?", tmp_path / "p.html").read_text()
    assert any(pair.difference.low > 0 or pair.difference.high < 0 for pair in level)
    assert "not told apart once all pairs count" in page.replace("\u00a0", " ")
    sure = tuple(dataclasses.replace(pair, p=0.001) for pair in level)
    assert "once all" not in write_page(comparison(pairs=sure), "T", "Q?", tmp_path / "s.html").read_text()


def test_tokens_at_an_epoch_lie_between_evaluations():
    course = watch("m", "small", 0.0)
    assert course.tokens_at(6.0) == pytest.approx(1.5e5)
    assert course.tokens_at(2.0) == pytest.approx(0.5e5)
    assert course.tokens_at(21.0) is None


def test_the_page_has_every_part_and_no_markup_of_users(tmp_path):
    page = write_page(comparison(lost={"odm-s0": "<i>died"}), "T", "Q?", tmp_path / "p.html").read_text()
    for heading in ("What to do", "How sure", "Who overfits, and when", "To sample or to weigh", "What it cost"):
        assert heading in page
    assert "&lt;b&gt;big" in page
    assert "<b>big" not in page
    assert "<i>died" not in page
    assert comparison().to_json()["rows"][0]["loss"]["mean"]["value"] == 3.0
    one = comparison(rows=comparison().rows[:1], pairs=(), side=None)
    assert "How sure" not in write_page(one, "T", "Q?", tmp_path / "one.html").read_text()
    assert math.isfinite(one.rows[0].flops)
