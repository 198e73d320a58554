"""The page of influence: shares beside nulls, texts escaped, lenses that say whether they agree."""

import numpy as np
import pytest

from glotmix.estimate import Estimate
from glotmix.studies.influence.findings import (
    CheckpointShares,
    InfluenceEvidence,
    Lenses,
    OverlapRow,
    Reinforcing,
    RemovalRow,
    ScoreRow,
    ShownSample,
    ShownTest,
    TaskInfluence,
    agreed,
    doubts,
    excess,
    headline,
    leaning,
)
from glotmix.studies.influence.page import write_influence_report
from glotmix.transfer.agreement import agreements, partings
from glotmix.transfer.matrix import TransferMatrix

HOSTILE = "<script>alert('x')</script> & \"quotes\""
TAGS = ("eng_Latn", "deu_Latn", "x<b>")


def matrix(value, half=None):
    value = np.asarray(value, float)
    ends = (None, None) if half is None else (value - half, value + half)
    return TransferMatrix(TAGS, TAGS, value, *ends, unit="1", method="shares")


def task(**changes):
    shares = np.full((3, 3), 0.25) + 0.25 * np.eye(3)
    e = Estimate(0.5, 0.4, 0.6)
    points = tuple(
        CheckpointShares(f"epoch-{i}", e, Estimate(0.3, 0.2, 0.4), e, Estimate(0.2, 0.1, 0.3)) for i in (1, 2)
    )
    sample = ShownSample("deu_Latn", "label", HOSTILE, 0.3, HOSTILE, True)
    found = {
        "name": "topics",
        "about": HOSTILE,
        "parallel": True,
        "m": 20,
        "seeds": 3,
        "accuracy": {"eng_Latn": Estimate(0.9), "deu_Latn": Estimate(0.2)},
        "shares": matrix(shares, 0.05),
        "null": matrix(np.full((3, 3), 1 / 3)),
        "negative": matrix(np.full((3, 3), 1 / 3)),
        "reinforcing": (Reinforcing("eng_Latn", Estimate(0.6, 0.5, 0.7), 0.1, Estimate(0.15, 0.1, 0.2)),),
        "course": {"eng_Latn": points},
        "asked": (ShownTest("eng_Latn", "label", HOSTILE, (sample,), (sample,)),),
        "overlap": (OverlapRow("deu_Latn", e, e, 0.1),),
        "removal": (RemovalRow("random_same_label", Estimate(-0.1, -0.2, 0.0)),),
        "removed": 20,
        "scores": (ScoreRow("TracIn, cosine", Estimate(0.15, 0.1, 0.2)),),
        "subsets": 30,
    }
    return TaskInfluence(**(found | changes))


def lenses(seed=0):
    rng = np.random.default_rng(seed)
    many = {name: [matrix(rng.standard_normal((3, 3)) + 2 * np.eye(3))] for name in ("game", "law")}
    found = agreements(many, rng, resamples=20)
    return Lenses({n: m[0] for n, m in many.items()}, tuple(found), tuple(partings(many)))


def test_translations_lead_and_every_share_stands_beside_its_null(tmp_path):
    evidence = InfluenceEvidence("T", "Q?", {"eng_Latn": "English"}, (task(),), lenses(), {"m": "20"})
    assert headline(evidence).startswith("topics: 60.0")
    assert "15.0" in headline(evidence)
    page = write_influence_report(evidence, tmp_path / "p.html").read_text()
    places = [page.index(words) for words in ("Translations among", "Shares of the training", "Over the checkpoints")]
    assert places == sorted(places)
    for words in ("random, same label", "identities shuffled", "LDS", "Where they part", "Trained again without 20"):
        assert words in page


def test_no_text_of_a_corpus_becomes_markup(tmp_path):
    evidence = InfluenceEvidence(HOSTILE, HOSTILE, {"deu_Latn": HOSTILE}, (task(),), lenses(), {HOSTILE: HOSTILE})
    page = write_influence_report(evidence, tmp_path / "p.html").read_text()
    assert "<script>alert" not in page
    assert "x<b>" not in page
    assert "alert(&#x27;x&#x27;)" in page or "alert('x')" in page


def test_excess_is_what_the_null_does_not_explain():
    found = excess(task())
    assert found["eng_Latn", "eng_Latn"] == pytest.approx(0.5 - 1 / 3)
    assert found.interval("eng_Latn", "eng_Latn") == pytest.approx((0.45 - 1 / 3, 0.55 - 1 / 3))
    assert "its own samples" in leaning(InfluenceEvidence("t"), task())
    nothing = task(shares=matrix(np.full((3, 3), 1 / 3), 0.05))
    assert leaning(InfluenceEvidence("t"), nothing).startswith("No test language prefers")


def test_doubts_name_what_the_model_has_not_learned_and_what_scores_are_worth():
    titles = [title for title, _ in doubts(InfluenceEvidence("t", tasks=(task(seeds=1),)))]
    assert any("often wrong in deu_Latn" in title for title in titles)
    assert any("LDS 0.15" in title for title in titles)
    assert any("one run" in title for title in titles)
    assert doubts(InfluenceEvidence("t", tasks=(task(scores=(), accuracy={}),))) == []


def test_lenses_alone_make_a_page_that_says_whether_they_agree(tmp_path):
    found = lenses()
    page = write_influence_report(InfluenceEvidence("L", lenses=found), tmp_path / "p.html").read_text()
    assert "On pairs of different languages" in page
    assert "What predictions rest on" not in page
    assert "agree more than chance gives" in agreed(found)
