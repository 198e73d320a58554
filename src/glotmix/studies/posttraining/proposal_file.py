"""A proposed post-training study as a YAML file in which every choice says why it was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from glotmix.studies.posttraining.proposal import LEAST_TRAINED, TASK, ChatProposal
from glotmix.study.commented import comment, commented, not_used, opening, value


def chat_proposal_text(found: ChatProposal) -> str:
    """The study file."""
    return "".join(f"{line}\n" for line in _lines(found))


def _lines(found: ChatProposal) -> Iterator[str]:
    study = found.study
    guides = "`glotmix fields posttraining` explains every field, docs/methods/post-training.md the method."
    yield from opening("chats hold", guides)
    yield "kind: posttraining"
    yield f"name: {value(study['name'])}"
    yield ""
    yield from _languages(found)
    yield ""
    yield from _bases(found)
    yield ""
    yield from _task(found)
    yield ""
    yield "grids:"
    yield from _items(
        study["grids"],
        {
            "samples": "of each language beside the pivot; 0 is the pivot alone",
            "pivot_samples": "the same in every model, so that models differ in the other languages alone",
            "seeds": "trainings of each, with other samples; they tell differences from chance",
        },
    )
    yield "finetuning:"
    yield from commented(study["finetuning"], _words(found))
    if "sweep" in study:
        yield "sweep:"
        yield from commented(study["sweep"], {"workers": "models that are trained side by side"})


def _languages(found: ChatProposal) -> Iterator[str]:
    study = found.study
    first, *rest = found.kept
    why = "English, as in the paper" if first.language == "eng_Latn" else "there is most of it"
    yield f"{'pivot: ' + first.language:<18}# {_about(first.name, first.spelt, first.language, first.samples)}: {why}"
    yield "# How many samples of these does it need beside the pivot's?"
    yield "languages:"
    for one in rest:
        if one.is_trained:
            yield f"  - {one.language:<12}# {_about(one.name, one.spelt, one.language, one.samples)}"
    if "outside" in study:
        yield f"# Measured and never trained on: fewer than {LEAST_TRAINED} chats."
        yield "outside:"
        for one in rest:
            if not one.is_trained:
                yield f"  - {one.language:<12}# {_about(one.name, one.spelt, one.language, one.samples)}"
    yield from not_used(found.left_out)


def _about(name: str, spelt: str, language: str, samples: int) -> str:
    return f"{comment(name)}: {samples:,} chats" + ("" if spelt == language else f", from {comment(spelt)}")


def _bases(found: ChatProposal) -> Iterator[str]:
    study = found.study
    (name, base), *_ = study["bases"].items()
    if "model" in base:
        yield "# The model that is fine-tuned; several can be compared."
        yield "bases:"
        yield f"  {name}:"
        words = {"model": "folder or name on the hub; chat_template: FILE.jinja where it has no template"}
        yield from commented(base, words, "    ")
        return
    yield "# A small proxy shows how such a study goes. For an answer about your model name it:"
    yield "#   bases: {mine: {model: path/or/owner/name}}, or `glotmix init … --model path/or/owner/name`"
    yield "corpus:"
    yield from commented(
        study["corpus"],
        {
            "reader": "text that glotmix makes itself, for the proxy's pretraining; reader: files takes yours",
            "bytes_per_language": "of each language",
        },
    )
    yield "tokens:"
    yield from commented(
        study["tokens"],
        {"vocab_size": "a byte-level BPE trained on that text", "held_out_tokens": "that its losses are measured on"},
    )
    yield "bases:"
    yield f"  {name}:"
    yield "    proxy:"
    words = {
        "width": "size of the tiny scale of recipes/post-training.yaml",
        "layers": "more and wider learn more and take longer",
        "heads": "of attention, each width / heads wide",
        "tokens": "read in pretraining, all languages alike",
        "context": "tokens of a sequence there",
        "batch": "sequences of an update there",
        "learning_rate": "there; a model so small takes a high one",
    }
    yield from commented(base["proxy"], words, "      ")


def _task(found: ChatProposal) -> Iterator[str]:
    task = found.study["tasks"][TASK]
    yield "# Scored by how probable the held-out answers are: no judge is asked and nothing is generated."
    yield "tasks:"
    yield f"  {TASK}:"
    yield "    train:"
    words = {
        "source": "messages: [{role, content}], or prompt and completion"
        if task["train"]["source"] == "chat"
        else "conversations: [{from, value}]",
        "path": "a file, a folder or a pattern; {name} is what stands under names",
        "language_field": "field with the language of a row",
        "labels": "labels that are no language; their rows are left out",
        "parallel": "equal ids in two languages are translations, which are held out together",
    }
    plain = {name: one for name, one in task["train"].items() if name != "names"}
    yield from commented(plain, words, "      ")
    if "names" in task["train"]:
        yield "      names:                  # where each language lies"
        for language, place in task["train"]["names"].items():
            yield f"        {language}: {value(place)}"
    yield "    # test: {source: chat, path: …}  # chats of your own to test on; without it, these are kept out:"
    rest = {name: one for name, one in task.items() if name != "train"}
    yield from commented(
        rest,
        {
            "test_samples": "of each language, drawn once for all models",
            "validation_samples": "of each trained language, which choose the checkpoint"
            if task["validation_samples"]
            else "none choose a checkpoint: the last is kept",
            "leakage": "test chats that are nearly the same as a training one are left out and counted",
        },
        "    ",
    )


def _items(values: list[Mapping[str, Any]], words: Mapping[str, str]) -> Iterator[str]:
    for one in values:
        for number, line in enumerate(commented(one, words, "    ")):
            yield f"  - {line[4:]}" if number == 0 else line


def _words(found: ChatProposal) -> dict[str, str]:
    own = "model" in next(iter(found.study["bases"].values()))
    longest = (
        "tokens of the longest chat"
        if found.is_counted
        else "no chat has more tokens: bytes of the longest, with its roles"
    )
    return {
        "method": "adapters of rank 16, merged before the answers; full trains all weights",
        "batch": "chats of an update",
        "micro_batch": "chats that go through together, so that long ones fit into memory; the result is the same",
        "epochs": "passes over the samples, the same for small and large sets of them",
        "learning_rate": "usual for adapters" if own else "a model so small takes a high one",
        "decay": "to a tenth at the end",
        "warmup": "share of the updates in which the rate rises",
        "save_every": "updates between checkpoints",
        "context": longest,
        "precision": "of matrix products; weights that are trained stay in fp32",
    }
