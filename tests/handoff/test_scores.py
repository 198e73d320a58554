"""Scores that somebody else's trainer measures: asked for, collected from lm-evaluation-harness, fitted, shown."""

import html
import json
import math
import re
import shutil

import numpy as np
import pytest

from glotmix.config import checked
from glotmix.errors import BadInput, Waiting
from glotmix.handoff.asked import About, AskedScore, asked_runs
from glotmix.handoff.collect import collect
from glotmix.measurements import read_runs
from glotmix.scored import Scored
from glotmix.studies.mixture.config import StudyConfig
from glotmix.studies.mixture.problems import problems
from tests.handoff.planted import losses, waiting, write_csv
from tests.handoff.test_loop import STUDY
from tests.study.shell import ran

CHANCE, QUESTIONS = 0.25, 400
SCORES = {
    "mmlu/spa": {"kind": "score", "language": "es", "weight": 1, "chance": CHANCE, "questions": QUESTIONS},
    "mmlu/rus": {
        "kind": "score", "language": "ru", "weight": 1, "chance": CHANCE, "questions": QUESTIONS,
        "task": "global_mmlu_ru", "metric": "acc_norm",
    },
}  # fmt: skip
OF = {"mmlu/spa": "spa_Latn", "mmlu/rus": "rus_Cyrl"}


def config(**changes):
    given = {
        "targets": SCORES,
        "design": {"coalitions": "all", "swarm": 8, "swarm_roles": "fit", "anchors": 1, "anchor_seeds": 2},
        "fit": {"laws": ["null", "shapley_law"], "bootstrap": 20, "folds": 3},
        "optimize": {"objective": "weighted", "max_epochs": None, "current": {"spa_Latn": 0.95, "rus_Cyrl": 0.05}},
        "validation": {"seeds": 2, "baselines": ["natural"]},
    }
    return checked(StudyConfig, STUDY | given | changes)


def call(out, **changes):
    try:
        return ran("mixture", config(**changes), out.parent, out)
    except Waiting as waits:
        return waits.runs


def accuracy(loss):
    """Of a planted loss between 1.3 and 3."""
    return CHANCE + (1 - CHANCE) / (1 + math.exp(2.5 * (loss - 1.9)))


def train(handoff, name="results", harness=True):
    """Losses in a table; scores as the harness writes them, one folder per run, with filters and errors beside."""
    about, asked, rows = About.of(handoff), asked_runs(handoff), []
    for full in waiting(handoff):
        run = asked[full]
        found = losses(run, about.targets)
        rows.append({"run": full, "D": run.D, **{f"bits_per_byte/{target}": x for target, x in found.items()}})
        rng = np.random.default_rng((run.seed, 7))
        hits = {one: float(rng.binomial(QUESTIONS, accuracy(found[OF[one]])) / QUESTIONS) for one in OF}
        results = {
            "mmlu/spa": {"acc,none": hits["mmlu/spa"], "acc_stderr,none": 0.02, "alias": "mmlu"},
            "global_mmlu_ru": {"acc,none": 0.001, "acc_norm,none": hits["mmlu/rus"], "acc_norm,strict": 0.9},
            "hellaswag": {"acc,none": 0.3},
        }
        if harness:
            place = handoff / "results" / full / "results_2026.json"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps({"results": results, "config": {"model": "hf"}}))
    write_csv(handoff / "results" / f"{name}.csv", rows)


def text_of(page):
    plain = re.sub(r"<script.*?</script>|<style.*?</style>", "", page.read_text("utf-8"), flags=re.DOTALL)
    return re.sub(r"[\s\u202f]+", " ", html.unescape(re.sub(r"<[^>]+>", " ", plain)))


@pytest.fixture(scope="module")
def handed_off(tmp_path_factory):
    out = tmp_path_factory.mktemp("scored") / "out"
    assert len(call(out)) > 8
    return out


@pytest.fixture(scope="module")
def finished(handed_off, tmp_path_factory):
    out = shutil.copytree(handed_off, tmp_path_factory.mktemp("finished") / "out")
    train(out / "handoff")
    assert len(call(out)) == 6  # optimum, natural and current, two seeds each
    train(out / "handoff", "loop")
    assert call(out) == out / "report.html"
    return out


def test_targets_that_are_scores_are_no_text_and_weigh_what_is_said():
    given = config()
    assert given.outside == ["por_Latn"]
    assert given.scored["mmlu/rus"].metric == "acc_norm"
    assert given.scored["mmlu/spa"].language == "spa_Latn"
    assert given.optimize.weights == {"mmlu/spa": 1, "mmlu/rus": 1}
    assert StudyConfig.model_validate(given.model_dump(mode="json")) == given


def test_what_is_wrong_with_a_score_is_told(tmp_path):
    with pytest.raises(BadInput, match=r"chance of 1 .*below 1"):
        config(targets={"x": {"kind": "score", "chance": 1}})
    with pytest.raises(BadInput, match="expected text or score"):
        config(targets={"x": {"kind": "points"}})
    with pytest.raises(BadInput, match=r"are one name|listed twice"):
        config(targets={"SPA_latn": {"kind": "score"}})
    found = problems(config(sweep={"executor": "local"}), tmp_path)
    assert any("no scores" in str(one) and "executor: external" in str(one) for one in found)
    found = problems(config(optimize={"objective": "mean"}), tmp_path)
    assert any("no common unit" in str(one) and "normalised" in str(one) for one in found)


def test_the_handoff_asks_for_them(handed_off):
    about = About.of(handed_off / "handoff")
    assert about.scores["mmlu/rus"] == AskedScore(Scored(True, CHANCE, QUESTIONS), "acc_norm", "global_mmlu_ru")
    guide = (handed_off / "handoff" / "README.md").read_text()
    assert "| mmlu/rus | acc_norm | global_mmlu_ru |" in guide


def test_a_run_without_its_scores_is_refused_by_name(handed_off, tmp_path):
    out = shutil.copytree(handed_off, tmp_path / "out")
    train(out / "handoff", harness=False)
    found = collect(out / "handoff")
    assert not found.runs
    assert all("no score of mmlu/spa" in one or "no acc_norm of mmlu/rus" in one for one in found.refused)


def test_scores_in_percent_and_out_of_range(handed_off, tmp_path):
    out = shutil.copytree(handed_off, tmp_path / "out")
    train(out / "handoff")
    first, second = waiting(out / "handoff")[:2]
    for full, value in ((first, 57.5), (second, 1.2)):
        place = out / "handoff" / "results" / full / "results_2026.json"
        told = json.loads(place.read_text())
        told["results"]["mmlu/spa"]["acc,none"] = value
        place.write_text(json.dumps(told))
    found = collect(out / "handoff")
    row = next(row for row in found.runs[first].losses if row["metric"] == "score" and row["language"] == "mmlu/spa")
    assert row["value"] == pytest.approx(0.575)
    assert second not in found.runs
    assert any("acc of mmlu/spa is 1.2" in one for one in found.refused)


def test_collected_scores_are_what_was_measured(finished):
    measured = read_runs(finished)
    assert set(measured.scored) == set(OF)
    assert measured.scored["mmlu/spa"] == Scored(True, CHANCE, QUESTIONS)
    collected = {one.asked.run: one for one in collect(finished / "handoff").runs.values()}
    for r, run in enumerate(measured.runs):
        told = {row["language"]: row["value"] for row in collected[run].losses if row["metric"] == "score"}
        for target in OF:
            assert measured.loss(target)[r] == pytest.approx(1 - told[target], abs=1e-12)


def test_the_optimum_and_the_loop_tell_scores(finished):
    optimum = json.loads((finished / "optimum.json").read_text())
    loop = json.loads((finished / "closed_loop.json").read_text())
    assert set(optimum["objective"]["scored"]) == set(OF)
    for target in OF:
        told = optimum["predicted"][target]
        assert CHANCE < told["low"] <= told["value"] <= told["high"] < 1
        assert all(CHANCE - 0.1 < x < 1 for values in loop["measured"].values() for x in values[target])
    # a mixture of nearly nothing but Spanish has the lower mean, and the gain of the optimum is positive
    means = {name: np.mean([np.mean(values[target]) for target in OF]) for name, values in loop["measured"].items()}
    assert means["optimum"] > means["current"]
    gain = next(one for one in loop["differences"] if one["baseline"] == "current")
    assert gain["value"] == pytest.approx(means["optimum"] - means["current"], abs=1e-9)
    assert gain["value"] > 0


def test_shapley_values_of_a_score_are_its_rise(finished):
    told = json.loads((finished / "transfer.json").read_text())
    for target, language in OF.items():
        row = {source: cell["value"] for source, cell in told["values"][target].items()}
        assert row[language] > 0
        assert max(row, key=row.get) == language
        assert sum(row.values()) < 1 - CHANCE
    assert told["notes"]["empty_loss"]["mmlu/spa"] == pytest.approx(1 - CHANCE)


def test_the_page_says_that_scores_rise(finished):
    text = text_of(finished / "report.html")
    assert "mean score, measured against current: rises by" in text
    assert "falls by" not in text
    assert "makes the weighted mean score large" in text
    assert "right is better" in text
    assert "through a loss" in text
    loop = json.loads((finished / "closed_loop.json").read_text())
    means = {
        name: np.mean([np.mean(loop["measured"][name][target]) for target in OF]) for name in ("optimum", "current")
    }
    said = re.search(r"rises by ([\d.]+) points", text)
    assert float(said[1]) == pytest.approx(100 * (means["optimum"] - means["current"]), abs=0.01)


def test_a_score_that_comes_later_is_asked_for_by_what_must_be_collected_again(finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / "out")
    with pytest.raises(BadInput, match="without the score xnli"):
        call(out, targets={**SCORES, "xnli": {"kind": "score"}})
