"""Chat files are read by the one reader: numbers as they are written, labels in any spelling, the same limits."""

import gzip
import json

import polars as pl
import pytest

from glotmix.errors import BadInput
from glotmix.posttraining.data import Data, TaskConfig, split_task
from glotmix.posttraining.grid import GridConfig, cells
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
    one, *given, other = [sample.id for sample in read(tmp_path, "t.jsonl", source="chat")]
    assert given == ["007", "7"]
    assert one.startswith("spa_Latn/")
    assert other.startswith("spa_Latn/")
    assert one != other
    rows = [{**chat(None, ...), "id": id} for id in (7.0, None)]
    pl.DataFrame(rows).write_parquet(tmp_path / "t.parquet")
    assert [sample.id for sample in read(tmp_path, "t.parquet", source="chat")] == ["7", one]
    write(tmp_path / "t.jsonl", [{**chat(1, ...), "id": ["a"]}])
    with pytest.raises(BadInput, match=r"t\.jsonl:1: id is a list"):
        read(tmp_path, "t.jsonl", source="chat")


def test_rows_without_ids_are_known_by_what_they_say_wherever_they_stand(tmp_path):
    rows = [{"messages": chat(number, ...)["messages"]} for number in range(4)]
    write(tmp_path / "a.jsonl", rows)
    write(tmp_path / "b.jsonl", [rows[3], rows[1], rows[1]])
    first, second = ([s.id for s in read(tmp_path, name, source="chat")] for name in ("a.jsonl", "b.jsonl"))
    assert second == [first[3], first[1], f"{first[1]}+1"]
    assert len(set(first)) == 4


def test_row_numbers_never_match_across_files(tmp_path):
    """Of MGSM's tables, whose rows are translations: question 0 of one file is not question 0 of another."""
    for name in ("train_es.tsv", "test_es.tsv", "train_fr.tsv"):
        (tmp_path / name).write_text("".join(f"{name} {i}\t{i}\n" for i in range(3)))
    spanish, french = (read(tmp_path, "train_{short}.tsv", language) for language in ("spa_Latn", "fra_Latn"))
    assert [s.id for s in spanish] == [s.id for s in french]
    assert not {s.id for s in spanish} & {s.id for s in read(tmp_path, "test_{short}.tsv")}


def test_files_that_share_no_line_do_not_leak(tmp_path):
    """Rows without ids, in training and test files of different lines; then with one line in common."""
    asked = [
        f"What is {a} plus {b}, and what would you say if it were {a * b} in place of it?"
        for a in range(9)
        for b in range(9)
    ]
    rows = [{"prompt": text, "completion": str(i)} for i, text in enumerate(asked)]
    write(tmp_path / "train.jsonl", rows[:60])
    write(tmp_path / "test.jsonl", rows[60:])
    source = {"source": "chat"}
    config = TaskConfig(
        train=SourceConfig(path="train.jsonl", **source),
        test=SourceConfig(path="test.jsonl", **source),
        validation_samples=0,
    )
    planned = cells(GridConfig(samples=[0, 5], pivot_samples=5), ["mathematics"], ["b"], [])
    splits, gone = split_task("mathematics", config, planned, "eng_Latn", ("eng_Latn",), tmp_path, 0)
    assert gone == 0
    assert len(splits["test", "eng_Latn"]) == 21
    write(tmp_path / "test.jsonl", rows[59:])
    with pytest.raises(BadInput, match="is in the training data"):
        split_task("mathematics", config, planned, "eng_Latn", ("eng_Latn",), tmp_path, 0)


def test_ids_of_different_data_sets_are_different_samples(tmp_path):
    """``7`` in files of ShareGPT's form is not ``7`` of Aya's."""
    talk = [{"from": "human", "value": "tell me of ships and of the men who sail them"}, {"from": "gpt", "value": "no"}]
    write(tmp_path / "train.jsonl", [{"id": 7, "conversations": talk}])
    write(tmp_path / "test.jsonl", [{"id": 7, "inputs": "what grows in the far north of Norway?", "targets": "moss"}])
    config = TaskConfig(
        train=SourceConfig(source="sharegpt", path="train.jsonl"), test=SourceConfig(source="aya_dolly", path="test.jsonl"),
        validation_samples=0,
    )  # fmt: skip
    planned = cells(GridConfig(samples=[0], pivot_samples=1), ["instructions"], ["b"], [])
    assert split_task("instructions", config, planned, "eng_Latn", ("eng_Latn",), tmp_path, 0)[1] == 0


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
