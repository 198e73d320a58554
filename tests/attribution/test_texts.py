import pytest

from glotmix.attribution.texts import Texts, read_texts
from glotmix.errors import BadInput

TEXTS = Texts(("one two", "eins", "uno"), ("eng", "deu", "spa"), None, ("1", "1", "1"), ("x", "y", "x"))


class Letters:
    padding = 0

    def __call__(self, texts, pairs, length):
        joined = texts if pairs is None else [f"{a}|{b}" for a, b in zip(texts, pairs, strict=True)]
        return [[ord(c) for c in text][:length] for text in joined]


def test_texts_become_padded_samples_that_keep_languages_ids_and_labels():
    samples = TEXTS.encoded(Letters(), 5, ("x", "y"))
    assert samples.inputs["input_ids"].shape == (3, 5)
    assert samples.inputs["attention_mask"].sum(1).tolist() == [5, 4, 3]
    assert samples.inputs["labels"].tolist() == [0, 1, 0]
    assert (samples.languages, samples.ids, samples.labels) == (TEXTS.languages, TEXTS.ids, TEXTS.labels)
    assert "labels" not in TEXTS.encoded(Letters(), 5).inputs
    assert TEXTS.without("deu").languages == ("eng", "spa")


def test_a_table_survives_the_disk(tmp_path):
    TEXTS.save(tmp_path / "t.parquet")
    assert read_texts(tmp_path / "t.parquet") == TEXTS
    (tmp_path / "t.jsonl").write_text('{"text": "a", "language": "x", "pair": "b"}\n')
    assert read_texts(tmp_path / "t.jsonl") == Texts(("a",), ("x",), ("b",))
    (tmp_path / "t.csv").write_text("text,language,label\na,x,3\n")
    assert read_texts(tmp_path / "t.csv").labels == ("3",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.jsonl", None, "no such file"),
        ("t.jsonl", "{", "t.jsonl:1: not valid JSON"),
        ("t.csv", "text,lang\na,x\n", "no column 'language'"),
        ("t.csv", "text,language\na,\n", "t.csv:2: language is empty"),
        ("t.csv", "text,language\n", "0 rows"),
        ("t.txt", "a", "ends in '.txt'"),
    ],
)
def test_a_broken_table_is_named(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(BadInput, match=message) as caught:
        read_texts(tmp_path / name)
    assert name in str(caught.value)


def test_texts_that_a_model_cannot_take_are_named():
    with pytest.raises(BadInput, match=r"label 'y' \(expected one of x"):
        TEXTS.encoded(Letters(), 5, ("x",))
    with pytest.raises(BadInput, match=r"text 1 \(b\) has no tokens"):
        Texts(("a", ""), ("a", "b")).encoded(Letters(), 5)
    with pytest.raises(BadInput, match="1 ids for 2 texts"):
        Texts(("a", "b"), ("a", "b"), ids=("1",))
