"""Scores equal the reference libraries' where those apply, and are sound where they do not."""

import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import CHRF

from glotmix.posttraining.metrics import chrf, last_number, rouge_l, words
from glotmix.posttraining.tasks import find_task
from glotmix.posttraining.tasks.phrases import embedded_languages

ENGLISH = [
    ("the cat sat on the mat", "the cat is on the mat"),
    ("Anna reads a book in the garden.", "Anna reads a book."),
    ("nothing in common", "quite another text"),
    ("the 3 cats, and 12 dogs", "3 cats and 12 dogs!"),
]


@pytest.mark.parametrize(("answer", "reference"), ENGLISH)
def test_rouge_equals_rouge_scores_own_on_english(answer, reference):
    theirs = RougeScorer(["rougeL"]).score(reference, answer)["rougeL"].fmeasure
    assert rouge_l(answer, reference) == pytest.approx(theirs)


def test_rouge_sees_scripts_that_the_original_tokens_leave_out():
    answer, reference = "Анна читает книгу в саду.", "Анна читает книгу."
    assert RougeScorer(["rougeL"]).score(reference, answer)["rougeL"].fmeasure == 0
    assert rouge_l(answer, reference) == pytest.approx(2 * (3 / 5) * 1 / (3 / 5 + 1))


def test_rouge_counts_characters_where_there_are_no_spaces():
    # 安娜看书 in 安娜在花园里看书: 4 of 8 characters, all 4 of the reference
    assert rouge_l("安娜在花园里看书。", "安娜看书。") == pytest.approx(2 * 0.5 * 1 / 1.5)
    assert words("Тест 安娜 abc-12") == ["тест", "安", "娜", "abc", "12"]


def test_words_of_marked_scripts_stay_whole():
    assert words("كِتَاب جديد") == ["كِتَاب", "جديد"]
    assert words("हिन्दी में") == ["हिन्दी", "में"]
    assert len(words("ที่นี่")) == 2  # two consonants with their marks


def test_chrf_equals_sacrebleu_in_every_language():
    metric = CHRF()
    for tag in embedded_languages():
        one, other = find_task("summarisation").embedded(tag, "test", 2)
        theirs = metric.corpus_score([one.answer], [[other.answer]]).score / 100
        assert chrf(one.answer, other.answer) == pytest.approx(theirs)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is 11.", 11),
        ("3 + 4 = 7", 7),
        ("1,234 apples", 1234),
        ("1.234.567 Äpfel", 1234567),
        ("1 234 pommes", 1234),
        ("es sind 3,5", 3.5),
        ("it is 3.25", 3.25),
        ("0.125", 0.125),
        ("1,234.50 dollars", 1234.5),
        ("−4", -4),
        ("الجواب ١٢", 12),
        ("उत्तर १५", 15),
        ("12 then 5", 5),
        ("none", None),
    ],
)
def test_the_last_number_is_read_in_any_digits(text, number):
    assert last_number(text) == number


def test_mathematics_takes_the_last_number_only():
    sample = find_task("mathematics").embedded("eng_Latn", "test", 1)[0]
    wanted = int(sample.answer)
    score = find_task("mathematics").scores
    assert score(sample, f"It is {wanted}.") == {"exact_match": 1}
    assert score(sample, f"{wanted} or {wanted + 1}") == {"exact_match": 0}
    assert score(sample, "I do not know") == {"exact_match": 0}
