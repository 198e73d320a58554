"""`glotmix init` on chats: a post-training study that pre-flight passes and `glotmix run` takes at the first try."""

import json
import re

import pytest
from typer.testing import CliRunner

from glotmix.cli import app
from glotmix.config import read_yaml
from glotmix.errors import BadInput
from glotmix.posttraining.data import split_task
from glotmix.posttraining.tasks import find_task
from glotmix.studies.begin import begin_study
from glotmix.studies.start import open_study
from tests.posttraining.toy import chat_model

COUNTS = {"eng_Latn": 60, "spa_Latn": 40, "rus_Cyrl": 30, "por_Latn": 6}
SHORT = {"eng_Latn": "en", "spa_Latn": "es", "rus_Cyrl": "ru", "por_Latn": "pt"}


@pytest.fixture(autouse=True)
def no_stopwatch(monkeypatch):
    """Nothing here depends on how fast a step is."""
    monkeypatch.setattr("glotmix.proxy.pack._speed", lambda *_: 1e5)


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines), encoding="utf-8")


def conversations(language, count):
    return [sample.to_json()["messages"] for sample in find_task("chat").embedded(language, "train", count, 7)]


def chats(folder, counts=COUNTS):
    """A file for most languages, a folder of two files for Spanish."""
    for language, count in counts.items():
        lines = [{"messages": one} for one in conversations(language, count)]
        if language == "spa_Latn":
            write(folder / "chats/es/a.jsonl", lines[:15])
            write(folder / "chats/es/b.jsonl", lines[15:])
        else:
            write(folder / "chats" / f"{SHORT[language]}.jsonl", lines)
    return folder


def labelled(folder, counts=COUNTS):
    """Prompts and completions of all languages in one file, and a label that is none."""
    lines = [
        {"prompt": said[0]["content"], "completion": said[-1]["content"], "lang": SHORT[language]}
        for language, count in counts.items()
        for said in conversations(language, count)
    ]
    write(folder / "chats/all.jsonl", [*lines, {"prompt": "a b", "completion": "c d", "lang": "klingonese"}])
    return folder


def shared(folder, counts=COUNTS):
    """ShareGPT's turns, with the language inside the name."""
    speaker = {"user": "human", "assistant": "gpt", "system": "system"}
    for language, count in counts.items():
        lines = [
            {"conversations": [{"from": speaker[turn["role"]], "value": turn["content"]} for turn in said]}
            for said in conversations(language, count)
        ]
        write(folder / "chats" / f"sft.{SHORT[language]}.train.jsonl", lines)
    return folder


def init(folder, *more):
    return CliRunner().invoke(app, ["init", str(folder / "chats"), "--out", str(folder / "study.yaml"), *more])


@pytest.mark.parametrize("lay", [chats, labelled, shared])
def test_the_proposal_reads_all_chats_and_preflight_passes(tmp_path, lay):
    found = init(lay(tmp_path), "--json")
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert told["problems"] == []
    assert {one["language"]: one["samples"] for one in told["languages"]} == COUNTS
    assert [one["language"] for one in told["languages"] if not one["is_trained"]] == ["por_Latn"]
    study = read_yaml(tmp_path / "study.yaml")
    assert (study["kind"], study["pivot"], study["outside"]) == ("posttraining", "eng_Latn", ["por_Latn"])
    assert study["languages"] == ["spa_Latn", "rus_Cyrl"]
    assert study["grids"][0]["samples"] == [0, 1, 6, 24]  # 30 of Russian, six of them to test on
    if lay is labelled:
        assert told["left_out"] == {"klingonese": "a label that is no language, on 1 rows"}
        assert study["tasks"]["chat"]["train"]["labels"] == {"klingonese": "und"}


def test_every_choice_has_a_comment_and_the_same_chats_give_the_same_file(tmp_path):
    assert init(chats(tmp_path)).exit_code == 0
    first = (tmp_path / "study.yaml").read_text()
    assert init(tmp_path, "--force").exit_code == 0
    assert (tmp_path / "study.yaml").read_text() == first
    for word in ("English: 60 chats, from en", "# Measured and never trained on", "--model", "--dry-run", "# test:"):
        assert word in first
    choices = [line for line in first.splitlines() if re.match(r"\s+(- )?\w+: \S", line)]
    bare = [line.split(":")[0].strip(" -") for line in choices if "#" not in line]
    assert set(bare) <= set(COUNTS)  # where each language lies


def test_what_is_proposed_runs_to_its_page_and_never_trains_on_what_it_tests(tmp_path):
    counts = {"eng_Latn": 24, "spa_Latn": 24}
    assert init(chats(tmp_path, counts)).exit_code == 0
    smaller = ["corpus.bytes_per_language=20000", "tokens.vocab_size=400", "tokens.held_out_tokens=1000",
               "bases.small.proxy.tokens=8192", "bases.small.proxy.layers=1", "finetuning.epochs=1",
               "grids=[{samples: [0, 16], pivot_samples: 16}]", "analysis.resamples=20", "sweep.workers=1"]  # fmt: skip
    changes = [word for one in smaller for word in ("--set", one)]
    run = CliRunner().invoke(app, ["run", str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out"), *changes])
    assert run.exit_code == 0, run.output
    assert "byte_likelihood" in (tmp_path / "out/report.html").read_text()
    data = tmp_path / "out/data/chat"
    for language in counts:
        texts = {
            split: {json.loads(line)["id"] for line in (data / f"{split}.{language}.jsonl").read_text().splitlines()}
            for split in ("train", "test")
        }
        assert texts["test"]
        assert not texts["train"] & texts["test"]


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft's own
def test_a_model_of_ones_own_is_fine_tuned_and_its_tokens_are_counted(tmp_path):
    mine, _ = chat_model(tmp_path / "mine", width=16, layers=1)
    found = begin_study(chats(tmp_path) / "chats", tmp_path / "study.yaml", model=str(mine))
    study = read_yaml(tmp_path / "study.yaml")
    assert study["bases"] == {"chat": {"model": str(mine)}}
    assert "corpus" not in study
    assert found.problems == ()
    assert "tokens of the longest chat" in (tmp_path / "study.yaml").read_text()
    counted = study["finetuning"]["context"]
    begin_study(tmp_path / "chats", tmp_path / "other.yaml", model="owner/model")
    assert counted < read_yaml(tmp_path / "other.yaml")["finetuning"]["context"]  # bytes of the longest, at most
    assert read_yaml(tmp_path / "other.yaml")["bases"] == {"model": {"model": "owner/model"}}


def test_languages_that_no_small_proxy_can_read_need_a_model(tmp_path):
    for name in ("sw", "hi"):
        write(tmp_path / f"chats/{name}.jsonl", [{"prompt": f"a{i}", "completion": f"b {i}"} for i in range(40)])
    with pytest.raises(BadInput, match=r"none in Hindi \(hin_Deva\), Swahili.*--model"):
        begin_study(tmp_path / "chats", tmp_path / "study.yaml")
    assert not (tmp_path / "study.yaml").exists()
    assert begin_study(tmp_path / "chats", tmp_path / "study.yaml", model="owner/model").proposal.study["languages"]


@pytest.mark.parametrize(
    ("counts", "told"),
    [({"eng_Latn": 60}, "60 in English"), ({"eng_Latn": 60, "rus_Cyrl": 12}, "60 in English .*12 in Russian")],
)
def test_too_few_chats_are_told_with_their_counts(tmp_path, counts, told):
    with pytest.raises(BadInput, match=rf"chats that can be used: {told}"):
        begin_study(chats(tmp_path, counts) / "chats", tmp_path / "study.yaml")


def test_a_damaged_language_is_left_out_by_file_and_line(tmp_path):
    chats(tmp_path)
    with (tmp_path / "chats/ru.jsonl").open("a") as lines:
        lines.write('{"messages": [{"role": "user", "content": "и что?"}]}\n')
    found = begin_study(tmp_path / "chats", tmp_path / "study.yaml")
    assert "ru.jsonl:31" in found.proposal.left_out["ru"]
    assert "# not used: ru: Russian cannot be read" in (tmp_path / "study.yaml").read_text()
    assert found.problems == ()


def test_a_model_goes_with_chats(tmp_path):
    for name in ("es", "ru"):
        write(tmp_path / f"text/{name}/a.jsonl", [{"text": f"uno dos tres {i}"} for i in range(400)])
    with pytest.raises(BadInput, match="no chats to fine-tune mine on"):
        begin_study(tmp_path / "text", tmp_path / "study.yaml", model="mine")


def test_prompts_beside_a_field_of_text_are_text(tmp_path):
    for name in ("es", "ru"):
        write(tmp_path / f"text/{name}/a.jsonl", [{"prompt": "a", "completion": "b", "text": f"uno {i}"} for i in range(400)])  # fmt: skip
    assert begin_study(tmp_path / "text", tmp_path / "study.yaml").proposal.study["corpus"]["reader"] == "jsonl"


def test_translations_of_a_test_sample_are_held_out_with_it(tmp_path):
    """Without a test source, and with ids that translations share: what is tested in Spanish is not trained on in Russian."""
    for language in ("eng_Latn", "spa_Latn", "rus_Cyrl"):
        lines = [{"id": f"q{i}", "messages": said} for i, said in enumerate(conversations(language, 30))]
        write(tmp_path / "chats" / f"{SHORT[language]}.jsonl", lines)
    assert begin_study(tmp_path / "chats", tmp_path / "study.yaml").problems == ()
    assert read_yaml(tmp_path / "study.yaml")["tasks"]["chat"]["train"]["parallel"] is True
    config = open_study(tmp_path / "study.yaml").config
    splits, dropped = split_task("chat", config.tasks["chat"], config.cells(), "eng_Latn", config.measured, tmp_path, 0)
    tested = [{sample.id for sample in splits["test", language]} for language in config.measured]
    trained = {sample.id for language in config.measured for sample in splits["train", language]}
    assert sum(map(len, tested)) + dropped == 3 * 6
    assert dropped or tested[0] == tested[1] == tested[2]
    assert len(trained) == 24  # the same in every language
    assert not trained & set.union(*tested)
