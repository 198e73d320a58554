import pytest

from glotmix.attribution.texts import Texts, in_one_spelling, read_texts
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


def test_a_language_that_two_tables_spell_differently_is_one():
    train, test = Texts(("a", "b", "c"), ("es", "Russian", "news")), Texts(("d", "e"), ("spa_Latn", "Russian"))
    train, test = in_one_spelling(train, test)
    assert train.languages == ("spa_Latn", "Russian", "news")
    assert test.languages == ("spa_Latn", "Russian")


@pytest.mark.parametrize(
    ("name", "content", "texts", "ids"),
    [
        ("t.tsv", 'text\tlanguage\tid\n"uno\tes\t007\ndos"\tes\t8\n', ('"uno', 'dos"'), ("007", "8")),
        ("t.csv", "text,language,id\n0012,es,1e6\nTrue,es,0x1\n", ("0012", "True"), ("1e6", "0x1")),
        ("t.json", '[{"text": 12, "language": "es", "id": 7}, {"text": 1.50, "language": "es", "id": "007"}]', ("12", "1.50"), ("7", "007")),
        ("t.jsonl.gz", '{"text": "a\u2028b", "language": "es"}\n', ("a\u2028b",), None),
    ],
)  # fmt: skip
def test_what_stands_in_a_table_is_text(tmp_path, name, content, texts, ids):
    import gzip

    (tmp_path / name).write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    found = read_texts(tmp_path / name)
    assert (found.texts, found.ids) == (texts, ids)


def test_the_tokenizer_of_a_studys_proxy_is_the_studys(tmp_path):
    from glotmix.attribution.finished import TokenizerEncoder
    from glotmix.tokens.tokenizer import train_tokenizer

    (tmp_path / "study/tokens").mkdir(parents=True)
    (tmp_path / "study/runs/coalition-full-s0/checkpoint").mkdir(parents=True)
    train_tokenizer({"spa_Latn": ["hola"]}, 300, 1000).save(tmp_path / "study/tokens")
    for place in ("study/runs/coalition-full-s0", "study/runs/coalition-full-s0/checkpoint"):
        assert TokenizerEncoder(tmp_path / place)(["hola"], None, 10)[0]
    with pytest.raises(BadInput, match=r"no tokenizer\.json"):
        TokenizerEncoder(tmp_path)
