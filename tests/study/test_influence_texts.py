"""Where the texts of influence come from: data sets of the hub, tables with fields of their own, chats."""

import json

import numpy as np
import pytest

from glotmix.attribution.texts import drawn
from glotmix.errors import BadInput
from glotmix.studies.influence.config import InfluenceConfig
from glotmix.studies.influence.finished_runs import InfluenceRequest, influence_of
from glotmix.studies.influence.tasks import texts_of
from glotmix.study.narrator import Narrator
from tests.posttraining.toy import chat_model

datasets = pytest.importorskip("datasets", reason="needs the extra glotmix[hub]")
LANGUAGES = ["eng_Latn", "deu_Latn"]


def config(**task):
    return InfluenceConfig(
        name="hub", languages=LANGUAGES, scores={"top": 2},
        tasks=[{"name": "pairs", "source": "hub", "path": "some/set", "train": 20, "test": 5,
                "configurations": {"eng_Latn": "en", "deu_Latn": "de"}, **task}],
    )  # fmt: skip


@pytest.fixture
def hub(monkeypatch):
    """Pairs as PAWS-X has them: sorted by class, ids of their own, some labels missing."""

    def load(path, configuration, *, split):
        assert (path, split) in (("some/set", "train"), ("some/set", "test"), ("some/set", "validation"))
        n = 200 if split == "train" else 40
        label = [-1 if (i + (configuration == "de")) % 17 == 0 else int(i >= n // 2) for i in range(n)]
        texts = {name: [f"{configuration} {split} {name} {i}" for i in range(n)] for name in ("sentence1", "sentence2")}
        return datasets.Dataset.from_dict({"id": [1000 + i for i in range(n)], "label": label, **texts})

    monkeypatch.setattr(datasets, "load_dataset", load)


def test_a_hubs_samples_are_drawn_from_the_whole_split_and_alike_in_every_language(hub, tmp_path):
    asked = config(pair_field="sentence2", id_field="id", test_split="validation")
    train, test = texts_of(asked.tasks[0], asked, tmp_path)
    assert (len(train), len(test)) == (40, 10)
    assert all("validation" in text for text in test.texts)
    assert train.pairs[0] == train.texts[0].replace("sentence1", "sentence2")
    place = np.array([int(id) - 1000 for id in train.ids])
    assert place.max() > 120  # the first twenty would be of one class, below 22
    assert set(train.labels) == {"0", "1"}
    by_language = [
        {id for id, name in zip(train.ids, train.languages, strict=True) if name == tag} for tag in LANGUAGES
    ]
    # Only ids without a label in one of them differ.
    assert len(by_language[0] & by_language[1]) >= 16
    again = texts_of(asked.tasks[0], asked, tmp_path)[0]
    other = asked.model_copy(update={"seed": 1})
    assert again == train
    assert set(texts_of(other.tasks[0], other, tmp_path)[0].ids) != set(train.ids)


def test_a_hubs_rows_are_joined_by_their_place_where_they_have_no_ids(hub, tmp_path):
    asked = config()
    train, _ = texts_of(asked.tasks[0], asked, tmp_path)
    assert train.pairs is None
    assert all(id == f"train {text.split()[-1]}" for id, text in zip(train.ids, train.texts, strict=True))


def test_what_a_data_set_does_not_have_is_named(hub, tmp_path):
    asked = config(text_field="premise")
    with pytest.raises(BadInput, match="no field premise") as told:
        texts_of(asked.tasks[0], asked, tmp_path)
    assert "sentence1" in str(told.value)
    asked = config(train=195)
    with pytest.raises(BadInput, match="188 texts of eng_Latn in train"):
        texts_of(asked.tasks[0], asked, tmp_path)


def of_files(layout, **more):
    task = {"name": "files", "source": "file", "layout": layout, "train": 3, "test": 2, **more}
    return InfluenceConfig(name="files", languages=LANGUAGES, scores={"top": 2}, tasks=[task])


def read(folder, chosen):
    return texts_of(chosen.tasks[0], chosen, folder)


def test_xnlis_files_are_joined_by_their_pairs_and_by_their_place(tmp_path):
    """Translations of MultiNLI have no identity and another word for a class; the test set has all languages in a file."""
    for short in ("en", "de"):
        rows = [f"{short} p{i}\t{short} h{i}\t{('contradictory', 'neutral')[i % 2]}" for i in range(9)]
        (tmp_path / f"multinli.train.{short}.tsv").write_text("\n".join(["premise\thypo\tlabel", *rows]) + "\n")
    rows = [
        f"{short}\t{('contradiction', 'neutral')[i % 2]}\t{short} s{i}\t{short} t{i}\t{100 + i}"
        for i in range(4)
        for short in ("fr", "en", "de")
    ]
    head = "language\tgold_label\tsentence1\tsentence2\tpairID"
    (tmp_path / "xnli.test.tsv").write_text("\n".join([head, *rows]) + "\n")
    train, test = read(tmp_path, of_files("xnli", path="multinli.train.{short}.tsv", test_path="xnli.test.tsv"))
    for texts in (train, test):
        half = len(texts) // 2
        assert texts.ids[:half] == texts.ids[half:]
        assert [t.partition(" ")[2] for t in texts.texts[:half]] == [t.partition(" ")[2] for t in texts.texts[half:]]
        assert texts.labels[:half] == texts.labels[half:]
        assert set(texts.labels) <= {"contradiction", "neutral"}
        assert set(texts.languages) == set(LANGUAGES)
    assert all(int(i) >= 100 for i in test.ids)


def test_paws_xs_ids_join_translations_although_a_row_is_missing(tmp_path):
    for language in LANGUAGES:
        kept = [i for i in range(12) if (i, language) != (4, "deu_Latn")]
        rows = [f"{i}\t{language} a{i}\t{language} b{i}\t{i % 2}" for i in kept]
        for split in ("train", "test"):
            lines = ["id\tsentence1\tsentence2\tlabel", *rows]
            (tmp_path / f"{language}.{split}.tsv").write_text("\n".join(lines) + "\n")
    wide = of_files("paws_x", path="{language}.train.tsv", test_path="{language}.test.tsv", train=8, test=2)
    train, _ = read(tmp_path, wide)
    numbers = {i: {t.split()[-1][1:] for t, j in zip(train.texts, train.ids, strict=True) if j == i} for i in train.ids}
    assert all(found == {i} for i, found in numbers.items())
    (tmp_path / "eng_Latn.test.tsv").write_text("id\tsentence1\tlabel\n1\ta\t0\n")
    with pytest.raises(BadInput, match=r"eng_Latn.test.tsv:2: no field sentence2"):
        read(tmp_path, wide)


def test_marcs_stars_count_as_two_classes_and_its_reviews_are_no_translations(tmp_path):
    for split in ("train", "test"):
        rows = [
            {"review_id": f"{language}_{i}", "stars": 1 + i % 5, "review_body": f"{language} {i}", "language": short}
            for language, short in (("eng_Latn", "en"), ("deu_Latn", "de"), ("fra_Latn", "fr"))
            for i in range(20)
        ]
        (tmp_path / f"{split}.json").write_text("\n".join(map(json.dumps, rows)) + "\n")
    two = {"1": "bad", "2": "bad", "4": "good", "5": "good"}
    train, _ = read(tmp_path, of_files("marc", path="train.json", test_path="test.json", labels=two, train=16))
    assert set(train.labels) == {"bad", "good"}
    stars = {i: 1 + int(i.rpartition("_")[2]) % 5 for i in train.ids}
    assert all((stars[i] > 3) == (label == "good") for i, label in zip(train.ids, train.labels, strict=True))
    assert len(set(train.ids)) == 32
    assert train.pairs is None
    with pytest.raises(ValueError, match="labels go with a data set's layout"):
        of_files("own", path="a", test_path="b", labels=two)
    with pytest.raises(BadInput, match="no rows of deu_Latn"):
        (tmp_path / "test.json").write_text(json.dumps(rows[0]) + "\n")
        read(tmp_path, of_files("marc", path="train.json", test_path="test.json", train=2))


def test_equal_keys_are_drawn_together_and_by_chance():
    keys = [str(i) for i in range(1000)]
    places = drawn(keys, 100, 0)
    assert places == sorted(places)
    assert 350 < np.mean(places) < 650
    some = [str(i) for i in range(0, 1000, 2)]
    both = {some[i] for i in drawn(some, 500, 0)} & {keys[i] for i in places}
    assert both == {keys[i] for i in places if i % 2 == 0}
    assert drawn(["a", "a", "b"], 9, 0) == [0, 1, 2]


def chats(path, n, name="messages"):
    rows = []
    for i in range(n):
        for language in ("eng_Latn", "deu_Latn"):
            turns = [("user", f"{language} question {i}"), ("assistant", f"answer {i % 3}")]
            keys = ("role", "content") if name == "messages" else ("from", "value")
            row = {"id": str(i), "language": language, name: [dict(zip(keys, turn, strict=True)) for turn in turns]}
            rows.append(json.dumps(row))
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return chat_model(tmp_path_factory.mktemp("chat"))[0]


@pytest.mark.parametrize("name", ["messages", "conversations"])
def test_chats_are_scored_by_the_loss_of_their_answers(run, tmp_path, name):
    asking = InfluenceRequest(
        train=chats(tmp_path / "train.jsonl", 12, name), test=chats(tmp_path / "test.jsonl", 3), top=4, length=64
    )
    found = influence_of([run], asking, tmp_path / "out", Narrator())
    assert found.scores[0].value_QN.shape == (6, 24)
    assert found.scores[0].train.ids is not None
    from glotmix.attribution.finished import open_run
    from glotmix.studies.influence.finished_runs import _samples

    train, _, texts = _samples(open_run(run), asking)
    learnt = (train.inputs["labels"] != -100).sum(1)
    assert (learnt >= 1).all()
    assert (learnt < train.inputs["attention_mask"].sum(1)).all()  # questions are not
    assert "question" in texts[0].texts[0]


def test_chats_that_cannot_be_read_are_named(run, tmp_path):
    train, test = chats(tmp_path / "train.jsonl", 4), tmp_path / "test.jsonl"
    for row, words in (
        ({"messages": [{"role": "user", "content": "a"}], "language": "eng_Latn"}, "no answer"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "no language"),
    ):
        test.write_text(json.dumps(row) + "\n")
        with pytest.raises(BadInput, match=words):
            influence_of([run], InfluenceRequest(train=train, test=test), tmp_path / "out", Narrator())
    with pytest.raises(BadInput, match=r"begin behind 4 tokens .*or more"):
        influence_of([run], InfluenceRequest(train=train, test=train, length=4), tmp_path / "out", Narrator())
