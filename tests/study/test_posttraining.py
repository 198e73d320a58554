"""A study file to a report: resumed to the same bytes, and every way in which it can be wrong has a name."""

import json
import shutil
import zlib
from importlib import import_module
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from glotmix.artifact import creating, write_json
from glotmix.cli import app
from glotmix.errors import BadInput, GlotmixError
from glotmix.posttraining.answer import load_model
from glotmix.posttraining.cell import KIND, scored
from glotmix.posttraining.chat import encode
from glotmix.posttraining.judge import Unreachable
from glotmix.posttraining.sources import SourceConfig, read_source
from glotmix.studies.posttraining import cells as posttraining_cells
from glotmix.studies.posttraining import kind as posttraining
from glotmix.studies.start import open_study
from glotmix.sweep.executors.executor import Executor, JobEnd
from tests.contracts.kind import KindContract, Ran
from tests.posttraining.toy import chat_model
from tests.recomputed_kinds import posttraining_page
from tests.study.shell import kind_of, ran

RECIPE = Path(__file__).parents[2] / "recipes" / "post-training.yaml"


class Here(Executor):
    """Runs jobs in this process, which spares each of them the import of everything; ends after ``most`` cells."""

    workers = 1

    def __init__(self, most=None):
        self.trained, self.most = [], most

    def run(self, jobs, tick):
        for job in jobs:
            code = import_module(job.command[2]).main(Path(job.command[-1]))
            yield JobEnd(job, code, "")
            tick()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    directory = tmp_path_factory.mktemp("base")
    chat_model(directory, width=16, layers=1)
    return directory / "plain"


@pytest.fixture
def here(monkeypatch):
    """The executor, and a list of the cells that were really trained."""
    executor, real = Here(), posttraining_cells.run_cell

    def counted(cell, base, setting, directory):
        if executor.most is not None and len(executor.trained) >= executor.most:
            raise KeyboardInterrupt
        if not posttraining_cells.is_done(directory, cell, base, setting):
            executor.trained.append(cell.name)
        real(cell, base, setting, directory)

    monkeypatch.setattr(posttraining, "executor_of", lambda config: executor)
    monkeypatch.setattr(posttraining_cells, "run_cell", counted)
    return executor


def study(proxy, **changes):
    return {
        "name": "Test <b>study</b>",
        "description": "Does it hold?",
        "languages": ["spa", "rus"],
        "outside": ["por"],
        "bases": {"toy": {"model": str(proxy), "tokenizer": str(proxy / "tokenizer.json")}},
        "tasks": {"mathematics": {"test_samples": 4, "validation_samples": 2}},
        "grids": [{"samples": [0, 3, 6], "pivot_samples": 6, "seeds": 2}],
        "finetuning": {"batch": 3, "steps": 3, "learning_rate": 3e-3, "save_every": 2, "context": 160},
        "analysis": {"resamples": 20},
    } | changes


def config_of(data):
    return posttraining.PosttrainingConfig.model_validate(data)


def run(data, base, directory):
    return ran("posttraining", config_of(data), base, directory)


def scores(directory):
    return {path.parent.name: path.read_bytes() for path in sorted((directory / "cells").glob("*/scores.parquet"))}


def test_chats_without_one_right_answer_need_neither_a_judge_nor_ids(proxy, here, tmp_path):
    """A user's own files: what most people have."""
    for language in ("eng_Latn", "spa_Latn", "rus_Cyrl", "por_Latn"):
        for split, numbers in (("train", range(12)), ("test", range(20, 26))):
            rows = [
                {"messages": [{"role": "user", "content": f"{language} {i} {'abc'[i % 3] * 9}"},
                              {"role": "assistant", "content": f"so {i * 7} it is, {language}"}]}
                for i in numbers
            ]  # fmt: skip
            (tmp_path / f"{language}.{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = {split: {"source": "chat", "path": f"{{language}}.{split}.jsonl"} for split in ("train", "test")}
    task = {**files, "test_samples": 4, "validation_samples": 2}
    asked = study(proxy, tasks={"chat": task}, grids=[{"samples": [0, 3], "pivot_samples": 3, "seeds": 2}])
    path = tmp_path / "study.yaml"
    path.write_text(json.dumps({"kind": "posttraining", **asked}))
    opened = open_study(path, out=tmp_path / "out")
    assert opened.problems() == []
    opened.run()
    table = pl.read_parquet(next((tmp_path / "out" / "cells").glob("chat*/scores.parquet")))
    assert set(table["metric"]) == {"byte_likelihood", "bpb"}
    assert set(table["language"]) == {"eng_Latn", "spa_Latn", "rus_Cyrl", "por_Latn"}
    assert ((table["value"] > 0) & table["value"].is_finite()).all()
    assert "chat" in (tmp_path / "out" / "report.html").read_text()


def test_from_study_file_to_report_and_again_without_training(proxy, here, tmp_path):
    both = {name: {"test_samples": 4, "validation_samples": 2} for name in ("mathematics", "instructions")}
    data = study(proxy, tasks=both, influence={"test_samples": 1, "train_samples": 12, "top": 3})
    report = run(data, tmp_path, tmp_path / "out")
    assert len(here.trained) == 2 * 3 * 2 + 1
    page = report.read_text()
    for heading in ("What to do", "Was it learnt?", "How much is enough?", "Who comes along?", "What explains it?"):
        assert heading in page
    assert "Which samples do answers rest on?" in page
    assert "seen languages lead unseen ones by" in page
    assert "Test &lt;b&gt;study&lt;/b&gt;" in page
    assert "<b>study</b>" not in page
    found = json.loads((tmp_path / "out" / "findings.json").read_text())
    assert {row["task"] for row in found["tasks"]} == {"mathematics", "instructions"}
    assert found["cells"] == 12
    assert all(len(row["groups"]["unseen"]) == 3 for row in found["curves"])
    shares = found["influence"][0]["shares"]["por_Latn"]
    assert sum(share["value"] for share in shares) == pytest.approx(1)
    assert all(share["low"] <= share["value"] <= share["high"] for share in shares)

    runs = pl.read_parquet(tmp_path / "out" / "measurements" / "runs.parquet")
    losses = pl.read_parquet(tmp_path / "out" / "measurements" / "losses.parquet")
    assert runs.height == 13
    largest = runs.filter(pl.col("run") == "mathematics-toy-n6-s0")
    assert sum(largest[f"p/{tag}"][0] for tag in ("eng_Latn", "spa_Latn", "rus_Cyrl")) == pytest.approx(1)
    assert largest["p/por_Latn"][0] == 0
    assert set(losses["metric"]) == {"mathematics/exact_match", "instructions/pass_rate"}

    before = scores(tmp_path / "out")
    here.trained.clear()
    run(data, tmp_path, tmp_path / "out")
    assert here.trained == []
    shutil.rmtree(tmp_path / "out" / "cells" / "mathematics-toy-n3-s1")
    run(data, tmp_path, tmp_path / "out")
    assert here.trained == ["mathematics-toy-n3-s1"]
    assert scores(tmp_path / "out") == before  # byte for byte
    with pytest.raises(BadInput, match=r"made by another configuration: finetuning.learning_rate"):
        run(data | {"finetuning": data["finetuning"] | {"learning_rate": 1e-3}}, tmp_path, tmp_path / "out")


def test_models_in_parts_on_two_devices_answer_as_those_on_one(tmp_path):
    """A study as it is launched: jobs of two processes, which train together and share the questions out."""
    chat_model(tmp_path / "model", width=16, layers=1)
    plain = {
        "outside": [], "bases": {"toy": {"model": str(tmp_path / "model" / "chat")}},
        "grids": [{"samples": [0, 4], "pivot_samples": 4}],
        "finetuning": {"batch": 4, "micro_batch": 1, "steps": 4, "learning_rate": 1e-2, "save_every": 2, "context": 160},
        "cells_per_job": 8,
    }  # fmt: skip
    together = {"device": "cpu", "devices_per_run": 2, "workers": 1, "retries": 0}
    for name, sweep in (("two", together), ("one", {"device": "cpu", "workers": 1})):
        run(study(tmp_path, **plain, sweep=sweep), tmp_path, tmp_path / name)
    tables = [
        {
            path.parent.name: pl.read_parquet(path)
            for path in sorted((tmp_path / name / "cells").glob("*/scores.parquet"))
        }
        for name in ("one", "two")
    ]
    assert tables[0].keys() == tables[1].keys()
    assert len(tables[0]) == 3
    for name, table in tables[0].items():
        assert table.equals(tables[1][name]), name
    histories = [
        json.loads((tmp_path / name / "cells" / "mathematics-toy-n4-s0" / "cell.json").read_text())
        for name in ("one", "two")
    ]
    np.testing.assert_allclose(histories[0]["losses"], histories[1]["losses"], rtol=1e-5)
    assert histories[0]["losses"][0] - histories[0]["losses"][-1] > 0.1
    assert not list((tmp_path / "two").glob("states/*"))
    assert not list((tmp_path / "two" / "cells").glob(".*"))


def test_what_cannot_train_is_told_before_anything_is(tmp_path):
    chat_model(tmp_path / "model", width=16, layers=1)
    bases = {"toy": {"model": str(tmp_path / "model" / "chat")}}

    def told(finetuning, **sweep):
        asked = study(tmp_path, bases=bases, finetuning=finetuning, sweep=sweep)
        return [str(one) for one in kind_of("posttraining").problems(config_of(asked), tmp_path)]

    assert told({"batch": 4}) == []
    assert "devices_per_run: 3" in told({"batch": 3}, devices_per_run=4)[0]
    assert "engine: trl trains on one device" in told({"engine": "trl"}, devices_per_run=2)[0]
    both = told({"moments": "8bit", "method": "qlora"}, device="cpu")
    assert [one.partition(":")[0] for one in both] == ["finetuning.moments = 8bit", "finetuning.method = qlora"]
    assert all("works everywhere" in one or "work everywhere" in one for one in both)


def test_an_interrupted_grid_keeps_its_finished_cells_and_goes_on(proxy, here, tmp_path):
    here.most = 3
    with pytest.raises(KeyboardInterrupt):
        run(study(proxy), tmp_path, tmp_path / "out")
    kept = scores(tmp_path / "out")
    assert len(kept) == 3
    assert not list((tmp_path / "out" / "cells").glob("*.part"))
    here.most, first = None, here.trained.copy()
    here.trained.clear()
    run(study(proxy), tmp_path, tmp_path / "out")
    assert not set(first) & set(here.trained)
    assert kept.items() <= scores(tmp_path / "out").items()


def test_a_cell_that_fails_is_told_and_the_others_go_on(proxy, here, tmp_path, monkeypatch):
    real = posttraining_cells.run_cell

    def failing(cell, *rest):
        if cell.name == "mathematics-toy-n3-s0":
            raise GlotmixError("out of luck")
        real(cell, *rest)

    monkeypatch.setattr(posttraining_cells, "run_cell", failing)
    report = run(study(proxy, sweep={"retries": 0}), tmp_path, tmp_path / "out")
    assert "mathematics-toy-n3-s0" in report.read_text()
    assert len(scores(tmp_path / "out")) == 6
    status = pl.read_parquet(tmp_path / "out" / "measurements" / "runs.parquet").filter(pl.col("status") == "failed")
    assert status["run"].to_list() == ["mathematics-toy-n3-s0"]


def test_schedules_and_weights_of_the_mixture_work_here(proxy, here, tmp_path):
    later = [
        {"start": 0, "mixture": {"eng": 1, "spa": 0, "rus": 0}},
        {"start": 0.5, "mixture": {"eng": 0, "spa": 0.5, "rus": 0.5}},
    ]
    small = {"grids": [{"samples": [0, 6], "pivot_samples": 6}], "finetuning": {"batch": 4, "steps": 4, "context": 160}}
    data = study(proxy, schedule=later, weights={"eng": 1, "spa": 2, "rus": 1}, **small)
    run(data, tmp_path, tmp_path / "late")
    data["schedule"] = {"eng": 0.25, "spa": 0.5, "rus": 0.25}
    run(data, tmp_path, tmp_path / "out")
    record = json.loads((tmp_path / "out" / "cells" / "mathematics-toy-n6-s0" / "cell.json").read_text())
    assert record["samples"] == 18
    assert record["tokens_by_language"]["spa_Latn"] > record["tokens_by_language"]["eng_Latn"]


HALF = {"instructions": 6.0, "mathematics": 200.0}
"""Planted saturation points."""


def planted(cell, base, setting, directory):
    """In place of training: answers that are right as often as planted; the unseen language gains half as much."""
    if posttraining_cells.is_done(directory, cell, base, setting):
        return
    rng = np.random.default_rng(zlib.crc32(cell.name.encode()))
    rows = []
    for task in cell.tasks or setting.tasks:
        for language in setting.languages:
            grown = cell.size / (cell.size + HALF[task])
            right = 0.9 if language == setting.pivot else 0.1 + (0.35 if language == "por_Latn" else 0.7) * grown
            samples = setting.data.samples(task, "test", language)
            for sample in samples:
                knows = cell.tasks and rng.random() < right
                rows += scored(task, sample, sample.answer if knows else "?", setting)
    record = {"tokens": 100 * cell.samples, "tokens_by_language": cell.counts(setting.pivot) or {"eng_Latn": 1}}
    with creating(directory / cell.name, KIND, setting.made_from(cell, base.identity)) as part:
        write_json(part / "cell.json", {"cell": cell.to_json(), "N": 1, "parameters": 2, "steps": 3, **record})
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(part / "scores.parquet")


def test_what_was_planted_is_what_the_page_says(proxy, here, tmp_path, monkeypatch):
    monkeypatch.setattr(posttraining_cells, "run_cell", planted)
    tasks = {name: {"test_samples": 60, "validation_samples": 2} for name in HALF}
    grid = {"samples": [0, 10, 40, 160, 320], "pivot_samples": 20, "seeds": 3}
    report = run(study(proxy, tasks=tasks, grids=[grid]), tmp_path, tmp_path / "out")
    found = json.loads((tmp_path / "out" / "findings.json").read_text())
    rows = {row["task"]: row for row in found["curves"]}
    for task, half in HALF.items():
        seen = next(one for one in rows[task]["saturation"] if one["languages"] == "seen")
        assert (seen["low"] or 0) <= half <= (seen["high"] or np.inf)
        assert rows[task]["groups"]["pivot"][0]["value"] == pytest.approx(0.9, abs=0.08)
        learnt = next(row for row in found["tasks"] if row["task"] == task)
        assert learnt["untrained"]["value"] == 0
        assert learnt["gain"]["low"] > 0.3
        assert learnt["best"]["low"] > learnt["chance"]
        assert learnt["wrong_language"] == 0  # right answers, and answers without letters
    plans = {row["task"]: row["size"] for row in found["plans"]}
    assert plans["instructions"] < plans["mathematics"] == 320
    later = "mathematics (toy), seen languages, saturates later than instructions (toy), seen languages."
    assert later in found["apart"]
    assert rows["mathematics"]["gap"][-1]["low"] > 0 > rows["mathematics"]["gap"][0]["low"]
    assert found["ablation"]["best_single"] in ("similarity", "samples", "task")
    page = report.read_text()
    assert "320 samples of each of 2 languages for mathematics (toy)" in page
    assert "For mathematics (toy) that is the largest size of the grid" in page


def chat_files(folder):
    folder.mkdir(exist_ok=True)
    for split, count, offset in (("train", 10, 0), ("test", 3, 500)):
        for number, tag in enumerate(("eng_Latn", "spa_Latn", "rus_Cyrl", "por_Latn")):
            words = {
                "eng_Latn": "a short question",
                "spa_Latn": "una pregunta",
                "rus_Cyrl": "вопрос",
                "por_Latn": "uma",
            }
            rows = [
                {"id": f"{tag}-{offset + i}", "prompt": f"{words[tag]} {number}{offset + i}", "completion": words[tag]}
                for i in range(count)
            ]
            (folder / f"{split}.{tag}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def own_task(**changes):
    source = {"source": "chat", "path": "{split}.{{language}}.jsonl"}
    train, test = ({**source, "path": source["path"].format(split=split)} for split in ("train", "test"))
    return {"instructions": {"train": train, "test": test, "test_samples": 3, "validation_samples": 2} | changes}


def test_an_unreachable_judge_is_named_and_the_finished_cells_are_kept(proxy, here, tmp_path):
    chat_files(tmp_path / "files")
    small = study(proxy, tasks=own_task(answer_tokens=4), grids=[{"samples": [0, 3], "pivot_samples": 3}])
    with pytest.raises(BadInput, match=r"can be verified by nothing but a judge"):
        run(small, tmp_path / "files", tmp_path / "out")
    assert here.trained == []
    judge = {"endpoint": "http://127.0.0.1:9/v1", "model": "m", "retries": 0, "timeout": 1}
    with pytest.raises(Unreachable, match=r"127.0.0.1:9"):
        run(small | {"judge": judge}, tmp_path / "files", tmp_path / "out")
    assert len(here.trained) == 3
    with pytest.raises(Unreachable, match=r"127.0.0.1:9"):
        run(small | {"judge": judge}, tmp_path / "files", tmp_path / "out")
    assert len(here.trained) == 3  # nothing was trained again
    assert len(scores(tmp_path / "out")) == 3


def test_bad_data_stop_the_study_before_anything_is_trained(proxy, here, tmp_path):
    chat_files(tmp_path / "files")
    wrong = study(proxy, tasks=own_task(), grids=[{"samples": [0, 30], "pivot_samples": 3}])
    with pytest.raises(BadInput, match=r"instructions has 8 training samples of spa_Latn"):
        run(wrong, tmp_path / "files", tmp_path / "few")
    lines = (tmp_path / "files" / "train.spa_Latn.jsonl").read_text()
    (tmp_path / "files" / "test.spa_Latn.jsonl").write_text(lines)
    leaky = study(proxy, tasks=own_task(), grids=[{"samples": [0, 3], "pivot_samples": 3}])
    with pytest.raises(BadInput, match=r"is in the training data"):
        run(leaky, tmp_path / "files", tmp_path / "leak")
    assert here.trained == []


def test_a_dry_run_reads_the_files_and_tells_tokens_compute_and_memory(proxy, tmp_path):
    """With the tokenizer of a model that lies here; parameters follow from its configuration."""
    directory, tokenizer = chat_model(tmp_path / "base")
    chat_files(tmp_path / "files")
    files = {split: {"source": "chat", "path": f"files/{split}.{{language}}.jsonl"} for split in ("train", "test")}
    asked = study(proxy, tasks={"chat": files | {"validation_samples": 0}}, bases={"toy": {"model": str(directory)}})
    path = tmp_path / "study.yaml"
    path.write_text(json.dumps({"kind": "posttraining", **asked}))
    found = open_study(path).price()
    lengths = [
        len(encode(tokenizer, sample))
        for language in ("eng_Latn", "spa_Latn", "rus_Cyrl")
        for sample in read_source(SourceConfig(**files["train"]), "chat", language, tmp_path)
    ]
    assert found.amounts["tokens"] == pytest.approx(found.amounts["samples"] * np.mean(lengths))
    parameters = sum(p.numel() for p in load_model(directory).parameters())
    assert found.amounts["flops"] == pytest.approx(6 * parameters * found.amounts["tokens"])
    assert found.amounts["device_bytes"] > 16 * parameters
    assert "fine-tuning toy" in found.lines["memory of a device"]


def test_a_model_without_a_chat_template_stops_the_study_before_anything_is_trained(proxy, here, tmp_path):
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(
        tokenizer_file=str(proxy / "tokenizer.json"), eos_token="<|end_of_document|>"
    ).save_pretrained(tmp_path / "model")
    shutil.copy(proxy / "config.json", tmp_path / "model" / "config.json")
    with pytest.raises(BadInput, match=r"has no chat template"):
        run(study(proxy, bases={"toy": {"model": str(tmp_path / "model")}}), tmp_path, tmp_path / "out")
    assert here.trained == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"bases": {"x": {}}}, "either proxy or model"),
        ({"tasks": {"poetry": {}}}, "Input should be 'mathematics'"),
        ({"outside": ["spa"]}, "language spa_Latn is listed twice"),
        ({"grids": [{"samples": [0, 3], "pivot_samples": 3, "mixes": {"m": ["fra"]}}]}, "grids.mixes.m: 'fra_Latn'"),
        ({"weights": {"eng": -1}}, "weight of eng_Latn"),
        ({"schedule": {"eng": 0.4}}, "shares sum to 0.4"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_study_file_that_is_wrong_names_the_field(proxy, changes, error):
    with pytest.raises(ValueError, match=error):
        posttraining.PosttrainingConfig.model_validate(study(proxy, **changes))


def test_the_recipe_prices_every_scale_and_the_paper_has_152_models():
    experiment = kind_of("posttraining")
    for scale, models in (("small", 90), ("paper", 152)):
        price = experiment.price(experiment.load(RECIPE, scale=scale), RECIPE.parent)
        assert price.amounts["models"] == models
        assert price.amounts["gpu_hours"] > 0
    tiny = experiment.load(RECIPE)
    assert len([cell for cell in tiny.cells() if cell.tasks]) == 24
    shown = CliRunner().invoke(app, ["run", str(RECIPE), "--scale", "paper", "--dry-run", "--json"])
    assert json.loads(shown.stdout)["models"] == 152


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft's own
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_model_of_another_make_goes_through_trl_with_its_own_template(tmp_path, here, method):
    """A Qwen3 of random weights, with the template that TRL keeps of it."""
    import torch
    import trl
    from transformers import Qwen3Config, Qwen3ForCausalLM

    directory, tokenizer = chat_model(tmp_path / "base", width=16, layers=1)
    tokenizer.chat_template = None
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]})
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 8}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512}
    Qwen3ForCausalLM(Qwen3Config(vocab_size=len(tokenizer), **shape, **heads)).save_pretrained(tmp_path / "qwen")
    tokenizer.save_pretrained(tmp_path / "qwen")
    shutil.copy(Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja", tmp_path)
    data = study(
        directory,
        bases={"qwen": {"model": "qwen", "chat_template": "qwen3.jinja"}},
        finetuning={"batch": 4, "steps": 4, "learning_rate": 3e-3, "context": 256, "method": method},
        grids=[{"samples": [0, 6], "pivot_samples": 6}],
        influence={"test_samples": 1, "train_samples": 12, "top": 3},
    )
    run(data, tmp_path, tmp_path / "out")
    assert here.trained == ["base-qwen", "mathematics-qwen-n0-s0", "mathematics-qwen-n6-s0"]
    record = json.loads((tmp_path / "out" / "cells" / "mathematics-qwen-n6-s0" / "cell.json").read_text())
    assert record["losses"][-1] < record["losses"][0]


@pytest.mark.slow
def test_a_proxy_is_pretrained_fine_tuned_and_reported_by_one_command(tmp_path):
    """The recipe itself, smaller: executors, worker processes and all."""
    sets = [
        "corpus.bytes_per_language=40000", "tokens.vocab_size=400", "grids=[{samples: [0, 5], pivot_samples: 8}]",
        "bases={tiny: {proxy: {width: 16, layers: 1, heads: 2, tokens: 10000, context: 256, batch: 4}}}",
        "finetuning={batch: 4, steps: 5, context: 160}", "tasks={mathematics: {test_samples: 5, validation_samples: 2}}",
    ]  # fmt: skip
    out = ["--out", str(tmp_path / "out"), "--json"]
    done = CliRunner().invoke(app, ["run", str(RECIPE), *out, *[part for one in sets for part in ("--set", one)]])
    assert done.exit_code == 0, done.output
    assert Path(json.loads(done.stdout)["report"]).is_file()


@pytest.fixture(scope="module")
def finished(proxy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    data = study(proxy, grids=[{"samples": [0, 3], "pivot_samples": 6, "seeds": 2}])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(posttraining, "executor_of", lambda config: Here())
        run(data, folder, folder / "out")
    return Ran("posttraining", posttraining.PosttrainingConfig.model_validate(data), folder, folder / "out")


def test_every_number_of_the_pages_tables_follows_from_the_files(finished):
    posttraining_page(finished.directory)


class TestKind(KindContract):
    @pytest.fixture
    def ran(self, finished):
        return finished
