"""Methods are compared at equal tokens with paired seeds; statistics agree with the textbook and with SciPy."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest
from scipy.stats import ttest_rel
from typer.testing import CliRunner

from glotmix.artifact import read_json
from glotmix.cli import app
from glotmix.errors import BadInput, GlotmixError, Infeasible
from glotmix.estimate import PairedLayout, holm
from glotmix.mixture.methods import METHODS, BalanceProblem, balance, parse
from glotmix.studies.compare.analysis import pairs, rises, tokens_to
from glotmix.studies.compare.kind import CompareKind
from glotmix.studies.compare.runs import MethodRuns
from glotmix.study.directory import StudyDirectory
from glotmix.study.kind import run_study
from tests.contracts.kind import KindContract, Ran
from tests.recomputed_kinds import compare_page
from tests.study.shell import ran

KIND = CompareKind()
STUDY = """
kind: compare
name: Three languages
languages: [spa_Latn, por_Latn, rus_Cyrl]
corpus: {reader: embedded, bytes_per_language: 60000, held_out: 0.15}
tokens: {vocab_size: 320, held_out_tokens: 1000, sample_bytes: 20000}
unique_tokens: {rus_Cyrl: 512}
proxy: {width: 16, layers: 1, heads: 2, tokens: 24_000, context: 32, batch: 8, evaluations: 4, learning_rate: 1e-2}
sweep: {workers: 1, stack: 8}
methods: [proportional, "temperature:100", "scalarization:5", cooldown, doremi]
probe: {sequences: 16}
seeds: 2
"""


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    (folder / "study.yaml").write_text(STUDY)
    result = CliRunner().invoke(
        app, ["compare", str(folder / "study.yaml"), "--out", str(folder / "out"), "--json"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    # Proportional sampling draws 3 % Russian; weighted up to temperature 5 it makes most of the gradient's noise.
    assert re.search(r"scalarization:5 weighs rus_Cyrl \d[\d.]* times: [\d.]+% of the sequences", result.stderr)
    return folder, json.loads(result.stdout)


def test_every_method_reads_equal_tokens_by_its_own_shares(compared):
    folder, found = compared
    rows = {row["method"]: row for row in found["rows"]}
    assert list(rows) == ["proportional", "temperature:100", "scalarization:5", "cooldown", "doremi"]
    for path in (folder / "out" / "runs").glob("*/run.json"):
        assert sum(read_json(path)["tokens"].values()) == found["tokens"]
    natural = rows["proportional"]["shares"]
    assert rows["scalarization:5"]["shares"] == pytest.approx(natural)  # it weighs what proportional sampling reads
    assert rows["temperature:100"]["shares"]["rus_Cyrl"] == pytest.approx(1 / 3, abs=0.01)
    assert natural["rus_Cyrl"] < rows["cooldown"]["shares"]["rus_Cyrl"] < 1 / 3
    epochs = rows["temperature:100"]["epochs"]["rus_Cyrl"]
    assert epochs == pytest.approx(rows["temperature:100"]["shares"]["rus_Cyrl"] * found["tokens"] / 512)


def test_every_number_of_the_pages_tables_follows_from_the_files(compared):
    compare_page(compared[0] / "out")


def test_doremi_pays_for_its_reference_and_proxy(compared):
    _, found = compared
    flops = {row["method"]: row["flops"] for row in found["rows"]}
    # Three runs and a forward pass of the reference over one of them.
    assert flops["doremi"] / flops["proportional"] == pytest.approx(3 + 1 / 3, rel=1e-6)
    assert flops["cooldown"] == flops["scalarization:5"] == flops["proportional"]


def test_pairs_summaries_watches_and_side_are_there_for_all(compared):
    folder, found = compared
    methods, languages = 5, 3
    assert len(found["pairs"]) == methods * (methods - 1) // 2 * (languages + 2)
    assert len(found["watches"]) == methods * languages
    for row in found["rows"]:
        per_language = [row["loss"][name]["value"] for name in found["sizes"]]
        assert row["loss"]["mean"]["value"] == pytest.approx(np.mean(per_language))
        assert row["loss"]["worst"]["value"] >= max(per_language) - 1e-9
    low = next(w for w in found["watches"] if (w["method"], w["language"]) == ("temperature:100", "rus_Cyrl"))
    assert [m["epochs"] for m in low["moments"]] == sorted(m["epochs"] for m in low["moments"])
    assert low["gap"]["value"] > 0  # 16 sequences read 15 times each
    assert found["side"]["factor"] > 1
    assert sum(found["side"]["shares"].values()) == pytest.approx(1)
    page = (folder / "out" / "report.html").read_text()
    for text in ("What to do", "How sure", "Who overfits", "To sample or to weigh", "What it cost", "scalarization:5"):
        assert text in page


def test_called_again_nothing_is_trained_and_more_methods_join(compared):
    folder, _ = compared
    config = KIND.load(folder / "study.yaml", overrides=['methods=["proportional", "cooldown"]'])
    before = {path: path.stat().st_mtime_ns for path in (folder / "out" / "runs").glob("*/run.json")}
    again = run_study(KIND, config, StudyDirectory(folder / "out", folder)).found
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [row.method for row in again.rows] == ["proportional", "cooldown"]
    other = KIND.load(folder / "study.yaml", overrides=["proxy.width=32"])
    with pytest.raises(BadInput, match=r"another configuration: proxy\.width"):
        ran("compare", other, folder, folder / "out")


def test_a_schedule_that_repeats_too_much_is_an_error_that_says_where(compared):
    folder, _ = compared
    config = KIND.load(folder / "study.yaml", overrides=["max_epochs=5"])
    with pytest.raises(Infeasible, match=r"temperature:100: rus_Cyrl passes 5 epochs at progress 0\.\d+"):
        ran("compare", config, folder, folder / "out")


def test_two_methods_are_tested_as_scipy_tests_pairs():
    value_MS = np.random.default_rng(0).normal(size=(2, 5)) + np.array([[0.0], [1.0]])
    (pair,) = pairs(PairedLayout(value_MS), ["a", "b"], "mean")
    reference = ttest_rel(value_MS[0], value_MS[1])
    low, high = reference.confidence_interval()
    assert pair.p == pytest.approx(reference.pvalue)
    assert (pair.difference.low, pair.difference.high) == pytest.approx((low, high))


def test_null_methods_are_called_different_in_five_of_a_hundred_trials_at_most():
    rng = np.random.default_rng(1)
    found = [
        any(
            pair.p < 0.05
            for pair in pairs(PairedLayout(rng.normal(size=(6, 3)) + rng.normal(size=3)), "abcdef", "mean")
        )
        for _ in range(400)
    ]
    assert np.mean(found) < 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)  # uncorrected tests of 15 pairs: 0.3 and more


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])


def test_tokens_to_a_loss_lie_on_the_line_between_evaluations():
    tokens, loss = np.array([10.0, 20.0, 30.0]), np.array([3.0, 2.0, 1.0])
    assert tokens_to(tokens, loss, 1.5) == 25
    assert tokens_to(tokens, loss, 3.5) == 10
    assert tokens_to(tokens, loss, 0.5) is None


def test_noise_alone_does_not_rise():
    rng = np.random.default_rng(2)
    found = np.array([rises(rng.normal(size=(3, 10))) for _ in range(2000)])
    # The least of ten draws taken from the last one would be 1.5 too high on average.
    assert abs(found.mean()) < 4 * found.std() / math.sqrt(found.size)


@pytest.mark.parametrize("text", [name for name in METHODS if name != "pike"] + ["pike:0.1:0.1", "mixed:3:7"])
def test_every_method_makes_a_balance_over_all_languages(text):
    situation = BalanceProblem({"a": 1e6, "b": 3e5, "c": 1e4}, 1e5, 100, 8)
    made = balance(text, situation)
    assert set(made.schedule.languages) == {"a", "b", "c"}
    if made.adaptive is not None:
        assert made.adaptive.make(0).languages == ("a", "b", "c")
    if made.weighting is not None:
        sampled = made.schedule.stages[0].mixture
        assert sum(sampled[name] * made.weighting[name] for name in sampled) == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("magic", "no method 'magic'"),
        ("temperature:5:6", "'temperature:5:6' has 2 numbers"),
        ("temperature:hot", "'hot' is no number"),
        ("pike", "'pike' lacks a number"),
    ],
)
def test_methods_that_are_none_are_named(text, message, tmp_path):
    with pytest.raises(BadInput, match=message):
        parse(text)
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    with pytest.raises(BadInput, match=message):
        KIND.load(path, overrides=[f'methods=["{text}"]'])


def test_the_price_counts_references_and_proxies(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    price = KIND.price(KIND.load(path), tmp_path)
    assert price.amounts["runs"] == 2 * (5 + 1)
    fewer = KIND.load(path, overrides=['methods=["uniform", "doremi"]'])
    assert KIND.price(fewer, tmp_path).amounts["runs"] == 2 * (2 + 1 + 1)
    assert dataclasses.is_dataclass(price)


def test_runs_are_planned_before_they_are_trained(tmp_path, monkeypatch):
    """So that `glotmix status` and the live page count them while they are trained."""

    def train(self, runs, label):
        planned = {one["run"] for one in read_json(tmp_path / "out" / "plan.json")}
        raise GlotmixError(f"{len(runs)} of {len(planned)}" if {run.run for run in runs} <= planned else "not planned")

    monkeypatch.setattr(MethodRuns, "_train", train)
    (tmp_path / "study.yaml").write_text(STUDY)
    with pytest.raises(GlotmixError, match="8 of 8"):
        run_study(KIND, KIND.load(tmp_path / "study.yaml"), StudyDirectory(tmp_path / "out", tmp_path))


class TestKind(KindContract):
    @pytest.fixture
    def ran(self, compared):
        folder, _ = compared
        return Ran("compare", KIND.load(folder / "study.yaml"), folder, folder / "out")
