"""The embedded corpus: facts about it that need no knowledge of any grammar."""

import re
import unicodedata
from itertools import islice
from pathlib import Path

import pytest

from glotmix.corpus.config import CorpusConfig
from glotmix.corpus.embedded.scene import draw, list_lengths, scenes
from glotmix.corpus.embedded.speaker import Speaker, embedded_languages
from glotmix.corpus.readers.reader import open_reader
from glotmix.errors import BadInput
from glotmix.language import Language
from tests.contracts.reader import ReaderContract

LANGUAGES = embedded_languages()


@pytest.fixture(scope="module")
def speakers():
    return {language: Speaker(language) for language in LANGUAGES}


class TestEmbedded(ReaderContract):
    @pytest.fixture
    def make(self):
        def made(bytes_per_language=20_000, **settings):
            config = CorpusConfig(bytes_per_language=bytes_per_language or 20_000, **settings)
            return open_reader(config, self.languages, Path())

        return made


def test_it_speaks_many_languages_of_many_families_and_scripts_with_close_relatives():
    languages = [Language.resolve(tag) for tag in LANGUAGES]
    assert len(languages) >= 10
    assert len({language.family for language in languages}) >= 4
    assert len({language.script for language in languages}) >= 4
    for pair in (
        ("spa_Latn", "por_Latn"),
        ("rus_Cyrl", "ukr_Cyrl"),
        ("deu_Latn", "nld_Latn"),
        ("swe_Latn", "nob_Latn"),
    ):
        assert set(pair) <= set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_every_sentence_with_the_same_slots_to_fill(speakers, language):
    speaker = speakers[language]
    assert sum(len(said) for said in speaker.sentences.values()) >= 40
    for scene in scenes():
        assert list(speaker.sentences[scene.name]) == list(scene.sentences)
        for name, sentence in speaker.sentences[scene.name].items():
            used = re.findall(r"\{\^?(\w+)", sentence)
            english = re.findall(r"\{\^?(\w+)", speakers["eng_Latn"].sentences[scene.name][name])
            assert set(used) == set(english), (scene.name, name)
            assert set(used) <= set(scene.slots)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_word_and_no_two_words_of_a_list_are_equal(speakers, language):
    words = speakers[language].words
    assert {name: len(entries) for name, entries in words.items()} == dict(list_lengths())
    for name, entries in words.items():
        assert len(set(entries)) == len(entries), name
        assert len({len(forms) for forms in entries}) == 1, name
        assert all(form.strip() == form for forms in entries for form in forms)


@pytest.mark.parametrize("language", LANGUAGES)
def test_text_is_in_the_right_script_and_every_slot_is_filled(language):
    config = CorpusConfig(bytes_per_language=20_000)
    reader = open_reader(config, [language], Path())
    text = "\n".join(document.text for document in reader.documents(language))
    assert "{" not in text
    assert not re.search(r"(length|mass|duration|area|temperature|speed)-\w+", text)  # CLDR's word for a unit it lacks
    expected = {"Latn": "LATIN", "Cyrl": "CYRILLIC", "Hans": "CJK", "Arab": "ARABIC"}[Language.resolve(language).script]
    letters = [unicodedata.name(letter, "") for letter in text if letter.isalpha()]
    assert sum(name.startswith(expected) for name in letters) > 0.97 * len(letters)  # currencies and names stay Latin


def test_documents_are_parallel(speakers):
    """Sums are written in digits and in words; the digits are the same in every language (Chinese has no words here)."""
    for k in range(400):
        meaning = draw(0, k)
        if meaning.scene == "sums":
            digits = {tuple(re.findall(r"\d+", s.say(meaning))) for tag, s in speakers.items() if tag != "cmn_Hans"}
            assert len(digits) == 1


def test_equal_ids_mean_equal_meaning():
    config = CorpusConfig(bytes_per_language=30_000, seed=3)
    reader = open_reader(config, ["spa_Latn", "arb_Arab"], Path())
    for spanish, arabic in zip(reader.documents("spa_Latn"), reader.documents("arb_Arab"), strict=False):
        assert spanish.id == arabic.id
        assert spanish.is_named


def test_sums_are_right():
    for k in range(600):
        meaning = draw(1, k)
        if meaning.scene == "sums":
            v = {slot: value for slot, (_, value) in meaning.values.items()}
            assert v["a"] + v["b"] == v["c"]
            assert v["n"] + v["m"] == v["k"]
            assert v["big"] - v["small"] == v["less"] > 0
            assert v["x"] * v["y"] == v["xy"]
            assert 2 * v["half"] == v["even"]


def test_text_depends_on_the_seed_and_on_nothing_else(speakers):
    assert [draw(0, k) for k in range(50)] == [draw(0, k) for k in range(50)]
    one, other = ({speakers["deu_Latn"].say(draw(seed, k)) for k in range(200)} for seed in (0, 1))
    assert len(one & other) < 10


def distinct_share(language, size):
    reader = open_reader(CorpusConfig(bytes_per_language=size), [language], Path())
    texts = [document.text for document in reader.documents(language)]
    return len(set(texts)) / len(texts)


def test_documents_stay_distinct():
    assert distinct_share("spa_Latn", 300_000) > 0.999


@pytest.mark.slow
@pytest.mark.parametrize("language", ["eng_Latn", "rus_Cyrl", "cmn_Hans"])
def test_documents_stay_distinct_for_five_megabytes(language):
    assert distinct_share(language, 5_000_000) > 0.99


def test_close_relatives_share_more_words_than_strangers(speakers):
    """Jaccard similarity of character trigrams; strangers in one script score 0.2, relatives must be 1.3 times that."""

    def trigrams(language):
        text = " ".join(speakers[language].say(draw(0, k)) for k in range(150)).lower()
        text = re.sub(r"[\d\W]+", " ", text)
        return {text[i : i + 3] for i in range(len(text) - 2)}

    sets = {language: trigrams(language) for language in LANGUAGES if not language.startswith("cmn")}

    def similar(a, b):
        return len(sets[a] & sets[b]) / len(sets[a] | sets[b])

    for a, b, stranger in (
        ("spa_Latn", "por_Latn", "deu_Latn"), ("deu_Latn", "nld_Latn", "spa_Latn"),
        ("swe_Latn", "nob_Latn", "tur_Latn"), ("rus_Cyrl", "ukr_Cyrl", "eng_Latn"),
    ):  # fmt: skip
        assert similar(a, b) > 1.3 * similar(a, stranger)


def test_a_language_it_does_not_speak_is_bad_input_with_those_it_does():
    with pytest.raises(BadInput, match="does not speak swh_Latn") as raised:
        open_reader(CorpusConfig(), ["sw"], Path())
    assert "spa_Latn" in str(raised.value)


def test_reading_is_lazy():
    reader = open_reader(CorpusConfig(bytes_per_language=10**12), ["spa_Latn"], Path())
    assert len(list(islice(reader.documents("spa_Latn"), 5))) == 5
