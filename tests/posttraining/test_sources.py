"""Every format of the paper and the user's own files become conversations; what is wrong with a file is named."""

import json

import polars as pl
import pytest

from glotmix.errors import BadInput
from glotmix.posttraining.data import TaskConfig, prepare
from glotmix.posttraining.grid import GridConfig, cells
from glotmix.posttraining.leakage import leaks
from glotmix.posttraining.sample import Message, Sample
from glotmix.posttraining.sources import SourceConfig, read_all, read_source
from glotmix.posttraining.tasks import TASKS, find_task


def lines(path, *records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def read(tmp_path, language="spa_Latn", task="chat", **config):
    return list(read_source(SourceConfig(**config), task, language, tmp_path))


def test_xl_sum(tmp_path):
    record = {"id": "a-1", "url": "u", "title": "t", "summary": "Resumen.", "text": "Un texto."}
    lines(tmp_path / "spanish_train.jsonl", record)
    (sample,) = read(tmp_path, source="xlsum", path="{name}_train.jsonl")
    assert (sample.id, sample.answer) == ("a-1", "Resumen.")
    assert sample.prompt[0].content == "Resume en una frase corta: Un texto."


def test_aya_dolly_keeps_one_language_of_a_file_of_many(tmp_path):
    rows = [
        {"id": 1, "inputs": f"question {tag}", "targets": "answer", "language": tag, "script": "Latn", "source_id": 7}
        for tag in ("eng", "spa", "fra")
    ]
    lines(tmp_path / "dolly.jsonl", *rows)
    config = SourceConfig(source="aya_dolly", path="dolly.jsonl")
    found = read_all(config, "instructions", ("spa_Latn", "fra_Latn"), tmp_path)
    assert found["spa_Latn"][0].prompt[0].content == "question spa"
    assert found["spa_Latn"][0].id == found["fra_Latn"][0].id == "1"  # parallel by id
    chinese = [{**rows[0], "language": "zho", "script": script, "inputs": script} for script in ("Hant", "Hans")]
    lines(tmp_path / "dolly.jsonl", *chinese)
    (sample,) = read(tmp_path, language="cmn_Hans", source="aya_dolly", path="dolly.jsonl")
    assert sample.prompt[0].content == "Hans"


def test_sharegpt(tmp_path):
    turns = [{"from": "human", "value": "hola"}, {"from": "gpt", "value": "buenos días"}]
    lines(tmp_path / "spa.jsonl", {"id": "x", "conversations": [{"from": "system", "value": "s"}, *turns]})
    (sample,) = read(tmp_path, source="sharegpt", path="{code}.jsonl")
    assert [m.role for m in sample.messages] == ["system", "user", "assistant"]
    assert sample.answer == "buenos días"


def test_examples_of_mgsm_are_worked_answers_and_its_tests_numbers(tmp_path):
    """As the hub has them: a chain of thought before the number in ``train``, none in ``test``."""
    worked = "Roger tenía 5 pelotas y compró 6. 5 + 6 = 11. La respuesta es 11."
    lines(tmp_path / "es.jsonl", {"question": "¿Cuántas?", "answer": worked, "answer_number": 11},
          {"question": "¿Y ahora?", "answer": None, "answer_number": 18})  # fmt: skip
    example, test = read(tmp_path, source="mgsm", path="{short}.jsonl", task="mathematics")
    assert example.answer == worked
    assert test.answer == "18"
    assert find_task("mathematics").scores(example, "Son 11.") == {"exact_match": 1.0}


def test_mcot_math_and_mgsm(tmp_path):
    lines(tmp_path / "es.jsonl", {"question": "¿2+2?", "answer": "2+2 son 4. La respuesta es 4.", "lang": "Spanish"})
    (train,) = read(tmp_path, source="mcot_math", path="{short}.jsonl", task="mathematics")
    assert train.answer.endswith("4.")
    (tmp_path / "mgsm_es.tsv").write_text("Una pregunta\t18\nOtra\t1,200\n")
    test = read(tmp_path, source="mgsm", path="mgsm_{short}.tsv", task="mathematics")
    assert [sample.id for sample in test] == ["mgsm_{short}.tsv#0", "mgsm_{short}.tsv#1"]
    score = find_task("mathematics").scores
    assert score(test[0], "La respuesta es 18.") == score(test[1], "1200") == {"exact_match": 1.0}


def test_own_files_in_the_chat_format_as_jsonl_json_and_parquet(tmp_path):
    record = {"id": "1", "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    lines(tmp_path / "own.jsonl", record, {"id": "2", "prompt": "p", "completion": "c"})
    first, second = read(tmp_path, source="chat", path="own.jsonl")
    assert (first.answer, second.answer) == ("a", "c")
    (tmp_path / "own.json").write_text(json.dumps([record]))
    pl.DataFrame([record]).write_parquet(tmp_path / "own.parquet")
    for name in ("own.json", "own.parquet"):
        assert read(tmp_path, source="chat", path=name) == [first]
    roundtrip = find_task("mathematics").embedded("spa_Latn", "test", 1)[0]
    lines(tmp_path / "ours.jsonl", roundtrip.to_json())
    assert read(tmp_path, source="chat", path="ours.jsonl", task="mathematics") == [roundtrip]


@pytest.mark.parametrize(
    ("record", "error"),
    [
        ({"messages": [{"role": "user", "content": "q"}]}, "bad.jsonl:1: no answer to a question"),
        ({"messages": [{"role": "wizard", "content": "q"}]}, "bad.jsonl:1: a turn role 'wizard'"),
        ({"messages": [{"role": "user"}]}, "bad.jsonl:1: a turn without 'content'"),
        ({"text": "q"}, "bad.jsonl:1: no text under prompt"),
        ([1], "bad.jsonl:1: holds a number"),
    ],
)
def test_a_record_that_is_none_is_named_with_file_and_line(tmp_path, record, error):
    lines(tmp_path / "bad.jsonl", record)
    with pytest.raises(BadInput, match=error):
        read(tmp_path, source="chat", path="bad.jsonl")


def test_files_that_are_missing_or_broken_are_named(tmp_path):
    with pytest.raises(BadInput, match=r"nowhere.jsonl: no such file"):
        read(tmp_path, source="chat", path="nowhere.jsonl")
    (tmp_path / "half.jsonl").write_text('{"prompt": "p", "completion": "c"}\n{"prompt":')
    with pytest.raises(BadInput, match=r"half.jsonl:2: not valid JSON"):
        read(tmp_path, source="chat", path="half.jsonl")
    (tmp_path / "no.parquet").write_text("x")
    with pytest.raises(BadInput, match=r"no.parquet: cannot be read as Parquet"):
        read(tmp_path, source="chat", path="no.parquet")
    (tmp_path / "mgsm_es.tsv").write_text("one column\n")
    with pytest.raises(BadInput, match=r"mgsm_es.tsv:1: 1 columns"):
        read(tmp_path, source="mgsm", path="mgsm_{short}.tsv")
    with pytest.raises(BadInput, match=r"source chat without a path"):
        read(tmp_path, source="chat")


def own(tmp_path, language, split, ids, text="{language} {id}"):
    rows = [
        {"id": str(i), "prompt": text.format(language=language, id=i), "completion": f"{language} answer {i}"}
        for i in ids
    ]
    lines(tmp_path / f"{split}.{language}.jsonl", *rows)


def prepared(tmp_path, **changes):
    train = SourceConfig(source="chat", path="train.{language}.jsonl", parallel=changes.pop("parallel", None))
    test = SourceConfig(source="chat", path="test.{language}.jsonl", parallel=train.parallel)
    tasks = {"summarisation": TaskConfig(train=train, test=test, validation_samples=2, test_samples=4, **changes)}
    planned = cells(GridConfig(samples=[0, 4], pivot_samples=4), list(tasks), ["b"], ["spa_Latn"])
    return prepare(tmp_path / "data", tasks, planned, "eng_Latn", ("eng_Latn", "spa_Latn"), tmp_path)


def files(tmp_path, spanish=range(100, 112), spanish_test=range(300, 304)):
    own(tmp_path, "eng_Latn", "train", range(12))
    own(tmp_path, "spa_Latn", "train", spanish)
    own(tmp_path, "eng_Latn", "test", range(200, 204))
    own(tmp_path, "spa_Latn", "test", spanish_test)


def test_own_data_are_split_without_overlap(tmp_path):
    files(tmp_path)
    data = prepared(tmp_path)
    for language in ("eng_Latn", "spa_Latn"):
        train, validation, test = (
            {s.id for s in data.samples("summarisation", split, language)} for split in ("train", "validation", "test")
        )
        assert len(train) == 10
        assert len(validation) == 2
        assert len(test) == 4
        assert not train & validation


def test_examples_are_never_those_tested_and_too_few_of_them_are_named(tmp_path):
    files(tmp_path, spanish_test=range(300, 306))
    with pytest.raises(BadInput, match=r"tasks.summarisation.shots: summarisation has 2 examples of eng_Latn for 3"):
        prepared(tmp_path, shots=3)
    for language in ("eng_Latn", "spa_Latn"):
        own(tmp_path, language, "shots", range(300, 304), text="{language} example {id}")  # ids of tests, other texts
    given = SourceConfig(source="chat", path="shots.{language}.jsonl", parallel=True)
    data = prepared(tmp_path, shots=3, examples=given)
    assert [s.id for s in data.samples("summarisation", "examples", "spa_Latn")] == [
        "examples/300", "examples/301", "examples/302",
    ]  # fmt: skip
    assert len(data.samples("summarisation", "test", "spa_Latn")) == 4


def test_too_few_samples_for_a_cell_are_named(tmp_path):
    files(tmp_path, spanish=range(100, 105))
    with pytest.raises(BadInput, match=r"cell summarisation-b-n4-s0: summarisation has 3 training samples of spa_Latn"):
        prepared(tmp_path)
    assert not (tmp_path / "data").exists()


def test_the_same_id_in_two_languages_is_named_unless_it_means_a_translation(tmp_path):
    files(tmp_path, spanish=range(12))
    with pytest.raises(BadInput, match=r"id '0' stands in eng_Latn and in spa_Latn"):
        prepared(tmp_path)
    assert prepared(tmp_path, parallel=True).dropped == {"summarisation": 0}


def test_a_test_sample_inside_training_is_named_or_left_out(tmp_path):
    files(tmp_path, spanish_test=[300, 301, 105, 303])
    with pytest.raises(BadInput, match=r"test sample '105' of summarisation in spa_Latn is in the training data"):
        prepared(tmp_path)
    data = prepared(tmp_path, leakage="drop")
    assert data.dropped == {"summarisation": 1}
    assert {s.id for s in data.samples("summarisation", "test", "spa_Latn")} == {"300", "301", "303"}


def said(id, language, text):
    return Sample(id, "chat", language, (Message("user", text), Message("assistant", "yes")))


def test_near_copies_and_translations_leak_and_shared_templates_do_not():
    text = "the quick brown fox jumps over the lazy dog near the old bank of the river today"
    train = [said("1", "eng_Latn", text), said("2", "eng_Latn", "something else entirely, of no use to anybody here")]
    near = said("9", "eng_Latn", text.replace("today", "now"))
    assert [leak.train.id for leak in leaks(train, [near], parallel=False)] == ["1"]
    far = said("9", "eng_Latn", "the quick brown fox jumps over a fence and is never seen again by any dog of ours")
    assert leaks(train, [far], parallel=False) == []
    translated = said("1", "fra_Latn", "le renard")
    assert leaks(train, [translated], parallel=False) == []
    assert leaks(train, [translated], parallel=True)[0].share == 1
    chinese = said("3", "cmn_Hans", "今天我们在学校里学习怎么写这个很难的词")
    assert leaks([chinese], [said("4", "cmn_Hans", "今天我们在学校里学习怎么写这个很难的字")], parallel=False)
    assert leaks(train, [said("8", "eng_Latn", "short")], parallel=False) == []


def test_embedded_tasks_do_not_leak_by_id_nor_by_n_grams():
    for name in TASKS:
        task = find_task(name)
        train = [s for tag in ("eng_Latn", "cmn_Hans") for s in task.embedded(tag, "train", 300)]
        test = [s for tag in ("eng_Latn", "cmn_Hans") for s in task.embedded(tag, "test", 60)]
        assert not leaks(train, test, parallel=True)
