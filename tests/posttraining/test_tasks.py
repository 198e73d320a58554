"""Embedded tasks are parallel in nine languages and four scripts, split by meaning, and scored by what was asked."""

import numpy as np
import pytest
import torch

from glotmix.errors import BadInput
from glotmix.language import Language
from glotmix.posttraining.chance import chance
from glotmix.posttraining.sample import Message, Sample, check_ids, with_shots
from glotmix.posttraining.tasks import TASKS, find_task
from glotmix.posttraining.tasks.instructions import KINDS, follows
from glotmix.posttraining.tasks.phrases import Phrases, embedded_languages
from glotmix.posttraining.tasks.task import HELD_OUT, ordered, split_of

VERIFIED = [name for name in TASKS if not find_task(name).by_likelihood]


def test_languages_and_scripts_are_as_many_as_promised():
    assert len(embedded_languages()) >= 8
    assert len({Language.resolve(tag).script for tag in embedded_languages()}) >= 4


def test_words_are_parallel_and_tell_each_other_apart():
    counts = {tag: {name: len(words) for name, words in Phrases(tag).words.items()} for tag in embedded_languages()}
    assert all(count == counts["eng_Latn"] for count in counts.values())
    for tag in embedded_languages():
        things = Phrases(tag).words["things"]
        assert len({thing.casefold() for thing in things}) == len(things)


@pytest.mark.parametrize("task", TASKS)
def test_samples_are_parallel_and_references_score_one(task):
    task = find_task(task)
    ids = {tag: [s.id for s in task.embedded(tag, "test", 30)] for tag in embedded_languages()}
    assert all(found == ids["eng_Latn"] for found in ids.values())
    for tag in embedded_languages():
        for sample in task.embedded(tag, "test", 30)[:10]:
            if not task.by_likelihood:
                assert task.scores(sample, sample.answer)[task.metric] == pytest.approx(1)
            assert sample.language == tag


@pytest.mark.parametrize("task", VERIFIED)
def test_an_answer_to_another_question_scores_far_less(task):
    task = find_task(task)
    samples = task.embedded("fra_Latn", "test", 30)
    assert chance(task, samples) < 0.5  # a reference scores 1


@pytest.mark.parametrize("task", TASKS)
def test_no_meaning_is_both_trained_on_and_tested_on_in_any_language(task):
    task = find_task(task)
    test = {s.id for s in task.embedded("spa_Latn", "test", 40)}
    for split in ("train", "validation"):
        assert not test & {s.id for s in task.embedded("rus_Cyrl", split, 40)}


def test_splits_have_their_shares():
    splits = [split_of(f"meaning {i}") for i in range(4000)]
    for split, share in HELD_OUT.items():
        assert splits.count(split) / 4000 == pytest.approx(share, abs=0.02)


def test_a_generator_that_runs_dry_says_so():
    class Few(type(find_task("mathematics"))):
        def draw(self, rng):
            _, meaning = super().draw(rng)
            return f"only {meaning['a']}", meaning

    with pytest.raises(BadInput, match=r"expected 40 of the embedded generator"):
        Few().embedded("eng_Latn", "train", 40)


PASSES = {
    "repeat": "sun sun sun",
    "reverse": "Milk, bread, sun",
    "first": "sun.",
    "last": "milk",
    "brackets": "[sun]",
    "choose": "bread, sun, milk",
    "sentence": "I can see the sun today.",
}
FAILS = {
    "repeat": ["sun sun", "sun sun sun sun", "sun moon sun"],
    "reverse": ["sun, bread, milk", "milk, bread"],
    "first": ["milk", "sun bread"],
    "last": ["sun", ""],
    "brackets": ["sun", "(sun)", "[moon]"],
    "choose": ["sun, bread", "sun, sun, milk", "sun, bread, fish"],
    "sentence": ["sun", "I can see the moon today.", "the sun"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_instruction_is_followed_or_not(kind):
    words = ["sun"] if kind in ("repeat", "brackets", "sentence") else ["sun", "bread", "milk"]
    check = {"kind": kind, "words": words, "times": 3}
    assert follows(check, PASSES[kind])
    for answer in FAILS[kind]:
        assert not follows(check, answer), answer


def test_a_sentence_without_spaces_counts_its_characters():
    check = {"kind": "sentence", "words": ["苹果"], "times": 2}
    assert follows(check, "我很喜欢苹果这个词。")
    assert not follows(check, "苹果。")


def test_orders_are_nested_and_differ_by_seed_and_language():
    samples = find_task("mathematics").embedded("spa_Latn", "train", 60)
    assert ordered(samples, 1)[:10] == ordered(samples, 1)[:20][:10]
    assert [s.id for s in ordered(samples, 1)] != [s.id for s in ordered(samples, 2)]
    other = ordered(find_task("mathematics").embedded("rus_Cyrl", "train", 60), 1)
    assert {s.id for s in other[:20]} != {s.id for s in ordered(samples, 1)[:20]}


def test_a_sample_survives_json_and_takes_shots():
    sample = find_task("instructions").embedded("ukr_Cyrl", "test", 2)[0]
    assert Sample.from_json(sample.to_json()) == sample
    shots = find_task("instructions").embedded("ukr_Cyrl", "validation", 2)
    few = with_shots(sample, shots)
    assert [m.role for m in few.messages] == ["user", "assistant"] * 3
    assert few.messages[-2:] == sample.messages


def test_ids_must_be_unique_across_languages_unless_they_mean_translations():
    turns = (Message("user", "a"), Message("assistant", "b"))
    spanish, french = (Sample("7", "chat", tag, turns) for tag in ("spa_Latn", "fra_Latn"))
    check_ids([spanish, french], parallel=True)
    with pytest.raises(BadInput, match=r"'7' stands in spa_Latn and in fra_Latn.*parallel: true"):
        check_ids([spanish, french], parallel=False, where="mine.jsonl")
    with pytest.raises(BadInput, match=r"twice in spa_Latn"):
        check_ids([spanish, spanish], parallel=True)


def test_a_conversation_is_judged_by_the_probability_of_its_held_out_answer(proxy):
    """Against the chain rule by hand, token after token; nobody generates, and examples before it do not count."""
    from glotmix.posttraining.answer import load_model
    from glotmix.posttraining.chat import encode, prompt_ids
    from glotmix.posttraining.likelihood import bits_per_byte

    directory, tokenizer = proxy
    model = load_model(directory)
    samples = find_task("chat").embedded("rus_Cyrl", "test", 5)
    few = with_shots(samples[0], samples[1:3])
    found = bits_per_byte(model, tokenizer, [*samples, few])
    for sample, bits in zip([*samples, few], found, strict=True):
        ids, begins = encode(tokenizer, sample).ids, len(prompt_ids(tokenizer, sample.prompt))
        with torch.no_grad():
            log_p = torch.log_softmax(model(torch.from_numpy(ids)[None]).logits[0].double(), -1)
        nats = -sum(float(log_p[t - 1, ids[t]]) for t in range(begins, len(ids)))
        assert bits == pytest.approx(nats / np.log(2) / (len(sample.answer.encode()) + 1), rel=1e-4)
    assert chance(find_task("chat"), samples) == 1 / 256
