"""Chat files are read by the one reader: numbers as they are written, labels in any spelling, the same limits."""

import gzip
import json

import polars as pl
import pytest

from glotmix.errors import BadInput
from glotmix.posttraining.data import Data
from glotmix.posttraining.sample import Message, Sample
from glotmix.posttraining.sources import SourceConfig, read_all
from glotmix.posttraining.tasks import find_task
from glotmix.studies.posttraining.config import PosttrainingConfig
from glotmix.studies.posttraining.problems import problems


def write(path, rows, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode(encoding)) if path.suffix == ".gz" else text.encode(encoding))


def read(tmp_path, name, language="spa_Latn", source="mgsm", **settings):
    config = SourceConfig(source=source, path=name, **settings)
    return read_all(config, "mathematics", (language,), tmp_path)[language]


@pytest.mark.parametrize("number", ["1250000", "1250001", "12345678901234567890", "0.1", "1.50", "-7", "1e21"])
def test_an_answer_that_is_a_number_is_the_number_that_is_written(tmp_path, number):
    """1250000 is no 1.25e+06: 1250001 is right for itself, and 6 is not."""
    (tmp_path / "t.jsonl").write_text(f'{{"question": "q", "answer_number": {number}}}\n')
    (sample,) = read(tmp_path, "t.jsonl")
    assert sample.answer == number
    (tmp_path / "t.tsv").write_text(f"q\t{number}\n")
    assert read(tmp_path, "t.tsv")[0].answer == number
    if "e" not in number:
        task = find_task("mathematics")
        assert task.scores(sample, f"Son {number}.") == {"exact_match": 1.0}
        assert task.scores(sample, "6") == {"exact_match": 0.0}


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c", "\x1e"])
def test_a_line_separator_is_a_letter_before_and_after_the_disk(tmp_path, mark):
    write(tmp_path / "t.jsonl", [{"question": f"a{mark}b", "answer": f"c{mark}d"}] * 2)
    samples = read(tmp_path, "t.jsonl", source="mcot_math")
    assert [sample.answer for sample in samples] == [f"c{mark}d"] * 2
    from glotmix.posttraining.data import _write

    _write(tmp_path / "data/mathematics/train.spa_Latn.jsonl", samples)
    assert Data(tmp_path / "data", "", {}).samples("mathematics", "train", "spa_Latn") == samples


def chat(id, label, **more):
    turns = [{"role": "user", "content": f"q{id}"}, {"role": "assistant", "content": "a"}]
    return {"id": id, "messages": turns, **({} if label is ... else {"lang": label}), **more}


@pytest.mark.parametrize(
    ("language", "ids"),
    [
        ("cmn_Hans", ["1", "7"]), ("cmn_Hant", ["2", "3", "8"]), ("srp_Cyrl", ["4"]), ("srp_Latn", ["5"]),
        ("nob_Latn", ["6"]), ("spa_Latn", ["12", "13"]),
    ],
)  # fmt: skip
def test_scripts_names_and_lists_are_told_apart(tmp_path, language, ids):
    labels = ["zh-CN", "zh-TW", "zh-Hant", "sr", "sr-Latn", "Norwegian", "Simplified Chinese", ["Traditional Chinese"],
              "und", None, ["es", "ru"], ["es"], "__label__spa_Latn"]  # fmt: skip
    write(tmp_path / "t.jsonl", [chat(id, label) for id, label in enumerate(labels, 1)])
    assert [sample.id for sample in read(tmp_path, "t.jsonl", language, "chat")] == ids


def test_labels_inside_fields_and_labels_that_mean_something_else(tmp_path):
    write(
        tmp_path / "t.jsonl",
        [
            chat(1, ..., metadata={"l": "es"}),
            chat(2, ..., metadata={"l": "ru"}),
            chat(3, ..., metadata={"l": "castilian"}),
        ],
    )
    settings = {"source": "chat", "language_field": "metadata.l"}
    assert [sample.id for sample in read(tmp_path, "t.jsonl", labels={"castilian": "es"}, **settings)] == ["1", "3"]
    with pytest.raises(BadInput, match=r"t\.jsonl:1: no field 'nothing'"):
        read(tmp_path, "t.jsonl", source="chat", language_field="nothing")


def test_a_file_without_the_language_says_what_it_has(tmp_path):
    write(tmp_path / "t.jsonl", [chat(1, "ru"), chat(2, "ru"), chat(3, "und")])
    with pytest.raises(BadInput, match=r"no samples of spa_Latn; it has 2 in rus_Cyrl, 1 labelled und"):
        read(tmp_path, "t.jsonl", source="chat")


def test_a_null_id_is_no_id_and_ids_are_text(tmp_path):
    write(tmp_path / "t.jsonl", [chat(None, ...), chat("007", ...), chat(7, ...), chat("", ...)])
    assert [sample.id for sample in read(tmp_path, "t.jsonl", source="chat")] == [
        "spa_Latn/0",
        "007",
        "7",
        "spa_Latn/3",
    ]
    rows = [{**chat(1, ...), "id": id} for id in (7.0, None)]
    pl.DataFrame(rows).write_parquet(tmp_path / "t.parquet")
    assert [sample.id for sample in read(tmp_path, "t.parquet", source="chat")] == ["7", "spa_Latn/1"]
    write(tmp_path / "t.jsonl", [{**chat(1, ...), "id": ["a"]}])
    with pytest.raises(BadInput, match=r"t\.jsonl:1: id is a list"):
        read(tmp_path, "t.jsonl", source="chat")


def test_compressed_files_and_other_encodings(tmp_path):
    row = {"question": "¿Cuántos?", "answer": "3"}
    write(tmp_path / "t.jsonl.gz", [row])
    assert read(tmp_path, "t.jsonl.gz", source="mcot_math")[0].prompt[0].content == "¿Cuántos?"
    write(tmp_path / "t.jsonl", [row], "cp1252")
    assert read(tmp_path, "t.jsonl", source="mcot_math", encoding="cp1252")[0].prompt[0].content == "¿Cuántos?"
    with pytest.raises(BadInput, match=r"t\.jsonl:1: not valid UTF-8: byte 0xbf at offset 14 .*encoding"):
        read(tmp_path, "t.jsonl", source="mcot_math")


@pytest.mark.parametrize(
    "line", ['{"question": "q", "answer": ' + "9" * 5000 + "}", "[" * 100_000, '{"a": ' * 5000, "\x00\x01"]
)
def test_lines_that_once_ended_in_a_traceback_are_named(tmp_path, line):
    (tmp_path / "t.jsonl").write_text('{"question": "q", "answer": 1}\n' + line)
    with pytest.raises(BadInput, match=r"t\.jsonl:2: not valid JSON"):
        read(tmp_path, "t.jsonl", source="mcot_math")


STUDY = {
    "kind": "posttraining", "name": "x", "languages": ["es"],
    "bases": {"tiny": {"model": "none", "parameters": 1000}}, "grids": [{"samples": [0, 2], "pivot_samples": 2, "seeds": 1}],
}  # fmt: skip


def study(task, **more):
    sources = {split: {"source": "chat", "path": f"{split}.{{short}}.jsonl"} for split in ("train", "test")}
    return PosttrainingConfig.model_validate({**STUDY, "tasks": {task: {**sources, "validation_samples": 0}}, **more})


def test_what_only_a_judge_can_score_is_told_before_anything_is_trained(tmp_path):
    for split in ("train", "test"):
        for short in ("en", "es"):
            write(tmp_path / f"{split}.{short}.jsonl", [chat(f"{split}{short}{k}", ...) for k in range(4)])
    (problem,) = problems(study("instructions"), tmp_path)
    assert "the answers of instructions can be verified by nothing but a judge" in str(problem)
    assert problems(study("mathematics"), tmp_path) == []
    judge = {"endpoint": "http://localhost:1/v1", "model": "m"}
    assert problems(study("instructions", judge=judge), tmp_path) == []


def test_every_file_that_cannot_be_read_is_told(tmp_path):
    write(tmp_path / "train.en.jsonl", [chat(1, ...)])
    write(tmp_path / "test.es.jsonl", [{"id": 1}])
    told = "\n".join(map(str, problems(study("mathematics"), tmp_path)))
    assert "train.es.jsonl: no such file" in told
    assert "test.en.jsonl: no such file" in told
    assert "test.es.jsonl:1: no text under prompt" in told


def test_a_sample_survives_the_disk_whatever_its_numbers(tmp_path):
    sample = Sample("1", "t", "spa_Latn", (Message("user", "q"), Message("assistant", "a")), {"times": 2, "kind": "x"})
    write(tmp_path / "t.jsonl", [sample.to_json()])
    assert read(tmp_path, "t.jsonl", source="chat")[0].check == {"times": 2, "kind": "x"}
