"""Sources that are mixtures of others."""

from pathlib import Path

import pytest

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.readers.reader import open_reader
from glotmix.corpus.split import is_held_out, split_documents
from glotmix.errors import BadInput

BYTES = {"spa_Latn": 20_000, "eng_Latn": 10_000, "rus_Cyrl": 4_000}


def reader_of(of, names=("rus_Cyrl", "replay"), **changes):
    config = CorpusConfig(bytes_per_language=changes.pop("bytes", BYTES), sources={"replay": {"of": of}, **changes})
    return open_reader(config, names, Path())


def bytes_by_language(documents):
    found = {}
    for document in documents:
        found[document.language] = found.get(document.language, 0) + document.bytes
    return found


def test_without_shares_all_text_is_read_in_turn():
    reader = reader_of(["es", "English"])
    documents = list(reader.documents("replay"))
    plain = open_reader(CorpusConfig(bytes_per_language=BYTES), ["spa_Latn", "eng_Latn"], Path())
    theirs = [document for name in plain.languages for document in plain.documents(name)]
    assert sorted(document.text for document in documents) == sorted(document.text for document in theirs)
    half = bytes_by_language(documents[: len(documents) // 2])
    assert half["spa_Latn"] / half["eng_Latn"] == pytest.approx(2, rel=0.1)
    assert reader.size("replay") == 30_000


def test_shares_hold_to_the_end_which_is_that_of_the_first_part():
    reader = reader_of({"es": 0.2, "en": 0.6})
    found = bytes_by_language(reader.documents("replay"))
    assert found["spa_Latn"] / found["eng_Latn"] == pytest.approx(1 / 3, rel=0.1)
    assert found["eng_Latn"] >= 10_000
    assert reader.size("replay") == pytest.approx(sum(found.values()), rel=0.1)


def test_what_is_held_out_of_a_part_is_held_out_of_the_mixture():
    reader = reader_of(["es", "en"], names=("spa_Latn", "replay"))
    sides = {name: list(split_documents(reader, name, 0.2)) for name in reader.languages}
    own = {document.text for document, side in sides["spa_Latn"] if side == "held_out"}
    there = {document.text for document, side in sides["replay"] if side == "held_out"}
    assert own
    assert own <= there
    assert not own & {document.text for document, side in sides["replay"] if side == "train"}
    assert all(is_held_out(document.id, 0.2) == (side == "held_out") for document, side in sides["replay"])


def test_a_limit_is_of_its_parts_unless_it_names_it():
    assert sum(one.bytes for one in reader_of(["es", "en"], bytes=3000).documents("replay")) >= 6000
    limited = reader_of(["es", "en"], bytes=BYTES | {"replay": 2000})
    assert 2000 <= sum(one.bytes for one in limited.documents("replay")) < 3000
    assert limited.size("replay") == 2000


def test_text_changes_with_parts_and_shares():
    told = [reader_of(of).inputs() for of in (["es", "en"], {"es": 1, "en": 1}, {"es": 2, "en": 1}, ["es"])]
    assert len({str(one) for one in told}) == 4
    assert reader_of(["es", "en"]).inputs() == told[0]


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (["es", "spa_Latn"], "listed twice"),
        (["nothing"], "nothing"),
        (["other"], "is a mixture itself"),
    ],
)
def test_wrong_parts_are_bad_input(of, words):
    with pytest.raises(BadInput, match=words) as error:
        reader_of(of, other={"of": ["es"]})
    assert "sources.replay.of" in str(error.value)


@pytest.mark.parametrize("source", [{"of": []}, {"of": {"es": 0}}, {"of": ["es"], "path": "text"}])
def test_wrong_sources_are_refused(source):
    with pytest.raises(ValueError, match="of"):
        CorpusConfig(sources={"replay": source})


def test_a_limit_may_name_a_source_that_lies_elsewhere(tmp_path):
    (tmp_path / "code.txt").write_text("one\n\ntwo\n\nthree\n\n" * 50)
    sources = {"code": {"path": "code.txt", "reader": "plain"}}
    config = CorpusConfig(bytes_per_language={"es": 3000, "code": 10}, sources=sources)
    reader = open_reader(config, ["spa_Latn", "code"], tmp_path)
    assert [reader.bytes_wanted(name) for name in reader.languages] == [3000, 10]
