"""The experiment of kind influence and ``glotmix influence`` end to end, as small as they go."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from glotmix.attribution.finished import TokenizerEncoder
from glotmix.cli import app
from glotmix.errors import BadInput, Corrupt, GlotmixError
from glotmix.studies.influence.config import InfluenceConfig
from glotmix.studies.influence.finished_runs import InfluenceRequest, influence_of
from glotmix.studies.influence.task_runs import TaskStudy, Variant
from glotmix.studies.influence.trainings import Wanted, train
from glotmix.study.narrator import Narrator
from glotmix.sweep.config import SweepConfig
from glotmix.sweep.executors.executor import Executor, JobEnd
from tests.contracts.kind import KindContract, Ran
from tests.recomputed_kinds import influence_page
from tests.study.shell import kind_of, ran

pytest.importorskip("transformers")

RECIPES = Path(__file__).parents[2] / "recipes"
FILE = """
kind: influence
name: Smallest
description: Does it run?
languages: [eng_Latn, deu_Latn]
seeds: 2
tasks:
  - {name: parallel, source: embedded, train: 30, test: 3, classes: [weather, market]}
  - {name: apart, source: embedded, parallel: false, train: 30, test: 3, classes: [weather, market]}
base:
  corpus: {reader: embedded, bytes_per_language: 30000}
  tokens: {vocab_size: 500, held_out_tokens: 1000}
  proxy: {width: 16, layers: 1, heads: 1, context: 16, batch: 8, tokens: 4000}
tuning: {epochs: 2, batch: 20, learning_rate: 3e-3, length: 16}
scores: {top: 8}
zero_shot: [deu_Latn]
imbalance: {deu: [0.5]}
removal: {samples: 5, tests: 2, seeds: 2, kinds: [top, random_same_label]}
subsets: 3
browse: 1
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The experiment, run once."""
    folder = tmp_path_factory.mktemp("influence")
    (folder / "study.yaml").write_text(FILE)
    experiment = kind_of("influence")
    config = experiment.load(folder / "study.yaml")
    report = ran("influence", config, folder, folder / "out")
    return folder, experiment, config, report


def test_every_number_of_the_pages_tables_follows_from_the_files(done):
    influence_page(done[0] / "out")


def test_the_page_has_every_share_beside_its_null_and_the_texts(done):
    page = done[3].read_text()
    for words in (
        "identities shuffled",
        "random, same label",
        "Zero-shot",
        "Trained again without 5 samples",
        "Linear datamodeling score over 3 subsets",
        "Most helpful",
        "in the test language",
        "English",
    ):
        assert words in page
    assert "Traceback" not in page
    parallel, apart = json.loads((done[0] / "out" / "findings.json").read_text())
    english = parallel["shares"]["values"]["eng_Latn"]
    assert english["deu_Latn"]["value"] == pytest.approx(1 - english["eng_Latn"]["value"])
    assert [row["kind"] for row in parallel["removal"]] == ["top", "random_same_label"]
    assert not apart["removal"]


def test_called_again_nothing_is_done_again(done):
    folder, _, config, _ = done
    before = {p: p.stat().st_mtime_ns for p in (folder / "out").rglob("*") if p.suffix in (".safetensors", ".bin")}
    kept = {p.name for p in (folder / "out" / "retrained").iterdir()}
    ran("influence", config, folder, folder / "out")
    assert before == {p: p.stat().st_mtime_ns for p in before}
    assert kept == {p.name for p in (folder / "out" / "retrained").iterdir()}
    # kinds × seeds × tests + seeds of removal, and subsets
    assert len(kept) == 2 * 2 * 2 + 2 + 3
    other = config.model_copy(update={"seed": 1})
    with pytest.raises(BadInput, match="another configuration: seed"):
        ran("influence", other, folder, folder / "out")


def test_trainings_are_jobs_and_one_that_is_lost_is_done_again_to_the_same_bytes(done, tmp_path):
    folder, _, config, _ = done
    out = folder / "out"
    orders = [json.loads(path.read_text()) for path in sorted((out / "jobs").glob("*.json"))]
    counts = [(order["task"], len(order["trainings"])) for order in orders]
    assert sum(count for task, count in counts if task == "apart") == 6  # tunings: the first task alone is tested
    assert sum(count for task, count in counts if task == "parallel") == 6 + 13
    study = TaskStudy(config, config.tasks[0], out / "base", folder, out)
    kept, seed = study.wanted()[-1]
    path = study.kept_in(kept, seed)
    before = path.read_bytes()
    path.unlink()
    torch.set_num_threads(1)
    study.retrained(kept, seed)
    assert path.read_bytes() == before
    path.unlink()
    ran("influence", config, folder, out)
    assert path.read_bytes() == before


def test_more_and_less_of_a_language_is_trained_on_and_told(done):
    folder, _, config, report = done
    rows = json.loads((folder / "out" / "findings.json").read_text())[0]["imbalance"]
    assert [(row["language"], row["factor"]) for row in rows] == [("deu_Latn", 0.5), ("deu_Latn", 1.0)]
    assert [row["part"] for row in rows] == [15 / 45, 0.5]
    assert rows[1]["own_change"]["value"] == rows[1]["others_change"]["value"] == 0
    study = TaskStudy(config, config.tasks[0], folder / "out" / "base", folder, folder / "out")
    usual, less = ([study.scores(seed, variant) for seed in (0, 1)] for variant in (None, Variant("deu_Latn", 0.5)))
    own = [
        [np.mean([run.train.languages[n] == "deu_Latn" for n in run.top(8)[3:].ravel()]) for run in runs]
        for runs in (usual, less)
    ]
    assert rows[1]["own"]["value"] == pytest.approx(np.mean(own[0]))
    assert rows[0]["own"]["value"] == pytest.approx(np.mean(own[1]))
    assert rows[0]["own_change"]["value"] == pytest.approx(np.mean(own[1]) - np.mean(own[0]))
    assert "More and less of a language" in report.read_text()


def test_what_there_is_more_of_holds_all_that_there_was(done):
    folder, _, config, _ = done
    more = InfluenceConfig.model_validate(
        config.model_dump() | {"tasks": config.tasks[:1], "imbalance": {"deu": [0.2, 3]}}
    )
    study = TaskStudy(more, more.tasks[0], folder / "out" / "base", folder, folder / "out")
    texts = {}
    for factor, count in ((0.2, 6), (1.0, 30), (3.0, 90)):
        found = study.trained_on(None if factor == 1 else Variant("deu_Latn", factor))
        own = {(i, t) for i, t, name in zip(found.ids, found.texts, found.languages, strict=True) if name == "deu_Latn"}
        assert (len(own), len(found)) == (count, count + 30)
        texts[factor] = own
    assert texts[0.2] < texts[1.0] < texts[3.0]
    assert not {t for _, t in texts[3.0]} & {
        t for t, name in zip(study.texts[1].texts, study.texts[1].languages, strict=True) if name == "deu_Latn"
    }


class Broken(Executor):
    """Whose jobs all die."""

    workers = 2

    def run(self, jobs, tick):
        self.asked = [job.name for job in jobs]
        for job in jobs:
            yield JobEnd(job, -9, "no memory")


def test_trainings_that_fail_on_every_try_are_told_with_their_reason(done, tmp_path):
    folder, _, config, _ = done
    study = TaskStudy(config, config.tasks[0], folder / "out" / "base", folder, folder / "out")
    lost = [Wanted(tmp_path / f"{i}.json", {"seed": i, "left_out": [0]}) for i in range(40)]
    lost[3].result.write_text("[]")
    executor, seen = Broken(), []
    with pytest.raises(GlotmixError, match=r"39 trainings of parallel failed, 0.json first: no memory"):
        train(study, lost, executor, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (1, 40)
    assert len(executor.asked) == 3  # at most sixteen in each


def test_an_executor_that_cannot_tune_is_refused_by_name(done):
    folder, experiment, config, _ = done
    wrong = config.model_copy(update={"sweep": SweepConfig(executor="external", devices_per_run=2)})
    told = [str(one) for one in experiment.problems(wrong, folder)]
    assert any(
        "sweep.executor: executor: external trains proxies alone (expected local, slurm or ray)" in one for one in told
    )
    assert any(one.startswith("sweep.devices_per_run: devices_per_run = 2") for one in told)
    assert not experiment.problems(config, folder)


def test_a_tokenizer_is_found_from_a_relative_path(done, monkeypatch):
    monkeypatch.chdir(done[0])
    near, far = (
        TokenizerEncoder(path)(["one text"], None, 16) for path in (Path("out/base"), done[0] / "out" / "base")
    )
    assert near == far


def test_training_texts_of_the_parallel_task_alone_are_translations(done):
    from glotmix.attribution.texts import read_texts

    for task, parallel in (("parallel", True), ("apart", False)):
        train = read_texts(done[0] / "out" / "tasks" / task / "train.parquet")
        label = {(lang, i): y for lang, i, y in zip(train.languages, train.ids, train.labels, strict=True)}
        same = [label["eng_Latn", str(i)] == label["deu_Latn", str(i)] for i in range(30)]
        assert all(same) == parallel
        test = read_texts(done[0] / "out" / "tasks" / task / "test.parquet")
        assert not set(test.ids) & set(train.ids)


def test_the_price_counts_what_is_done(done):
    folder, experiment, config, _ = done
    price = experiment.price(config, folder)
    assert price.amounts["tunings"] == 2 * 2 * 3
    assert price.amounts["retrainings"] == 13
    assert json.dumps(price.to_json())


def test_its_runs_are_asked_from_the_command_line(done):
    folder = done[0]
    runs = [str(folder / "out" / "runs" / f"parallel-s{s}") for s in (0, 1)]
    result = CliRunner().invoke(app, ["influence", *runs, "--out", str(folder / "asked"), "--top", "8", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    shares = found["positive"]["shares"]["eng_Latn"]
    assert sum(cell["value"] for cell in shares.values()) == pytest.approx(1)
    assert shares["deu_Latn"]["low"] <= shares["deu_Latn"]["value"] <= shares["deu_Latn"]["high"]
    assert found["positive"]["same_label"]["eng_Latn"]["deu_Latn"]["value"] == pytest.approx(0.5)
    assert set(found["translations"]["eng_Latn"]) == {"share", "chance", "shuffled"}
    assert list(found["checkpoints"]) == ["epoch-1", "epoch-2"]
    assert (folder / "asked" / "report.html").is_file()


def test_an_index_gives_nearly_the_same_and_tells_its_error(done):
    folder = done[0]
    run = folder / "out" / "runs" / "parallel-s0"
    exact = influence_of([run], InfluenceRequest(), folder / "exact", Narrator())
    answer = influence_of([run], InfluenceRequest(index=folder / "index", dimensions=12), folder / "near", Narrator())
    a, b = exact.scores[0].value_QN, answer.scores[0].value_QN
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.8
    assert 0 < answer.errors[0].rms < answer.errors[0].scale
    again = influence_of([run], InfluenceRequest(index=folder / "index", dimensions=12), folder / "near", Narrator())
    assert (again.scores[0].value_QN == b).all()
    with pytest.raises(BadInput, match="made of other training samples"):
        influence_of([run], InfluenceRequest(index=folder / "index", train_samples=3), folder / "near", Narrator())
    broken = next((folder / "index").glob("*/gradients-0.bin"))
    broken.write_bytes(broken.read_bytes()[:-8])
    with pytest.raises(Corrupt, match=r"gradients-0\.bin"):
        influence_of([run], InfluenceRequest(index=folder / "index"), folder / "near", Narrator())


def test_one_seed_whose_test_gradients_do_not_fit_together_ends_with_a_page_that_says_both(done, tmp_path, monkeypatch):
    """No spread and no intervals, but every number; gradients are projected, and the page tells the error."""
    from glotmix.attribution import tracin

    folder, experiment, _, _ = done
    config = experiment.load(folder / "study.yaml", overrides=["seeds=1", "removal.seeds=1"])
    shutil.copytree(folder / "out" / "base", tmp_path / "out" / "base")
    for again in (False, True):  # called again it makes the same page
        if again:
            shutil.rmtree(tmp_path / "out" / "scores")
            (tmp_path / "out" / "scoring.json").unlink()
        with monkeypatch.context() as little:
            little.setattr(tracin, "free_bytes", lambda device: 10_000)
            page = ran("influence", config, folder, tmp_path / "out").read_text()
        assert "projected, 16 × 16 of a matrix; projected cosines are off by 0.0" in page
        assert "one run" in page
        assert "nan" not in re.sub(r"<(script|style).*?</\1>", "", page, flags=re.S).lower().split()
    assert "projected" not in done[3].read_text()
    kept = {p.name for p in (tmp_path / "out" / "runs").iterdir()}
    assert {p.name for p in (tmp_path / "out" / "indices").iterdir()} == kept
    # What was decided stays, whatever memory is free when the study goes on.
    shutil.rmtree(tmp_path / "out" / "scores")
    assert "projected, 16 × 16 of a matrix" in ran("influence", config, folder, tmp_path / "out").read_text()
    # Unless the study says how much there is.
    shutil.rmtree(tmp_path / "out" / "scores")
    told = config.model_copy(update={"scores": config.scores.model_copy(update={"query_gb": 1.0})})
    assert "projected" not in ran("influence", told, folder, tmp_path / "out").read_text()


def test_the_gradients_of_a_first_run_are_computed_once_for_both_similarities(done, tmp_path, monkeypatch):
    from glotmix.attribution.gradients import PerSampleGradients

    folder, _, config, _ = done
    shutil.copytree(folder / "out", tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "scores")
    counted = []
    caught = PerSampleGradients.__call__
    monkeypatch.setattr(
        PerSampleGradients,
        "__call__",
        lambda self, batch: counted.append(len(batch["input_ids"])) or caught(self, batch),
    )
    ran("influence", config, folder, tmp_path / "out")
    assert sum(counted) == kind_of("influence").price(config, folder).amounts["gradients"]


def test_a_large_model_is_priced_by_its_architecture(tmp_path):
    """The paper's plan: 10,000 × 2,500 samples at five checkpoints of each run, whose test gradients fit nowhere."""
    experiment = kind_of("influence")
    config = experiment.load(RECIPES / "tracin.yaml", scale="paper", overrides=["zero_shot=[]", "seeds=1"])
    price = experiment.price(config, tmp_path)
    assert 62_500 <= price.amounts["gradients"] <= 1.03 * 62_500
    assert price.amounts["checkpoint_bytes"] == pytest.approx(4 * 278e6 * 5, rel=0.01)
    assert 0 < price.amounts["index_bytes"] < 1.2e10
    assert price.amounts["seconds"] > 0
    exact = experiment.load(
        RECIPES / "tracin.yaml",
        scale="paper",
        overrides=["zero_shot=[]", "seeds=1", "scores.method=exact", "scores.query_gb=2.147483648"],
    )
    # Six test gradients fit into 2 GiB: the training samples' are computed 417 times.
    assert experiment.price(exact, tmp_path).amounts["gradients"] == 5 * (417 * 10_000 + 2500)


def test_bad_input_on_the_command_line_is_one_line_and_exit_code_2(done, tmp_path):
    folder = done[0]
    run = folder / "out" / "runs" / "parallel-s0"
    for run_directory, options, words in (
        (tmp_path, {}, "no checkpoints in it"),
        (folder / "out" / "base", {}, "nothing says what it was trained on"),
        (run, {"checkpoints": ["epoch-9"]}, "no checkpoint epoch-9"),
        (run, {"similarity": "angle"}, "similarity = 'angle'"),
        (run, {"parameters": ["none.*"]}, "no trainable parameter matches"),
        (run, {"top": 1000}, "top 1000 of 60"),
        (run, {"train": tmp_path / "none.jsonl"}, "no such file"),
    ):
        with pytest.raises(BadInput, match=words):
            influence_of([run_directory], InfluenceRequest(**options), tmp_path / "out", Narrator())
    texts = tmp_path / "texts.jsonl"
    texts.write_text(json.dumps({"text": "a b", "language": "eng_Latn", "label": "storm"}) + "\n")
    with pytest.raises(BadInput, match="label 'storm'"):
        influence_of([run], InfluenceRequest(train=texts, test=texts), tmp_path / "out", Narrator())
    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    weights = broken / "checkpoints" / "epoch-1" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(Corrupt, match="epoch-1"):
        influence_of([broken], InfluenceRequest(), tmp_path / "out", Narrator())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("scores: {top: 31}", r"scores.top = 31 of 30"),
        ("zero_shot: [fra_Latn]", "fra_Latn is none of the languages"),
        ("languages: [eng_Latn, eng_Latn]", "twice"),
        ("seeds: 0", "seeds"),
        ("imbalance: {fra: [2]}", "imbalance: fra_Latn is none of the languages"),
        ("imbalance: {deu: [0.5, 1]}", "1 times its samples"),
        ("imbalance: {deu: [2]}", "no further texts of deu_Latn in task apart"),
        ("imbalance: {deu: [0.01]}", "0.01 times 30 samples of deu_Latn is none"),
    ],
)
def test_a_study_file_that_makes_no_sense_is_named(tmp_path, change, words):
    key = change.partition(":")[0]
    lines = [line for line in FILE.strip().splitlines() if not line.startswith(f"{key}:")]
    (tmp_path / "study.yaml").write_text("\n".join([*lines, change]))
    with pytest.raises(BadInput, match=words):
        kind_of("influence").load(tmp_path / "study.yaml")


def test_a_kept_proxy_is_asked_on_the_sequences_it_was_trained_on(tmp_path):
    from glotmix.studies.mixture.config import check
    from glotmix.studies.mixture.stages import MixtureStudy
    from glotmix.study.directory import StudyDirectory

    config = check(
        {
            "name": "kept",
            "languages": ["eng_Latn", "deu_Latn"],
            "outside": ["nld_Latn"],
            "corpus": {"reader": "embedded", "bytes_per_language": 20_000},
            "tokens": {"vocab_size": 400, "held_out_tokens": 1000},
            "design": {"coalitions": "all", "swarm": 0, "anchors": 0},
            "proxy": {"width": 16, "layers": 1, "heads": 1, "context": 16, "batch": 8, "tokens": 3000,
                      "evaluations": 2, "keep_checkpoints": True},
            "sweep": {"stack": 3, "workers": 1},
        }
    )  # fmt: skip
    (tmp_path / "out").mkdir()
    study = MixtureStudy.of(config, StudyDirectory(tmp_path / "out", tmp_path))
    (tmp_path / "out" / "study.json").write_text(json.dumps(config.model_dump(mode="json")))
    store = study.tokens()
    runs = study.plan(store)
    assert study.run(runs, study.sweep_spec(store, len(runs)), "train") == {}
    measured = study.measure(runs, study.sweep_spec(store, len(runs)), {})
    study.transfer(measured, store)
    plan = next(run for run in runs if len(run.schedule.average().support) == 2)
    run = tmp_path / "out" / "runs" / plan.run
    asking = InfluenceRequest(train_samples=12, test_samples=3, lenses=True)
    answer = influence_of([run], asking, tmp_path / "asked", Narrator())
    assert set(answer.lenses.matrices) == {"TracIn shares", "in-run Shapley", "game Shapley"}
    assert "Rank correlations" in (tmp_path / "asked" / "report.html").read_text()
    shares = answer.by_language.positive.shares
    assert shares.targets == ("eng_Latn", "deu_Latn", "nld_Latn")
    assert shares.sources == ("eng_Latn", "deu_Latn")
    assert len(answer.by_language.moments) == 2
    assert answer.by_language.translations is None
    assert shares.value_TL.sum(1) == pytest.approx(1)
    # What was read as training data is what the run read: sequences of its own batches.
    from glotmix.proxy.loader import MixtureBatches
    from glotmix.proxy.run import StackRun
    from glotmix.studies.influence.finished_runs import _windows

    train, _ = _windows(run.resolve(), tmp_path / "out", InfluenceRequest(train_samples=12))
    batches = MixtureBatches(
        store, [StackRun(plan.run, plan.schedule, plan.tokens, plan.seed)], config.proxy, study.available(store)
    )
    seen = {tuple(row[:16]) for step in range(23) for row in batches(0, step).tolist()}
    assert {tuple(row) for row in train.inputs["input_ids"].tolist()} <= seen


class TestKind(KindContract):
    @pytest.fixture
    def ran(self, done):
        folder, _, config, _ = done
        return Ran("influence", config, folder, folder / "out")
