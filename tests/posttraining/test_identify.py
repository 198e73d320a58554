"""An answer in the wrong language fails, one in the right language does not, and what nobody can tell passes."""

import pytest

from glotmix.errors import BadInput
from glotmix.posttraining.identify import LanguageIdentifier
from glotmix.posttraining.metrics import words
from glotmix.posttraining.tasks import TASKS, find_task
from glotmix.posttraining.tasks.phrases import embedded_languages

LANGUAGES = embedded_languages()


@pytest.fixture(scope="module")
def identifier():
    """Knows every language by texts that the tests below do not use."""
    return LanguageIdentifier(
        {tag: [s.text for task in TASKS for s in find_task(task).embedded(tag, "train", 40)] for tag in LANGUAGES}
    )


def test_sentences_in_the_language_that_was_asked_for_pass_and_all_others_fail(identifier):
    """Both directions, for every pair of languages; an identifier that always passes or fails gets one of them wrong."""
    sentences = {
        tag: [s.answer for s in find_task("instructions").embedded(tag, "test", 60) if s.check["kind"] == "sentence"]
        for tag in LANGUAGES
    }
    right = wrong = total = 0
    for asked in LANGUAGES:
        assert not any(identifier.judge(text, asked).wrong for text in sentences[asked]), asked
        for other in LANGUAGES:
            if other != asked:
                found = [identifier.judge(text, asked) for text in sentences[other]]
                wrong += sum(verdict.wrong for verdict in found)
                right += sum(verdict.language == other for verdict in found)
                total += len(found)
    assert wrong / total > 0.98  # by chance: 0
    assert right / total > 0.95  # by chance: 1/9


def test_no_reference_of_any_kind_single_words_among_them_is_in_a_wrong_language(identifier):
    wrong = [
        (tag, sample.answer)
        for tag in LANGUAGES
        for sample in find_task("instructions").embedded(tag, "test", 60)
        if identifier.judge(sample.answer, tag).wrong
    ]
    assert len(wrong) <= 2, wrong  # of 540; some of the words are in no text that it has seen


def test_an_answer_in_another_script_fails_whatever_its_words(identifier):
    verdict = identifier.judge("Привет", "spa_Latn")
    assert verdict.wrong
    assert verdict.language in ("rus_Cyrl", "ukr_Cyrl")
    assert identifier.judge("hello", "rus_Cyrl").wrong
    assert identifier.judge("太阳", "arb_Arab").language == "cmn_Hans"
    assert identifier.judge("Ελλάδα", "eng_Latn").wrong  # a script that no candidate writes


def paragraphs(tag, count, of=4):
    """Texts of ``of`` lines each, sentences that the identifier has not seen."""
    lines = [
        line for s in find_task("summarisation").embedded(tag, "test", 100) for line in s.prompt[-1].content.split("\n")
    ]
    lines = [line for line in lines if len(words(line)) >= 5]
    return [lines[i : i + of] for i in range(0, of * count, of)]


def test_an_answer_three_quarters_of_which_are_in_another_language_fails(identifier):
    """For every pair of languages, the right quarter in any place; lines or sentences. What is right in all lines passes."""
    wrong = total = refused = 0
    for asked in LANGUAGES:
        mine = paragraphs(asked, 6)
        refused += sum(identifier.judge("\n".join(lines), asked).wrong for lines in mine)
        for other in LANGUAGES:
            if other != asked:
                for i, (own, foreign) in enumerate(zip(mine, paragraphs(other, 6), strict=True)):
                    mixed = [own[j] if j == i % 4 else foreign[j] for j in range(4)]
                    wrong += identifier.judge(("\n", " ")[i % 2].join(mixed), asked).wrong
                    total += 1
    assert wrong / total > 0.98
    assert refused <= 1


def test_names_code_and_short_exclamations_of_another_language_fail_nobody(identifier):
    spanish = "\n".join(paragraphs("spa_Latn", 1)[0])
    for other in (
        "New York Times.",
        "```\nfor the line in the file: print it and then go on with the next\n```",
        "OK!",
    ):
        assert not identifier.judge(f"{spanish}\n{other}", "spa_Latn").wrong


@pytest.mark.parametrize("answer", ["12", "[?!]", "", "7, 8"])
def test_an_answer_without_letters_is_in_no_wrong_language(identifier, answer):
    for tag in LANGUAGES:
        assert not identifier.judge(answer, tag).wrong


def test_a_word_that_two_languages_share_passes_in_both(identifier):
    for tag in ("spa_Latn", "por_Latn"):
        assert not identifier.judge("sol", tag).wrong


def test_a_language_without_text_and_one_that_is_no_candidate_are_named(identifier):
    with pytest.raises(BadInput, match=r"no text of fra_Latn"):
        LanguageIdentifier({"fra_Latn": ["12"]})
    with pytest.raises(BadInput, match=r"jpn_Jpan is no candidate"):
        identifier.judge("x", "jpn_Jpan")
