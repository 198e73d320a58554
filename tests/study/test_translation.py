"""Translation as a comparison of methods: trained, translated, scored, resumed, and refused where it cannot be."""

import json
import shutil

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF
from typer.testing import CliRunner

from glotmix.artifact import read_json
from glotmix.cli import app
from glotmix.errors import BadInput, Problems
from glotmix.studies.compare.kind import CompareKind
from glotmix.studies.compare.translation import scored
from glotmix.study.directory import StudyDirectory
from glotmix.study.kind import run_study
from tests.contracts.kind import KindContract, Ran

KIND = CompareKind()
STUDY = """
kind: compare
name: Two languages to translate into
languages: [eng-spa, eng-rus]
corpus:
  reader: embedded
  bytes_per_language: 40000
  held_out: 0.2
  sources:
    eng-spa: {language: spa_Latn, translates: eng_Latn}
    eng-rus: {language: rus_Cyrl, translates: eng_Latn}
tokens: {vocab_size: 320, held_out_tokens: 1500, sample_bytes: 20000}
unique_pairs: {eng-rus: 12}
proxy: {width: 16, layers: 1, heads: 2, tokens: 30_000, context: 64, batch: 8, evaluations: 3, learning_rate: 1e-2}
sweep: {workers: 1, stack: 8}
methods: [proportional, "temperature:100", "scalarization:5", doremi, odm]
probe: {sequences: 12}
translation: {sentences: 4}
seeds: 2
"""


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("translation")
    (folder / "study.yaml").write_text(STUDY)
    result = CliRunner().invoke(
        app, ["compare", str(folder / "study.yaml"), "--out", str(folder / "out"), "--json"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    assert "pairs, and" in result.stderr
    return folder, json.loads(result.stdout)


class TestKind(KindContract):
    @pytest.fixture
    def ran(self, compared):
        folder, _ = compared
        return Ran("compare", KIND.load(folder / "study.yaml"), folder, folder / "out")


def test_every_method_is_scored_by_what_its_runs_said(compared):
    folder, found = compared
    rows = {row["method"]: row for row in found["rows"]}
    assert list(rows) == ["proportional", "temperature:100", "scalarization:5", "doremi", "odm"]
    assert found["sizes"]["eng-rus"] == 12 * 64
    assert rows["temperature:100"]["epochs"]["eng-rus"] == pytest.approx(0.5 * found["tokens"] / (12 * 64), rel=0.02)
    assert found["sentences"] == {"eng-spa": 4, "eng-rus": 4}
    kept = [read_json(folder / "out" / "translations" / f"odm-s{seed}" / "translations.json") for seed in (0, 1)]
    for metric, made in (("BLEU", BLEU()), ("chrF", CHRF())):
        by_hand = [
            made.corpus_score(one["eng-rus"]["hypotheses"], [one["eng-rus"]["references"]]).score for one in kept
        ]
        assert rows["odm"]["quality"][metric]["eng-rus"]["value"] == pytest.approx(sum(by_hand) / 2)
        assert len([pair for pair in found["quality"][metric] if pair["language"] == "mean"]) == 10
    assert all(text.strip() for one in kept for text in one["eng-spa"]["references"])
    assert found["side"]["factor"] > 1
    page = (folder / "out" / "report.html").read_text()
    assert "BLEU of held-out sentences" in page
    assert "Translated greedily" in page


def test_references_are_held_out_and_never_trained_on(compared):
    folder, _ = compared
    from glotmix.tokens.opening import open_store

    store = open_store(folder / "out" / "tokens")
    assert store.pairs

    def sources(ids):
        sides = np.split(np.asarray(ids, dtype=np.int64), np.flatnonzero(ids == store.end_of_document) + 1)
        return {store.tokenizer().decode(side)[3:] for side in sides[:-1:2]}

    held = {name: sources(store.held_out(name).tokens) for name in ("eng-spa", "eng-rus")}
    trained = {name: sources(store.train(name)) for name in held}
    assert min(map(len, held.values())) > 10
    assert not (held["eng-spa"] | held["eng-rus"]) & (trained["eng-spa"] | trained["eng-rus"])
    assert held["eng-spa"] & held["eng-rus"]


def test_translations_that_are_lost_are_made_again_alike_and_nothing_else_is(compared):
    folder, found = compared
    kept = folder / "out" / "translations" / "proportional-s1"
    before = read_json(kept / "translations.json")
    shutil.rmtree(kept)
    runs = {path: path.stat().st_mtime_ns for path in (folder / "out").glob("*/*/run.json")}
    others = {path: path.stat().st_mtime_ns for path in (folder / "out").glob("translations/*/translations.json")}
    config = KIND.load(folder / "study.yaml")
    again = run_study(KIND, config, StudyDirectory(folder / "out", folder)).found
    assert read_json(kept / "translations.json") == before
    assert {path: path.stat().st_mtime_ns for path in [*runs, *others]} == runs | others
    assert json.loads(json.dumps(again.to_json())) == {name: found[name] for name in again.to_json()}


def test_scores_are_those_of_sacrebleu_by_characters_where_words_are_not_parted():
    assert scored(["the cat sat down"], ["the cat sat down"], "eng_Latn") == pytest.approx({"BLEU": 100, "chrF": 100})
    said, meant = ["一二三四五六"], ["一二三四五七"]
    assert scored(said, meant, "cmn_Hans")["BLEU"] > 50 > scored(said, meant, "eng_Latn")["BLEU"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (['unique_tokens={"eng-rus": 600}'], "unique_tokens.*expected unique_pairs"),
        (['unique_pairs={"eng-deu": 6}'], "unique_pairs.*eng-deu.* is no language"),
        (["languages=[eng-spa, fra_Latn, eng-rus]"], "fra_Latn is text beside pairs"),
        (["proxy.context=8"], r"proxy\.context.*the shortest pair"),
        (['unique_pairs={"eng-rus": 1000000}'], r"unique_pairs.*expected 1 to \d"),
        (["proxy.tokens=100"], "less than a batch"),
    ],
)
def test_what_cannot_be_is_refused(compared, tmp_path, changes, message):
    folder, _ = compared
    with pytest.raises((BadInput, ValueError), match=message):
        config = KIND.load(folder / "study.yaml", overrides=changes)
        run_study(KIND, config, StudyDirectory(tmp_path / "out", folder))


def test_other_kinds_of_studies_refuse_pairs(tmp_path):
    (tmp_path / "mixture.yaml").write_text(
        "name: Mixture\nlanguages: [eng-spa, eng-rus]\nproxy: {tokens: 20000, context: 32}\n"
        "corpus: {reader: embedded, bytes_per_language: 20000, sources: "
        "{eng-spa: {language: es, translates: en}, eng-rus: {language: ru, translates: en}}}\n"
    )
    refused = CliRunner().invoke(app, ["run", str(tmp_path / "mixture.yaml"), "--dry-run"])
    assert isinstance(refused.exception, BadInput | Problems)
    assert "pairs of sentences, which studies of this kind do not learn" in str(refused.exception)


@pytest.mark.parametrize("corpus", ["5", "[a]", "{sources: [a]}", "{sources: 3}", "null"])
def test_a_corpus_that_is_none_is_said_and_no_traceback(tmp_path, corpus):
    (tmp_path / "study.yaml").write_text(f"kind: compare\nname: Odd\nlanguages: [es, ru]\ncorpus: {corpus}\n")
    with pytest.raises(BadInput, match="corpus"):
        KIND.load(tmp_path / "study.yaml")


def test_unique_pairs_of_texts_are_refused(tmp_path):
    (tmp_path / "study.yaml").write_text(
        "kind: compare\nname: Texts\nlanguages: [es, ru]\ncorpus: {reader: embedded}\nunique_pairs: {ru: 5}\n"
    )
    config = KIND.load(tmp_path / "study.yaml")
    assert [str(one.where) for one in KIND.problems(config, tmp_path)] == ["unique_pairs"]
